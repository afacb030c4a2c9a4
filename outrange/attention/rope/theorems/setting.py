"""What the checks of ``theorems`` share: the head they are tried on, and how a place is written."""

import math

from torch import Tensor

HEAD_DIM, THETA = 64, 1e4
"""dimension and base of the head in every check, unless its hypotheses name others"""


def place_text(place: float) -> str:
    """A distance or position in words; infinity stands for none."""
    return "nowhere" if place == math.inf else f"at {place:,.0f}"


def first_true(mask: Tensor, offset: int) -> float:
    """The first index (plus ``offset``) at which a mask (N,) is true; infinity if nowhere."""
    indices = mask.nonzero()
    return float(indices[0].item() + offset) if len(indices) else math.inf
