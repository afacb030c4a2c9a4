"""Vector engines of either habit, and Python environments: the same counted transitions, and what a restore does to engines that cannot be brought back."""

import numpy as np
import pytest

from outrange.core.errors import BadInput
from outrange.exploration.envs import make
from outrange.exploration.envs.check import check_envs
from tests.exploration.envs.counting import Engine, transitions, truth


@pytest.mark.parametrize("kind", ["gymnasium", "same step", "next step"])
def test_every_habit_of_autoreset_gives_the_same_transitions(kind):
    envs = make("counting/Counting-v0", 3, 0) if kind == "gymnasium" else Engine(3, 0, next_step=kind == "next step")
    rows = transitions(envs, 60)
    expected = truth(60)
    assert [len(row) for row in rows] == [
        60 if kind != "next step" else 43
    ] * 3  # 17 episodes end within 43 transitions, each with a dummy step after it
    for row in rows:
        assert row == expected[: len(row)]
    assert any(item[3] for item in expected) and any(item[4] for item in expected)


@pytest.mark.parametrize("next_step", [True, False])
def test_vector_engines_keep_the_contract(next_step):
    assert check_envs(Engine(4, 0, next_step), steps=50, twin=Engine(4, 0, next_step)) == []


@pytest.mark.parametrize("next_step", [True, False])
def test_after_a_restore_a_vector_engine_drops_its_episodes_and_begins_others(next_step):
    envs, second = Engine(2, 5, next_step), Engine(2, 6, next_step)
    envs.reset()
    first = envs.seeds
    envs.step(np.zeros(2, int))
    second.load_state_dict(envs.state_dict())
    step = second.step(np.zeros(2, int))
    assert step.broken.all() and step.started.all() and not step.valid.any() and not step.reward.any()
    assert (
        second.seeds != first
        and second.seeds != Engine(2, 6, next_step)._open([1, 2])
        and not second.step(np.zeros(2, int)).broken.any()
    )
    envs.load_state_dict(envs.state_dict())
    envs.reset()
    assert envs.seeds == second.seeds and not envs.step(np.zeros(2, int)).broken.any()
    with pytest.raises(BadInput, match="it is of 2 environments, and here are 3"):
        Engine(3, 5, next_step).load_state_dict(envs.state_dict())


def test_seeds_of_an_engine_do_not_depend_on_how_many_there_are():
    few, many = Engine(2, 5, True), Engine(4, 5, True)
    few.reset(), many.reset()
    assert few.seeds == many.seeds[:2] and len(set(many.seeds)) == 4
