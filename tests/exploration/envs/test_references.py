"""Policies that learn nothing cover what they were measured to cover."""

import numpy as np
import pytest

from outrange.core.errors import BadInput
from outrange.exploration.envs import references
from outrange.exploration.envs.references import POLICIES, coverage


@pytest.mark.parametrize(
    ("policy", "share", "tolerance", "length"),
    [
        ("uniform", 0.0085, 0.0012, 1.9),
        ("to and fro", 2 / 199, 1e-9, 500),
        ("legal", 0.184, 0.02, 500),
        ("onward", 0.768, 0.05, 500),
        ("wall follower", 1, 1e-9, 500),
    ],
)
def test_coverage_at_21_is_the_measured_one(policy, share, tolerance, length):
    shares, lengths = coverage(policy, 192, seed=5)
    assert shares.shape == lengths.shape == (192,)
    assert shares.mean() == pytest.approx(share, abs=tolerance) and lengths.mean() == pytest.approx(length, abs=0.35)


@pytest.mark.parametrize(
    ("policy", "share"), [("uniform", 0.033), ("legal", 0.61), ("onward", 1.0), ("wall follower", 1.0)]
)
def test_coverage_at_11_is_the_measured_one(policy, share):
    assert coverage(policy, 128, seed=1, size=11)[0].mean() == pytest.approx(share, abs=0.06)


def test_a_tour_takes_at_most_two_moves_for_each_passage():
    assert (coverage("wall follower", 64, seed=2, cap=2 * 198)[0] == 1).all()
    assert (coverage("wall follower", 64, seed=2, cap=198)[0] < 1).any()


def test_moves_are_legal_and_onward_turns_back_in_dead_ends_only():
    random = np.random.default_rng(0)
    legal, last = random.random((500, 4)) < 0.6, random.integers(-1, 4, size=500)
    legal[~legal.any(1), 0] = True
    rows = np.arange(500)
    for policy in ("legal", "onward", "wall follower"):
        assert legal[rows, POLICIES[policy](legal, last, random)].all()
    moves, back = references.onward(legal, last, random), references._BACK[last]
    other_moves = legal.copy()
    other_moves[rows[last >= 0], back[last >= 0]] = False
    assert ((moves == back) <= ~other_moves.any(1)).all()


def test_draws_are_uniform_among_what_is_allowed():
    allowed = np.tile([True, False, True, True], (30_000, 1))
    counts = np.bincount(references.any_legal(allowed, np.full(30_000, -1), np.random.default_rng(0)), minlength=4)
    assert counts[1] == 0 and abs(counts[[0, 2, 3]] - 10_000).max() < 400


def test_an_unknown_policy_is_said():
    with pytest.raises(BadInput, match="did you mean 'onward'"):
        coverage("onwards", 1, 0)
