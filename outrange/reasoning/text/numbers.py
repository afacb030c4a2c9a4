"""Numbers as CLRS-Text writes them: integers, and floats in the shortest decimal that reads back equal, in brackets, rows joined by commas.

Digits are written by compiled code. A float needs at most four decimals after truncation to three, and a decimal of up to fifteen digits *is* the shortest form
of the double nearest to it; so ``k / 10000 == x`` decides whether the fast way is exact. Any other float goes through Python's ``repr``.
"""

import numpy as np
from numba.core import types
from numba.extending import overload

from outrange.reasoning.clrs.caching import compiled

_SPACE, _COMMA, _OPEN, _CLOSE, _MINUS, _ZERO, _POINT = (np.uint8(ord(c)) for c in " ,[]-0.")
_SCALE, _LARGEST = 10000, 10**11


@compiled
def _put_integer(out, at, value):
    if value < 0:
        out[at] = _MINUS
        at += 1
        value = -value
    width, rest = 1, value // 10
    while rest > 0:
        width += 1
        rest //= 10
    for k in range(width - 1, -1, -1):
        out[at + k] = _ZERO + np.uint8(value % 10)
        value //= 10
    return at + width


@compiled
def _put_decimal(out, at, x):
    """Write a float of at most four decimals; returns -1 if it has more."""
    scaled = x * _SCALE
    if not -_LARGEST < scaled < _LARGEST:
        return -1
    k = np.int64(np.rint(scaled))
    if k / _SCALE != x or (k == 0 and np.copysign(1.0, x) < 0):
        return -1
    if k < 0:
        out[at] = _MINUS
        at += 1
        k = -k
    at = _put_integer(out, at, k // _SCALE)
    out[at] = _POINT
    decimals = k % _SCALE
    divisor = _SCALE // 10
    while True:
        at += 1
        out[at] = _ZERO + np.uint8(decimals // divisor)
        decimals %= divisor
        if decimals == 0:
            return at + 1
        divisor //= 10


@compiled
def _put_arrays(out, arrays, depth):
    """Write ``arrays`` (count, rows, n) joined by ", ": each a vector (depth 1, one row) or a matrix (depth 2). Returns the end, or -1 (see _put_decimal)."""
    at = 0
    for c in range(arrays.shape[0]):
        if c > 0:
            out[at], out[at + 1] = _COMMA, _SPACE
            at += 2
        if depth == 2:
            out[at] = _OPEN
            at += 1
        for r in range(arrays.shape[1]):
            if r > 0:
                out[at], out[at + 1] = _COMMA, _SPACE
                at += 2
            out[at] = _OPEN
            at += 1
            for i in range(arrays.shape[2]):
                if i > 0:
                    out[at] = _SPACE
                    at += 1
                at = _put_number(out, at, arrays[c, r, i])
                if at < 0:
                    return -1
            out[at] = _CLOSE
            at += 1
        if depth == 2:
            out[at] = _CLOSE
            at += 1
    return at


def _put_number(out, at, value):
    """An integer or a float, by its type."""
    if isinstance(value, float | np.floating):
        return _put_decimal(out, at, value)
    return _put_integer(out, at, int(value))


@overload(_put_number)
def _put_number_compiled(out, at, value):
    if isinstance(value, types.Float):
        return lambda out, at, value: _put_decimal(out, at, value)
    return lambda out, at, value: _put_integer(out, at, np.int64(value))


def write(values: np.ndarray) -> str:
    """One number (), vector (n,) or matrix (n, n) as text."""
    return write_series(values[None]) if values.ndim else _scalar(values)


def write_series(values: np.ndarray) -> str:
    """Values (count, …) joined by ", "."""
    count, depth = values.shape[0], values.ndim - 1
    if count == 0:
        return ""
    if depth == 0:
        return ", ".join(map(_scalar, values))
    if depth > 2:
        raise ValueError(f"values: {depth} axes; at most 2 can be written")
    cells = values.reshape(count, -1, values.shape[-1])
    widest = 20 if values.dtype.kind == "f" else 2 + len(str(int(np.abs(values).max(initial=0))))
    out = np.empty(cells.size * (widest + 1) + 4 * (cells.shape[0] * (cells.shape[1] + 2)), np.uint8)
    end = _put_arrays(out, cells, depth)
    if end >= 0:
        return out[:end].tobytes().decode("ascii")
    rows = [["[" + " ".join(map(repr, row)) + "]" for row in array] for array in cells.tolist()]
    return ", ".join(row[0] if depth == 1 else "[" + ", ".join(row) + "]" for row in rows)


def _scalar(value) -> str:
    return repr(value.item() if hasattr(value, "item") else value)
