"""Losses (CLRS benchmark; permutations: arXiv 2209.11142, section 4.2): the plain sum over outputs and hints of

    scalar               squared error
    mask                 logistic loss over cells that are not hidden (-1)
    mask_one             cross-entropy
    categorical          cross-entropy over cells that are not hidden
    pointer              cross-entropy
    permutation_pointer  -truth . log of the doubly stochastic prediction

each divided by a count of cells of the whole batch: outputs by all of their cells (mask_one and categorical: by the
positive ones); hints by the cells of all steps that have a successor, a step's prediction being compared with the next
step's hint. Counts come apart from sums, so that processes that share a batch divide by the same number.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from outrange.reasoning.nar.samples import Samples
from outrange.reasoning.nar.spec import TaskProbe

LEAST_COUNT = 1e-12  # a probe without any cell has loss 0


def live(lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The (step, sample) pairs that have a next step to predict, in the model's order: step by step, samples by falling
    length.
    """
    order = np.argsort(-lengths, kind="stable")
    has_next = np.arange(1, max(1, int(lengths.max())))[:, None] < lengths[order]  # (step, sample in that order)
    steps, ranks = np.nonzero(has_next)
    return steps, order[ranks]


def next_hints(samples: Samples, name: str) -> np.ndarray:
    """What the predictions of a hint are compared with: at each live pair, the hint of the next step."""
    steps, members = live(samples.lengths)
    return samples.hints[name][steps + 1, members]


def counts(samples: Samples) -> dict[str, float]:
    """By how much each probe's summed loss is divided."""
    result = {}
    for name, probe in samples.spec.items():
        if probe.stage == "output":
            result[name] = _cells(probe, samples.outputs[name][samples.reaches_end], positives=True)
        elif probe.stage == "hint":
            result[name] = _cells(probe, next_hints(samples, name), positives=False)
    return result


def _cells(probe: TaskProbe, truth: np.ndarray, positives: bool) -> float:
    if probe.type == "mask":
        return float((truth != -1).sum())
    if probe.type == "categorical" or (probe.type == "mask_one" and positives):
        return float((truth == 1).sum())
    return float(truth.size / truth.shape[-1] if probe.type in ("mask_one", "permutation_pointer") else truth.size)


def summed_loss(probe: TaskProbe, raw: Tensor, truth: Tensor) -> Tensor:
    """The summed loss of predictions ``raw`` of one probe; both may have any leading axes."""
    if probe.type == "scalar":
        return functional.mse_loss(raw, truth, reduction="sum")
    if probe.type == "mask":
        return functional.binary_cross_entropy_with_logits(
            raw, truth.clamp(min=0), weight=(truth != -1).to(raw.dtype), reduction="sum"
        )
    if probe.type == "pointer":
        return functional.cross_entropy(raw.flatten(0, -2), truth.flatten().long(), reduction="sum")
    # a permutation's raw predictions are logarithms of probabilities already
    logs = raw if probe.type == "permutation_pointer" else functional.log_softmax(raw, -1)
    return -(truth.clamp(min=0) * logs).sum()


def losses(
    samples: Samples,
    outputs: Mapping[str, Tensor],
    hints: Mapping[str, Tensor],
    whole_counts: Mapping[str, float] | None = None,
) -> dict[str, Tensor]:
    """The loss of every probe that was predicted.

    Args:
        outputs: raw predictions (B, …).
        hints: raw predictions of the live (step, sample) pairs, one after another (see ``live``).
        whole_counts: ``counts`` of the batch of which these samples are a share; by default they are the batch.
    """
    whole_counts = counts(samples) if whole_counts is None else whole_counts
    result = {}
    for name, raw in (*outputs.items(), *hints.items()):
        probe = samples.spec[name]
        if probe.stage == "hint":
            truth = next_hints(samples, name)
        elif samples.reaches_end.all():
            truth = samples.outputs[name]
        else:  # outputs count only where the sample ends in the stretch
            truth, raw = (
                samples.outputs[name][samples.reaches_end],
                raw[torch.from_numpy(samples.reaches_end).to(raw.device)],
            )
        target = torch.from_numpy(np.ascontiguousarray(truth)).to(raw.device)
        if target.is_floating_point():
            target = target.to(raw.dtype)
        result[name] = summed_loss(probe, raw, target) / max(whole_counts[name], LEAST_COUNT)
    return result
