"""Seconds that the first use of an algorithm takes with nothing compiled on disk, each of the thirty in a process of its own: alone, and after all before it."""

import os
import statistics
import subprocess
import sys
import tempfile

CODE = "import time; from outrange.reasoning import clrs; t = time.perf_counter(); x = clrs.sample({name!r}, 16)[0]; x.inputs, x.hints, x.outputs; print(time.perf_counter() - t)"


def first_use(name: str, cache: str) -> float:
    """Seconds of one first use, without the import, with compiled code kept in ``cache``."""
    environment = os.environ | {"NUMBA_CACHE_DIR": cache}
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(name=name)], env=environment, capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def alone(name: str) -> float:
    with tempfile.TemporaryDirectory() as cache:
        return first_use(name, cache)


def main() -> None:
    from outrange.reasoning.clrs import ALGORITHMS

    with tempfile.TemporaryDirectory() as cache:
        series = {
            "alone": {n: alone(n) for n in ALGORITHMS},
            "after all before it": {n: first_use(n, cache) for n in ALGORITHMS},
        }
    for what, seconds in series.items():
        slowest = max(seconds, key=seconds.__getitem__)
        within = sum(s <= 3 for s in seconds.values())
        print(
            f"{what}: {min(seconds.values()):.1f} to {seconds[slowest]:.1f} s ({slowest}), median {statistics.median(seconds.values()):.1f} s, {within} of 30 within 3 s"
        )


if __name__ == "__main__":
    main()
