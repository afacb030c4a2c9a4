"""The command line in this process, with what it printed; a real process is for entry points and exit codes alone."""

import io
from contextlib import redirect_stderr, redirect_stdout
from typing import NamedTuple

from outrange.attention.glasses.probe import Budget
from outrange.cli import main

TINY_PROBE = Budget(lengths=(3, 9), dtypes=("float32", "bfloat16"), margin_lengths=(2,), tokens=10, directions=2)


class Outcome(NamedTuple):
    """What a command came to."""

    exit_code: int
    out: str
    err: str


def run(*arguments):
    """Run ``outrange`` with these arguments."""
    # As a terminal's, the streams have an encoding, by which the help chooses how to draw its boxes.
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    with redirect_stdout(out), redirect_stderr(err):
        try:
            exit_code = main([str(argument) for argument in arguments])
        except SystemExit as stop:  # help
            exit_code = int(stop.code or 0)
    return Outcome(exit_code, *(stream.buffer.getvalue().decode() for stream in (out, err)))
