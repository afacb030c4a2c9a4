"""NumPy's legacy generator inside compiled code: MT19937 and the draws that the published samplers make from it, bit
for bit.

The state is one uint32 array: 624 words of state, the same 624 words tempered (ready to be drawn), the position in
them, and then, for a dataset whose items have generators of their own, a flag and the halves of (seed, stream, index of
the first item). ``numpy.random.RandomState`` is the specification; tests/reasoning/clrs/test_rng.py compares every draw
with it.
"""

import numpy as np

from outrange.reasoning.clrs.algorithms.common import compiled, identity

WORDS = 624
_SHIFT = 397  # MT19937's distance between the words that are combined
_POSITION = 2 * WORDS
_PER_ITEM = _POSITION + 1  # 1: every item has a generator of its own; its numbers follow
_UPPER, _LOWER, _TWIST = np.uint32(0x80000000), np.uint32(0x7FFFFFFF), np.uint32(0x9908B0DF)
_STATE_SIZE = _PER_ITEM + 7


def legacy_state(seed: int) -> np.ndarray:
    """The state of ``RandomState(seed)``."""
    state = np.zeros(_STATE_SIZE, np.uint32)
    state[:WORDS] = np.random.RandomState(seed).get_state()[1]  # type: ignore[index]
    state[_POSITION] = WORDS  # no word is ready: the first draw makes 624
    return state


def per_item_state(seed: int, stream: int, index: int) -> np.ndarray:
    """A state that starts afresh at every item: item b of a block depends on (seed, stream, index + b) alone.

    Each of the three is below 2**64.
    """
    state = np.zeros(_STATE_SIZE, np.uint32)
    state[_PER_ITEM] = 1
    state[_PER_ITEM + 1 :] = [half for number in (seed, stream, index) for half in (number & 0xFFFFFFFF, number >> 32)]
    return state


@compiled
def _splitmix64(x):
    """One output of SplitMix64 (Steele, Lea and Flood 2014): a bijection of 64 bits whose outputs for consecutive
    counters pass as random.
    """
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@compiled
def begin_sample(rng, b):
    """Called before sample b of a block is drawn: where every item has a generator of its own, start it.

    Its 624 words come from SplitMix64 at a hash of (seed, stream, index + b). A single generator for all samples just
    goes on.
    """
    if rng[_PER_ITEM] == 0:
        return
    # The three 64-bit numbers, from their halves.
    seed = np.uint64(rng[_PER_ITEM + 1]) | np.uint64(rng[_PER_ITEM + 2]) << np.uint64(32)
    stream = np.uint64(rng[_PER_ITEM + 3]) | np.uint64(rng[_PER_ITEM + 4]) << np.uint64(32)
    index = (np.uint64(rng[_PER_ITEM + 5]) | np.uint64(rng[_PER_ITEM + 6]) << np.uint64(32)) + np.uint64(b)
    golden_gamma = np.uint64(0x9E3779B97F4A7C15)  # SplitMix64's increment, 2**64 over the golden ratio
    start = _splitmix64(_splitmix64(_splitmix64(seed + golden_gamma) ^ stream) ^ index)
    for i in range(WORDS // 2):
        two_words = _splitmix64(start + golden_gamma * np.uint64(i + 1))
        rng[2 * i] = np.uint32(two_words & np.uint64(0xFFFFFFFF))
        rng[2 * i + 1] = np.uint32(two_words >> np.uint64(32))
    rng[_POSITION] = WORDS


@compiled
def _refill(rng):
    """The next 624 words: MT19937's recurrence, and its tempering into the second half of the state."""
    # Word i becomes word i + 397 (mod 624) combined with the twist of words i and i + 1; three loops spare the modulo.
    for i in range(WORDS - _SHIFT):
        joined = (rng[i] & _UPPER) | (rng[i + 1] & _LOWER)
        rng[i] = rng[i + _SHIFT] ^ (joined >> np.uint32(1)) ^ (_TWIST * (joined & np.uint32(1)))
    for i in range(WORDS - _SHIFT, WORDS - 1):
        joined = (rng[i] & _UPPER) | (rng[i + 1] & _LOWER)
        rng[i] = rng[i + _SHIFT - WORDS] ^ (joined >> np.uint32(1)) ^ (_TWIST * (joined & np.uint32(1)))
    joined = (rng[WORDS - 1] & _UPPER) | (rng[0] & _LOWER)
    rng[WORDS - 1] = rng[_SHIFT - 1] ^ (joined >> np.uint32(1)) ^ (_TWIST * (joined & np.uint32(1)))
    for i in range(WORDS):
        word = rng[i]
        word ^= word >> np.uint32(11)
        word ^= (word << np.uint32(7)) & np.uint32(0x9D2C5680)
        word ^= (word << np.uint32(15)) & np.uint32(0xEFC60000)
        word ^= word >> np.uint32(18)
        rng[WORDS + i] = word
    rng[_POSITION] = 0


@compiled
def next_word(rng):
    """The next 32 random bits."""
    if rng[_POSITION] == WORDS:
        _refill(rng)
    position = rng[_POSITION]
    rng[_POSITION] = position + np.uint32(1)
    return rng[np.uint32(WORDS) + position]


@compiled
def uniform(rng):
    """A double in [0, 1): 27 bits of one word and 26 of the next, over 2**53. RandomState.random_sample."""
    high, low = next_word(rng) >> np.uint32(5), next_word(rng) >> np.uint32(6)
    return (np.float64(high) * 67108864.0 + np.float64(low)) / 9007199254740992.0


@compiled
def fill_uniform(rng, vector, low, high):
    """Fill a vector: RandomState.uniform(low, high, vector.size)."""
    filled = 0
    while filled < vector.size:
        position = np.int64(rng[_POSITION])
        ready = min((WORDS - position) // 2, vector.size - filled)
        if ready == 0:  # one word or none is left: this draw crosses into the next 624
            vector[filled] = low + (high - low) * uniform(rng)
            filled += 1
            continue
        # As many draws as there are words ready, without looking at the position in between.
        for k in range(ready):
            word = WORDS + position + 2 * k
            unit = (
                np.float64(rng[word] >> np.uint32(5)) * 67108864.0 + np.float64(rng[word + 1] >> np.uint32(6))
            ) / 9007199254740992.0
            vector[filled + k] = low + (high - low) * unit
        rng[_POSITION] += np.uint32(2 * ready)
        filled += ready


@compiled
def integer_below(rng, bound):
    """An integer in [0, bound): RandomState.randint(bound), choice(bound). Draws nothing if there is but one choice."""
    largest = np.uint32(bound - 1)
    if largest == 0:
        return 0
    # The smallest mask of ones that covers the largest value; draws outside the range are drawn again.
    bit_mask = largest
    for shift in (1, 2, 4, 8, 16):
        bit_mask |= bit_mask >> np.uint32(shift)
    value = next_word(rng) & bit_mask
    while value > largest:
        value = next_word(rng) & bit_mask
    return np.int64(value)


@compiled
def bernoulli(rng, p):
    """One trial: RandomState.binomial(1, p), by inversion as NumPy does it, for p above 1/2 by its complement.

    NumPy compares with exp(log(1 - p)), and draws again when rounding leaves a remainder past both outcomes
    (probability about 1e-16; not repeated here).
    """
    if p <= 0.5:
        return 1 if uniform(rng) > np.exp(np.log(1.0 - p)) else 0
    return 0 if uniform(rng) > np.exp(np.log(1.0 - (1.0 - p))) else 1


@compiled
def permutation(rng, n):
    """RandomState.permutation(n): Fisher and Yates, from the last place down."""
    order = identity(n)
    for i in range(n - 1, 0, -1):
        j = integer_below(rng, i + 1)
        order[i], order[j] = order[j], order[i]
    return order
