"""The transitions that an embedding and random network distillation learn from: the last steps of each sequence (arXiv
2002.06038, table 6)."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from outrange.exploration.learning.replay import Sequences


@dataclass(frozen=True, kw_only=True, eq=False)
class Transitions:
    """N steps that lead somewhere, x_t, a_t, x_{t+1} of one episode. A step's end is most often the next one's
    beginning, so each observation is here once."""

    observations: Tensor
    """(M, *shape)"""
    before: Tensor
    """(N,) int64: which observation is x_t"""
    after: Tensor
    """(N,) int64: which observation is x_{t+1}"""
    action: Tensor
    """(N,) int64: the executed action"""


def last_transitions(sequences: Sequences, steps: int, device: torch.device) -> Transitions | None:
    """The transitions among the last ``steps`` steps of each sequence; None if there are none."""
    usable = ~sequences.filler[:-1] & ~sequences.terminated[:-1]
    # counted from the end of each sequence, past the padding
    inside = np.logical_or.accumulate(~(sequences.filler & sequences.first)[-2::-1], 0)
    usable &= (inside.cumsum(0) <= steps)[::-1]
    if not usable.any():
        return None
    # the rows that begin or end a transition, numbered in the order in which they lie
    needed = np.zeros(sequences.filler.shape, bool)
    needed[:-1] |= usable
    needed[1:] |= usable
    number = needed.cumsum().reshape(needed.shape) - 1
    return Transitions(
        observations=torch.from_numpy(sequences.observation[needed]).to(device),
        before=torch.from_numpy(number[:-1][usable]).to(device),
        after=torch.from_numpy(number[1:][usable]).to(device),
        action=torch.from_numpy(sequences.executed_action[:-1][usable]).long().to(device),
    )
