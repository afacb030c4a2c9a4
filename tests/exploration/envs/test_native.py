"""What holds for all environments of our own: the contract, plain Python, Gymnasium's own checks."""

import hashlib
import json
import os
import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

from outrange.core.errors import BadInput
from outrange.exploration.envs import NATIVE, Envs, make
from outrange.exploration.envs.check import check_envs

SMALL = {
    "outrange/RandomDiscoMaze-v0": {"size": 7, "cap": 12},
    "outrange/RandomCoin-v0": {"size": 5, "cap": 12, "terminates": False},
    "outrange/TwoDoors-v0": {"near": 2, "far": 5, "cap": 6},
    "outrange/DeepSea-v0": {"size": 7},
}
FINGERPRINT = """
import hashlib, json, sys
import numpy as np
from outrange.exploration.envs import make
told = {}
for name, options in json.loads(sys.argv[1]).items():
    envs, hashed = make(name, 3, 11, **options), hashlib.sha256()
    hashed.update(envs.reset()[0].tobytes())
    random = np.random.default_rng(0)
    for _ in range(30):
        step = envs.step(random.integers(envs.actions, size=3))
        for part in (step.observation, step.final, step.reward, step.started, step.place, step.start_place):
            hashed.update(part.tobytes())
    told[name] = hashed.hexdigest()
print(json.dumps(told))
"""


def test_there_are_the_four():
    assert list(NATIVE) == list(SMALL)


@pytest.mark.parametrize("name", SMALL)
def test_the_contract_holds(name):
    for options in (SMALL[name], {}):
        assert check_envs(make(name, 5, 3, **options), steps=220, twin=make(name, 5, 3, **options)) == []
    assert isinstance(make(name, 1, 0), Envs)


@pytest.mark.parametrize("name", SMALL)
def test_an_environment_does_not_depend_on_how_many_there_are(name):
    few, many, random = make(name, 2, 8, **SMALL[name]), make(name, 5, 8, **SMALL[name]), np.random.default_rng(1)
    few.reset(), many.reset()
    for _ in range(60):
        actions = random.integers(few.actions, size=5)
        a, b = few.step(actions[:2]), many.step(actions)
        assert (
            (a.observation == b.observation[:2]).all()
            and (a.reward == b.reward[:2]).all()
            and (a.started == b.started[:2]).all()
        )


def test_the_compiled_text_runs_as_plain_python_and_draws_the_same():
    hashes = {}
    for off in ("0", "1"):
        environment = {**os.environ, "NUMBA_DISABLE_JIT": off}
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", FINGERPRINT, json.dumps(SMALL)],
            capture_output=True,
            text=True,
            env=environment,
            check=True,
        )
        hashes[off] = json.loads(done.stdout)
    assert hashes["0"] == hashes["1"] and len(set(hashes["0"].values())) == 4


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("mode", [None, "rgb_array", "ansi"])
def test_gymnasium_finds_nothing_wrong(name, mode):
    check_env(gymnasium.make(name, render_mode=mode).unwrapped)
    env = gymnasium.make(name, render_mode=mode, **SMALL[name])
    assert env.render_mode == mode
    env.reset(seed=1)
    drawn = env.render()
    if mode == "rgb_array":
        assert drawn.dtype == np.uint8 and drawn.shape == (
            8 * env.observation_space.shape[0],
            8 * env.observation_space.shape[1],
            3,
        )
    if mode == "ansi":
        assert [len(line) for line in drawn.split("\n")] == [
            env.observation_space.shape[1]
        ] * env.observation_space.shape[0] and drawn.count("@") == 1


@pytest.mark.parametrize("name", SMALL)
def test_alone_and_in_a_batch_they_are_the_same(name):
    single, batch, ours = (
        gymnasium.make(name, **SMALL[name]),
        gymnasium.make_vec(name, num_envs=3, **SMALL[name]),
        make(name, 3, 5, **SMALL[name]),
    )
    assert batch.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP and batch.unwrapped.__class__.__name__ == "Batch"
    (alone, info), (together, _), (expected, place) = single.reset(seed=5), batch.reset(seed=5), ours.reset()
    assert (
        (alone == expected[0]).all()
        and (together == expected).all()
        and info["place"] == place[0]
        and info["places"] == ours.places()[0]
    )
    random, ended = np.random.default_rng(0), 0
    for _ in range(60):
        actions = random.integers(ours.actions, size=3)
        step = ours.step(actions)
        observation, reward, terminated, truncated, info = single.step(actions[0])
        assert (observation == step.final[0]).all() and (reward, terminated, truncated) == (
            step.reward[0],
            step.terminated[0],
            step.truncated[0],
        )
        assert info["place"] == step.place[0]
        if terminated or truncated:
            with pytest.raises(BadInput, match="call reset first"):
                single.step(0)
            ended += 1
            observation, info = single.reset()
            assert (observation == step.observation[0]).all() and info["place"] == step.start_place[0]
        observation, reward, terminated, truncated, info = batch.step(actions)
        assert (
            (observation == step.observation).all()
            and (reward == step.reward).all()
            and (terminated == step.terminated).all()
        )
        assert all((info["final_obs"][i] == step.final[i]).all() for i in np.flatnonzero(step.started))
    assert ended


def test_a_batch_is_seen_and_other_habits_are_refused():
    batch = gymnasium.make_vec("outrange/RandomCoin-v0", num_envs=2, render_mode="rgb_array")
    batch.reset()
    assert [picture.shape for picture in batch.render()] == [(120, 120, 3)] * 2
    with pytest.raises(BadInput, match="list is not supported"):
        batch.reset(seed=[1, 2])
    with pytest.raises(BadInput, match="render_mode: 'human'"):
        gymnasium.make_vec("outrange/RandomCoin-v0", num_envs=2, render_mode="human")


def test_without_a_seed_every_single_environment_is_another():
    first, second = (gymnasium.make("outrange/RandomDiscoMaze-v0").reset()[0] for _ in range(2))
    assert (first != second).any()


def test_the_draws_of_today_are_those_of_tomorrow():
    envs = make("outrange/RandomDiscoMaze-v0", 2, 7, size=7)
    observation, place = envs.reset()
    assert hashlib.sha256(observation.tobytes() + place.tobytes()).hexdigest()[:16] == "e84849bcabc2ea44"
