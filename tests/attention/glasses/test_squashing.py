"""Sensitivities against finite differences and PyTorch's own Jacobian, estimates against exact norms, bounds by hand,
and what must be left as it was.
"""

import itertools
import math

import numpy as np
import pytest
import torch

from outrange.attention.glasses.squashing import (
    Sensitivity,
    attention_bound,
    estimate_sensitivity,
    exact_sensitivity,
    path_shares,
)
from outrange.attention.tap import decoder, tapped
from outrange.core.errors import BadInput
from tests.attention.families import ids, model

FAMILIES = ["llama", "gemma2", "qwen3", "gpt_neox", "mistral"]


def text(length=7):
    return ids(length)[0].tolist()


def last_of(watched, entering, layer=0):
    """y_n when the residual stream that enters a layer is given."""
    hook = (
        decoder(watched)
        .layers[layer]
        .register_forward_pre_hook(
            lambda module, args, kwargs: (
                ((entering, *args[1:]), kwargs) if args else (args, kwargs | {"hidden_states": entering})
            ),
            with_kwargs=True,
        )
    )
    try:
        return decoder(watched)(
            input_ids=torch.zeros(1, entering.shape[1], dtype=torch.long), use_cache=False
        ).last_hidden_state[0, -1]
    finally:
        hook.remove()


def stream(watched, tokens, layer=0):
    """The residual stream that enters a layer, (1, n, width)."""
    seen = []
    hook = (
        decoder(watched)
        .layers[layer]
        .register_forward_pre_hook(
            lambda module, args, kwargs: seen.append(args[0] if args else kwargs["hidden_states"]), with_kwargs=True
        )
    )
    with torch.no_grad():
        decoder(watched)(input_ids=torch.tensor([tokens]), use_cache=False)
    hook.remove()
    return seen[0]


@pytest.mark.parametrize("layer", [0, 2])
@pytest.mark.parametrize("name", FAMILIES)
def test_exact_norms_are_those_of_the_whole_jacobian(name, layer):
    watched, tokens = model(name).double(), text()
    jacobian = torch.autograd.functional.jacobian(
        lambda v: last_of(watched, v, layer), stream(watched, tokens, layer)
    )  # (width, 1, n, width)
    sensitivity = exact_sensitivity(watched, tokens, layer)
    np.testing.assert_allclose(sensitivity.norms, jacobian.square().sum((0, 1, 3)).sqrt(), rtol=1e-9)
    assert (
        sensitivity.method == "exact"
        and sensitivity.standard_error is None
        and sensitivity.layer == layer
        and sensitivity.token_ids == tuple(tokens)
    )


def test_exact_norms_are_finite_differences_within_a_thousandth():
    watched, tokens, step = model("llama").double(), text(5), 1e-5
    start, norms = stream(watched, tokens), exact_sensitivity(watched, tokens).norms
    for i in range(5):
        squares = 0.0
        for channel in range(start.shape[2]):
            nudge = torch.zeros_like(start)
            nudge[0, i, channel] = step
            with torch.no_grad():
                squares += float(
                    ((last_of(watched, start + nudge) - last_of(watched, start - nudge)) / (2 * step)).square().sum()
                )
        assert norms[i] == pytest.approx(math.sqrt(squares), rel=1e-3)


def test_an_estimate_is_unbiased_and_its_error_is_the_spread_of_estimates():
    watched, tokens = model("llama"), text(9)
    exact_norms = exact_sensitivity(watched, tokens).norms
    estimates = [estimate_sensitivity(watched, tokens, directions=8, seed=seed) for seed in range(40)]
    squares = np.array([estimate.norms**2 for estimate in estimates])
    assert (np.abs(squares.mean(0) - exact_norms**2) < 4 * squares.std(0, ddof=1) / math.sqrt(40)).all()
    spread, standard_error = (
        np.std([estimate.norms for estimate in estimates], axis=0),
        np.mean([estimate.standard_error for estimate in estimates], axis=0),
    )
    assert ((standard_error > 0.6 * spread) & (standard_error < 1.6 * spread)).all()
    again = estimate_sensitivity(watched, tokens, directions=8, seed=3)
    assert (again.norms == estimates[3].norms).all() and (again.norms != estimates[4].norms).any()


def test_more_directions_than_fit_into_one_pass_give_the_same_as_one_by_one(monkeypatch):
    from outrange.attention.glasses import squashing

    watched, tokens, counts = model("llama"), text(), []
    expected = exact_sensitivity(watched, tokens).norms
    monkeypatch.setattr(squashing, "ACTIVATION_BYTES", 1)
    sensitivity = exact_sensitivity(watched, tokens, report_progress=lambda done, total: counts.append((done, total)))
    np.testing.assert_allclose(sensitivity.norms, expected, rtol=1e-4)
    assert counts[-1] == (64, 64) and len(counts) == 64
    monkeypatch.setattr(
        squashing, "ACTIVATION_BYTES", 64 * 7 * 4 * 40 * 4 * 5
    )  # five at a time: the last pass is not full
    np.testing.assert_allclose(exact_sensitivity(watched, tokens).norms, expected, rtol=1e-4)


def test_where_nothing_passes_between_positions_only_the_last_token_reaches_the_end():
    watched = model("llama")
    with tapped(watched, blind=True):
        sensitivity = exact_sensitivity(watched, text())
    assert (sensitivity.norms[:-1] == 0).all() and sensitivity.norms[-1] > 0


def test_beyond_a_window_a_token_reaches_the_end_through_several_layers_only():
    watched = model("mistral", sliding_window=3, num_hidden_layers=2)
    norms = exact_sensitivity(watched, text(9)).norms
    assert (norms[:4] == 0).all() and (norms[4:] > 0).all()  # two layers of a window of three reach back four tokens


# the bound


def test_where_the_first_token_does_not_reach_the_end_others_are_told_relative_to_the_largest():
    sensitivity = Sensitivity(
        token_ids=tuple(range(20)),
        norms=np.array([0.0] * 16 + [0.001, 1.0, 2.0, 4.0]),
        standard_error=None,
        layer=0,
        method="exact",
    )
    assert sensitivity.reference_norm == 4.0 and sensitivity.share_below(0.01) == 17 / 20
    assert sensitivity.u_shape() == {"first": 0.0, "middle": 0.0, "last": 1.0}


def test_the_bound_is_the_last_row_of_the_product_of_attention_and_identity():
    watched, tokens, maps = model("llama"), text(), []
    with (
        torch.no_grad(),
        tapped(watched, lambda attention: maps.append(attention.weights(slice(None))[0].mean(0).double())),
    ):
        watched(torch.tensor([tokens]))
    row = torch.eye(7, dtype=torch.float64)[-1]
    for attention in reversed(maps):
        row = row @ (attention + torch.eye(7))
    np.testing.assert_allclose(attention_bound(watched, tokens), row, rtol=1e-6)
    assert attention_bound(watched, tokens).sum() == pytest.approx(2 ** len(maps))  # rows of attention sum to 1


@pytest.mark.parametrize(("count", "layers"), [(1, 1), (4, 1), (5, 3), (6, 4)])
def test_paths_are_counted(count, layers):
    counts = [
        sum(1 for inner in itertools.combinations_with_replacement(range(i, count), layers - 1)) for i in range(count)
    ]
    np.testing.assert_allclose(path_shares(count, layers), np.array(counts) / counts[0], rtol=1e-12)
    powers = np.linalg.matrix_power(np.tril(np.ones((count, count))), layers)[-1]
    np.testing.assert_allclose(path_shares(count, layers), powers / powers[0], rtol=1e-12)


def test_paths_of_long_texts_and_deep_models_stay_finite():
    shares = path_shares(5000, 80)
    assert shares[0] == 1 and (np.diff(shares) < 0).all() and 0 < shares[-1] < 1e-100


# what is told, what is left alone, what is refused


def test_shares_and_shapes_are_of_the_first_token_and_the_middle():
    norms = np.array([8.0, 8, 4, 1, 1, 2, 2, 1, 1, 1, 0.05, 0.05, 1, 2, 2, 1, 1, 1, 5, 7])
    sensitivity = Sensitivity(token_ids=tuple(range(20)), norms=norms, standard_error=None, layer=0, method="exact")
    assert sensitivity.share_below(0.01) == pytest.approx(0.1) and sensitivity.share_below(0.2) == pytest.approx(0.55)
    assert sensitivity.u_shape() == pytest.approx({"first": 8 / 0.525, "middle": 1, "last": 6 / 0.525})


def test_modes_and_gradients_are_as_they_were_also_after_an_error():
    watched = model("llama").train()
    frozen = next(iter(watched.parameters())).requires_grad_(False)

    def fail(done, total):
        raise ZeroDivisionError

    exact_sensitivity(watched, text())
    attention_bound(watched, text())
    with pytest.raises(ZeroDivisionError):
        estimate_sensitivity(watched, text(), report_progress=fail)
    assert all(module.training for module in watched.modules())
    assert [p.requires_grad for p in watched.parameters()] == [p is not frozen for p in watched.parameters()]
    assert all(p.grad is None for p in watched.parameters())
    assert not any(layer._forward_pre_hooks for layer in decoder(watched).layers)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: exact_sensitivity(m, [5]), "ids: 1 tokens"),
        (lambda m: exact_sensitivity(m, [5] * 300), "2 … 256"),
        (lambda m: attention_bound(m, [5, 96]), "ids: 96"),
        (lambda m: exact_sensitivity(m, [5, -1]), "ids: -1"),
        (lambda m: exact_sensitivity(m, [5, 6], layer=4), "layer: 4 .* 0 … 3"),
        (lambda m: estimate_sensitivity(m, [5, 6], directions=1), "directions: 1"),
        (lambda m: exact_sensitivity(m.half(), [5, 6]), "float16"),
        (lambda m: path_shares(0, 1), "paths: 0 tokens"),
    ],
)
def test_what_cannot_be_measured_is_said(call, message):
    with pytest.raises(BadInput, match=message):
        call(model("llama"))
