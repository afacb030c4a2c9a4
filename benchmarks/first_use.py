"""How long the first use of an algorithm takes when nothing is compiled on disk: ``python benchmarks/first_use.py``.

Each of the thirty runs in a process of its own: once alone, with an empty cache, and once after all before it, which
share a cache with it. Both are what a user meets: the first algorithm ever, and the next one. Prints seconds, without
the import of the package.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping

TARGET_SECONDS = 3.0

# Probes are made when they are read, so reading all three stages is part of a first use.
PROGRAM = """
import time
from outrange.reasoning import clrs
start = time.perf_counter()
trace = clrs.sample({name!r}, 16)[0]
trace.inputs, trace.hints, trace.outputs
print(time.perf_counter() - start)
"""


def first_use_seconds(name: str, cache_folder: str) -> float:
    """Seconds of one first use in a new process, with compiled code kept in ``cache_folder``."""
    environment = os.environ | {"NUMBA_CACHE_DIR": cache_folder}
    command = [sys.executable, "-c", PROGRAM.format(name=name)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout)


def seconds_alone(name: str) -> float:
    """Seconds of a first use with a cache that nothing was compiled into."""
    with tempfile.TemporaryDirectory() as cache_folder:
        return first_use_seconds(name, cache_folder)


def summary(title: str, seconds: Mapping[str, float]) -> str:
    """One line about the seconds of all algorithms."""
    slowest = max(seconds, key=seconds.__getitem__)
    within_target = sum(value <= TARGET_SECONDS for value in seconds.values())
    return (
        f"{title}: {min(seconds.values()):.1f} to {seconds[slowest]:.1f} s ({slowest}),"
        f" median {statistics.median(seconds.values()):.1f} s,"
        f" {within_target} of {len(seconds)} within {TARGET_SECONDS:.0f} s"
    )


def main() -> None:
    """Measure all algorithms in both ways and print a line about each way."""
    from outrange.reasoning.clrs import ALGORITHMS

    print(summary("alone", {name: seconds_alone(name) for name in ALGORITHMS}))
    # One cache for all: the order of the list decides which algorithm compiles what several share.
    with tempfile.TemporaryDirectory() as cache_folder:
        print(summary("after all before it", {name: first_use_seconds(name, cache_folder) for name in ALGORITHMS}))


if __name__ == "__main__":
    main()
