"""Compiles what the tests use, in two processes, before they begin: ``python -m tests.warm``.

Compiled code is kept on disk beside the sources. Without this step each test process would compile the same functions again,
since they start together.
"""

import contextlib
import io
import multiprocessing
import os
import tempfile
from collections.abc import Callable
from pathlib import Path


def warm_algorithm(name: str) -> None:
    """Compile an algorithm's sampler and recorder, and what renders its trace as text."""
    from outrange.reasoning import clrs, text

    for trace in clrs.sample(name, 8, 2):
        text.render(trace, hints=True)


def warm_command(command: str) -> None:
    """Compile what a command of a few seconds uses."""
    from outrange import cli

    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        exit_code = cli.main([*command.split(), "--out", str(Path(folder) / "run")])
    if exit_code:
        raise SystemExit(f"{command}: ended with {exit_code}")


COMMANDS = (
    "nar train bfs insertion_sort dijkstra floyd_warshall --preset smoke --steps 8",
    "explore train --preset smoke --steps 3200",
)


def tasks() -> list[tuple[Callable[[str], None], str]]:
    """What there is to compile, the longest first."""
    from outrange.reasoning import clrs

    return [(warm_command, command) for command in COMMANDS] + [(warm_algorithm, name) for name in clrs.ALGORITHMS]


def run(task: tuple[Callable[[str], None], str]) -> None:
    """One task, quietly: what is being compiled is announced on the error stream."""
    warm, argument = task
    with contextlib.redirect_stderr(io.StringIO()):
        warm(argument)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        for _ in pool.imap_unordered(run, tasks()):
            pass
