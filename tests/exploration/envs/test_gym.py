"""Python environments in our loop: counted transitions, broken ones, episodes gone on with."""

import re
import signal
import threading
import time

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from outrange.core.errors import BadInput
from outrange.exploration.envs import make
from outrange.exploration.envs.check import check_envs
from outrange.exploration.envs.reading import action_count, reading
from outrange.exploration.envs.time_limit import Stalled, TimeLimit
from tests.exploration.envs.counting import Drawing

COUNTING, DRAWING, BREAKING = "counting/Counting-v0", "counting/Drawing-v0", "counting/Breaking-v0"


def test_the_contract_holds_and_an_episode_is_gone_on_with():
    assert check_envs(make(DRAWING, 4, 3), steps=60, twin=make(DRAWING, 4, 3)) == []
    envs, second = make(DRAWING, 3, 3), make(DRAWING, 3, 77)
    assert envs.dtype == np.float32 and envs.exact and envs.reset()[1].tolist() == [5, 5, 5]
    random = np.random.default_rng(0)
    for _ in range(13):
        envs.step(random.integers(4, size=3))
    second.load_state_dict(envs.state_dict())
    for _ in range(30):
        actions = random.integers(4, size=3)
        a, b = envs.step(actions), second.step(actions)
        assert (
            (a.observation == b.observation).all()
            and (a.final == b.final).all()
            and (a.reward == b.reward).all()
            and (a.started == b.started).all()
        )


def test_an_environment_that_does_not_repeat_itself_is_found_out():
    envs = make(COUNTING, 2, 0)
    envs.reset()
    for _ in range(5):
        envs.step(np.zeros(2, int))
    with pytest.raises(
        BadInput,
        match=r"environment 0 does not repeat its episode from the same seed and actions \(2 steps; it (ended|shows something else)\)",
    ):
        make(COUNTING, 2, 0).load_state_dict(envs.state_dict())
    loose = make(COUNTING, 2, 0, exact=False)
    loose.load_state_dict(envs.state_dict())
    step = loose.step(np.zeros(2, int))
    assert step.broken.all() and step.started.all() and not step.valid.any() and not loose.problems
    assert not loose.step(np.zeros(2, int)).broken.any()


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("raise", "it raised ValueError: 'no such wall'"),
        ("stall", "it took longer than 0.05 s"),
        ("nan", "an observation that is not finite"),
        ("inf", "an observation that is not finite"),
        ("high", "an observation beyond the bounds"),
        ("shape", r"an observation of shape \(3,\) instead of \(2,\)"),
        ("dtype", "an observation of <U1 instead of float32"),
        ("reward nan", "a reward of nan"),
        ("reward inf", "a reward of inf"),
        ("reward big", r"a reward of 1e\+300"),
        ("reward text", "its step gave"),
        ("result", "its step gave"),
        ("close", "it raised ValueError: 'half closed'"),
    ],
)
def test_a_broken_environment_is_made_anew_and_its_episode_dropped(how, message):
    envs = make(BREAKING, 2, 0, how=how, limit=0.05)
    envs.reset()
    began = time.monotonic()
    for t in range(6):
        step = envs.step(np.zeros(2, int))
        broken = t in (2, 5)
        assert step.broken.tolist() == [broken] * 2 == step.started.tolist() and step.valid.tolist() == [not broken] * 2
        assert not (step.terminated | step.truncated).any() and step.reward.tolist() == [0.0 if broken else 1.0] * 2
        assert (step.observation == (t + 1) % 3).all() and (step.final == step.observation).all()
    assert time.monotonic() - began < 5
    assert len(envs.problems) == 4 and re.search(message, envs.problems[0]), envs.problems
    assert "environment 0 broke in episode 0 after 3 steps" in envs.problems[0] and "episode 1" in envs.problems[-1]
    envs.close()


def test_one_that_breaks_leaves_the_others_alone():
    envs, alone = make(DRAWING, 3, 1), make(DRAWING, 3, 1)
    envs.reset(), alone.reset()
    envs._envs[1].unwrapped.step = lambda action: 1 / 0
    a, b = envs.step(np.ones(3, int)), alone.step(np.ones(3, int))
    assert (
        a.broken.tolist() == [False, True, False]
        and (a.observation[[0, 2]] == b.observation[[0, 2]]).all()
        and (a.observation[1] != b.observation[1]).any()
    )
    assert not envs.step(np.ones(3, int)).broken.any()


@pytest.mark.parametrize(("how", "message"), [("reset", "no map"), ("reset shape", "of shape"), ("make", "no display")])
def test_what_cannot_begin_is_said(how, message):
    with pytest.raises(BadInput, match=message):
        make(BREAKING, 1, 0, how=how).reset()


def test_a_time_limit_truncates():
    envs = make("CartPole-v1", 1, 0, max_episode_steps=3)
    envs.reset()
    assert [bool(envs.step(np.array([t % 2])).truncated[0]) for t in range(6)] == [False, False, True] * 2


def test_every_episode_has_a_seed_of_its_own_and_so_has_every_environment():
    envs, few = make(DRAWING, 3, 4), make(DRAWING, 1, 4)
    first, second = envs.reset()[0], envs.reset()[0]
    assert len(np.unique(np.concatenate([first, second])[:, 0])) == 6 and (few.reset()[0] == first[:1]).all()


@pytest.mark.parametrize(
    ("space", "shape", "dtype"),
    [
        (spaces.Box(0, 255, (84, 84, 3), np.uint8), (84, 84, 3), np.uint8),
        (spaces.Box(-np.inf, np.inf, (4,), np.float32), (4,), np.float32),
        (spaces.Box(-1, 1, (2, 3), np.float64), (2, 3), np.float32),
        (
            spaces.Dict(
                image=spaces.Box(0, 255, (7, 7, 3), np.uint8), direction=spaces.Discrete(4), mission=spaces.Text(5)
            ),
            (7, 7, 4),
            np.uint8,
        ),
    ],
)
def test_spaces_that_can_be_read(space, shape, dtype):
    way = reading("x", space)
    seen = way.read(space.sample())
    assert way.shape == shape == seen.shape and way.dtype == dtype == seen.dtype


@pytest.mark.parametrize(
    "space",
    [
        spaces.Discrete(4),
        spaces.Box(0, 9, (2,), np.int64),
        spaces.Box(0, 1, (), np.float32),
        spaces.Dict(a=spaces.Discrete(2)),
        spaces.Tuple([spaces.Discrete(2)]),
        spaces.Text(4),
        spaces.MultiBinary(3),
    ],
)
def test_spaces_that_cannot_be_read_are_said(space):
    with pytest.raises(
        BadInput, match="env: x shows .* which cannot be read; supported are a Box of uint8, float32 or float64"
    ):
        reading("x", space)


@pytest.mark.parametrize("space", [spaces.Discrete(3, start=1), spaces.Box(-1, 1, (1,)), spaces.MultiDiscrete([2, 2])])
def test_actions_that_are_not_numbered_from_0_are_said(space):
    with pytest.raises(BadInput, match="must be Discrete from 0"):
        action_count("x", space)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("CartPoll-v1", "env: 'CartPoll-v1' is not an environment that Gymnasium knows; did you mean 'CartPole-v1'"),
        ("outrange/RandomDiscMaze-v0", "did you mean 'outrange/RandomDiscoMaze-v0'"),
        ("", "it must be the name"),
        ("Pendulum-v1", "Discrete from 0"),
        ("Blackjack-v1", "cannot be read"),
        ("nowhere/Nothing-v0", "is not an environment"),
    ],
)
def test_names_that_cannot_be_made_are_said(name, message):
    with pytest.raises(BadInput, match=message):
        make(name, 1, 0)


def test_engines_and_options_that_do_not_exist_are_said():
    with pytest.raises(BadInput, match="engine: 'envpol' is not an engine; did you mean 'envpool'"):
        make("CartPole-v1", 1, 0, engine="envpol")
    with pytest.raises(BadInput, match="engine: 'ale' does not run 'CartPole-v1'"):
        make("CartPole-v1", 1, 0, engine="ale")
    with pytest.raises(BadInput, match="'CartPole-v1' is not one of our own"):
        make("CartPole-v1", 1, 0, engine="native")
    with pytest.raises(BadInput, match="CartPole-v1 cannot be made: TypeError"):
        make("CartPole-v1", 1, 0, colour=3)
    with pytest.raises(BadInput, match="option limit: 0 is not allowed"):
        make("CartPole-v1", 1, 0, limit=0)
    for count, seed in ((0, 0), (1, -1)):
        with pytest.raises(BadInput, match="count: 0|seed: -1"):
            make("CartPole-v1", count, seed)
    with pytest.raises(BadInput, match="step before reset"):
        make("CartPole-v1", 1, 0).step(np.zeros(1, int))


def test_the_own_ones_can_be_run_by_gymnasium_too():
    ours, theirs = (make("outrange/RandomCoin-v0", 2, 0, engine=engine) for engine in ("native", "gymnasium"))
    assert (
        theirs.engine == "gymnasium"
        and theirs.shape == ours.shape
        and theirs.actions == ours.actions
        and theirs.codes == 0
    )
    observation, place = theirs.reset()
    assert (observation.reshape(2, -1)[[0, 1], place] == 1).all() and theirs.picture(1).shape == (15, 15, 3)


def test_pictures_of_what_is_seen():
    envs = make("CartPole-v1", 1, 0)
    envs.reset()
    assert envs.picture().shape == (1, 4, 3) and envs.picture().dtype == np.uint8 and envs.places().tolist() == [0]


def test_a_limit_leaves_other_alarms_alone_and_does_nothing_in_other_threads():
    rung = []
    before = signal.signal(signal.SIGALRM, lambda *_: rung.append(1))
    left = signal.setitimer(signal.ITIMER_REAL, 30.0)
    try:
        limit = TimeLimit(0.02)
        with limit, limit:
            assert limit.call(lambda x: x + 1, 2) == 3
            with pytest.raises(Stalled):
                limit.call(time.sleep, 5)
        assert 20 < signal.getitimer(signal.ITIMER_REAL)[0] < 30 and not rung
        thread = threading.Thread(target=lambda: rung.append(_slept(TimeLimit(0.01))))
        thread.start()
        thread.join()
        assert rung == ["slept"]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, *left)


def _slept(limit: TimeLimit) -> str:
    with limit:
        limit.call(time.sleep, 0.05)
    return "slept"


def test_a_nondeterministic_environment_says_that_it_is_not_exact():
    if "counting/Loose-v0" not in gymnasium.registry:
        gymnasium.register("counting/Loose-v0", entry_point=Drawing, nondeterministic=True)
    assert not make("counting/Loose-v0", 1, 0).exact
