"""Scores of a reasoner: micro-F1 on the published splits and at any other size (arXiv 2209.11142, section 4; metrics: score.py)."""

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from outrange.reasoning import clrs
from outrange.reasoning.clrs.specs import CLRS30
from outrange.reasoning.clrs.trace import Trace
from outrange.reasoning.nar.data import BATCH, Samples, evaluation, prepare
from outrange.reasoning.nar.decode import hard
from outrange.reasoning.nar.model import Reasoner
from outrange.reasoning.nar.published import PUBLISHED
from outrange.reasoning.nar.score import predecessors, score


def predict(reasoner: Reasoner, samples: Samples) -> dict[str, np.ndarray]:
    """Decided outputs, as in ``Samples.outputs``."""
    training = reasoner.training
    reasoner.eval()
    try:
        with torch.no_grad():
            outputs = reasoner(samples, keep_hints=False).outputs
    finally:
        reasoner.train(training)
    return {name: value.cpu().numpy() for name, value in hard(samples.spec, outputs).items()}


def execute(reasoner: Reasoner, traces: Sequence[Trace]) -> list[dict[str, np.ndarray]]:
    """What the reasoner makes of the inputs of traces: a dict of outputs each, in the layout of ``Trace.outputs``. A trace's length is all else it is told.

    Raises:
        BadInput: the reasoner does not know one of the algorithms.
    """
    groups: dict[tuple[str, int], list[int]] = {}
    for k, trace in enumerate(traces):
        groups.setdefault((trace.name, trace.size), []).append(k)
    results: list[dict[str, np.ndarray]] = [{} for _ in traces]
    for (name, _), members in groups.items():
        spec = reasoner.task(name).spec
        moved = "always" if "pred" in spec and "pred_h" not in spec else False
        matrices = any(probe.type == "permutation_pointer" for probe in spec.values())
        for start in range(0, len(members), BATCH):
            chosen = members[start : start + BATCH]
            samples = prepare(
                clrs.batch([traces[k] for k in chosen]), random_pos=None, pred_as_input=moved, permutations=matrices
            )
            found = predict(reasoner, samples)
            for probe, value in clrs.spec(name).outputs.items():
                array = (
                    predecessors(found[probe], found[f"{probe}_mask"])
                    if spec[probe].type == "permutation_pointer"
                    else found[probe]
                )
                for place, k in enumerate(chosen):
                    results[k][probe] = array[place].astype(value.dtype)
    return results


def evaluate(
    reasoner: Reasoner, batches: Iterable[Samples], progress: Callable[[int], None] | None = None
) -> dict[str, float]:
    """Scores by output and their mean, ``score``, over all samples of one algorithm together."""
    truths: dict[str, list[np.ndarray]] = {}
    found: dict[str, list[np.ndarray]] = {}
    spec = {}
    for k, samples in enumerate(batches):
        spec = samples.spec
        for name, value in predict(reasoner, samples).items():
            found.setdefault(name, []).append(value)
            truths.setdefault(name, []).append(samples.outputs[name])
        if progress:
            progress(k + 1)
    return score(
        spec, {n: np.concatenate(v) for n, v in truths.items()}, {n: np.concatenate(v) for n, v in found.items()}
    )


@dataclass(frozen=True)
class Board:
    """Scores of several algorithms, in [0, 1], summed up as the papers do."""

    scores: Mapping[str, float]

    @property
    def mean(self) -> float:
        return statistics.fmean(self.scores.values())

    @property
    def categories(self) -> dict[str, float]:
        """The mean of each of the eight categories that has a score."""
        by_category: dict[str, list[float]] = {}
        for name, value in self.scores.items():
            if name in CLRS30:
                by_category.setdefault(CLRS30[name].category, []).append(value)
        return {category: statistics.fmean(values) for category, values in by_category.items()}

    def above(self, percent: float) -> int:
        return sum(100 * value > percent for value in self.scores.values())

    @property
    def near_published(self) -> int:
        """How many reach the published mean of Triplet-GMPNN minus two of its standard deviations."""
        return sum(
            100 * v >= PUBLISHED[n].triplet_gmpnn - 2 * PUBLISHED[n].std
            for n, v in self.scores.items()
            if n in PUBLISHED
        )

    def as_dict(self, published: bool = True) -> dict[str, object]:
        """``published``: the scores are of the published test split, so they can be held against its table."""
        above = {str(p): self.above(p) for p in (60, 80, 90)}
        whole: dict[str, object] = {"mean": self.mean, "categories": self.categories, "above": above}
        if published:
            whole["near_published"] = self.near_published
        if self.categories:
            whole["mean_of_categories"] = statistics.fmean(self.categories.values())
        return {"scores": dict(self.scores)} | whole


def curve(
    reasoner: Reasoner,
    algorithm: str,
    sizes: Sequence[int],
    *,
    count: int = 32,
    seed: int = 3,
    progress: Callable[[int], None] | None = None,
    **changes: bool,
) -> dict[int, float]:
    """The score at each of several sizes, on ``count`` fresh samples of the published sampler each, with plain positions."""
    found = {}
    for k, size in enumerate(sizes):
        found[size] = evaluate(reasoner, evaluation(algorithm, "test", size=size, count=count, seed=seed, **changes))[
            "score"
        ]
        if progress:
            progress(k + 1)
    return found
