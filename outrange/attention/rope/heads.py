"""Heads that attend by position and heads that park attention (arXiv 2410.06205, sections 5 and 6; tables 3 to 5).

    diagonal      mean over tokens i of alpha(i, i)
    previous      mean over tokens i of alpha(i, i - 1)
    first         mean over tokens i of alpha(i, 0): the sink

The first token has nothing but itself to attend to, and the second nothing before it but the first, which is the sink
in most models; so row 0 counts in none, row 1 not in "previous". Weights are made for a block of rows at a time; no
map of N x N is kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from outrange.attention.tap import AttentionInputs
from outrange.report.scan_story import HeadKind

SCORES = ("diagonal", "previous", "first")
_BLOCK_WEIGHTS = 1 << 23  # numbers in a block of weights: 32 MB


def row_blocks(inputs: AttentionInputs) -> list[slice]:
    """Blocks of rows whose weights fit into 32 MB, or one row."""
    batch, heads, length, _ = inputs.query.shape
    step = max(1, _BLOCK_WEIGHTS // (batch * heads * length))
    return [slice(begin, min(begin + step, length)) for begin in range(0, length, step)]


@dataclass
class HeadScores:
    """A watcher for ``tapped``: scores of every head, over all texts of all passes."""

    _sums: dict[int, Tensor] = field(default_factory=dict)
    """by layer, (scores, H)"""
    _counts: dict[int, Tensor] = field(default_factory=dict)
    """by layer, (scores,): how many tokens each score is a mean over"""

    def __call__(self, inputs: AttentionInputs) -> None:
        batch, heads, length = inputs.query.shape[:3]
        sums = torch.zeros(len(SCORES), heads, dtype=torch.float64, device=inputs.query.device)
        for block in row_blocks(inputs):
            weights = inputs.weights(block)
            rows = torch.arange(block.start, block.stop, device=weights.device)
            diagonal = weights.diagonal(offset=block.start, dim1=-2, dim2=-1)
            before = (rows - 1).clamp_min(0)[None, None, :, None].expand(*weights.shape[:3], 1)
            previous = weights.gather(-1, before)[..., 0]
            sums[0] += diagonal[..., rows >= 1].sum((0, 2))
            sums[1] += previous[..., rows >= 2].sum((0, 2))
            sums[2] += weights[..., 0][..., rows >= 1].sum((0, 2))
        counts = torch.tensor([length - 1, length - 2, length - 1], dtype=torch.float64).clamp_min(0) * batch
        self._sums[inputs.layer] = self._sums.get(inputs.layer, 0) + sums.cpu()
        self._counts[inputs.layer] = self._counts.get(inputs.layer, 0) + counts

    @property
    def layers(self) -> dict[int, dict[str, Tensor]]:
        """By layer, the scores (H,) by name."""
        scores = {}
        for layer, sums in sorted(self._sums.items()):
            means = sums / self._counts[layer].clamp_min(1)[:, None]
            scores[layer] = dict(zip(SCORES, means, strict=True))
        return scores


def head_kind(scores: Mapping[str, float]) -> HeadKind:
    """What a head is, if a score says so: above a third of its attention on itself or on the token before, above two
    thirds on the first.
    """
    if max(scores["diagonal"], scores["previous"]) > 1 / 3:
        return "diagonal" if scores["diagonal"] > scores["previous"] else "previous token"
    return "first token" if scores["first"] > 2 / 3 else ""
