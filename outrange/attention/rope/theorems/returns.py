"""Where a single rotation comes back to: Lemmas A.1 and A.2 of arXiv 2410.06205.

near_returns         Lemma A.1   a rotation never comes back exactly, only nearly
first_exact_return   Lemma A.1   … until a type of finite precision can no longer tell
largest_gap          Lemma A.2   multiples of an irrational rotation come near to every angle
"""

import math
from itertools import pairwise
from typing import NamedTuple

import torch

from outrange.attention.check import Check
from outrange.attention.rope.angles import (
    CHUNK,
    channel_frequencies,
    cos_sin,
    exact_phase,
    one_minus_cos,
    spacing,
    torch_dtype,
    wrap,
)
from outrange.attention.rope.theorems.setting import HEAD_DIM, THETA, first_true, place_text
from outrange.core.checks import require


class NearReturn(NamedTuple):
    """A distance at which a rotation is nearly back."""

    distance: int
    phase: float
    """radians, from -pi to pi"""
    one_minus_cos: float
    """what a logit of 1 loses there"""


def near_returns(frequency: float, length: int, count: int = 10) -> list[NearReturn]:
    """The distances, below a length, at which a single frequency comes nearest to phase 0, nearest first.

    The rival of a head that looks at distance 0 by this frequency alone: at distance n its logit |psi|^2 lacks only
    ``one_minus_cos`` of |psi|^2. For a slow frequency these are the neighbours 1, 2, 3 …, for g = 1 they are 333,
    377, 44 … (355 is no return but nearly half a turn: the sign is opposite).

    Args:
        frequency: radians a token, above 0 and at most pi.
        length: tokens; distances 1 … length - 1 are looked at, at most 10^8.
        count: how many to return; fewer if there are fewer distances.
    """
    require(0 < frequency <= math.pi, "frequency", frequency, "above 0 and at most pi")
    require(2 <= length <= 10**8, "length", length, "from 2 to 100,000,000")
    require(1 <= count <= 10_000, "count", count, "from 1 to 10,000")
    candidates: list[int] = []
    candidate_count = count + 8  # the search is in float64; the last places are decided without rounding
    for start in range(1, length, CHUNK):
        chunk = torch.arange(start, min(start + CHUNK, length))
        distances = torch.cat((torch.tensor(candidates, dtype=torch.int64), chunk))
        phases = wrap(distances.double() * frequency).abs()
        nearest = phases.topk(min(candidate_count, len(phases)), largest=False).indices
        candidates = distances[nearest].tolist()
    ranked = sorted((abs(exact_phase(n, frequency)), n) for n in candidates)[:count]
    return [NearReturn(n, exact_phase(n, frequency), one_minus_cos(phase)) for phase, n in ranked]


def first_exact_return(frequency: float, length: int, dtype: str) -> dict[str, float]:
    """Where Lemma A.1 (n g is no multiple of 2 pi) ends in a type: the first distance below ``length`` whose cosine
    is 1.

    Returns:
        observed: that distance, from 1 on; infinity if there is none.
        predicted: the first whose true 1 - cos is at most a quarter of the type's spacing, so that it rounds to
            nothing.
    """
    require(2 <= length <= 1 << 24, "length", length, "from 2 to 2^24")
    distances = torch.arange(1, length)
    cos, _ = cos_sin(distances, torch.tensor([frequency], dtype=torch.float64), dtype)
    true = 2 * (wrap(distances.double() * frequency) / 2).sin() ** 2
    return {"observed": first_true(cos[:, 0] == 1, 1), "predicted": first_true(true <= spacing(dtype) / 4, 1)}


def largest_gap(frequency: float, length: int, dtype: str = "float64") -> float:
    """Lemma A.2: the largest arc, in radians, that none of the angles n g, n = 0 … length - 1, falls into.

    Multiples of an irrational rotation are dense, so it tends to 0 as the length grows. In a type of finite precision
    the angles are finitely many; it is infinite if one of them overflows.
    """
    require(0 <= frequency <= math.pi, "frequency", frequency, "from 0 to pi")
    require(1 <= length <= 10**7, "length", length, "from 1 to 10,000,000")
    rounded_frequency = torch.tensor(frequency, dtype=torch.float64).to(torch_dtype(dtype))
    angles = torch.arange(length).to(torch_dtype(dtype)) * rounded_frequency
    if not bool(angles.isfinite().all()):
        return math.inf
    circle = torch.remainder(angles.double(), 2 * math.pi).sort().values
    inner = float(circle.diff().max()) if length > 1 else 0.0
    around = float(circle[0] - circle[-1]) + 2 * math.pi  # from the last angle over 2 pi to the first
    return max(inner, around)


# ---------- the checks ----------


def check_no_exact_return(dtype: str, seed: int) -> Check:
    """Lemma A.1 on the frequencies of one head, and its end in a type."""
    closest = [near_returns(g, 100_000, 1)[0] for g in channel_frequencies(HEAD_DIM, THETA).tolist()]
    nearest = min(closest, key=lambda near_return: abs(near_return.phase))
    exact = first_exact_return(1.0, 1 << 17, dtype)
    return Check(
        name=f"no exact return, {dtype}",
        place="Lemma A.1",
        statement="n g is a multiple of 2 pi only for n = 0, if g is rational or algebraic and not 0 (our wording).",
        hypotheses="Ours: the frequencies of d = 64, theta = 10,000 as float64 holds them (fractions), n < "
        "100,000; in a type g = 1, n < 131,072, "
        "as long as 1 - cos(n) is above a quarter of the type's spacing.",
        bound=f"exact phases: none 0; cosines in {dtype}: none 1 before 1 - cos(n) is as small as that, "
        f"{place_text(exact['predicted'])}",
        measured=f"nearest phase {nearest.phase:.2g} at {nearest.distance:,}; first cosine of 1 "
        f"{place_text(exact['observed'])}",
        holds=nearest.phase != 0 and exact["observed"] >= exact["predicted"],
        fine_print="In finite precision the lemma ends: 1 - cos(44) is 1.6e-4, 1 - cos(710) 1.8e-9. (355 is nearly "
        "half a turn, no return.)",
    )


def check_dense_angles(dtype: str, seed: int) -> Check:
    """Lemma A.2: the gaps shrink as the length grows, and are those of exact arithmetic."""
    length = min(1 << 17, round(2 / spacing(dtype)))  # positions that the type holds exactly
    lengths = [length // part for part in (64, 16, 4, 1)]
    gaps = [largest_gap(1.0, n, dtype) for n in lengths]
    exact_gaps = [largest_gap(1.0, n, "float64") for n in lengths]
    return Check(
        name=f"multiples of an irrational rotation are dense, {dtype}",
        place="Lemma A.2",
        statement="The angles n g mod 2 pi come near to every angle if g / 2 pi is irrational.",
        hypotheses=f"Ours: g = 1, n < {length:,}: positions that the type holds exactly, and no more than 131,072.",
        bound="the largest gap shrinks by more than 1% each time the length is multiplied by 4, and is that of float64",
        measured=", ".join(f"{gap:.2g}" for gap in gaps),
        holds=gaps == exact_gaps and all(0.99 * a > b for a, b in pairwise(gaps)),
        fine_print=f"At 131,072: {largest_gap(1.0, 1 << 17, dtype):.2g} in {dtype}, {largest_gap(1.0, 1 << 17):.2g} "
        "in float64 (inf: an angle overflows).",
    )
