"""``sample`` against the published samplers' draws, made here with ``numpy.random.RandomState`` directly (dm-clrs
2.0.3); ``dataset`` against its contract.

Each ``draws_*`` function is one published sampler written down as its sequence of draws. It returns the inputs of one
sample; calling it again gives the next sample of the same generator.
"""

import pickle
from itertools import combinations, islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outrange.core.errors import BadInput
from outrange.reasoning import clrs

few = settings(max_examples=15, derandomize=True, deadline=None)


def assert_draws(name, length, draw, *, seed=3, count=4, exact=True, **options):
    """The samples hold exactly what ``draw(rng)`` returns, in order."""
    rng = np.random.RandomState(seed)
    traces = clrs.sample(name, length=length, count=count, seed=seed, **options)
    assert len(traces) == count
    for t in traces:
        for probe, value in draw(rng).items():
            got = t.inputs[probe]
            if clrs.spec(name)[probe].type in ("mask_one", "categorical"):
                assert (np.abs(got).sum(-1) == 1).all()
                got = got.argmax(-1)
            if exact:
                assert np.array_equal(got, value), f"{probe}: {got} is not {value}"
            else:
                np.testing.assert_allclose(got, value, rtol=1e-14, atol=1e-15)


def truncated(x, decimals):
    return np.trunc(np.asarray(x) * 10.0**decimals) / 10.0**decimals


# ---------- keys and numbers


def test_the_first_two_insertion_sorts_are_two_draws_of_one_generator():
    rng = np.random.RandomState(3)
    first, second = clrs.sample("insertion_sort", length=7, count=2, seed=3)
    assert first.inputs["key"].tolist() == rng.uniform(0, 1, 7).tolist()
    assert second.inputs["key"].tolist() == rng.uniform(0, 1, 7).tolist()


@pytest.mark.parametrize(
    "name", ["insertion_sort", "bubble_sort", "heapsort", "quicksort", "quickselect", "minimum", "matrix_chain_order"]
)
@given(seed=st.integers(0, 2**32 - 1), length=st.integers(4, 20))
@few
def test_keys_are_uniform_between_low_and_high(name, seed, length):
    probe = "p" if name == "matrix_chain_order" else "key"
    assert_draws(name, length, lambda rng: {probe: rng.uniform(0, 1, length)}, seed=seed)
    assert_draws(name, length, lambda rng: {probe: rng.uniform(2.5, 7.0, length)}, seed=seed, low=2.5, high=7.0)


def test_kadane_draws_keys_on_both_sides_of_zero():
    assert_draws("find_maximum_subarray_kadane", 9, lambda rng: {"key": rng.uniform(-1, 1, 9)})


def test_binary_search_sorts_its_keys_and_draws_the_target_after_them():
    assert_draws("binary_search", 9, lambda rng: {"key": np.sort(rng.uniform(0, 1, 9)), "target": rng.uniform(0, 1)})


def draws_activities(rng, n, low=0.0, high=1.0):
    first, second = rng.uniform(low, high, n), rng.uniform(low, high, n)
    return {"s": np.minimum(first, second), "f": np.maximum(first, second)}


def test_activity_selector_draws_two_blocks_and_orders_them_cell_by_cell():
    assert_draws("activity_selector", 8, lambda rng: draws_activities(rng, 8))
    assert_draws("activity_selector", 8, lambda rng: draws_activities(rng, 8, -2.0, 3.0), low=-2.0, high=3.0)


def draws_tasks(rng, n, max_deadline=None):
    return {"d": rng.randint(0, max_deadline or n, n) + 1, "w": rng.uniform(0, 1, n)}


@pytest.mark.parametrize("length", [4, 7, 33])
def test_task_scheduling_draws_whole_deadlines_up_to_the_length_by_default(length):
    assert_draws("task_scheduling", length, lambda rng: draws_tasks(rng, length))
    assert_draws("task_scheduling", length, lambda rng: draws_tasks(rng, length, 3), max_deadline=3)
    assert clrs.sample("task_scheduling", length=length)[0].inputs["d"].dtype == np.int64


def draws_probabilities(rng, n):
    both = rng.uniform(0, 1, 2 * n + 1)
    both /= both.sum()
    return {"p": [*both[:n], 0.0], "q": both[n:]}


def test_optimal_bst_draws_all_probabilities_at_once_and_makes_them_sum_to_one():
    assert_draws("optimal_bst", 6, lambda rng: draws_probabilities(rng, 6))


# ---------- strings


def draws_two_strings(rng, first, second):
    x, y = rng.randint(0, 4, first), rng.randint(0, 4, second)
    return {"string": [0] * first + [1] * second, "key": [*x, *y]}


@pytest.mark.parametrize("length", [4, 5, 8, 11])
def test_lcs_length_counts_both_strings_and_gives_the_odd_letter_to_the_first(length):
    assert_draws("lcs_length", length, lambda rng: draws_two_strings(rng, (length + 1) // 2, length // 2))


@pytest.mark.parametrize("length_2", [1, 2, 12])
def test_lcs_length_with_a_second_length_gives_the_first_string_all_of_the_length(length_2):
    assert_draws("lcs_length", 9, lambda rng: draws_two_strings(rng, 9, length_2), length_2=length_2)


def draws_needle(rng, n, length_needle=None):
    if length_needle is None:
        m = 1 if n < 5 else n // 5
    elif length_needle < 0:
        m = rng.randint(1, 1 - length_needle)
    else:
        m = length_needle
    needle, haystack = rng.randint(0, 4, m), rng.randint(0, 4, n - m)
    place = rng.choice(n - m - m)
    haystack[place : place + m] = needle
    return {"string": [0] * (n - m) + [1] * m, "key": [*haystack, *needle]}


@pytest.mark.parametrize("name", ["naive_string_matcher", "kmp_matcher"])
@pytest.mark.parametrize(
    ("length", "options"),
    [
        (4, {}),
        (5, {}),
        (16, {}),
        (23, {}),
        (16, {"length_needle": 6}),
        (20, {"length_needle": -8}),
        (9, {"length_needle": None}),
    ],
)
def test_string_matchers_draw_needle_then_haystack_then_place(name, length, options):
    assert_draws(name, length, lambda rng: draws_needle(rng, length, **options), count=6, **options)


def test_a_negative_needle_length_draws_a_new_length_for_every_sample():
    needles = [
        int(t.inputs["string"].sum()) for t in clrs.sample("kmp_matcher", length=20, count=60, seed=0, length_needle=-8)
    ]
    assert set(needles) == {1, 2, 3, 4, 5, 6, 7, 8}  # 1 to 8, both included


def test_a_drawn_needle_is_always_found():
    for name in ("naive_string_matcher", "kmp_matcher"):
        for t in clrs.sample(name, length=12, count=50, seed=4, length_needle=3):
            haystack, needle = np.split(t.inputs["key"].argmax(-1), [9])
            place = int(t.outputs["match"].argmax())
            assert place < 9 and haystack[place : place + 3].tolist() == needle.tolist()


# ---------- graphs


def draws_matrix(rng, n, p=(0.5,), directed=False, acyclic=False, weighted=False, low=0.0, high=1.0):
    return random_graph(rng, n, rng.choice(p), directed, acyclic, weighted, low, high)


def random_graph(rng, n, p, directed, acyclic=False, weighted=False, low=0.0, high=1.0):
    M = rng.binomial(1, p, (n, n))
    if not directed:
        M = M * M.T
    elif acyclic:
        M = np.triu(M, 1)
        place = rng.permutation(n)
        M = M[place][:, place]
    if not weighted:
        return M
    W = rng.uniform(low, high, (n, n))
    return M * (W if directed else np.sqrt(W * W.T + 1e-3))


GRAPHS = {  # options of the published default: the graph, and whether a source follows
    "dfs": ({"directed": True}, False),
    "bfs": ({}, True),
    "topological_sort": ({"directed": True, "acyclic": True}, False),
    "articulation_points": ({"p": (0.2,)}, False),
    "bridges": ({"p": (0.2,)}, False),
    "mst_kruskal": ({"p": (0.2,), "weighted": True}, False),
    "mst_prim": ({"weighted": True}, True),
    "bellman_ford": ({"weighted": True}, True),
    "dijkstra": ({"weighted": True}, True),
    "floyd_warshall": ({"weighted": True}, False),
    "dag_shortest_paths": ({"directed": True, "acyclic": True, "weighted": True}, True),
}


def draws_graph(rng, name, n, **options):
    kind, source = GRAPHS[name]
    inputs = {"A": draws_matrix(rng, n, **{**kind, **options})}
    return {**inputs, "s": rng.choice(n)} if source else inputs


@pytest.mark.parametrize("name", GRAPHS)
@given(seed=st.integers(0, 2**32 - 1), length=st.integers(4, 12))
@few
def test_graphs_are_random_matrices_followed_by_a_source(name, seed, length):
    assert_draws(name, length, lambda rng: draws_graph(rng, name, length), seed=seed, count=3)


@pytest.mark.parametrize("name", GRAPHS)
def test_one_of_several_edge_probabilities_is_drawn_before_each_graph(name):
    p = (0.1, 0.4, 0.8)
    assert_draws(name, 9, lambda rng: draws_graph(rng, name, 9, p=p), count=8, p=p)


def test_a_single_edge_probability_needs_no_tuple():
    assert_draws("bfs", 9, lambda rng: draws_graph(rng, "bfs", 9, p=(0.9,)), p=0.9)
    assert_draws("bfs", 9, lambda rng: draws_graph(rng, "bfs", 9, p=(0.9,)), p=[0.9])


@pytest.mark.parametrize("name", [name for name, (kind, _) in GRAPHS.items() if kind.get("weighted")])
def test_weights_lie_between_low_and_high_before_they_are_made_symmetric(name):
    assert_draws(name, 8, lambda rng: draws_graph(rng, name, 8, low=2.0, high=5.0), low=2.0, high=5.0)


def draws_communities(rng, n, k=4, p=(0.5,), eps=0.01):
    p = rng.choice(p)
    A, starts = np.zeros((n, n)), [b * (n // k) for b in range(k)] + [n]
    for low, high in zip(starts, starts[1:], strict=False):
        A[low:high, low:high] = random_graph(rng, high - low, p, directed=True)
    toggle = random_graph(rng, n, eps, directed=True)
    block = np.minimum(np.arange(n) // (n // k), k - 1)
    toggle = toggle * (block[:, None] <= block[None, :])  # no way back to an earlier community
    A = np.where(toggle > 0, (1 - (A > 0)) * toggle, A)
    place = rng.permutation(n)
    return {"A": A[place][:, place]}


@pytest.mark.parametrize("length", [4, 6, 9, 16])
def test_strongly_connected_components_draws_communities_and_toggles_between_them(length):
    assert_draws("strongly_connected_components", length, lambda rng: draws_communities(rng, length), count=8)
    options = {"k": 2, "eps": 0.3, "p": (0.2, 0.7)}
    assert_draws(
        "strongly_connected_components",
        length,
        lambda rng: draws_communities(rng, length, **options),
        count=8,
        **options,
    )


# ---------- geometry


def draws_segments(rng, low=0.0, high=1.0):
    def counter_clockwise(a, b, c):
        return (c[1] - a[1]) * (b[0] - a[0]) > (b[1] - a[1]) * (c[0] - a[0])

    coin = rng.binomial(1, 0.5)
    while True:
        xs, ys = rng.uniform(low, high, 4), rng.uniform(low, high, 4)
        a, b, c, d = zip(xs, ys, strict=True)
        meet = counter_clockwise(a, c, d) != counter_clockwise(b, c, d) and counter_clockwise(
            a, b, c
        ) != counter_clockwise(a, b, d)
        if meet == coin:
            return {"x": xs, "y": ys}


@given(seed=st.integers(0, 2**32 - 1))
@few
def test_segments_are_redrawn_until_they_fall_as_a_coin_does(seed):
    assert_draws("segments_intersect", 4, draws_segments, seed=seed)
    assert_draws("segments_intersect", 4, lambda rng: draws_segments(rng, -2.0, 5.0), seed=seed, low=-2.0, high=5.0)


def test_segments_have_four_points_whatever_the_length():
    short, long = (clrs.sample("segments_intersect", length=n, seed=1)[0] for n in (4, 16))
    assert short.size == long.size == 4 and short.inputs["x"].tolist() == long.inputs["x"].tolist()


def draws_disc(rng, n, decimals=None):
    """Points in a disc of radius 2, whole samples drawn anew while any three lie on a line; and how often that was."""
    again = 0
    while True:
        theta = rng.uniform(0, 2 * np.pi, n)
        r = 2.0 * np.sqrt(rng.uniform(0, 1, n))
        x, y = r * np.cos(theta), r * np.sin(theta)
        if decimals is not None:
            x, y = truncated(x, decimals), truncated(y, decimals)
        if all(
            abs((x[j] - x[i]) * (y[k] - y[i]) - (y[j] - y[i]) * (x[k] - x[i])) >= 1e-12
            for i, j, k in combinations(range(n), 3)
        ):
            return {"x": x, "y": y}, again
        again += 1


@pytest.mark.parametrize("name", ["graham_scan", "jarvis_march"])
def test_hull_points_are_uniform_in_a_disc(name):
    assert_draws(name, 8, lambda rng: draws_disc(rng, 8)[0], exact=False)


@pytest.mark.parametrize("name", ["graham_scan", "jarvis_march"])
@pytest.mark.parametrize(("length", "decimals"), [(8, 3), (7, 1), (4, 0)])
def test_hull_points_are_cut_then_rejected_where_three_lie_on_a_line_then_cut_again(name, length, decimals):
    def draw(rng):
        points, _ = draws_disc(rng, length, decimals)
        return {axis: truncated(values, decimals) for axis, values in points.items()}

    assert_draws(name, length, draw, count=12, truncate_decimals=decimals)


def test_rejection_and_the_second_cut_do_change_something_in_these_tests():
    rng = np.random.RandomState(3)
    assert sum(draws_disc(rng, 7, 1)[1] for _ in range(12)) > 0
    rng = np.random.RandomState(3)
    once = [draws_disc(rng, 8, 3)[0]["y"] for _ in range(12)]
    assert any((truncated(y, 3) != y).any() for y in once)  # -1.003 * 1000 is not quite -1003


# ---------- truncation and counts


def test_truncation_cuts_toward_zero_on_both_sides():
    rng = np.random.RandomState(3)
    key, cut = (
        rng.uniform(-1, 1, 40),
        clrs.sample("find_maximum_subarray_kadane", length=40, seed=3, truncate_decimals=1)[0].inputs["key"],
    )
    assert np.array_equal(cut, truncated(key, 1)) and (np.abs(cut) <= np.abs(key)).all()
    assert (cut[key < 0] >= key[key < 0]).all() and (key < 0).any() and (cut[key > 0] <= key[key > 0]).all()


@pytest.mark.parametrize("decimals", [0, 1, 3, 6])
def test_truncation_cuts_every_float_input_and_no_integer_after_the_draws(decimals):
    def cut(inputs):
        return {k: truncated(v, decimals) if np.asarray(v).dtype.kind == "f" else v for k, v in inputs.items()}

    assert_draws("heapsort", 9, lambda rng: cut({"key": rng.uniform(0, 1, 9)}), truncate_decimals=decimals)
    assert_draws(
        "binary_search",
        9,
        lambda rng: cut({"key": np.sort(rng.uniform(0, 1, 9)), "target": rng.uniform(0, 1)}),
        truncate_decimals=decimals,
    )
    assert_draws("activity_selector", 9, lambda rng: cut(draws_activities(rng, 9)), truncate_decimals=decimals)
    assert_draws("task_scheduling", 9, lambda rng: cut(draws_tasks(rng, 9)), truncate_decimals=decimals)
    assert_draws("optimal_bst", 5, lambda rng: cut(draws_probabilities(rng, 5)), truncate_decimals=decimals)
    assert_draws("dijkstra", 7, lambda rng: cut(draws_graph(rng, "dijkstra", 7)), truncate_decimals=decimals)
    assert_draws("segments_intersect", 4, lambda rng: cut(draws_segments(rng)), truncate_decimals=decimals)
    assert_draws("kmp_matcher", 9, lambda rng: draws_needle(rng, 9), truncate_decimals=decimals)


def test_a_truncated_weight_of_zero_is_no_longer_an_edge():
    t = clrs.sample("dag_shortest_paths", length=12, seed=3, truncate_decimals=1)[0]
    rng = np.random.RandomState(3)
    A = draws_graph(rng, "dag_shortest_paths", 12)["A"]
    lost = (A != 0) & (t.inputs["A"] == 0)
    assert lost.any() and (t.inputs["adj"][lost] == 0).all()


def test_samples_come_one_after_another_whatever_the_count():
    many = clrs.sample("dijkstra", length=5, count=300, seed=9)
    for count in (0, 1, 7, 129):
        part = clrs.sample("dijkstra", length=5, count=count, seed=9)
        assert len(part) == count
        assert all(
            np.array_equal(a.inputs["A"], b.inputs["A"]) and np.array_equal(a.hints["d"], b.hints["d"])
            for a, b in zip(part, many, strict=False)
        )


def test_different_seeds_differ_and_equal_seeds_do_not():
    for name in clrs.ALGORITHMS:
        a, b, c = (clrs.sample(name, length=8, count=3, seed=seed) for seed in (0, 0, 1))
        assert all(same(x, y) for x, y in zip(a, b, strict=True)) and not all(
            same(x, y) for x, y in zip(a, c, strict=True)
        )


def test_sampling_does_not_touch_the_global_generators():
    np.random.seed(7)
    before = np.random.get_state()[1].tolist()
    clrs.sample("bfs", length=8, count=3, seed=5)
    clrs.dataset(["bfs"], lengths=[8], seed=5, count=3)[:]
    assert np.random.get_state()[1].tolist() == before


# ---------- dataset


def same(a, b):
    """Two traces are equal to the bit."""
    return (a.name, a.length, a.size) == (b.name, b.length, b.size) and all(
        list(x) == list(y) and all(x[k].dtype == y[k].dtype and np.array_equal(x[k], y[k]) for k in x)
        for x, y in ((a.inputs, b.inputs), (a.hints, b.hints), (a.outputs, b.outputs))
    )


def test_random_access_equals_iteration_equals_slicing():
    data = clrs.dataset(["bfs", "heapsort", "graham_scan"], lengths=[4, 7], seed=11, count=40)
    straight = list(data)
    assert len(straight) == len(data) == 40
    for i in [39, 0, 17, 5, 5, 38]:
        assert same(data[i], straight[i]) and same(data[np.int64(i)], straight[i])
    for part in (
        slice(None),
        slice(3, 9),
        slice(30, 100),
        slice(None, None, 7),
        slice(None, None, -1),
        slice(-5, None),
        slice(9, 3),
    ):
        traces = data[part]
        assert len(traces) == len(straight[part]) and all(
            same(a, b) for a, b in zip(traces, straight[part], strict=True)
        )


def test_item_i_depends_on_seed_and_i_alone():
    make = {"algorithms": ["dijkstra", "kmp_matcher"], "lengths": [5, 9]}
    bounded, endless = clrs.dataset(**make, seed=3, count=20), clrs.dataset(**make, seed=3)
    bounded[13]  # a look elsewhere changes nothing
    assert all(same(bounded[i], endless[i]) for i in (0, 7, 19))
    assert same(endless[1000], clrs.dataset(**make, seed=3, count=2000)[1000])
    assert [same(a, b) for a, b in zip(endless[0:8], clrs.dataset(**make, seed=4)[0:8], strict=True)] == [False] * 8


def test_items_cycle_through_all_algorithms_and_lengths():
    data = clrs.dataset(["bfs", "minimum"], lengths=[4, 6, 9], seed=0)
    cells = [(t.name, t.size) for t in data[0:6]]
    assert sorted(cells) == [(name, n) for name in ("bfs", "minimum") for n in (4, 6, 9)]
    assert [(t.name, t.size) for t in data[6:18]] == cells * 2


def by_cell(data, items):
    traces = {}
    for t in data[0:items]:
        traces.setdefault((t.name, t.size), []).append(t)
    return traces


def test_adding_algorithms_or_lengths_does_not_change_the_samples_of_the_others():
    small = by_cell(clrs.dataset(["bfs"], lengths=[4, 8], seed=2), 12)
    large = by_cell(clrs.dataset(["heapsort", "bfs", "dfs"], lengths=[6, 8, 4], seed=2), 54)
    for cell, traces in small.items():
        assert len(traces) == len(large[cell]) == 6 and all(
            same(a, b) for a, b in zip(traces, large[cell], strict=True)
        )


def test_cells_and_samples_do_not_repeat_one_another():
    data = by_cell(clrs.dataset(["insertion_sort", "bubble_sort"], lengths=[6], seed=0), 40)
    keys = [tuple(t.inputs["key"]) for traces in data.values() for t in traces]
    assert len(set(keys)) == 40
    longer = clrs.dataset(["insertion_sort"], lengths=[6, 7], seed=0)[0:2]
    assert longer[0].inputs["key"].tolist() != longer[1].inputs["key"][:6].tolist()


def test_lengths_can_be_given_for_each_algorithm_and_as_one_number():
    data = clrs.dataset(["bfs", "minimum"], lengths={"bfs": [4], "minimum": [5, 9]}, seed=0)
    assert sorted((t.name, t.size) for t in data[0:3]) == [("bfs", 4), ("minimum", 5), ("minimum", 9)]
    assert [t.size for t in clrs.dataset("bfs", lengths=7, count=3)] == [7, 7, 7]


def test_options_reach_their_own_algorithm_only():
    data = clrs.dataset(["bfs", "dfs"], lengths=[6], seed=0, count=20, options={"bfs": {"p": 1.0}})
    for t in data:
        assert bool(t.inputs["A"].all()) == (t.name == "bfs")


def test_truncation_applies_to_every_item():
    for t in clrs.dataset(["minimum", "graham_scan"], lengths=[6], seed=0, count=10, truncate_decimals=2):
        for probe in {"minimum": ["key"], "graham_scan": ["x", "y"]}[t.name]:
            assert np.array_equal(t.inputs[probe], np.round(t.inputs[probe], 2))


def test_negative_indices_count_from_the_end_and_indices_beyond_it_are_refused():
    data = clrs.dataset("bfs", lengths=[4], seed=0, count=5)
    assert same(data[-1], data[4]) and same(data[-5], data[0])
    for i in (5, -6, 10**9):
        with pytest.raises(IndexError, match="0..4"):
            data[i]


@pytest.mark.parametrize("item", ["1", 1.0, None, (0, 1)], ids=repr)
def test_an_index_is_an_integer(item):
    with pytest.raises(TypeError):
        clrs.dataset("bfs", lengths=[4], seed=0, count=5)[item]


def test_an_endless_dataset_has_no_length_no_last_item_and_no_open_slice():
    data = clrs.dataset("bfs", lengths=[4], seed=0)
    with pytest.raises(TypeError, match="count"):
        len(data)
    with pytest.raises(IndexError, match="-1"):
        data[-1]
    for part in (slice(None), slice(3, None), slice(-3, None), slice(0, -1)):
        with pytest.raises(BadInput, match="slice"):
            data[part]
    assert len(list(islice(data, 200))) == 200


def test_an_endless_dataset_can_be_taken_backwards():
    data = clrs.dataset("bfs", lengths=[4], seed=0)
    traces = data[5:1:-2]
    assert len(traces) == 2 and same(traces[0], data[5]) and same(traces[1], data[3])


def test_an_empty_dataset_is_empty():
    data = clrs.dataset("bfs", lengths=[4], count=0)
    assert len(data) == 0 and list(data) == [] and data[:] == []


def test_items_far_out_can_be_reached():
    data = clrs.dataset("minimum", lengths=[4], seed=2**64 - 1)
    assert same(data[10**12], data[10**12]) and not same(data[10**12], data[10**12 + 1])


# ---------- traces


@pytest.mark.parametrize("name", clrs.ALGORITHMS)
def test_a_pickled_trace_comes_back_whole(name):
    t = clrs.sample(name, length=6, count=3, seed=1)[1]
    back = pickle.loads(pickle.dumps(t))
    assert same(t, back) and dict(back.spec) == dict(t.spec)


def test_a_pickled_trace_holds_its_own_sample_only():
    (alone,), among = (
        clrs.sample("minimum", length=16, count=1, seed=1),
        clrs.sample("minimum", length=16, count=128, seed=1),
    )
    assert len(pickle.dumps(among[0])) < 2 * len(pickle.dumps(alone))


def test_a_trace_outlives_its_siblings_and_the_next_samples():
    traces = [clrs.sample("minimum", length=6, count=50, seed=seed)[seed] for seed in range(20)]
    before = [t.inputs["key"].tolist() for t in traces]
    for seed in range(100, 130):
        clrs.sample("minimum", length=6, count=50, seed=seed)
    assert [t.inputs["key"].tolist() for t in traces] == before
    rng = np.random.RandomState(0)
    assert before[0] == rng.uniform(0, 1, 6).tolist()
