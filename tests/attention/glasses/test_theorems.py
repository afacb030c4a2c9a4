"""The statements about collapse and over-squashing: numbers known in closed form, path counts and bounds by
enumeration, and every check beside what must break it.
"""

import itertools
import math

import numpy as np
import pytest
import torch

from outrange.attention.glasses import checks as checks_module
from outrange.attention.glasses.checks import checks
from outrange.attention.glasses.theorems import (
    SCHEMES,
    ToyDecoder,
    alternating_distance,
    attention_distance,
    deep_bound,
    eigenvalue_magnitudes,
    figure8,
    figure9,
    figure10,
    jacobian_bound,
    last_weight,
    merging_length,
    path_counts,
    ratio_distance,
    toy_distance,
    uniform_attention,
)
from outrange.core.errors import BadInput


def test_every_statement_holds_whatever_is_drawn():
    for seed in range(3):
        assert [check.name for check in checks(seed) if not check.holds] == []


def test_what_is_measured_and_restricted_is_said():
    results = checks()
    assert len({check.name for check in results}) == len(results) == 10
    assert all(
        check.place and check.statement and check.hypotheses and check.bound and check.measured for check in results
    )
    fine_print = {check.name: check.fine_print for check in results}
    assert "causal" in fine_print["ratios"] and "slope" in fine_print["encodings"]


BREAKS = {  # a check, what it reads, and numbers under which its statement, or its control, is false
    "last weight": [
        ("last_weight", lambda *a, **k: (0.2, 0.1)),
        ("last_weight", lambda n, seed, bounded=True: (1 / n, 0.999 / n)),
    ],
    "total variation": [
        ("softmax_distance", lambda *a, **k: 0.02),
        ("softmax_distance", lambda n, seed, head=200: 1 / n),
    ],
    "alternating": [
        ("alternating_distance", lambda n, head=None: 0.9),
        ("alternating_distance", lambda n, head=None: alternating_distance(n)),
    ],
    "collapse": [("toy_distance", lambda *a, **k: 1.0), ("toy_distance", lambda model, n, seed, repeat=True: 1 / n**2)],
    "over-squashing": [
        ("jacobian_bound", lambda attention: jacobian_bound(attention) / 10),
        ("jacobian_bound", lambda attention: jacobian_bound(attention) * 10),
    ],
    "row-stochastic": [
        ("eigenvalue_magnitudes", lambda one: np.array([1.0, 1.0])),
        ("eigenvalue_magnitudes", lambda one: np.array([1.0, 0.5])),
    ],
    "depth": [("deep_bound", lambda *a: np.array([0.5])), ("deep_bound", lambda *a: np.array([1.0]))],
    "ratios": [("ratio_distance", lambda *a, **k: 0.1), ("ratio_distance", lambda *a, **k: 0.0)],
    "counting": [("merging_length", lambda *a, **k: None), ("merging_length", lambda *a, **k: 8)],
    "encodings": [("remaining_share", lambda scheme, seed: 0.9), ("remaining_share", lambda scheme, seed: 0.1)],
}


@pytest.mark.parametrize(
    ("check", "name", "broken"), [(check, *one) for check, breaks in BREAKS.items() for one in breaks]
)
def test_a_check_fails_where_its_numbers_or_its_control_do(check, name, broken, monkeypatch):
    monkeypatch.setattr(checks_module, name, broken)
    assert not checks_module.CHECKS[check](0).holds


def test_every_check_is_broken_above():
    assert list(BREAKS) == list(checks_module.CHECKS) == [check.name for check in checks()]


def test_figure_9_has_the_values_that_were_measured_before_and_its_spread():
    curves = figure9()
    np.testing.assert_allclose(curves.mean["softmax"], [0.025, 0.027, 0.016, 0.0050, 0.0012, 0.00032], rtol=0.12)
    assert all(
        low <= mean <= high
        for low, mean, high in zip(curves.low["softmax"], curves.mean["softmax"], curves.high["softmax"], strict=True)
    )


@pytest.mark.parametrize("length", [2, 10, 1000])
def test_alternating_logits_stay_apart_by_a_number_that_does_not_depend_on_the_length(length):
    assert alternating_distance(length) == pytest.approx(2 * (math.e - 1) / (math.e + 1), abs=1e-12)


def test_alternating_logits_that_agree_behind_a_head_come_together():
    a, b = (np.exp([1, 0, 1, 0, 0, 1][k:]) for k in (0, 0))
    b[:4] = b[[1, 0, 3, 2]]
    a[4:] = b[4:] = np.exp([0, 1])
    assert alternating_distance(6, head=4) == pytest.approx(np.abs(a / a.sum() - b / b.sum()).sum())
    assert alternating_distance(10_000, head=4) < 1e-3 < alternating_distance(10_000)


def test_one_more_logit_takes_weight_from_the_one_before():
    before, after = last_weight(50)
    draw = np.random.default_rng([0, 50]).uniform(-1, 1, 51)
    assert before == pytest.approx(np.exp(draw[49]) / np.exp(draw[:50]).sum()) and after == pytest.approx(
        np.exp(draw[49]) / np.exp(draw).sum()
    )


@pytest.mark.parametrize(("count", "layers"), [(1, 1), (4, 1), (5, 3), (3, 4)])
def test_paths_are_counted_one_by_one(count, layers):
    counts = [
        sum(1 for inner in itertools.combinations_with_replacement(range(i, count), layers - 1)) for i in range(count)
    ]
    assert path_counts(count, layers) == counts
    assert counts == np.linalg.matrix_power(np.tril(np.ones((count, count), int)), layers)[-1].tolist()


def test_the_bound_is_the_sum_over_paths_of_products_of_weights():
    draw, layers, n, beta1 = np.random.default_rng(0), 3, 4, 1.5
    attention = np.tril(draw.random((layers, n, n)))
    weights = attention / beta1 + np.eye(n)
    for i in range(n):
        total = sum(
            math.prod(
                weights[layer, after, before]
                for layer, (before, after) in enumerate(itertools.pairwise((i, *inner, n - 1)))
            )
            for inner in itertools.combinations_with_replacement(range(i, n), layers - 1)
        )
        assert jacobian_bound(attention, beta1, beta2=2.0, beta3=4.0, sigma=3.0)[i] == pytest.approx(
            (3 / 2 + 1) ** layers / 4 * total
        )


def test_in_depth_the_first_token_is_left_as_measured_before():
    assert [round(float(deep_bound(uniform_attention(16), depth)[0]), 2) for depth in (1, 4, 16, 64)] == [
        0.03,
        0.23,
        0.92,
        1.0,
    ]
    assert deep_bound(uniform_attention(16), 64).sum() == pytest.approx(1)


def test_a_repeat_is_needed_and_a_slope_keeps_lengths_apart():
    assert toy_distance(ToyDecoder(), 1024) < 0.1 < 10 < toy_distance(ToyDecoder(), 1024, repeat=False)
    curves = figure10((32, 512), seeds=3)
    assert set(curves.mean) == set(SCHEMES) and curves.mean["NoPE"][1] < 0.4 < 2 < curves.mean["ALiBi"][1]


def test_figure_8_is_one_attention_alone_and_falls():
    assert attention_distance(1) < 1e-14  # two tokens that are the same carry one value
    distances = figure8((8, 512), seeds=3).mean["APE"]
    assert 0 < distances[1] < distances[0] / 3
    assert distances[0] == pytest.approx(np.mean([attention_distance(8, seed) for seed in range(3)]))


def test_one_attention_is_a_softmax_over_places_and_contents():
    d, n, draw = 64, 5, torch.Generator().manual_seed(10_007 * 3 + 2)
    ends = torch.randn(3, d, generator=draw, dtype=torch.float64).numpy() / 8
    body = torch.randn(2, n - 1, d, generator=draw, dtype=torch.float64).numpy() / 8
    outs = []
    for count in (1, 2):
        total, out = 0.0, np.zeros(d)
        for k in range(n - 1 + count):
            place, last = (
                np.stack([np.sin(p), np.cos(p)], -1).ravel()
                for p in (angles * 1e4 ** (-np.arange(0, d, 2) / d) for angles in (k, n - 2 + count))
            )
            key, value = (body[0, k], body[1, k]) if k < n - 1 else (ends[1], ends[2])
            weight = math.exp((key + place) @ (ends[0] + last) / 8)
            total, out = total + weight, out + weight * value
        outs.append(out / total)
    assert attention_distance(n, seed=3) == pytest.approx(np.abs(outs[0] - outs[1]).sum())


def test_seeds_of_figures_are_draws_of_their_own():
    assert figure10((8, 16), seeds=2, seed=1).mean["RoPE"] == pytest.approx(
        [np.mean([toy_distance(ToyDecoder(scheme="RoPE", seed=draw), n, draw) for draw in (2, 3)]) for n in (8, 16)]
    )
    first, second = (figure9((200, 400), seeds=2, seed=k) for k in (0, 1))
    both = figure9((200, 400), seeds=4)
    assert first.mean != second.mean
    np.testing.assert_allclose(both.mean["softmax"], np.mean([first.mean["softmax"], second.mean["softmax"]], 0))


def test_a_spectrum_is_of_absolute_values_the_largest_first():
    np.testing.assert_allclose(eigenvalue_magnitudes(np.array([[0.5, 0, 0], [1, -2, 0], [0, 1, 1]])), [2, 1, 0.5])


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_toy_works_out_its_last_layer_for_the_last_token_alone_and_sees_order_only_with_positions(scheme):
    tokens = torch.randn(6, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    shuffled = tokens[[2, 0, 1, 4, 3, 5]]
    for layers in (1, 2):
        in_order, out_of_order = (ToyDecoder(scheme=scheme, layers=layers)(inputs) for inputs in (tokens, shuffled))
        assert in_order.shape == (64,) and float(in_order.square().mean()) == pytest.approx(1, abs=1e-6)
        if scheme == "NoPE" and layers == 1:
            torch.testing.assert_close(in_order, out_of_order)
        else:
            assert float((in_order - out_of_order).abs().max()) > 1e-6


def test_only_ratios_are_seen_without_a_mask_and_order_with_it():
    assert (
        ratio_distance("10", "1100", causal=False) < 1e-12 and ratio_distance("1", "11111", causal=True) < 1e-12
    )  # all ones: in both cases
    assert ratio_distance("10", "110", causal=False) > 1e-3 and ratio_distance("10", "1100", causal=True) > 1e-3


def test_a_coarser_type_merges_counts_sooner():
    bf16, half = merging_length(torch.bfloat16), merging_length(torch.float16)
    assert bf16 and half and bf16 <= half and merging_length(torch.float64, longest=512) is None


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: toy_distance(ToyDecoder(scheme="Nope"), 4), "scheme: 'Nope' is not a scheme"),
        (lambda: figure10((1,)), "lengths, seeds"),
        (lambda: figure8((8,), seeds=0), "seeds"),
    ],
)
def test_what_is_not_allowed_is_said(call, message):
    with pytest.raises(BadInput, match=message):
        call()
