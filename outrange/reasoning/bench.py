"""CPU time per trace and per trace with its text, beside the published package on the same work in the same run.

The work on both sides: draw the inputs, run the algorithm, and hold every probe of every step as an array in its public
(one-hot) form; for text the string of CLRS-Text, floats cut to three decimals. Ours draws blocks, as ``clrs.sample``
does; the reference one sample at a time, its fastest way. Both sides take turns, ``rounds`` times, so that a machine
whose speed drifts hits both; figures are medians.
"""

import statistics
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from outrange.core.atomic import writable
from outrange.core.errors import BadInput
from outrange.reasoning import text
from outrange.reasoning.clrs.registry import get_algorithm
from outrange.reasoning.clrs.samplers import Sampler, SequentialSource
from outrange.reasoning.clrs.sampling import sample_blocks

KINDS = ("trace", "text", "text-with-trace")
REFERENCE = "dm-clrs==2.0.3"


@dataclass(frozen=True)
class Row:
    """CPU microseconds of one sample; ``reference`` is None when it was not measured.

    ``inputs`` is the drawing alone, on our side.
    """

    kind: str
    algorithm: str
    length: int
    ours: float
    inputs: float
    reference: float | None

    @property
    def ratio(self) -> float | None:
        """How many times as long the reference takes."""
        return self.reference / self.ours if self.reference is not None else None


def measure_ours(kind: str, name: str, length: int, seconds: float) -> float:
    """CPU microseconds of one sample.

    Args:
        kind: one of ``KINDS``.
        name: of the algorithm.
        length: the sampler's.
        seconds: at least this long in one go; the number of samples grows until it is.
    """
    count = 128
    while True:
        start = time.process_time()
        # The same work as the reference's: the arrays are made, and dropped.
        for block in sample_blocks(name, length, count, seed=7, truncate_decimals=None if kind == "trace" else 3):
            for trace in block.traces():
                if kind == "trace":
                    _ = trace.inputs, trace.hints, trace.outputs
                else:
                    text.render(trace, hints=kind == "text-with-trace")
        elapsed = time.process_time() - start
        if elapsed >= seconds:
            return elapsed / count * 1e6
        growth = 1.2 * seconds / max(elapsed, 1e-4)
        count = int(count * min(10.0, growth)) + 1


def measure_inputs(name: str, length: int, seconds: float) -> float:
    """CPU microseconds of drawing one sample's inputs: the floor under any way of tracing them."""
    algorithm = get_algorithm(name)
    if not isinstance(algorithm.sampler, Sampler):
        return float("nan")
    checked_length, arguments = algorithm.sampler.check(name, length, {})
    size, source = algorithm.sampler.size(checked_length), SequentialSource(7)
    block_count = 16
    count, start = 0, time.process_time()
    while time.process_time() - start < seconds:
        arrays = tuple(
            np.empty((block_count, *probe.recorded_shape(size)), probe.recorded_dtype)
            for probe in algorithm.spec.arguments.values()
        )
        algorithm.sampler.draw(source, 0, arrays, 0.0, arguments)
        count += block_count
    return (time.process_time() - start) / count * 1e6


def reference_environment(folder: Path) -> Path:
    """The Python of an environment with the published package, made if absent (2.9 GB)."""
    python = folder / "bin" / "python"
    complete = folder / "complete"  # written last, so that an interrupted build starts again
    if not complete.exists():
        with writable("reference environment", folder):
            print(f"building {folder} with {REFERENCE}: about 3 GB and some minutes, once", file=sys.stderr, flush=True)
            venv.create(folder, clear=True, with_pip=True)
            pip = subprocess.run([python, "-m", "pip", "install", "--quiet", REFERENCE], check=False)
            if pip.returncode:
                raise BadInput(
                    f"reference environment: {REFERENCE} could not be installed into {str(folder)!r}; "
                    "see pip's message above"
                )
            complete.touch()
    return python


def bench(
    names: Sequence[str],
    lengths: Sequence[int],
    reference: Path | None,
    kinds: Sequence[str] = KINDS,
    seconds: float = 0.1,
    rounds: int = 5,
    report_progress: Callable[[int, int], None] | None = None,
) -> list[Row]:
    """Measure algorithms.

    Args:
        names: of the algorithms.
        lengths: the sampler's; text is measured at the first only.
        reference: a Python with dm-clrs 2.0.3, or None to measure ours alone.
        kinds: some of ``KINDS``.
        seconds: of each measurement, about.
        rounds: measurements of each side, of which the median counts.
        report_progress: called with the cells done and to do.
    """
    # What is measured: (kind, algorithm, length).
    cells = []
    for kind in kinds:
        for length in lengths if kind == "trace" else lengths[:1]:
            cells += [(kind, name, length) for name in names]
    for _, name, length in cells:  # refused before anything is measured
        get_algorithm(name).sampler.check(name, length, {})
    rows = []
    peer = _Peer(reference) if reference else None
    try:
        for done, (kind, name, length) in enumerate(cells, start=1):
            measure_ours(kind, name, length, 0.0)  # compile, or load from disk
            # The two take turns, so that both meet the machine at its slower and its faster times.
            ours, theirs = [], []
            for _ in range(rounds):
                ours.append(measure_ours(kind, name, length, seconds))
                if peer:
                    theirs.append(peer.measure(kind, name, length, seconds))
            inputs = measure_inputs(name, length, seconds / 4)
            reference_time = statistics.median(theirs) if theirs else None
            rows.append(Row(kind, name, length, statistics.median(ours), inputs, reference_time))
            if report_progress:
                report_progress(done, len(cells))
    finally:
        if peer:
            peer.close()
    return rows


class _Peer:
    """The reference package in a process of its own: a line asks for a measurement, a line answers."""

    def __init__(self, python: Path) -> None:
        script = Path(__file__).with_name("bench_reference.py")
        if not python.is_file():
            raise BadInput(f"reference-python: {str(python)!r} is not a file; give a Python that has {REFERENCE}")
        self._process = subprocess.Popen(
            [python, "-I", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd="/",  # nothing of ours must be importable there
        )
        if self._answer() != "ready":
            raise BadInput(f"reference: {str(python)!r} does not import dm-clrs; give a Python that has {REFERENCE}")

    def _answer(self) -> str:
        return self._process.stdout.readline().strip() if self._process.stdout else ""

    def measure(self, kind: str, name: str, length: int, seconds: float) -> float:
        """CPU microseconds of one sample."""
        if self._process.stdin:
            self._process.stdin.write(f"{kind} {name} {length} {seconds}\n")
            self._process.stdin.flush()
        answer = self._answer()
        if not answer:
            raise BadInput(f"reference: the published package failed on {kind} of {name} at length {length}")
        return float(answer)

    def close(self) -> None:
        """End the process."""
        if self._process.stdin:
            self._process.stdin.close()
        self._process.wait(timeout=30)


def as_dict(rows: Sequence[Row]) -> list[dict]:
    """Rows as JSON, each with its ratio."""
    return [asdict(row) | {"ratio": row.ratio} for row in rows]
