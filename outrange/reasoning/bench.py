"""CPU time per trace and per trace with its text, beside the published package on the same work in the same run.

The work on both sides: draw the inputs, run the algorithm, and hold every probe of every step as an array in its public (one-hot) form; for text the string of
CLRS-Text, floats cut to three decimals. Ours draws blocks, as ``clrs.sample`` does; the reference one sample at a time, its fastest way. Both sides take
turns, ``rounds`` times, so that a machine whose speed drifts hits both; figures are medians.
"""

import statistics
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from outrange.core.atomic import writable
from outrange.core.errors import BadInput
from outrange.reasoning import text
from outrange.reasoning.clrs.registry import algorithm
from outrange.reasoning.clrs.sample import sample_blocks

KINDS = ("trace", "text", "text-with-trace")
REFERENCE = "dm-clrs==2.0.3"


@dataclass(frozen=True)
class Row:
    """CPU microseconds of one sample; ``reference`` is None when it was not measured. ``inputs`` is the drawing alone, on our side."""

    kind: str
    algorithm: str
    length: int
    ours: float
    inputs: float
    reference: float | None

    @property
    def ratio(self) -> float | None:
        return self.reference / self.ours if self.reference is not None else None


def measure_ours(kind: str, name: str, length: int, seconds: float) -> float:
    """CPU microseconds of one sample."""
    count = 128
    while True:
        began = time.process_time()
        for block in sample_blocks(name, length, count, seed=7, truncate_decimals=None if kind == "trace" else 3):
            for trace in block.traces():
                if kind == "trace":
                    _ = trace.inputs, trace.hints, trace.outputs
                else:
                    text.render(trace, hints=kind == "text-with-trace")
        taken = time.process_time() - began
        if taken >= seconds:
            return taken / count * 1e6
        count = int(count * min(10.0, 1.2 * seconds / max(taken, 1e-4))) + 1


def measure_inputs(name: str, length: int, seconds: float) -> float:
    """CPU microseconds of drawing one sample's inputs: the floor under any way of tracing them."""
    from outrange.reasoning.clrs.memory import pool
    from outrange.reasoning.clrs.samplers import Sampler, Sequential

    known = algorithm(name)
    if not isinstance(known.sampler, Sampler):
        return float("nan")
    n, values = known.sampler.check(name, length, {})
    size, source = known.sampler.size(n), Sequential(7)
    count, began = 0, time.process_time()
    while time.process_time() - began < seconds:
        arrays = tuple(
            pool.empty((16, *p.recorded_shape(size)), p.recorded_dtype) for p in known.spec.arguments.values()
        )
        known.sampler.draw(source, 0, arrays, 0.0, values)
        count += 16
    return (time.process_time() - began) / count * 1e6


def reference_environment(folder: Path) -> Path:
    """The Python of an environment with the published package, made if absent (2.9 GB)."""
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        with writable("reference environment", folder):
            print(f"building {folder} with {REFERENCE}: about 3 GB and some minutes, once", file=sys.stderr, flush=True)
            venv.create(folder, clear=True, with_pip=True)
            done = subprocess.run([python, "-m", "pip", "install", "--quiet", REFERENCE], check=False)
            if done.returncode:
                raise BadInput(
                    f"reference environment: {REFERENCE} could not be installed into {str(folder)!r}; see pip's message above"
                )
            (folder / "complete").touch()
    return python


def bench(
    names: Sequence[str],
    lengths: Sequence[int],
    reference: Path | None,
    kinds: Sequence[str] = KINDS,
    seconds: float = 0.1,
    rounds: int = 5,
    progress: Callable[[int, int], None] | None = None,
) -> list[Row]:
    """Measure; ``reference`` is a Python with dm-clrs 2.0.3. Text is measured at the first length only."""
    work = [(kind, name, n) for kind in kinds for n in (lengths if kind == "trace" else lengths[:1]) for name in names]
    for _, name, n in work:
        algorithm(name).sampler.check(name, n, {})
    rows = []
    peer = _Peer(reference) if reference else None
    try:
        for k, (kind, name, n) in enumerate(work):
            measure_ours(kind, name, n, 0.0)  # compile, or load from disk
            pairs = [
                (measure_ours(kind, name, n, seconds), peer.measure(kind, name, n, seconds) if peer else None)
                for _ in range(rounds)
            ]
            theirs = [r for _, r in pairs if r is not None]
            median = statistics.median
            rows.append(
                Row(
                    kind,
                    name,
                    n,
                    median(o for o, _ in pairs),
                    measure_inputs(name, n, seconds / 4),
                    median(theirs) if theirs else None,
                )
            )
            if progress:
                progress(k + 1, len(work))
    finally:
        if peer:
            peer.close()
    return rows


class _Peer:
    """The reference package in a process of its own."""

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
            cwd="/",
        )
        if self._answer() != "ready":
            raise BadInput(f"reference: {str(python)!r} does not import dm-clrs; give a Python that has {REFERENCE}")

    def _answer(self) -> str:
        return self._process.stdout.readline().strip() if self._process.stdout else ""

    def measure(self, kind: str, name: str, length: int, seconds: float) -> float:
        if self._process.stdin:
            self._process.stdin.write(f"{kind} {name} {length} {seconds}\n")
            self._process.stdin.flush()
        answer = self._answer()
        if not answer:
            raise BadInput(f"reference: the published package failed on {kind} of {name} at length {length}")
        return float(answer)

    def close(self) -> None:
        if self._process.stdin:
            self._process.stdin.close()
        self._process.wait(timeout=30)


def as_dict(rows: Sequence[Row]) -> list[dict]:
    return [asdict(row) | {"ratio": row.ratio} for row in rows]
