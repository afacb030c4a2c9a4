"""The compiled generator against numpy.random.RandomState, draw by draw; and the generators of dataset items."""

import numpy as np
import pytest

from outrange.reasoning.clrs import rng


@pytest.mark.parametrize("seed", [0, 1, 12345, 2**32 - 1])
def test_every_draw_equals_random_state(seed):
    ours, theirs = rng.legacy_state(seed), np.random.RandomState(seed)
    for turn in range(30):
        n, bound, p = 1 + 29 * turn, 1 + turn, turn / 29
        vector = np.empty(n)
        rng.fill_uniform(ours, vector, -1.5, 2.5)
        assert np.array_equal(vector, theirs.uniform(-1.5, 2.5, n))
        assert rng.uniform(ours) == theirs.random_sample()
        assert rng.integer_below(ours, bound) == theirs.randint(bound)
        assert rng.integer_below(ours, bound) == theirs.choice(bound)
        assert [rng.bernoulli(ours, p) for _ in range(50)] == theirs.binomial(1, p, 50).tolist()
        assert np.array_equal(rng.permutation(ours, bound), theirs.permutation(bound))


def draw_item(seed, stream, index, item):
    """700 numbers of item ``item`` of a block whose first item is ``index``."""
    state, vector = rng.per_item_state(seed, stream, index), np.empty(700)
    for b in range(item + 1):
        rng.begin_sample(state, b)
        rng.fill_uniform(state, vector, 0.0, 1.0)
    return vector


def test_an_item_depends_on_its_three_numbers_alone():
    assert np.array_equal(draw_item(5, 7, 3, 0), draw_item(5, 7, 0, 3))
    base = draw_item(5, 7, 3, 0)
    for numbers in (draw_item(6, 7, 3, 0), draw_item(5, 8, 3, 0), draw_item(5, 7, 4, 0), draw_item(5 + 2**32, 7, 3, 0)):
        assert not np.isin(numbers, base).any()


def test_items_are_uniform_and_unrelated():
    first = np.array([draw_item(0, 1, i, 0)[0] for i in range(2000)])
    assert abs(first.mean() - 0.5) < 0.02
    assert abs(first.var() - 1 / 12) < 0.005
    assert abs(np.corrcoef(first[:-1], first[1:])[0, 1]) < 0.06
