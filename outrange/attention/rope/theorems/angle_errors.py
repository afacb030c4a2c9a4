"""How wrong a rotary angle gets in a type of finite precision: ours, after issue 29285 of transformers.

angle_error            of one position and frequency
first_wrong_position   where the error passes a tolerance
table_error            of the cosines and sines that a model would use
"""

import math
from collections.abc import Iterable
from fractions import Fraction

import torch
from torch import Tensor

from outrange.attention.check import Check
from outrange.attention.rope.angles import CHUNK, channel_frequencies, cos_sin, spacing, torch_dtype
from outrange.attention.rope.theorems.setting import HEAD_DIM, THETA, first_true, place_text
from outrange.core.checks import require


def angle_error(position: int, frequency: float, dtype: str) -> float:
    """By how many radians the angle is off when position, frequency and their product are each rounded to ``dtype``.

    Infinite where the product overflows.
    """
    in_range = isinstance(position, int) and 0 <= position < 1 << 63
    require(in_range, "position", position, "a whole number from 0 to 2^63 - 1")
    rounded_frequency = torch.tensor(frequency, dtype=torch.float64).to(torch_dtype(dtype))
    angle = (torch.tensor(position).to(torch_dtype(dtype)) * rounded_frequency).item()
    if not math.isfinite(angle):
        return math.inf
    return abs(float(Fraction(angle) - position * Fraction(frequency)))


def first_wrong_position(
    frequencies: Iterable[float], dtype: str, tolerance: float = 0.1, limit: int = 1 << 25
) -> float:
    """The first position at which the angle of one of the frequencies, computed in ``dtype``, is off by more than
    ``tolerance``.

    Args:
        frequencies: radians a token, e.g. ``[1.0]`` or all of a head.
        tolerance: radians, at least 1e-6: the true angle is taken in float64.
        limit: positions 0 … limit - 1 are tried.

    Returns:
        The position, or infinity if there is none below the limit; so it is for float64 without a search, which is
        off by less at every limit allowed.
    """
    torch_type = torch_dtype(dtype)
    true = torch.tensor(list(frequencies), dtype=torch.float64)
    usable = true.numel() > 0 and bool((true.isfinite() & (true >= 0) & (true <= math.pi)).all())
    require(usable, "frequencies", true.tolist(), "numbers from 0 to pi")
    require(1e-6 <= tolerance < math.pi, "tolerance", tolerance, "at least 1e-6 and below pi")
    require(1 <= limit <= 1 << 30, "limit", limit, "from 1 to 2^30")
    if torch_type == torch.float64:
        return math.inf
    rounded, step, start = true.to(torch_type), 1024, 0
    while start < limit:
        stop = min(start + step, limit)
        positions = torch.arange(start, stop)
        angles = positions.to(torch_type)[:, None] * rounded
        errors = (angles.double() - positions.double()[:, None] * true).abs()
        wrong = (errors > tolerance) | ~angles.isfinite()
        first = first_true(wrong.any(1), start)
        if first < math.inf:
            return first
        # most types fail early, so stretches begin short and grow
        start, step = stop, min(step * 4, max(1, CHUNK // len(true)))
    return math.inf


def table_error(frequencies: Tensor, positions: Tensor, dtype: str, angle_dtype: str | None = None) -> float:
    """The largest error of a cosine or sine at any of the positions (P,) and frequencies (M,), against float64; at
    most 2.
    """
    cos, sin = cos_sin(positions, frequencies, dtype, angle_dtype)
    angles = positions.double()[:, None] * frequencies
    # nan, the cosine of an angle that overflowed, counts as wrong as can be
    cos_error = float((cos.double() - angles.cos()).abs().nan_to_num(2.0).max())
    sin_error = float((sin.double() - angles.sin()).abs().nan_to_num(2.0).max())
    return max(cos_error, sin_error)


def check_angles(dtype: str, seed: int) -> Check:
    """Angles computed in a type, beside tables whose angles are computed in float32 or better."""
    unit, channels = spacing(dtype) / 2, channel_frequencies(HEAD_DIM, THETA)
    early = 0.1 / (3.01 * unit)  # position, frequency and product are rounded once each
    last = round(1 / unit)  # above it the type does not hold every whole number
    error_at_last, error_after = angle_error(last, 1.0, dtype), angle_error(last + 1, 1.0, dtype)
    first = first_wrong_position([1.0], dtype)
    first_of_all = first_wrong_position(channels.tolist(), dtype)
    positions = torch.cat((torch.arange(0, 1 << 17, 61), torch.tensor([(1 << 17) - 1])))
    usual_error = table_error(channels, positions, dtype)
    drift = (1 << 17) * 2.0 ** (-23 if dtype != "float64" else -52)
    return Check(
        name=f"angles held in a type, {dtype}",
        place="none: ours, after transformers issue 29285",
        statement="Position times frequency, held in a type of p bits, is a radian off at position 2^p + 1 for g = "
        "1; with angles in float32 it is not.",
        hypotheses="Tolerance 0.1 rad, every position below 2^25. Tables: d = 64, theta = 10,000, positions to "
        "131,071, angles in float32 or better.",
        bound=f"g = 1: right at {last:,}, first wrong at {last + 1:,}; all channels: not before {early:,.0f}; "
        f"cosines and sines within {drift + unit:.2g}",
        measured=f"g = 1: {error_at_last:.2g} at {last:,}, {error_after:.2g} at {last + 1:,}, first "
        f"{place_text(first)}; "
        f"all channels: first {place_text(first_of_all)}; tables {usual_error:.2g}",
        holds=error_at_last <= 0.1 < error_after
        and first == (last + 1 if last < 1 << 25 else math.inf)
        and first_of_all >= early
        and usual_error <= drift + unit,
        fine_print=f"Tables from angles held in {dtype} itself are off by up to "
        f"{table_error(channels, positions, dtype, dtype):.2g}.",
    )
