"""The recurrent core: the fused unroll against the plain one and against PyTorch's own LSTM, gradients against finite differences, what a reset forgets."""

import pytest
import torch

from outrange.exploration.learning.lstm import LSTM, unroll

SIZES = [
    (1, 1, 1, 1),
    (1, 5, 4, 3),
    (9, 1, 6, 2),
    (7, 3, 5, 4),
    (12, 4, 33, 7),
    (3, 2, 16, 1),
]  # T, B, H, inputs: all different where there is room


def drawn(steps, batch, hidden, inputs, seed=0, dtype=torch.float32, resets=0.3):
    """A layer, inputs, a state and rows that begin an episode; the first row among them in some streams only."""
    torch.manual_seed(seed)
    lstm = LSTM(inputs, hidden).to(dtype)
    with torch.no_grad():
        lstm.bias.normal_()
    x = torch.randn(steps, batch, inputs, dtype=dtype).requires_grad_()
    state = tuple(torch.randn(batch, hidden, dtype=dtype).requires_grad_() for _ in range(2))
    return lstm, x, state, torch.rand(steps, batch) < resets


def leaves(lstm, x, state):
    return {"x": x, "h": state[0], "c": state[1], **dict(lstm.named_parameters())}


def plain(lstm, x, state, first):
    return unroll(torch.nn.functional.linear(x, lstm.input_weight, lstm.bias), lstm.hidden_weight, state, first)


@pytest.fixture(autouse=True)
def own_draws():
    with torch.random.fork_rng(devices=[]):
        yield


@pytest.mark.parametrize("resets", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("sizes", SIZES)
def test_the_fused_unroll_equals_the_plain_one_in_values_and_in_all_gradients(sizes, resets):
    lstm, x, state, first = drawn(*sizes, resets=resets)
    weights, last = torch.randn(sizes[0], sizes[1], sizes[2]), torch.randn(sizes[1], sizes[2])
    found = []
    for way in (lstm, lambda *given: plain(lstm, *given)):
        out, (h, c) = way(x, state, first)
        gradients = torch.autograd.grad((out * weights).sum() + (h * last).sum(), list(leaves(lstm, x, state).values()))
        found.append({"out": out, "last h": h, "last c": c, **dict(zip(leaves(lstm, x, state), gradients))})
    for name, value in found[0].items():
        torch.testing.assert_close(
            value, found[1][name], rtol=2e-5, atol=2e-5, msg=lambda said, name=name: f"{name}: {said}"
        )


def test_the_fused_unroll_is_the_one_that_float32_on_a_processor_takes_and_float64_takes_the_plain_one():
    lstm, x, state, first = drawn(4, 3, 5, 2)
    assert type(lstm(x, state, first)[0].grad_fn).__name__.startswith("_Fused")
    assert not type(lstm.double()(x.double(), tuple(s.double() for s in state), first)[0].grad_fn).__name__.startswith(
        "_Fused"
    )


def test_without_resets_both_are_pytorchs_own_lstm():
    lstm, x, state, _ = drawn(6, 3, 5, 4)
    theirs = torch.nn.LSTM(4, 5)
    with torch.no_grad():
        theirs.weight_ih_l0.copy_(lstm.input_weight)
        theirs.weight_hh_l0.copy_(lstm.hidden_weight)
        theirs.bias_ih_l0.copy_(lstm.bias)
        theirs.bias_hh_l0.zero_()
    wanted, (h, c) = theirs(x, (state[0][None], state[1][None]))
    for way in (lstm, lambda *given: plain(lstm, *given)):
        out, after = way(x, state, torch.zeros(6, 3, dtype=torch.bool))
        for found, expected in ((out, wanted), (after[0], h[0]), (after[1], c[0])):
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=2e-6)


def test_gradients_of_the_plain_unroll_are_finite_differences_to_inputs_state_and_weights():
    lstm, x, state, first = drawn(4, 3, 2, 2, dtype=torch.float64)
    assert first[1:].any() and not first.all()
    names = list(leaves(lstm, x, state))

    def outputs(*values):
        given = dict(zip(names, values))
        out, (h, c) = torch.func.functional_call(
            lstm, {n: given[n] for n in names[3:]}, (given["x"], (given["h"], given["c"]), first)
        )
        return out, h, c

    assert torch.autograd.gradcheck(
        outputs, tuple(v.detach().clone().requires_grad_() for v in leaves(lstm, x, state).values())
    )


@pytest.mark.parametrize("scale", [30.0, 1e4, 1e30])
def test_saturated_gates_are_as_saturated_as_the_plain_ones(scale):
    lstm, x, state, first = drawn(5, 4, 6, 3)
    with torch.no_grad():
        x.mul_(scale)
    found, wanted = lstm(x, state, first), plain(lstm, x, state, first)
    torch.testing.assert_close(found[0], wanted[0], rtol=1e-5, atol=2e-6)
    torch.testing.assert_close(found[1][1], wanted[1][1], rtol=1e-5, atol=2e-6)
    assert torch.isfinite(torch.autograd.grad(found[0].sum(), lstm.hidden_weight)[0]).all()


@pytest.mark.parametrize("fused", [True, False])
def test_a_row_that_begins_an_episode_forgets_all_that_was_before_and_only_in_its_stream(fused):
    lstm, x, state, _ = drawn(6, 2, 5, 3)
    way = lstm if fused else lambda *given: plain(lstm, *given)
    first = torch.zeros(6, 2, dtype=torch.bool)
    first[3, 0] = True
    out, (h, _) = way(x, state, first)
    other, (other_h, _) = way(
        torch.cat([torch.randn_like(x[:3]), x[3:]]), tuple(torch.randn_like(s) for s in state), first
    )
    assert torch.equal(out[3:, 0], other[3:, 0]) and torch.equal(h[0], other_h[0])
    assert not torch.isclose(out[3:, 1], other[3:, 1]).any()
    fresh, _ = way(x[3:, :1], tuple(torch.zeros(1, 5) for _ in range(2)), torch.zeros(3, 1, dtype=torch.bool))
    torch.testing.assert_close(out[3:, :1], fresh, rtol=1e-6, atol=1e-6)
    dx, dh, dc = torch.autograd.grad(out[3:].sum(), (x, *state))
    assert not dx[:3, 0].any() and not dh[0].any() and not dc[0].any()
    assert dx[:3, 1].all() and dh[1].all() and dc[1].all() and dx[3:].all()


@pytest.mark.parametrize("fused", [True, False])
def test_an_episode_that_begins_in_the_first_row_forgets_the_given_state_and_leaves_that_as_it_was(fused):
    lstm, x, state, _ = drawn(2, 3, 4, 2)
    way = lstm if fused else lambda *given: plain(lstm, *given)
    before = [s.detach().clone() for s in state]
    first = torch.tensor([[True, False, True], [False, False, False]])
    out, _ = way(x, state, first)
    zeroed = tuple(s * torch.tensor([[0.0], [1.0], [0.0]]) for s in state)
    torch.testing.assert_close(out, way(x, zeroed, torch.zeros_like(first))[0], rtol=1e-6, atol=1e-6)
    assert all(torch.equal(now, then) for now, then in zip(state, before))
    dh, dc = torch.autograd.grad(out.sum(), state)
    assert not dh[[0, 2]].any() and not dc[[0, 2]].any() and dh[1].all() and dc[1].all()


def test_many_rows_at_once_are_single_rows_with_the_state_carried():
    lstm, x, state, first = drawn(8, 3, 5, 4)
    out, after = lstm(x, state, first)
    carried = state
    for t in range(8):
        row, carried = lstm(x[t : t + 1], carried, first[t : t + 1])
        torch.testing.assert_close(row[0], out[t], rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(carried, after, rtol=1e-6, atol=1e-6)


def test_what_lies_scattered_in_memory_gives_the_same_as_what_lies_in_a_row():
    lstm, x, state, first = drawn(6, 4, 5, 3)
    scattered_x = x.detach().permute(1, 2, 0).contiguous().permute(2, 0, 1).requires_grad_()
    both = torch.stack([state[0], state[1]], -1).detach()
    scattered = both[..., 0].requires_grad_(), both[..., 1].requires_grad_()
    scattered_first = first.T.contiguous().T
    assert not any(a.is_contiguous() for a in (scattered_x, *scattered, scattered_first))
    out, again = lstm(x, state, first)[0], lstm(scattered_x, scattered, scattered_first)[0]
    assert torch.equal(out, again)
    weights = torch.randn(5, 4, 6).permute(2, 1, 0)  # so that the gradient that comes back is scattered as well
    wanted = torch.autograd.grad((out * weights).sum(), (x, *state, lstm.hidden_weight))
    found = torch.autograd.grad((again * weights).sum(), (scattered_x, *scattered, lstm.hidden_weight))
    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-6)


def test_a_gradient_that_is_one_number_for_all_rows_is_spread_over_them():
    lstm, x, state, first = drawn(4, 3, 5, 2)
    found = torch.autograd.grad(lstm(x, state, first)[0].sum(), x)[0]  # sum sends back one number with strides of 0
    torch.testing.assert_close(
        found, torch.autograd.grad(plain(lstm, x, state, first)[0].sum(), x)[0], rtol=1e-5, atol=1e-6
    )


def test_going_back_twice_gives_the_same_gradient_and_gradients_add_up():
    lstm, x, state, first = drawn(5, 2, 4, 3)
    loss = lstm(x, state, first)[0].square().sum()
    once = torch.autograd.grad(loss, lstm.hidden_weight, retain_graph=True)[0]
    assert torch.equal(once, torch.autograd.grad(loss, lstm.hidden_weight)[0])
    for _ in range(2):
        lstm(x, state, first)[0].square().sum().backward()
    torch.testing.assert_close(lstm.hidden_weight.grad, 2 * once)


def test_the_gates_begin_by_remembering():
    lstm = LSTM(3, 4)
    assert lstm.bias.tolist() == [0.0] * 4 + [1.0] * 4 + [0.0] * 8
    assert lstm.input_weight.shape == (16, 3) and lstm.hidden_weight.shape == (16, 4)
    assert 0.4 < float(lstm.hidden_weight.detach().abs().max()) <= 0.5
