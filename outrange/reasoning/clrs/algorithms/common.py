"""What the algorithms share: pointer chains, fresh arrays, and NumPy's own order where the published traces depend on it.

Functions marked ``compiled`` are compiled by Numba and kept on disk; with NUMBA_DISABLE_JIT=1 the same text runs as plain Python.
Loops are written out because array expressions take Numba seconds to compile and no less time to run.

Ties. The published package breaks them by ``np.argsort`` with its default kind, which is not stable: with AVX-512 even four equal keys may come out in
another order. So whenever keys tie, NumPy itself is asked (``_numpy_argsort``); without ties any correct sort gives its answer.
"""

from collections import namedtuple

import numpy as np
from numba import objmode

from outrange.core.errors import unknown
from outrange.reasoning.clrs.caching import compiled
from outrange.reasoning.clrs.specs import CLRS30, Spec

WHITE, GREY, BLACK = 0, 1, 2


def hints(spec: Spec | str):
    """The named tuple that an algorithm yields: one field a hint, in the order of the spec (a Spec, or the name of one of the thirty)."""
    if isinstance(spec, str):
        if spec not in CLRS30:
            raise unknown("hints", spec, CLRS30, "one of the thirty; give a Spec")
        spec = CLRS30[spec]
    return namedtuple("Hints", tuple(spec.hints))


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


@compiled
def identity(n):
    """n pointers, each to itself."""
    pointers = np.empty(n, np.int64)
    for i in range(n):
        pointers[i] = i
    return pointers


@compiled
def point_to_self(pointers):
    """Make each of the given pointers point to itself; returns them."""
    for i in range(pointers.size):
        pointers[i] = i
    return pointers


@compiled
def chain(n):
    """The constant predecessor chain of 0..n-1: each place points to the one before it, the first to itself."""
    pointers = np.empty(n, np.int64)
    for i in range(n):
        pointers[i] = max(i - 1, 0)
    return pointers


@compiled
def two_chains(string):
    """The chains of two strings laid end to end; ``string`` is 0 over the first and 1 over the second."""
    pointers = chain(string.size)
    pointers[first_of_second(string)] = first_of_second(string)
    return pointers


@compiled
def first_of_second(string):
    """Length of the first of two strings laid end to end, which is where the second begins."""
    length = 0
    while string[length] == 0:
        length += 1
    return length


@compiled
def chain_of(order, pointers):
    """Write the predecessor chain of the nodes ``order[0], order[1], …`` into ``pointers``; returns it."""
    pointers[order[0]] = order[0]
    for i in range(1, order.size):
        pointers[order[i]] = order[i - 1]
    return pointers


@compiled
def heap_of(order, size, pointers):
    """Write each node's parent in the binary heap of the first ``size`` places into ``pointers``; nodes outside point to themselves."""
    point_to_self(pointers)
    for i in range(1, size):
        pointers[order[i]] = order[(i - 1) // 2]
    return pointers


@compiled
def graph_of(A):
    """The 0/1 matrix of the edges of A, self loops always set."""
    n = A.shape[0]
    graph = np.zeros((n, n), np.int8)
    for i in range(n):
        for j in range(n):
            graph[i, j] = A[i, j] != 0 or i == j
    return graph


@compiled
def transpose(A):
    n = A.shape[0]
    result = np.empty((n, n))
    for i in range(n):
        for j in range(n):
            result[i, j] = A[j, i]
    return result


@compiled
def fill(target, source):
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
def cross(xi, yi, xj, yj, xk, yk):
    """Cross product of (j - i) and (k - i): positive where i, j, k turn left."""
    return (xj - xi) * (yk - yi) - (yj - yi) * (xk - xi)


@compiled
def _numpy_argsort(keys):
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
        moving, i = order[j], j
        while i > 0 and keys[order[i - 1]] > keys[moving]:
            order[i] = order[i - 1]
            i -= 1
        order[i] = moving
    for i in range(1, n):
        if keys[order[i - 1]] == keys[order[i]]:
            return _numpy_argsort(keys)
    return order


@compiled
def negative(x):
    """-x, for sorting in descending order."""
    result = np.empty(x.size)
    for i in range(x.size):
        result[i] = -x[i]
    return result


@compiled
def first_in_queue(keys, in_queue):
    """The queued node with the smallest key (an unqueued one if there is none): ``argsort(keys + (1 - in_queue) * 1e9)[0]``, ties as NumPy breaks them."""
    best, least, tied = 0, keys[0] + (1.0 - in_queue[0]) * 1e9, False
    for i in range(1, keys.size):
        key = keys[i] + (1.0 - in_queue[i]) * 1e9
        if key < least:
            best, least, tied = i, key, False
        elif key == least:
            tied = True
    if not tied or in_queue[best] == 0:
        return best
    penalised = np.empty(keys.size)
    for i in range(keys.size):
        penalised[i] = keys[i] + (1.0 - in_queue[i]) * 1e9
    return _numpy_argsort(penalised)[0]
