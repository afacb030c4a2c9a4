"""Scores of a reasoner: micro-F1 on the published splits and at any other size (arXiv 2209.11142, section 4; metrics:
score.py).
"""

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from outrange.reasoning import clrs
from outrange.reasoning.clrs.specs import CLRS30
from outrange.reasoning.clrs.traces import Trace
from outrange.reasoning.nar.decode import hard
from outrange.reasoning.nar.evaluation_sets import EVALUATION_BATCH_SIZE, evaluation_set
from outrange.reasoning.nar.model import EncodeProcessDecode
from outrange.reasoning.nar.published import PUBLISHED
from outrange.reasoning.nar.samples import Samples, prepare
from outrange.reasoning.nar.score import predecessors, score


def predict(model: EncodeProcessDecode, samples: Samples) -> dict[str, np.ndarray]:
    """Decided outputs, as in ``Samples.outputs``."""
    # evaluation differs where hints are decided only outside training
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            outputs = model(samples, keep_hints=False).outputs
    finally:
        model.train(was_training)
    return {name: value.cpu().numpy() for name, value in hard(samples.spec, outputs).items()}


def execute(model: EncodeProcessDecode, traces: Sequence[Trace]) -> list[dict[str, np.ndarray]]:
    """What the model makes of the inputs of traces: a dict of outputs each, in the layout of ``Trace.outputs``.

    A trace's length, which decides the number of steps, is all else that it reads of it.

    Raises:
        BadInput: the model does not know one of the algorithms.
    """
    # a batch holds one algorithm at one size
    indices_by_kind: dict[tuple[str, int], list[int]] = {}
    for k, trace in enumerate(traces):
        indices_by_kind.setdefault((trace.name, trace.size), []).append(k)
    results: list[dict[str, np.ndarray]] = [{} for _ in traces]
    for (name, _), indices in indices_by_kind.items():
        spec = model.task(name).spec
        # how the model's own data was prepared shows in its spec
        pred_as_input = "always" if "pred" in spec and "pred_h" not in spec else False
        permutations = any(probe.type == "permutation_pointer" for probe in spec.values())
        for start in range(0, len(indices), EVALUATION_BATCH_SIZE):
            members = indices[start : start + EVALUATION_BATCH_SIZE]
            batch = clrs.batch([traces[k] for k in members])
            samples = prepare(batch, random_pos=None, pred_as_input=pred_as_input, permutations=permutations)
            predicted = predict(model, samples)
            for output, value in clrs.spec(name).outputs.items():
                # a permutation and its mask become the pointers of the trace again
                array = predicted[output]
                if spec[output].type == "permutation_pointer":
                    array = predecessors(array, predicted[f"{output}_mask"])
                for place, k in enumerate(members):
                    results[k][output] = array[place].astype(value.dtype)
    return results


def evaluate(
    model: EncodeProcessDecode,
    batches: Iterable[Samples],
    report_progress: Callable[[int, int], None] | None = None,
) -> dict[str, float]:
    """Scores by output and their mean, ``score``, over all samples of one algorithm together.

    Args:
        model: it predicts without its training mode.
        batches: of one algorithm; an ``EvaluationSet``, or others.
        report_progress: called with the number of batches done, and of all if it is known, else 0.
    """
    truths: dict[str, list[np.ndarray]] = {}
    predictions: dict[str, list[np.ndarray]] = {}
    spec = {}
    total = len(batches) if isinstance(batches, Sequence) else 0
    for k, samples in enumerate(batches):
        spec = samples.spec
        for name, value in predict(model, samples).items():
            predictions.setdefault(name, []).append(value)
            truths.setdefault(name, []).append(samples.outputs[name])
        if report_progress:
            report_progress(k + 1, total)
    # F1 pools over samples, so they are scored at once
    truth = {name: np.concatenate(values) for name, values in truths.items()}
    prediction = {name: np.concatenate(values) for name, values in predictions.items()}
    return score(spec, truth, prediction)


@dataclass(frozen=True)
class ScoreBoard:
    """Scores of several algorithms, in [0, 1], summed up as the papers do."""

    scores: Mapping[str, float]

    @property
    def mean(self) -> float:
        """Of all scores."""
        return statistics.fmean(self.scores.values())

    @property
    def categories(self) -> dict[str, float]:
        """The mean of each of the eight categories that has a score."""
        by_category: dict[str, list[float]] = {}
        for name, value in self.scores.items():
            if name in CLRS30:
                by_category.setdefault(CLRS30[name].category, []).append(value)
        return {category: statistics.fmean(values) for category, values in by_category.items()}

    def count_above(self, percent: float) -> int:
        """How many scores are above so many percent."""
        return sum(100 * value > percent for value in self.scores.values())

    @property
    def near_published(self) -> int:
        """How many reach the published mean of Triplet-GMPNN minus two of its standard deviations."""
        count = 0
        for name, value in self.scores.items():
            if name in PUBLISHED:
                count += 100 * value >= PUBLISHED[name].triplet_gmpnn - 2 * PUBLISHED[name].std
        return count

    def as_dict(self, published: bool = True) -> dict[str, object]:
        """All of it as JSON.

        ``published``: the scores are of the published test split, so they can be held against its table.
        """
        above = {str(percent): self.count_above(percent) for percent in (60, 80, 90)}
        summary: dict[str, object] = {"mean": self.mean, "categories": self.categories, "above": above}
        if published:
            summary["near_published"] = self.near_published
        if self.categories:
            summary["mean_of_categories"] = statistics.fmean(self.categories.values())
        return {"scores": dict(self.scores)} | summary


def curve(
    model: EncodeProcessDecode,
    algorithm: str,
    sizes: Sequence[int],
    *,
    count: int = 32,
    seed: int = 3,
    report_progress: Callable[[int, int], None] | None = None,
    **spec_options: bool,
) -> dict[int, float]:
    """The score at each of several sizes, on ``count`` fresh samples of the published sampler each, with plain
    positions.

    Args:
        model: it must know the algorithm.
        algorithm: one of ``clrs.names()``.
        sizes: sampler lengths.
        count: samples at each size.
        seed: of the sampler.
        report_progress: called with the number of sizes done and of all.
        spec_options: as the model's data was prepared, see ``reasoner.spec_options``.
    """
    scores = {}
    for k, size in enumerate(sizes):
        samples = evaluation_set(algorithm, "test", size=size, count=count, seed=seed, **spec_options)
        scores[size] = evaluate(model, samples)["score"]
        if report_progress:
            report_progress(k + 1, len(sizes))
    return scores
