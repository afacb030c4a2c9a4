"""outrange/exploration/learning/sumtree.py against sums made anew, and against cpprb's prioritized replay."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outrange.core.errors import BadInput
from outrange.exploration.learning.sumtree import SumTree

SIZES = [1, 2, 3, 7, 8, 9, 1000]


def tree_of(values):
    tree = SumTree(len(values))
    tree.update(np.arange(len(values)), np.asarray(values, np.float64))
    return tree


def fits(counts, expected):
    """Pearson's chi-square lies within five standard deviations of its mean."""
    used = expected > 0
    assert not counts[~used].any()
    chi = ((counts - expected)[used] ** 2 / expected[used]).sum()
    freedom = used.sum() - 1
    return abs(chi - freedom) < 5 * math.sqrt(2 * freedom)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(size=st.sampled_from(SIZES), seed=st.integers(0, 10**6))
def test_after_any_updates_sums_and_leaves_are_those_of_a_plain_list(size, seed):
    rng = np.random.default_rng(seed)
    tree, plain = SumTree(size), [0.0] * size
    for _ in range(5):
        indices = rng.integers(0, size, rng.integers(0, 12))
        values = rng.integers(0, 9, len(indices)).astype(float)
        tree.update(indices, values)
        for index, value in zip(indices, values):  # the last of equal indices stays
            plain[index] = value
        assert tree.values.tolist() == plain
        assert tree.total == sum(plain)
        assert tree.positive == sum(value > 0 for value in plain)
        if tree.total:
            prefix = rng.integers(0, int(tree.total), 20) + rng.choice([0.0, 0.5], 20)
            running = np.cumsum(plain)
            assert tree.find(prefix).tolist() == [int(np.argmax(running > one)) for one in prefix]


def test_the_last_of_two_values_for_a_leaf_stays():
    tree = SumTree(4)
    tree.update(np.array([2, 1, 2, 2]), np.array([5.0, 1.0, 7.0, 3.0]))
    assert tree.values.tolist() == [0, 1, 3, 0]
    tree.update(np.array([2, 2]), np.array([4.0, 0.0]))
    assert tree.values.tolist() == [0, 1, 0, 0] and tree.positive == 1 and tree.total == 1


@pytest.mark.parametrize("size", SIZES)
def test_a_prefix_at_or_beyond_either_edge_gives_a_leaf_with_a_value(size):
    for leaf in {0, size // 2, size - 1}:
        tree = tree_of([0.1 if index == leaf else 0.0 for index in range(size)])
        assert (
            tree.find(np.array([-1.0, 0.0, 0.05, tree.total, np.nextafter(tree.total, 9), math.inf, math.nan])).tolist()
            == [leaf] * 7
        )


def test_no_leaf_of_value_zero_is_found_among_values_that_do_not_add_up():
    rng = np.random.default_rng(5)
    for _ in range(200):
        values = 10.0 ** rng.uniform(-18, 18, 37) * (rng.random(37) < 0.3)
        values[rng.integers(37)] = 0.1
        tree = tree_of(values)
        edges = np.concatenate([np.cumsum(values), np.cumsum(values[::-1]), [tree.total, np.nextafter(tree.total, 0)]])
        prefix = np.concatenate(
            [edges, np.nextafter(edges, 0), np.nextafter(edges, math.inf), rng.random(50) * tree.total]
        )
        assert (values[tree.find(prefix)] > 0).all()


def test_leaves_are_found_in_proportion_to_their_values():
    rng = np.random.default_rng(1)
    values = rng.random(100) ** 3 * (rng.random(100) < 0.8)
    tree = tree_of(values)
    found = tree.find(rng.random(100_000) * tree.total)
    assert fits(np.bincount(found, minlength=100), values / values.sum() * 100_000)


def test_equal_leaves_give_equal_trees_whatever_came_before():
    rng = np.random.default_rng(2)
    values = rng.random(100)
    worn, prefix = SumTree(100), rng.random(1000)
    for _ in range(300):
        worn.update(rng.integers(0, 100, 20), 10.0 ** rng.uniform(-9, 9, 20))
    worn.update(rng.permutation(100), np.zeros(100))
    assert worn.total == 0 and worn.positive == 0
    order = rng.permutation(100)
    worn.update(order, values[order])
    fresh = tree_of(values)
    assert worn.total == fresh.total
    assert np.array_equal(worn.find(prefix * worn.total), fresh.find(prefix * fresh.total))


def test_draws_and_weights_are_those_of_cpprb():
    cpprb = pytest.importorskip("cpprb")
    rng = np.random.default_rng(3)
    priorities = rng.random(64) + 0.01
    peer = cpprb.PrioritizedReplayBuffer(64, {"index": {"dtype": np.int64}}, alpha=0.9, eps=0)
    peer.add(index=np.arange(64), priorities=np.ones(64))
    peer.update_priorities(np.arange(64), priorities)
    drawn = [
        {name: array.ravel().copy() for name, array in peer.sample(1024, beta=1.0).items()} for _ in range(40)
    ]  # its arrays do not last
    at = np.concatenate([one["index"] for one in drawn])
    tree = tree_of(priorities**0.9)
    ours = tree.find(rng.random(len(at)) * tree.total)
    share = tree.values / tree.total
    for found in (
        at,
        ours,
    ):  # cpprb draws one from each of equal strata, with a seed of its own: closer than chance, so only near, not chi-square
        assert np.abs(np.bincount(found, minlength=64) / len(at) - share).sum() < 0.05
    assert fits(np.bincount(ours, minlength=64), share * len(at))
    for one in drawn:  # (1 / N p) / max
        ratio = one["weights"] * share[one["index"]]
        np.testing.assert_allclose(ratio, ratio[0], rtol=1e-4)


def test_a_tree_without_any_value_says_so_instead_of_finding_a_leaf():
    with pytest.raises(BadInput, match="every value is zero"):
        SumTree(5).find(np.zeros(1))


@pytest.mark.parametrize("size", [0, -1, 2.5, True, "9"])
def test_a_size_that_is_no_number_of_leaves_is_refused(size):
    with pytest.raises(BadInput, match="at least 1"):
        SumTree(size)


@pytest.mark.parametrize(
    ("indices", "values", "words"),
    [
        ([0, 5], [1, 1], "indices: 5 is not allowed; the leaves are 0 to 4"),
        ([-1], [1], "indices: -1"),
        ([0, 1], [1], "as many whole numbers as values"),
        ([0.0], [1], "as many whole numbers as values"),
        ([[0]], [[1]], "as many whole numbers as values"),
        ([0, 1], [1, -1e-9], "values: -1e-09"),
        ([0], [math.nan], "values: nan"),
        ([0], [math.inf], "values: inf"),
        ([0], [1e101], "values: 1e\\+101"),
    ],
)
def test_what_cannot_be_put_is_refused_and_changes_nothing(indices, values, words):
    tree = tree_of([1, 2, 3, 4, 5])
    with pytest.raises(BadInput, match=words):
        tree.update(np.array(indices), np.array(values))
    assert tree.values.tolist() == [1, 2, 3, 4, 5]


def test_nothing_to_update_is_allowed():
    tree = tree_of([1, 2])
    tree.update(np.zeros(0, np.int64), np.zeros(0))
    tree.update(np.array([]), np.array([]))
    assert tree.total == 3


def test_the_size_in_bytes_is_known_beforehand():
    for size in SIZES:
        assert SumTree.bytes_of(size) == SumTree(size)._nodes.nbytes
