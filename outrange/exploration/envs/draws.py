"""Random numbers by counting: a draw is a hash of (seed, environment, episode, step, index), so there is no generator
whose state could be lost.

What environment i does depends on the seed and on i alone, not on how many there are; and going back to a state is
setting the counters. The hash is a chain of the 64-bit finaliser known as splitmix64 (Steele, Lea, Flood 2014).
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from outrange.core import compiled

_OPTIONS: dict[str, Any] = {"boundscheck": False, "error_model": "numpy", "nogil": True}

part = functools.partial(compiled.part, inline="never", **_OPTIONS)
"""decorates a function that kernels of environments call"""


def kernel(function: Callable) -> Callable:
    """Decorates a function of environments that is compiled at its first call."""
    if compiled.JIT_OFF:
        return np.errstate(over="ignore")(function)  # the hash is meant to wrap around
    return compiled.kernel(function, **_OPTIONS)


# odd constants of splitmix64: 2^64 over the golden ratio, and two found by search for good mixing
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31, _S32 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(32)

_GOLDEN32, _FIRST32, _SECOND32 = np.uint32(0x9E3779B9), np.uint32(0x21F0AAAD), np.uint32(0x735A2D97)
_S16, _S15 = np.uint32(16), np.uint32(15)


@part
def mix(x):
    """64 bits from 64 bits, one to one, each depending on all."""
    # xor with a shift spreads high bits down, the odd factor spreads low bits up
    x = (x ^ (x >> _S30)) * _FIRST
    x = (x ^ (x >> _S27)) * _SECOND
    return x ^ (x >> _S31)


@part
def branch(key, number):
    """The key below a key; ``branch(branch(seed, environment), episode)``."""
    return mix(key + _GOLDEN * (np.uint64(number) + np.uint64(1)))


@part
def mix32(low, high, number):
    """32 bits from a key of 64 and a number; compilers make several at once of it, unlike of ``mix``. Casts after every
    step: Numba widens."""
    x = np.uint32(np.uint32(np.uint32(number) * _GOLDEN32) + low)
    x = np.uint32(np.uint32(x ^ (x >> _S16)) * _FIRST32)
    x = np.uint32(np.uint32(x ^ (x >> _S15)) ^ high)
    x = np.uint32(x * _SECOND32)
    return np.uint32(x ^ (x >> _S15))


@part
def below(bits, n):
    """A whole number from 0 to n - 1 from 64 bits; n is small against 2^32."""
    return np.int64(((bits >> _S32) * np.uint64(n)) >> _S32)
