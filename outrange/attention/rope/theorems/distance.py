"""Does a rotary logit decay with distance? Propositions 3.1 and 3.2, figure 2 and appendix B.4 of arXiv 2410.06205.

maximal_attention    Proposition 3.1   a key exists whose logit is largest at any chosen distance
gaussian_attention   Proposition 3.2   of Gaussian queries and keys the logit does not decay on average
constant_attention   Figure 2(a)       … that of constant vectors does
repeated_draw        appendix B.4      one Gaussian draw repeated at every position does not
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch

from outrange.attention.check import Check
from outrange.attention.rope.angles import (
    channel_frequencies,
    cos_sin,
    gaussian,
    logit_curve,
    paired_logits,
    rotate,
    spacing,
    torch_dtype,
)
from outrange.attention.rope.theorems.setting import HEAD_DIM, THETA
from outrange.core.checks import require


def maximal_attention(
    head_dim: int = 64,
    theta: float = 1e4,
    distance: int = 500,
    length: int = 4096,
    dtype: str = "float64",
    seed: int = 0,
    *,
    share: float = 1.0,
    slowest: int = 0,
    angle_dtype: str | None = None,
) -> dict[str, float]:
    """Proposition 3.1: for a Gaussian q, the key k^(m) = rho(g_m)^r q^(m) has its largest logit, |q|^2, at distance r
    only.

    Args:
        distance: r, tokens; below ``length``.
        share: p of p-RoPE.
        slowest: if above 0, only so many of the slowest channels carry norm. The margin is then tiny.

    Returns:
        argmax: the distance of the largest logit (the smallest, if several are equal).
        ties: at how many distances the logit is that large; 1 is what the proposition says.
        peak: largest logit over |q|^2.
        runner_up: largest logit at any other distance than r, over |q|^2.
    """
    require(2 <= length <= 1 << 20, "length", length, "from 2 to 2^20")
    require(0 <= distance < length, "distance", distance, f"from 0 to {length - 1}, below the length")
    g = channel_frequencies(head_dim, theta, share)
    require(0 <= slowest <= len(g), "slowest", slowest, f"from 0 to {len(g)}, the number of channels")
    query = gaussian(seed, len(g), 2)
    if slowest:
        query[:-slowest] = 0
    # The query that the type holds, so that only the rotation and the product round.
    query = query.to(torch_dtype(dtype)).double()
    key = rotate(query, torch.tensor([distance]), g, "float64")[0]
    table = cos_sin(torch.arange(length), g, dtype, angle_dtype)
    curve = logit_curve(query, key, table, dtype) / float(query.square().sum())
    peak, rest = float(curve.max()), torch.cat((curve[:distance], curve[distance + 1 :]))
    return {
        "argmax": float(curve.argmax()),
        "ties": float((curve == peak).sum()),
        "peak": peak,
        "runner_up": float(rest.max()),
    }


def gaussian_attention(
    head_dim: int = 64,
    theta: float = 1e4,
    distances: Sequence[int] = (0, 1, 10, 100, 1000, 8000),
    pairs: int = 20_000,
    dtype: str = "float64",
    seed: int = 0,
) -> dict[str, float]:
    """Proposition 3.2: q and k independent N(0, I) have E[q^T R^-r k] = 0 at every distance r.

    Ours: the standard deviation is sqrt(d) at every distance too.

    Returns:
        worst_mean: the largest absolute mean over the distances.
        worst_errors: the same in standard errors of that mean.
        std_low, std_high: the least and the largest standard deviation over the distances, over sqrt(d).
    """
    require(2 <= pairs <= 200_000, "pairs", pairs, "from 2 to 200,000")
    any_distance = len(distances) > 0 and min(distances) >= 0
    require(any_distance, "distances", distances, "one or more whole numbers of at least 0")
    g, last = channel_frequencies(head_dim, theta), max(distances)
    queries, keys = gaussian(seed, 2, pairs, len(g), 2)
    # Queries stand at the largest position, keys r before it.
    queries = rotate(queries, torch.tensor([last]), g, dtype)
    by_distance = torch.stack(
        [paired_logits(queries, rotate(keys, torch.tensor([last - r]), g, dtype), dtype) for r in distances]
    )
    mean, std = by_distance.mean(1), by_distance.std(1)
    worst_errors = float((mean / std).abs().max()) * math.sqrt(pairs)
    std_low, std_high = (float(value) / math.sqrt(head_dim) for value in std.aminmax())
    return {
        "worst_mean": float(mean.abs().max()),
        "worst_errors": worst_errors,
        "std_low": std_low,
        "std_high": std_high,
    }


def constant_attention(
    head_dim: int = 64,
    theta: float = 1e4,
    distances: Sequence[int] = (0, 1, 4, 16, 64, 256, 1024, 4096),
    length: int = 8192,
    dtype: str = "float64",
) -> dict[str, float]:
    """The decay that Proposition 3.2 answers: logits of q = k = all ones over that at distance 0, the mean of cos(r
    g_m).

    Returns:
        at_r: at each of the distances r.
        later: the largest absolute value beyond the last of them and below ``length``: the curve goes through 0 and
            comes back.
    """
    inside = len(distances) > 0 and min(distances) >= 0 and max(distances) < length - 1
    require(inside, "distances", distances, f"whole numbers from 0 to {length - 2}")
    g = channel_frequencies(head_dim, theta)
    ones = torch.ones(len(g), 2, dtype=torch.float64)
    curve = logit_curve(ones, ones, cos_sin(torch.arange(length), g, dtype), dtype) / head_dim
    result = {f"at_{r}": float(curve[r]) for r in distances}
    return result | {"later": float(curve[max(distances) + 1 :].abs().max())}


def repeated_draw(
    head_dim: int = 64, theta: float = 1e4, length: int = 8192, draws: int = 60, dtype: str = "float64", seed: int = 0
) -> dict[str, float]:
    """Appendix B.4: one Gaussian q and one k, repeated at every position, show no decay either.

    Many such draws, each with a curve of its own. A curve is summed up by its root mean square over the far half of the
    distances over that over the nearest eighth (our measure).

    Returns:
        far_over_near: of the first draw.
        median: over the draws.
        constant: the same of constant vectors, which do decay.
    """
    require(16 <= length <= 1 << 20, "length", length, "from 16 to 2^20")
    require(1 <= draws <= 10_000, "draws", draws, "from 1 to 10,000")
    g, near, far = channel_frequencies(head_dim, theta), length // 8, length // 2
    draw = gaussian(seed, draws, 2, len(g), 2)
    ones = torch.ones(2, len(g), 2, dtype=torch.float64)
    table = cos_sin(torch.arange(length), g, dtype)
    curves = [logit_curve(query, key, table, dtype) for query, key in (*draw, ones)]
    ratios = [float((curve[far:].square().mean() / curve[:near].square().mean()).sqrt()) for curve in curves]
    return {"far_over_near": ratios[0], "median": float(torch.tensor(ratios[:-1]).median()), "constant": ratios[-1]}


# ---------- the checks ----------


def check_maximal_attention(dtype: str, seed: int) -> Check:
    """Proposition 3.1 at five distances."""
    results = {r: maximal_attention(HEAD_DIM, THETA, r, 4096, dtype, seed) for r in (0, 1, 7, 500, 3000)}
    tolerance = 4 * spacing(dtype)
    slow = maximal_attention(HEAD_DIM, THETA, 500, 4096, dtype, seed, slowest=4)
    rounded = maximal_attention(HEAD_DIM, THETA, 500, 4096, dtype, seed, angle_dtype=dtype)
    argmaxes = [result["argmax"] for result in results.values()]
    deviation = max(abs(result["peak"] - 1) for result in results.values())
    unique = all(result["ties"] == 1 for result in results.values())
    return Check(
        name=f"maximal attention, {dtype}",
        place="Proposition 3.1",
        statement="For any non-zero q and any distance r some key has its largest logit, |q|^2, at distance r and "
        "nowhere else.",
        hypotheses="Ours: Gaussian q with norm on all frequencies, d = 64, theta = 10,000, distances 0 … 4095, "
        "angles in float32 or better.",
        bound=f"at r = 0, 1, 7, 500, 3000: one largest logit, at r, within {tolerance:.1g} of |q|^2",
        measured=f"largest at {', '.join(f'{r:.0f}' for r in argmaxes)}; off by {deviation:.1g}; "
        f"runner-up {results[500]['runner_up']:.4f}",
        holds=argmaxes == list(results) and deviation <= tolerance and unique,
        fine_print=f"With norm on the 4 slowest frequencies alone, r = 500: runner-up {slow['runner_up']:.9f}, "
        f"largest at {slow['ties']:.0f} distance(s). "
        f"With the angles held in {dtype}, r = 500: largest at {rounded['argmax']:.0f}, "
        f"runner-up {rounded['runner_up']:.4f} and peak {rounded['peak']:.4f} of |q|^2.",
    )


def check_gaussian_attention(dtype: str, seed: int) -> Check:
    """Proposition 3.2 on 20,000 pairs."""
    result = gaussian_attention(HEAD_DIM, THETA, dtype=dtype, seed=seed)
    return Check(
        name=f"no decay of Gaussian queries and keys, {dtype}",
        place="Proposition 3.2",
        statement="Of independent q, k ~ N(0, I) the mean of q^T R^-r k is 0 at every distance r.",
        hypotheses="Ours: 20,000 pairs, d = 64, theta = 10,000, r = 0, 1, 10, 100, 1000, 8000; the standard "
        "deviation is ours as well.",
        bound="means within 4 standard errors of 0; standard deviations within 3% of sqrt(d) = 8",
        measured=f"means within {result['worst_errors']:.2f} standard errors; "
        f"standard deviations {8 * result['std_low']:.3f} to {8 * result['std_high']:.3f}",
        holds=result["worst_errors"] <= 4 and result["std_low"] >= 0.97 and result["std_high"] <= 1.03,
        fine_print="The mean is 0 at r = 0 too, so a mean that does not decay says little; that the spread does "
        "not shrink says more.",
    )


def check_decay(dtype: str, seed: int) -> Check:
    """Figure 2(a) beside appendix B.4: constant vectors decay, a repeated draw does not."""
    constant = constant_attention(HEAD_DIM, THETA, dtype=dtype)
    drawn = repeated_draw(HEAD_DIM, THETA, dtype=dtype, seed=seed)
    values = [value for name, value in constant.items() if name != "later"]
    falls = abs(values[0] - 1) <= 4 * spacing(dtype) and all(a > b for a, b in pairwise(values))
    return Check(
        name=f"decay of constant vectors, none of a repeated draw, {dtype}",
        place="Figure 2, appendix B.4",
        statement="Constant q = k decay with distance; one Gaussian q, k repeated at every position does not.",
        hypotheses="Ours: d = 64, theta = 10,000, 8192 distances, 60 draws; far over near is the RMS of the far "
        "half over that of the nearest eighth.",
        bound="constant: 1 falling at each of r = 0, 1, 4, 16, 64, 256, 1024, 4096, far over near below 0.5; "
        "draws: median from 0.8 to 1.25",
        measured=f"constant {', '.join(f'{v:.3f}' for v in values)}, far over near {drawn['constant']:.3f}; draws "
        f"{drawn['median']:.3f}",
        holds=falls and drawn["constant"] < 0.5 and 0.8 <= drawn["median"] <= 1.25,
        fine_print=f"The constant curve passes through 0 near 4096 and comes back to {constant['later']:.3f} in "
        "absolute value below 8192.",
    )
