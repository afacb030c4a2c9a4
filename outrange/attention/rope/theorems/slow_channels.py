"""A slow channel as a semantic one: Theorem 6.1 of arXiv 2410.06205.

slow_channel    where the wrong token wins
any_choice      … whatever query and keys are chosen
robust_length   how many tokens a channel can be trusted for
"""

import math

import torch

from outrange.attention.check import Check
from outrange.attention.rope.angles import channel_frequencies, cos_sin, generator, logit_curve, spacing
from outrange.attention.rope.theorems.setting import HEAD_DIM, THETA, place_text
from outrange.core.checks import require


def slow_channel(
    frequency: float,
    ratio: float = 0.5,
    length: int = 60_000,
    dtype: str = "float64",
    *,
    angle_dtype: str | None = None,
) -> dict[str, float]:
    """Theorem 6.1 for aligned contents, d = 2: content of logit A at distance 0 should win over content of logit B =
    ratio A.

    The target is moved away, the distractor stays at distance 0. While n g < arccos(B/A) the target's logit A cos(n
    g) is larger; by n g = pi it is -A, below any B.

    Returns:
        crossing: the first distance, at most ``length``, at which the target's logit is not larger; infinity if there
            is none.
        predicted: the first whole number that is at least arccos(ratio) / g, however large; infinity for g = 0.
    """
    require(0 <= frequency <= math.pi, "frequency", frequency, "from 0 to pi")
    require(-1 < ratio < 1, "ratio", ratio, "above -1 and below 1")
    require(1 <= length <= 1 << 24, "length", length, "from 1 to 2^24")
    g, unit = torch.tensor([frequency], dtype=torch.float64), torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    target = logit_curve(unit, unit, cos_sin(torch.arange(length + 1), g, dtype, angle_dtype), dtype)
    distractor = logit_curve(unit, unit * ratio, cos_sin(torch.tensor([length]), g, dtype, angle_dtype), dtype)[0]
    crossings = (target <= distractor).nonzero()
    return {
        "crossing": float(crossings[0].item()) if len(crossings) else math.inf,
        "predicted": float(math.ceil(math.acos(ratio) / frequency)) if frequency else math.inf,
    }


def any_choice(
    frequency: float, length: int, choices: int = 100, dtype: str = "float64", seed: int = 0
) -> dict[str, float]:
    """Theorem 6.1, d = 2: whatever q and keys are chosen, some placement of target and distractor in a long context
    goes wrong.

    Our form of it, which is sharp: from N = ceil(pi / g) + 1 on, the N + 1 distances span half a turn and a step, so
    two of them bring any target content to a logit of at most 0 and two any distractor to at least 0. Below pi / g
    contents centred on phase 0 always win. So the weight of the worst placement is at most 1/2, where a channel that
    does not turn reaches any weight. Half of the choices are random in angle and in size (1 to 1000), the others are
    centred: target at phase 0 in the middle of the context, distractor opposite.

    Returns:
        best: the largest weight, over the choices, that the target keeps in its worst placement with one distractor.
        losing: share of choices that have a placement in which the target's logit is not larger.
    """
    require(0 <= frequency <= math.pi, "frequency", frequency, "from 0 to pi")
    require(1 <= length <= 1 << 20, "length", length, "from 1 to 2^20")
    require(2 <= choices <= 10_000, "choices", choices, "from 2 to 10,000")
    g, unit = torch.tensor([frequency], dtype=torch.float64), torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    table = cos_sin(torch.arange(length + 1), g, dtype)

    # Keys (choices, target and distractor, 2) from angles and sizes.
    random = torch.rand(choices, 2, 2, generator=generator(seed), dtype=torch.float64)
    angles, sizes = random[..., 0] * 2 * math.pi, 1000 ** random[..., 1]
    middle = length * frequency / 2
    angles[: choices // 2] = torch.tensor([middle, middle + math.pi])
    keys = torch.stack((angles.cos(), angles.sin()), -1) * sizes[..., None]

    # Two tokens do not stand in one place, so each keeps its two most harmful distances.
    margins = []
    for target, distractor in keys[:, :, None]:
        lowest = logit_curve(unit, target, table, dtype).topk(2, largest=False)
        highest = logit_curve(unit, distractor, table, dtype).topk(2)
        apart = lowest.indices[:, None] != highest.indices
        margins.append(float((lowest.values[:, None] - highest.values)[apart].min()))
    worst_margins = torch.tensor(margins, dtype=torch.float64)
    return {
        "best": float(worst_margins.sigmoid().max()),
        "losing": float((worst_margins <= 0).double().mean()),
    }


def robust_length(
    theta: float, head_dim: int, margin: float, channel: int = -1, share: float = 1.0
) -> dict[str, float]:
    """How far a semantic channel can be trusted: target of logit A, distractor of (1 - margin) A at distance 0, the
    target moved away.

    Args:
        margin: 1 - B/A, above 0 and at most 1. A distractor below 0 does not help: it turns as well, and comes up as
            the
            target goes down.
        channel: m, from 0 (fastest); -1 is the slowest.
        share: p of p-RoPE.

    Returns:
        frequency: g_m, radians a token.
        tokens: the largest distance at which the target is still ahead, below arccos(B/A) / g.
        quarter_turn: the last whole distance before the logit's sign flips, at pi / 2 / g.
        half_turn: pi / g; beyond it no choice of query and keys is safe (``any_choice``).
        full_turn: 2 pi / g. All four are infinite for a channel that does not turn.
    """
    frequencies = channel_frequencies(head_dim, theta, share)
    count = len(frequencies)
    require(-count <= channel < count, "channel", channel, f"from {-count} to {count - 1}")
    require(0 < margin <= 1, "margin", margin, "above 0 and at most 1")
    g = float(frequencies[channel])
    if not g:
        endless = dict.fromkeys(("tokens", "quarter_turn", "half_turn", "full_turn"), math.inf)
        return {"frequency": 0.0, **endless}
    return {
        "frequency": g,
        "tokens": float(math.ceil(math.acos(1 - margin) / g) - 1),
        "quarter_turn": float(math.floor(math.pi / 2 / g)),
        "half_turn": float(math.floor(math.pi / g)),
        "full_turn": float(math.floor(2 * math.pi / g)),
    }


# ---------- the checks ----------


def check_slow_channel(dtype: str, seed: int) -> Check:
    """Theorem 6.1 for aligned contents, in two heads and at three ratios."""
    cases = [(256, 1e4, 0.5, 60_000), (256, 1e4, 0.0, 60_000), (256, 1e4, -0.5, 60_000), (128, 5e5, 0.5, 1 << 19)]
    tolerance, as_predicted, crossings = 4 * spacing(dtype), [], []
    for head_dim, theta, ratio, length in cases:
        g = float(channel_frequencies(head_dim, theta)[-1])
        crossing = slow_channel(g, ratio, length, dtype)["crossing"]
        earliest = math.acos(min(ratio + tolerance, 1))
        latest = min(math.acos(max(ratio - tolerance, -1)) + g, math.pi)
        crossings.append(crossing)
        as_predicted.append(earliest <= crossing * g <= latest)
    sign_flips = [robust_length(theta, head_dim, 1.0)["quarter_turn"] for head_dim, theta in ((256, 1e4), (128, 5e5))]
    return Check(
        name=f"a slow channel goes wrong, {dtype}",
        place="Theorem 6.1",
        statement="A channel that turns, however slowly, is no robust semantic channel: in a long enough context a "
        "wrong token wins, whatever the base.",
        hypotheses="d = 2: the slowest frequency alone. Ours: contents of logit A and B < A at distance 0, the "
        "target moved away, the distractor left there.",
        bound=f"no crossing while n g < arccos(B/A + {tolerance:.1g}), one by arccos(B/A - {tolerance:.1g}), a step "
        "later, and by pi",
        measured=f"d = 256, theta = 10,000: {', '.join(map(place_text, crossings[:3]))} for B/A = .5, 0, -.5; "
        f"d = 128, theta = 500,000: {place_text(crossings[3])}",
        holds=all(as_predicted),
        fine_print=f"The sign of the logit holds for {sign_flips[0]:,.0f} tokens with the first and "
        f"{sign_flips[1]:,.0f} with the second.",
    )


def check_any_choice(dtype: str, seed: int) -> Check:
    """Theorem 6.1 for chosen queries and keys, half of them the best there are."""
    g = float(channel_frequencies(HEAD_DIM, THETA)[-1])
    enough = math.ceil(math.pi / g) + 1
    long = any_choice(g, enough, 60, dtype, seed)
    short = any_choice(g, enough // 2, 60, dtype, seed)
    still = any_choice(0.0, enough, 60, dtype, seed)
    return Check(
        name=f"no choice of query and keys helps, {dtype}",
        place="Theorem 6.1",
        statement="Past some length no q and k give the target a weight above 1 - eps in every placement.",
        hypotheses="d = 2, one distractor. Ours: slowest g of d = 64, theta = 10,000, distances to ceil(pi / g) + "
        "1, 60 choices, half of them the best.",
        bound=f"distances up to {enough:,}: worst placement at most 1/2 for every choice",
        measured=f"at most {long['best']:.6f}; {long['losing']:.2f} of the choices lose",
        holds=long["best"] <= 0.5 and long["losing"] == 1,
        fine_print=f"Up to half that distance the best choice keeps {short['best']:.4f}; without rotation (p-RoPE, "
        f"NoPE) {still['best']:.4f}.",
    )
