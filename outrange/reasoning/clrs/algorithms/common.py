"""What the algorithms share: predecessor pointers, fresh arrays, and NumPy's own sorting order where the published
traces depend on it.

Functions marked ``compiled`` are compiled by Numba and kept on disk; with NUMBA_DISABLE_JIT=1 the same text runs as
plain Python. Loops are written out because array expressions take Numba seconds to compile and no less time to run.

Ties. The published package breaks them by ``np.argsort`` with its default kind, which is not stable: with AVX-512 even
four equal keys may come out in another order. So whenever keys tie, NumPy itself is asked (``_numpy_argsort``); without
ties any correct sort gives its answer.
"""

import functools
from collections import namedtuple

import numpy as np
from numba import objmode

from outrange.core.compiled import kernel
from outrange.core.errors import unknown
from outrange.reasoning.clrs.specs import CLRS30, Spec

#: The decorator of every helper function that an algorithm calls; nothing outside Numba needs a C entry to them.
compiled = functools.partial(kernel, no_cfunc_wrapper=True)

WHITE, GREY, BLACK = 0, 1, 2  # a node of a depth-first search: not discovered, discovered, finished

#: What the published priority queue adds to the key of a node that is not queued; weights must stay far below it.
UNQUEUED_PENALTY = 1e9


def hints(spec: Spec | str):
    """The named tuple that an algorithm yields: one field a hint, in the spec's order (a Spec, or the name of one of
    the thirty).
    """
    if isinstance(spec, str):
        if spec not in CLRS30:
            raise unknown("hints", spec, CLRS30, "one of the thirty; give a Spec")
        spec = CLRS30[spec]
    return namedtuple("Hints", tuple(spec.hints))


# ---- fresh arrays, with the dtypes that the recorder copies without conversion


@compiled
def zeros(n):
    """n reals, 0."""
    return np.zeros(n)


@compiled
def mask(n):
    """n cells of a mask or of a categorical, 0."""
    return np.zeros(n, np.int8)


@compiled
def matrix(n):
    """n x n reals, 0."""
    return np.zeros((n, n))


@compiled
def mask_matrix(n):
    """n x n cells of a mask, 0."""
    return np.zeros((n, n), np.int8)


# ---- pointers from node to node


@compiled
def identity(n):
    """n pointers, each to itself."""
    pointers = np.empty(n, np.int64)
    for i in range(n):
        pointers[i] = i
    return pointers


@compiled
def point_to_self(pointers):
    """Make each of the pointers point to itself; returns them."""
    for i in range(pointers.size):
        pointers[i] = i
    return pointers


@compiled
def array_predecessors(n):
    """The predecessors of an array that keeps its order: each place points to the one before, the first to itself."""
    predecessor = np.empty(n, np.int64)
    for i in range(n):
        predecessor[i] = max(i - 1, 0)
    return predecessor


@compiled
def string_predecessors(string):
    """The predecessors in two strings laid end to end; ``string`` is 0 over the first and 1 over the second."""
    predecessor = array_predecessors(string.size)
    start = second_string_start(string)
    predecessor[start] = start  # the second string has a first letter of its own
    return predecessor


@compiled
def second_string_start(string):
    """Where the second of two strings laid end to end begins, which is the length of the first."""
    length = 0
    while string[length] == 0:
        length += 1
    return length


@compiled
def write_predecessors(order, predecessor):
    """Write the predecessor of each of the nodes ``order[0], order[1], …`` into ``predecessor``; returns it."""
    predecessor[order[0]] = order[0]
    for i in range(1, order.size):
        predecessor[order[i]] = order[i - 1]
    return predecessor


@compiled
def write_heap_parents(order, heap_size, parent):
    """Write each node's parent in the heap of the first ``heap_size`` places; nodes outside point to themselves."""
    point_to_self(parent)
    for i in range(1, heap_size):
        parent[order[i]] = order[(i - 1) // 2]
    return parent


# ---- matrices


@compiled
def edge_mask(A):
    """The 0/1 matrix of the edges of A, self loops always set."""
    n = A.shape[0]
    edges = np.zeros((n, n), np.int8)
    for i in range(n):
        for j in range(n):
            edges[i, j] = A[i, j] != 0 or i == j
    return edges


@compiled
def transpose(A):
    """A copy of A with rows and columns exchanged: every edge turned round."""
    n = A.shape[0]
    result = np.empty((n, n))
    for i in range(n):
        for j in range(n):
            result[i, j] = A[j, i]
    return result


@compiled
def copy_into(target, source):
    """Copy a matrix into another of the same shape."""
    for i in range(target.shape[0]):
        for j in range(target.shape[1]):
            target[i, j] = source[i, j]


@compiled
def equal(a, b):
    """Whether two matrices hold the same numbers."""
    for i in range(a.shape[0]):
        for j in range(a.shape[1]):
            if a[i, j] != b[i, j]:
                return False
    return True


@compiled
def cross_product(xi, yi, xj, yj, xk, yk):
    """Cross product of (j - i) and (k - i): positive where i, j, k turn left."""
    return (xj - xi) * (yk - yi) - (yj - yi) * (xk - xi)


# ---- sorting, and the priority queue of Prim and Dijkstra


@compiled
def _numpy_argsort(keys):
    """``np.argsort`` itself, run by the interpreter from inside compiled code."""
    with objmode(order="int64[:]"):
        order = np.argsort(keys)
    return order


@compiled
def argsort(keys):
    """The order that sorts ``keys`` ascending; ties as NumPy's default sort breaks them (see the top of this file)."""
    n = keys.size
    if n > 32:
        return _numpy_argsort(keys)
    order = identity(n)
    for j in range(1, n):  # insertion sort, which for so few is faster than to leave compiled code
        node, i = order[j], j
        while i > 0 and keys[order[i - 1]] > keys[node]:
            order[i] = order[i - 1]
            i -= 1
        order[i] = node
    for i in range(1, n):
        if keys[order[i - 1]] == keys[order[i]]:
            return _numpy_argsort(keys)  # a tie: only NumPy knows how it breaks it
    return order


@compiled
def negate(values):
    """-values, for sorting in descending order."""
    result = np.empty(values.size)
    for i in range(values.size):
        result[i] = -values[i]
    return result


@compiled
def queue_minimum(keys, in_queue):
    """The queued node with the smallest key, or an unqueued one if the queue is empty; ties as NumPy breaks them.

    The published package computes it as ``np.argsort(keys + (1 - in_queue) * 1e9)[0]``.
    """
    minimum, minimum_key, tied = 0, keys[0] + (1.0 - in_queue[0]) * UNQUEUED_PENALTY, False
    for i in range(1, keys.size):
        key = keys[i] + (1.0 - in_queue[i]) * UNQUEUED_PENALTY
        if key < minimum_key:
            minimum, minimum_key, tied = i, key, False
        elif key == minimum_key:
            tied = True
    if not tied or in_queue[minimum] == 0:  # with an empty queue the search is over, whichever node is returned
        return minimum
    penalised = np.empty(keys.size)
    for i in range(keys.size):
        penalised[i] = keys[i] + (1.0 - in_queue[i]) * UNQUEUED_PENALTY
    return _numpy_argsort(penalised)[0]
