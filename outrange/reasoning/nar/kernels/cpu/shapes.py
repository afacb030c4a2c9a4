"""Rows in whole panels: features past h are 0 and stay 0, so that no kernel has a remainder loop; at widths that fit
nothing is copied.
"""

import numpy as np
from torch import Tensor
from torch.nn import functional

from outrange.reasoning.nar.kernels.cpu.gemm import PANEL


def panels(columns: int) -> int:
    """How many panels hold so many columns."""
    return -(-columns // PANEL)


def wide(columns: int) -> int:
    """The width in whole panels."""
    return panels(columns) * PANEL


def pitch(columns: int) -> int:
    """Floats from row to row of scratch: a cache line more than a power of two, so that columns do not meet in one
    cache set.
    """
    return wide(columns) + (16 if columns % 64 == 0 or wide(columns) % 64 == 0 else 0)


def padded(t: Tensor, width: int, height: int | None = None) -> Tensor:
    """Contiguous, with zeros up to ``width`` columns and ``height`` rows."""
    # widths of whole panels are the usual case, and nothing is copied then
    right, below = width - t.shape[-1], 0 if height is None else height - t.shape[-2]
    if right or below:
        t = functional.pad(t, (0, right) if height is None else (0, right, 0, below))
    return t.contiguous()


def crop(t: Tensor, width: int, height: int | None = None) -> Tensor:
    """The part without padding."""
    if height is not None and t.shape[-2] != height:
        t = t[..., :height, :]
    return t if t.shape[-1] == width else t[..., :width].contiguous()


def numpy(t: Tensor) -> np.ndarray:
    """The same memory for Numba."""
    return t.detach().numpy()


def unpacked(t: Tensor) -> Tensor:
    """Column panels (P, d, PANEL) as rows (d, P * PANEL)."""
    return t.transpose(0, 1).reshape(t.shape[1], t.shape[0] * PANEL)
