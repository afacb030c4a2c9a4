"""The statements of "Transformers need glasses!" (arXiv 2406.04267) as checks: claim, hypotheses, bound, what was measured, and a control that must fail.

Numbers come from ``outrange.attention.glasses.theorems``.
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
    Toy,
    alternating,
    bound,
    gap,
    last_weight,
    limit,
    merged,
    ratio,
    spectrum,
    uniform,
    variation,
)


def checks(seed: int = 0) -> list[Check]:
    """Every statement, each with a control without its hypothesis. Takes some seconds of one core."""
    return [one(seed) for one in TRIES.values()]


def _lemma(seed: int) -> Check:
    pairs = {n: last_weight(n, seed) for n in (10, 100, 1000, 10_000)}
    falls, change = all(after < before for before, after in pairs.values()), pairs[10_000][0] - pairs[10_000][1]
    before, after = last_weight(10_000, seed, bounded=False)
    return Check(
        name="last weight",
        place="Lemma B.1",
        statement="one more logit lowers the weight of the one before, and the change tends to 0",
        hypotheses="logits uniform in [-1, 1]; control: the last two log n higher, so not bounded",
        bound="lower at every length; change under 1e-6 at 10,000; the control's over 0.05",
        measured=f"lower at {sum(a < b for b, a in pairs.values())} of 4 lengths; change {change:.1e}; control {before - after:.2f}",
        holds=falls and change < 1e-6 and before - after > 0.05,
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
    control = alternating(100_000, head=10)
    return Check(
        name="alternating",
        place="Proposition B.4",
        statement="logits that differ everywhere stay apart: the distance is 2 (e - 1) / (e + 1)",
        hypotheses="1, 0, 1, 0, … against 0, 1, 0, 1, …; control: they differ in the first 10 only",
        bound=f"{wanted:.5f}; the control under 1e-3 at 100,000",
        measured=f"{', '.join(f'{v:.5f}' for v in found)}; control {control:.1e}",
        holds=all(abs(v - wanted) < 1e-9 for v in found) and control < 1e-3,
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
    values, control = spectrum(maps[0]), spectrum(np.eye(6))
    product = maps[0] @ maps[1]
    return Check(
        name="row-stochastic",
        place="Lemmas B.6, B.7",
        statement="the largest eigenvalue is 1 and simple; products stay row-stochastic and triangular",
        hypotheses="every row but the first has two entries; control: the identity",
        bound="1, the next below; the control's next is 1",
        measured=f"{values[0]:.6f}, next {values[1]:.3f}; control's next {control[1]:.0f}",
        holds=bool(
            abs(values[0] - 1) < 1e-9
            and values[1] < 1 - 1e-6
            and abs(control[1] - 1) < 1e-9
            and np.allclose(product.sum(1), 1)
            and np.allclose(product, np.tril(product))
        ),
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


def fallen(scheme: str, seed: int, lengths: tuple[int, int] = (512, 8192), draws: int = 16) -> float:
    """Median over draws of what is left, at the longer length, of the distance at the shorter one, under a scheme of the toy."""
    found = []
    for draw in range(seed * draws, (seed + 1) * draws):
        short, long = (gap(Toy(scheme=scheme, seed=draw), n, draw) for n in lengths)
        found.append(long / short)
    return statistics.median(found)


def _figure(seed: int) -> Check:
    fell = {scheme: fallen(scheme, seed) for scheme in SCHEMES}
    return Check(
        name="encodings",
        place="figure 10",
        statement="one layer collapses under NoPE, RoPE and p-RoPE",
        hypotheses="the toy, median of 16 draws, n = 512 to 8,192; control: ALiBi, slope 1/16; APE beside",
        bound="to under half; the control keeps over 70 %",
        measured=", ".join(f"{scheme} {v:.1%}" for scheme, v in fell.items()),
        holds=max(fell[scheme] for scheme in ("NoPE", "RoPE", "p-RoPE")) < 0.5 and fell["ALiBi"] > 0.7,
        fine_print="The paper reports all four to collapse at similar lengths. Ours do not: NoPE falls fastest, APE slowly; with a slope the last "
        "tokens keep a constant share, and beyond some hundreds nothing falls. Its slope and normalisation are not known here.",
    )


TRIES = {
    "last weight": _lemma,
    "total variation": _variation,
    "alternating": _alternates,
    "collapse": _collapses,
    "over-squashing": _bounds,
    "row-stochastic": _rows,
    "depth": _deep,
    "ratios": _ratios,
    "counting": _counts,
    "encodings": _figure,
}
