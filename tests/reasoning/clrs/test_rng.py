"""The compiled generator against numpy.random.RandomState, draw by draw; and the generators of dataset items."""

import numpy as np
import pytest

from outrange.reasoning.clrs import rng


@pytest.mark.parametrize("seed", [0, 1, 12345, 2**32 - 1])
def test_every_draw_equals_random_state(seed):
    ours, theirs = rng.legacy(seed), np.random.RandomState(seed)
    for turn in range(30):
        n, bound, p = 1 + 29 * turn, 1 + turn, turn / 29
        out = np.empty(n)
        rng.reals(ours, out, -1.5, 2.5)
        assert np.array_equal(out, theirs.uniform(-1.5, 2.5, n))
        assert rng.real(ours) == theirs.random_sample()
        assert rng.below(ours, bound) == theirs.randint(bound)
        assert rng.below(ours, bound) == theirs.choice(bound)
        assert [rng.coin(ours, p) for _ in range(50)] == theirs.binomial(1, p, 50).tolist()
        assert np.array_equal(rng.shuffled(ours, bound), theirs.permutation(bound))


def drawn(seed, stream, index, item):
    state, out = rng.per_item(seed, stream, index), np.empty(700)
    for b in range(item + 1):
        rng.begin(state, b)
        rng.reals(state, out, 0.0, 1.0)
    return out


def test_an_item_depends_on_its_three_numbers_alone():
    assert np.array_equal(drawn(5, 7, 3, 0), drawn(5, 7, 0, 3))
    base = drawn(5, 7, 3, 0)
    for other in (drawn(6, 7, 3, 0), drawn(5, 8, 3, 0), drawn(5, 7, 4, 0), drawn(5 + 2**32, 7, 3, 0)):
        assert not np.isin(other, base).any()


def test_items_are_uniform_and_unrelated():
    first = np.array([drawn(0, 1, i, 0)[0] for i in range(2000)])
    assert abs(first.mean() - 0.5) < 0.02
    assert abs(first.var() - 1 / 12) < 0.005
    assert abs(np.corrcoef(first[:-1], first[1:])[0, 1]) < 0.06
