"""The statements about collapse and over-squashing: numbers known in closed form, path counts and bounds by enumeration, and every check beside what must break it."""

import itertools
import math

import numpy as np
import pytest
import torch

from outrange.attention import limit_checks
from outrange.attention.limit_checks import checks
from outrange.attention.limits import SCHEMES, Toy, alternating, bound, figure8, figure9, figure10, gap, last_weight, limit, merged, path_count, ratio, uniform
from outrange.core.errors import BadInput


def test_every_statement_holds_whatever_is_drawn():
    for seed in range(3):
        assert [one.name for one in checks(seed) if not one.holds] == []


def test_what_is_measured_and_restricted_is_said():
    found = checks()
    assert len({one.name for one in found}) == len(found) == 10
    assert all(one.place and one.statement and one.hypotheses and one.bound and one.measured for one in found)
    said = {one.name: one.fine_print for one in found}
    assert "causal" in said["ratios"] and "slope" in said["encodings"]


@pytest.mark.parametrize(
    ("name", "broken"), [("alternating", lambda n: 0.9), ("ratio", lambda *a, **k: 0.1), ("merged", lambda *a, **k: None), ("gap", lambda *a, **k: 1.0)]
)
def test_a_check_fails_where_its_numbers_do(name, broken, monkeypatch):
    monkeypatch.setattr(limit_checks, name, broken)
    assert sum(not one.holds for one in checks()) == 1


def test_figure_9_has_the_values_that_were_measured_before_and_its_spread():
    found = figure9()
    np.testing.assert_allclose(found.mean["softmax"], [0.025, 0.027, 0.016, 0.0050, 0.0012, 0.00032], rtol=0.12)
    assert all(low <= mean <= high for low, mean, high in zip(found.low["softmax"], found.mean["softmax"], found.high["softmax"], strict=True))


@pytest.mark.parametrize("length", [2, 10, 1000])
def test_alternating_logits_stay_apart_by_a_number_that_does_not_depend_on_the_length(length):
    assert alternating(length) == pytest.approx(2 * (math.e - 1) / (math.e + 1), abs=1e-12)


def test_one_more_logit_takes_weight_from_the_one_before():
    before, after = last_weight(50)
    draw = np.random.default_rng([0, 50]).uniform(-1, 1, 51)
    assert before == pytest.approx(np.exp(draw[49]) / np.exp(draw[:50]).sum()) and after == pytest.approx(np.exp(draw[49]) / np.exp(draw).sum())


@pytest.mark.parametrize(("count", "layers"), [(1, 1), (4, 1), (5, 3), (3, 4)])
def test_paths_are_counted_one_by_one(count, layers):
    found = [sum(1 for inner in itertools.combinations_with_replacement(range(i, count), layers - 1)) for i in range(count)]
    assert path_count(count, layers) == found
    assert found == np.linalg.matrix_power(np.tril(np.ones((count, count), int)), layers)[-1].tolist()


def test_the_bound_is_the_sum_over_paths_of_products_of_weights():
    draw, layers, n, beta1 = np.random.default_rng(0), 3, 4, 1.5
    attention = np.tril(draw.random((layers, n, n)))
    weights = attention / beta1 + np.eye(n)
    for i in range(n):
        total = sum(
            math.prod(weights[layer, after, before] for layer, (before, after) in enumerate(itertools.pairwise((i, *inner, n - 1))))
            for inner in itertools.combinations_with_replacement(range(i, n), layers - 1)
        )
        assert bound(attention, beta1, beta2=2.0, beta3=4.0, sigma=3.0)[i] == pytest.approx((3 / 2 + 1) ** layers / 4 * total)


def test_in_depth_the_first_token_is_left_as_measured_before():
    assert [round(float(limit(uniform(16), depth)[0]), 2) for depth in (1, 4, 16, 64)] == [0.03, 0.23, 0.92, 1.0]
    assert limit(uniform(16), 64).sum() == pytest.approx(1)


def test_a_repeat_is_needed_and_a_slope_keeps_lengths_apart():
    assert gap(Toy(), 1024) < 0.1 < 10 < gap(Toy(), 1024, repeat=False)
    found = figure10((32, 512), seeds=3)
    assert set(found.mean) == set(SCHEMES) and found.mean["NoPE"][1] < 0.4 < 2 < found.mean["ALiBi"][1]
    assert figure8((8, 512), seeds=3).mean["APE"][1] < figure8((8, 512), seeds=3).mean["APE"][0]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_toy_works_out_its_last_layer_for_the_last_token_alone_and_sees_order_only_with_positions(scheme):
    tokens = torch.randn(6, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    shuffled = tokens[[2, 0, 1, 4, 3, 5]]
    for layers in (1, 2):
        found, other = (Toy(scheme=scheme, layers=layers)(one) for one in (tokens, shuffled))
        assert found.shape == (64,) and float(found.square().mean()) == pytest.approx(1, abs=1e-6)
        if scheme == "NoPE" and layers == 1:
            torch.testing.assert_close(found, other)
        else:
            assert float((found - other).abs().max()) > 1e-6


def test_only_ratios_are_seen_without_a_mask_and_order_with_it():
    assert ratio("10", "1100", causal=False) < 1e-12 and ratio("1", "11111", causal=True) < 1e-12  # all ones: in both cases
    assert ratio("10", "110", causal=False) > 1e-3 and ratio("10", "1100", causal=True) > 1e-3


def test_a_coarser_type_merges_counts_sooner():
    bf16, half = merged(torch.bfloat16), merged(torch.float16)
    assert bf16 and half and bf16 <= half and merged(torch.float64, longest=512) is None


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: gap(Toy(scheme="Nope"), 4), "scheme: 'Nope' is not a scheme"),
        (lambda: figure10((1,)), "lengths, seeds"),
        (lambda: figure8((8,), seeds=0), "seeds"),
    ],
)
def test_what_is_not_allowed_is_said(call, said):
    with pytest.raises(BadInput, match=said):
        call()
