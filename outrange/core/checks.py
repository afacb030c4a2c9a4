"""Bounds of numbers, each refused in one sentence: the field, the value, what is allowed.

Loads nothing but the standard library.

Message: ``field: value is not allowed; it must be …``. A value that cannot be compared with a number is refused in the
same words as one out of bounds.
"""

import math
import operator
from numbers import Real
from typing import Any

from outrange.core.errors import BadInput, brief


def require(fits: bool, field: str, value: object, allowed: str) -> None:
    """Refuse a value unless it fits.

    Args:
        fits: whether the value is allowed.
        field: the name under which the user gave it, e.g. ``learner.gamma``.
        value: what the user gave; it is quoted in the message.
        allowed: what follows "it must be": ``"an even whole number of at least 2"``.

    Raises:
        BadInput: it does not fit.
    """
    if not fits:
        raise BadInput(f"{field}: {brief(value)} is not allowed; it must be {allowed}")


def whole(field: str, value: Any, low: int, high: int | None = None, *, odd: bool = False) -> int:
    """A value as an ``int``, if it is a whole number (no bool, no float) from ``low`` to ``high``.

    Args:
        field: the name under which the user gave it.
        value: an ``int``, or anything else that stands for one, as numpy's integers do.
        low, high: the bounds, themselves allowed; without ``high`` there is none above.
        odd: whether even numbers are refused.

    Raises:
        BadInput: it is not one.
    """
    number = _integer(value)
    inside = number is not None and low <= number and (high is None or number <= high)
    if number is not None and inside and (number % 2 == 1 or not odd):
        return number
    # from here on only the sentence is made
    kind = "an odd number" if odd else "a whole number"
    if high is not None:
        allowed = f"{kind} from {low:,} to {high:,}"
    elif number is not None and not odd:
        allowed = f"at least {low:,}"  # that it is a whole number needs no saying
    else:
        allowed = f"{kind}, at least {low:,}"
    raise BadInput(f"{field}: {brief(value)} is not allowed; it must be {allowed}")


def within(field: str, value: Any, low: float, high: float, allowed: str) -> None:
    """Refuse a value unless it is a number from ``low`` to ``high``, both allowed; not-a-number never is.

    Args:
        field: the name under which the user gave it.
        value: what the user gave.
        low, high: the bounds; ``math.inf`` as ``high`` still refuses infinity, so that a setting is always finite.
        allowed: the bounds in words, after "it must be": ``"between 0 and 1"``.

    Raises:
        BadInput: it is outside, or no number.
    """
    number = _is_number(value) and abs(value) < math.inf
    if number and value > high and not any(word in allowed for word in ("between", "at most", "below", " to ")):
        allowed = f"at most {high:,}"  # the words tell of the lower bound only
    require(number and low <= value <= high, field, value, allowed)


def finite(field: str, value: Any, above: float = -math.inf) -> float:
    """A value as a ``float``, if it is a finite number (no bool) above a bound, which itself is not allowed.

    Raises:
        BadInput: it is not one.
    """
    allowed = "a finite number" + (f" above {above:g}" if above > -math.inf else "")
    require(_is_number(value) and above < value and abs(value) < math.inf, field, value, allowed)
    return float(value)


def _integer(value: Any) -> int | None:
    """What a value is as a whole number; None if it is none. ``True`` is none, although Python counts it as 1."""
    if isinstance(value, bool):
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
