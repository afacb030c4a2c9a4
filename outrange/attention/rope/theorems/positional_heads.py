"""Heads that attend by position: Proposition 5.2 and Theorem 5.3 of arXiv 2410.06205.

nope_head         Proposition 5.2   without positions one head attends equally to equal tokens
positional_head   Theorem 5.3       with positions a head can attend to itself, or to the token before
norm_needed       Theorem 5.3       how large a norm a positional head takes
"""

import math
from collections.abc import Iterable

import torch

from outrange.attention.check import Check
from outrange.attention.rope.angles import (
    channel_frequencies,
    cos_sin,
    exact_phase,
    gaussian,
    logits,
    one_minus_cos,
    paired_logits,
    rotate,
    softmax,
    spacing,
    torch_dtype,
    turn,
)
from outrange.attention.rope.theorems.setting import HEAD_DIM, THETA
from outrange.core.checks import require

_LARGEST_MAP = 1 << 24  # attention weights that are computed at a time
_LARGEST_NORM = 1e30


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
    """Proposition 5.2: a NoPE head on [bos, x, x] has alpha_33 = alpha_32 = 1 / (e^(a_31 - a_33) + 2) < 1/2.

    So it is neither diagonal nor previous-token. Scope: one head alone. Embeddings, W_Q and W_K are Gaussian, drawn
    anew ``draws`` times, with |x| and the logits of order sqrt(width) and sqrt(head_dim).

    Args:
        width: of the embeddings.
        share: p; anything but 0 turns the keys by their positions and breaks the equality.

    Returns:
        difference: the largest |alpha_33 - alpha_32|.
        largest: of alpha_33 and alpha_32 together.
        formula: the largest difference of alpha_33 from the formula, computed in float64 from the same logits.
    """
    require(1 <= width <= 4096, "width", width, "from 1 to 4096")
    require(1 <= draws <= 10_000, "draws", draws, "from 1 to 10,000")
    g, torch_type = channel_frequencies(head_dim, theta, share), torch_dtype(dtype)
    # [bos, x] and (W_Q, W_K) of every draw
    embeddings = gaussian(seed, draws, 2, width)
    weights = gaussian(seed + 1, draws, 2, width, head_dim) / math.sqrt(width)
    query = (embeddings[:, 1:] @ weights[:, 0]).unflatten(-1, (-1, 2)).to(torch_type)
    key = (embeddings @ weights[:, 1]).unflatten(-1, (-1, 2))[:, [0, 1, 1]].to(torch_type)
    positions = torch.arange(3)
    last_query = rotate(query, positions[2:], g, dtype).expand_as(key)
    row = paired_logits(last_query, rotate(key, positions, g, dtype), dtype)  # (draws, 3): a_31, a_32, a_33
    alpha = softmax(row, dtype)
    formula = 1 / ((row[:, 0] - row[:, 2]).exp() + 2)
    return {
        "difference": float((alpha[:, 2] - alpha[:, 1]).abs().max()),
        "largest": float(alpha[:, 1:].max()),
        "formula": float((alpha[:, 2] - formula).abs().max()),
    }


def positional_head(
    norm: float = 100.0,
    offset: int = 0,
    *,
    head_dim: int = 64,
    theta: float = 1e4,
    share: float = 1.0,
    frequency: float | None = None,
    length: int = 512,
    rows: int = 512,
    dtype: str = "float64",
    angle_dtype: str | None = None,
) -> dict[str, float]:
    """Theorem 5.3: all queries psi, all keys rho(g_m)^offset psi^(m): the weight ``offset`` tokens before tends to 1
    as |psi|^2 grows.

    Args:
        norm: |psi|^2, shared equally by the channels.
        offset: 0 for a diagonal head, 1 for a previous-token head; any other distance works alike.
        share: p of p-RoPE.
        frequency: a single one instead of those of ``head_dim``, ``theta`` and ``share``.
        length: tokens of the sequence.
        rows: only the last so many queries of the sequence are looked at. Queries with no token ``offset`` before
            them never are.

    Returns:
        worst, mean: weight on the target over the queries; nan if a logit overflows.
        right: share of queries whose target has the largest weight, alone.
    """
    require(0 < norm < math.inf, "norm", norm, "a finite number above 0")
    require(0 <= offset < length, "offset", offset, f"from 0 to {length - 1}, below the length")
    most_rows = max(1, _LARGEST_MAP // length)
    require(rows >= 1 and rows * length <= _LARGEST_MAP, "rows", rows, f"from 1 to {most_rows} at this length")
    if frequency is None:
        g = channel_frequencies(head_dim, theta, share)
    else:
        g = torch.tensor([frequency], dtype=torch.float64)

    # psi points elsewhere in every channel: the theorem holds for any direction
    direction = torch.arange(len(g)) * 2.4
    psi = torch.stack((direction.cos(), direction.sin()), -1).double() * math.sqrt(norm / len(g))
    first_row = max(offset, length - rows)
    cos, sin = cos_sin(torch.arange(length), g, dtype, angle_dtype)
    key = turn(rotate(psi, torch.tensor([offset]), g, "float64"), (cos, sin))
    scores = logits(turn(psi, (cos[first_row:], sin[first_row:])), key, dtype)

    # The causal mask, the softmax, and the weight on the token ``offset`` before.
    hidden = torch.ones_like(scores, dtype=torch.bool).triu(first_row + 1)
    alpha = softmax(scores.masked_fill(hidden, -math.inf), dtype)
    target = alpha.diagonal(first_row - offset)
    return {
        "worst": float(target.min()),
        "mean": float(target.mean()),
        "right": float(((alpha >= target[:, None]).sum(1) == 1).double().mean()),
    }


def norm_needed(frequencies: Iterable[float], length: int, weight: float = 0.99) -> float:
    """The |psi|^2, shared equally by the frequencies, at which the last of ``length`` diagonal queries gives itself
    this weight.

    Theorem 5.3, solved. Infinite if all frequencies are 0 (NoPE), or if the norm would pass 10^30.
    """
    require(2 <= length <= 1 << 20, "length", length, "from 2 to 2^20")
    require(1 / length < weight < 1, "weight", weight, "above 1 / length and below 1")
    distances = torch.arange(1, length).double()
    # What a logit of 1 loses at each distance, 1 - cos(n g), averaged over the channels.
    loss = torch.stack([2 * (distances * g / 2).sin().square() for g in frequencies]).mean(0)

    def own_weight(norm: float) -> float:
        return 1 / (1 + float((-norm * loss).exp().sum()))

    low, high = 0.0, 1.0
    while own_weight(high) < weight:
        low, high = high, high * 2
        if high > _LARGEST_NORM:
            return math.inf
    for _ in range(60):  # bisection down to the last bit
        middle = (low + high) / 2
        low, high = (low, middle) if own_weight(middle) >= weight else (middle, high)
    return high


# ---------- the checks ----------


def check_nope_head(dtype: str, seed: int) -> Check:
    """Proposition 5.2 on 200 drawn heads."""
    result, tolerance = nope_head(dtype=dtype, seed=seed), 4 * spacing(dtype)
    return Check(
        name=f"a NoPE head builds no positional pattern, {dtype}",
        place="Proposition 5.2",
        statement="On [bos, x, x] a NoPE head has alpha_33 = alpha_32 = 1 / (e^(a_31 - a_33) + 2) < 1/2: neither "
        "diagonal nor previous-token.",
        hypotheses="One head alone: deeper layers can find positions through the causal mask. "
        "Ours: 200 Gaussian draws of embeddings, W_Q and W_K, d = 64.",
        bound=f"equal and as the formula says within {tolerance:.1g}; at most 1/2, which rounding can reach",
        measured=f"difference {result['difference']:.1g}, from the formula {result['formula']:.1g}, largest "
        f"{result['largest']:.15g}",
        holds=result["difference"] <= tolerance and result["formula"] <= tolerance and result["largest"] <= 0.5,
        fine_print="Where the bos logit is far below, the weight rounds to 1/2 itself." * (result["largest"] == 0.5),
    )


def check_positional_head(dtype: str, seed: int) -> Check:
    """Theorem 5.3 with all frequencies, at growing norms."""
    norms = (10.0, 100.0, 1e3, 1e4)
    worst = [[positional_head(norm, offset, dtype=dtype)["worst"] for norm in norms] for offset in (0, 1)]
    rounded = positional_head(1e4, 1, dtype=dtype, angle_dtype=dtype)
    overflowing = positional_head(1e5, 0, dtype=dtype)["worst"]
    long = positional_head(1e4, 1, dtype=dtype, length=1 << 15, rows=64)["worst"]
    return Check(
        name=f"RoPE builds diagonal and previous-token heads, {dtype}",
        place="Theorem 5.3",
        statement="With q = k = psi the weight of a token on itself, with k^(m) = rho(g_m) psi^(m) that on the "
        "token before, tends to 1 as |psi|^2 grows.",
        hypotheses="Ours: norm shared equally by all frequencies, d = 64, theta = 10,000, 512 tokens, the worst "
        "query, angles in float32 or better.",
        bound="growing with |psi|^2 = 10, 100, 1000, 10,000 and at least 0.99 at the last",
        measured=" / ".join(", ".join(f"{w:.4f}" for w in row) for row in worst) + " (diagonal / previous token)",
        holds=all(row[0] < row[1] < row[2] <= row[3] and row[3] >= 0.99 for row in worst),
        fine_print=f"Previous token over 32,768 tokens: {long:.4f}. Angles held in {dtype}: right for "
        f"{rounded['right']:.3f} of the queries."
        + (
            "" if overflowing >= 0.99 else f" At |psi|^2 = 100,000 the logits overflow and the weight is {overflowing}."
        ),
    )


def check_one_frequency(dtype: str, seed: int) -> Check:
    """Theorem 5.3 with a single frequency, over as many tokens as the type can tell apart by it."""
    resolved = 16 * spacing(dtype)  # what a return must leave of the logit so that rounding it does not matter
    lengths = (n for n in range(2, 512) if one_minus_cos(exact_phase(n, 1.0)) <= resolved)
    length = next(lengths, 512)
    norm = norm_needed([1.0], length)
    worst = [positional_head(4 * norm, offset, frequency=1.0, length=length, dtype=dtype)["worst"] for offset in (0, 1)]
    fast, slow = (positional_head(1e4, 0, frequency=g, dtype=dtype)["worst"] for g in (1.0, 1e-4))
    return Check(
        name=f"one frequency is enough in principle, {dtype}",
        place="Theorem 5.3",
        statement="The same with a single frequency.",
        hypotheses="Ours: g = 1, up to 512 tokens as long as every return leaves 1 - cos(n) above 16 spacings of "
        f"the type: here {length} tokens.",
        bound=f"at least 0.99 at |psi|^2 = {4 * norm:.3g}, four times what exact arithmetic needs for 0.99",
        measured=f"{worst[0]:.4f} / {worst[1]:.4f} (diagonal / previous token)",
        holds=min(worst) >= 0.99,
        fine_print=f"Over 512 tokens |psi|^2 = 10,000 gives {fast:.3g} with g = 1 and {slow:.3g} with g = 0.0001. "
        f"For 0.99 exact arithmetic needs {norm_needed([1.0], 512):.2g} with g = 1, {norm_needed([1.0], 711):.2g} "
        "once 710 is in reach, "
        f"{norm_needed([1e-4], 512):.2g} with g = 0.0001 and "
        f"{norm_needed(channel_frequencies(HEAD_DIM, THETA).tolist(), 512):.3g} with all 32 frequencies.",
    )
