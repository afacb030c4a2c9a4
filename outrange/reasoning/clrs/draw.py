"""How the inputs of the thirty are drawn: the published samplers' own draws, in their order (docs/papers/clrs.md).

Every function fills the arrays it is given, one an argument of the algorithm, samples first. ``decimal_scale`` is 10**k
when floats are to be cut to k decimals (toward zero, after drawing and before the algorithm runs), else 0.
"""

import numpy as np
from numba import objmode

from outrange.reasoning.clrs.algorithms.common import compiled, cross_product
from outrange.reasoning.clrs.rng import begin_sample, bernoulli, fill_uniform, integer_below, permutation

PAIR_OFFSET = 1e-3  # keeps an undirected weight above 0, since 0 would mean that there is no edge


@compiled
def truncate(values, decimal_scale):
    """Cut the entries of a vector to the decimals of ``decimal_scale``, toward zero."""
    if decimal_scale != 0.0:
        for i in range(values.size):
            values[i] = np.trunc(values[i] * decimal_scale) / decimal_scale


# ---- arrays


@compiled
def keys(rng, key, decimal_scale, low, high):
    """Uniform keys: sorting, minimum, quickselect, maximum subarray, matrix chain."""
    for b in range(key.shape[0]):
        begin_sample(rng, b)
        fill_uniform(rng, key[b], low, high)
    truncate(key.reshape(-1), decimal_scale)


@compiled
def sorted_keys(rng, key, target, decimal_scale, low, high):
    """Sorted uniform keys and one target: binary search."""
    for b in range(target.size):
        begin_sample(rng, b)
        fill_uniform(rng, key[b], low, high)
        key[b].sort()
        fill_uniform(rng, target[b : b + 1], low, high)
    truncate(key.reshape(-1), decimal_scale)
    truncate(target, decimal_scale)


@compiled
def intervals(rng, s, f, decimal_scale, low, high):
    """Start and finish times: the smaller and the larger of two uniform draws each."""
    count, length = s.shape
    for b in range(count):
        begin_sample(rng, b)
        fill_uniform(rng, s[b], low, high)
        fill_uniform(rng, f[b], low, high)
        for i in range(length):
            s[b, i], f[b, i] = min(s[b, i], f[b, i]), max(s[b, i], f[b, i])
    truncate(s.reshape(-1), decimal_scale)
    truncate(f.reshape(-1), decimal_scale)


@compiled
def tasks(rng, d, w, decimal_scale, max_deadline, low, high):
    """Deadlines 1..max_deadline, not normalised, and uniform weights."""
    count, length = d.shape
    for b in range(count):
        begin_sample(rng, b)
        for i in range(length):
            d[b, i] = integer_below(rng, max_deadline) + 1
        fill_uniform(rng, w[b], low, high)
    truncate(w.reshape(-1), decimal_scale)


@compiled
def _numpy_sum(values):
    """``np.sum`` itself, which adds in an order of its own: the last bits of the probabilities depend on it."""
    with objmode(total="float64"):
        total = np.sum(values)
    return total


@compiled
def key_and_gap_probabilities(rng, p, q, decimal_scale):
    """n key and n + 1 gap probabilities that sum to 1 (before any truncation); a 0 pads the keys."""
    count, length = p.shape[0], p.shape[1] - 1
    weights = np.empty(2 * length + 1)  # of the keys, then of the gaps
    for b in range(count):
        begin_sample(rng, b)
        fill_uniform(rng, weights, 0.0, 1.0)
        total = _numpy_sum(weights)
        for i in range(length):
            p[b, i] = weights[i] / total
        p[b, length] = 0.0
        for i in range(length + 1):
            q[b, i] = weights[length + i] / total
    truncate(p.reshape(-1), decimal_scale)
    truncate(q.reshape(-1), decimal_scale)


# ---- strings


@compiled
def two_strings(rng, string, key, decimal_scale, length_2, chars):
    """Two random strings, the second of ``length_2`` letters: longest common subsequence."""
    count, length = key.shape
    for b in range(count):
        begin_sample(rng, b)
        for i in range(length):
            key[b, i] = integer_below(rng, chars)
            string[b, i] = i >= length - length_2


@compiled
def haystack_and_needle(rng, string, key, decimal_scale, length_needle, chars):
    """A needle written into a random haystack. A negative needle length -L draws one of 1..L per sample.

    The needle never stands at the very end of the haystack: the place is drawn below its last one.
    """
    count, length = key.shape
    for b in range(count):
        begin_sample(rng, b)
        needle_length = length_needle if length_needle > 0 else 1 + integer_below(rng, -length_needle)
        haystack_length = length - needle_length
        # The needle is drawn before the haystack, although it stands behind it.
        for i in range(haystack_length, length):
            key[b, i] = integer_below(rng, chars)
            string[b, i] = 1
        for i in range(haystack_length):
            key[b, i] = integer_below(rng, chars)
            string[b, i] = 0
        place = integer_below(rng, haystack_length - needle_length)
        for i in range(needle_length):
            key[b, place + i] = key[b, haystack_length + i]


# ---- graphs


@compiled
def _erdos_renyi(rng, A, p, directed, acyclic, scratch):
    """An Erdos-Renyi graph: every entry of A is an edge with probability p. ``scratch`` holds a number for each entry.

    Undirected: an edge where both directions were drawn, so with p squared; self loops stay. Acyclic: upper triangle,
    nodes shuffled.
    """
    n = A.shape[0]
    fill_uniform(rng, scratch, 0.0, 1.0)
    # rng.bernoulli for all entries at once: above p = 1/2 it draws the complement.
    threshold = np.exp(np.log(1.0 - p)) if p <= 0.5 else np.exp(np.log(1.0 - (1.0 - p)))
    if acyclic:
        place = np.empty(n, np.int64)
        order = permutation(rng, n)
        for i in range(n):
            place[order[i]] = i
            for j in range(n):
                A[i, j] = 0
        for i in range(n):
            for j in range(i + 1, n):
                A[place[i], place[j]] = (scratch[i * n + j] > threshold) == (p <= 0.5)
    elif directed:
        for i in range(n):
            for j in range(n):
                A[i, j] = (scratch[i * n + j] > threshold) == (p <= 0.5)
    else:
        for i in range(n):
            for j in range(i + 1):
                forth = (scratch[i * n + j] > threshold) == (p <= 0.5)
                back = (scratch[j * n + i] > threshold) == (p <= 0.5)
                A[i, j] = forth & back
                A[j, i] = A[i, j]


@compiled
def graphs(rng, A, decimal_scale, p, directed, acyclic):
    """Erdos-Renyi graphs without weights; ``p`` lists the probabilities to choose from."""
    scratch = np.empty(A[0].size)
    for b in range(A.shape[0]):
        begin_sample(rng, b)
        _erdos_renyi(rng, A[b], p[integer_below(rng, p.size)], directed, acyclic, scratch)


@compiled
def graphs_with_source(rng, s, A, decimal_scale, p):
    """Undirected Erdos-Renyi graphs without weights, and a source: breadth-first search."""
    scratch = np.empty(A[0].size)
    for b in range(s.size):
        begin_sample(rng, b)
        _erdos_renyi(rng, A[b], p[integer_below(rng, p.size)], False, False, scratch)
        s[b] = integer_below(rng, A.shape[1])


@compiled
def _multiply_weights(rng, A, low, high, directed, decimal_scale, scratch):
    """Multiply edges by uniform weights; undirected: by sqrt(w v + 0.001) of the two directions' draws."""
    n = A.shape[0]
    fill_uniform(rng, scratch, low, high)
    for i in range(n):
        if directed:
            for j in range(n):
                A[i, j] *= scratch[i * n + j]
        else:
            for j in range(i + 1):
                if A[i, j] != 0:
                    A[i, j] = np.sqrt(scratch[i * n + j] * scratch[j * n + i] + PAIR_OFFSET)
                    A[j, i] = A[i, j]
    truncate(A.reshape(-1), decimal_scale)


@compiled
def weighted_graphs(rng, A, decimal_scale, p, low, high):
    """Undirected weighted Erdos-Renyi graphs: Kruskal, Floyd-Warshall."""
    scratch = np.empty(A[0].size)
    for b in range(A.shape[0]):
        begin_sample(rng, b)
        _erdos_renyi(rng, A[b], p[integer_below(rng, p.size)], False, False, scratch)
        _multiply_weights(rng, A[b], low, high, False, decimal_scale, scratch)


@compiled
def weighted_graphs_with_source(rng, s, A, decimal_scale, p, low, high, directed):
    """Weighted Erdos-Renyi graphs, directed ones acyclic, and a source: Prim, Bellman-Ford, Dijkstra, DAG shortest
    paths.
    """
    scratch = np.empty(A[0].size)
    for b in range(s.size):
        begin_sample(rng, b)
        _erdos_renyi(rng, A[b], p[integer_below(rng, p.size)], directed, directed, scratch)
        _multiply_weights(rng, A[b], low, high, directed, decimal_scale, scratch)
        s[b] = integer_below(rng, A.shape[1])


@compiled
def communities(rng, A, decimal_scale, k, p, eps):
    """k dense directed blocks, nodes shuffled: strongly connected components.

    An edge elsewhere appears, one inside a block disappears, with probability eps; no edge leads back to an earlier
    block.
    """
    count, length = A.shape[0], A.shape[1]
    block_size = length // k
    scratch = np.empty(length * length)
    for b in range(count):
        begin_sample(rng, b)
        probability = p[integer_below(rng, p.size)]
        present, toggle = np.zeros((length, length)), np.zeros((length, length))
        # The blocks on the diagonal; the last takes what division leaves over.
        for block in range(k):
            start = block * block_size
            stop = length if block == k - 1 else start + block_size
            inside = np.zeros((stop - start, stop - start))
            _erdos_renyi(rng, inside, probability, True, False, scratch[: inside.size])
            for i in range(start, stop):
                for j in range(start, stop):
                    present[i, j] = inside[i - start, j - start]
        # Toggle single edges, but none that leads back.
        _erdos_renyi(rng, toggle, eps, True, False, scratch)
        for i in range(length):
            for j in range(length):
                if toggle[i, j] > 0 and min(i // block_size, k - 1) <= min(j // block_size, k - 1):
                    present[i, j] = 1.0 - present[i, j]
        order = permutation(rng, length)
        for i in range(length):
            for j in range(length):
                A[b, i, j] = present[order[i], order[j]]


# ---- points


@compiled
def _is_left_turn(x, y, i, j, k):
    """Whether i, j, k turn left, as the published sampler compares it."""
    return (y[k] - y[i]) * (x[j] - x[i]) > (y[j] - y[i]) * (x[k] - x[i])


@compiled
def segment_pairs(rng, x, y, decimal_scale, low, high):
    """Two segments that meet or not as a fair coin says: all four points are drawn again until they do as it says."""
    for b in range(x.shape[0]):
        begin_sample(rng, b)
        should_meet = bernoulli(rng, 0.5) == 1
        meet = not should_meet
        while meet != should_meet:
            fill_uniform(rng, x[b], low, high)
            fill_uniform(rng, y[b], low, high)
            # Each segment's ends lie on different sides of the other.
            first_is_split = _is_left_turn(x[b], y[b], 0, 2, 3) != _is_left_turn(x[b], y[b], 1, 2, 3)
            meet = first_is_split and _is_left_turn(x[b], y[b], 0, 1, 2) != _is_left_turn(x[b], y[b], 0, 1, 3)
    truncate(x.reshape(-1), decimal_scale)
    truncate(y.reshape(-1), decimal_scale)


@compiled
def _has_collinear(x, y, tolerance):
    """Whether any three points are nearly on a line."""
    n = x.size
    for i in range(n):
        for j in range(i + 1, n):
            for k in range(j + 1, n):
                if abs(cross_product(x[i], y[i], x[j], y[j], x[k], y[k])) < tolerance:
                    return True
    return False


@compiled
def disk_points(rng, x, y, decimal_scale, origin_x, origin_y, radius, max_attempts, tolerance):
    """Points uniform on a disk: convex hulls.

    A sample with three (nearly) collinear points, after truncation, is drawn again, ``max_attempts`` times at most
    (then its first x is NaN). The published package truncates once before this test and, as for every other input, once
    after it. The second cut is not idle: 0.569 * 1000 is 568.99….
    """
    count, length = x.shape
    unit = np.empty(length)
    for b in range(count):
        begin_sample(rng, b)
        for _ in range(max_attempts):
            fill_uniform(rng, x[b], 0.0, 2 * np.pi)
            fill_uniform(rng, unit, 0.0, 1.0)
            for i in range(length):
                # The square root makes the points uniform by area.
                angle, distance = x[b, i], radius * np.sqrt(unit[i])
                x[b, i], y[b, i] = origin_x + distance * np.cos(angle), origin_y + distance * np.sin(angle)
            truncate(x[b], decimal_scale)
            truncate(y[b], decimal_scale)
            if not _has_collinear(x[b], y[b], tolerance):
                break
        else:
            x[b, 0] = np.nan
        truncate(x[b], decimal_scale)
        truncate(y[b], decimal_scale)
