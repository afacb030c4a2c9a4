"""Deep sea: rewards, walls and the drawn meaning of actions."""

import numpy as np
import pytest

from outrange.exploration.envs import make


def sailed(envs, right: list[bool]):
    """Steps of environment 0 when it goes right or not."""
    _, place = envs.reset()
    cell, steps = int(place[0]), []
    for turn in right:
        means = envs.right[cell // envs.size, cell % envs.size]
        steps.append(envs.step(np.full(envs.count, means if turn else 1 - means)))
        cell = int(steps[-1].place[0])
    return steps


@pytest.mark.parametrize("mapped", [True, False])
def test_always_right_finds_the_treasure_for_0_99(mapped):
    envs = make("outrange/DeepSea-v0", 2, 3, size=7, mapped=mapped)
    steps = sailed(envs, [True] * 7)
    assert [int(step.place[0]) for step in steps] == [8, 16, 24, 32, 40, 48, -1]
    assert sum(float(step.reward[0]) for step in steps) == pytest.approx(0.99)
    assert [float(step.reward[0]) for step in steps[:-1]] == pytest.approx([-0.01 / 7] * 6) and float(
        steps[-1].reward[0]
    ) == pytest.approx(1 - 0.01 / 7)
    assert [bool(step.terminated[0]) for step in steps] == [False] * 6 + [True] and not any(
        step.truncated.any() for step in steps
    )
    assert (
        (steps[-1].final == 0).all()
        and steps[-1].observation[0, 0, 0] == 1
        and steps[-1].start_place.tolist() == [0, 0]
    )
    assert steps[2].observation[0].ravel().tolist() == [int(j == 24) for j in range(49)]


def test_left_is_free_and_keeps_to_the_edge_and_one_left_misses_the_treasure():
    envs = make("outrange/DeepSea-v0", 1, 3, size=5)
    steps = sailed(envs, [False] * 5)
    assert [int(step.place[0]) for step in steps] == [5, 10, 15, 20, -1] and all(step.reward[0] == 0 for step in steps)
    steps = sailed(envs, [True, False, True, True, True])
    assert sum(float(step.reward[0]) for step in steps) == pytest.approx(-0.04 / 5) and steps[-1].terminated[0]


def test_the_meaning_of_actions_is_drawn_by_its_own_number_not_by_the_seed():
    first, second = make("outrange/DeepSea-v0", 1, 1, size=40), make("outrange/DeepSea-v0", 1, 2, size=40)
    assert (first.right == second.right).all() and 0.4 < first.right.mean() < 0.6
    assert (make("outrange/DeepSea-v0", 1, 1, size=40, mapping=1).right != first.right).mean() > 0.4
    assert (make("outrange/DeepSea-v0", 1, 1, size=40, mapped=False).right == 1).all()
    assert first.action_names == ("first", "second")


def test_places_are_the_cells_that_can_be_reached():
    envs = make("outrange/DeepSea-v0", 512, 0, size=4)
    envs.reset()
    assert envs.places().tolist() == [10] * 512
    random, seen = np.random.default_rng(0), {0}
    for _ in range(40):
        seen |= set(envs.step(random.integers(2, size=512)).place.tolist())
    assert len(seen - {-1}) == 10
