"""Answers requests for measurements of dm-clrs 2.0.3, in an environment that has it: run by bench.py, as a script, not
imported.

A line ``kind algorithm length seconds`` on stdin is answered by the CPU microseconds of one sample on stdout. The work
is the package's own: draw, run, all probes, batch of one; for text also the CLRS-Text string of floats cut to three
decimals.
"""

import sys
import time
import warnings

warnings.simplefilter("ignore")  # the release uses deprecated NumPy calls

import clrs  # type: ignore  # noqa: E402
from clrs._src.clrs_text import clrs_utils  # type: ignore  # noqa: E402


def make_work(kind: str, algorithm: str, length: int):
    """A function that makes one sample, and its text if ``kind`` asks for it."""
    decimals = None if kind == "trace" else 3
    sampler, _ = clrs.build_sampler(
        algorithm, num_samples=-1, length=length, seed=7, track_max_steps=False, truncate_decimals=decimals
    )
    if kind == "trace":
        return lambda: sampler.next(1)
    return lambda: clrs_utils.format_clrs_example(algorithm, sampler.next(1), use_hints=kind == "text-with-trace")


def main() -> None:
    print("ready", flush=True)
    for line in sys.stdin:
        kind, algorithm, length, seconds = line.split()
        make_sample = make_work(kind, algorithm, int(length))
        make_sample()  # what is done once only is not measured
        count, start = 0, time.process_time()
        while time.process_time() - start < float(seconds):
            make_sample()
            count += 1
        print((time.process_time() - start) / count * 1e6, flush=True)


if __name__ == "__main__":
    main()
