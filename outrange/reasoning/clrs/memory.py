"""Large arrays whose memory is used again once nobody holds them.

The first touch of a fresh page costs more than writing it ten times over, and traces are mostly writing. So blocks take their arrays from here: a piece of
memory is handed out again when the pool holds the only reference to it. A view holds its owner, so whatever a user keeps stays theirs.
"""

import os
import sys
import threading
from math import prod

import numpy as np

SMALL = 1 << 14  # below this the allocator is as good
IDLE = 64 << 20  # bytes kept for later use, about


class Pool:
    """``empty`` is ``np.empty`` with memory used again. Safe to call from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pieces: dict[int, list[np.ndarray]] = {}
        self._held = 0

    def empty(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        size = prod(shape) * dtype.itemsize
        if size < SMALL:
            return np.empty(shape, dtype)
        bucket = 1 << (size - 1).bit_length()
        with self._lock:
            pieces = self._pieces.setdefault(bucket, [])
            for k in range(len(pieces)):
                if sys.getrefcount(pieces[k]) == 2:  # the pool's list and the call itself
                    return pieces[k][:size].view(dtype).reshape(shape)
            piece = np.empty(bucket, np.uint8)
            if self._held + bucket > IDLE:
                self._drop_idle()
            if self._held + bucket <= IDLE:
                self._pieces[bucket].append(piece)
                self._held += bucket
        return piece[:size].view(dtype).reshape(shape)

    def _drop_idle(self) -> None:
        """Give up what nobody holds: other sizes are wanted now."""
        for bucket, pieces in self._pieces.items():
            kept = [pieces[k] for k in range(len(pieces)) if sys.getrefcount(pieces[k]) > 2]
            self._held -= bucket * (len(pieces) - len(kept))
            self._pieces[bucket] = kept


pool = Pool()
os.register_at_fork(
    after_in_child=lambda: setattr(pool, "_lock", threading.Lock())
)  # a thread of the parent's may have held it
