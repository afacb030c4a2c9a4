"""Heads that attend by position and heads that park attention (arXiv 2410.06205, sections 5 and 6; tables 3 to 5).

    diagonal      mean over tokens i of alpha(i, i)
    previous      mean over tokens i of alpha(i, i - 1)
    first         mean over tokens i of alpha(i, 0): the sink

The first token has nothing but itself to attend to, and the second nothing before it but the first, which is the sink in most models; so row 0 counts in none,
row 1 not in "previous". Weights are made for a block of rows at a time; no map of N x N is kept.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from outrange.attention.tap import AttentionInputs

SCORES = ("diagonal", "previous", "first")
_CELLS = 1 << 23  # numbers in a block of weights: 32 MB


def rows(seen: AttentionInputs) -> list[slice]:
    """Blocks of rows whose weights fit into 32 MB, or one row."""
    batch, heads, length, _ = seen.query.shape
    step = max(1, _CELLS // (batch * heads * length))
    return [slice(begin, min(begin + step, length)) for begin in range(0, length, step)]


@dataclass
class HeadScores:
    """A watcher for ``tapped``: scores of every head over all texts seen."""

    _sums: dict[int, Tensor] = field(default_factory=dict)
    _counts: dict[int, Tensor] = field(default_factory=dict)

    def __call__(self, seen: AttentionInputs) -> None:
        heads, length = seen.query.shape[1:3]
        sums = torch.zeros(3, heads, dtype=torch.float64, device=seen.query.device)
        for block in rows(seen):
            weights = seen.weights(block)
            at = torch.arange(block.start, block.stop, device=weights.device)
            own = weights.diagonal(offset=block.start, dim1=-2, dim2=-1)
            earlier = weights.gather(-1, (at - 1).clamp_min(0)[None, None, :, None].expand(*weights.shape[:3], 1))[
                ..., 0
            ]
            sums[0] += own[..., at >= 1].sum((0, 2))
            sums[1] += earlier[..., at >= 2].sum((0, 2))
            sums[2] += weights[..., 0][..., at >= 1].sum((0, 2))
        counts = (
            torch.tensor([length - 1, length - 2, length - 1], dtype=torch.float64).clamp_min(0) * seen.query.shape[0]
        )
        self._sums[seen.layer] = self._sums.get(seen.layer, 0) + sums.cpu()
        self._counts[seen.layer] = self._counts.get(seen.layer, 0) + counts

    @property
    def layers(self) -> dict[int, dict[str, Tensor]]:
        """By layer, the scores (H,) by name."""
        return {
            index: {name: (sums[i] / self._counts[index][i].clamp_min(1)) for i, name in enumerate(SCORES)}
            for index, sums in sorted(self._sums.items())
        }


def kind(scores: dict[str, float]) -> str:
    """What a head is, if a score says so: above a third of its attention on itself or on the token before, above two thirds on the first."""
    if max(scores["diagonal"], scores["previous"]) > 1 / 3:
        return "diagonal" if scores["diagonal"] > scores["previous"] else "previous token"
    return "first token" if scores["first"] > 2 / 3 else ""
