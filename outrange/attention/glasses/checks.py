"""The statements of "Transformers need glasses!" (arXiv 2406.04267) as checks: claim, hypotheses, bound, what was
measured, and a control that must fail.

Numbers come from ``theorems``; a check is a ``Check`` (``outrange.attention.check``). A check holds only if the
statement's numbers are within the bound and the control's, which lacks a hypothesis, are not.
"""

import math
import statistics
from itertools import pairwise
from typing import cast

import numpy as np
import torch
from torch import Tensor

from outrange.attention.check import Check
from outrange.attention.glasses.theorems import (
    SCHEMES,
    ToyDecoder,
    alternating_distance,
    deep_bound,
    eigenvalue_magnitudes,
    jacobian_bound,
    last_weight,
    merging_length,
    ratio_distance,
    softmax_distance,
    toy_distance,
    uniform_attention,
)


def checks(seed: int = 0) -> list[Check]:
    """Every statement, each with a control without its hypothesis. Takes some seconds of one core."""
    return [check(seed) for check in CHECKS.values()]


def remaining_share(scheme: str, seed: int, lengths: tuple[int, int] = (512, 8192), draws: int = 16) -> float:
    """What is left, at the longer length, of the distance at the shorter one, under a scheme of the toy; median over
    draws.
    """
    shares = []
    for draw in range(seed * draws, (seed + 1) * draws):
        model = ToyDecoder(scheme=scheme, seed=draw)
        at_short, at_long = (toy_distance(model, n, draw) for n in lengths)
        shares.append(at_long / at_short)
    return statistics.median(shares)


def _check_last_weight(seed: int) -> Check:
    # one power of ten after another, so that a change that tends to 0 has fallen far below its bound
    weights = [last_weight(n, seed) for n in (10, 100, 1000, 10_000)]
    lower_count = sum(after < before for before, after in weights)
    change = weights[-1][0] - weights[-1][1]
    before, after = last_weight(10_000, seed, bounded=False)
    control = before - after
    return Check(
        name="last weight",
        place="Lemma B.1",
        statement="one more logit lowers the weight of the one before, and the change tends to 0",
        hypotheses="logits uniform in [-1, 1]; control: the last two log n higher, so not bounded",
        bound="lower at every length; change under 1e-6 at 10,000; the control's over 0.05",
        measured=f"lower at {lower_count} of {len(weights)} lengths; change {change:.1e}; control {control:.2f}",
        holds=lower_count == len(weights) and change < 1e-6 and control > 0.05,
    )


def _check_total_variation(seed: int) -> Check:
    distances = [softmax_distance(n, seed) for n in (200, 1000, 4000, 16_000, 64_000)]
    # in the control all logits differ, however long the softmax is
    control = [softmax_distance(n, seed, head=n) for n in (200, 64_000)]
    return Check(
        name="total variation",
        place="Lemma 4.1 (B.2), figure 9",
        statement="a differing head of fixed size no longer matters to a long softmax",
        hypotheses="logits in [0, 1], the first 200 differ by up to 0.1; control: all differ",
        bound="under 1e-3 at 64,000; the control does not fall",
        measured=f"{_listed(distances)}; control {control[0]:.2g} to {control[1]:.2g}",
        holds=distances[-1] < 1e-3 and control[1] > 0.5 * control[0],
    )


def _check_alternating(seed: int) -> Check:
    distances = [alternating_distance(n) for n in (10, 1000, 100_000)]
    expected = 2 * (math.e - 1) / (math.e + 1)
    control = alternating_distance(100_000, head=10)
    return Check(
        name="alternating",
        place="Proposition B.4",
        statement="logits that differ everywhere stay apart: the distance is 2 (e - 1) / (e + 1)",
        hypotheses="1, 0, 1, 0, … against 0, 1, 0, 1, …; control: they differ in the first 10 only",
        bound=f"{expected:.5f}; the control under 1e-3 at 100,000",
        measured=f"{', '.join(f'{distance:.5f}' for distance in distances)}; control {control:.1e}",
        holds=all(abs(distance - expected) < 1e-9 for distance in distances) and control < 1e-3,
        fine_print="It is exact at every even length, not only in the limit.",
    )


def _check_collapse(seed: int) -> Check:
    # the control ends in another token than the one before, so the residual stream does not cancel
    model = ToyDecoder(seed=seed)
    distances = [toy_distance(model, n, seed) for n in (8, 64, 512, 4096)]
    control = toy_distance(model, 4096, seed, repeat=False)
    falls = all(longer < shorter for shorter, longer in pairwise(distances))
    return Check(
        name="collapse",
        place="Theorem 4.2 (B.3)",
        statement="last tokens of [v, a] and [v, a, a] come together as n grows",
        hypotheses="bounded tokens, no positions, one layer of the toy; control: [v, a, b]",
        bound="falls at every length, under a hundredth of the first; the control stays",
        measured=f"{_listed(distances)}; control {control:.2g}",
        holds=falls and distances[-1] < 0.01 * distances[0] and control > distances[0],
        fine_print="The repeat is needed: the residual stream cancels only where the last tokens are equal.",
    )


def _check_over_squashing(seed: int) -> Check:
    n, num_layers, width = 7, 3, 4
    rng = np.random.default_rng(seed)
    # random causal attention: lower triangles whose rows sum to 1
    attention = np.tril(rng.random((num_layers, n, n)))
    attention /= attention.sum(-1, keepdims=True)
    # orthogonal maps have Lipschitz constant 1
    mlps = [np.linalg.qr(rng.normal(size=(width, width)))[0] for _ in range(num_layers)]

    def last_representation(v: Tensor) -> Tensor:
        for layer_attention, mlp in zip(attention, mlps, strict=True):
            v = v + torch.from_numpy(layer_attention) @ v
            v = v + v @ torch.from_numpy(mlp)
        return v[-1]

    # the operator norm of each token's block of the Jacobian, beside the bound
    inputs = torch.from_numpy(rng.normal(size=(n, width)))
    jacobian = cast(Tensor, torch.autograd.functional.jacobian(last_representation, inputs))
    norms = np.array([float(torch.linalg.matrix_norm(jacobian[:, i], 2)) for i in range(n)])
    bound = jacobian_bound(attention)
    bound_without_c = bound / 2**num_layers  # C = (sigma / beta2 + 1)^L = 2^L here
    return Check(
        name="over-squashing",
        place="Theorem 5.1 (B.5)",
        statement="|d y_n / d v_i| is at most C [prod (Lambda / beta + I)]_{n,i}",
        hypotheses="attention independent of the values, norms constant 1, an MLP of Lipschitz constant 1; "
        "control: C left out",
        bound="no norm above it; without C some are",
        measured=f"largest norm over bound {float((norms / bound).max()):.3f}; "
        f"without C {float((norms / bound_without_c).max()):.2f}",
        holds=bool((norms <= bound * (1 + 1e-9)).all() and (norms > bound_without_c).any()),
    )


def _check_row_stochastic(seed: int) -> Check:
    rng = np.random.default_rng(seed)
    maps = [np.tril(rng.random((6, 6)) + 0.1) for _ in range(2)]
    first, second = (attention / attention.sum(1, keepdims=True) for attention in maps)
    eigenvalues, control = eigenvalue_magnitudes(first), eigenvalue_magnitudes(np.eye(6))
    # products of such maps are what the bound of over-squashing is made of
    product = first @ second
    largest_is_simple = abs(eigenvalues[0] - 1) < 1e-9 and eigenvalues[1] < 1 - 1e-6
    product_is_alike = np.allclose(product.sum(1), 1) and np.allclose(product, np.tril(product))
    return Check(
        name="row-stochastic",
        place="Lemmas B.6, B.7",
        statement="the largest eigenvalue is 1 and simple; products stay row-stochastic and triangular",
        hypotheses="every row but the first has two entries; control: the identity",
        bound="1, the next below; the control's next is 1",
        measured=f"{eigenvalues[0]:.6f}, next {eigenvalues[1]:.3f}; control's next {control[1]:.0f}",
        holds=bool(largest_is_simple and product_is_alike and abs(control[1] - 1) < 1e-9),
    )


def _check_depth(seed: int) -> Check:
    first_shares = [float(deep_bound(uniform_attention(16), depth)[0]) for depth in (1, 4, 16, 64)]
    # a second token that attends to itself alone keeps a share of its own, however deep
    two_sinks = uniform_attention(16)
    two_sinks[1] = np.eye(16)[1]
    control = float(deep_bound(two_sinks, 4096)[0])
    return Check(
        name="depth",
        place="Proposition 5.2 (B.8)",
        statement="the bound's last row tends to the first token alone",
        hypotheses="beta_1 = beta_2 = 1, beta_3^(1/L) = 4, sigma = 1, one uniform causal attention in all layers, "
        "n = 16; control: the second sees itself",
        bound="over 0.99 after 64 layers; the control stays below",
        measured=f"{', '.join(f'{share:.2f}' for share in first_shares)} after 1, 4, 16, 64; control {control:.2f}",
        holds=first_shares[-1] > 0.99 and control < 0.9,
        fine_print="It is said of the bound: attention that depends on contents need not follow it.",
    )


def _check_ratios(seed: int) -> Check:
    # both strings hold zeros and ones in the ratio 1 : 1, and end alike
    unmasked = ratio_distance("10", "1100", causal=False, seed=seed)
    masked = ratio_distance("10", "1100", causal=True, seed=seed)
    return Check(
        name="ratios",
        place="Proposition 6.1 (B.9)",
        statement="10 and 1100 get one representation",
        hypotheses="no positions and NO causal mask; control: with the mask",
        bound="under 1e-9; over 1e-3 with the mask",
        measured=f"{unmasked:.1e}; with the mask {masked:.2g}",
        holds=unmasked < 1e-9 and masked > 1e-3,
        fine_print="Easily read as if causal attention were meant: there the first zero is seen by fewer tokens than "
        "the last, and the two differ.",
    )


def _check_counting(seed: int) -> Check:
    # float64 resolves so finely that no length of the search merges
    lengths = {name: merging_length(getattr(torch, name), seed=seed) for name in ("bfloat16", "float16")}
    control = merging_length(torch.float64, longest=1 << 12, seed=seed)
    return Check(
        name="counting",
        place="Corollary 6.2 (B.10)",
        statement="in finite precision some n and n + 1 are one vector, so that one of the two is counted wrongly",
        hypotheses="one layer of the toy without positions, ones behind a zero; control: float64 up to 4,096",
        bound="a length is found for each type; none for the control",
        measured=", ".join(f"{name}: {n}" for name, n in lengths.items()) + f"; control: {control}",
        holds=all(lengths.values()) and control is None,
    )


def _check_encodings(seed: int) -> Check:
    shares = {scheme: remaining_share(scheme, seed) for scheme in SCHEMES}
    # APE is shown beside: its slow fall is neither part of the claim nor a control
    collapses = max(shares[scheme] for scheme in ("NoPE", "RoPE", "p-RoPE")) < 0.5
    return Check(
        name="encodings",
        place="figure 10",
        statement="one layer collapses under NoPE, RoPE and p-RoPE",
        hypotheses="the toy, median of 16 draws, n = 512 to 8,192; control: ALiBi, slope 1/16; APE beside",
        bound="to under half; the control keeps over 70 %",
        measured=", ".join(f"{scheme} {share:.1%}" for scheme, share in shares.items()),
        holds=collapses and shares["ALiBi"] > 0.7,
        fine_print="The paper reports all four to collapse at similar lengths. Ours do not: NoPE falls fastest, APE "
        "slowly; with a slope the last tokens keep a constant share, and beyond some hundreds nothing falls. Its slope "
        "and normalisation are not known here.",
    )


def _listed(values: list[float]) -> str:
    return ", ".join(f"{value:.2g}" for value in values)


CHECKS = {
    "last weight": _check_last_weight,
    "total variation": _check_total_variation,
    "alternating": _check_alternating,
    "collapse": _check_collapse,
    "over-squashing": _check_over_squashing,
    "row-stochastic": _check_row_stochastic,
    "depth": _check_depth,
    "ratios": _check_ratios,
    "counting": _check_counting,
    "encodings": _check_encodings,
}
"""every statement by name: seed -> its check"""
