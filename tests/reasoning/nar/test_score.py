"""The metrics by hand: F1 and its corners, rows with hidden cells, permutations merged back, hints over time."""

import math

import numpy as np
import pytest

from outrange.core.errors import BadInput
from outrange.reasoning.nar.score import hint_scores, predecessors, score
from outrange.reasoning.nar.spec import TaskProbe


def one(kind, truth, pred, location="node"):
    truth, pred = np.array(truth), np.array(pred)
    result = score({"x": TaskProbe("output", location, kind)}, {"x": truth}, {"x": pred})
    assert list(result) == ["x", "score"] and (result["x"] == result["score"] or math.isnan(result["x"]))
    return result["x"]


@pytest.mark.parametrize(
    ("truth", "pred", "f1"),
    [
        ([1, 1, 0, 0], [0.9, 0.1, 0.8, 0.0], 0.5),  # one hit, one miss, one too many
        ([1, 1, 1, 0], [1, 1, 0, 0], 0.8),  # precision 1, recall 2/3
        ([0, 0, 0], [0, 0, 0], 1.0),
        ([0, 0, 0], [1, 0, 0], 0.0),
        ([1, 0, 0], [0, 0, 0], 0.0),
        ([1, -1, -1, 0], [1, 1, 0, 0], 1.0),  # hidden cells do not count
        ([1, 1], [0.5, 0.51], 1.0),  # exactly one half is neither a hit nor a miss
        ([-1, -1], [1, 0], 1.0),
    ],
)
def test_a_mask_is_scored_by_f1(truth, pred, f1):
    assert one("mask", [truth], [pred]) == pytest.approx(f1, abs=1e-15)


def test_f1_pools_over_samples():
    assert one("mask", [[1, 1], [1, 0]], [[1, 1], [0, 1]]) == pytest.approx(
        2 / 3
    )  # the mean of both samples' own would be 1/2


def test_a_graph_mask_is_scored_over_the_batch():
    assert one("mask", [1, 1, 0, 0], [1, 0, 0, 0], "graph") == pytest.approx(2 / 3)


def test_a_mask_one_is_scored_by_its_largest_entry():
    assert one("mask_one", [[0, 1, 0], [1, 0, 0]], [[0.1, 0.4, 0.3], [0.0, 0.1, 0.2]]) == 0.5


def test_rows_with_a_hidden_cell_do_not_count():
    assert one("categorical", [[[1, 0], [0, 1], [0, -1]]], [[[0.9, 0.1], [0.8, 0.2], [1, 0]]]) == 0.5


def test_a_score_of_nothing_is_nan():
    assert math.isnan(one("categorical", [[[0, -1]]], [[[0, 1]]]))


def test_pointers_are_scored_by_equal_indices():
    assert one("pointer", [[0, 1, 2, 2]], [[0.0, 1.0, 2.0, 3.0]]) == 0.75
    assert one("pointer", [[[0, 1], [1, 1]]], [[[0, 0], [1, 0]]], "edge") == 0.5


def test_scalars_are_scored_by_squared_error():
    assert one("scalar", [[1.0, 2.0]], [[1.0, 4.0]]) == 2.0


PAIR = {
    "order": TaskProbe("output", "node", "permutation_pointer"),
    "order_mask": TaskProbe("output", "node", "mask_one"),
    "least": TaskProbe("output", "node", "mask_one"),
}
CYCLE = np.array([[[0, 0, 1], [1, 0, 0], [0, 1, 0]]], np.float32)  # 0 <- 2, 1 <- 0, 2 <- 1: the chain 0, 1, 2


def test_a_permutation_and_its_mask_merge_into_predecessors():
    assert predecessors(CYCLE, np.array([[1, 0, 0]])).tolist() == [[0, 0, 1]]
    assert predecessors(CYCLE, np.array([[0, 0, 1]])).tolist() == [[2, 0, 2]]


def test_a_permutation_is_scored_once_and_the_score_is_the_mean_over_outputs():
    first, last = np.array([[1, 0, 0]]), np.array([[0, 0, 1]])
    truth = {"order": CYCLE, "order_mask": first, "least": first}
    result = score(PAIR, truth, {"order": CYCLE, "order_mask": last, "least": first})
    assert result == {"order": pytest.approx(1 / 3), "least": 1.0, "score": pytest.approx(2 / 3)}


def test_hints_are_compared_with_the_next_step_over_the_samples_alive():
    spec = {"x": TaskProbe("hint", "node", "pointer"), "out": TaskProbe("output", "node", "pointer")}
    truth = {
        "x": np.array([[[9, 9], [9, 9]], [[0, 1], [1, 1]], [[0, 0], [7, 7]]])
    }  # (T, B, N); sample 1 ends after two steps
    pred = {"x": np.array([[[0, 1], [1, 0]], [[0, 1], [7, 7]]])}
    result = hint_scores(spec, truth, pred, np.array([3, 2]))
    assert result == {"x": pytest.approx((0.75 * 2 + 0.5) / 3), "x_along_time": [0.75, 0.5]}


def test_steps_at_which_no_sample_is_alive_are_left_out():
    spec = {"x": TaskProbe("hint", "graph", "scalar")}
    padded = hint_scores(spec, {"x": np.zeros((6, 1))}, {"x": np.ones((5, 1))}, np.array([2]))
    assert padded == {"x": 1.0, "x_along_time": [1.0]}
    alone = hint_scores(spec, {"x": np.zeros((1, 1))}, {"x": np.ones((1, 1))}, np.array([1]))
    assert math.isnan(alone["x"]) and alone["x_along_time"] == []


def test_unequal_shapes_are_refused():
    with pytest.raises(BadInput, match=r"prediction x: has shape \(1, 3\), its truth \(1, 2\)"):
        one("pointer", [[0, 1]], [[0, 1, 1]])
