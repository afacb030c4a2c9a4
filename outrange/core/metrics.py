"""Numbers over time, one JSON object a line, only ever appended to: ``metrics.jsonl``, and ``timing.jsonl`` for what a
clock said.

A resumed run's metrics equal those of a run that was never stopped byte for byte; so what depends on a clock belongs to
the timing file. JSON has no NaN: the texts "nan", "inf" and "-inf" stand for those numbers, and ``read`` gives the
numbers back.
"""

import json
import logging
import math
import os
import warnings
from pathlib import Path
from typing import Any

from outrange.core import atomic
from outrange.core.checks import require
from outrange.core.errors import BadInput

_NOT_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
_MOST_PENDING = 1 << 26  # bytes that wait for space on a full disk
log = logging.getLogger("outrange")


class MetricsLog:
    """An open log; made if absent, cut after its last whole line if a death tore it.

    On a full disk lines wait in memory, said once, and are written when there is space again; ``sync`` and ``close``
    insist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._pending = b""
        self._open()

    def _open(self) -> None:
        with atomic.writable("metrics", self.path):
            self._handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        # a death in the middle of a line leaves half of it, onto which the next would be written
        self._size = _end_of_last_line(self._handle)
        if self._size < os.fstat(self._handle).st_size:
            os.ftruncate(self._handle, self._size)

    def write(self, *, step: int, **values: Any) -> None:
        """Append a line. Values are numbers, text, true or false, or arrays and tensors of one number."""
        record = {"step": _scalar("step", step)} | {name: _scalar(name, value) for name, value in values.items()}
        was_warned = bool(self._pending)
        # lines that a full disk did not take come first
        self._pending += json.dumps(record, allow_nan=False).encode() + b"\n"
        try:
            self._flush()
        except atomic.Unwritable as error:
            if len(self._pending) > _MOST_PENDING:
                raise
            if not was_warned:
                log.warning("%s; its lines are kept in memory for now", error)

    def _flush(self) -> None:
        if not self._pending:
            return
        with atomic.writable("metrics", self.path):
            try:
                atomic.write(self._handle, self._pending, self.path)
            except OSError:
                os.ftruncate(self._handle, self._size)  # half a line would hide the next one
                raise
        self._size += len(self._pending)
        self._pending = b""

    def sync(self) -> None:
        """Flush to disk: a checkpoint must not outlive the lines before it."""
        self._flush()
        with atomic.writable("metrics", self.path):
            atomic.sync(self.path)

    def rewind(self, step: int) -> None:
        """Drop all lines beyond ``step``, as of a checkpoint that is gone on from."""
        self._flush()
        os.close(self._handle)
        try:
            rewind(self.path, step)
        finally:
            self._open()

    def close(self) -> None:
        """Close; the log is not used after."""
        try:
            self._flush()
        finally:
            os.close(self._handle)


def read(path: Path, problems: list[str] | None = None) -> list[dict[str, Any]]:
    """All lines of a log.

    One that cannot be read is left out and said: as a sentence in ``problems``, or as a warning where that is not
    given.

    Raises:
        BadInput: there is no such file.
    """
    records = []
    for number, line in enumerate(_lines(path), start=1):
        record = _record(line)
        if record is not None:
            for name, value in record.items():
                if isinstance(value, str):
                    record[name] = _NOT_FINITE.get(value, value)
            records.append(record)
            continue
        why = "is not a line of metrics" if line.endswith(b"\n") else "was torn off, as by a death while writing"
        sentence = f"metrics: line {number} of {str(path)!r} {why}; it was left out"
        if problems is None:
            warnings.warn(sentence, stacklevel=2)
        else:
            problems.append(sentence)
    return records


def rewind(path: Path, step: int) -> None:
    """Drop the lines beyond ``step``, and those that cannot be read, in one atomic replacement; what stays keeps its
    bytes.
    """
    lines = _lines(path)
    remaining = [line for line in lines if (record := _record(line)) is not None and record["step"] <= step]
    if len(remaining) < len(lines):
        with atomic.writable("metrics", path), atomic.replaced(path) as partial:
            atomic.write_file(partial, [b"".join(remaining)])


def _lines(path: Path) -> list[bytes]:
    try:
        with open(path, "rb") as file:
            return file.readlines()
    except OSError as error:
        raise BadInput(f"metrics: {str(path)!r} cannot be read: {error.strerror}") from None


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line) if line.endswith(b"\n") else None
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and type(record.get("step")) is int else None


def _scalar(name: str, value: Any) -> Any:
    if hasattr(value, "item"):  # numpy and torch
        try:
            value = value.item()
        except (RuntimeError, ValueError):
            raise BadInput(
                f"metrics.{name}: an array of shape {tuple(value.shape)} is not allowed; one number a name"
            ) from None
    if name == "step":
        require(isinstance(value, int) and not isinstance(value, bool), "metrics.step", value, "a whole number")
    require(isinstance(value, int | float | str), f"metrics.{name}", value, "a number, text, true or false")
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _end_of_last_line(handle: int) -> int:
    """The size of a log up to the end of its last whole line."""
    end = os.fstat(handle).st_size
    while end:  # look for the last line break from the end, piece by piece
        begin = max(0, end - (1 << 16))
        cut = os.pread(handle, end - begin, begin).rfind(b"\n")
        if cut >= 0:
            return begin + cut + 1
        end = begin
    return 0
