"""The table of agents: every row makes its parts, in every place that asks; configurations of version 0.6; what reading a configuration loads."""

import subprocess
import sys

import numpy as np
import pytest

from outrange import exploration
from outrange.core.config import changed, from_json, to_json
from outrange.core.errors import BadInput
from outrange.core.seeding import SeedTree
from outrange.exploration import agents
from outrange.exploration.config import TrainConfig
from outrange.exploration.presets import PRESETS, preset, with_agent
from tests.exploration.helpers.scripted import Scripted, made, tiny

ENVS = Scripted([["....T"], ["..T"]])


@pytest.mark.parametrize("name", agents.names())
def test_every_row_makes_an_agent_and_what_acts_for_it(name):
    config = with_agent(tiny(env__count=2), name)
    agent = made(config, ENVS, SeedTree(0))
    parts = agents.acting_parts(config, agent, 2, np.random.default_rng(0))
    observation, _ = ENVS.reset()
    every = np.ones(2, bool)
    parts.novelty.begin(observation, every, False)
    assert parts.novelty.reward(observation, every).shape == (2,)
    assert set(agent.state_dict()) <= {"policy", "learner"} and "q" in agent.acting_modules()
    assert len(agent.family) == config.bonus.mixtures


def test_a_row_of_ones_own_is_all_that_a_new_agent_needs(monkeypatch):
    recipe = agents.Recipe(learner="agents.ngu:NGU", bonus="novelty.lifelong:Lifelong")
    monkeypatch.setitem(agents.AGENTS, "mine", recipe)
    assert preset("smoke", "mine").agent == "mine" and "mine" in agents.names()
    assert set(made(tiny(agent="r2d2"), ENVS, SeedTree(0)).acting_modules()) == {"q"}
    agent = made(with_agent(tiny(), "mine"), ENVS, SeedTree(0))
    assert set(agent.acting_modules()) == {"q", "rnd"}


def test_an_agent_that_is_none_is_refused_by_the_nearest_name():
    with pytest.raises(BadInput, match="did you mean 'ngu-episodic'"):
        changed(tiny(), {"agent": "ngu-episodc"})
    with pytest.raises(BadInput, match="kind' is not a setting"):
        changed(tiny(), {"bonus.kind": "ngu"})  # the agent decides


def test_presets_have_an_agent_of_their_own():
    assert {name: preset(name).agent for name in PRESETS} == {
        "smoke": "ngu-episodic", "disco": "ngu-episodic", "minigrid": "ngu", "atari-laptop": "ngu", "atari-paper": "ngu",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "agent"),
    [("none", "r2d2"), ("ngu", "ngu"), ("episodic", "ngu-episodic"), ("projection", "ngu-projection"), ("rnd", "rnd")],
)
def test_a_configuration_of_version_0_6_is_read_by_its_old_names(kind, agent):
    former = {
        "agent": "ngu",
        "network": {"width": 7, "hidden": 8, "head": 9},
        "acting": {"base": 0.3, "greedy": 1, "process": True, "assign": "uniform"},
        "replay": {"rows": 90_000, "trace": 30, "period": 10, "crossing": False, "start": 9, "eta": 0.5},
        "learner": {"lam": 0.5, "n": 3, "batch": 4, "ratio": 2.0, "rate": 0.1, "clip": 3.0, "over": "mean", "foreign": 0.25, "copy_every": 7, "scale": 2.0},
        "bonus": {"kind": kind, "at": "departure", "k": 4, "c": 0.5, "capacity": 60, "refresh": 5, "warmup": 3, "dimension": 6, "mean": "momentum"},
        "broken": 4,
    }  # fmt: skip
    config = from_json(TrainConfig, former)
    assert (config.agent, config.max_broken_episodes) == (agent, 4)
    assert (config.network.encoder_size, config.network.hidden_size, config.network.head_size) == (7, 8, 9)
    assert (config.acting.epsilon_base, config.acting.greedy_actors, config.acting.separate_process) == (0.3, 1, True)
    assert (config.replay.capacity, config.replay.trace_length, config.replay.cross_episodes) == (90_000, 30, False)
    assert (config.learner.retrace_lambda, config.learner.n_steps, config.learner.reduction) == (0.5, 3, "mean")
    assert (config.learner.cross_mixture_share, config.learner.target_update_period) == (0.25, 7)
    assert (config.bonus.timing, config.bonus.neighbours, config.bonus.pseudo_count) == ("departure", 4, 0.5)
    assert (config.bonus.memory_capacity, config.bonus.embedding_size) == (60, 6)
    assert from_json(TrainConfig, to_json(config)) == config


def test_reading_a_configuration_loads_neither_torch_nor_numba():
    code = (
        "import sys; from outrange import exploration; from outrange.core.config import from_json, to_json;"
        "config = exploration.preset('minigrid', 'rnd'); assert from_json(exploration.TrainConfig, to_json(config)) == config;"
        "exploration.AGENTS; print([name for name in ('torch', 'numba', 'transformers') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"


def test_the_public_names_are_what_they_promise_whatever_was_imported_before():
    import outrange.exploration.evaluation
    import outrange.exploration.policy
    import outrange.exploration.training  # noqa: F401

    for name in ("train", "resume", "evaluate", "record", "load", "preset"):
        assert callable(getattr(exploration, name)) and getattr(exploration, name).__name__ == name
    assert set(exploration.__all__) >= {"AGENTS", "PRESETS", "TrainConfig", "Policy", "Recording"}
