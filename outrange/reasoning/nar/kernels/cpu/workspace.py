"""Memory that is kept and used again: touching fresh pages costs more than a kernel's arithmetic.

A block goes back to the list of free ones when the last tensor or array on it dies: scratch when the kernel returns, saved activations when autograd lets go of
them, after backward or without one.
"""

import threading
from collections import OrderedDict

import numpy as np
import torch
from torch import Tensor

#: Bytes of free blocks kept at most; beyond that the ones longest unused are given back to the system.
LIMIT = 512 << 20

_free: OrderedDict[int, np.ndarray] = OrderedDict()  # by age
_lock = threading.RLock()  # a block may come back, by garbage collection, while this thread takes one
_kept = 0


class _Lease:
    """Owns a block while arrays refer to it."""

    def __init__(self, block: np.ndarray, size: int) -> None:
        self.block = block
        skip = -block.ctypes.data % 64
        self.__array_interface__ = {**block[skip : skip + size].__array_interface__}

    def __del__(self) -> None:
        _give(self.block)


def _give(block: np.ndarray) -> None:
    global _kept
    with _lock:
        _free[id(block)] = block
        _kept += block.nbytes
        while _kept > LIMIT:
            _kept -= _free.popitem(last=False)[1].nbytes


def _take(size: int) -> np.ndarray:
    """A block of the size's class (four in every octave), the last one given back first: it may still be in cache."""
    global _kept
    step = 1 << max(12, size.bit_length() - 3)
    wanted = -(-(size + 64) // step) * step
    with _lock:
        for key in reversed(_free):
            if _free[key].nbytes == wanted:
                _kept -= wanted
                return _free.pop(key)
    return np.empty(wanted, np.uint8)


def array(size: int) -> np.ndarray:
    """``size`` bytes, 64-aligned, with whatever they held last."""
    return np.asarray(_Lease(_take(max(size, 64)), max(size, 64)))


def tensor(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """An uninitialised tensor on such memory."""
    count = int(np.prod(shape, dtype=np.int64))
    return torch.from_numpy(array(count * dtype.itemsize)).view(dtype)[:count].view(shape)


def arrays(*shapes: tuple[int, ...]) -> list[np.ndarray]:
    """Uninitialised float32 arrays of these shapes side by side, each 64-aligned."""
    counts = [-(-int(np.prod(shape, dtype=np.int64)) // 16) * 16 for shape in shapes]
    memory, start, made = array(4 * sum(counts)).view(np.float32), 0, []
    for shape, count in zip(shapes, counts, strict=True):
        made.append(memory[start : start + int(np.prod(shape, dtype=np.int64))].reshape(shape))
        start += count
    return made


def free() -> list[np.ndarray]:
    """The blocks now free."""
    with _lock:
        return list(_free.values())


def clear() -> None:
    """Give all free blocks back to the system."""
    global _kept
    with _lock:
        _free.clear()
        _kept = 0
