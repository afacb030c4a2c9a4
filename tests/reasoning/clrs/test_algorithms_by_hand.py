"""Thirty algorithms against traces worked out by hand from their definitions (CLRS-30, arXiv 2205.15659; published
package dm-clrs 2.0.3).

Every case is small enough to follow on paper: the comment above it gives the computation, the assertions its result.
Hints are compared step by step, with one-hots written as the index of their 1, categoricals as class numbers, and
everything else as it stands. ``P`` is always the working permutation: P[i] is the node (the original index) whose
element is now at position i. A predecessor chain points from each node to the one before it; the first to itself.
"""

from itertools import accumulate
from pathlib import Path

import numpy as np
import pytest

from outrange.reasoning import clrs


def plain(probe, array, leading):
    """A public array as Python lists and numbers; ``leading`` axes come before the probe's own."""
    if probe.type == "mask_one":
        assert (np.sort(array, axis=-1)[..., -1] == 1).all() and (np.abs(array).sum(-1) == 1).all(), "not one-hot"
        return array.argmax(-1).tolist()
    if probe.type == "categorical":
        assert (np.abs(array).sum(-1) == 1).all(), "not one class"
        return np.where(array.min(-1) < 0, -1, array.argmax(-1)).tolist()
    assert array.ndim == leading + {"node": 1, "edge": 2, "graph": 0}[probe.location]
    return array.tolist()


def hint(trace, name):
    """One hint over all steps."""
    return plain(clrs.spec(trace.name)[name], trace.hints[name], 1)


def steps(trace, *names):
    """For every step a tuple of hints."""
    return list(zip(*(hint(trace, name) for name in names), strict=True))


def output(trace, name):
    return plain(clrs.spec(trace.name)[name], trace.outputs[name], 0)


def graph(n, *edges, directed=False, dtype=float):
    """A matrix from (i, j) or (i, j, weight)."""
    A = np.zeros((n, n), dtype)
    for i, j, *weight in edges:
        A[i, j] = weight[0] if weight else 1
        if not directed:
            A[j, i] = A[i, j]
    return A


def symmetric(n, *pairs):
    """A 0/1 matrix with these unordered pairs."""
    return graph(n, *pairs, dtype=int).tolist()


def clock(ticks):
    """0, 0.01, 0.02, … by repeated addition, as the published package keeps time."""
    return list(accumulate([0.0] + [0.01] * ticks))


def test_every_one_of_the_thirty_algorithms_has_a_case_in_this_file():
    text = Path(__file__).read_text(encoding="utf-8")
    assert len(clrs.ALGORITHMS) == 30 and [name for name in clrs.ALGORITHMS if f'clrs.trace("{name}"' not in text] == []


# ---------- sorting
# The keys 3, 1, 2, 1 sit at nodes 0, 1, 2, 3. In order they are nodes 1, 3, 2, 0 when equal keys keep their order, so
# the chain is 1 <- 3 <- 2 <- 0.

KEYS = [3.0, 1.0, 2.0, 1.0]
SORTED_CHAIN = [2, 1, 3, 1]


def test_insertion_sort_names_the_displaced_element_and_the_original_index():
    t = clrs.trace("insertion_sort", {"key": KEYS})
    assert output(t, "pred") == SORTED_CHAIN
    assert t.length == 4  # n
    assert steps(t, "pred_h", "i", "j") == [
        ([0, 0, 1, 2], 0, 0),  # P = 0 1 2 3
        ([1, 1, 0, 2], 0, 1),  # node 1 goes before node 0, whose slot it takes:        P = 1 0 2 3
        ([2, 1, 1, 0], 0, 2),  # node 2 goes before node 0:                             P = 1 2 0 3
        ([2, 1, 3, 1], 2, 3),  # node 3 passes 0 and 2, stops at the equal key of 1:    P = 1 3 2 0
    ]


def test_insertion_sort_of_sorted_and_equal_keys_shifts_nothing_so_i_equals_j():
    for keys in ([1.0, 2.0, 3.0, 4.0], [5.0, 5.0, 5.0, 5.0]):
        t = clrs.trace("insertion_sort", {"key": keys})
        assert steps(t, "pred_h", "i", "j") == [([0, 0, 1, 2], j, j) for j in range(4)]
        assert output(t, "pred") == [0, 0, 1, 2]


def test_insertion_sort_of_reversed_keys_displaces_the_smallest_so_far_every_time():
    t = clrs.trace("insertion_sort", {"key": [4.0, 3.0, 2.0, 1.0]})
    # P = 0 1 2 3, then 1 0 2 3, then 2 1 0 3, then 3 2 1 0
    assert steps(t, "pred_h", "i", "j") == [
        ([0, 0, 1, 2], 0, 0),
        ([1, 1, 0, 2], 0, 1),
        ([1, 2, 2, 0], 1, 2),
        ([1, 2, 3, 3], 2, 3),
    ]
    assert output(t, "pred") == [1, 2, 3, 3]


def test_bubble_sort_records_every_comparison_from_the_right():
    t = clrs.trace("bubble_sort", {"key": KEYS})
    assert output(t, "pred") == SORTED_CHAIN
    assert t.length == 7  # 1 + 4 * 3 / 2
    assert steps(t, "pred_h", "i", "j") == [
        ([0, 0, 1, 2], 0, 0),  # P = 0 1 2 3, keys 3 1 2 1
        ([0, 0, 3, 1], 0, 2),  # positions 3, 2: 1 < 2 swaps.        P = 0 1 3 2, keys 3 1 1 2; i = P[0], j = P[3]
        ([0, 0, 3, 1], 0, 3),  # positions 2, 1: 1 < 1 does not;     j = P[2]
        ([1, 1, 3, 0], 1, 0),  # positions 1, 0: 1 < 3 swaps.        P = 1 0 3 2, keys 1 3 1 2; i = P[0], j = P[1]
        ([1, 1, 3, 0], 0, 2),  # now i = P[1]; positions 3, 2: no;   j = P[3]
        ([3, 1, 0, 1], 3, 0),  # positions 2, 1: 1 < 3 swaps.        P = 1 3 0 2, keys 1 1 3 2; i = P[1], j = P[2]
        ([2, 1, 3, 1], 2, 0),  # positions 3, 2: 2 < 3 swaps.        P = 1 3 2 0; i = P[2], j = P[3]
    ]


def test_bubble_sort_of_equal_keys_compares_all_pairs_and_moves_nothing():
    t = clrs.trace("bubble_sort", {"key": [5.0] * 4})
    assert steps(t, "pred_h", "i", "j") == [
        ([0, 0, 1, 2], i, j) for i, j in [(0, 0), (0, 3), (0, 2), (0, 1), (1, 3), (1, 2), (2, 3)]
    ]


def test_heapsort_builds_then_retires_the_root_and_sifts():
    t = clrs.trace("heapsort", {"key": KEYS})
    assert output(t, "pred") == SORTED_CHAIN
    assert t.length == 12  # 3 * 4 - 1 + one swap while sifting down
    # 3 1 2 1 is a heap already: four sifts change nothing. Retire node 0: P = 3 1 2 0, keys 1 1 2 | 3; its sift lifts
    # node 2: P = 2 1 3 0, keys 2 1 1 | 3.
    # Retire node 2: P = 3 1 2 0, keys 1 1 | 2 3. Retire node 3: P = 1 3 2 0, keys 1 | 1 2 3.
    heap, first, second, identity = [0, 0, 0, 1], [0, 3, 3, 3], [0, 2, 2, 2], [0, 1, 2, 3]
    assert steps(t, "phase", "parent", "i", "j", "largest", "heap_size") == [
        (0, heap, 3, 3, 3, 3),
        (0, heap, 3, 3, 3, 3),  # sift position 3, a leaf
        (0, heap, 2, 2, 2, 3),
        (0, heap, 1, 1, 1, 3),  # the child's key 1 is not greater than 1
        (0, heap, 0, 0, 0, 3),
        (1, first, 3, 0, 0, 2),  # i = the new root, j = the retired, largest = node 0 always, heap_size = P[2]
        (
            2,
            second,
            0,
            2,
            3,
            3,
        ),  # sift from the root, swapped with position 2: i = the retired, j = P[0], largest = P[2]
        (2, second, 0, 3, 3, 3),  # and again at position 2, no swap: j = largest = P[2]
        (1, [0, 3, 2, 3], 3, 2, 0, 1),
        (2, [0, 3, 2, 3], 2, 3, 3, 1),
        (1, identity, 1, 3, 0, 1),
        (2, identity, 3, 1, 1, 1),
    ]
    chains = [[0, 0, 1, 2]] * 5 + [[2, 3, 1, 3]] + [[3, 2, 2, 1]] * 2 + [[2, 3, 1, 3]] * 2 + [[2, 1, 3, 1]] * 2
    assert hint(t, "pred_h") == chains


def test_heapsort_of_equal_keys_is_not_stable():
    t = clrs.trace("heapsort", {"key": [5.0] * 4})
    assert t.length == 11  # 3 n - 1, no swap at all
    # only the retiring swaps move anything: P = 3 1 2 0, then 2 1 3 0, then 1 2 3 0
    assert output(t, "pred") == [3, 1, 1, 2]


def test_quicksort_partitions_around_the_last_element():
    t = clrs.trace("quicksort", {"key": KEYS})
    assert output(t, "pred") == SORTED_CHAIN
    assert t.length == 6  # segments of length 4 and 2
    assert steps(t, "p", "r", "i", "j", "pred_h") == [
        # positions 0..3, pivot key 1 (node 3)
        (0, 3, 0, 0, [0, 0, 1, 2]),  # 3 <= 1: no
        (1, 3, 0, 0, [1, 1, 0, 2]),  # 1 <= 1: to position 0.                P = 1 0 2 3
        (1, 3, 0, 2, [1, 1, 0, 2]),  # 2 <= 1: no
        (1, 0, 3, 0, [2, 1, 3, 1]),  # the pivot goes to position 1.         P = 1 3 2 0
        # positions 2..3, pivot key 3 (node 0)
        (2, 0, 0, 2, [2, 1, 3, 1]),  # 2 <= 3: stays at position 2; i names position 3
        (2, 0, 0, 0, [2, 1, 3, 1]),
    ]


def test_quicksort_takes_a_full_staircase_of_segments_on_sorted_and_on_equal_keys():
    for keys in ([1.0, 2.0, 3.0, 4.0], [5.0, 5.0, 5.0, 5.0]):
        t = clrs.trace("quicksort", {"key": keys})
        assert t.length == 4 + 3 + 2
        assert hint(t, "pred_h") == [[0, 0, 1, 2]] * 9 and output(t, "pred") == [0, 0, 1, 2]
        assert steps(t, "p", "r", "i", "j") == [(0, r, min(j + 1, r), j) for r in (3, 2, 1) for j in range(r + 1)]


# ---------- searching


def test_minimum_keeps_the_first_of_equal_minima():
    t = clrs.trace("minimum", {"key": [2.0, 1.0, 3.0, 1.0]})
    assert steps(t, "min_h", "i") == [(0, 0), (1, 1), (1, 2), (1, 3)]
    assert output(t, "min") == 1
    assert hint(t, "pred_h") == [[0, 0, 1, 2]] * 4  # the plain chain of nodes, at every step
    assert output(clrs.trace("minimum", {"key": [7.0] * 5}), "min") == 0


def test_binary_search_halves_until_low_meets_high():
    key = [0.1, 0.3, 0.3, 0.5, 0.9]
    t = clrs.trace("binary_search", {"key": key, "target": 0.3})
    # mid 2: 0.3 <= 0.3, high = 2; mid 1: 0.3 <= 0.3, high = 1; mid 0: 0.3 > 0.1, low = 1. The first of the equal keys
    # is found.
    assert steps(t, "low", "high", "mid") == [(0, 4, 2), (0, 2, 1), (0, 1, 0), (1, 1, 1)]
    assert output(t, "return") == 1
    above_all = clrs.trace("binary_search", {"key": key, "target": 1.0})
    assert steps(above_all, "low", "high", "mid") == [(0, 4, 2), (3, 4, 3), (4, 4, 4)]
    assert output(above_all, "return") == 4  # the last node, although its key is smaller
    below_all = clrs.trace("binary_search", {"key": key, "target": -1.0})
    assert steps(below_all, "low", "high", "mid") == [(0, 4, 2), (0, 2, 1), (0, 1, 0), (0, 0, 0)]
    assert output(below_all, "return") == 0


def test_quickselect_narrows_to_the_upper_median():
    t = clrs.trace("quickselect", {"key": KEYS})
    assert t.length == 7  # segments of length 4, 2 and 1
    assert steps(t, "p", "r", "i", "j", "pivot", "i_rank", "target") == [
        # the partition of quicksort above, looking for place 2 of positions 0..3; i_rank counts from position 0 …
        (0, 3, 0, 0, 3, 0.0, 0.5),
        (1, 3, 0, 0, 3, 0.25, 0.5),
        (1, 3, 0, 2, 3, 0.25, 0.5),
        (1, 0, 3, 0, 3, 0.25, 0.5),  # the pivot is at position 1, so look for place 2 - 1 - 1 = 0 of positions 2..3
        (2, 0, 0, 2, 0, 0.75, 0.0),
        (
            2,
            0,
            0,
            0,
            0,
            0.25,
            0.0,
        ),  # … and at the end of a partition from the segment's start: 1 / 4. Place 0 is left of it
        (2, 2, 2, 2, 2, 0.0, 0.0),  # a segment of one
    ]
    assert output(t, "median") == 2  # 1 1 [2] 3


# ---------- divide and conquer


def test_kadane_extends_on_a_tie_and_updates_only_on_a_gain():
    t = clrs.trace("find_maximum_subarray_kadane", {"key": [2.0, -3.0, 2.0, 0.0, -1.0]})
    assert steps(t, "best_low", "best_high", "best_sum", "i", "j", "sum") == [
        (0, 0, 2.0, 0, 0, 2.0),
        (0, 0, 2.0, 0, 1, -1.0),  # 2 - 3 >= -3: extend
        (0, 0, 2.0, 2, 2, 2.0),  # -1 + 2 < 2: start again at 2; the sum 2 is no gain
        (0, 0, 2.0, 2, 3, 2.0),
        (0, 0, 2.0, 2, 4, 1.0),
    ]
    assert (output(t, "start"), output(t, "end")) == (0, 0)
    # 1, 0, 3, 4 are the running sums: at the third element 0 + 3 >= 3 extends
    tie = clrs.trace("find_maximum_subarray_kadane", {"key": [1.0, -1.0, 3.0, 1.0]})
    assert (output(tie, "start"), output(tie, "end")) == (0, 3) and hint(tie, "sum") == [1.0, 0.0, 3.0, 4.0]


def test_kadane_on_negative_keys_returns_the_first_largest_single_one():
    t = clrs.trace("find_maximum_subarray_kadane", {"key": [-2.0, -1.0, -3.0, -1.0]})
    assert steps(t, "best_low", "best_high", "best_sum", "i", "j", "sum") == [
        (0, 0, -2.0, 0, 0, -2.0),
        (1, 1, -1.0, 1, 1, -1.0),
        (1, 1, -1.0, 2, 2, -3.0),
        (1, 1, -1.0, 3, 3, -1.0),
    ]
    assert (output(t, "start"), output(t, "end")) == (1, 1)


# ---------- greedy


def test_activity_selector_goes_by_finish_times():
    # by finish: 1 [0, 2), 4 [2, 3), 0 [1, 4), 2 [3, 5), 3 [4, 6)
    t = clrs.trace("activity_selector", {"s": [1.0, 0.0, 3.0, 4.0, 2.0], "f": [4.0, 2.0, 5.0, 6.0, 3.0]})
    assert steps(t, "selected_h", "m", "k") == [
        ([0, 0, 0, 0, 0], 0, 0),
        ([0, 1, 0, 0, 0], 1, 1),
        ([0, 1, 0, 0, 1], 4, 4),  # starts when 1 ends: taken
        ([0, 1, 0, 0, 1], 0, 4),
        ([0, 1, 1, 0, 1], 2, 2),
        ([0, 1, 1, 0, 1], 3, 2),
    ]
    assert output(t, "selected") == [0, 1, 1, 0, 1]


def test_task_scheduling_goes_by_weight_with_one_counter():
    # by weight: 2 (due 1), 1 (due 3), 3 (due 2), 0 (due 1). After two tasks the counter is 2, which is below neither 2
    # nor 1.
    t = clrs.trace("task_scheduling", {"d": [1, 3, 1, 2], "w": [0.2, 0.5, 0.9, 0.4]})
    assert steps(t, "selected_h", "i", "t") == [
        ([0, 0, 0, 0], 0, 0),
        ([0, 0, 1, 0], 2, 1),
        ([0, 1, 1, 0], 1, 2),
        ([0, 1, 1, 0], 3, 2),
        ([0, 1, 1, 0], 0, 2),
    ]
    assert output(t, "selected") == [0, 1, 1, 0]


# ---------- dynamic programming


def test_matrix_chain_order_fills_by_sweeps():
    # matrices 2x3, 3x4, 4x5: (12) costs 24, (23) costs 60; (123) is min(60 + 30, 24 + 40) = 64, split after 2
    t = clrs.trace("matrix_chain_order", {"p": [2.0, 3.0, 4.0, 5.0]})
    assert t.length == 3  # two sweeps that change something and one that does not
    assert hint(t, "m") == [
        [[0.0] * 4] * 4,
        [[0, 0, 0, 0], [0, 0, 24, 0], [0, 0, 0, 60], [0, 0, 0, 0]],
        [[0, 0, 0, 0], [0, 0, 24, 64], [0, 0, 0, 60], [0, 0, 0, 0]],
    ]
    assert hint(t, "s_h") == [
        [[0] * 4] * 4,
        [[0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 2], [0, 0, 0, 0]],
        [[0, 0, 0, 0], [0, 0, 1, 2], [0, 0, 0, 2], [0, 0, 0, 0]],
    ]
    assert hint(t, "msk") == [
        [[0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]],
        [[0, 0, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1], [0, 0, 0, 1]],
        [[0, 0, 0, 0], [0, 1, 1, 1], [0, 0, 1, 1], [0, 0, 0, 1]],
    ]
    assert output(t, "s") == hint(t, "s_h")[-1]


def test_matrix_chain_order_stops_early_when_the_halves_are_best():
    # matrices 1x2, 2x1, 1x2, 2x1: (12)(34) costs 2 + 2 + 1 = 5, known after two sweeps; splits after 1 or 3 cost 6 and
    # change nothing in the third
    t = clrs.trace("matrix_chain_order", {"p": [1.0, 2.0, 1.0, 2.0, 1.0]})
    assert t.length == 3
    assert output(t, "s") == [[0] * 5, [0, 0, 1, 2, 2], [0, 0, 0, 2, 2], [0, 0, 0, 0, 3], [0] * 5]
    assert hint(t, "m")[-1] == [[0] * 5, [0, 0, 2, 4, 5], [0, 0, 0, 4, 4], [0, 0, 0, 0, 2], [0] * 5]


def test_matrix_chain_order_takes_the_first_of_equal_splits():
    t = clrs.trace("matrix_chain_order", {"p": [1.0] * 4})
    assert output(t, "s") == [[0] * 4, [0, 0, 1, 1], [0, 0, 0, 2], [0] * 4]


def lcs_block(cells, nx):
    """The x-by-y corner of an edge matrix: cell (i, j) lies at edge (i, nx + j)."""
    return [row[nx:] for row in cells[:nx]]


def test_lcs_length_fills_the_borders_before_the_first_record():
    # x = 0 1 2, y = 1 2 (nodes 3, 4). First column: 0 ≠ 1 (0, up); 1 = 1 (1, diagonal); 2 ≠ 1 but 1 above (1, up).
    # First row: no match, nothing to the left.
    # Inside: 1 ≠ 2, above 0 < left 1 (1, left); 2 = 2, so 1 + 1 (2, diagonal).
    t = clrs.trace("lcs_length", {"string": [0, 0, 0, 1, 1], "key": [0, 1, 2, 1, 2]})
    assert t.length == 2
    assert [lcs_block(c, 3) for c in hint(t, "c")] == [[[0, 0], [1, 0], [1, 0]], [[0, 0], [1, 1], [1, 2]]]
    assert [lcs_block(b, 3) for b in hint(t, "b_h")] == [[[1, 1], [0, 0], [1, 0]], [[1, 1], [0, 2], [1, 0]]]
    assert output(t, "b") == [[-1, -1, -1, 1, 1], [-1, -1, -1, 0, 2], [-1, -1, -1, 1, 0], [-1] * 5, [-1] * 5]
    assert t.outputs["b"][4, 4].tolist() == [0, 0, 0, -1]  # a hidden cell holds its -1 at the blank class
    assert hint(t, "pred_h") == [[0, 0, 1, 3, 3]] * 2  # two chains
    assert t.inputs["pos"].tolist() == [0, 1 / 3, 2 / 3, 0, 1 / 2]


def test_lcs_length_of_strings_without_a_common_letter_returns_directions_it_never_recorded():
    # all lengths stay 0, so the first sweep is the last; but it does turn the inner cell's direction to up
    t = clrs.trace("lcs_length", {"string": [0, 0, 1, 1], "key": [0, 0, 1, 1]})
    assert t.length == 1
    assert lcs_block(hint(t, "b_h")[0], 2) == [[1, 1], [1, 0]]
    assert lcs_block(output(t, "b"), 2) == [[1, 1], [1, 1]]


def test_lcs_length_carries_a_match_along_the_borders():
    # x = 2 1, y = 2 3 2: the first row is matched, carried from the left, matched; the first column matched, carried
    # from above
    t = clrs.trace("lcs_length", {"string": [0, 0, 1, 1, 1], "key": [2, 1, 2, 3, 2]})
    assert lcs_block(hint(t, "c")[0], 2) == [[1, 1, 1], [1, 0, 0]]
    assert lcs_block(output(t, "b"), 2) == [[0, 2, 0], [1, 1, 1]]  # inside: above and left are equal, which means up


def test_optimal_bst_grows_one_diagonal_a_step():
    # all gaps 1/8; keys 1/4, 1/8, 1/8.
    # one key:    w = 1/2, 3/8, 3/8          e = w + 1/8 + 1/8 = 3/4, 5/8, 5/8
    # two keys:   w = 3/4: root 0: 1/8 + 5/8 + 3/4 = 3/2, root 1: 3/4 + 1/8 + 3/4 = 13/8;   w = 5/8: root 1 and root 2
    # both 11/8, the first is kept
    # three keys: w = 1: root 0: 1/8 + 11/8 + 1 = 5/2, root 1: 3/4 + 5/8 + 1 = 19/8, root 2: 3/2 + 1/8 + 1 = 21/8
    t = clrs.trace("optimal_bst", {"p": [0.25, 0.125, 0.125, 0.0], "q": [0.125] * 4})
    assert t.length == 4 and t.size == 4  # three keys, four nodes
    assert hint(t, "e") == [
        [[0.125, 0, 0, 0], [0, 0.125, 0, 0], [0, 0, 0.125, 0], [0, 0, 0, 0.125]],
        [[0.125, 0.75, 0, 0], [0, 0.125, 0.625, 0], [0, 0, 0.125, 0.625], [0, 0, 0, 0.125]],
        [[0.125, 0.75, 1.5, 0], [0, 0.125, 0.625, 1.375], [0, 0, 0.125, 0.625], [0, 0, 0, 0.125]],
        [[0.125, 0.75, 1.5, 2.375], [0, 0.125, 0.625, 1.375], [0, 0, 0.125, 0.625], [0, 0, 0, 0.125]],
    ]
    assert hint(t, "w")[-1] == [
        [0.125, 0.5, 0.75, 1.0],
        [0, 0.125, 0.375, 0.625],
        [0, 0, 0.125, 0.375],
        [0, 0, 0, 0.125],
    ]
    assert hint(t, "root_h") == [
        [[0] * 4] * 4,
        [[0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 2], [0, 0, 0, 0]],
        [[0, 0, 0, 0], [0, 0, 1, 1], [0, 0, 0, 2], [0, 0, 0, 0]],
        [[0, 0, 0, 1], [0, 0, 1, 1], [0, 0, 0, 2], [0, 0, 0, 0]],
    ]
    assert hint(t, "msk") == [[[int(0 <= j - i <= step) for j in range(4)] for i in range(4)] for step in range(4)]
    assert output(t, "root") == hint(t, "root_h")[-1]


# ---------- graphs: depth-first family


def test_dfs_starts_discovers_pushes_and_finishes():
    # 0 -> 2 -> 1 -> 0 is a cycle; 3 points to itself and to 1. From 0: discover 0, push 2, discover 2, push 1, discover
    # 1;
    # 1 has no white neighbour: finish 1, 2, 0. Then 3, whose neighbours are all coloured.
    A = graph(4, (0, 2), (2, 1), (1, 0), (3, 3), (3, 1), directed=True, dtype=int)
    t = clrs.trace("dfs", {"A": A})
    c = clock(8)
    assert output(t, "pi") == [0, 2, 0, 3]
    assert t.length == 12  # 3 n
    assert steps(t, "s", "u", "v", "s_last", "color", "time") == [
        (0, 0, 0, 0, [0, 0, 0, 0], c[0]),  # start
        (0, 0, 0, 0, [1, 0, 0, 0], c[1]),  # discover 0
        (0, 0, 2, 2, [1, 0, 1, 0], c[1]),  # push 2
        (0, 2, 2, 2, [1, 0, 1, 0], c[2]),  # discover 2
        (0, 2, 1, 1, [1, 1, 1, 0], c[2]),  # push 1
        (0, 1, 1, 1, [1, 1, 1, 0], c[3]),  # discover 1
        (0, 1, 3, 1, [1, 2, 1, 0], c[4]),  # finish 1; the scan variable ran to the end
        (0, 2, 3, 2, [1, 2, 2, 0], c[5]),  # finish 2
        (0, 0, 3, 0, [2, 2, 2, 0], c[6]),  # finish 0
        (3, 3, 3, 3, [2, 2, 2, 0], c[6]),  # start
        (3, 3, 3, 3, [2, 2, 2, 1], c[7]),  # discover 3
        (3, 3, 3, 3, [2, 2, 2, 2], c[8]),  # finish 3
    ]
    identity, one_pushed, two_pushed = [0, 1, 2, 3], [0, 1, 0, 3], [0, 2, 0, 3]
    # a pop shows one record late
    assert hint(t, "s_prev") == [identity] * 2 + [one_pushed] * 2 + [two_pushed] * 3 + [one_pushed] + [identity] * 4
    assert hint(t, "pi_h") == [identity] * 2 + [one_pushed] * 2 + [two_pushed] * 8
    assert hint(t, "d")[-1] == [c[1], c[3], c[2], c[7]] and hint(t, "f")[-1] == [c[6], c[4], c[5], c[8]]
    assert hint(t, "d")[4] == [c[1], 0, c[2], 0] and hint(t, "f")[7] == [0, c[4], c[5], 0]


def test_dfs_without_edges_starts_at_every_node():
    t = clrs.trace("dfs", {"A": np.zeros((5, 5), int)})
    assert output(t, "pi") == [0, 1, 2, 3, 4]
    assert steps(t, "s", "v") == [row for s in range(5) for row in ((s, s), (s, s), (s, 4))]
    assert t.inputs["adj"].tolist() == np.eye(5, dtype=int).tolist()


def test_topological_sort_prepends_each_finished_node():
    # 1 -> 0, 1 -> 3 -> 0, and 2 alone. Finished: 0, then 3, 1, then 2. So the order is 2 1 3 0.
    t = clrs.trace("topological_sort", {"A": graph(4, (1, 0), (1, 3), (3, 0), directed=True, dtype=int)})
    assert output(t, "topo") == [0, 3, 1, 0] and output(t, "topo_head") == 2
    assert t.length == 11  # 2 n + three roots
    assert steps(t, "s", "u", "v", "s_last", "topo_h", "topo_head_h", "color") == [
        (0, 0, 0, 0, [0, 1, 2, 3], 0, [0, 0, 0, 0]),  # start 0
        (0, 0, 0, 0, [0, 1, 2, 3], 0, [1, 0, 0, 0]),  # discover
        (0, 0, 3, 0, [0, 1, 2, 3], 0, [2, 0, 0, 0]),  # finish: 0 heads the list
        (1, 1, 1, 1, [0, 1, 2, 3], 0, [2, 0, 0, 0]),  # start 1
        (1, 1, 1, 1, [0, 1, 2, 3], 0, [2, 1, 0, 0]),  # discover
        (1, 1, 3, 3, [0, 1, 2, 3], 0, [2, 1, 0, 1]),  # push 3; no discovery of its own
        (1, 3, 3, 3, [0, 1, 2, 0], 3, [2, 1, 0, 2]),  # finish 3, before 0
        (1, 1, 3, 1, [0, 3, 2, 0], 1, [2, 2, 0, 2]),  # finish 1, before 3
        (2, 2, 2, 2, [0, 3, 2, 0], 1, [2, 2, 0, 2]),  # start 2
        (2, 2, 2, 2, [0, 3, 2, 0], 1, [2, 2, 1, 2]),
        (2, 2, 3, 2, [0, 3, 1, 0], 2, [2, 2, 2, 2]),
    ]


def test_topological_sort_ignores_its_preset_head_until_that_node_is_finished():
    # 0 -> 1: node 1 finishes first while node 0, the preset head, is still grey; so 1 points to itself and is the end
    # of the list
    t = clrs.trace("topological_sort", {"A": graph(4, (0, 1), (1, 2), (2, 3), directed=True, dtype=int)})
    assert output(t, "topo") == [1, 2, 3, 3] and output(t, "topo_head") == 0
    assert hint(t, "topo_head_h") == [0, 0, 0, 0, 0, 3, 2, 1, 0]
    assert t.length == 9  # 2 n + one root


# The path 0 - 1 - 2 with a loop at 2, and 3 alone. A coloured neighbour other than the parent is recorded on every
# scan, also a child that was just finished:
#   start 0, discover 0, push 1, discover 1, push 2, discover 2, look at 2 (its loop), finish 2, look at 2 (from 1), finish 1, look at 1 (from 0), finish 0,
#   start 3, discover 3, finish 3.

PATH_WITH_LOOP = symmetric(4, (0, 1), (1, 2), (2, 2))
PATH_STEPS = [
    (0, 0, 0),
    (0, 0, 0),
    (0, 0, 1),
    (0, 1, 1),
    (0, 1, 2),
    (0, 2, 2),
    (0, 2, 2),
    (0, 2, 3),
    (0, 1, 2),
    (0, 1, 3),
    (0, 0, 1),
    (0, 0, 3),
    (3, 3, 3),
    (3, 3, 3),
    (3, 3, 3),
]


def test_articulation_points_of_a_path_is_its_middle():
    t = clrs.trace("articulation_points", {"A": PATH_WITH_LOOP})
    c = clock(8)
    assert output(t, "is_cut") == [0, 1, 0, 0]
    assert t.length == 15  # 3 n + three looks at coloured neighbours
    assert steps(t, "s", "u", "v") == PATH_STEPS
    assert hint(t, "time") == [c[k] for k in (0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 8)]
    assert hint(t, "is_cut_h") == [[0, 0, 0, 0]] * 9 + [[0, 1, 0, 0]] * 6  # set as 1 finishes
    assert hint(t, "low")[-1] == [c[1], c[2], c[3], c[7]] and hint(t, "d")[-1] == [c[1], c[2], c[3], c[7]]
    assert hint(t, "child_cnt") == [[0, 0, 0, 0]] * 2 + [[0.01, 0, 0, 0]] * 2 + [[0.01, 0.01, 0, 0]] * 11
    assert hint(t, "pi_h")[-1] == [0, 0, 1, 3]


def test_articulation_points_counts_a_root_with_two_children():
    # a star around 0: 1, 2 and 3 hang on the root alone
    t = clrs.trace("articulation_points", {"A": symmetric(4, (0, 1), (0, 2), (0, 3))})
    assert output(t, "is_cut") == [1, 0, 0, 0]
    # scans of 0 see: nothing coloured before 1; then 1 before 2; then 1, 2 before 3; then 1, 2, 3
    assert t.length == 12 + 0 + 1 + 2 + 3


def test_bridges_of_a_path_are_all_its_edges():
    t = clrs.trace("bridges", {"A": PATH_WITH_LOOP})
    assert t.length == 15 and steps(t, "s", "u", "v") == PATH_STEPS
    none = [[0, 0, -1, -1], [0, 0, 0, -1], [-1, 0, 0, -1], [-1, -1, -1, 0]]  # -1 where there is no edge
    lower = [[0, 0, -1, -1], [0, 0, 1, -1], [-1, 1, 0, -1], [-1, -1, -1, 0]]
    both = [[0, 1, -1, -1], [1, 0, 1, -1], [-1, 1, 0, -1], [-1, -1, -1, 0]]
    assert hint(t, "is_bridge_h") == [none] * 9 + [lower] * 2 + [both] * 4
    assert output(t, "is_bridge") == both


@pytest.mark.parametrize("name", ["articulation_points", "bridges"])
def test_a_triangle_with_a_tail_has_one_cut_node_and_one_bridge(name):
    # 0 - 1 - 2 - 0, 2 - 3. Coloured neighbours looked at: 0 from 2 before 3 is pushed; 0 and 3 from 2 after 3; 2 from
    # 1; 1 and 2 from 0.
    t = clrs.trace(name, {"A": symmetric(4, (0, 1), (1, 2), (0, 2), (2, 3))})
    assert t.length == 12 + 6
    assert steps(t, "u", "v")[5:13] == [(2, 2), (2, 0), (2, 3), (3, 3), (3, 3), (2, 0), (2, 3), (2, 3)]
    c = clock(8)
    assert hint(t, "low")[6] == [c[1], c[2], c[1], 0]  # node 2 reaches back to 0
    assert hint(t, "low")[-1] == [c[1], c[1], c[1], c[4]]
    if name == "bridges":
        assert output(t, "is_bridge") == [[0, 0, 0, -1], [0, 0, 0, -1], [0, 0, 0, 1], [-1, -1, 1, 0]]
    else:
        assert output(t, "is_cut") == [0, 0, 1, 0]


def test_strongly_connected_components_searches_twice():
    # 0 <-> 1 -> 2, and 3 with a loop. First search: finished at 0.04 (2), 0.05 (1), 0.06 (0), 0.08 (3). Second, on the
    # reversed edges, from 3, 0, 2:
    # 3 alone; 0 takes 1 along (a non-root is pushed and finished only); 2 alone, since 1 is done.
    A = graph(4, (0, 1), (1, 0), (1, 2), (3, 3), directed=True)
    t = clrs.trace("strongly_connected_components", {"A": A})
    c = clock(15)
    assert output(t, "scc_id") == [0, 0, 2, 3]
    assert t.length == 23  # 5 n + three components
    assert hint(t, "phase") == [0] * 12 + [1] * 11
    assert hint(t, "time") == [
        c[k] for k in (0, 1, 1, 2, 2, 3, 4, 5, 6, 6, 7, 8, 8, 9, 10, 10, 11, 11, 12, 13, 13, 14, 15)
    ]
    assert steps(t, "s", "u", "v")[12:] == [
        (3, 3, 3),
        (3, 3, 3),
        (3, 3, 3),
        (0, 0, 0),
        (0, 0, 0),
        (0, 0, 1),
        (0, 1, 3),
        (0, 0, 3),
        (2, 2, 2),
        (2, 2, 2),
        (2, 2, 3),
    ]
    identity = [0, 1, 2, 3]
    assert hint(t, "scc_id_h") == [identity] * 18 + [[0, 0, 2, 3]] * 5  # node 1 gets its root as its own turn begins
    assert hint(t, "A_t") == [[[1, 1, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1]]] * 23
    assert hint(t, "color")[12] == [0, 0, 0, 0] and hint(t, "color")[-1] == [2, 2, 2, 2]
    assert hint(t, "d")[-1] == [c[11], c[2], c[14], c[9]]  # the second search overwrites d of roots only …
    assert hint(t, "f")[-1] == [c[13], c[12], c[15], c[10]]  # … and f of all


# ---------- graphs: breadth and distances


def test_bfs_takes_the_lowest_parent_of_the_level_before():
    # 0 - 1, 0 - 2, 1 - 3, 2 - 3; 4 has only a loop
    A = symmetric(5, (0, 1), (0, 2), (1, 3), (2, 3), (4, 4))
    t = clrs.trace("bfs", {"A": A, "s": 0})
    assert steps(t, "reach_h", "pi_h") == [
        ([1, 0, 0, 0, 0], [0, 1, 2, 3, 4]),
        ([1, 1, 1, 0, 0], [0, 0, 0, 3, 4]),
        ([1, 1, 1, 1, 0], [0, 0, 0, 1, 4]),
    ]
    assert output(t, "pi") == [0, 0, 0, 1, 4]
    alone = clrs.trace("bfs", {"A": A, "s": 4})
    assert steps(alone, "reach_h", "pi_h") == [([0, 0, 0, 0, 1], [0, 1, 2, 3, 4])] and output(alone, "pi") == [
        0,
        1,
        2,
        3,
        4,
    ]


def test_mst_kruskal_climbs_to_the_roots_and_keeps_both_directions():
    # by weight: 0-2 (0.25), 0-1 (0.5), 1-2 (0.75); 3 alone.
    # 0-2: roots 0 < 2, so 0 hangs under 2. 0-1: from 0 climb to 2; roots 2 > 1, so 1 hangs under 2. 1-2: from 1 climb
    # to 2; same root.
    t = clrs.trace("mst_kruskal", {"A": graph(4, (0, 1, 0.5), (0, 2, 0.25), (1, 2, 0.75))})
    assert t.length == 9  # 1 + three edges with two records each + two climbs
    none, o = [0, 0, 0, 0], [1, 0, 0, 0]
    assert steps(t, "phase", "u", "v", "root_u", "root_v", "mask_u", "mask_v", "pi") == [
        (0, 0, 0, 0, 0, none, none, [0, 1, 2, 3]),
        (1, 0, 2, 0, 2, o, [0, 0, 1, 0], [0, 1, 2, 3]),
        (0, 0, 2, 0, 2, o, [0, 0, 1, 0], [2, 1, 2, 3]),
        (1, 0, 1, 0, 1, o, [0, 1, 0, 0], [2, 1, 2, 3]),
        (1, 0, 1, 2, 1, [1, 0, 1, 0], [0, 1, 0, 0], [2, 1, 2, 3]),
        (0, 0, 1, 2, 1, [1, 0, 1, 0], [0, 1, 0, 0], [2, 2, 2, 3]),
        (1, 1, 2, 1, 2, [0, 1, 0, 0], [0, 0, 1, 0], [2, 2, 2, 3]),
        (1, 1, 2, 2, 2, [0, 1, 1, 0], [0, 0, 1, 0], [2, 2, 2, 3]),
        (0, 1, 2, 2, 2, [0, 1, 1, 0], [0, 0, 1, 0], [2, 2, 2, 3]),
    ]
    tree = [[0, 1, 1, 0], [1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    first = [[0, 0, 1, 0], [0, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    assert hint(t, "in_mst_h") == [[none] * 4] * 2 + [first] * 3 + [tree] * 4
    assert output(t, "in_mst") == tree


def test_mst_kruskal_without_edges_is_one_record():
    t = clrs.trace("mst_kruskal", {"A": np.diag([0.5, 0.0, 0.25, 0.0])})  # loops are no edges
    assert t.length == 1 and output(t, "in_mst") == [[0] * 4] * 4


# The same graph for Prim and Dijkstra: 0-1 (0.5), 0-2 (0.25), 1-2 (0.375), 2-3 (1), a loop at 0, and 4 alone. From 2,
# node 1 is nearer to the tree (0.375)
# than from 0, but not nearer to the source (0.625).

WEIGHTED = graph(5, (0, 0, 0.5), (0, 1, 0.5), (0, 2, 0.25), (1, 2, 0.375), (2, 3, 1.0))


def test_mst_prim_rehangs_a_node_that_is_nearer_to_the_tree():
    t = clrs.trace("mst_prim", {"A": WEIGHTED, "s": 0})
    assert output(t, "pi") == [0, 2, 0, 2, 4]
    assert steps(t, "u", "mark", "in_queue", "key", "pi_h") == [
        (0, [0, 0, 0, 0, 0], [1, 0, 0, 0, 0], [0, 0, 0, 0, 0], [0, 1, 2, 3, 4]),
        (0, [1, 0, 0, 0, 0], [0, 1, 1, 0, 0], [0, 0.5, 0.25, 0, 0], [0, 0, 0, 3, 4]),
        (2, [1, 0, 1, 0, 0], [0, 1, 0, 1, 0], [0, 0.375, 0.25, 1, 0], [0, 2, 0, 2, 4]),
        (1, [1, 1, 1, 0, 0], [0, 0, 0, 1, 0], [0, 0.375, 0.25, 1, 0], [0, 2, 0, 2, 4]),
        (3, [1, 1, 1, 1, 0], [0, 0, 0, 0, 0], [0, 0.375, 0.25, 1, 0], [0, 2, 0, 2, 4]),
    ]


def test_dijkstra_keeps_the_shorter_path_from_the_source():
    t = clrs.trace("dijkstra", {"A": WEIGHTED, "s": 0})
    assert output(t, "pi") == [0, 0, 0, 2, 4]
    assert steps(t, "u", "mark", "in_queue", "d", "pi_h") == [
        (0, [0, 0, 0, 0, 0], [1, 0, 0, 0, 0], [0, 0, 0, 0, 0], [0, 1, 2, 3, 4]),
        (0, [1, 0, 0, 0, 0], [0, 1, 1, 0, 0], [0, 0.5, 0.25, 0, 0], [0, 0, 0, 3, 4]),
        (2, [1, 0, 1, 0, 0], [0, 1, 0, 1, 0], [0, 0.5, 0.25, 1.25, 0], [0, 0, 0, 2, 4]),
        (1, [1, 1, 1, 0, 0], [0, 0, 0, 1, 0], [0, 0.5, 0.25, 1.25, 0], [0, 0, 0, 2, 4]),
        (3, [1, 1, 1, 1, 0], [0, 0, 0, 0, 0], [0, 0.5, 0.25, 1.25, 0], [0, 0, 0, 2, 4]),
    ]


def test_prim_and_dijkstra_from_a_lonely_source_take_two_steps():
    for t in (clrs.trace("mst_prim", {"A": WEIGHTED, "s": 4}), clrs.trace("dijkstra", {"A": WEIGHTED, "s": 4})):
        assert steps(t, "u", "mark", "in_queue") == [
            (4, [0, 0, 0, 0, 0], [0, 0, 0, 0, 1]),
            (4, [0, 0, 0, 0, 1], [0, 0, 0, 0, 0]),
        ]
        assert output(t, "pi") == [0, 1, 2, 3, 4]


def test_bellman_ford_relaxes_from_the_sweep_before():
    # 0 -> 1 (4), 0 -> 2 (1), 2 -> 1 (2), 1 -> 3 (1); 4 is never reached. Each sweep reads the distances of the one
    # before, so 3 gets 5 before it gets 4.
    A = graph(5, (0, 1, 4), (0, 2, 1), (2, 1, 2), (1, 3, 1), directed=True)
    t = clrs.trace("bellman_ford", {"A": A, "s": 0})
    assert steps(t, "d", "msk", "pi_h") == [
        ([0, 0, 0, 0, 0], [1, 0, 0, 0, 0], [0, 1, 2, 3, 4]),
        ([0, 4, 1, 0, 0], [1, 1, 1, 0, 0], [0, 0, 0, 3, 4]),
        ([0, 3, 1, 5, 0], [1, 1, 1, 1, 0], [0, 2, 0, 1, 4]),
        ([0, 3, 1, 4, 0], [1, 1, 1, 1, 0], [0, 2, 0, 1, 4]),
    ]
    assert output(t, "pi") == [0, 2, 0, 1, 4]


def test_bellman_ford_uses_negative_weights():
    # 0 -> 1 (2), 0 -> 2 (3), 2 -> 1 (-2): the way over 2 costs 1
    t = clrs.trace("bellman_ford", {"A": graph(4, (0, 1, 2), (0, 2, 3), (2, 1, -2), directed=True), "s": 0})
    assert output(t, "pi") == [0, 2, 0, 3] and hint(t, "d") == [[0, 0, 0, 0], [0, 2, 3, 0], [0, 1, 3, 0]]


def test_bellman_ford_stops_when_no_distance_changed_even_if_a_node_was_reached():
    # 0 -> 1 (1) -> 2 (-1) -> 3 (1): the second sweep reaches 2 at distance 0, which is what an unreached node holds; so
    # it is the last, and 3 is never reached
    t = clrs.trace("bellman_ford", {"A": graph(4, (0, 1, 1), (1, 2, -1), (2, 3, 1), directed=True), "s": 0})
    assert hint(t, "d") == [[0, 0, 0, 0], [0, 1, 0, 0]]
    assert output(t, "pi") == [0, 0, 1, 3]


def test_dag_shortest_paths_sorts_what_the_source_reaches_then_relaxes_it_in_order():
    # 1 -> 0 (0.5), 1 -> 3 (0.25), 3 -> 0 (0.125); 2 -> 1 leads in from outside. Sorted from 1: 1, 3, 0.
    A = graph(4, (1, 0, 0.5), (1, 3, 0.25), (3, 0, 0.125), (2, 1, 1.0), directed=True)
    t = clrs.trace("dag_shortest_paths", {"A": A, "s": 1})
    assert output(t, "pi") == [3, 1, 2, 1]
    assert t.length == 10  # 3 r + 1 for r = 3 reached nodes
    assert hint(t, "phase") == [0] * 7 + [1] * 3
    assert steps(t, "u", "v", "s_last", "topo_h", "topo_head_h", "color")[:7] == [
        (1, 1, 1, [0, 1, 2, 3], 0, [0, 0, 0, 0]),  # start
        (1, 1, 1, [0, 1, 2, 3], 0, [0, 1, 0, 0]),  # discover 1
        (1, 0, 0, [0, 1, 2, 3], 0, [1, 1, 0, 0]),  # push 0
        (0, 3, 0, [0, 1, 2, 3], 0, [2, 1, 0, 0]),  # finish 0
        (1, 3, 3, [0, 1, 2, 3], 0, [2, 1, 0, 1]),  # push 3
        (3, 3, 3, [0, 1, 2, 0], 3, [2, 1, 0, 2]),  # finish 3
        (1, 3, 1, [0, 3, 2, 0], 1, [2, 2, 0, 2]),  # finish 1
    ]
    assert steps(t, "topo_head_h", "d", "mark", "pi_h")[7:] == [
        (1, [0, 0, 0, 0], [0, 1, 0, 0], [0, 1, 2, 3]),
        (3, [0.5, 0, 0, 0.25], [1, 1, 0, 1], [1, 1, 2, 1]),
        (0, [0.375, 0, 0, 0.25], [1, 1, 0, 1], [3, 1, 2, 1]),
    ]
    assert hint(t, "pi_h")[:7] == [[0, 1, 2, 3]] * 7  # the search itself leaves no parents


def test_dag_shortest_paths_from_a_sink_has_nothing_to_relax():
    t = clrs.trace("dag_shortest_paths", {"A": graph(4, (0, 1, 1.0), (1, 2, 1.0), directed=True), "s": 2})
    assert t.length == 4 and output(t, "pi") == [0, 1, 2, 3]
    assert steps(t, "phase", "topo_head_h", "color", "mark") == [
        (0, 0, [0, 0, 0, 0], [0, 0, 0, 0]),
        (0, 0, [0, 0, 1, 0], [0, 0, 0, 0]),
        (0, 2, [0, 0, 2, 0], [0, 0, 0, 0]),
        (1, 2, [0, 0, 2, 0], [0, 0, 1, 0]),
    ]


def test_floyd_warshall_records_before_each_update_so_the_last_one_shows_only_in_the_output():
    # 0 - 3 (1), 3 - 1 (2); 0 and 2 have loops. The one path of two edges, 0 - 3 - 1, opens at the last k. The diagonal
    # keeps the loops' weights.
    A = graph(4, (0, 3, 1.0), (3, 1, 2.0), (0, 0, 0.75), (2, 2, 0.5))
    t = clrs.trace("floyd_warshall", {"A": A})
    assert t.length == 4 and hint(t, "k") == [0, 1, 2, 3]
    assert hint(t, "D") == [A.tolist()] * 4
    assert hint(t, "msk") == [[[1, 0, 0, 1], [0, 1, 0, 1], [0, 0, 1, 0], [1, 1, 0, 1]]] * 4
    assert hint(t, "Pi_h") == [[[i] * 4 for i in range(4)]] * 4
    assert output(t, "Pi") == [[0, 3, 0, 0], [3, 1, 1, 1], [2, 2, 2, 2], [3, 3, 3, 3]]


def test_floyd_warshall_shortens_an_existing_edge():
    # 0 - 1 - 2 costs 2, the edge 0 - 2 costs 4: replaced at k = 1, seen from step 2 on
    t = clrs.trace("floyd_warshall", {"A": graph(4, (0, 1, 1.0), (1, 2, 1.0), (0, 2, 4.0))})
    assert [D[0][2] for D in hint(t, "D")] == [4, 4, 2, 2] and [Pi[0][2] for Pi in hint(t, "Pi_h")] == [0, 0, 1, 1]
    assert output(t, "Pi") == [[0, 0, 1, 0], [1, 1, 1, 1], [1, 2, 2, 2], [3, 3, 3, 3]]


def test_a_way_that_is_only_as_good_does_not_replace_the_one_found_before():
    # 0 - 1 (0.5), 0 - 2 (0.25), and 1 - 2: at 0.5 node 1 is as near to the tree from 2 as from 0; at 0.25 the way 0 - 2
    # - 1 is as long as 0 - 1
    near = graph(4, (0, 1, 0.5), (0, 2, 0.25), (1, 2, 0.5))
    assert output(clrs.trace("mst_prim", {"A": near, "s": 0}), "pi") == [0, 0, 0, 3]
    short = graph(4, (0, 1, 0.5), (0, 2, 0.25), (1, 2, 0.25))
    for name in ("dijkstra", "bellman_ford"):
        assert output(clrs.trace(name, {"A": short, "s": 0}), "pi") == [0, 0, 0, 3]
    assert output(clrs.trace("floyd_warshall", {"A": short}), "Pi") == [
        [0, 0, 0, 0],
        [1, 1, 1, 1],
        [2, 2, 2, 2],
        [3, 3, 3, 3],
    ]
    acyclic = graph(4, (0, 1, 0.5), (0, 2, 0.25), (2, 1, 0.25), directed=True)  # sorted: 0, 2, 1
    assert output(clrs.trace("dag_shortest_paths", {"A": acyclic, "s": 0}), "pi") == [0, 0, 0, 3]


# ---------- strings


def test_naive_string_matcher_records_shifts_and_partial_matches():
    # haystack 0 0 1 2, needle 0 1 at nodes 4, 5. Shift 0: 0 = 0, 0 ≠ 1. Shift 1: 0 = 0, 1 = 1, found.
    t = clrs.trace("naive_string_matcher", {"string": [0, 0, 0, 0, 1, 1], "key": [0, 0, 1, 2, 0, 1]})
    assert steps(t, "s", "i", "j") == [(0, 0, 4), (0, 1, 5), (1, 1, 4), (1, 2, 5)]
    assert output(t, "match") == 1
    assert hint(t, "pred_h") == [[0, 0, 1, 2, 4, 4]] * 4


def test_naive_string_matcher_without_a_match_names_the_needle():
    t = clrs.trace("naive_string_matcher", {"string": [0, 0, 0, 1], "key": [0, 0, 0, 1]})
    assert steps(t, "s", "i", "j") == [(0, 0, 3), (1, 1, 3), (2, 2, 3)]
    assert output(t, "match") == 3


def test_kmp_matcher_computes_failure_links_then_runs_over_the_haystack():
    # haystack 0 0 1, needle 0 1 at nodes 3, 4. Needle: no proper border, so state 4 falls back to "none" (its link is
    # 3, its reset flag 1).
    # Haystack: 0 matches; the second 0 breaks the match, and from the reset state matches again; 1 completes it at
    # shift 1.
    t = clrs.trace("kmp_matcher", {"string": [0, 0, 0, 1, 1], "key": [0, 0, 1, 0, 1]})
    assert output(t, "match") == 1
    assert steps(t, "phase", "s", "i", "q", "q_reset", "k", "k_reset") == [
        (0, 0, 0, 4, 1, 3, 1),
        (0, 0, 0, 4, 1, 3, 1),
        (1, 0, 0, 3, 1, 3, 1),
        (1, 0, 1, 3, 0, 3, 1),
        (1, 0, 1, 3, 1, 3, 1),  # the break
        (1, 1, 2, 3, 0, 3, 1),
    ]
    assert hint(t, "pi") == [[0, 1, 2, 3, 4]] + [[0, 1, 2, 3, 3]] * 5
    assert hint(t, "is_reset") == [[0, 0, 0, 1, 0]] + [[0, 0, 0, 1, 1]] * 5


def test_kmp_matcher_falls_back_along_a_border():
    # needle 0 0 1 at nodes 4, 5, 6: "0 0" has the border "0", so state 5 falls back to 4. "0 0 1" has none.
    # haystack 0 0 0 1: after 0 0, the third 0 is not 1: fall back to state 4, match 0, then 1 completes at shift 1.
    t = clrs.trace("kmp_matcher", {"string": [0, 0, 0, 0, 1, 1, 1], "key": [0, 0, 0, 1, 0, 0, 1]})
    assert output(t, "match") == 1
    assert steps(t, "phase", "s", "i", "q", "q_reset", "k", "k_reset") == [
        (0, 0, 0, 5, 1, 4, 1),
        (0, 0, 0, 5, 1, 4, 0),  # state 5: the border 0
        (0, 0, 0, 6, 1, 4, 1),  # state 6: 0 ≠ 1, reset
        (0, 0, 0, 6, 1, 4, 1),  # state 6: no border
        (1, 0, 0, 4, 1, 4, 1),
        (1, 0, 1, 4, 0, 4, 1),
        (1, 0, 2, 5, 0, 4, 1),
        (1, 0, 2, 4, 0, 4, 1),  # fall back
        (1, 1, 3, 5, 0, 4, 1),
    ]
    assert hint(t, "pi") == [[0, 1, 2, 3, 4, 5, 6]] + [[0, 1, 2, 3, 4, 4, 6]] * 2 + [[0, 1, 2, 3, 4, 4, 4]] * 6
    assert hint(t, "is_reset") == [[0, 0, 0, 0, 1, 0, 0]] * 3 + [[0, 0, 0, 0, 1, 0, 1]] * 6


def test_kmp_matcher_with_a_needle_of_one_letter():
    # the first record points q at the needle's only node, 3
    match = clrs.trace("kmp_matcher", {"string": [0, 0, 0, 1], "key": [0, 0, 1, 1]})
    assert steps(match, "phase", "s", "i", "q", "q_reset") == [
        (0, 0, 0, 3, 1),
        (1, 0, 0, 3, 1),
        (1, 1, 1, 3, 1),
        (1, 2, 2, 3, 1),
    ]
    assert output(match, "match") == 2
    missing = clrs.trace("kmp_matcher", {"string": [0, 0, 0, 1], "key": [0, 0, 0, 1]})
    assert missing.length == 4 and output(missing, "match") == 3  # no match names the needle


# ---------- geometry


def test_segments_intersect_tests_four_orientations():
    # (0, 0)-(2, 2) crosses (0, 2)-(2, 0). Cross products: (0, -2) x (2, -2) = 4, (2, 0) x (2, -2) = -4, (0, 2) x (2, 2)
    # = -4, (2, 0) x (2, 2) = 4.
    # Every point lies in the bounding box of the other segment.
    t = clrs.trace("segments_intersect", {"x": [0.0, 2.0, 0.0, 2.0], "y": [0.0, 2.0, 2.0, 0.0]})
    assert steps(t, "i", "j", "k", "dir", "on_seg") == [
        (0, 0, 0, [0, 0, 0, 0], [0, 0, 0, 0]),
        (2, 3, 0, [4, 0, 0, 0], [1, 0, 0, 0]),
        (2, 3, 1, [4, -4, 0, 0], [1, 1, 0, 0]),
        (0, 1, 2, [4, -4, -4, 0], [1, 1, 1, 0]),
        (0, 1, 3, [4, -4, -4, 4], [1, 1, 1, 1]),
    ]
    assert output(t, "intersect") == 1 and t.outputs["intersect"].shape == ()


@pytest.mark.parametrize(
    ("x", "y", "on_seg", "meet"),
    [
        ([0, 1, 2, 3], [0, 0, 0, 0], [0, 0, 0, 0], 0),  # on one line, apart
        ([0, 2, 1, 3], [0, 0, 0, 0], [0, 1, 1, 0], 1),  # on one line, overlapping
        ([0, 2, 1, 1], [0, 0, 0, 3], [0, 0, 1, 0], 1),  # a T: point 2 lies on the first segment
        (
            [0, 4, 1, 1],
            [0, 4, 2, 3],
            [0, 0, 1, 1],
            0,
        ),  # both points in the box of the first segment, but on one side of it
    ],
)
def test_segments_that_touch_or_share_a_line(x, y, on_seg, meet):
    t = clrs.trace("segments_intersect", {"x": [float(v) for v in x], "y": [float(v) for v in y]})
    assert output(t, "intersect") == meet and hint(t, "on_seg")[-1] == on_seg


# A square with a point inside: 0 (2, 0), 1 (2, 2), 2 (0, 0), 3 (1, 0.5), 4 (0, 2). Two corners are lowest; of these, 2
# is leftmost.

SQUARE = {"x": [2.0, 2.0, 0.0, 1.0, 0.0], "y": [0.0, 2.0, 0.0, 0.5, 2.0]}


def test_graham_scan_pops_the_inner_point():
    # by angle from 2: 0 (0), 3 (atan 1/2), 1 (45°), 4 (90°). 0 and 3 are pushed unseen; at 1 the turn 0, 3, 1 is (-1,
    # 0.5) x (0, 2) = -2 <= 0: 3 is popped.
    t = clrs.trace("graham_scan", SQUARE)
    assert output(t, "in_hull") == [1, 1, 1, 0, 1]
    assert t.length == 8  # 3 + four pushes + one pop
    assert steps(t, "phase", "in_hull_h", "stack_prev") == [
        (0, [0, 0, 0, 0, 0], [0, 1, 2, 3, 4]),
        (1, [0, 0, 1, 0, 0], [0, 1, 2, 3, 4]),
        (2, [0, 0, 1, 0, 0], [0, 1, 2, 3, 4]),
        (4, [1, 0, 1, 0, 0], [2, 1, 2, 3, 4]),
        (4, [1, 0, 1, 1, 0], [2, 1, 2, 0, 4]),
        (3, [1, 0, 1, 0, 0], [2, 1, 2, 3, 4]),
        (4, [1, 1, 1, 0, 0], [2, 0, 2, 3, 4]),
        (4, [1, 1, 1, 0, 1], [2, 0, 2, 3, 1]),
    ]
    assert hint(t, "best") == [0] + [2] * 7
    assert hint(t, "i")[3:] == [0, 3, 1, 1, 4] and hint(t, "last_stack")[3:] == [0, 3, 0, 1, 4]
    atans = np.array(hint(t, "atans"))
    assert (atans[:2] == 0).all() and np.allclose(atans[2:], [0, np.pi / 4, 0, np.arctan(0.5), np.pi / 2], rtol=1e-15)


def test_jarvis_march_wraps_around_the_square():
    # the hull is 2, 0, 1, 4. Four rounds over all five points, with one record between rounds.
    # from 2: 0 stays the endpoint. From 0: the endpoint is 0 itself until i = 1 replaces it. From 1: 2 is right of 0,
    # then 4 right of 2.
    # From 4: 2 is right of 0.
    t = clrs.trace("jarvis_march", SQUARE)
    assert output(t, "in_hull") == [1, 1, 1, 0, 1]
    assert t.length == 2 + 4 * 5 + 3
    assert hint(t, "endpoint") == [0, 0] + [0, 0, 0, 0, 0] + [0] + [0, 1, 1, 1, 1] + [0] + [0, 0, 2, 2, 4] + [0] + [
        0,
        0,
        2,
        2,
        2,
    ]
    assert hint(t, "last_point") == [0, 2] + [2] * 5 + [0] * 6 + [1] * 6 + [4] * 6
    assert hint(t, "i") == [0, 0] + [0, 1, 2, 3, 4] + ([0] + [0, 1, 2, 3, 4]) * 3
    assert hint(t, "phase") == [0] + [1] * 24
    assert hint(t, "best") == [0] + [2] * 24
    assert (
        hint(t, "in_hull_h")
        == [[0] * 5] + [[0, 0, 1, 0, 0]] * 6 + [[1, 0, 1, 0, 0]] * 6 + [[1, 1, 1, 0, 0]] * 6 + [[1, 1, 1, 0, 1]] * 6
    )


def test_hulls_of_a_triangle_hold_all_their_points():
    points = {"x": [0.0, 4.0, 1.0], "y": [1.0, 0.0, 3.0]}
    graham, jarvis = clrs.trace("graham_scan", points), clrs.trace("jarvis_march", points)
    assert output(graham, "in_hull") == output(jarvis, "in_hull") == [1, 1, 1]
    assert graham.length == 3 + 2 and jarvis.length == 2 + 3 * 3 + 2


def test_hulls_leave_out_a_point_in_the_middle_of_an_edge():
    # 2 (1, 1) lies between 1 (2, 0) and 3 (0, 2); from 0 (0, 0) they come at 0, 45 and 90 degrees.
    # graham: 1 and 2 are pushed; at 3 the turn 1, 2, 3 is (-1, 1) x (-2, 2) = 0, which pops 2.
    # jarvis: from 1, first 2 is right of 0, then 3 is exactly behind 2, and a cross product of 0 replaces the endpoint
    # too.
    points = {"x": [0.0, 2.0, 1.0, 0.0], "y": [0.0, 0.0, 1.0, 2.0]}
    graham, jarvis = clrs.trace("graham_scan", points), clrs.trace("jarvis_march", points)
    assert output(graham, "in_hull") == output(jarvis, "in_hull") == [1, 1, 0, 1]
    assert hint(graham, "phase") == [0, 1, 2, 4, 4, 3, 4] and hint(graham, "stack_prev")[-1] == [0, 0, 2, 1]
    assert hint(jarvis, "endpoint") == [0, 0] + [0, 1, 1, 1] + [0] + [0, 0, 2, 3] + [0] + [0, 0, 0, 0]


# ---------- what all of them share


def test_inputs_come_back_with_pos_and_adj_derived():
    t = clrs.trace("bfs", {"A": [[0, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]], "s": [0, 1, 0, 0]})
    assert list(t.inputs) == ["pos", "s", "A", "adj"]
    assert t.inputs["pos"].tolist() == [0, 0.25, 0.5, 0.75]
    assert t.inputs["A"].tolist() == [
        [0, 1, 0, 0],
        [1, 1, 0, 0],
        [0, 0, 0, 0],
        [0, 0, 0, 0],
    ]  # as given, the loop included
    assert t.inputs["adj"].tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    assert t.inputs["s"].tolist() == [0, 1, 0, 0]


def test_a_given_array_is_left_as_it_was():
    key = np.array([3.0, 1.0, 2.0, 0.5])
    for name in ("insertion_sort", "bubble_sort", "heapsort", "quicksort", "quickselect"):
        t = clrs.trace(name, {"key": key})
        assert t.inputs["key"].tolist() == key.tolist() == [3.0, 1.0, 2.0, 0.5]
