"""How the inputs of the thirty are drawn: the published samplers' own draws, in their order (docs/papers/clrs.md).

Every function fills the given arrays, one an argument of the algorithm, samples first. ``scale`` is 10**k when floats are to be cut to k decimals (toward
zero, after drawing and before the algorithm runs), else 0.
"""

import numpy as np
from numba import objmode

from outrange.reasoning.clrs.algorithms.common import cross_product
from outrange.reasoning.clrs.caching import compiled
from outrange.reasoning.clrs.rng import begin, below, coin, reals, shuffled

PAIR_EDGE = 1e-3


@compiled
def truncate(values, scale):
    """Cut the entries of a vector to the decimals of ``scale``, toward zero."""
    if scale != 0.0:
        for i in range(values.size):
            values[i] = np.trunc(values[i] * scale) / scale


@compiled
def keys(rng, key, scale, low, high):
    """Uniform keys: sorting, minimum, quickselect, maximum subarray, matrix chain."""
    for b in range(key.shape[0]):
        begin(rng, b)
        reals(rng, key[b], low, high)
    truncate(key.reshape(-1), scale)


@compiled
def sorted_keys(rng, key, target, scale, low, high):
    """Sorted uniform keys and one target: binary search."""
    for b in range(target.size):
        begin(rng, b)
        reals(rng, key[b], low, high)
        key[b].sort()
        reals(rng, target[b : b + 1], low, high)
    truncate(key.reshape(-1), scale)
    truncate(target, scale)


@compiled
def intervals(rng, s, f, scale, low, high):
    """Start and finish times: the smaller and the larger of two uniform draws each."""
    count, length = s.shape
    for b in range(count):
        begin(rng, b)
        reals(rng, s[b], low, high)
        reals(rng, f[b], low, high)
        for i in range(length):
            s[b, i], f[b, i] = min(s[b, i], f[b, i]), max(s[b, i], f[b, i])
    truncate(s.reshape(-1), scale)
    truncate(f.reshape(-1), scale)


@compiled
def tasks(rng, d, w, scale, max_deadline, low, high):
    """Deadlines 1..max_deadline, not normalised, and uniform weights."""
    count, length = d.shape
    for b in range(count):
        begin(rng, b)
        for i in range(length):
            d[b, i] = below(rng, max_deadline) + 1
        reals(rng, w[b], low, high)
    truncate(w.reshape(-1), scale)


@compiled
def _numpy_sum(values):
    """``np.sum`` itself, which adds in an order of its own: the last bits of the probabilities depend on it."""
    with objmode(total="float64"):
        total = np.sum(values)
    return total


@compiled
def key_and_gap_probabilities(rng, p, q, scale):
    """n key and n + 1 gap probabilities that sum to 1 (before any truncation); a 0 pads the keys."""
    count, length = p.shape[0], p.shape[1] - 1
    both = np.empty(2 * length + 1)
    for b in range(count):
        begin(rng, b)
        reals(rng, both, 0.0, 1.0)
        total = _numpy_sum(both)
        for i in range(length):
            p[b, i] = both[i] / total
        p[b, length] = 0.0
        for i in range(length + 1):
            q[b, i] = both[length + i] / total
    truncate(p.reshape(-1), scale)
    truncate(q.reshape(-1), scale)


@compiled
def two_strings(rng, string, key, scale, length_2, chars):
    """Two random strings, the second of ``length_2`` letters: longest common subsequence."""
    count, length = key.shape
    for b in range(count):
        begin(rng, b)
        for i in range(length):
            key[b, i] = below(rng, chars)
            string[b, i] = i >= length - length_2


@compiled
def haystack_and_needle(rng, string, key, scale, length_needle, chars):
    """A needle written into a random haystack. A negative needle length -L draws one of 1..L per sample.

    The needle never stands at the very end of the haystack: the place is drawn below its last one.
    """
    count, length = key.shape
    for b in range(count):
        begin(rng, b)
        m = length_needle if length_needle > 0 else 1 + below(rng, -length_needle)
        h = length - m
        for i in range(h, length):
            key[b, i] = below(rng, chars)
            string[b, i] = 1
        for i in range(h):
            key[b, i] = below(rng, chars)
            string[b, i] = 0
        place = below(rng, h - m)
        for i in range(m):
            key[b, place + i] = key[b, h + i]


@compiled
def _erdos_renyi(rng, M, p, directed, acyclic, scratch):
    """Edges with probability p; undirected: where both directions were drawn, so with p squared; self loops stay. Acyclic: upper triangle, nodes shuffled."""
    n = M.shape[0]
    reals(rng, scratch, 0.0, 1.0)
    cut = np.exp(np.log(1.0 - p)) if p <= 0.5 else np.exp(np.log(1.0 - (1.0 - p)))
    if acyclic:
        place = np.empty(n, np.int64)
        order = shuffled(rng, n)
        for i in range(n):
            place[order[i]] = i
            for j in range(n):
                M[i, j] = 0
        for i in range(n):
            for j in range(i + 1, n):
                M[place[i], place[j]] = (scratch[i * n + j] > cut) == (p <= 0.5)
    elif directed:
        for i in range(n):  # rng.coin for all pairs at once
            for j in range(n):
                M[i, j] = (scratch[i * n + j] > cut) == (p <= 0.5)
    else:
        for i in range(n):
            for j in range(i + 1):
                M[i, j] = ((scratch[i * n + j] > cut) == (p <= 0.5)) & ((scratch[j * n + i] > cut) == (p <= 0.5))
                M[j, i] = M[i, j]


@compiled
def graphs(rng, A, scale, p, directed, acyclic):
    """Erdos-Renyi graphs without weights; ``p`` lists the probabilities to choose from."""
    scratch = np.empty(A[0].size)
    for b in range(A.shape[0]):
        begin(rng, b)
        _erdos_renyi(rng, A[b], p[below(rng, p.size)], directed, acyclic, scratch)


@compiled
def graphs_with_source(rng, s, A, scale, p):
    """Undirected Erdos-Renyi graphs without weights, and a source: breadth-first search."""
    scratch = np.empty(A[0].size)
    for b in range(s.size):
        begin(rng, b)
        _erdos_renyi(rng, A[b], p[below(rng, p.size)], False, False, scratch)
        s[b] = below(rng, A.shape[1])


@compiled
def _weigh(rng, M, low, high, directed, scale, scratch):
    """Multiply edges by uniform weights; undirected: by sqrt(w v + 0.001) of the two directions' draws."""
    n = M.shape[0]
    reals(rng, scratch, low, high)
    for i in range(n):
        if directed:
            for j in range(n):
                M[i, j] *= scratch[i * n + j]
        else:
            for j in range(i + 1):
                if M[i, j] != 0:
                    M[i, j] = np.sqrt(scratch[i * n + j] * scratch[j * n + i] + PAIR_EDGE)
                    M[j, i] = M[i, j]
    truncate(M.reshape(-1), scale)


@compiled
def weighted_graphs(rng, A, scale, p, low, high):
    """Undirected weighted Erdos-Renyi graphs: Kruskal, Floyd-Warshall."""
    scratch = np.empty(A[0].size)
    for b in range(A.shape[0]):
        begin(rng, b)
        _erdos_renyi(rng, A[b], p[below(rng, p.size)], False, False, scratch)
        _weigh(rng, A[b], low, high, False, scale, scratch)


@compiled
def weighted_graphs_with_source(rng, s, A, scale, p, low, high, directed):
    """Weighted Erdos-Renyi graphs, directed ones acyclic, and a source: Prim, Bellman-Ford, Dijkstra, DAG shortest paths."""
    scratch = np.empty(A[0].size)
    for b in range(s.size):
        begin(rng, b)
        _erdos_renyi(rng, A[b], p[below(rng, p.size)], directed, directed, scratch)
        _weigh(rng, A[b], low, high, directed, scale, scratch)
        s[b] = below(rng, A.shape[1])


@compiled
def communities(rng, A, scale, k, p, eps):
    """k dense directed blocks; an edge elsewhere appears, one inside a block disappears, with probability eps; no edge back to an earlier block; shuffled."""
    count, length = A.shape[0], A.shape[1]
    block_size = length // k
    scratch = np.empty(length * length)
    for b in range(count):
        begin(rng, b)
        probability = p[below(rng, p.size)]
        present, toggle = np.zeros((length, length)), np.zeros((length, length))
        for block in range(k):
            start = block * block_size
            stop = length if block == k - 1 else start + block_size
            inside = np.zeros((stop - start, stop - start))
            _erdos_renyi(rng, inside, probability, True, False, scratch[: inside.size])
            for i in range(start, stop):
                for j in range(start, stop):
                    present[i, j] = inside[i - start, j - start]
        _erdos_renyi(rng, toggle, eps, True, False, scratch)
        for i in range(length):
            for j in range(length):
                if toggle[i, j] > 0 and min(i // block_size, k - 1) <= min(j // block_size, k - 1):
                    present[i, j] = 1.0 - present[i, j]
        order = shuffled(rng, length)
        for i in range(length):
            for j in range(length):
                A[b, i, j] = present[order[i], order[j]]


@compiled
def _left_turn(x, y, i, j, k):
    return (y[k] - y[i]) * (x[j] - x[i]) > (y[j] - y[i]) * (x[k] - x[i])


@compiled
def segment_pairs(rng, x, y, scale, low, high):
    """Two segments that meet or not as a fair coin says: all four points are drawn again until they do as it says."""
    for b in range(x.shape[0]):
        begin(rng, b)
        wanted = coin(rng, 0.5) == 1
        meets = not wanted
        while meets != wanted:
            reals(rng, x[b], low, high)
            reals(rng, y[b], low, high)
            u, v = x[b], y[b]
            meets = _left_turn(u, v, 0, 2, 3) != _left_turn(u, v, 1, 2, 3) and _left_turn(u, v, 0, 1, 2) != _left_turn(
                u, v, 0, 1, 3
            )
    truncate(x.reshape(-1), scale)
    truncate(y.reshape(-1), scale)


@compiled
def _has_collinear(x, y, tolerance):
    n = x.size
    for i in range(n):
        for j in range(i + 1, n):
            for k in range(j + 1, n):
                if abs(cross_product(x[i], y[i], x[j], y[j], x[k], y[k])) < tolerance:
                    return True
    return False


@compiled
def disk_points(rng, x, y, scale, origin_x, origin_y, radius, attempts, tolerance):
    """Points uniform on a disk; a sample with three (nearly) collinear points, after truncation, is drawn again, ``attempts`` times at most (then a NaN).

    The published package truncates once before this test and, as for every other input, once after it. The second cut is not idle: 0.569 * 1000 is 568.99….
    """
    count, length = x.shape
    unit = np.empty(length)
    for b in range(count):
        begin(rng, b)
        for _ in range(attempts):
            reals(rng, x[b], 0.0, 2 * np.pi)
            reals(rng, unit, 0.0, 1.0)
            for i in range(length):
                angle, distance = x[b, i], radius * np.sqrt(unit[i])
                x[b, i], y[b, i] = origin_x + distance * np.cos(angle), origin_y + distance * np.sin(angle)
            truncate(x[b], scale)
            truncate(y[b], scale)
            if not _has_collinear(x[b], y[b], tolerance):
                break
        else:
            x[b, 0] = np.nan
        truncate(x[b], scale)
        truncate(y[b], scale)
