"""The statements of "Transformers need glasses!" (arXiv 2406.04267) as checks: claim, hypotheses, bound, what was measured, and a control that must fail.

Numbers come from ``outrange.attention.limits``.
"""

import math
from itertools import pairwise
from typing import cast

import numpy as np
import torch
from torch import Tensor

from outrange.attention.limits import Toy, alternating, bound, figure10, gap, last_weight, limit, merged, ratio, uniform, variation
from outrange.attention.theorems import Check


def checks(seed: int = 0) -> list[Check]:
    """Every statement, each with a control without its hypothesis. Takes some seconds of one core."""
    tries = (_lemma, _variation, _alternates, _collapses, _bounds, _rows, _deep, _ratios, _counts, _figure)
    return [one(seed) for one in tries]


def _lemma(seed: int) -> Check:
    pairs = {n: last_weight(n, seed) for n in (10, 100, 1000, 10_000)}
    falls, change = all(after < before for before, after in pairs.values()), pairs[10_000][0] - pairs[10_000][1]
    return Check(
        name="last weight",
        place="Lemma B.1",
        statement="one more logit lowers the weight of the one before, and the change tends to 0",
        hypotheses="logits uniform in [-1, 1]",
        bound="lower at every length; change under 1e-6 at 10,000",
        measured=f"lower at {sum(a < b for b, a in pairs.values())} of 4 lengths; change {change:.1e}",
        holds=falls and change < 1e-6,
    )


def _variation(seed: int) -> Check:
    found = [variation(n, seed) for n in (200, 1000, 4000, 16_000, 64_000)]
    control = [variation(n, seed, head=n) for n in (200, 64_000)]
    return Check(
        name="total variation",
        place="Lemma 4.1 (B.2), figure 9",
        statement="a differing head of fixed size no longer matters to a long softmax",
        hypotheses="logits in [0, 1], the first 200 differ by up to 0.1; control: all differ",
        bound="under 1e-3 at 64,000; the control does not fall",
        measured=f"{', '.join(f'{v:.2g}' for v in found)}; control {control[0]:.2g} to {control[1]:.2g}",
        holds=found[-1] < 1e-3 and control[1] > 0.5 * control[0],
    )


def _alternates(seed: int) -> Check:
    found, wanted = [alternating(n) for n in (10, 1000, 100_000)], 2 * (math.e - 1) / (math.e + 1)
    return Check(
        name="alternating",
        place="Proposition B.4",
        statement="logits that differ everywhere stay apart: the distance is 2 (e - 1) / (e + 1)",
        hypotheses="1, 0, 1, 0, … against 0, 1, 0, 1, …",
        bound=f"{wanted:.5f}",
        measured=", ".join(f"{v:.5f}" for v in found),
        holds=all(abs(v - wanted) < 1e-9 for v in found),
        fine_print="It is exact at every even length, not only in the limit.",
    )


def _collapses(seed: int) -> Check:
    lengths, model = (8, 64, 512, 4096), Toy(seed=seed)
    found, control = [gap(model, n, seed) for n in lengths], gap(model, 4096, seed, repeat=False)
    return Check(
        name="collapse",
        place="Theorem 4.2 (B.3)",
        statement="last tokens of [v, a] and [v, a, a] come together as n grows",
        hypotheses="bounded tokens, no positions, one layer of the toy; control: [v, a, b]",
        bound="falls at every length, under a hundredth of the first; the control stays",
        measured=f"{', '.join(f'{v:.2g}' for v in found)}; control {control:.2g}",
        holds=all(b < a for a, b in pairwise(found)) and found[-1] < 0.01 * found[0] and control > found[0],
        fine_print="The repeat is needed: the residual stream cancels only where the last tokens are equal.",
    )


def _bounds(seed: int) -> Check:
    n, layers = 7, 3
    draw = np.random.default_rng(seed)
    attention = np.tril(draw.random((layers, n, n)))
    attention /= attention.sum(-1, keepdims=True)
    mlp = [np.linalg.qr(draw.normal(size=(4, 4)))[0] for _ in range(layers)]

    def run(v: Tensor) -> Tensor:
        for one, turn in zip(attention, mlp, strict=True):
            v = v + torch.from_numpy(one) @ v
            v = v + v @ torch.from_numpy(turn)
        return v[-1]

    jacobian = cast(Tensor, torch.autograd.functional.jacobian(run, torch.from_numpy(draw.normal(size=(n, 4)))))
    norms = np.array([float(torch.linalg.matrix_norm(jacobian[:, i], 2)) for i in range(n)])
    said, inside = bound(attention), bound(attention) / 2**layers
    return Check(
        name="over-squashing",
        place="Theorem 5.1 (B.5)",
        statement="|d y_n / d v_i| is at most C [prod (Lambda / beta + I)]_{n,i}",
        hypotheses="attention independent of the values, norms constant 1, an MLP of Lipschitz constant 1; control: C left out",
        bound="no norm above it; without C some are",
        measured=f"largest norm over bound {float((norms / said).max()):.3f}; without C {float((norms / inside).max()):.2f}",
        holds=bool((norms <= said * (1 + 1e-9)).all() and (norms > inside).any()),
    )


def _rows(seed: int) -> Check:
    draw = np.random.default_rng(seed)
    maps = [np.tril(draw.random((6, 6)) + 0.1) for _ in range(2)]
    maps = [one / one.sum(1, keepdims=True) for one in maps]
    values = np.sort(np.abs(np.linalg.eigvals(maps[0])))
    product = maps[0] @ maps[1]
    split = np.eye(6)
    return Check(
        name="row-stochastic",
        place="Lemmas B.6, B.7",
        statement="the largest eigenvalue is 1 and simple; products stay row-stochastic and triangular",
        hypotheses="every row but the first has two entries; control: the identity",
        bound="1, the next below; the control's next is 1",
        measured=f"{values[-1]:.6f}, next {values[-2]:.3f}; control {np.sort(np.linalg.eigvals(split))[-2]:.0f}",
        holds=bool(abs(values[-1] - 1) < 1e-9 and values[-2] < 1 - 1e-6 and np.allclose(product.sum(1), 1) and np.allclose(product, np.tril(product))),
    )


def _deep(seed: int) -> Check:
    found = [float(limit(uniform(16), depth)[0]) for depth in (1, 4, 16, 64)]
    two = uniform(16)
    two[1] = np.eye(16)[1]
    control = float(limit(two, 4096)[0])
    return Check(
        name="depth",
        place="Proposition 5.2 (B.8)",
        statement="the bound's last row tends to the first token alone",
        hypotheses="beta_1 = beta_2 = 1, beta_3^(1/L) = 4, sigma = 1, one uniform causal attention in all layers, n = 16; control: the second sees itself",
        bound="over 0.99 after 64 layers; the control stays below",
        measured=f"{', '.join(f'{v:.2f}' for v in found)} after 1, 4, 16, 64; control {control:.2f}",
        holds=found[-1] > 0.99 and control < 0.9,
        fine_print="It is said of the bound: attention that depends on contents need not follow it.",
    )


def _ratios(seed: int) -> Check:
    free, causal = ratio("10", "1100", causal=False, seed=seed), ratio("10", "1100", causal=True, seed=seed)
    return Check(
        name="ratios",
        place="Proposition 6.1 (B.9)",
        statement="10 and 1100 get one representation",
        hypotheses="no positions and NO causal mask; control: with the mask",
        bound="under 1e-9; over 1e-3 with the mask",
        measured=f"{free:.1e}; with the mask {causal:.2g}",
        holds=free < 1e-9 and causal > 1e-3,
        fine_print="Easily read as if causal attention were meant: there the first zero is seen by fewer tokens than the last, and the two differ.",
    )


def _counts(seed: int) -> Check:
    found = {name: merged(getattr(torch, name), seed=seed) for name in ("bfloat16", "float16")}
    exact = merged(torch.float64, longest=1 << 12, seed=seed)
    return Check(
        name="counting",
        place="Corollary 6.2 (B.10)",
        statement="in finite precision some n and n + 1 are one vector, so that one of the two is counted wrongly",
        hypotheses="one layer of the toy without positions, ones behind a zero; control: float64 up to 4,096",
        bound="a length is found for each type; none for the control",
        measured=", ".join(f"{name}: {n}" for name, n in found.items()) + f"; control: {exact}",
        holds=all(found.values()) and exact is None,
    )


def _figure(seed: int) -> Check:
    found = figure10((16, 1024), seeds=3).mean
    fell = {scheme: values[1] / values[0] for scheme, values in found.items()}
    return Check(
        name="encodings",
        place="figure 10",
        statement="one layer collapses under NoPE, RoPE, p-RoPE and APE",
        hypotheses="the toy, 3 seeds, n = 16 to 1,024; ALiBi, slope 1/16, beside",
        bound="to under half, ALiBi's does not fall so",
        measured=", ".join(f"{scheme} x {v:.2g}" for scheme, v in fell.items()),
        holds=all(v < 0.5 for scheme, v in fell.items() if scheme != "ALiBi") and fell["ALiBi"] > 0.5,
        fine_print="The paper reports all four to collapse at similar lengths. Ours do not: NoPE falls fastest; with a slope the last "
        "tokens keep a constant share, and nothing falls. Its slope and normalisation are not known here.",
    )
