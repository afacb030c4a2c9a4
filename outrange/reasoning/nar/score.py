"""The metrics of CLRS-30 on hard predictions (arXiv 2205.15659, section 4.1; dm-clrs 2.0.3): what the papers call
micro-F1.

    mask                      F1 over all cells that are not hidden (-1), pooled over samples; precision and recall are 1 where they are 0/0
    mask_one, categorical     share of equal argmax; rows with a hidden cell (-1) do not count
    pointer                   share of equal indices
    scalar                    mean squared error
    permutation_pointer       merged with its mask into plain predecessors (the node that the mask picks points to itself), then as pointer

An algorithm's ``score`` is the mean over its outputs. Where nothing counts (every cell hidden, no step alive) the value
is nan, an F1 1. Predictions are probabilities or one-hots in the layout of the truth: a mask is 1 above 0.5 and 0 below
(exactly 0.5 does not count at all: so does the reference), one-hot rows are decided by their largest entry, pointers
are indices.
"""

from collections.abc import Mapping

import numpy as np

from outrange.core.errors import BadInput
from outrange.reasoning.nar.spec import TaskProbe


def score(
    spec: Mapping[str, TaskProbe], truth: Mapping[str, np.ndarray], pred: Mapping[str, np.ndarray]
) -> dict[str, float]:
    """The score of each output, and ``score``, their mean. Concatenate all samples first: F1 pools over them.

    Args:
        spec: as ``task_spec`` gives it, or the part of it that is to be scored.
        truth: outputs, (B, …) each.
        pred: predictions of the same names and shapes.
    """
    result = {}
    for name, probe in _outputs(spec).items():
        if probe.type == "permutation_pointer":
            true_pointers = predecessors(truth[name], truth[f"{name}_mask"])
            pred_pointers = predecessors(pred[name], pred[f"{name}_mask"])
            result[name] = _score(name, "pointer", true_pointers, pred_pointers)
        else:
            result[name] = _score(name, probe.type, truth[name], pred[name])
    result["score"] = float(np.mean(list(result.values())))
    return result


def hint_scores(
    spec: Mapping[str, TaskProbe],
    truth_hints: Mapping[str, np.ndarray],
    pred_hints: Mapping[str, np.ndarray],
    lengths: np.ndarray,
) -> dict[str, float | list[float]]:
    """The score of each hint: ``<probe>_along_time``, a value a step, and ``<probe>``, their mean weighted by the
    samples alive.

    Step t compares prediction t with hint t + 1, over the samples with t + 1 < length; steps at which none is alive are
    left out.

    Args:
        truth_hints: (T, B, …) each.
        pred_hints: (T - 1, B, …) each, or longer.
        lengths: (B,), steps of each sample.
    """
    lengths = np.asarray(lengths)
    # step t is compared in those samples that have a hint at t + 1
    alive = [lengths > t + 1 for t in range(max(int(lengths.max(initial=0)) - 1, 0))]
    weights = np.array([mask.sum() for mask in alive])
    result: dict[str, float | list[float]] = {}
    for name, probe in spec.items():
        if probe.stage == "hint":
            truth, pred = truth_hints[name], pred_hints[name]
            values = [_score(name, probe.type, truth[t + 1][mask], pred[t][mask]) for t, mask in enumerate(alive)]
            result[name] = float(np.sum(np.array(values) * weights) / weights.sum()) if values else float("nan")
            result[f"{name}_along_time"] = values
    return result


def predecessors(permutation: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Plain predecessors (B, N) of cyclic ones (B, N, N) and their mask (B, N): the masked node points to itself, the
    others to their row's largest entry.
    """
    first = np.arange(mask.shape[-1]) == mask.argmax(-1)[..., None]
    return np.where(first, np.arange(mask.shape[-1]), permutation.argmax(-1))


def _outputs(spec: Mapping[str, TaskProbe]) -> dict[str, TaskProbe]:
    """The outputs that have a score of their own: the mask of a permutation has not."""
    # the mask says where a permutation begins, and is scored with it
    merged = {f"{name}_mask" for name, probe in spec.items() if probe.type == "permutation_pointer"}
    return {name: probe for name, probe in spec.items() if probe.stage == "output" and name not in merged}


def _score(name: str, kind: str, truth: np.ndarray, pred: np.ndarray) -> float:
    """The score of one probe of a type (``kind``)."""
    if truth.shape != pred.shape:
        raise BadInput(f"prediction {name}: has shape {pred.shape}, its truth {truth.shape}; both must be alike")
    if kind == "mask":
        return _f1(truth, pred)
    if kind in ("mask_one", "categorical"):
        is_visible = (truth != -1).all(-1)
        return _mean((truth.argmax(-1) == pred.argmax(-1))[is_visible])
    if kind == "pointer":
        return _mean(truth == pred)
    return _mean((truth.astype(np.float64) - pred) ** 2)  # a scalar: the lower the better


def _mean(values: np.ndarray) -> float:
    return float(np.mean(values)) if values.size else float("nan")


def _f1(truth: np.ndarray, pred: np.ndarray) -> float:
    is_visible = truth != -1
    is_true = truth[is_visible] > 0.5
    # exactly 0.5 is neither positive nor negative, as in the reference
    is_positive, is_negative = pred[is_visible] > 0.5, pred[is_visible] < 0.5
    true_positives = int((is_true & is_positive).sum())
    false_positives = int((~is_true & is_positive).sum())
    false_negatives = int((is_true & is_negative).sum())
    precision = true_positives / (true_positives + false_positives) if true_positives + false_positives else 1.0
    recall = true_positives / (true_positives + false_negatives) if true_positives + false_negatives else 1.0
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0
