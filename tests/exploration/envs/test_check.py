"""The checker says every breach of the contract, and says nothing of what keeps it."""

import dataclasses
import re

import numpy as np
import pytest

from outrange.exploration.envs import make
from outrange.exploration.envs.check import check_envs
from tests.exploration.envs.counting import Engine


class Liar:
    """Environments whose steps, or whose attributes, are changed on the way."""

    def __init__(self, envs, lie=None, **changed):
        self.inner, self.lie, self.changed, self.steps = envs, lie, changed, 0

    def __getattr__(self, name):
        return self.changed[name] if name in self.changed else getattr(self.inner, name)

    def step(self, actions):
        step = self.inner.step(actions)
        self.steps += 1
        return self.lie(step, self) if self.lie else step


def also(**fields):
    """A lie: the fields, from functions of the step, instead of its own."""
    return lambda step, _: dataclasses.replace(step, **{name: make_it(step) for name, make_it in fields.items()})


def reuses(step, liar):
    """One array for all observations."""
    if not hasattr(liar, "reused_array"):
        liar.reused_array = np.zeros_like(step.observation)
    np.copyto(liar.reused_array, step.observation)
    return dataclasses.replace(step, observation=liar.reused_array)


NONE, ALL = (lambda step: np.zeros(4, bool)), (lambda step: np.ones(4, bool))
LIES = {
    "its action_names": (None, {"action_names": ("up",)}, "it has 4 actions and 1 names"),
    "codes of another type": (None, {"codes": 3}, "holds a code beyond 2"),
    "shape": (
        None,
        {"shape": (49,)},
        r"the observation of reset is uint8 of shape \(4, 7, 7\) instead of uint8 of shape \(4, 49\)",
    ),
    "dtype": (None, {"dtype": np.dtype(np.float32)}, "codes of cells in another type than uint8"),
    "places": (None, {"places": lambda: np.zeros(4, np.int32)}, "places is not"),
    "picture": (None, {"picture": lambda index: np.zeros((7, 7), np.uint8)}, "picture is not"),
    "reward type": (also(reward=lambda s: s.reward.astype(np.float64)), {}, "reward is float64 of shape"),
    "reward nan": (also(reward=lambda s: s.reward + np.float32(np.nan)), {}, "a reward is not finite"),
    "flags as numbers": (also(terminated=lambda s: s.terminated.astype(int)), {}, "terminated is int64"),
    "a list": (also(place=lambda s: s.place.tolist()), {}, "place is list, not an array"),
    "both ends": (also(truncated=lambda s: s.terminated), {}, "both terminated and truncated"),
    "invalid ends": (also(valid=NONE), {}, "an episode ends in a step that is not valid"),
    "invalid without start": (also(valid=NONE), {}, "a step is not valid though no episode begins in it"),
    "invalid reward": (also(valid=NONE, reward=lambda s: s.reward + 1), {}, "a step that is not valid has a reward"),
    "broken valid": (also(broken=ALL), {}, "a step is broken and valid"),
    "broken going on": (also(broken=ALL), {}, "is broken and does not begin anew"),
    "no start": (also(started=NONE), {}, "an episode ended, and the step after begins no other"),
    "start without end": (also(started=ALL), {}, "an episode begins though none ended"),
    "final is next": (
        also(final=lambda s: s.final + np.uint8(1)),
        {},
        "within an episode the final observation is not what is shown",
    ),
    "copies": (also(final=lambda s: s.final.copy()), {}, "another array though no episode began"),
    "place": (also(place=lambda s: s.place + 1), {}, "within an episode the place is not where the observation is"),
    "reuses": (reuses, {}, "step writes into observation of the step before"),
}


@pytest.mark.parametrize("lie", LIES)
def test_every_breach_is_said(lie):
    change, attributes, message = LIES[lie]
    envs = Liar(make("outrange/RandomDiscoMaze-v0", 4, 1, size=7, cap=30), change, **attributes)
    problems = check_envs(envs, steps=40)
    assert any(re.search(message, problem) for problem in problems), problems
    assert len(problems) == len(set(problems)) and all(
        problem.startswith("outrange/RandomDiscoMaze-v0: ") for problem in problems
    )


def test_dummy_steps_that_pass_for_transitions_are_said():
    lie = also(valid=ALL)
    problems = check_envs(Liar(Engine(4, 0, next_step=True), lie), steps=30)
    assert any("the step between two episodes is a valid transition (step 1)" in problem for problem in problems), (
        problems
    )


def test_a_second_start_is_said():
    def twice(step, liar):
        before, liar.before = getattr(liar, "before", np.zeros(4, bool)), step.started
        return dataclasses.replace(step, started=step.started | before)

    problems = check_envs(Liar(Engine(4, 0, next_step=True), twice), steps=30)
    assert any("an episode begins though none ended" in problem for problem in problems), problems


def test_drawing_otherwise_is_said():
    first, second = (make("outrange/RandomDiscoMaze-v0", 4, seed, size=7) for seed in (1, 2))
    problems = check_envs(first, steps=40, twin=second)
    assert any("a second one with the same seed begins otherwise" in problem for problem in problems)
    assert any(
        "a second one with the same seed and actions differs in observation (step 0)" in problem for problem in problems
    )


def test_a_state_that_lacks_something_is_said():
    class Forgetful(Liar):
        def load_state_dict(self, state):
            self.inner.load_state_dict(state | {"cell": state["cell"][::-1].copy()})

    problems = check_envs(Forgetful(make("outrange/RandomCoin-v0", 4, 1, size=7, cap=20)), steps=40)
    assert any(
        "after load_state_dict and the same actions it differs in observation (step 0 after load_state_dict)" in problem
        for problem in problems
    ), problems


def test_states_that_are_written_into_are_said():
    envs = make("outrange/RandomCoin-v0", 4, 1, size=7, cap=20)
    shared = Liar(
        envs, state_dict=lambda: {"key": np.array([envs._key]), "options": np.array([7.0, 20.0, 1.0]), **envs._arrays}
    )
    assert any(
        "going on writes into a state that was handed out" in problem for problem in check_envs(shared, steps=40)
    )


def test_actions_that_are_let_through_are_said():
    class Generous(Liar):
        def step(self, actions):
            return self.inner.step(np.resize(actions, 4).astype(int) % 4)

    assert any(
        "step takes actions that do not exist" in problem
        for problem in check_envs(Generous(make("outrange/RandomCoin-v0", 4, 1, cap=9)), steps=40)
    )


def test_a_check_that_saw_no_end_says_so():
    assert any(
        "no episode ended within 3 steps" in problem
        for problem in check_envs(make("outrange/RandomCoin-v0", 2, 1), steps=3)
    )
