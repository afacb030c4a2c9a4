"""A training step and an evaluation beside dm-clrs 2.0.3: CPU seconds, wall seconds and peak memory of one process
each, on the same traces, in one run.

Triplet-GMPNN with gate, hints encoded and decoded, soft, float32. Both sides hold one batch and repeat it; they take
turns, ``rounds`` times, so that a machine whose speed drifts hits both. Figures are medians over all steps of all
rounds.
"""

import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from outrange.core.errors import BadInput
from outrange.reasoning.clrs import generalist
from outrange.reasoning.clrs.registry import get_algorithm
from outrange.reasoning.nar.spec import CONSTANT_PRED

ALGORITHMS = ("bfs", "insertion_sort", "dijkstra", "floyd_warshall")
SIDES = ("cpu", "torch", "gpu")  # kernels; gpu is torch's on one


@dataclass(frozen=True)
class Row:
    """Medians of one side (``reference``, ``cpu``, ``torch``, or ``gpu``: the torch kernels on one) on one piece of
    work (``train`` or ``eval``).
    """

    work: str
    algorithm: str
    length: int
    side: str
    cpu: float
    wall: float
    first: float
    peak_mb: float
    sample_steps: float


class _Side:
    """A process that serves steps."""

    def __init__(self, name: str, command: Sequence[str | Path]) -> None:
        self.name = name
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self._answer()

    def _answer(self) -> dict[str, Any]:
        for line in self._process.stdout or ():  # libraries print there as well
            if line.startswith("{"):
                return json.loads(line)
        raise BadInput(
            f"bench: the side {self.name!r} ended with code {self._process.wait()}; run its command alone to see why"
        )

    def ask(self, **what: Any) -> dict[str, Any]:
        if self._process.stdin:
            self._process.stdin.write(json.dumps(what) + "\n")
            self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        if self._process.stdin:
            self._process.stdin.close()
        self._process.wait(timeout=60)


def bench(
    algorithms: Sequence[str] = ALGORITHMS,
    reference: Path | None = None,
    *,
    length: int = 16,
    evaluation_length: int = 0,
    batch_size: int = 32,
    hidden_dim: int = 128,
    steps: int = 3,
    rounds: int = 4,
    report_progress: Callable[[int, int], None] | None = None,
) -> list[Row]:
    """Measure the kernels that this machine can run.

    Args:
        algorithms: by name.
        reference: a Python with dm-clrs 2.0.3.
        length: of the training traces.
        evaluation_length: 0 measures training, else a prediction at that length.
        batch_size, hidden_dim: of the model's work.
        steps, rounds: of each side; they take turns.
        report_progress: called with how many algorithms are done, of how many.
    """
    import torch

    kernels = [side for side in SIDES if side != "gpu" or torch.cuda.is_available()]
    for name in algorithms:
        get_algorithm(name)
    rows = []
    folder = Path(__file__).parent
    for k, name in enumerate(algorithms):
        shape = [name, str(length), str(batch_size), str(hidden_dim), json.dumps(generalist(name)[1])]
        work = {"do": "eval", "length": evaluation_length} if evaluation_length else {"do": "train"}
        sides = []
        try:
            for side in kernels:
                command = [sys.executable, "-m", "outrange.reasoning.nar.bench_ours", *shape, side]
                sides.append(_Side(side, command))
            if reference:
                changes = "pred_as_input" if name in CONSTANT_PRED else ""
                sides.append(_Side("reference", [reference, "-I", folder / "bench_reference.py", *shape, changes]))
            # turn by turn, so that a machine whose speed drifts hits all sides
            answers: dict[str, list[dict[str, Any]]] = {side.name: [] for side in sides}
            for _ in range(rounds):
                for side in sides:
                    answers[side.name].append(side.ask(**work, steps=steps))
        finally:
            for side in sides:  # also those of an algorithm that failed
                side.close()
        for side, rounds_of_side in answers.items():
            rows.append(_row(work["do"], name, evaluation_length or length, side, rounds_of_side))
        if report_progress:
            report_progress(k + 1, len(algorithms))
    return rows


def _row(work: str, algorithm: str, length: int, side: str, answers: Sequence[dict[str, Any]]) -> Row:
    """The medians over all steps of all rounds of a side; memory and the first step as they stand at the end."""
    cpu, wall = (statistics.median(value for answer in answers for value in answer[kind]) for kind in ("cpu", "wall"))
    last = answers[-1]
    return Row(work, algorithm, length, side, cpu, wall, last["first"], last["peak_mb"], last["sample_steps"])


def as_dict(rows: Sequence[Row]) -> list[dict[str, Any]]:
    return [asdict(row) for row in rows]
