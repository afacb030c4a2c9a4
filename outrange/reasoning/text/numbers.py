"""Numbers as CLRS-Text writes them: integers, and floats in the shortest decimal that reads back equal, in brackets,
rows joined by commas.

Digits are written by compiled code. A float needs at most four decimals after truncation to three, and a decimal of up
to fifteen digits *is* the shortest form of the double nearest to it; so ``k / 10000 == x`` decides whether the fast way
is exact. Any other float goes through Python's ``repr``.
"""

import numpy as np
from numba.core import types
from numba.extending import overload

from outrange.reasoning.clrs.algorithms.common import compiled

_SPACE, _COMMA, _OPEN, _CLOSE, _MINUS, _ZERO, _POINT = (np.uint8(ord(character)) for character in " ,[]-0.")
_SCALE = 10_000  # four decimals
_LARGEST = 10**11  # scaled by it, a number of fifteen digits
_NOT_EXACT = -1  # instead of a position: a number needs more decimals, so nothing here is of use


@compiled
def _put_integer(text, position, value):
    """Write an integer; returns the position behind it."""
    if value < 0:
        text[position] = _MINUS
        position += 1
        value = -value
    width, rest = 1, value // 10
    while rest > 0:
        width += 1
        rest //= 10
    for k in range(width - 1, -1, -1):  # from the last digit to the first
        text[position + k] = _ZERO + np.uint8(value % 10)
        value //= 10
    return position + width


@compiled
def _put_decimal(text, position, x):
    """Write a float of at most four decimals; returns the position behind it, or ``_NOT_EXACT`` if it has more."""
    scaled = x * _SCALE
    if not -_LARGEST < scaled < _LARGEST:
        return _NOT_EXACT
    k = np.int64(np.rint(scaled))
    is_negative_zero = k == 0 and np.copysign(1.0, x) < 0
    if k / _SCALE != x or is_negative_zero:
        return _NOT_EXACT
    if k < 0:
        text[position] = _MINUS
        position += 1
        k = -k
    position = _put_integer(text, position, k // _SCALE)
    text[position] = _POINT
    # Decimals until the rest is 0, at least one: 2.0, as Python writes it.
    decimals = k % _SCALE
    divisor = _SCALE // 10
    while True:
        position += 1
        text[position] = _ZERO + np.uint8(decimals // divisor)
        decimals %= divisor
        if decimals == 0:
            return position + 1
        divisor //= 10


@compiled
def _put_arrays(text, arrays, depth):
    """Write ``arrays`` (count, rows, n) joined by ", ": each a vector (depth 1, one row) or a matrix (depth 2).

    Returns the position behind them, or ``_NOT_EXACT``.
    """
    position = 0
    for c in range(arrays.shape[0]):
        if c > 0:
            text[position], text[position + 1] = _COMMA, _SPACE
            position += 2
        if depth == 2:
            text[position] = _OPEN
            position += 1
        for r in range(arrays.shape[1]):
            if r > 0:
                text[position], text[position + 1] = _COMMA, _SPACE
                position += 2
            text[position] = _OPEN
            position += 1
            for i in range(arrays.shape[2]):
                if i > 0:
                    text[position] = _SPACE
                    position += 1
                position = _put_number(text, position, arrays[c, r, i])
                if position < 0:
                    return _NOT_EXACT
            text[position] = _CLOSE
            position += 1
        if depth == 2:
            text[position] = _CLOSE
            position += 1
    return position


def _put_number(text, position, value):
    """An integer or a float, by its type."""
    if isinstance(value, float | np.floating):
        return _put_decimal(text, position, value)
    return _put_integer(text, position, int(value))


@overload(_put_number)
def _put_number_compiled(text, position, value):
    if isinstance(value, types.Float):
        return lambda text, position, value: _put_decimal(text, position, value)
    return lambda text, position, value: _put_integer(text, position, np.int64(value))


def write(values: np.ndarray) -> str:
    """One number (), vector (n,) or matrix (n, n) as text."""
    return write_series(values[None]) if values.ndim else _write_scalar(values)


def write_series(values: np.ndarray) -> str:
    """Values (count, …), each a number, a vector or a matrix, joined by ", "."""
    count, depth = values.shape[0], values.ndim - 1
    if count == 0:
        return ""
    if depth == 0:
        return ", ".join(map(_write_scalar, values))
    if depth > 2:
        raise ValueError(f"values: {depth} axes; at most 2 can be written")
    arrays = values.reshape(count, -1, values.shape[-1])
    # The most characters that the fast way can need: numbers with a space each, brackets and commas of each row.
    is_float = values.dtype.kind == "f"
    number_width = 20 if is_float else 2 + len(str(int(np.abs(values).max(initial=0))))
    rows = arrays.shape[0] * (arrays.shape[1] + 2)
    text = np.empty(arrays.size * (number_width + 1) + 4 * rows, np.uint8)
    end = _put_arrays(text, arrays, depth)
    if end != _NOT_EXACT:
        return text[:end].tobytes().decode("ascii")
    return ", ".join(_write_exactly(array, depth) for array in arrays.tolist())


def _write_exactly(rows: list[list[float]], depth: int) -> str:
    """A vector (its one row) or a matrix through ``repr``."""
    written = ["[" + " ".join(map(repr, row)) + "]" for row in rows]
    return written[0] if depth == 1 else "[" + ", ".join(written) + "]"


def _write_scalar(value) -> str:
    return repr(value.item() if hasattr(value, "item") else value)
