"""Two doors: rules by hand, and the discount at which they are worth the same."""

import numpy as np
import pytest

from outrange.core.errors import BadInput
from outrange.exploration.envs import make
from outrange.exploration.envs.doors import ROW, break_even

LEFT, RIGHT = 0, 1


def walked(move: int, **options):
    envs = make("outrange/TwoDoors-v0", 1, 0, **options)
    envs.reset()
    steps = [envs.step(np.array([move]))]
    while not steps[-1].started[0]:
        steps.append(envs.step(np.array([move])))
    return steps


def test_both_doors_end_the_episode_with_their_reward():
    for move, count, reward in ((LEFT, 4, 0.8), (RIGHT, 48, 1.0)):
        steps = walked(move)
        assert (
            len(steps) == count
            and steps[-1].terminated[0]
            and [float(step.reward[0]) for step in steps[:-1]] == [0.0] * (count - 1)
        )
        assert float(steps[-1].reward[0]) == pytest.approx(reward)
        assert (steps[-1].final[0] == 1).sum() == 1 and steps[-1].final[0, ROW, 0 if move == LEFT else -1] == 1
        assert steps[-1].start_place.tolist() == [ROW * 53 + 4] and steps[-1].observation[0, ROW, 4] == 1


def test_the_corridor_is_what_it_says():
    envs = make("outrange/TwoDoors-v0", 2, 0, near=1, far=3)
    observation, place = envs.reset()
    assert (
        observation[0].tolist() == [[2] * 5] * 3 + [[3, 1, 0, 0, 4]] + [[2] * 5] * 3
        and place.tolist() == [16, 16]
        and envs.places().tolist() == [5, 5]
    )
    step = envs.step(np.array([RIGHT, LEFT]))
    assert (
        step.observation[0, ROW].tolist() == [3, 0, 1, 0, 4]
        and step.terminated.tolist() == [False, True]
        and step.place.tolist() == [17, 15]
    )
    assert step.observation[1, ROW].tolist() == [3, 1, 0, 0, 4]


def test_the_cap_truncates_but_not_at_a_door():
    envs = make("outrange/TwoDoors-v0", 1, 0, near=2, far=3, cap=3)
    envs.reset()
    steps = [envs.step(np.array([move])) for move in (RIGHT, LEFT, RIGHT)]
    assert [step.truncated[0] for step in steps] == [False, False, True] and not steps[-1].terminated[0]
    last = walked(RIGHT, near=2, far=3, cap=3)[-1]
    assert last.terminated[0] and not last.truncated[0]


def test_the_discount_decides_which_door_is_better():
    def values(discount):
        return [
            sum(discount**t * float(step.reward[0]) for t, step in enumerate(walked(move))) for move in (LEFT, RIGHT)
        ]

    even = break_even()
    assert even == pytest.approx(0.8 ** (1 / 44)) and 0.99 < even < 0.997
    near, far = values(even)
    assert near == pytest.approx(far, rel=1e-6)
    near, far = values(0.99)
    assert (
        near == pytest.approx(0.8 * 0.99**3, rel=1e-6) and far == pytest.approx(0.99**47, rel=1e-6) and near > 1.2 * far
    )
    near, far = values(0.997)
    assert near < 0.92 * far


@pytest.mark.parametrize(
    "options", [{"near": 5, "far": 5}, {"far": 500}, {"small": 0.0}, {"large": float("inf")}, {"near": 0}]
)
def test_impossible_corridors_are_said(options):
    with pytest.raises(
        BadInput, match=next(iter(options)) if "near" not in options or options["near"] == 0 else "far: 5"
    ):
        make("outrange/TwoDoors-v0", 1, 0, **options)
