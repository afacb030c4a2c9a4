"""Rotary angles and logits in a chosen floating-point type, and single channels: the finite part of "Round and Round We Go!" (arXiv 2410.06205).

    near_returns         Lemma A.1         a rotation never comes back exactly, only nearly
    largest_gap          Lemma A.2         multiples of an irrational rotation come near to every angle
    positional_head      Theorem 5.3       with positions a head can attend to itself, or to the token before
    norm_needed          Theorem 5.3       how large a norm a positional head takes
    slow_channel         Theorem 6.1       a slow channel as a semantic one: where the wrong token wins
    any_choice           Theorem 6.1       … whatever query and keys are chosen
    robust_length        Theorem 6.1       how many tokens a channel can be trusted for

The paper's statements are about real numbers. A model computes the angle (position times frequency), its cosine and sine, the rotated query and key, their
product and the softmax in some type, and each step rounds. ``logits`` and ``softmax`` do the same steps in the type asked for, so that every statement
of ``outrange.attention.rope.theorems`` can be tried as a machine would compute it. Our hypotheses, which follow what today's libraries do:

    angles           in float32 (float64 for float64), unless ``angle_dtype`` says otherwise
    cosine, sine     rounded to the type; the rotation itself is done in the type
    logit            products summed in float32 (float64 for float64), then rounded once to the type
    softmax          in float32 (float64 for float64), then rounded to the type

``exact_phase`` needs no rounding: a stored frequency is a fraction, and pi is taken to 80 digits.
"""

import math
from collections.abc import Iterable
from fractions import Fraction
from typing import NamedTuple

import torch
from torch import Tensor

from outrange.core.errors import BadInput, brief, unknown

DTYPES = ("float64", "float32", "bfloat16", "float16")
_TORCH = {"float64": torch.float64, "float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_TURN = 2 * Fraction("3.14159265358979323846264338327950288419716939937510582097494459230781640628620899")
_CHUNK = 1 << 20  # numbers held at a time by a search


def torch_dtype(name: str, field: str = "dtype") -> torch.dtype:
    """The torch type of a name in ``DTYPES``."""
    if name not in _TORCH:
        raise unknown(field, name, DTYPES, "a type that the statements are checked in")
    return _TORCH[name]


def need(fine: bool, field: str, value: object, allowed: str) -> None:
    """Refuse a value in one sentence unless it is fine."""
    if not fine:
        raise BadInput(f"{field}: {brief(value)} is not allowed; it must be {allowed}")


def spacing(dtype: str) -> float:
    """The distance from 1 to the next larger number of a type: 2^-52, 2^-23, 2^-7, 2^-10. Below 1 the numbers lie half as far apart."""
    return torch.finfo(torch_dtype(dtype)).eps


def frequencies(head_dim: int = 64, theta: float = 1e4, share: float = 1.0) -> Tensor:
    """Radians a token of the channels of a head, (head_dim / 2,), fastest first. ``share`` is p of p-RoPE: 1 is RoPE, 0 is NoPE."""
    need(
        isinstance(head_dim, int) and head_dim >= 2 and head_dim % 2 == 0,
        "head_dim",
        head_dim,
        "an even whole number of at least 2",
    )
    need(1 < theta < math.inf, "theta", theta, "a finite number above 1")
    need(0 <= share <= 1, "share", share, "from 0 to 1")
    g = theta ** (-2 * torch.arange(head_dim // 2, dtype=torch.float64) / head_dim)
    g[int(share * head_dim // 2) :] = 0
    return g


def gaussian(seed: int, *shape: int) -> Tensor:
    """Independent N(0, 1) numbers, float64, from a generator of their own."""
    return torch.randn(shape, generator=generator(seed), dtype=torch.float64)


def generator(seed: int) -> torch.Generator:
    """A fresh generator; nothing here touches the global one."""
    need(isinstance(seed, int) and 0 <= seed < 1 << 63, "seed", seed, "a whole number from 0 to 2^63 - 1")
    return torch.Generator().manual_seed(seed)


def exact_phase(position: int, frequency: float) -> float:
    """The angle ``position * frequency`` in radians, taken into [-pi, pi] without rounding on the way; only the result is rounded to float64."""
    angle = position * Fraction(frequency)
    return float(angle - round(angle / _TURN) * _TURN)


def from_one(phase: float) -> float:
    """1 - cos(phase), without the cancellation that loses small phases."""
    return 2.0 * math.sin(phase / 2.0) ** 2


def tables(positions: Tensor, frequencies: Tensor, dtype: str, angle_dtype: str | None = None) -> tuple[Tensor, Tensor]:
    """Cosine and sine, (P, M) each and of type ``dtype``, of positions (P,) times frequencies (M,); the angles are held in ``angle_dtype``."""
    kind = torch_dtype(dtype)
    held = torch_dtype(angle_dtype or _wide(dtype), "angle_dtype")
    angles = positions.to(held)[:, None] * frequencies.to(held)
    return angles.cos().to(kind), angles.sin().to(kind)


def rotate(
    chunks: Tensor, positions: Tensor, frequencies: Tensor, dtype: str, angle_dtype: str | None = None
) -> Tensor:
    """R^p x: chunk pairs (..., P, M, 2) or (M, 2), turned by position (P,) times frequency (M,), in ``dtype``.

    Which two channels of a head form chunk m (neighbours, or m and m + d/2) changes no logit as long as query and key agree.
    """
    return turn(chunks, tables(positions, frequencies, dtype, angle_dtype))


def turn(chunks: Tensor, table: tuple[Tensor, Tensor]) -> Tensor:
    """``rotate`` with cosines and sines (P, M) at hand; the type is theirs."""
    cos, sin = table
    x, y = chunks.to(cos.dtype).unbind(-1)
    return torch.stack((x * cos - y * sin, x * sin + y * cos), -1)


def logits(queries: Tensor, keys: Tensor, dtype: str) -> Tensor:
    """Products (Q, K), as float64, of rotated queries (Q, M, 2) and keys (K, M, 2). The scale 1/sqrt(d) is left out, as in the statements."""
    wide = torch_dtype(_wide(dtype))
    return (queries.flatten(1).to(wide) @ keys.flatten(1).to(wide).T).to(torch_dtype(dtype)).double()


def paired_logits(queries: Tensor, keys: Tensor, dtype: str) -> Tensor:
    """Products (...,), as float64, of each rotated query (..., M, 2) with its own key of the same shape."""
    wide = torch_dtype(_wide(dtype))
    return (queries.to(wide) * keys.to(wide)).sum((-2, -1)).to(torch_dtype(dtype)).double()


def softmax(rows: Tensor, dtype: str) -> Tensor:
    """Attention weights of logits (Q, K), rounded to ``dtype`` and given as float64. A row with an infinite logit, as float16 makes them, is nan."""
    return rows.to(torch_dtype(_wide(dtype))).softmax(-1).to(torch_dtype(dtype)).double()


def curve(query: Tensor, key: Tensor, table: tuple[Tensor, Tensor], dtype: str) -> Tensor:
    """Logits by distance, (P,): the query (M, 2) at the last position of the table (P, M), the key at every one, both rotated and multiplied in the type."""
    cos, sin = table
    return logits(turn(query, (cos[-1:], sin[-1:])), turn(key, table), dtype)[0].flip(0)


def angle_error(position: int, frequency: float, dtype: str) -> float:
    """By how many radians the angle is off when position, frequency and their product are each held in ``dtype``; infinite where it overflows."""
    need(
        isinstance(position, int) and 0 <= position < 1 << 63, "position", position, "a whole number from 0 to 2^63 - 1"
    )
    held = torch.tensor(position).to(torch_dtype(dtype)) * torch.tensor(frequency, dtype=torch.float64).to(
        torch_dtype(dtype)
    )
    if not math.isfinite(held.item()):
        return math.inf
    return abs(float(Fraction(held.item()) - position * Fraction(frequency)))


def first_wrong_position(
    frequencies: Iterable[float], dtype: str, tolerance: float = 0.1, limit: int = 1 << 25
) -> float:
    """The first position at which the angle of one of the frequencies, held in ``dtype`` throughout, is off by more than ``tolerance`` radians.

    Args:
        frequencies: radians a token, e.g. ``[1.0]`` or all of a head.
        tolerance: radians, at least 1e-6: the true angle is taken in float64.
        limit: positions 0 … limit - 1 are tried.

    Returns:
        The position, or infinity if there is none below the limit; so it is for float64 without a search, which is off by less at every limit allowed.
    """
    kind = torch_dtype(dtype)
    true = torch.tensor(list(frequencies), dtype=torch.float64)
    need(
        true.numel() > 0 and bool((true.isfinite() & (true >= 0) & (true <= math.pi)).all()),
        "frequencies",
        true.tolist(),
        "numbers from 0 to pi",
    )
    need(1e-6 <= tolerance < math.pi, "tolerance", tolerance, "at least 1e-6 and below pi")
    need(1 <= limit <= 1 << 30, "limit", limit, "from 1 to 2^30")
    if kind == torch.float64:
        return math.inf
    held, step = true.to(kind), 1024
    start = 0
    while start < limit:
        stop = min(start + step, limit)
        positions = torch.arange(start, stop)
        angles = positions.to(kind)[:, None] * held
        wrong = ((angles.double() - positions.double()[:, None] * true).abs() > tolerance) | ~angles.isfinite()
        first = _first(wrong.any(1), start)
        if first < math.inf:
            return first
        start, step = stop, min(step * 4, max(1, _CHUNK // len(true)))
    return math.inf


def table_error(frequencies: Tensor, positions: Tensor, dtype: str, angle_dtype: str | None = None) -> float:
    """The largest error of a cosine or sine at any of the positions (P,) and frequencies (M,), against float64; 2 is as wrong as can be."""
    cos, sin = tables(positions, frequencies, dtype, angle_dtype)
    angles = positions.double()[:, None] * frequencies
    return max(
        float((cos.double() - angles.cos()).abs().nan_to_num(2.0).max()),
        float((sin.double() - angles.sin()).abs().nan_to_num(2.0).max()),
    )


class NearReturn(NamedTuple):
    """A distance at which a rotation is nearly back: its phase in radians, from -pi to pi, and 1 - cos(phase), what a unit logit loses there."""

    distance: int
    phase: float
    from_one: float


def near_returns(frequency: float, length: int, count: int = 10) -> list[NearReturn]:
    """The distances, below a length, at which a single frequency comes nearest to phase 0, nearest first.

    The rival of a head that looks at distance 0 by this frequency alone: at distance n its logit |psi|^2 lacks only ``from_one`` of |psi|^2. For a slow
    frequency these are the neighbours 1, 2, 3 …, for g = 1 they are 333, 377, 44 … (355 is no return but nearly half a turn: the sign is opposite).

    Args:
        frequency: radians a token, above 0 and at most pi.
        length: tokens; distances 1 … length - 1 are looked at, at most 10^8.
        count: how many to give; fewer if there are fewer distances.
    """
    need(0 < frequency <= math.pi, "frequency", frequency, "above 0 and at most pi")
    need(2 <= length <= 10**8, "length", length, "from 2 to 100,000,000")
    need(1 <= count <= 10_000, "count", count, "from 1 to 10,000")
    found: list[int] = []
    spare = count + 8  # the search is in float64; the last places are decided without rounding
    for start in range(1, length, _CHUNK):
        distances = torch.cat(
            (torch.tensor(found, dtype=torch.int64), torch.arange(start, min(start + _CHUNK, length)))
        )
        far = _wrapped(distances.double() * frequency).abs()
        found = distances[far.topk(min(spare, len(far)), largest=False).indices].tolist()
    nearest = sorted((abs(exact_phase(n, frequency)), n) for n in found)[:count]
    return [NearReturn(n, exact_phase(n, frequency), from_one(phase)) for phase, n in nearest]


def first_exact_return(frequency: float, length: int, dtype: str) -> dict[str, float]:
    """Where Lemma A.1 (n g is no multiple of 2 pi) ends in a type: the first distance from 1 to length - 1 whose cosine, in ``dtype``, is 1.

    Returns:
        observed: that distance, infinity if there is none.
        predicted: the first whose true 1 - cos is at most a quarter of the type's spacing, so that it rounds to nothing.
    """
    need(2 <= length <= 1 << 24, "length", length, "from 2 to 2^24")
    distances = torch.arange(1, length)
    cos, _ = tables(distances, torch.tensor([frequency], dtype=torch.float64), dtype)
    true = 2 * (_wrapped(distances.double() * frequency) / 2).sin() ** 2
    return {"observed": _first(cos[:, 0] == 1, 1), "predicted": _first(true <= spacing(dtype) / 4, 1)}


def largest_gap(frequency: float, length: int, dtype: str = "float64") -> float:
    """Lemma A.2: the largest arc, in radians, that none of the angles n g, n = 0 … length - 1, falls into; infinite if one overflows.

    Multiples of an irrational rotation are dense, so it tends to 0 as the length grows. Held in a type of finite precision the angles are finitely many.
    """
    need(0 <= frequency <= math.pi, "frequency", frequency, "from 0 to pi")
    need(1 <= length <= 10**7, "length", length, "from 1 to 10,000,000")
    held = torch.arange(length).to(torch_dtype(dtype)) * torch.tensor(frequency, dtype=torch.float64).to(
        torch_dtype(dtype)
    )
    if not bool(held.isfinite().all()):
        return math.inf
    circle = torch.remainder(held.double(), 2 * math.pi).sort().values
    return max(float(circle.diff().max()) if length > 1 else 0.0, float(circle[0] - circle[-1]) + 2 * math.pi)


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
    """Theorem 5.3: all queries psi, all keys rho(g_m)^offset psi^(m): the weight on the token ``offset`` before tends to 1 as |psi|^2 grows.

    Args:
        norm: |psi|^2, shared equally by the channels.
        offset: 0 for a diagonal head, 1 for a previous-token head; any other distance works alike.
        frequency: a single one instead of those of ``head_dim``, ``theta`` and ``share``.
        rows: only the last so many queries of the sequence are looked at. Queries with no token ``offset`` before them never are.

    Returns:
        worst, mean: weight on the target over the queries; nan if a logit overflows.
        right: share of queries whose target has the largest weight, alone.
    """
    need(0 < norm < math.inf, "norm", norm, "a finite number above 0")
    need(0 <= offset < length, "offset", offset, f"from 0 to {length - 1}, below the length")
    need(
        rows >= 1 and rows * length <= 1 << 24, "rows", rows, f"from 1 to {max(1, (1 << 24) // length)} at this length"
    )
    g = frequencies(head_dim, theta, share) if frequency is None else torch.tensor([frequency], dtype=torch.float64)
    angle = torch.arange(len(g)) * 2.4  # psi points elsewhere in every channel: the theorem holds for any direction
    psi = torch.stack((angle.cos(), angle.sin()), -1).double() * math.sqrt(norm / len(g))
    first = max(offset, length - rows)
    cos, sin = tables(torch.arange(length), g, dtype, angle_dtype)
    key = turn(rotate(psi, torch.tensor([offset]), g, "float64"), (cos, sin))
    scores = logits(turn(psi, (cos[first:], sin[first:])), key, dtype)
    scores = scores.masked_fill(torch.ones_like(scores, dtype=torch.bool).triu(first + 1), -math.inf)
    alpha = softmax(scores, dtype)
    target = alpha.diagonal(first - offset)
    return {
        "worst": float(target.min()),
        "mean": float(target.mean()),
        "right": float(((alpha >= target[:, None]).sum(1) == 1).double().mean()),
    }


def norm_needed(frequencies: Iterable[float], length: int, weight: float = 0.99) -> float:
    """The |psi|^2, shared equally by the frequencies, at which the last of ``length`` diagonal queries gives itself this weight: Theorem 5.3, solved.

    Infinite if all frequencies are 0 (NoPE), or if the norm would pass 10^30.
    """
    need(2 <= length <= 1 << 20, "length", length, "from 2 to 2^20")
    need(1 / length < weight < 1, "weight", weight, "above 1 / length and below 1")
    lost = torch.stack([2 * (torch.arange(1, length).double() * g / 2).sin().square() for g in frequencies]).mean(0)
    low, high = 0.0, 1.0
    while 1 / (1 + float((-high * lost).exp().sum())) < weight:
        low, high = high, high * 2
        if high > 1e30:
            return math.inf
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if 1 / (1 + float((-middle * lost).exp().sum())) >= weight else (middle, high)
    return high


def slow_channel(
    frequency: float,
    ratio: float = 0.5,
    length: int = 60_000,
    dtype: str = "float64",
    *,
    angle_dtype: str | None = None,
) -> dict[str, float]:
    """Theorem 6.1 for aligned contents, d = 2: content of logit A at distance 0 is to win over content of logit B = ratio A, but is moved away.

    The distractor stays at distance 0. While n g < arccos(B/A) the target's logit A cos(n g) is larger; by n g = pi it is -A, below any B.

    Returns:
        crossing: the first distance, at most ``length``, at which the target's logit is not larger; infinity if there is none.
        predicted: the first whole number that is at least arccos(ratio) / g, however large; infinity for g = 0.
    """
    need(0 <= frequency <= math.pi, "frequency", frequency, "from 0 to pi")
    need(-1 < ratio < 1, "ratio", ratio, "above -1 and below 1")
    need(1 <= length <= 1 << 24, "length", length, "from 1 to 2^24")
    g, unit = torch.tensor([frequency], dtype=torch.float64), torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    moved = curve(unit, unit, tables(torch.arange(length + 1), g, dtype, angle_dtype), dtype)
    distractor = curve(unit, unit * ratio, tables(torch.tensor([length]), g, dtype, angle_dtype), dtype)[0]
    lost = (moved <= distractor).nonzero()
    return {
        "crossing": float(lost[0].item()) if len(lost) else math.inf,
        "predicted": float(math.ceil(math.acos(ratio) / frequency)) if frequency else math.inf,
    }


def any_choice(
    frequency: float, length: int, choices: int = 100, dtype: str = "float64", seed: int = 0
) -> dict[str, float]:
    """Theorem 6.1, d = 2: whatever q and keys are chosen, some placement of target and distractor within a long enough context goes wrong.

    Our form of it, which is sharp: from N = ceil(pi / g) + 1 on, the N + 1 distances span half a turn and a step, so two of them bring any target content to
    a logit of at most 0 and two any distractor to at least 0. Below pi / g contents centred on phase 0 always win. So the weight of the worst placement is
    at most 1/2, where a channel that does not turn reaches any weight. Half of the choices are random in angle and in size (1 to 1000), the others are
    centred: target at phase 0 in the middle of the context, distractor opposite.

    Returns:
        best: the largest weight, over the choices, that the target keeps in its worst placement with one distractor.
        losing: share of choices that have a placement in which the target's logit is not larger.
    """
    need(0 <= frequency <= math.pi, "frequency", frequency, "from 0 to pi")
    need(1 <= length <= 1 << 20, "length", length, "from 1 to 2^20")
    need(2 <= choices <= 10_000, "choices", choices, "from 2 to 10,000")
    g, unit = torch.tensor([frequency], dtype=torch.float64), torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    table = tables(torch.arange(length + 1), g, dtype)
    random = torch.rand(choices, 2, 2, generator=generator(seed), dtype=torch.float64)
    angles, sizes = random[..., 0] * 2 * math.pi, 1000 ** random[..., 1]
    angles[: choices // 2] = torch.tensor([length * frequency / 2, length * frequency / 2 + math.pi])
    keys = torch.stack((angles.cos(), angles.sin()), -1) * sizes[..., None]
    margins = []
    for target, distractor in keys[:, :, None]:
        low = curve(unit, target, table, dtype).topk(2, largest=False)
        high = curve(unit, distractor, table, dtype).topk(2)
        other = low.indices[:, None] != high.indices  # two tokens do not stand in one place
        margins.append(float((low.values[:, None] - high.values)[other].min()))
    worst = torch.tensor(margins, dtype=torch.float64)
    return {"best": float(worst.sigmoid().max()), "losing": float((worst <= 0).double().mean())}


def robust_length(
    theta: float, head_dim: int, margin: float, channel: int = -1, share: float = 1.0
) -> dict[str, float]:
    """How far a semantic channel can be trusted: contents of logit A (target) and B = (1 - margin) A (distractor) at distance 0, the target moved away.

    Args:
        margin: 1 - B/A, above 0 and at most 1. A distractor below 0 does not help: it turns as well, and comes up as the target goes down.
        channel: m, from 0 (fastest); -1 is the slowest.
        share: p of p-RoPE.

    Returns:
        frequency: g_m, radians a token.
        tokens: the largest distance at which the target is still ahead, below arccos(B/A) / g.
        quarter_turn: the last whole distance before the logit's sign flips, at pi / 2 / g.
        half_turn: pi / g; beyond it no choice of query and keys is safe (``any_choice``).
        full_turn: 2 pi / g. All four are infinite for a channel that does not turn.
    """
    g = frequencies(head_dim, theta, share)
    need(-len(g) <= channel < len(g), "channel", channel, f"from {-len(g)} to {len(g) - 1}")
    need(0 < margin <= 1, "margin", margin, "above 0 and at most 1")
    one = float(g[channel])
    if not one:
        return {
            "frequency": 0.0,
            "tokens": math.inf,
            "quarter_turn": math.inf,
            "half_turn": math.inf,
            "full_turn": math.inf,
        }
    return {
        "frequency": one,
        "tokens": float(math.ceil(math.acos(1 - margin) / one) - 1),
        "quarter_turn": float(math.floor(math.pi / 2 / one)),
        "half_turn": float(math.floor(math.pi / one)),
        "full_turn": float(math.floor(2 * math.pi / one)),
    }


def _wrapped(angles: Tensor) -> Tensor:
    return torch.remainder(angles + math.pi, 2 * math.pi) - math.pi


def _first(mask: Tensor, offset: int) -> float:
    found = mask.nonzero()
    return float(found[0].item() + offset) if len(found) else math.inf


def _wide(dtype: str) -> str:
    return "float64" if dtype == "float64" else "float32"
