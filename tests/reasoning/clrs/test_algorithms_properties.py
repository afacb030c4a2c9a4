"""What the thirty algorithms must return on any input, against oracles of a few lines each, and what every trace must
look like (arXiv 2205.15659).

The oracles share nothing with the package: they enumerate, recurse or multiply matrices. Weights, probabilities and
coordinates are small multiples of a power of two, so that sums are exact and equality means equality.
"""

from fractions import Fraction
from functools import cache
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from outrange.reasoning import clrs

few = settings(max_examples=25, derandomize=True, deadline=None)

# keys with many ties, and keys with few
keys = st.one_of(
    st.lists(st.integers(-3, 3), min_size=2, max_size=9), st.lists(st.integers(-1000, 1000), min_size=2, max_size=9)
).map(lambda v: np.array(v, float) / 8)
letters = st.lists(st.integers(0, 3), min_size=1, max_size=7)
sizes = st.integers(2, 7)


def is_index(one_hot):
    """The place of the 1 of a one-hot."""
    assert one_hot.sum() == 1
    return int(one_hot.argmax())


@st.composite
def matrices(draw, directed=True, acyclic=False, weighted=False, density=2):
    """A graph's matrix; every entry is an edge with probability about 1 / density.

    Weights are eighths from 1/8 to 2.
    """
    n = draw(sizes)
    M = draw(arrays(np.int64, (n, n), elements=st.integers(0, density - 1))) == density - 1
    if weighted:
        A = M * draw(arrays(np.int64, (n, n), elements=st.integers(1, 16))) / 8.0
    else:
        A = M.astype(np.int64)
    if acyclic:
        place = np.array(draw(st.permutations(range(n))))
        A = np.triu(A, 1)[np.ix_(place, place)]
    return A if directed else np.triu(A) + np.triu(A, 1).T


@st.composite
def with_source(draw, graphs):
    A = draw(graphs)
    return A, draw(st.integers(0, len(A) - 1))


def closure(A):
    """reach[i, j]: a path of any length, also none, leads from i to j. By repeated squaring."""
    reach = (A != 0) | np.eye(len(A), dtype=bool)
    for _ in range(len(A)):
        reach = (reach.astype(int) @ reach.astype(int)) > 0
    return reach


def components(A):
    """The number of connected components of an undirected graph."""
    return len({tuple(row) for row in closure(A).tolist()})


def distances(A):
    """All shortest distances by Floyd and Warshall's recurrence; inf where there is no path, 0 from a node to itself."""
    D = np.where(A != 0, A, np.inf).astype(float)
    np.fill_diagonal(D, 0)
    for k in range(len(D)):
        D = np.minimum(D, D[:, k, None] + D[None, k, :])
    return D


def assert_shortest_path_parents(A, s, pi, distance):
    """Reached nodes hang on a node that is nearer by their edge; the source and the unreached on themselves."""
    for v in range(len(A)):
        if v == s or np.isinf(distance[v]):
            assert pi[v] == v
        else:
            assert A[pi[v], v] != 0 and distance[pi[v]] + A[pi[v], v] == distance[v]


# ---------- sorting and searching


def chain(pred):
    """The nodes of a predecessor chain from its head on."""
    following = {int(p): v for v, p in enumerate(pred) if p != v}
    order = [v for v, p in enumerate(pred) if p == v]
    assert len(order) == 1, "a chain has one head"
    while order[-1] in following:
        order.append(following[order[-1]])
    return order


@pytest.mark.parametrize("name", ["insertion_sort", "bubble_sort", "heapsort", "quicksort"])
@given(key=keys)
@few
def test_a_sort_returns_a_chain_through_all_nodes_in_order(name, key):
    t = clrs.trace(name, {"key": key})
    order = chain(t.outputs["pred"])
    assert sorted(order) == list(range(len(key))) and (key[order] == np.sort(key)).all()
    if name in ("insertion_sort", "bubble_sort"):
        assert order == np.argsort(key, kind="stable").tolist()
    for pred in t.hints["pred_h"]:
        assert sorted(chain(pred)) == list(range(len(key)))


def lomuto(a, low, high):
    """Partition a list in place around its last element; the place of the pivot."""
    i = low
    for j in range(low, high):
        if a[j] <= a[high]:
            a[i], a[j] = a[j], a[i]
            i += 1
    a[i], a[high] = a[high], a[i]
    return i


@given(key=keys)
@few
def test_quicksort_records_the_length_of_every_segment(key):
    a = key.tolist()

    def lengths(low, high):
        if low >= high:
            return 0
        q = lomuto(a, low, high)
        return high - low + 1 + lengths(low, q - 1) + lengths(q + 1, high)

    assert clrs.trace("quicksort", {"key": key}).length == lengths(0, len(a) - 1)


@given(key=keys)
@few
def test_quickselect_finds_the_upper_median_and_records_every_segment(key):
    t = clrs.trace("quickselect", {"key": key})
    a, low, high, length = key.tolist(), 0, len(key) - 1, 0
    while True:  # by places in the whole array, where the package counts within the segment
        length += high - low + 1
        q = lomuto(a, low, high)
        if q == len(a) // 2:
            break
        low, high = (low, q - 1) if q > len(a) // 2 else (q + 1, high)
    assert key[is_index(t.outputs["median"])] == np.sort(key)[len(key) // 2]
    assert t.length == length


@given(key=keys)
@few
def test_heapsort_records_three_a_node_and_one_a_swap(key):
    a, swaps = key.tolist(), 0

    def down(i, size):
        nonlocal swaps
        largest = max((c for c in (i, 2 * i + 1, 2 * i + 2) if c < size), key=lambda c: (a[c], -c))
        if largest != i:
            a[i], a[largest] = a[largest], a[i]
            swaps += 1
            down(largest, size)

    for i in reversed(range(len(a))):
        down(i, len(a))
    for size in reversed(range(1, len(a))):
        a[0], a[size] = a[size], a[0]
        down(0, size)
    assert a == sorted(a)
    assert clrs.trace("heapsort", {"key": key}).length == 3 * len(key) - 1 + swaps


@given(key=keys)
@few
def test_minimum_is_the_first_smallest_key(key):
    t = clrs.trace("minimum", {"key": key})
    assert is_index(t.outputs["min"]) == np.argmin(key)
    assert t.hints["min_h"].argmax(1).tolist() == [int(np.argmin(key[: i + 1])) for i in range(len(key))]


@given(key=keys.map(np.sort), target=st.integers(-30, 30).map(lambda v: v / 8))
@few
def test_binary_search_finds_the_first_key_not_below_the_target(key, target):
    t = clrs.trace("binary_search", {"key": key, "target": target})
    assert is_index(t.outputs["return"]) == min(np.searchsorted(key, target), len(key) - 1)
    assert 1 < t.length <= 1 + np.ceil(np.log2(len(key)))
    low, high = t.hints["low"].argmax(1), t.hints["high"].argmax(1)
    assert (low <= high).all() and low[-1] == high[-1] and ((low + high) // 2 == t.hints["mid"].argmax(1)).all()


# ---------- subarrays, greedy, dynamic programs


@given(key=keys)
@few
def test_kadane_finds_a_subarray_of_the_largest_sum(key):
    t = clrs.trace("find_maximum_subarray_kadane", {"key": key})
    best = max(key[i : j + 1].sum() for i in range(len(key)) for j in range(i, len(key)))
    start, end = is_index(t.outputs["start"]), is_index(t.outputs["end"])
    assert start <= end and key[start : end + 1].sum() == best == t.hints["best_sum"][-1]


@given(spans=st.lists(st.tuples(st.integers(0, 12), st.integers(1, 5)), min_size=2, max_size=8))
@few
def test_activity_selector_selects_as_many_compatible_activities_as_possible(spans):
    s, f = np.array([a for a, _ in spans], float), np.array([a + b for a, b in spans], float)

    def compatible(activities):
        return all(s[a] >= f[b] or s[b] >= f[a] for a, b in combinations(activities, 2))

    selected = np.flatnonzero(clrs.trace("activity_selector", {"s": s, "f": f}).outputs["selected"]).tolist()
    most = next(k for k in reversed(range(len(s) + 1)) if any(compatible(c) for c in combinations(range(len(s)), k)))
    assert compatible(selected) and len(selected) == most


@given(d=st.lists(st.integers(1, 9), min_size=2, max_size=8), data=st.data())
@few
def test_task_scheduling_takes_the_heaviest_while_the_count_is_below_the_deadline(d, data):
    w = np.array(data.draw(st.permutations(range(len(d)))), float)
    t = clrs.trace("task_scheduling", {"d": d, "w": w})
    scheduled = []
    for task in sorted(range(len(d)), key=lambda k: -w[k]):
        if len(scheduled) < d[task]:
            scheduled.append(task)
    assert np.flatnonzero(t.outputs["selected"]).tolist() == sorted(scheduled) and t.hints["t"][-1] == len(scheduled)


@given(p=st.lists(st.integers(1, 9), min_size=3, max_size=7))
@few
def test_matrix_chain_order_costs_what_the_recursion_costs(p):
    n = len(p)
    t = clrs.trace("matrix_chain_order", {"p": np.array(p, float)})

    @cache
    def best(i, j):
        return 0 if i == j else min(best(i, k) + best(k + 1, j) + p[i - 1] * p[k] * p[j] for k in range(i, j))

    def cost(i, j):
        k = int(t.outputs["s"][i, j])
        return 0 if i == j else cost(i, k) + cost(k + 1, j) + p[i - 1] * p[k] * p[j]

    assert cost(1, n - 1) == best(1, n - 1) == t.hints["m"][-1][1, n - 1]
    assert 1 + np.ceil(np.log2(n - 1)) <= t.length <= n - 1  # as many sweeps as the tree of splits is high, and one
    upper = np.triu(np.ones((n, n), bool), 1) & (np.arange(n) > 0)[:, None]
    assert (t.outputs["s"][~upper] == 0).all()


@given(x=letters, y=letters)
@few
def test_lcs_length_has_the_length_of_the_recursion_and_arrows_that_spell_it(x, y):
    t = clrs.trace("lcs_length", {"string": [0] * len(x) + [1] * len(y), "key": x + y})

    @cache
    def longest(i, j):
        if i == 0 or j == 0:
            return 0
        return longest(i - 1, j - 1) + 1 if x[i - 1] == y[j - 1] else max(longest(i - 1, j), longest(i, j - 1))

    c, b = t.hints["c"][-1], t.outputs["b"]
    for i in range(len(x)):
        for j in range(len(y)):
            assert c[i, len(x) + j] == longest(i + 1, j + 1)
    i, j, spelled = len(x) - 1, len(y) - 1, 0
    while i >= 0 and j >= 0:
        direction = is_index(b[i, len(x) + j])
        assert direction in (0, 1, 2)
        if direction == 0:
            assert x[i] == y[j]
            spelled += 1
        i, j = i - (direction != 2), j - (direction != 1)
    assert spelled == longest(len(x), len(y))
    hidden = np.ones((t.size, t.size), bool)
    hidden[: len(x), len(x) :] = False
    assert (b[hidden] == [0, 0, 0, -1]).all() and (c[hidden] == 0).all()


@given(
    weights=st.integers(2, 6).flatmap(
        lambda n: st.tuples(*[st.lists(st.integers(1, 8), min_size=k, max_size=k) for k in (n, n + 1)])
    )
)
@few
def test_optimal_bst_costs_what_the_recursion_costs(weights):
    p, q = (np.array(part, float) / 64 for part in weights)
    n = len(p)
    t = clrs.trace("optimal_bst", {"p": [*p, 0.0], "q": q})

    @cache
    def best(i, j):  # keys i … j - 1 between gaps i … j
        return (
            q[i]
            if i == j
            else min(best(i, r) + best(r + 1, j) for r in range(i, j)) + p[i:j].sum() + q[i : j + 1].sum()
        )

    def cost(i, j):
        r = int(t.outputs["root"][i, j])
        return q[i] if i == j else cost(i, r) + cost(r + 1, j) + p[i:j].sum() + q[i : j + 1].sum()

    assert cost(0, n) == best(0, n) == t.hints["e"][-1][0, n]
    assert t.length == n + 1


# ---------- graphs


@given(case=with_source(matrices(directed=False)))
@few
def test_bfs_parents_are_the_lowest_neighbours_one_step_nearer(case):
    A, s = case
    t = clrs.trace("bfs", {"A": A, "s": s})
    walk, distance = np.eye(len(A), dtype=int)[s], np.full(len(A), -1)
    for step in range(len(A)):  # nodes first met by a walk of this many edges
        distance[(distance < 0) & (walk > 0)] = step
        walk = ((walk @ A) > 0).astype(int)
    for v, d in enumerate(distance):
        assert t.outputs["pi"][v] == (v if d <= 0 else np.flatnonzero((A[:, v] > 0) & (distance == d - 1))[0])
    assert t.length == 1 + distance.max()
    assert (t.hints["reach_h"] == [(distance >= 0) & (distance <= step) for step in range(t.length)]).all()


@given(A=matrices(density=3))
@few
def test_dfs_forest_and_times_are_those_of_a_depth_first_search(A):
    t = clrs.trace("dfs", {"A": A})
    pi, d, f = t.outputs["pi"], t.hints["d"][-1], t.hints["f"][-1]
    assert len({*d, *f}) == 2 * len(A) and (d < f).all()
    for u in range(len(A)):
        for v in np.flatnonzero(A[u]):
            assert d[v] < f[u]  # a finished node has no undiscovered neighbour
        if pi[u] != u:
            assert A[pi[u], u] and d[pi[u]] < d[u] and f[u] < f[pi[u]]  # a child's time lies within its parent's
    roots = np.flatnonzero(pi == np.arange(len(A)))
    assert roots.tolist() == [v for v in range(len(A)) if not closure(A)[:v, v].any()]
    for u, v in combinations(range(len(A)), 2):  # spans are nested or apart, and nested exactly for descendants
        inside = d[u] < d[v] < f[u] or d[v] < d[u] < f[v]
        assert inside == (f[u] > d[v] and f[v] > d[u]) == bool(closure(np.eye(len(A))[pi] != 0)[[u, v], [v, u]].any())
    assert t.length == 3 * len(A)


@given(A=matrices(acyclic=True))
@few
def test_topological_sort_puts_every_edge_forward(A):
    t = clrs.trace("topological_sort", {"A": A})
    order = [is_index(t.outputs["topo_head"])]
    while t.outputs["topo"][order[-1]] != order[-1]:
        order.append(int(t.outputs["topo"][order[-1]]))
        assert len(order) <= len(A)
    assert sorted(order) == list(range(len(A)))
    assert all(order.index(u) < order.index(v) for u, v in np.argwhere(A))
    roots = sum(not closure(A)[:v, v].any() for v in range(len(A)))
    assert t.length == 2 * len(A) + roots


def coloured_looks(A):
    """How often a scan of an undirected depth-first search meets a coloured neighbour other than the parent, starting
    afresh after every child.
    """
    seen, looks = set(), 0

    def visit(u, parent):
        nonlocal looks
        seen.add(u)
        while True:
            for v in np.flatnonzero(A[u]):
                if v not in seen:
                    visit(v, u)
                    break
                looks += v != parent
            else:
                return

    for s in range(len(A)):
        if s not in seen:
            visit(s, s)
    return looks


@given(A=matrices(directed=False, density=3))
@few
def test_articulation_points_are_the_nodes_whose_removal_splits_a_component(A):
    t = clrs.trace("articulation_points", {"A": A})
    for v in range(len(A)):
        rest = np.delete(np.delete(A, v, 0), v, 1)
        alone = A[v].sum() == A[v, v]  # removing it removes its component
        assert t.outputs["is_cut"][v] == (components(rest) + alone > components(A))
    assert t.length == 3 * len(A) + coloured_looks(A)


@given(A=matrices(directed=False, density=3))
@few
def test_bridges_are_the_edges_whose_removal_splits_a_component(A):
    t = clrs.trace("bridges", {"A": A})
    is_bridge = t.outputs["is_bridge"]
    for u, v in np.ndindex(A.shape):
        cut = A.copy()
        cut[u, v] = cut[v, u] = 0
        assert is_bridge[u, v] == (0 if u == v else -1 if not A[u, v] else components(cut) > components(A))
    assert t.length == 3 * len(A) + coloured_looks(A)


@given(A=matrices(density=3))
@few
def test_strongly_connected_components_are_the_mutually_reachable_nodes(A):
    t = clrs.trace("strongly_connected_components", {"A": A.astype(float)})
    reach, scc = closure(A), t.outputs["scc_id"]
    assert ((scc[:, None] == scc[None, :]) == (reach & reach.T)).all()
    assert (scc[scc] == scc).all()  # a component is named by one of its own
    assert t.length == 5 * len(A) + len(set(scc.tolist()))


@given(case=with_source(matrices(directed=False, weighted=True)))
@few
def test_kruskal_and_prim_find_spanning_trees_of_equal_weight(case):
    A, s = case
    tree = clrs.trace("mst_kruskal", {"A": A}).outputs["in_mst"]
    prim = clrs.trace("mst_prim", {"A": A, "s": s})
    pi = prim.outputs["pi"]
    edges = A * (tree == 1)
    assert (tree == tree.T).all() and ((tree == 0) | (A > 0)).all() and not np.diag(tree).any()
    assert tree.sum() / 2 == len(A) - components(A) and (closure(edges) == closure(A)).all()
    component = closure(A)[s]
    in_tree = [v for v in range(len(A)) if pi[v] != v]
    assert in_tree == [v for v in np.flatnonzero(component) if v != s]
    assert all(A[pi[v], v] > 0 for v in in_tree)
    assert sum(A[pi[v], v] for v in in_tree) == edges[component].sum() / 2
    assert (closure(np.eye(len(A))[pi] != 0)[component, s]).all()  # and every one hangs, at last, on the source
    assert prim.length == 1 + component.sum()


@given(A=matrices(directed=False, weighted=True))
@few
def test_kruskal_grows_the_lightest_tree_and_records_two_an_edge_and_one_a_climb(A):
    edges = sorted((A[i, j], i, j) for i, j in combinations(range(len(A)), 2) if A[i, j])
    assume(len({w for w, *_ in edges}) == len(edges))  # ties: see the test of NumPy's own order below
    t = clrs.trace("mst_kruskal", {"A": A})
    parent, climbs, tree = list(range(len(A))), 0, np.zeros(A.shape)
    for _, i, j in edges:
        roots = []
        for end in (i, j):
            path, node = [], end
            while parent[node] != node:
                path.append(node)
                node = parent[node]
                climbs += 1
                for x in path:
                    parent[x] = node  # paths are shortened while climbing
            roots.append(node)
        if roots[0] != roots[1]:
            parent[min(roots)] = max(roots)
            tree[i, j] = tree[j, i] = 1
    assert (t.outputs["in_mst"] == tree).all() and t.length == 1 + 2 * len(edges) + climbs
    assert t.hints["pi"][-1].tolist() == parent


@given(case=with_source(matrices(weighted=True, density=3)))
@few
def test_dijkstra_and_bellman_ford_find_the_distances_of_floyd_and_warshall(case):
    A, s = case
    distance = distances(A)[s]
    reached = np.isfinite(distance)
    for name in ("dijkstra", "bellman_ford"):
        t = clrs.trace(name, {"A": A, "s": s})
        assert (t.hints["d"][-1] == np.where(reached, distance, 0)).all()
        assert_shortest_path_parents(A, s, t.outputs["pi"], distance)
        if name == "dijkstra":
            assert t.length == 1 + reached.sum() and (t.hints["mark"][-1] == reached).all()
        else:
            assert (t.hints["msk"][-1] == reached).all()
            sweeps = [np.where(np.arange(len(A)) == s, 0, np.inf)]
            while len(sweeps) < 2 or (sweeps[-1] != sweeps[-2]).any():
                sweeps.append(np.minimum(sweeps[-1], (sweeps[-1][:, None] + np.where(A != 0, A, np.inf)).min(0)))
            assert t.length == len(sweeps) - 1


@given(case=with_source(matrices(weighted=True, acyclic=True)))
@few
def test_dag_shortest_paths_finds_the_distances_of_floyd_and_warshall(case):
    A, s = case
    t = clrs.trace("dag_shortest_paths", {"A": A, "s": s})
    distance = distances(A)[s]
    reached = np.isfinite(distance)
    assert (t.hints["d"][-1] == np.where(reached, distance, 0)).all() and (t.hints["mark"][-1] == reached).all()
    assert_shortest_path_parents(A, s, t.outputs["pi"], distance)
    assert t.length == 3 * reached.sum() + 1


@given(A=st.one_of(matrices(weighted=True, density=3), matrices(weighted=True, directed=False)))
@few
def test_floyd_warshall_leaves_last_steps_of_shortest_paths_and_records_the_distances_so_far(A):
    t = clrs.trace("floyd_warshall", {"A": A})
    n = len(A)
    D, apart = distances(A), ~np.eye(n, dtype=bool)
    for i, j in np.argwhere(apart):
        last = t.outputs["Pi"][i, j]
        assert last == i if np.isinf(D[i, j]) else D[i, last] + A[last, j] == D[i, j] and A[last, j] != 0
    for k in range(n):  # step k knows the paths through nodes below k
        distance = np.where(A != 0, A, np.inf)
        np.fill_diagonal(distance, 0)
        for via in range(k):
            distance = np.minimum(distance, distance[:, via, None] + distance[None, via, :])
        assert (t.hints["msk"][k][apart] == np.isfinite(distance)[apart]).all()
        assert (t.hints["D"][k][apart] == np.where(np.isfinite(distance), distance, 0)[apart]).all()
        assert is_index(t.hints["k"][k]) == k


def tied(seed, n):
    """n values with many ties, enough of them that NumPy's default sort is no longer an insertion sort."""
    return np.random.default_rng(seed).integers(1, 5, n) / 8


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(4, 40))
@few
def test_ties_are_broken_by_numpys_own_default_argsort(seed, n):
    # the published package calls np.argsort without a kind, which is not stable; its order on equal keys is part of the
    # data
    f = tied(seed, n)
    order = clrs.trace("activity_selector", {"s": f - 0.125, "f": f}).hints["m"].argmax(1)
    assert order.tolist() == [0, *np.argsort(f)]
    order = clrs.trace("task_scheduling", {"d": [1] * n, "w": f}).hints["i"].argmax(1)
    assert order.tolist() == [0, *np.argsort(-f)]
    A = np.triu(tied(seed, n * n).reshape(n, n) * (np.random.default_rng(seed + 1).random((n, n)) < 0.3), 1)
    edges = np.argwhere(A)
    t = clrs.trace("mst_kruskal", {"A": A + A.T})
    is_joined = t.hints["phase"].argmax(1) == 0
    visited = np.stack([t.hints["u"].argmax(1), t.hints["v"].argmax(1)], 1)[is_joined][1:]
    assert visited.tolist() == edges[np.argsort(A[tuple(edges.T)])].tolist()
    for name, key in (("mst_prim", "key"), ("dijkstra", "d")):
        t = clrs.trace(name, {"A": A + A.T, "s": n // 2})
        for step in range(1, t.length):
            queue = t.hints[key][step - 1] + (1 - t.hints["in_queue"][step - 1]) * 1e9
            assert is_index(t.hints["u"][step]) == np.argsort(queue)[0]


# ---------- strings and geometry


@given(
    haystack=st.lists(st.integers(0, 1), min_size=1, max_size=9),
    needle=st.lists(st.integers(0, 1), min_size=1, max_size=4),
)
@few
def test_string_matchers_find_what_str_find_finds(haystack, needle):
    assume(len(needle) <= len(haystack))
    inputs = {"string": [0] * len(haystack) + [1] * len(needle), "key": haystack + needle}
    text, word = "".join(map(str, haystack)), "".join(map(str, needle))
    shift = text.find(word)
    naive, kmp = clrs.trace("naive_string_matcher", inputs), clrs.trace("kmp_matcher", inputs)
    assert is_index(naive.outputs["match"]) == is_index(kmp.outputs["match"]) == (shift if shift >= 0 else len(text))
    shifts = range((shift if shift >= 0 else len(text) - len(word)) + 1)
    partial = [next((k for k, letter in enumerate(word[:-1]) if text[s + k] != letter), len(word) - 1) for s in shifts]
    assert naive.length == len(partial) + sum(partial)
    assert kmp.length <= 2 * (len(haystack) + len(needle))  # linear: every fall back undoes an advance
    borders = [max(k for k in range(q + 1) if word[:k] == word[q + 1 - k : q + 1]) for q in range(len(word))]
    # state q (q + 1 letters matched) falls back to the state of its longest border, or is reset where it has none
    assert kmp.hints["pi"][-1].tolist() == [*range(len(text)), *(len(text) + max(k - 1, 0) for k in borders)]
    assert kmp.hints["is_reset"][-1].tolist() == [0] * len(text) + [int(k == 0) for k in borders]


def cross(o, a, b):
    return (a[0] - o[0]) * (b[1] - o[1]) - (a[1] - o[1]) * (b[0] - o[0])


@given(points=st.lists(st.tuples(st.integers(-40, 40), st.integers(-40, 40)), min_size=3, max_size=8, unique=True))
@few
def test_both_hulls_hold_the_points_that_lie_in_no_triangle_of_others(points):
    assume(all(cross(*triple) for triple in combinations(points, 3)))

    def within(p, a, b, c):
        return abs(cross(p, a, b)) + abs(cross(p, b, c)) + abs(cross(p, c, a)) == abs(cross(a, b, c))

    hull = [not any(within(p, *triple) for triple in combinations([q for q in points if q != p], 3)) for p in points]
    x, y = np.array(points, float).T / 16
    graham, jarvis = clrs.trace("graham_scan", {"x": x, "y": y}), clrs.trace("jarvis_march", {"x": x, "y": y})
    n, h = len(points), sum(hull)
    assert graham.outputs["in_hull"].tolist() == jarvis.outputs["in_hull"].tolist() == hull
    assert graham.length == 3 + (n - 1) + (n - h)  # every node is pushed once, every node off the hull popped once
    assert jarvis.length == 2 + h * n + (h - 1)


@given(points=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=4, max_size=4))
@few
def test_segments_intersect_where_exact_arithmetic_says_so(points):
    p, q, r, s = points
    assume(p != q and r != s)

    def on(point, a, b):
        return cross(a, b, point) == 0 and min(a, b) <= point <= max(a, b)

    (dx, dy), (ex, ey), (gx, gy) = ((b[0] - a[0], b[1] - a[1]) for a, b in ((p, q), (r, s), (p, r)))
    det = dx * ey - dy * ex
    if det:  # p + t (q - p) = r + u (s - r)
        t, u = Fraction(gx * ey - gy * ex, det), Fraction(gx * dy - gy * dx, det)
        meet = 0 <= t <= 1 and 0 <= u <= 1
    else:
        meet = on(p, r, s) or on(q, r, s) or on(r, p, q) or on(s, p, q)
    x, y = np.array(points, float).T / 8
    assert clrs.trace("segments_intersect", {"x": x, "y": y}).outputs["intersect"] == meet


# ---------- all thirty together

#: Algorithms whose last record comes before the last change.
LATE = {"floyd_warshall": "Pi", "lcs_length": "b"}


@pytest.mark.parametrize("name", clrs.ALGORITHMS)
@given(seed=st.integers(0, 2**32 - 1), length=st.integers(4, 9))
@few
def test_every_trace_holds_what_its_spec_promises(name, seed, length):
    t, spec = clrs.sample(name, length=length, seed=seed)[0], clrs.spec(name)
    assert t.size == {"optimal_bst": length + 1, "segments_intersect": 4}.get(name, length)
    assert [*t.inputs, *t.outputs, *t.hints] == [*spec.inputs, *spec.outputs, *spec.hints]
    for stage in (t.inputs, t.outputs, t.hints):
        for probe, values in stage.items():
            p = spec[probe]
            time = (t.length,) if stage is t.hints else ()
            assert values.shape == time + (t.size,) * {"node": 1, "edge": 2, "graph": 0}[p.location] + (
                (p.classes,) if p.classes else ()
            )
            if p.type in ("pointer", "should_be_permutation"):
                assert values.dtype == np.int32 and values.min() >= 0 and values.max() < t.size
            elif p.type == "scalar":
                assert values.dtype == (np.int64 if p.integer else np.float64) and np.isfinite(values).all()
            else:
                assert values.dtype == np.int8 and np.isin(values, (-1, 0, 1)).all()
                if p.type != "mask":
                    assert (np.abs(values).sum(-1) == 1).all()
                if p.type == "mask_one":
                    assert values.min() >= 0


@pytest.mark.parametrize("name", clrs.ALGORITHMS)
@given(seed=st.integers(0, 2**32 - 1), length=st.integers(4, 9))
@few
def test_the_last_record_of_an_output_is_the_output(name, seed, length):
    t = clrs.sample(name, length=length, seed=seed)[0]
    for output, value in t.outputs.items():
        if f"{output}_h" in t.hints and LATE.get(name) != output:
            assert (t.hints[f"{output}_h"][-1] == value).all()


def test_floyd_warshall_and_lcs_length_can_return_what_they_never_recorded():
    for name, output in LATE.items():
        assert any(
            (t.hints[f"{output}_h"][-1] != t.outputs[output]).any()
            for t in clrs.sample(name, length=6, count=40, seed=5)
        )


CHAINED = "binary_search minimum find_maximum_subarray_kadane matrix_chain_order optimal_bst activity_selector task_scheduling jarvis_march".split()


@pytest.mark.parametrize("name", CHAINED)
@given(length=st.integers(4, 12))
@few
def test_eight_algorithms_keep_one_chain_of_nodes_at_every_step(name, length):
    t = clrs.sample(name, length=length, seed=1)[0]
    assert (t.hints["pred_h"] == [0, *range(t.size - 1)]).all()


@pytest.mark.parametrize("name", ["lcs_length", "naive_string_matcher", "kmp_matcher"])
@given(length=st.integers(4, 12))
@few
def test_string_algorithms_keep_two_chains_and_two_rows_of_positions(name, length):
    t = clrs.sample(name, length=length, seed=1)[0]
    first = int((t.inputs["string"] == 0).sum())
    assert t.inputs["string"].tolist() == [0] * first + [1] * (length - first)
    assert (t.hints["pred_h"] == [0, *range(first - 1), first, *range(first, length - 1)]).all()
    assert t.inputs["pos"].tolist() == [i / first for i in range(first)] + [
        i / (length - first) for i in range(length - first)
    ]


@pytest.mark.parametrize("name", [name for name in clrs.ALGORITHMS if "string" not in clrs.spec(name)])
@given(length=st.integers(4, 12))
@few
def test_positions_are_index_over_size_and_adj_is_the_pattern_of_A_with_loops(name, length):
    t = clrs.sample(name, length=length, seed=2)[0]
    assert t.inputs["pos"].tolist() == [i / t.size for i in range(t.size)]
    if "A" in t.inputs:
        assert (t.inputs["adj"] == ((t.inputs["A"] + np.eye(t.size)) != 0)).all()


#: Step counts that depend on nothing but the length.
FIXED = {
    "insertion_sort": lambda n: n,
    "bubble_sort": lambda n: 1 + n * (n - 1) // 2,
    "minimum": lambda n: n,
    "find_maximum_subarray_kadane": lambda n: n,
    "activity_selector": lambda n: n + 1,
    "task_scheduling": lambda n: n + 1,
    "optimal_bst": lambda n: n + 1,
    "dfs": lambda n: 3 * n,
    "floyd_warshall": lambda n: n,
    "segments_intersect": lambda n: 5,
}


@pytest.mark.parametrize("name", FIXED)
@given(length=st.integers(4, 12), seed=st.integers(0, 2**32 - 1))
@few
def test_step_counts_that_only_depend_on_the_length_are_met(name, length, seed):
    assert clrs.sample(name, length=length, seed=seed)[0].length == FIXED[name](length)


@pytest.mark.parametrize("name", clrs.ALGORITHMS)
@given(seed=st.integers(0, 2**32 - 1))
@few
def test_tracing_a_samples_inputs_again_gives_the_same_trace(name, seed):
    t = clrs.sample(name, length=6, seed=seed)[0]
    again = clrs.trace(name, {probe: value for probe, value in t.inputs.items() if probe not in ("pos", "adj")})
    for stage in ("inputs", "hints", "outputs"):
        first, second = getattr(t, stage), getattr(again, stage)
        assert list(first) == list(second) and all(np.array_equal(first[p], second[p]) for p in first)


@given(key=keys)
@few
def test_graph_functions_of_this_file_agree_with_the_definitions_they_stand_for(key):
    # the oracles themselves, on a path: 0 - 1 - … - n-1 with unit weights
    n = len(key)
    path = np.eye(n, k=1) + np.eye(n, k=-1)
    assert components(path) == 1 and components(np.zeros((n, n))) == n
    assert (distances(path) == np.abs(np.subtract.outer(range(n), range(n)))).all()
    assert all(a < b for a, b in pairwise(chain([0, *range(n - 1)])))
