"""Everything ``clrs`` refuses: each refusal is a ``BadInput`` (a ``ValueError``) of one short line that names the field
and the value, or what is allowed.
"""

import numpy as np
import pytest

from outrange.core.errors import BadInput
from outrange.reasoning import clrs

NAN, INF = float("nan"), float("inf")
KEY = [0.1, 0.2, 0.3, 0.4]
PATH = np.array([[0, 1, 0, 0], [1, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0]])  # 0 - 1 - 2, and 3 alone
ONE_WAY = np.triu(PATH)


def refused(call, *words):
    """The call raises BadInput with one line that holds all the words."""
    with pytest.raises(BadInput) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message and 20 < len(message) < 400, message
    for word in words:
        assert str(word) in message, f"{word!r} is not in: {message}"


def trace_refused(name, inputs, *words):
    refused(lambda: clrs.trace(name, inputs), name, *words)


def test_bad_input_is_a_value_error():
    assert issubclass(BadInput, ValueError)


# ---------- algorithm names


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("bsf", "bfs"),
        ("BFS", "bfs"),
        ("bellman-ford", "bellman_ford"),
        ("quick_sort", "quicksort"),
        ("Dijkstra ", "dijkstra"),
        ("bfs\n", "bfs"),
    ],
)
def test_an_unknown_algorithm_is_answered_with_the_nearest_one(name, nearest):
    quoted = repr(name)[1:-1]
    refused(lambda: clrs.spec(name), "algorithm", quoted, repr(nearest))
    refused(lambda: clrs.trace(name, {"key": KEY}), "algorithm", quoted, repr(nearest))
    refused(lambda: clrs.sample(name, length=4), "algorithm", quoted, repr(nearest))
    refused(lambda: clrs.dataset([name], [4]), "dataset algorithms", quoted, repr(nearest))
    refused(lambda: clrs.dataset(["dfs", name], [4]), "dataset algorithms", quoted, repr(nearest))


@pytest.mark.parametrize("name", ["", None, 3, ["bfs"], b"bfs", "x" * 100_000, "two\nlines"])
def test_what_is_no_name_at_all_is_refused_in_one_line(name):
    for call in (
        lambda: clrs.spec(name),
        lambda: clrs.trace(name, {}),
        lambda: clrs.sample(name, length=4),
        lambda: clrs.dataset([name], [4]),
    ):
        refused(call, "algorithm")


# ---------- lengths, counts and seeds

NOT_WHOLE = [2.5, 4.0, True, "8", None, NAN, INF, [4], np.float64(4)]


@pytest.mark.parametrize("name", clrs.ALGORITHMS)
@pytest.mark.parametrize("length", [0, -1])
def test_a_length_below_one_is_refused(name, length):
    refused(lambda: clrs.sample(name, length=length), name, "length", length)


@pytest.mark.parametrize(
    "name", [name for name in clrs.ALGORITHMS if name not in ("optimal_bst", "segments_intersect")]
)
def test_a_length_of_one_is_refused_where_it_gives_a_single_node(name):
    refused(lambda: clrs.sample(name, length=1), name, "length", "1 ", "at least")


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("graham_scan", 3),
        ("jarvis_march", 3),
        ("kmp_matcher", 3),
        ("naive_string_matcher", 3),
        ("strongly_connected_components", 4),
    ],
)
def test_a_length_that_is_too_small_for_the_task_is_refused_and_the_next_is_not(name, least):
    refused(lambda: clrs.sample(name, length=least - 1), name, "length", least - 1, least)
    assert len(clrs.sample(name, length=least)) == 1


@pytest.mark.parametrize("value", NOT_WHOLE, ids=repr)
def test_what_is_not_a_whole_number_is_no_length_count_or_seed(value):
    refused(lambda: clrs.sample("bfs", length=value), "bfs length", "whole number")
    refused(lambda: clrs.sample("bfs", 4, count=value), "count", "whole number")
    refused(lambda: clrs.sample("bfs", 4, seed=value), "seed", "whole number")
    refused(lambda: clrs.dataset(["bfs"], [4], seed=value), "dataset seed", "whole number")
    if value is not None:  # no count is an endless dataset, no truncation the default
        refused(lambda: clrs.dataset(["bfs"], [4], count=value), "dataset count", "whole number")
        refused(lambda: clrs.sample("bfs", 4, truncate_decimals=value), "truncate_decimals", "whole number")
        refused(lambda: clrs.dataset(["bfs"], [4], truncate_decimals=value), "truncate_decimals", "whole number")


@pytest.mark.parametrize("value", [2.5, 4.0, True, "8", NAN, INF, [4], None], ids=repr)
def test_what_is_not_a_whole_number_is_no_length_of_a_dataset(value):
    refused(lambda: clrs.dataset(["bfs"], [value]), "length")
    refused(lambda: clrs.dataset(["bfs"], {"bfs": [value]}), "length")


@pytest.mark.parametrize("value", [True, "8", None, 2.5], ids=repr)
def test_lengths_of_a_dataset_are_numbers_in_a_list(value):
    refused(lambda: clrs.dataset(["bfs"], value), "length")
    refused(lambda: clrs.dataset(["bfs"], {"bfs": value}), "length")


def test_negative_counts_are_refused():
    refused(lambda: clrs.sample("bfs", 4, count=-1), "count", "-1", "at least 0")
    refused(lambda: clrs.dataset(["bfs"], [4], count=-3), "dataset count", "-3", "at least 0")


def test_seeds_out_of_range_are_refused():
    for seed in (-1, 2**32, 10**30):
        refused(lambda seed=seed: clrs.sample("bfs", 4, seed=seed), "seed", seed, "0 to 4,294,967,295")
    for seed in (-1, 2**64, 10**30):
        refused(lambda seed=seed: clrs.dataset(["bfs"], [4], seed=seed), "seed", seed, f"{2**64 - 1:,}")
    assert len(clrs.sample("bfs", 4, seed=2**32 - 1)) == 1 and clrs.dataset(["bfs"], [4], seed=2**64 - 1)[0].size == 4


@pytest.mark.parametrize("decimals", [-1, 16, 400])
def test_decimals_out_of_range_are_refused(decimals):
    refused(lambda: clrs.sample("minimum", 4, truncate_decimals=decimals), "truncate_decimals", decimals, "0 to 15")
    refused(
        lambda: clrs.dataset(["minimum"], [4], truncate_decimals=decimals), "truncate_decimals", decimals, "0 to 15"
    )


EDGES = [name for name in clrs.ALGORITHMS if any(probe.location == "edge" for probe in clrs.spec(name).values())]


@pytest.mark.parametrize("name", EDGES)
def test_a_length_whose_matrices_cannot_be_held_is_refused_before_anything_is_drawn(name):
    refused(lambda: clrs.sample(name, length=1_000_000), name, "length", "1000000", "at most")
    refused(lambda: clrs.dataset([name], [1_000_000], count=1)[0], name, "length", "1000000", "at most")


def test_twelve_graph_algorithms_and_three_dynamic_programs_have_edges():
    assert len(EDGES) == 12 + 3 and {"lcs_length", "matrix_chain_order", "optimal_bst", "bfs"} <= set(EDGES)


def test_an_absurd_length_is_refused():
    refused(lambda: clrs.sample("minimum", length=10**30), "minimum length", "whole number")


# ---------- sampler options


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("bfs", {"q": 0.5}, ["'q'", "p"]),
        ("bfs", {"P": 0.5}, ["'P'", "did you mean 'p'"]),
        ("bfs", {"low": 0.5}, ["'low'"]),
        ("minimum", {"p": 0.5}, ["'p'", "low"]),
        ("optimal_bst", {"low": 0.5}, ["'low'", "none"]),
        ("kmp_matcher", {"needle_length": 2}, ["'needle_length'", "length_needle"]),
        ("task_scheduling", {"max_deadlines": 2}, ["'max_deadlines'", "max_deadline"]),
    ],
)
def test_an_unknown_option_is_answered_with_the_options_there_are(name, options, words):
    refused(lambda: clrs.sample(name, 6, **options), name, "option", *words)
    refused(lambda: clrs.dataset([name], [6], options={name: options}), name, "option", *words)


@pytest.mark.parametrize("p", [-0.1, 1.1, NAN, INF, "a", None, True, (), (0.5, 2), [[0.5]], (0.5, NAN)], ids=repr)
def test_an_edge_probability_lies_between_zero_and_one(p):
    for name in ("bfs", "dijkstra", "topological_sort", "strongly_connected_components"):
        refused(lambda name=name: clrs.sample(name, 6, p=p), name, " p: ")


@pytest.mark.parametrize(
    "bounds",
    [
        {"low": 2, "high": 1},
        {"low": 1, "high": 1},
        {"low": NAN},
        {"high": INF},
        {"low": "a"},
        {"high": None},
        {"low": True},
        {"low": -1e308, "high": 1e308},
    ],
    ids=repr,
)
def test_bounds_are_finite_numbers_in_order(bounds):
    for name in ("minimum", "dijkstra", "activity_selector", "binary_search"):
        refused(lambda name=name: clrs.sample(name, 6, **bounds), name, next(iter(bounds)))


@pytest.mark.parametrize(
    "name", ["mst_kruskal", "mst_prim", "dijkstra", "bellman_ford", "floyd_warshall", "dag_shortest_paths"]
)
def test_drawn_weights_are_not_negative(name):
    refused(lambda: clrs.sample(name, 6, low=-1.0, high=1.0), name, "low", "-1", "from 0 up")


@pytest.mark.parametrize("value", [0, -1, 2.5, True, "3", 2**40], ids=repr)
def test_the_largest_deadline_is_a_whole_number_from_one_up(value):
    refused(
        lambda: clrs.sample("task_scheduling", 6, max_deadline=value),
        "task_scheduling max_deadline",
        repr(value),
        "from 1",
    )


@pytest.mark.parametrize("value", [0, 4, 5, 8, 9, -4, -9, 2.5, True, "3"], ids=repr)
def test_a_needle_is_shorter_than_its_haystack(value):
    for name in ("naive_string_matcher", "kmp_matcher"):
        refused(lambda name=name: clrs.sample(name, 8, length_needle=value), name, "length_needle", repr(value))


@pytest.mark.parametrize("value", [0, -1, 2.5, True, "3"], ids=repr)
def test_a_second_string_has_a_letter_at_least(value):
    refused(lambda: clrs.sample("lcs_length", 8, length_2=value), "lcs_length length_2", repr(value))


@pytest.mark.parametrize("value", [0, -1, 9, 2.5, True, "3"], ids=repr)
def test_there_are_at_most_as_many_communities_as_nodes(value):
    refused(
        lambda: clrs.sample("strongly_connected_components", 8, k=value),
        "strongly_connected_components",
        "k",
        repr(value).strip("'"),
    )


@pytest.mark.parametrize("value", [-0.1, 1.1, NAN, "3", None, True], ids=repr)
def test_the_toggle_probability_lies_between_zero_and_one(value):
    refused(
        lambda: clrs.sample("strongly_connected_components", 8, eps=value),
        "strongly_connected_components eps",
        repr(value),
        "0 to 1",
    )


@pytest.mark.parametrize("name", ["graham_scan", "jarvis_march"])
def test_a_grid_too_coarse_for_points_in_general_position_is_given_up_on(name):
    refused(lambda: clrs.sample(name, 100, truncate_decimals=0), "length", "100", "three on a line")


# ---------- datasets


def test_a_dataset_needs_algorithms_and_lengths():
    refused(lambda: clrs.dataset([], [4]), "dataset algorithms", "at least one")
    refused(lambda: clrs.dataset(["bfs"], []), "dataset lengths", "'bfs'", "at least one")
    refused(lambda: clrs.dataset(["bfs", "dfs"], {"bfs": [4]}), "dataset lengths", "'dfs'", "at least one")


@pytest.mark.parametrize("algorithms", [None, 3], ids=repr)
def test_algorithms_of_a_dataset_are_names(algorithms):
    refused(lambda: clrs.dataset(algorithms, [4]), "dataset algorithms", repr(algorithms))


def test_a_dataset_holds_each_algorithm_and_length_once():
    refused(lambda: clrs.dataset(["bfs", "dfs", "bfs"], [4]), "bfs", "4", "twice")
    refused(lambda: clrs.dataset(["bfs"], [4, 8, 4]), "bfs", "4", "twice")


def test_options_of_a_dataset_belong_to_its_algorithms():
    refused(lambda: clrs.dataset(["bfs"], [4], options={"dfs": {"p": 0.5}}), "dataset options", "'dfs'")
    refused(lambda: clrs.dataset(["bfs"], [4], options={"p": 0.5}), "dataset options", "'p'")
    refused(lambda: clrs.dataset(["bfs"], [4], options={"bfs": {"p": 7}}), "bfs p", "7")


@pytest.mark.parametrize("options", [{"bfs": None}, {"bfs": 3}, {"bfs": 0.5}, 3], ids=repr)
def test_options_of_a_dataset_are_mappings(options):
    refused(lambda: clrs.dataset(["bfs"], [4], options=options), "options")


# ---------- names and forms of inputs


def test_missing_inputs_are_named():
    trace_refused("minimum", {}, "'key'", "missing")
    trace_refused("bfs", {"A": PATH}, "'s'", "missing")
    trace_refused("bfs", {"s": 0}, "'A'", "missing")
    trace_refused("binary_search", {"key": KEY}, "'target'", "missing")
    trace_refused("kmp_matcher", {"key": [0, 1, 2]}, "'string'", "missing")


def test_unknown_inputs_are_named_with_the_nearest():
    trace_refused("minimum", {"key": KEY, "kye": KEY}, "'kye'", "did you mean 'key'")
    trace_refused("minimum", {"keys": KEY}, "'keys'", "did you mean 'key'")
    trace_refused("bfs", {"A": PATH, "S": 0}, "'S'", "did you mean 's'")
    trace_refused("minimum", {"key": KEY, "pred": [0, 0, 1, 2]}, "'pred'", "key")
    trace_refused("minimum", {"key": KEY, "adj": np.eye(4)}, "'adj'", "key")
    trace_refused("minimum", {"key": KEY, 3: 3}, "3", "key")


@pytest.mark.parametrize("inputs", [None, [], "key", 3, KEY], ids=repr)
def test_inputs_are_a_mapping(inputs):
    trace_refused("minimum", inputs, "inputs", "mapping")


@pytest.mark.parametrize(
    "value",
    [
        None,
        "abcd",
        b"abcd",
        list("abcd"),
        [1, 2, "3"],
        [[1, 2], [3]],
        [1, [2]],
        [1, 2j],
        [None, 1.0],
        {1, 2},
        {"a": 1},
        iter(KEY),
        [10**400, 1],
    ]
    + [np.array(KEY, object), np.array(["a", "b"]), np.array([1 + 2j, 3]), np.array([1, 2], "datetime64[s]")],
    ids=lambda v: type(v).__name__,
)
def test_ragged_lists_strings_and_objects_are_no_arrays(value):
    trace_refused("minimum", {"key": value}, "key", "not an array of numbers")
    trace_refused("bfs", {"A": value, "s": 0}, "A", "not an array of numbers")
    trace_refused("binary_search", {"key": KEY, "target": value}, "target", "not an array of numbers")
    trace_refused("task_scheduling", {"d": value, "w": KEY}, "d", "not an array of numbers")
    trace_refused("minimum", {"key": KEY, "pos": value}, "pos", "not an array of numbers")


def test_an_iterator_is_refused_by_its_name():
    trace_refused("minimum", {"key": (k for k in KEY)}, "key", "generator")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (1.0, ["()", "vector"]),
        ([], ["(0,)", "at least 2"]),
        ([1.0], ["1 node", "at least 2"]),
        ([KEY, KEY], ["(2, 4)"]),
        (np.zeros((4, 1)), ["(4, 1)", "(4,)"]),
    ],
    ids=repr,
)
def test_keys_of_a_wrong_shape_are_refused(value, words):
    trace_refused("minimum", {"key": value}, "key", *words)
    trace_refused("heapsort", {"key": value}, "key", *words)


@pytest.mark.parametrize("A", [PATH[:3], PATH[:, :3], PATH[:, :, None], [[0]]], ids=lambda A: str(np.shape(A)))
@pytest.mark.parametrize(
    "name", ["bfs", "dfs", "mst_kruskal", "dijkstra", "strongly_connected_components", "floyd_warshall"]
)
def test_a_matrix_is_square_and_of_two_nodes_at_least(name, A):
    inputs = {"A": A, "s": 0} if "s" in clrs.spec(name).arguments else {"A": A}
    trace_refused(name, inputs, f"{name} A")


@pytest.mark.parametrize("A", [PATH[0], np.zeros((0, 0), int), 1], ids=lambda A: str(np.shape(A)))
def test_the_matrix_is_blamed_for_its_shape_also_where_the_source_is_an_index(A):
    trace_refused("bfs", {"A": A, "s": 0}, "bfs A", np.shape(A))
    trace_refused("dijkstra", {"A": A, "s": 0}, "dijkstra A", np.shape(A))


def test_arrays_of_different_lengths_are_refused():
    trace_refused("activity_selector", {"s": [1, 2], "f": [2, 3, 4]}, "f", "(3,)", "(2,)")
    trace_refused("task_scheduling", {"d": [1, 2, 3], "w": [1, 1]}, "w", "(2,)", "(3,)")
    trace_refused("graham_scan", {"x": KEY, "y": KEY[:3]}, "y", "(3,)", "(4,)")
    trace_refused("kmp_matcher", {"string": [0, 0, 1, 1], "key": [0, 1, 2]}, "key", "(3,)", "(4,)")
    trace_refused("minimum", {"key": KEY, "pos": [0, 1]}, "pos", "(2,)", "(4,)")
    trace_refused("binary_search", {"key": KEY, "target": [0.2]}, "target", "(1,)", "()")
    trace_refused("bfs", {"A": PATH, "s": [1, 0, 0]}, "s", "(3,)", "(4,)")


@pytest.mark.parametrize("value", [NAN, INF, -INF], ids=repr)
@pytest.mark.parametrize(
    ("name", "inputs", "probe"),
    [
        ("minimum", {"key": KEY}, "key"),
        ("minimum", {"key": KEY, "pos": [0.0, 0.25, 0.5, 0.75]}, "pos"),
        ("binary_search", {"key": KEY, "target": 0.2}, "key"),
        ("binary_search", {"key": KEY, "target": 0.2}, "target"),
        ("activity_selector", {"s": [0.0, 1.0], "f": [1.0, 2.0]}, "f"),
        ("task_scheduling", {"d": [1.0, 2.0], "w": [1.0, 2.0]}, "d"),
        ("task_scheduling", {"d": [1.0, 2.0], "w": [1.0, 2.0]}, "w"),
        ("matrix_chain_order", {"p": KEY}, "p"),
        ("optimal_bst", {"p": [0.5, 0.0], "q": [0.25, 0.25]}, "q"),
        ("dfs", {"A": PATH * 1.0}, "A"),
        ("bfs", {"A": PATH * 1.0, "s": 0}, "A"),
        ("bfs", {"A": PATH * 1.0, "s": 0.0}, "s"),
        ("mst_kruskal", {"A": PATH * 1.0}, "A"),
        ("bellman_ford", {"A": PATH * 1.0, "s": 0}, "A"),
        ("dag_shortest_paths", {"A": ONE_WAY * 1.0, "s": 0}, "A"),
        ("floyd_warshall", {"A": PATH * 1.0}, "A"),
        ("kmp_matcher", {"string": [0, 0, 1], "key": [0.0, 1.0, 1.0]}, "key"),
        ("segments_intersect", {"x": KEY, "y": KEY}, "x"),
        ("jarvis_march", {"x": KEY, "y": [0.0, 1.0, 0.0, 2.0]}, "y"),
    ],
)
def test_only_finite_numbers_are_taken(name, inputs, probe, value):
    spoiled = np.array(inputs[probe], float)
    spoiled.reshape(-1)[0] = value
    trace_refused(name, {**inputs, probe: spoiled}, f"{name} {probe}", value, "finite")


def test_a_given_adj_must_agree_with_the_matrix():
    trace_refused("bfs", {"A": PATH, "s": 0, "adj": PATH}, "adj", "diagonal")
    trace_refused("bfs", {"A": PATH, "s": 0, "adj": np.eye(4)}, "adj", "diagonal")
    assert clrs.trace("bfs", {"A": PATH, "s": 0, "adj": PATH + np.eye(4)}).length == 3


# ---------- what an algorithm requires


@pytest.mark.parametrize("s", [-1, 4, 4.0, 1.5, 10**6, "0", None], ids=repr)
@pytest.mark.parametrize("name", ["bfs", "mst_prim", "dijkstra", "bellman_ford"])
def test_a_source_is_one_of_the_nodes(name, s):
    trace_refused(name, {"A": PATH, "s": s}, f"{name} s", repr(s))


@pytest.mark.parametrize(
    "s", [[1, 1, 0, 0], [0, 0, 0, 0], [0, 2, 0, 0], [0.5, 0.5, 0, 0], [-1, 0, 0, 0], [2, -1, 0, 0]], ids=repr
)
def test_a_source_given_as_a_vector_is_one_hot(s):
    trace_refused("bfs", {"A": PATH, "s": s}, "bfs s", "one-hot")
    trace_refused("dag_shortest_paths", {"A": ONE_WAY, "s": s}, "dag_shortest_paths s", "one-hot")


@pytest.mark.parametrize("name", ["bfs", "dfs", "articulation_points", "bridges", "topological_sort"])
def test_unweighted_graphs_hold_whole_numbers(name):
    A = ONE_WAY * 0.5 if name == "topological_sort" else PATH * 0.5
    trace_refused(name, {"A": A, "s": 0} if name == "bfs" else {"A": A}, f"{name} A", "0.5", "whole")


@pytest.mark.parametrize("name", ["bfs", "dijkstra", "mst_kruskal"])
def test_negative_weights_are_refused_where_the_algorithm_cannot_take_them(name):
    trace_refused(
        name, {"A": PATH * -1.0} if name == "mst_kruskal" else {"A": PATH * -1.0, "s": 0}, f"{name} A", "-1", "negative"
    )


@pytest.mark.parametrize("name", ["articulation_points", "bridges", "mst_kruskal", "mst_prim"])
def test_undirected_algorithms_refuse_an_asymmetric_matrix(name):
    for A in (ONE_WAY, PATH * np.array([[1, 2, 3, 4]])):
        inputs = {"A": A, "s": 0} if name == "mst_prim" else {"A": A}
        trace_refused(name, inputs, f"{name} A", "(0, 1)", "(1, 0)", "symmetric")


@pytest.mark.parametrize(
    "A",
    [PATH, np.diag([0, 1, 0, 0]), np.array([[0, 1, 0, 0], [0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]])],
    ids=["two nodes", "a loop", "three nodes"],
)
def test_acyclic_algorithms_refuse_cycles_and_loops(A):
    trace_refused("topological_sort", {"A": A}, "topological_sort A", "cycle")
    trace_refused("dag_shortest_paths", {"A": A * 0.5, "s": 0}, "dag_shortest_paths A", "cycle")
    trace_refused("dag_shortest_paths", {"A": A * 0.5, "s": 3}, "dag_shortest_paths A", "cycle")


@pytest.mark.parametrize(
    "A",
    [
        np.array([[0, 1, 0, 0], [0, 0, -2, 0], [0, 0, 0, 1.5], [0, 0.25, 0, 0]]),
        np.diag([0, -1.0, 0, 0]),
        np.array([[0, -1.0], [-1.0, 0]]),
    ],
    ids=["three nodes", "a loop", "an undirected edge"],
)
def test_shortest_paths_refuse_cycles_of_negative_weight(A):
    trace_refused("bellman_ford", {"A": A, "s": 0}, "bellman_ford A", "negative")
    trace_refused("floyd_warshall", {"A": A}, "floyd_warshall A", "negative")


def test_binary_search_takes_sorted_keys():
    trace_refused("binary_search", {"key": [0.1, 0.3, 0.2, 0.4], "target": 0.2}, "binary_search key", "sorted")
    trace_refused("binary_search", {"key": KEY[::-1], "target": 0.2}, "binary_search key", "sorted")


def test_activities_start_before_they_finish():
    trace_refused("activity_selector", {"s": [0.0, 3.0], "f": [1.0, 2.0]}, "activity_selector s", "1", "3", "2")


@pytest.mark.parametrize("d", [[0, 1], [2, -1]], ids=repr)
def test_deadlines_start_at_one(d):
    trace_refused("task_scheduling", {"d": d, "w": [1, 1]}, "task_scheduling d", "from 1")


def test_deadlines_are_whole_numbers_and_the_refusal_does_not_speak_of_edges():
    with pytest.raises(BadInput) as caught:
        clrs.trace("task_scheduling", {"d": [1.5, 1], "w": [1, 1]})
    assert "task_scheduling d" in str(caught.value) and "1.5" in str(caught.value) and "edge" not in str(caught.value)


def test_deadlines_beyond_an_integer_are_refused():
    for d in ([2**63, 1], [1e300, 1]):
        trace_refused("task_scheduling", {"d": d, "w": [1, 1]}, "task_scheduling d")


@pytest.mark.parametrize("name", ["naive_string_matcher", "kmp_matcher", "lcs_length"])
def test_letters_are_four_classes(name):
    for key, wrong in (([0, 1, 4], "4"), ([0, 1, -1], "-1"), ([0, 1.5, 1], "1.5")):
        trace_refused(name, {"string": [0, 0, 1], "key": key}, f"{name} key", wrong, "0 to 3")
    for key in (np.zeros((3, 4)), np.ones((3, 4)), -np.eye(3, 4)):
        trace_refused(name, {"string": [0, 0, 1], "key": key}, f"{name} key", "one-hot")
    trace_refused(name, {"string": [0, 0, 1], "key": np.eye(3)}, f"{name} key", "(3, 3)", "(3, 4)")


@pytest.mark.parametrize("name", ["naive_string_matcher", "kmp_matcher", "lcs_length"])
@pytest.mark.parametrize("string", [[0, 0, 0], [1, 1, 1], [0, 1, 0], [1, 0, 0]], ids=repr)
def test_two_strings_follow_each_other(name, string):
    trace_refused(name, {"string": string, "key": [0, 1, 2]}, f"{name} string", "0", "1")


@pytest.mark.parametrize("string", [[0, 0, 2], [0, 0, 0.5], [0, 0, -1]], ids=repr)
def test_the_string_mask_holds_zero_and_one(string):
    trace_refused("kmp_matcher", {"string": string, "key": [0, 1, 2]}, "kmp_matcher string", string[-1], "0 and 1")


@pytest.mark.parametrize("name", ["naive_string_matcher", "kmp_matcher"])
def test_a_given_needle_is_not_longer_than_its_haystack(name):
    trace_refused(name, {"string": [0, 1, 1], "key": [0, 1, 2]}, f"{name} string", "needle", "2", "1")
    assert clrs.trace(name, {"string": [0, 0, 1, 1], "key": [0, 1, 0, 1]}).outputs["match"].tolist() == [1, 0, 0, 0]


def test_segments_are_four_points():
    for n in (3, 5):
        points = list(range(n))
        trace_refused("segments_intersect", {"x": points, "y": points}, "segments_intersect x", n, "4")


def test_optimal_bst_takes_one_gap_more_than_keys():
    trace_refused(
        "optimal_bst", {"p": [0.25, 0.25, 0.25], "q": [0.1, 0.1, 0.1]}, "optimal_bst p", "0.25", "one entry less"
    )
    trace_refused("optimal_bst", {"p": [0.5, 0.5, 0, 0], "q": [0.1, 0.1, 0.1]}, "optimal_bst q", "(3,)", "(4,)")
    padded, bare = (clrs.trace("optimal_bst", {"p": p, "q": [0.1, 0.1, 0.1]}) for p in ([0.5, 0.2, 0.0], [0.5, 0.2]))
    assert padded.inputs["p"].tolist() == bare.inputs["p"].tolist() == [0.5, 0.2, 0.0]


def test_probabilities_are_not_negative():
    trace_refused("optimal_bst", {"p": [-0.5, 0.5, 0], "q": [0.1, 0.1, 0.1]}, "optimal_bst", "p", "negative")
    trace_refused("optimal_bst", {"p": [0.5, 0.5, 0], "q": [0.1, -0.1, 0.1]}, "optimal_bst", "q", "negative")


def test_too_large_a_probability_is_not_called_negative():
    with pytest.raises(BadInput) as caught:
        clrs.trace("optimal_bst", {"p": [1e9, 1e9, 0], "q": [1, 1, 1]})
    assert "not negative" not in str(caught.value)
