"""A file of results: one JSON object a line, appended when a claim ends, so that a later claim that fails or is
stopped loses nothing.

Two commands may append to one file at the same time: each result is one write. A line that a death tore off is left
out when the file is read.
"""

import json
import os
from pathlib import Path
from typing import Any

from outrange import __version__
from outrange.core import atomic
from outrange.papers.claims import Claim, Paper, Result, plain_settings

FOLDER = Path("runs/reproduce")


def default_path(paper: str, scale: str) -> Path:
    """Where the results of a paper at a scale are kept unless another place is named."""
    return FOLDER / f"{paper}-{scale}.jsonl"


def append(path: Path, result: Result) -> None:
    """Write a result behind those that are there, and flush it to disk.

    Raises:
        BadInput: the file cannot be written.
    """
    atomic.make_way("out", path)
    line = json.dumps(result.as_dict(), allow_nan=False).encode() + b"\n"
    with atomic.writable("out", path):
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            # A death in the middle of a write leaves half a line; what follows must not become a part of it.
            if _ends_in_half_a_line(handle):
                line = b"\n" + line
            atomic.write(handle, line, path)
        finally:
            os.close(handle)
        atomic.sync(path)


def find(path: Path, paper: Paper, claim: Claim, scale: str, seeds: int) -> Result | None:
    """The newest result of a claim that this version measured with the same settings and number of seeds; None if
    there is none."""
    asked = {
        "paper": paper.name,
        "claim": claim.name,
        "scale": scale,
        "settings": plain_settings(claim, scale),
        "seeds": seeds if claim.takes_seed else 1,  # as the result says it
        "version": __version__,
    }
    # The newest first: a claim that was run again with --again has several lines.
    for record in reversed(read(path)):
        if all(record.get(name) == value for name, value in asked.items()):
            return Result.from_dict(paper, record)
    return None


def read(path: Path) -> list[dict[str, Any]]:
    """All results of a file, oldest first; none if there is no such file."""
    if not path.exists():
        return []
    records = []
    for line in path.read_bytes().splitlines():
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue  # half a line; its claim is run again
        if isinstance(record, dict):
            records.append(record)
    return records


def _ends_in_half_a_line(handle: int) -> bool:
    size = os.fstat(handle).st_size
    return size > 0 and os.pread(handle, 1, size - 1) != b"\n"
