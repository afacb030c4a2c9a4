"""Every type's loss against numbers worked out by hand, what does not count, and shares of a batch that sum to the whole."""

from dataclasses import replace
from math import exp, log

import numpy as np
import pytest
import torch

from outrange.reasoning import clrs
from outrange.reasoning.nar.config import ModelConfig
from outrange.reasoning.nar.loss import counts, live, losses, next_hints
from outrange.reasoning.nar.parallel import shard
from outrange.reasoning.nar.reasoner import Reasoner
from outrange.reasoning.nar.samples import Samples, prepare
from outrange.reasoning.nar.spec import TaskProbe


def softplus(x):
    return log(1 + exp(x))


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


def array(values, probe):
    return np.array(values, np.int64 if probe.type == "pointer" else np.float32)


def output(probe, truth, ended=None):
    truth = array(truth, probe)
    size = truth.shape[1] if truth.ndim > 1 else 2
    return Samples.whole_batch(
        "toy", size, {"y": probe}, {}, {}, {"y": truth}, np.ones(len(truth), np.int64), reaches_end=ended
    )


def hint(probe, truth, lengths):
    """``truth`` (T, B, …)."""
    truth = array(truth, probe)
    return Samples.whole_batch("toy", 2, {"y": probe}, {}, {"y": truth}, {}, np.array(lengths))


def output_loss(probe, raw, truth, ended=None):
    return losses(output(probe, truth, ended), {"y": tensor(raw)}, {})["y"].item()


def hint_loss(probe, raw, truth, lengths):
    """``raw`` of the live pairs."""
    return losses(hint(probe, truth, lengths), {}, {"y": tensor(raw)})["y"].item()


# ── outputs ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_scalar_output_s_loss_is_the_mean_squared_error():
    assert output_loss(TaskProbe("output", "node", "scalar"), [[1, 2], [3, 5]], [[0, 2], [1, 1]]) == pytest.approx(
        (1 + 0 + 4 + 16) / 4
    )
    assert output_loss(TaskProbe("output", "graph", "scalar"), [1, 4], [0, 2]) == pytest.approx((1 + 4) / 2)


def test_a_mask_output_s_loss_is_the_mean_logistic_loss_of_the_cells_that_are_not_hidden():
    found = output_loss(TaskProbe("output", "node", "mask"), [[0, 2], [-7, 3]], [[1, 0], [-1, 1]])
    assert found == pytest.approx((log(2) + softplus(2) + softplus(-3)) / 3)
    edges = output_loss(TaskProbe("output", "edge", "mask"), [[[0, 2], [-1, 3]]], [[[1, 0], [0, -1]]])
    assert edges == pytest.approx((log(2) + softplus(2) + softplus(-1)) / 3)
    assert output_loss(TaskProbe("output", "graph", "mask"), [2, -1], [0, 1]) == pytest.approx(
        (softplus(2) + softplus(1)) / 2
    )


def test_a_mask_s_loss_is_finite_for_large_logits():
    assert output_loss(TaskProbe("output", "node", "mask"), [[1000, -1000]], [[0, 1]]) == pytest.approx(1000)


def test_a_mask_one_output_s_loss_is_the_mean_cross_entropy_of_its_rows():
    found = output_loss(TaskProbe("output", "node", "mask_one"), [[0, log(3)], [0, 0]], [[0, 1], [1, 0]])
    assert found == pytest.approx((-log(3 / 4) - log(1 / 2)) / 2)
    edges = output_loss(TaskProbe("output", "edge", "mask_one"), [[[0, log(3)], [log(4), 0]]], [[[1, 0], [1, 0]]])
    assert edges == pytest.approx((-log(1 / 4) - log(4 / 5)) / 2)


def test_a_categorical_output_s_loss_divides_by_the_cells_that_are_not_hidden():
    raw = [[[0, log(3), 0], [9, 9, 9]], [[0, 0, log(2)], [log(7), 0, 0]]]
    truth = [[[0, 1, 0], [-1, -1, -1]], [[1, 0, 0], [1, 0, 0]]]
    assert output_loss(TaskProbe("output", "node", "categorical", 3), raw, truth) == pytest.approx(
        (-log(3 / 5) - log(1 / 4) - log(7 / 9)) / 3
    )
    edge = output_loss(
        TaskProbe("output", "edge", "categorical", 2),
        [[[[0, 0], [5, 5]], [[log(3), 0], [1, 1]]]],
        [[[[1, 0], [-1, -1]], [[0, 1], [-1, -1]]]],
    )
    assert edge == pytest.approx((log(2) + log(4)) / 2)
    graph = output_loss(
        TaskProbe("output", "graph", "categorical", 3), [[0, 0, 0], [log(2), 0, 0]], [[0, 1, 0], [1, 0, 0]]
    )
    assert graph == pytest.approx((log(3) + log(2)) / 2)


def test_a_pointer_output_s_loss_is_the_mean_cross_entropy_over_targets():
    found = output_loss(TaskProbe("output", "node", "pointer"), [[[0, log(3)], [log(4), 0]]], [[1, 1]])
    assert found == pytest.approx((-log(3 / 4) - log(1 / 5)) / 2)
    edge = output_loss(
        TaskProbe("output", "edge", "pointer"),
        [[[[0, log(3)], [0, 0]], [[log(4), 0], [0, log(9)]]]],
        [[[0, 1], [0, 1]]],
    )
    assert edge == pytest.approx((log(4) + log(2) - log(4 / 5) - log(9 / 10)) / 4)


def test_a_permutation_s_loss_reads_the_logarithms_of_its_truth_as_they_are():
    raw = [[[-1e6, log(0.5), log(0.5)], [log(0.2), -1e6, log(0.8)], [log(0.9), log(0.1), -1e6]]]
    truth = [[[0, 1, 0], [0, 0, 1], [1, 0, 0]]]
    assert output_loss(TaskProbe("output", "node", "permutation_pointer"), raw, truth) == pytest.approx(
        -(log(0.5) + log(0.8) + log(0.9)) / 3
    )


def test_outputs_do_not_end_with_the_hints_that_are_left():
    """All samples count alike, however long their traces."""
    samples = replace(output(TaskProbe("output", "node", "scalar"), [[0, 0], [0, 0]]), lengths=np.array([1, 9]))
    assert losses(samples, {"y": tensor([[1, 1], [3, 3]])}, {})["y"].item() == pytest.approx(5)


@pytest.mark.parametrize(
    ("probe", "raw", "truth"),
    [
        (TaskProbe("output", "node", "mask"), [[3, 4]], [[-1, -1]]),
        (TaskProbe("output", "node", "categorical", 2), [[[3, 4], [1, 2]]], [[[-1, -1], [-1, -1]]]),
        (TaskProbe("output", "node", "mask_one"), [[3, 4]], [[-1, -1]]),
    ],
)
def test_an_output_of_hidden_cells_alone_has_loss_zero(probe, raw, truth):
    value = tensor(raw).requires_grad_()
    loss = losses(output(probe, truth), {"y": value}, {})["y"]
    loss.backward()
    assert loss.item() == 0 and (value.grad == 0).all()


OUTPUTS = [
    (TaskProbe("output", "node", "scalar"), [[1, 2], [3, 5], [8, 9]], [[0, 2], [1, 1], [0, 0]]),
    (TaskProbe("output", "node", "mask"), [[0, 2], [-7, 3], [1, 1]], [[1, 0], [-1, 1], [0, 0]]),
    (TaskProbe("output", "node", "mask_one"), [[0, 1], [2, 0], [3, 3]], [[0, 1], [1, 0], [0, 1]]),
    (
        TaskProbe("output", "node", "categorical", 2),
        [[[0, 1], [2, 0]], [[3, 3], [4, 1]], [[1, 1], [0, 7]]],
        [[[0, 1], [1, 0]], [[-1, -1], [1, 0]], [[1, 0], [0, 1]]],
    ),
    (
        TaskProbe("output", "node", "pointer"),
        [[[0, 1], [2, 0]], [[3, 3], [4, 1]], [[1, 1], [0, 7]]],
        [[0, 1], [1, 1], [0, 0]],
    ),
    (TaskProbe("output", "graph", "mask"), [2, -1, 4], [0, 1, 0]),
    (
        TaskProbe("output", "node", "permutation_pointer"),
        [[[-9, 1], [2, -9]], [[-9, 3], [4, -9]], [[-9, 1], [5, -9]]],
        [[[0, 1], [1, 0]]] * 3,
    ),
]


@pytest.mark.parametrize(("probe", "raw", "truth"), OUTPUTS, ids=[f"{p.location}_{p.type}" for p, _, _ in OUTPUTS])
def test_outputs_of_samples_that_have_not_ended_do_not_count(probe, raw, truth):
    rest = [raw[0], raw[2]], [truth[0], truth[2]]
    ended = np.array([True, False, True])
    assert output_loss(probe, raw, truth, ended) == pytest.approx(output_loss(probe, *rest))
    assert output_loss(probe, raw, truth) != pytest.approx(output_loss(probe, *rest))
    value = tensor(raw).requires_grad_()
    losses(output(probe, truth, ended), {"y": value}, {})["y"].backward()
    assert (value.grad[1] == 0).all() and (value.grad[0] != 0).any() and (value.grad[2] != 0).any()
    nothing = losses(output(probe, truth, np.zeros(3, bool)), {"y": tensor(raw)}, {})["y"]
    assert nothing.item() == 0


# ── hints ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

LENGTHS = [2, 1, 3]  # live: step 0 of the third sample and the first, step 1 of the third


def test_live_pairs_come_step_by_step_and_samples_by_falling_length():
    steps, who = live(np.array(LENGTHS))
    assert list(zip(steps.tolist(), who.tolist())) == [(0, 2), (0, 0), (1, 2)]
    steps, who = live(np.array([2, 3, 2, 3]))  # ties keep their order
    assert list(zip(steps.tolist(), who.tolist())) == [(0, 1), (0, 3), (0, 0), (0, 2), (1, 1), (1, 3)]
    assert [part.tolist() for part in live(np.array([1, 1]))] == [[], []]


def test_a_prediction_is_compared_with_the_next_step_s_hint():
    truth = [[[t * 10 + b, 0] for b in range(3)] for t in range(3)]
    samples = hint(TaskProbe("hint", "node", "scalar"), truth, LENGTHS)
    assert next_hints(samples, "y")[:, 0].tolist() == [12, 10, 22]


def test_hint_losses_are_means_over_all_cells_of_all_live_pairs_together():
    """A long trace weighs more than a short one."""
    truth = np.zeros((3, 3, 2))
    assert hint_loss(TaskProbe("hint", "node", "scalar"), [[1, 1], [2, 2], [3, 0]], truth, LENGTHS) == pytest.approx(
        (1 + 1 + 4 + 4 + 9 + 0) / 6
    )
    assert hint_loss(TaskProbe("hint", "graph", "scalar"), [1, 2, 3], np.zeros((3, 3)), LENGTHS) == pytest.approx(
        (1 + 4 + 9) / 3
    )


def test_a_mask_hint_drops_hidden_cells():
    truth = np.zeros((3, 3, 2))
    truth[1, 2], truth[1, 0], truth[2, 2] = [1, -1], [0, 1], [-1, -1]
    found = hint_loss(TaskProbe("hint", "node", "mask"), [[2, 9], [1, 3], [9, 9]], truth, LENGTHS)
    assert found == pytest.approx((softplus(-2) + softplus(1) + softplus(-3)) / 3)


def test_a_categorical_hint_drops_hidden_cells():
    truth = np.zeros((3, 3, 2, 2))
    truth[1, 2], truth[1, 0], truth[2, 2] = [[1, 0], [-1, -1]], [[0, 1], [0, 1]], [[-1, -1], [-1, -1]]
    raw = [[[0, log(3)], [9, 0]], [[0, log(3)], [0, 0]], [[5, 5], [9, 5]]]
    assert hint_loss(TaskProbe("hint", "node", "categorical", 2), raw, truth, LENGTHS) == pytest.approx(
        (log(4) - log(3 / 4) + log(2)) / 3
    )
    graph = np.zeros((2, 2, 3))
    graph[1] = [[0, 1, 0], [-1, -1, -1]]
    assert hint_loss(
        TaskProbe("hint", "graph", "categorical", 3), [[0, log(2), 0], [1, 2, 3]], graph, [2, 2]
    ) == pytest.approx(log(2))


def test_a_mask_one_hint_counts_every_row_also_one_without_a_one():
    truth = np.zeros((3, 3, 2))
    truth[1, 2], truth[1, 0], truth[2, 2] = [1, 0], [0, 1], [0, 0]
    found = hint_loss(TaskProbe("hint", "node", "mask_one"), [[0, log(3)], [0, log(3)], [5, 5]], truth, LENGTHS)
    assert found == pytest.approx((log(4) - log(3 / 4) + 0) / 3)


def test_a_pointer_hint_s_loss_is_the_mean_cross_entropy_over_live_cells():
    truth = np.zeros((3, 3, 2), int)
    truth[1, 2], truth[1, 0], truth[2, 2] = [0, 1], [1, 1], [0, 0]
    raw = [[[log(3), 0], [0, 0]], [[log(3), 0], [0, 0]], [[0, 0], [0, 0]]]
    assert hint_loss(TaskProbe("hint", "node", "pointer"), raw, truth, LENGTHS) == pytest.approx(
        (log(4 / 3) + log(2) + log(4) + log(2) + 2 * log(2)) / 6
    )
    edge = np.array([[[[0, 0], [0, 0]]], [[[0, 1], [1, 0]]]])
    raw = [[[[log(3), 0], [0, 0]], [[0, 0], [0, log(3)]]]]
    assert hint_loss(TaskProbe("hint", "edge", "pointer"), raw, edge, [2]) == pytest.approx(
        (log(4 / 3) + log(2) + log(2) + log(4)) / 4
    )


@pytest.mark.parametrize("kind", ["scalar", "mask", "mask_one", "pointer", "categorical"])
def test_a_hint_without_a_live_cell_has_loss_zero(kind):
    probe = TaskProbe("hint", "node", kind, 2 if kind == "categorical" else 0)
    wide = {"pointer": (2,), "categorical": (2,)}.get(kind, ())
    truth = np.zeros((2, 2, 2, *(wide if kind == "categorical" else ())))
    empty = torch.zeros(0, 2, *wide, dtype=torch.float64, requires_grad=True)
    loss = losses(hint(probe, truth, [1, 1]), {}, {"y": empty})["y"]
    loss.backward()
    assert loss.item() == 0
    if kind in ("mask", "categorical"):
        hidden = hint(probe, truth - 1, [2, 2])
        value = torch.ones(2, 2, *wide, dtype=torch.float64, requires_grad=True)
        loss = losses(hidden, {}, {"y": value})["y"]
        loss.backward()
        assert loss.item() == 0 and (value.grad == 0).all()


def test_hints_count_also_where_a_sample_has_not_ended():
    samples = replace(
        hint(TaskProbe("hint", "node", "scalar"), np.zeros((3, 3, 2)), LENGTHS), reaches_end=np.zeros(3, bool)
    )
    assert losses(samples, {}, {"y": tensor([[1, 1], [2, 2], [3, 0]])})["y"].item() == pytest.approx(19 / 6)


def test_only_what_was_predicted_has_a_loss():
    probe = TaskProbe("hint", "node", "scalar")
    assert losses(hint(probe, np.zeros((3, 3, 2)), LENGTHS), {}, {}) == {}


def test_losses_have_the_dtype_of_the_predictions():
    for dtype in (torch.float32, torch.float64):
        for probe, raw, truth in OUTPUTS:
            assert losses(output(probe, truth), {"y": torch.tensor(raw, dtype=dtype)}, {})["y"].dtype == dtype


# ── shares of a batch ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────


def whole_batch(algorithm, ended=None):
    batch = clrs.batch(clrs.sample(algorithm, length=5, count=5, seed=4))
    samples = prepare(batch, random_pos=np.random.default_rng(0))
    lengths = np.minimum(samples.lengths, [6, 3, 1, 5, 2])
    hints = {name: array[: lengths.max()] for name, array in samples.hints.items()}
    reaches_end = samples.reaches_end if ended is None else ended
    return replace(samples, hints=hints, lengths=lengths, batch_lengths=lengths, reaches_end=reaches_end)


@pytest.mark.parametrize("world", [2, 5])
@pytest.mark.parametrize(
    "algorithm", ["dfs", "insertion_sort", "lcs_length", "floyd_warshall", "segments_intersect", "graham_scan"]
)
def test_losses_and_gradients_of_shards_sum_to_those_of_the_batch(algorithm, world):
    for ended in (None, np.array([True, False, True, False, False])):
        samples = whole_batch(algorithm, ended)
        model = Reasoner({algorithm: samples.spec}, ModelConfig(hidden_dim=8), kernels="torch").double()

        def slopes(total):
            return torch.autograd.grad(total, list(model.parameters()), allow_unused=True, materialize_grads=True)

        wanted = losses(samples, *model(samples))
        gradients = slopes(sum(wanted.values()))
        counted, found, summed = counts(samples), dict.fromkeys(wanted, 0.0), [0.0] * len(gradients)
        for rank in range(world):
            part = shard(samples, rank, world)
            shares = losses(part, *model(part), counted)
            summed = [whole + g for whole, g in zip(summed, slopes(sum(shares.values())))]
            for name, value in shares.items():
                found[name] += value.item()
        for name, value in wanted.items():
            assert found[name] == pytest.approx(value.item(), rel=1e-10, abs=1e-12), name
        for (name, _), found_slope, slope in zip(model.named_parameters(), summed, gradients):
            np.testing.assert_allclose(found_slope, slope, rtol=1e-8, atol=1e-11, err_msg=name)


def test_by_default_a_batch_is_divided_by_its_own_counts():
    samples = whole_batch("lcs_length")
    model = Reasoner({"lcs_length": samples.spec}, ModelConfig(hidden_dim=8), kernels="torch").double()
    predicted = model(samples)
    for name, value in losses(samples, *predicted, counts(samples)).items():
        assert value.item() == losses(samples, *predicted)[name].item()
    part = shard(samples, 0, 2)
    alone = losses(part, *model(part))["b"].item()
    assert alone == pytest.approx(
        losses(part, *model(part), counts(samples))["b"].item() * counts(samples)["b"] / counts(part)["b"]
    )
