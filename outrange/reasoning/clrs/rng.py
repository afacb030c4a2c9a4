"""NumPy's legacy generator inside compiled code: MT19937 and the draws that the published samplers make from it, bit for bit.

The state is one uint32 array: 624 words of state, the same 624 words tempered (ready to be drawn), the place in them, and then, for a dataset whose items
have generators of their own, a flag and the halves of (seed, stream, index of the first item).
``numpy.random.RandomState`` is the specification; tests/reasoning/clrs/test_rng.py compares every draw with it.
"""

import numpy as np

from outrange.reasoning.clrs.algorithms.common import identity
from outrange.reasoning.clrs.caching import compiled

WORDS = 624
_PLACE = 2 * WORDS
_FLAG = _PLACE + 1
_UPPER, _LOWER, _TWIST = np.uint32(0x80000000), np.uint32(0x7FFFFFFF), np.uint32(0x9908B0DF)


def legacy(seed: int) -> np.ndarray:
    """The state of ``RandomState(seed)``."""
    rng = np.zeros(_PLACE + 8, np.uint32)
    rng[:WORDS] = np.random.RandomState(seed).get_state()[1]  # type: ignore[index]
    rng[_PLACE] = WORDS
    return rng


def per_item(seed: int, stream: int, index: int) -> np.ndarray:
    """A state that starts afresh at every item: item b of a block depends on (seed, stream, index + b) alone. Each of the three is below 2**64."""
    rng = np.zeros(_PLACE + 8, np.uint32)
    rng[_FLAG] = 1
    rng[_FLAG + 1 :] = [half for number in (seed, stream, index) for half in (number & 0xFFFFFFFF, number >> 32)]
    return rng


@compiled
def _mixed(x):
    """One output of SplitMix64 (Steele, Lea and Flood 2014): a bijection of 64 bits whose outputs for consecutive counters pass as random."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@compiled
def begin(rng, b):
    """Called before sample b of a block is drawn: with a generator per item, start it from SplitMix64 at a hash of its three numbers; else go on."""
    if rng[_FLAG] == 0:
        return
    seed = np.uint64(rng[_FLAG + 1]) | np.uint64(rng[_FLAG + 2]) << np.uint64(32)
    stream = np.uint64(rng[_FLAG + 3]) | np.uint64(rng[_FLAG + 4]) << np.uint64(32)
    index = (np.uint64(rng[_FLAG + 5]) | np.uint64(rng[_FLAG + 6]) << np.uint64(32)) + np.uint64(b)
    golden = np.uint64(0x9E3779B97F4A7C15)
    start = _mixed(_mixed(_mixed(seed + golden) ^ stream) ^ index)
    for i in range(WORDS // 2):
        both = _mixed(start + golden * np.uint64(i + 1))
        rng[2 * i] = np.uint32(both & np.uint64(0xFFFFFFFF))
        rng[2 * i + 1] = np.uint32(both >> np.uint64(32))
    rng[_PLACE] = WORDS


@compiled
def _refill(rng):
    for i in range(WORDS - 397):
        mixed = (rng[i] & _UPPER) | (rng[i + 1] & _LOWER)
        rng[i] = rng[i + 397] ^ (mixed >> np.uint32(1)) ^ (_TWIST * (mixed & np.uint32(1)))
    for i in range(WORDS - 397, WORDS - 1):
        mixed = (rng[i] & _UPPER) | (rng[i + 1] & _LOWER)
        rng[i] = rng[i - 227] ^ (mixed >> np.uint32(1)) ^ (_TWIST * (mixed & np.uint32(1)))
    mixed = (rng[WORDS - 1] & _UPPER) | (rng[0] & _LOWER)
    rng[WORDS - 1] = rng[396] ^ (mixed >> np.uint32(1)) ^ (_TWIST * (mixed & np.uint32(1)))
    for i in range(WORDS):
        word = rng[i]
        word ^= word >> np.uint32(11)
        word ^= (word << np.uint32(7)) & np.uint32(0x9D2C5680)
        word ^= (word << np.uint32(15)) & np.uint32(0xEFC60000)
        word ^= word >> np.uint32(18)
        rng[WORDS + i] = word
    rng[_PLACE] = 0


@compiled
def word(rng):
    """The next 32 random bits."""
    if rng[_PLACE] == WORDS:
        _refill(rng)
    place = rng[_PLACE]
    rng[_PLACE] = place + np.uint32(1)
    return rng[np.uint32(WORDS) + place]


@compiled
def real(rng):
    """A double in [0, 1) from the upper bits of two words: RandomState.random_sample."""
    high, low = word(rng) >> np.uint32(5), word(rng) >> np.uint32(6)
    return (np.float64(high) * 67108864.0 + np.float64(low)) / 9007199254740992.0


@compiled
def reals(rng, out, low, high):
    """Fill a vector: RandomState.uniform(low, high, out.size)."""
    filled = 0
    while filled < out.size:
        place = np.int64(rng[_PLACE])
        ready = min((WORDS - place) // 2, out.size - filled)
        if ready == 0:  # one word or none is left: this draw crosses into the next block
            out[filled] = low + (high - low) * real(rng)
            filled += 1
            continue
        for k in range(ready):
            at = WORDS + place + 2 * k
            unit = (
                np.float64(rng[at] >> np.uint32(5)) * 67108864.0 + np.float64(rng[at + 1] >> np.uint32(6))
            ) / 9007199254740992.0
            out[filled + k] = low + (high - low) * unit
        rng[_PLACE] += np.uint32(2 * ready)
        filled += ready


@compiled
def below(rng, bound):
    """An integer in [0, bound): RandomState.randint(bound), choice(bound). Draws nothing when there is one choice only."""
    top = np.uint32(bound - 1)
    if top == 0:
        return 0
    cover = top
    for shift in (1, 2, 4, 8, 16):
        cover |= cover >> np.uint32(shift)
    value = word(rng) & cover
    while value > top:
        value = word(rng) & cover
    return np.int64(value)


@compiled
def coin(rng, p):
    """One trial: RandomState.binomial(1, p), by inversion as NumPy does it, for p above 1/2 by its complement.

    NumPy compares with exp(log(1 - p)), and draws again when rounding leaves a remainder past both outcomes (probability about 1e-16; not repeated here).
    """
    if p <= 0.5:
        return 1 if real(rng) > np.exp(np.log(1.0 - p)) else 0
    return 0 if real(rng) > np.exp(np.log(1.0 - (1.0 - p))) else 1


@compiled
def shuffled(rng, n):
    """RandomState.permutation(n)."""
    order = identity(n)
    for i in range(n - 1, 0, -1):
        j = below(rng, i + 1)
        order[i], order[j] = order[j], order[i]
    return order
