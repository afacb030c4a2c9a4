"""A sum tree: draw leaves in proportion to their values, change values, both in O(log n) (as prioritized replay needs
it: Schaul et al. 2016, appendix B.2.1).

The tree is one array of 2 x base numbers, base a power of two: node i has children 2i and 2i + 1, the root is node 1,
leaf k is node base + k. A parent is always made anew as the sum of its children, never corrected by a difference; so
rounding does not add up, and equal leaves give equal trees.
"""

import numpy as np

from outrange.core.checks import whole
from outrange.core.compiled import kernel
from outrange.core.errors import BadInput

LARGEST = 1e100  # of a value: a sum of 10^200 of them is still finite


class SumTree:
    """Values, none negative, of ``size`` leaves (float64), all zero at first."""

    def __init__(self, size: int) -> None:
        self.size = whole("size", size, 1)
        self._base = 1 << (size - 1).bit_length()
        self._nodes = np.zeros(2 * self._base)
        self._positive = 0

    @staticmethod
    def bytes_of(size: int) -> int:
        """What a tree over ``size`` leaves takes."""
        return 16 << (size - 1).bit_length()

    @property
    def total(self) -> float:
        """The sum of all values."""
        return float(self._nodes[1])

    @property
    def positive(self) -> int:
        """How many leaves have a value above zero."""
        return self._positive

    @property
    def values(self) -> np.ndarray:
        """All values (size,), a copy."""
        return self._nodes[self._base : self._base + self.size].copy()

    def value(self, indices: np.ndarray) -> np.ndarray:
        """The values (K,) of leaves ``indices`` (K,)."""
        return self._nodes[self._base + indices]

    def update(self, indices: np.ndarray, values: np.ndarray) -> None:
        """Give leaves ``indices`` (K,) the ``values`` (K,); where a leaf is named twice the last value stays.

        Raises:
            BadInput: a leaf that is not there, or a value that is negative, not finite or above 1e100; nothing is
                changed then.
        """
        indices, values = np.array(indices), np.array(values, np.float64)
        if indices.ndim != 1 or indices.shape != values.shape or (indices.dtype.kind not in "iu" and indices.size):
            actual = f"{indices.dtype} {indices.shape} beside values {values.shape}"
            raise BadInput(f"indices: {actual} are not allowed; give as many whole numbers as values")
        outside = (indices < 0) | (indices >= self.size)
        if outside.any():
            raise BadInput(f"indices: {indices[outside][0]} is not allowed; the leaves are 0 to {self.size - 1}")
        wrong = ~((values >= 0) & (values <= LARGEST))
        if wrong.any():
            raise BadInput(f"values: {values[wrong][0]} is not allowed; a value must be from 0 to {LARGEST:g}")
        self.put(indices.astype(np.int64, copy=False), values)

    def put(self, indices: np.ndarray, values: np.ndarray) -> None:
        """``update`` without looking: int64 and float64, contiguous, known to be right."""
        self._positive += _update(self._nodes, self._base, indices, values)

    def find(self, prefix: np.ndarray) -> np.ndarray:
        """The leaves (K,) int64 in which the running sum of the values first exceeds ``prefix`` (K,), numbers from 0 up
        to the total.

        A leaf of value zero is never found, whatever rounding does to the prefix: a prefix below 0 gives the first leaf
        with a value, one at the total or above it the last.

        Raises:
            BadInput: all values are zero.
        """
        if not self._positive:
            raise BadInput("find: every value is zero; give a leaf a value first")
        return _find(self._nodes, self._base, np.array(prefix, np.float64, ndmin=1))


@kernel(nogil=True)
def _update(nodes, base, indices, values):
    """Set leaves, one after the other, and the sums above them; by how much the number of positive leaves grew."""
    grown = 0
    for k in range(indices.size):
        node = base + indices[k]
        grown += int(values[k] > 0.0) - int(nodes[node] > 0.0)
        nodes[node] = values[k]
        node >>= 1
        while node >= 1:  # up to the root
            nodes[node] = nodes[2 * node] + nodes[2 * node + 1]
            node >>= 1
    return grown


@kernel(nogil=True)
def _find(nodes, base, prefix):
    """Walk down; a node with a sum above zero has a child with one, and only such children are entered."""
    leaves = np.empty(prefix.size, np.int64)
    for k in range(prefix.size):
        rest, node = prefix[k], 1
        while node < base:
            node *= 2
            left = nodes[node]
            if left <= 0.0 or (rest >= left and nodes[node + 1] > 0.0):
                rest -= left
                node += 1
        leaves[k] = node - base
    return leaves
