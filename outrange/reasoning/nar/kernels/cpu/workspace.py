"""Memory that is kept and used again: touching fresh pages costs more than a kernel's arithmetic.

A block goes back to the list of free ones when the last tensor or array on it dies: scratch when the kernel returns,
saved activations when autograd lets go of them, after backward or without one.
"""

import math
import threading
from collections import OrderedDict

import numpy as np
import torch
from torch import Tensor

#: Bytes of free blocks kept at most; beyond that the ones longest unused are given back to the system.
LIMIT = 512 << 20

_PAGE, _STAGGER = 1024, 176  # floats

_free: OrderedDict[int, list[np.ndarray]] = OrderedDict()  # by size; the size longest unused comes first
_lock = threading.RLock()  # a block may come back, by garbage collection, while this thread takes one
_kept = 0


class _Lease:
    """Owns a block while arrays refer to it."""

    def __init__(self, block: np.ndarray) -> None:
        self.block = block
        self.__array_interface__ = block.__array_interface__

    def __del__(self) -> None:
        if _give is not None:  # the interpreter is not going down
            _give(self.block)


def _give(block: np.ndarray) -> None:
    global _kept
    with _lock:
        _free.setdefault(block.nbytes, []).append(block)
        _free.move_to_end(block.nbytes)
        _kept += block.nbytes
        while _kept > LIMIT:
            size, blocks = next(iter(_free.items()))
            blocks.pop(0)
            _kept -= size
            if not blocks:
                del _free[size]


def _take(size: int) -> np.ndarray:
    """A block of the size's class (four in every octave), the last one given back first: it may still be in cache."""
    global _kept
    step = 1 << max(12, size.bit_length() - 3)
    size = -(-size // step) * step
    with _lock:
        blocks = _free.get(size)
        if blocks:
            _kept -= size
            block = blocks.pop()
            if not blocks:
                del _free[size]
            return block
    block = np.empty(size + 64, np.uint8)
    skip = -block.ctypes.data % 64
    return block[skip : skip + size]


def array(size: int) -> np.ndarray:
    """``size`` bytes, 64-aligned, with whatever they held last."""
    return np.asarray(_Lease(_take(max(size, 64))))[:size]


def tensor(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """An uninitialised tensor on such memory."""
    count = math.prod(shape)
    return torch.from_numpy(array(count * dtype.itemsize)).view(dtype).view(shape)


def arrays(*shapes: tuple[int, ...]) -> list[np.ndarray]:
    """Uninitialised float32 arrays of these shapes side by side, each 64-aligned and at another place within its page:
    a processor takes a load for one of what was just stored at the same place of another page, and waits.
    """
    counts = [math.prod(shape) for shape in shapes]
    starts, end = [], 0
    for i, count in enumerate(counts):
        end += (_STAGGER * i - end) % _PAGE
        starts.append(end)
        end += count
    memory = array(4 * end).view(np.float32)
    return [
        memory[start : start + count].reshape(shape) for start, count, shape in zip(starts, counts, shapes, strict=True)
    ]


def free() -> list[np.ndarray]:
    """The blocks now free."""
    with _lock:
        return [block for blocks in _free.values() for block in blocks]


def clear() -> None:
    """Give all free blocks back to the system."""
    global _kept
    with _lock:
        _free.clear()
        _kept = 0
