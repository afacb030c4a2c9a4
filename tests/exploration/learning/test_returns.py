"""Returns: the rescaling and its inverse, policies, Retrace against the paper's forward sum and by hand, n-step returns, priorities."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from outrange.core.errors import BadInput
from outrange.exploration.learning.returns import (
    Transform,
    greedy,
    n_step,
    rescale,
    retrace,
    sequence_priority,
    taken,
    traces,
    unrescale,
)

SHAPES = st.tuples(st.integers(1, 9), st.integers(1, 5))


def column(*values):
    return torch.tensor(values, dtype=torch.float64)[:, None]


def sequence(seed, shape, lam=0.95):
    """Random rows in which about one in five is terminal and one in five is no continuation."""
    rng = np.random.default_rng(seed)
    value, expected, reward = rng.normal(size=(3, *shape)) * 7
    discount = rng.uniform(0.5, 1, shape) * (rng.random(shape) > 0.2)
    trace = lam * np.minimum(1, rng.exponential(size=shape)) * (rng.random(shape) > 0.2)
    return tuple(torch.from_numpy(a) for a in (value, expected, reward, discount, trace))


def forward_sum(value, expected, reward, discount, trace):
    """Appendix E: Q_t plus the sum over s >= t of (product of discounts t .. s-1) (product of c, t+1 .. s) delta_s."""
    value, expected, reward, discount, trace = (a.numpy() for a in (value, expected, reward, discount, trace))
    delta = reward + discount * expected - value
    result = np.empty_like(value)
    for b in range(value.shape[1]):
        for t in range(len(value)):
            result[t, b] = value[t, b] + sum(
                discount[t:s, b].prod() * trace[t + 1 : s + 1, b].prod() * delta[s, b] for s in range(t, len(value))
            )
    return result


# the rescaling


def test_h_is_the_papers_with_epsilon_a_thousandth():
    assert rescale(torch.tensor([3.0, -3.0, 0.0, 8.0])).tolist() == pytest.approx([1.003, -1.003, 0.0, 2.008])
    assert float(rescale(torch.tensor(3.0), epsilon=1e-2)) == pytest.approx(1.03)


def test_the_inverse_is_the_published_formula_with_the_square():
    z, e = torch.linspace(-30, 30, 61, dtype=torch.float64), 1e-3
    published = z.sign() * ((((1 + 4 * e * (z.abs() + 1 + e)).sqrt() - 1) / (2 * e)) ** 2 - 1)
    torch.testing.assert_close(unrescale(z, e), published, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("epsilon", [1e-3, 1e-2, 0.0])
@pytest.mark.parametrize(
    ("dtype", "tolerance", "powers"), [(torch.float64, 4e-15, (-300, 150)), (torch.float32, 1e-6, (-37, 18))]
)
def test_the_inverse_undoes_h_over_all_magnitudes(dtype, tolerance, powers, epsilon):
    x = torch.logspace(*powers, 4001, dtype=torch.float64).to(dtype)
    for sign in (1, -1):
        torch.testing.assert_close(unrescale(rescale(sign * x, epsilon), epsilon), sign * x, rtol=tolerance, atol=0)
        torch.testing.assert_close(rescale(unrescale(sign * x, epsilon), epsilon), sign * x, rtol=tolerance, atol=0)


@given(st.floats(-1e30, 1e30), st.floats(0, 0.5))
@settings(deadline=None)
def test_h_rises_is_odd_and_is_undone_for_any_number(x, epsilon):
    there = rescale(torch.tensor([x, -x, x + abs(x) * 1e-9 + 1e-3], dtype=torch.float64), epsilon)
    assert there[0] == -there[1] and there[2] > there[0]
    assert float(unrescale(there, epsilon)[0]) == pytest.approx(x, rel=1e-14, abs=1e-300)


def test_a_transform_is_chosen_by_name():
    x = torch.tensor([3.0, -8.0])
    assert Transform().of(x).tolist() == pytest.approx([1.003, -2.008])
    assert Transform(epsilon=1e-2).back(Transform(epsilon=1e-2).of(x)).tolist() == pytest.approx([3.0, -8.0])
    assert Transform(name="identity").of(x).tolist() == x.tolist() == Transform(name="identity").back(x).tolist()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"name": "rescal"}, "transform.name.*'rescale'"),
        ({"epsilon": -1.0}, "epsilon: -1.0"),
        ({"epsilon": math.nan}, "nan"),
    ],
)
def test_a_wrong_transform_is_refused(wrong, message):
    with pytest.raises(BadInput, match=message):
        Transform(**wrong)


# policies


def test_epsilon_greedy_gives_a_random_hit_of_the_greedy_action_the_greedy_probability():
    q, epsilon = torch.tensor([0.0, 5.0, 1.0, 2.0]), 0.4
    p = greedy(q, epsilon)
    assert p.tolist() == pytest.approx([0.1, 0.7, 0.1, 0.1])
    rng = np.random.default_rng(0)
    at_random = rng.random(200_000) < epsilon
    drawn = np.where(at_random, rng.integers(4, size=200_000), 1)
    assert (at_random & (drawn == 1)).any()
    assert set(
        taken(p.expand(200_000, 4), torch.from_numpy(drawn))[torch.from_numpy(at_random & (drawn == 1))].tolist()
    ) == {p[1].item()}
    assert np.bincount(drawn) / 200_000 == pytest.approx(p.numpy(), abs=0.005)


@given(SHAPES, st.integers(1, 6), st.floats(0, 1), st.integers(0, 1000))
@settings(deadline=None, max_examples=50)
def test_probabilities_sum_to_one_and_the_first_maximum_has_the_most(shape, actions, epsilon, seed):
    q = torch.from_numpy(np.random.default_rng(seed).integers(0, 3, (*shape, actions)).astype(np.float64))
    p = greedy(q, epsilon)
    torch.testing.assert_close(p.sum(-1), torch.ones(shape, dtype=torch.float64))
    assert p.min() >= 0
    if epsilon < 1:
        assert p.numpy().argmax(-1).tolist() == q.numpy().argmax(-1).tolist()


def test_ties_go_to_the_first_maximum():
    assert greedy(torch.tensor([1.0, 3.0, 3.0]), 0.0).tolist() == [0.0, 1.0, 0.0]


def test_each_stream_may_have_its_own_epsilon():
    p = greedy(torch.tensor([[1.0, 0.0], [0.0, 1.0]]).expand(3, 2, 2), torch.tensor([0.0, 0.5]))
    assert p[2].tolist() == [[1.0, 0.0], [0.25, 0.75]]


def test_what_was_taken_is_read_off_the_last_axis():
    p = torch.arange(24.0).reshape(2, 3, 4)
    assert taken(p, torch.tensor([[0, 1, 2], [3, 2, 1]], dtype=torch.int32)).tolist() == [[0, 5, 10], [15, 18, 21]]


# traces


def test_traces_are_the_clipped_ratio_times_lambda():
    c = traces(column(0.9, 0.1, 0.5, 0.0), column(0.3, 0.4, 0.5, 0.2), 0.9)
    assert c[:, 0].tolist() == pytest.approx([0.9, 0.225, 0.9, 0.0])


@given(st.floats(0, 1, width=32), st.floats(0, 1, width=32), st.floats(0, 1))
@settings(deadline=None)
def test_traces_stay_finite_and_within_lambda_however_small_mu_is(pi, mu, lam):
    c = float(traces(torch.tensor([[pi]]), torch.tensor([[mu]]), lam))
    assert 0 <= c <= float(torch.tensor(lam)) and math.isfinite(c)


def test_a_probability_that_is_not_above_zero_is_said_where_an_action_was_taken():
    pi, mu = column(0.5, 0.5), column(0.5, 0.0)
    with pytest.raises(BadInput, match=r"mu: 0\.0 is not allowed"):
        traces(pi, mu, 0.95, acted=torch.tensor([[True], [True]]))
    with pytest.raises(BadInput, match="mu: nan"):
        traces(pi, column(0.5, math.nan), 0.95, acted=torch.tensor([[True], [True]]))
    assert traces(pi, mu, 0.95, acted=torch.tensor([[True], [False]])).isfinite().all()
    with pytest.raises(BadInput, match="lambda"):
        traces(pi, mu, 1.5)


# Retrace


@given(SHAPES, st.integers(0, 10_000), st.sampled_from([0.0, 0.95, 1.0]))
@settings(deadline=None, max_examples=60)
def test_retrace_equals_the_papers_forward_sum(shape, seed, lam):
    rows = sequence(seed, shape, lam)
    np.testing.assert_allclose(retrace(*rows).numpy(), forward_sum(*rows), rtol=1e-12, atol=1e-12)


def test_retrace_of_a_chain_of_three_states_by_hand():
    # G_2 = 4;  G_1 = 0.5 (3.5 + 0.8 (4 - 3)) = 2.15;  G_0 = 1 + 0.5 (2.5 + 0.5 (2.15 - 2)) = 2.2875
    g = retrace(column(1, 2, 3), column(2.5, 3.5, 9), column(1, 0, 4), column(0.5, 0.5, 0), column(0.7, 0.5, 0.8))
    assert g[:, 0].tolist() == pytest.approx([2.2875, 2.15, 4.0], rel=1e-12)


def test_the_last_row_ends_in_the_expected_value():
    g = retrace(column(1, 2), column(3, 5), column(10, 20), column(0.5, 0.5), column(1, 0.0))
    assert g[:, 0].tolist() == [11.5, 22.5]


def test_retrace_of_a_greedy_policy_on_its_own_actions_is_the_sum_of_rewards():
    rng = np.random.default_rng(1)
    value, reward = torch.from_numpy(rng.normal(size=(2, 7, 3)))
    discount = torch.full((7, 3), 0.9, dtype=torch.float64)
    discount[-1] = 0
    ones = torch.ones(7, 3, dtype=torch.float64)
    expected = torch.cat([value[1:], value[:1]])  # greedy and followed: the expectation is the value of the next action
    g = retrace(value, expected, reward, discount, traces(ones, ones, 1.0))
    monte_carlo = [sum(0.9 ** (s - t) * reward[s] for s in range(t, 7)) for t in range(7)]
    torch.testing.assert_close(g, torch.stack(monte_carlo))


def test_lambda_zero_is_one_step_of_expected_values():
    value, expected, reward, discount, trace = sequence(3, (7, 3), lam=0.0)
    torch.testing.assert_close(retrace(value, expected, reward, discount, trace), reward + discount * expected)


@given(st.integers(0, 1000), st.integers(0, 5), st.sampled_from(["terminated", "cut"]))
@settings(deadline=None, max_examples=40)
def test_nothing_reaches_back_over_an_end_or_a_cut(seed, t, kind):
    value, expected, reward, discount, trace = sequence(seed, (7, 3))
    (discount[t] if kind == "terminated" else trace[t + 1]).zero_()
    g = retrace(value, expected, reward, discount, trace)
    for later in (value[t + 1 :], expected[t + 1 :], reward[t + 1 :], discount[t + 1 :]):
        later += 3
    if kind == "terminated":
        expected[t] += 100
        torch.testing.assert_close(g[t], reward[t])
    else:
        torch.testing.assert_close(g[t], reward[t] + discount[t] * expected[t])
    again = retrace(value, expected, reward, discount, trace)
    torch.testing.assert_close(again[: t + 1], g[: t + 1], rtol=0, atol=0)
    assert (again[t + 1 :] != g[t + 1 :]).all()


def test_the_trace_of_the_first_row_is_never_used():
    value, expected, reward, discount, trace = sequence(5, (7, 3))
    g = retrace(value, expected, reward, discount, trace)
    trace[0] = math.nan
    assert torch.equal(retrace(value, expected, reward, discount, trace), g)


@pytest.mark.parametrize("which", range(5))
def test_an_argument_with_batch_first_is_refused(which):
    rows = list(sequence(0, (7, 3)))
    rows[which] = rows[which].T
    with pytest.raises(BadInput, match="shape"):
        retrace(*rows)


def test_time_is_the_first_axis_even_where_the_axes_are_equally_long():
    rows = sequence(0, (5, 5))
    assert not torch.allclose(retrace(*[a.T for a in rows]).T, retrace(*rows))


def test_no_gradient_passes_and_nothing_given_is_changed():
    rows = [a.requires_grad_() for a in sequence(0, (7, 3))]
    before = [a.detach().clone() for a in rows]
    assert (
        not retrace(*rows).requires_grad
        and not n_step(*rows[1:4], n=3).requires_grad
        and not unrescale(rescale(rows[0])).requires_grad
    )
    assert not Transform(name="identity").of(rows[0]).requires_grad and not greedy(rows[0], 0.1).requires_grad
    assert all(torch.equal(a, b) for a, b in zip(rows, before))


def test_float32_stays_float32():
    rows = [a.float() for a in sequence(0, (80, 64))]
    assert retrace(*rows).dtype == torch.float32
    torch.testing.assert_close(retrace(*rows).double(), retrace(*[a.double() for a in rows]), rtol=1e-4, atol=1e-4)


# n-step returns


def by_definition(reward, discount, bootstrap, n, continues):
    result = np.empty(reward.shape)
    for t, b in np.ndindex(*reward.shape):
        total, weight = 0.0, 1.0
        for s in range(t, t + n):
            total += weight * reward[s, b]
            weight *= discount[s, b]
            if s + 1 == min(t + n, len(reward)) or not continues[s + 1, b]:
                break
        result[t, b] = total + weight * bootstrap[s, b]
    return result


@given(SHAPES, st.integers(0, 10_000), st.integers(1, 12))
@settings(deadline=None, max_examples=60)
def test_n_step_returns_equal_their_definition(shape, seed, n):
    value, _, reward, discount, trace = sequence(seed, shape)
    got = n_step(reward, discount, value, n, trace > 0)
    np.testing.assert_allclose(
        got.numpy(),
        by_definition(reward.numpy(), discount.numpy(), value.numpy(), n, (trace > 0).numpy()),
        rtol=1e-12,
        atol=1e-12,
    )
    np.testing.assert_allclose(
        n_step(reward, discount, value, n),
        by_definition(reward.numpy(), discount.numpy(), value.numpy(), n, np.ones(shape)),
        1e-12,
        1e-12,
    )


def test_n_step_returns_by_hand():
    reward, discount, value = column(1, 2, 4, 8), column(0.5, 0.5, 0.5, 0.5), column(16, 32, 64, 128)
    assert n_step(reward, discount, value, 2)[:, 0].tolist() == [1 + 1 + 8, 2 + 2 + 16, 4 + 4 + 32, 8 + 64]
    ends = n_step(reward, column(0.5, 0, 0.5, 0.5), value, 3)[:, 0].tolist()
    assert ends == [1 + 1, 2, 4 + 4 + 32, 8 + 64]
    cut = n_step(reward, discount, value, 3, torch.tensor([[True], [True], [False], [True]]))[:, 0].tolist()
    assert cut == [1 + 1 + 8, 2 + 16, 4 + 4 + 32, 8 + 64]  # row 1 is truncated: what follows is the value at its end


def test_n_step_refuses_what_has_another_shape_and_no_steps():
    value, _, reward, discount, _ = sequence(0, (7, 3))
    for wrong in (
        (reward.T, discount, value, 3),
        (reward, discount, value, 3, torch.ones(3, 7, dtype=torch.bool)),
        (reward, discount, value, 0),
    ):
        with pytest.raises(BadInput):
            n_step(*wrong)


# priorities


def test_the_priority_of_a_sequence_mixes_its_largest_and_its_mean_error():
    td = torch.tensor([[1.0, -4.0, 9.0], [-3.0, 2.0, math.nan], [100.0, 0.0, 7.0]])
    mask = torch.tensor([[True, True, False], [True, True, False], [False, True, False]])
    assert sequence_priority(td, mask).tolist() == pytest.approx([0.9 * 3 + 0.1 * 2, 0.9 * 4 + 0.1 * 2, 0.0])
    assert sequence_priority(td, mask, eta=1.0).tolist() == [3.0, 4.0, 0.0]
    with pytest.raises(BadInput, match="eta"):
        sequence_priority(td, mask, eta=1.1)
