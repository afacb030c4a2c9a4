"""The statements of "Round and Round We Go!" (arXiv 2410.06205) about rotary positions, as numbers that a machine gets and checks that can fail.

    maximal_attention    Proposition 3.1   a key can be made whose logit is largest at any chosen distance
    gaussian_attention   Proposition 3.2   Gaussian queries and keys: the logit does not decay with distance on average
    constant_attention   Figure 2(a)       … that of constant vectors does
    repeated_draw        appendix B.4      one Gaussian draw repeated at every position
    nope_head            Proposition 5.2   without positions one head attends equally to equal tokens
    encoding             Table 1           what NoPE, RoPE and p-RoPE can hold

Lemmas A.1 and A.2 and Theorems 5.3 and 6.1, which a single channel shows, are in ``outrange.attention.rope.precision``; their names are here too.

A head of dimension d has d/2 channels, m = 0 … d/2 - 1 (the paper's k is m + 1), with frequencies g_m = theta^(-2m/d) radians a token. The logit of a
query and a key n tokens before it is q^T R^-n k; the scale 1/sqrt(d) is left out. ``dtype`` names the type that everything is computed in. Queries stand at
the end of the sequence, so positions are as large as the length. Nothing is proved here: a check tries a statement at stated sizes, where finite lengths and
finite precision may break it. Lengths, norms, draws, bounds and what a type restricts are our hypotheses; single heads and single layers throughout.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch

from outrange.attention.check import Check
from outrange.attention.rope import precision as fp
from outrange.attention.rope.precision import (
    DTYPES,
    any_choice,
    frequencies,
    largest_gap,
    near_returns,
    norm_needed,
    positional_head,
    robust_length,
    slow_channel,
)

HEAD = (64, 1e4)  # dimension and theta in every check, unless it says otherwise


def checks(dtypes: Sequence[str] = DTYPES, seed: int = 0) -> list[Check]:
    """Every statement in every type, statement by statement. Takes some ten seconds of one core and 150 MB."""
    for dtype in dtypes:
        fp.torch_dtype(dtype, "dtypes")
    tries = (
        _maximal,
        _gaussians,
        _decay,
        _returns,
        _nope,
        _positional,
        _one_frequency,
        _slow,
        _choices,
        _dense,
        _table,
        _angles,
    )
    return [one(dtype, seed) for one in tries for dtype in dtypes]


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
    """Proposition 3.1: for a Gaussian q, the key k^(m) = rho(g_m)^r q^(m) has its largest logit, |q|^2, at distance r and nowhere else.

    Args:
        distance: r, tokens; below ``length``.
        slowest: if above 0, only so many of the slowest channels carry norm. The margin is then tiny.

    Returns:
        found: the distance of the largest logit (the smallest, if several are equal).
        tied: at how many distances the logit is that large; 1 is what the proposition says.
        peak: largest logit over |q|^2.
        runner_up: largest logit at any other distance than r, over |q|^2.
    """
    fp.need(2 <= length <= 1 << 20, "length", length, "from 2 to 2^20")
    fp.need(0 <= distance < length, "distance", distance, f"from 0 to {length - 1}, below the length")
    g = frequencies(head_dim, theta, share)
    fp.need(0 <= slowest <= len(g), "slowest", slowest, f"from 0 to {len(g)}, the number of channels")
    query = fp.gaussian(seed, len(g), 2)
    if slowest:
        query[:-slowest] = 0
    query = query.to(fp.torch_dtype(dtype)).double()
    key = fp.rotate(query, torch.tensor([distance]), g, "float64")[0]
    row = fp.curve(query, key, fp.tables(torch.arange(length), g, dtype, angle_dtype), dtype) / float(
        query.square().sum()
    )
    peak, others = float(row.max()), torch.cat((row[:distance], row[distance + 1 :]))
    return {
        "found": float(row.argmax()),
        "tied": float((row == peak).sum()),
        "peak": peak,
        "runner_up": float(others.max()),
    }


def gaussian_attention(
    head_dim: int = 64,
    theta: float = 1e4,
    distances: Sequence[int] = (0, 1, 10, 100, 1000, 8000),
    pairs: int = 20_000,
    dtype: str = "float64",
    seed: int = 0,
) -> dict[str, float]:
    """Proposition 3.2: q and k independent N(0, I) have E[q^T R^-r k] = 0 at every distance r; ours: the standard deviation is sqrt(d) at every distance too.

    Returns:
        worst_mean: the largest absolute mean over the distances.
        worst_errors: the same in standard errors of that mean.
        std_low, std_high: the least and the largest standard deviation over the distances, over sqrt(d).
    """
    fp.need(2 <= pairs <= 200_000, "pairs", pairs, "from 2 to 200,000")
    fp.need(
        len(distances) > 0 and min(distances) >= 0, "distances", distances, "one or more whole numbers of at least 0"
    )
    g, end = frequencies(head_dim, theta), max(distances)
    draw = fp.gaussian(seed, 2, pairs, len(g), 2)
    query = fp.rotate(draw[0], torch.tensor([end]), g, dtype)
    rows = torch.stack(
        [fp.paired_logits(query, fp.rotate(draw[1], torch.tensor([end - r]), g, dtype), dtype) for r in distances]
    )
    mean, std = rows.mean(1), rows.std(1)
    errors = float((mean / std).abs().max()) * math.sqrt(pairs)
    low, high = (float(one) / math.sqrt(head_dim) for one in std.aminmax())
    return {"worst_mean": float(mean.abs().max()), "worst_errors": errors, "std_low": low, "std_high": high}


def constant_attention(
    head_dim: int = 64,
    theta: float = 1e4,
    distances: Sequence[int] = (0, 1, 4, 16, 64, 256, 1024, 4096),
    length: int = 8192,
    dtype: str = "float64",
) -> dict[str, float]:
    """The decay that Proposition 3.2 answers: the logits of q = k = all ones over that at distance 0, which is the mean of cos(r g_m) over the channels.

    Returns:
        at_r: at each of the distances r.
        later: the largest absolute value beyond the last of them and below ``length``: the curve goes through 0 and comes back.
    """
    fp.need(
        len(distances) > 0 and min(distances) >= 0 and max(distances) < length - 1,
        "distances",
        distances,
        f"whole numbers from 0 to {length - 2}",
    )
    g = frequencies(head_dim, theta)
    ones = torch.ones(len(g), 2, dtype=torch.float64)
    curve = fp.curve(ones, ones, fp.tables(torch.arange(length), g, dtype), dtype) / head_dim
    return {f"at_{r}": float(curve[r]) for r in distances} | {"later": float(curve[max(distances) + 1 :].abs().max())}


def repeated_draw(
    head_dim: int = 64, theta: float = 1e4, length: int = 8192, draws: int = 60, dtype: str = "float64", seed: int = 0
) -> dict[str, float]:
    """Appendix B.4: one Gaussian q and one k, repeated at every position, show no decay either. Many such draws, each with a curve of its own.

    A curve is summed up by its root mean square over the far half of the distances over that over the nearest eighth (our measure).

    Returns:
        far_over_near: of the first draw.
        median: over the draws.
        constant: the same of constant vectors, which do decay.
    """
    fp.need(16 <= length <= 1 << 20, "length", length, "from 16 to 2^20")
    fp.need(1 <= draws <= 10_000, "draws", draws, "from 1 to 10,000")
    g, near, far = frequencies(head_dim, theta), length // 8, length // 2
    draw = fp.gaussian(seed, draws, 2, len(g), 2)
    ones = torch.ones(2, len(g), 2, dtype=torch.float64)
    table = fp.tables(torch.arange(length), g, dtype)
    curves = [fp.curve(query, key, table, dtype) for query, key in (*draw, ones)]
    ratios = [float((curve[far:].square().mean() / curve[:near].square().mean()).sqrt()) for curve in curves]
    return {"far_over_near": ratios[0], "median": float(torch.tensor(ratios[:-1]).median()), "constant": ratios[-1]}


def nope_head(
    head_dim: int = 64,
    width: int = 64,
    draws: int = 200,
    dtype: str = "float64",
    seed: int = 0,
    *,
    theta: float = 1e4,
    share: float = 0.0,
) -> dict[str, float]:
    """Proposition 5.2: a NoPE head on [bos, x, x] has alpha_33 = alpha_32 = 1 / (e^(a_31 - a_33) + 2) < 1/2, so it is neither diagonal nor previous-token.

    Scope: one head alone. Embeddings, W_Q and W_K are Gaussian, drawn anew ``draws`` times, with |x| and the logits of order sqrt(width) and sqrt(head_dim).

    Args:
        share: p; anything but 0 turns the keys by their positions and breaks the equality.

    Returns:
        difference: the largest |alpha_33 - alpha_32|.
        largest: of alpha_33 and alpha_32 together.
        formula: the largest difference of alpha_33 from the formula, computed in float64 from the same logits.
    """
    fp.need(1 <= width <= 4096, "width", width, "from 1 to 4096")
    fp.need(1 <= draws <= 10_000, "draws", draws, "from 1 to 10,000")
    g, kind = frequencies(head_dim, theta, share), fp.torch_dtype(dtype)
    words, maps = (
        fp.gaussian(seed, draws, 2, width),
        fp.gaussian(seed + 1, draws, 2, width, head_dim) / math.sqrt(width),
    )
    query = (words[:, 1:] @ maps[:, 0]).unflatten(-1, (-1, 2)).to(kind)
    key = (words @ maps[:, 1]).unflatten(-1, (-1, 2))[:, [0, 1, 1]].to(kind)
    positions = torch.arange(3)
    row = fp.paired_logits(
        fp.rotate(query, positions[2:], g, dtype).expand_as(key), fp.rotate(key, positions, g, dtype), dtype
    )
    alpha = fp.softmax(row, dtype)
    formula = 1 / ((row[:, 0] - row[:, 2]).exp() + 2)
    return {
        "difference": float((alpha[:, 2] - alpha[:, 1]).abs().max()),
        "largest": float(alpha[:, 1:].max()),
        "formula": float((alpha[:, 2] - formula).abs().max()),
    }


def encoding(
    share: float,
    *,
    head_dim: int = 64,
    theta: float = 1e4,
    norm: float = 1e4,
    length: int = 512,
    context: int = 1 << 15,
    dtype: str = "float64",
) -> dict[str, float]:
    """A row of Table 1 for p = ``share``: NoPE is 0, RoPE 1.

    Returns:
        diagonal, previous: the worst weight that a positional head of this norm gives its target over ``length`` tokens (Theorem 5.3, Proposition 5.2).
        crossing: in the slowest channel, where a distractor of half the target's logit wins within ``context``; infinity if nowhere (Theorem 6.1).
    """
    g = frequencies(head_dim, theta, share)
    heads = [
        positional_head(norm, offset, head_dim=head_dim, theta=theta, share=share, length=length, dtype=dtype)["worst"]
        for offset in (0, 1)
    ]
    return {
        "diagonal": heads[0],
        "previous": heads[1],
        "crossing": slow_channel(float(g[-1]), 0.5, context, dtype)["crossing"],
    }


def _at(place: float) -> str:
    return "nowhere" if place == math.inf else f"at {place:,.0f}"


def _maximal(dtype: str, seed: int) -> Check:
    runs = {r: maximal_attention(*HEAD, r, 4096, dtype, seed) for r in (0, 1, 7, 500, 3000)}
    slack, slow = 4 * fp.spacing(dtype), maximal_attention(*HEAD, 500, 4096, dtype, seed, slowest=4)
    held = maximal_attention(*HEAD, 500, 4096, dtype, seed, angle_dtype=dtype)
    found, off = [one["found"] for one in runs.values()], max(abs(one["peak"] - 1) for one in runs.values())
    return Check(
        name=f"maximal attention, {dtype}",
        place="Proposition 3.1",
        statement="For any non-zero q and any distance r some key has its largest logit, |q|^2, at distance r and nowhere else.",
        hypotheses="Ours: Gaussian q with norm on all frequencies, d = 64, theta = 10,000, distances 0 … 4095, angles in float32 or better.",
        bound=f"at r = 0, 1, 7, 500, 3000: one largest logit, at r, within {slack:.1g} of |q|^2",
        measured=f"largest at {', '.join(f'{r:.0f}' for r in found)}; off by {off:.1g}; runner-up {runs[500]['runner_up']:.4f}",
        holds=found == list(runs) and off <= slack and all(one["tied"] == 1 for one in runs.values()),
        fine_print=f"With norm on the 4 slowest frequencies alone, r = 500: runner-up {slow['runner_up']:.9f}, largest at {slow['tied']:.0f} distance(s). "
        f"With the angles held in {dtype}, r = 500: largest at {held['found']:.0f}, runner-up {held['runner_up']:.4f} and peak {held['peak']:.4f} of |q|^2.",
    )


def _gaussians(dtype: str, seed: int) -> Check:
    one = gaussian_attention(*HEAD, dtype=dtype, seed=seed)
    return Check(
        name=f"no decay of Gaussian queries and keys, {dtype}",
        place="Proposition 3.2",
        statement="Of independent q, k ~ N(0, I) the mean of q^T R^-r k is 0 at every distance r.",
        hypotheses="Ours: 20,000 pairs, d = 64, theta = 10,000, r = 0, 1, 10, 100, 1000, 8000; the standard deviation is ours as well.",
        bound="means within 4 standard errors of 0; standard deviations within 3% of sqrt(d) = 8",
        measured=f"means within {one['worst_errors']:.2f} standard errors; standard deviations {8 * one['std_low']:.3f} to {8 * one['std_high']:.3f}",
        holds=one["worst_errors"] <= 4 and one["std_low"] >= 0.97 and one["std_high"] <= 1.03,
        fine_print="The mean is 0 at r = 0 too, so a mean that does not decay says little; that the spread does not shrink says more.",
    )


def _decay(dtype: str, seed: int) -> Check:
    ones, draw = constant_attention(*HEAD, dtype=dtype), repeated_draw(*HEAD, dtype=dtype, seed=seed)
    table = [value for name, value in ones.items() if name != "later"]
    falls = abs(table[0] - 1) <= 4 * fp.spacing(dtype) and all(a > b for a, b in pairwise(table))
    return Check(
        name=f"decay of constant vectors, none of a repeated draw, {dtype}",
        place="Figure 2, appendix B.4",
        statement="Constant q = k decay with distance; one Gaussian q, k repeated at every position does not.",
        hypotheses="Ours: d = 64, theta = 10,000, 8192 distances, 60 draws; far over near is the RMS of the far half over that of the nearest eighth.",
        bound="constant: 1 falling at each of r = 0, 1, 4, 16, 64, 256, 1024, 4096, far over near below 0.5; draws: median from 0.8 to 1.25",
        measured=f"constant {', '.join(f'{v:.3f}' for v in table)}, far over near {draw['constant']:.3f}; draws {draw['median']:.3f}",
        holds=falls and draw["constant"] < 0.5 and 0.8 <= draw["median"] <= 1.25,
        fine_print=f"The constant curve passes through 0 near 4096 and comes back to {ones['later']:.3f} in absolute value below 8192.",
    )


def _returns(dtype: str, seed: int) -> Check:
    nearest = min((near_returns(g, 100_000, 1)[0] for g in frequencies(*HEAD).tolist()), key=lambda one: abs(one.phase))
    exact = fp.first_exact_return(1.0, 1 << 17, dtype)
    return Check(
        name=f"no exact return, {dtype}",
        place="Lemma A.1",
        statement="n g is a multiple of 2 pi only for n = 0, if g is rational or algebraic and not 0 (our wording).",
        hypotheses="Ours: the frequencies of d = 64, theta = 10,000 as float64 holds them (fractions), n < 100,000; in a type g = 1, n < 131,072, as long as "
        "1 - cos(n) is above a quarter of the type's spacing.",
        bound=f"exact phases: none 0; cosines in {dtype}: none 1 before 1 - cos(n) is as small as that, {_at(exact['predicted'])}",
        measured=f"nearest phase {nearest.phase:.2g} at {nearest.distance:,}; first cosine of 1 {_at(exact['observed'])}",
        holds=nearest.phase != 0 and exact["observed"] >= exact["predicted"],
        fine_print="In finite precision the lemma ends: 1 - cos(44) is 1.6e-4, 1 - cos(710) 1.8e-9. (355 is nearly half a turn, no return.)",
    )


def _nope(dtype: str, seed: int) -> Check:
    one, slack = nope_head(dtype=dtype, seed=seed), 4 * fp.spacing(dtype)
    return Check(
        name=f"a NoPE head builds no positional pattern, {dtype}",
        place="Proposition 5.2",
        statement="On [bos, x, x] a NoPE head has alpha_33 = alpha_32 = 1 / (e^(a_31 - a_33) + 2) < 1/2: neither diagonal nor previous-token.",
        hypotheses="One head alone: deeper layers can find positions through the causal mask. Ours: 200 Gaussian draws of embeddings, W_Q and W_K, d = 64.",
        bound=f"equal and as the formula says within {slack:.1g}; at most 1/2, which rounding can reach",
        measured=f"difference {one['difference']:.1g}, from the formula {one['formula']:.1g}, largest {one['largest']:.15g}",
        holds=one["difference"] <= slack and one["formula"] <= slack and one["largest"] <= 0.5,
        fine_print="Where the bos logit is far below, the weight rounds to 1/2 itself." * (one["largest"] == 0.5),
    )


def _positional(dtype: str, seed: int) -> Check:
    norms = (10.0, 100.0, 1e3, 1e4)
    worst = [[positional_head(norm, offset, dtype=dtype)["worst"] for norm in norms] for offset in (0, 1)]
    held = positional_head(1e4, 1, dtype=dtype, angle_dtype=dtype)
    over, far = (
        positional_head(1e5, 0, dtype=dtype)["worst"],
        positional_head(1e4, 1, dtype=dtype, length=1 << 15, rows=64)["worst"],
    )
    return Check(
        name=f"RoPE builds diagonal and previous-token heads, {dtype}",
        place="Theorem 5.3",
        statement="With q = k = psi the weight of a token on itself, with k^(m) = rho(g_m) psi^(m) that on the token before, tends to 1 as |psi|^2 grows.",
        hypotheses="Ours: norm shared equally by all frequencies, d = 64, theta = 10,000, 512 tokens, the worst query, angles in float32 or better.",
        bound="growing with |psi|^2 = 10, 100, 1000, 10,000 and at least 0.99 at the last",
        measured=" / ".join(", ".join(f"{w:.4f}" for w in row) for row in worst) + " (diagonal / previous token)",
        holds=all(row[0] < row[1] < row[2] <= row[3] and row[3] >= 0.99 for row in worst),
        fine_print=f"Previous token over 32,768 tokens: {far:.4f}. Angles held in {dtype}: right for {held['right']:.3f} of the queries."
        + ("" if over >= 0.99 else f" At |psi|^2 = 100,000 the logits overflow and the weight is {over}."),
    )


def _one_frequency(dtype: str, seed: int) -> Check:
    resolved = 16 * fp.spacing(dtype)  # what a return must leave of the logit so that rounding it does not matter
    length = next((n for n in range(2, 512) if fp.from_one(fp.exact_phase(n, 1.0)) <= resolved), 512)
    norm = norm_needed([1.0], length)
    worst = [positional_head(4 * norm, offset, frequency=1.0, length=length, dtype=dtype)["worst"] for offset in (0, 1)]
    fast, slow = (positional_head(1e4, 0, frequency=g, dtype=dtype)["worst"] for g in (1.0, 1e-4))
    return Check(
        name=f"one frequency is enough in principle, {dtype}",
        place="Theorem 5.3",
        statement="The same with a single frequency.",
        hypotheses=f"Ours: g = 1, up to 512 tokens as long as every return leaves 1 - cos(n) above 16 spacings of the type: here {length} tokens.",
        bound=f"at least 0.99 at |psi|^2 = {4 * norm:.3g}, four times what exact arithmetic needs for 0.99",
        measured=f"{worst[0]:.4f} / {worst[1]:.4f} (diagonal / previous token)",
        holds=min(worst) >= 0.99,
        fine_print=f"Over 512 tokens |psi|^2 = 10,000 gives {fast:.3g} with g = 1 and {slow:.3g} with g = 0.0001. For 0.99 exact arithmetic needs "
        f"{norm_needed([1.0], 512):.2g} with g = 1, {norm_needed([1.0], 711):.2g} once 710 is in reach, {norm_needed([1e-4], 512):.2g} with g = 0.0001 and "
        f"{norm_needed(frequencies(*HEAD).tolist(), 512):.3g} with all 32 frequencies.",
    )


def _slow(dtype: str, seed: int) -> Check:
    cases = [(256, 1e4, 0.5, 60_000), (256, 1e4, 0.0, 60_000), (256, 1e4, -0.5, 60_000), (128, 5e5, 0.5, 1 << 19)]
    slack, good, found = 4 * fp.spacing(dtype), [], []
    for head_dim, theta, ratio, length in cases:
        g = float(frequencies(head_dim, theta)[-1])
        found.append(slow_channel(g, ratio, length, dtype)["crossing"])
        good.append(
            math.acos(min(ratio + slack, 1)) <= found[-1] * g <= min(math.acos(max(ratio - slack, -1)) + g, math.pi)
        )
    flips = [robust_length(theta, head_dim, 1.0)["quarter_turn"] for head_dim, theta in ((256, 1e4), (128, 5e5))]
    return Check(
        name=f"a slow channel goes wrong, {dtype}",
        place="Theorem 6.1",
        statement="A channel that turns, however slowly, is no robust semantic channel: in a long enough context a wrong token wins, whatever the base.",
        hypotheses="d = 2: the slowest frequency alone. Ours: contents of logit A and B < A at distance 0, the target moved away, the distractor left there.",
        bound=f"no crossing while n g < arccos(B/A + {slack:.1g}), one by arccos(B/A - {slack:.1g}), a step later, and by pi",
        measured=f"d = 256, theta = 10,000: {', '.join(map(_at, found[:3]))} for B/A = .5, 0, -.5; d = 128, theta = 500,000: {_at(found[3])}",
        holds=all(good),
        fine_print=f"The sign of the logit holds for {flips[0]:,.0f} tokens with the first and {flips[1]:,.0f} with the second.",
    )


def _choices(dtype: str, seed: int) -> Check:
    g = float(frequencies(*HEAD)[-1])
    enough = math.ceil(math.pi / g) + 1
    long, short, still = (
        any_choice(g, enough, 60, dtype, seed),
        any_choice(g, enough // 2, 60, dtype, seed),
        any_choice(0.0, enough, 60, dtype, seed),
    )
    return Check(
        name=f"no choice of query and keys helps, {dtype}",
        place="Theorem 6.1",
        statement="Past some length no q and k give the target a weight above 1 - eps in every placement.",
        hypotheses="d = 2, one distractor. Ours: slowest g of d = 64, theta = 10,000, distances to ceil(pi / g) + 1, 60 choices, half of them the best.",
        bound=f"distances up to {enough:,}: worst placement at most 1/2 for every choice",
        measured=f"at most {long['best']:.6f}; {long['losing']:.2f} of the choices lose",
        holds=long["best"] <= 0.5 and long["losing"] == 1,
        fine_print=f"Up to half that distance the best choice keeps {short['best']:.4f}; without rotation (p-RoPE, NoPE) {still['best']:.4f}.",
    )


def _dense(dtype: str, seed: int) -> Check:
    length = min(1 << 17, round(2 / fp.spacing(dtype)))
    gaps, true = [[largest_gap(1.0, length // part, kind) for part in (64, 16, 4, 1)] for kind in (dtype, "float64")]
    return Check(
        name=f"multiples of an irrational rotation are dense, {dtype}",
        place="Lemma A.2",
        statement="The angles n g mod 2 pi come near to every angle if g / 2 pi is irrational.",
        hypotheses=f"Ours: g = 1, n < {length:,}: positions that the type holds exactly, and no more than 131,072.",
        bound="the largest gap shrinks by more than 1% each time the length is multiplied by 4, and is that of float64",
        measured=", ".join(f"{gap:.2g}" for gap in gaps),
        holds=gaps == true and all(0.99 * a > b for a, b in pairwise(gaps)),
        fine_print=f"At 131,072: {largest_gap(1.0, 1 << 17, dtype):.2g} in {dtype}, {largest_gap(1.0, 1 << 17):.2g} in float64 (inf: an angle overflows).",
    )


def _table(dtype: str, seed: int) -> Check:
    rows = {name: encoding(share, dtype=dtype) for name, share in (("NoPE", 0.0), ("RoPE", 1.0), ("0.75-RoPE", 0.75))}
    positional = {name: min(row["diagonal"], row["previous"]) for name, row in rows.items()}
    robust = [name for name, row in rows.items() if row["crossing"] == math.inf]
    return Check(
        name=f"what the encodings hold, {dtype}",
        place="Table 1",
        statement="NoPE: semantic yes, positional no. RoPE: positional yes, robust semantic no. p-RoPE: both.",
        hypotheses="Ours: d = 64, theta = 10,000; the heads of Theorem 5.3, |psi|^2 = 10,000, 512 tokens; the slowest channel alone, B/A = 0.5, 32,768 tokens.",
        bound="positional: weight at least 0.99, or at most 1/2 where not; semantic: no crossing, or one where not",
        measured="; ".join(
            f"{name} weight {positional[name]:.4f}, crossing {_at(rows[name]['crossing'])}" for name in rows
        ),
        holds=positional["NoPE"] <= 0.5
        and min(positional["RoPE"], positional["0.75-RoPE"]) >= 0.99
        and robust == ["NoPE", "0.75-RoPE"],
        fine_print="A channel that does not turn has cosine 1 and sine 0 in every type, so its logit is the same at any distance, to the last bit.",
    )


def _angles(dtype: str, seed: int) -> Check:
    unit, channels = fp.spacing(dtype) / 2, frequencies(*HEAD)
    early = 0.1 / (3.01 * unit)  # position, frequency and product are rounded once each
    last = round(1 / unit)  # above it the type does not hold every whole number
    at, after = fp.angle_error(last, 1.0, dtype), fp.angle_error(last + 1, 1.0, dtype)
    first, everywhere = fp.first_wrong_position([1.0], dtype), fp.first_wrong_position(channels.tolist(), dtype)
    positions = torch.cat((torch.arange(0, 1 << 17, 61), torch.tensor([(1 << 17) - 1])))
    usual, drift = fp.table_error(channels, positions, dtype), (1 << 17) * 2.0 ** (-23 if dtype != "float64" else -52)
    return Check(
        name=f"angles held in a type, {dtype}",
        place="none: ours, after transformers issue 29285",
        statement="Position times frequency, held in a type of p bits, is a radian off at position 2^p + 1 for g = 1; with angles in float32 it is not.",
        hypotheses="Tolerance 0.1 rad, every position below 2^25. Tables: d = 64, theta = 10,000, positions to 131,071, angles in float32 or better.",
        bound=f"g = 1: right at {last:,}, first wrong at {last + 1:,}; all channels: not before {early:,.0f}; cosines and sines within {drift + unit:.2g}",
        measured=f"g = 1: {at:.2g} at {last:,}, {after:.2g} at {last + 1:,}, first {_at(first)}; all channels: first {_at(everywhere)}; tables {usual:.2g}",
        holds=at <= 0.1 < after
        and first == (last + 1 if last < 1 << 25 else math.inf)
        and everywhere >= early
        and usual <= drift + unit,
        fine_print=f"Tables from angles held in {dtype} itself are off by up to {fp.table_error(channels, positions, dtype, dtype):.2g}.",
    )
