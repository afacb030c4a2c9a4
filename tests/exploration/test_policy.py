"""A policy from Python: loaded without environments, it acts as the actor does in them; whatever device trained it; what a run of another version says."""

import json
import shutil

import numpy as np
import pytest
import torch

from outrange import exploration
from outrange.core import checkpoint
from outrange.core.errors import BadInput
from outrange.core.run import Run
from outrange.exploration import evaluation, training
from outrange.exploration.config import TrainConfig
from outrange.exploration.evaluation import stage
from tests.exploration.helpers.scripted import Scripted, tiny

SCRIPTS = [["......T"], ["...T", ".....T"], ["....T"]]
REWARDS = [[[1, 0, 2]], [[0.5], [0, -1]], [[]]]
BONUS = {"bonus__mixtures": 2, "bonus__missing_neighbours": "unit", "bonus__embedding_refresh_period": 5}


def scripted(config, seeds, count=None):
    return Scripted(SCRIPTS, REWARDS)


@pytest.fixture(scope="module", params=["arrival", "departure"])
def run(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("policy") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "environments", scripted)
        config = tiny(
            env__count=3, steps=120, agent="ngu", bonus__timing=request.param, learner__replay_ratio=2, **BONUS
        )
        exploration.train(config, path)
    return path


@pytest.fixture
def no_environments(monkeypatch):
    def fail(*_):
        pytest.fail("an environment was made")

    monkeypatch.setattr("outrange.exploration.acting.actor.make", fail)


@pytest.mark.usefixtures("no_environments")
@pytest.mark.parametrize("mixture", [0, 1])
def test_a_loaded_policy_does_what_the_actor_does_in_environments(run, monkeypatch, mixture):
    monkeypatch.setattr(evaluation, "environments", scripted)
    actor = stage(run, 3, mixture=mixture).actor
    policy = exploration.load(run)
    state = policy.initial_state(3, mixture=mixture)
    reward = np.zeros(3)
    shown, inputs = [], []
    monkeypatch.setattr(
        policy.agent, "values", lambda row, s, values=policy.agent.values: (inputs.append(row), values(row, s))[1]
    )
    for _ in range(12):
        row = {name: value.copy() for name, value in actor.row.items()}
        action, state = policy.act(row["observation"], state, reward=reward, first=row["first"])
        actor.advance()
        step, executed, _ = actor.last
        assert action.tolist() == executed.tolist() and action.dtype == np.int64
        reward = step.reward
        shown.append(row)
    for seen, given in zip(inputs, shown):  # the network is shown the same, its own last bonus among it
        for name in given:
            assert np.allclose(seen[name], given[name], atol=1e-6), name
    assert any(row["last_bonus"].any() for row in shown)


@pytest.mark.usefixtures("no_environments")
def test_a_policy_acts_alone_with_its_defaults_and_repeats_itself(run):
    observations = np.random.default_rng(0).integers(9, size=(20, 1, 3)).astype(np.uint8)

    def actions(**settings):
        policy = exploration.load(str(run))
        state, chosen = policy.initial_state(**settings), []
        for observation in observations:
            action, state = policy.act(observation, state)
            chosen.append(int(action[0]))
        return chosen

    assert actions() == actions() and set(actions()) <= {0, 1, 2}
    drawn = actions(epsilon=1.0)
    assert drawn == actions(epsilon=1.0) != actions(epsilon=1.0, seed=1) and len(set(drawn)) == 3


def test_a_policy_says_what_its_environments_look_like(run):
    spec = exploration.load(run).spec
    assert (spec.shape, spec.dtype, spec.codes, spec.actions) == ((3,), "uint8", 0, 3)
    assert spec.action_names == ("a", "b", "c") and exploration.load(run).mixtures == 2


def test_what_a_policy_cannot_take_is_one_sentence(run, tmp_path):
    policy = exploration.load(run)
    state = policy.initial_state(2)
    for observation in (np.zeros((1, 3), np.uint8), np.zeros((2, 3), np.float32)):
        with pytest.raises(BadInput, match=r"^observation: .* it must be uint8 \(2, 3\)$"):
            policy.act(observation, state)
    with pytest.raises(BadInput, match="mixture: 2 is not allowed; the run has 2"):
        policy.initial_state(1, mixture=2)
    with pytest.raises(BadInput, match="epsilon: 1.5"):
        policy.initial_state(1, epsilon=1.5)
    Run.create(tmp_path / "new", "explore", Run.configuration(run, TrainConfig))
    with pytest.raises(BadInput, match="has no checkpoint yet"):
        exploration.load(tmp_path / "new")


def with_config(run, path, **changes):
    """A copy of a run whose configuration says something else, and its checkpoint with it."""
    whole = checkpoint.load(run / "checkpoints")
    shutil.copytree(run, path, ignore=shutil.ignore_patterns("checkpoints"))
    config = json.loads((path / "config.json").read_text()) | changes
    (path / "config.json").write_text(json.dumps(config))
    checkpoint.save(path / "checkpoints", whole.step, whole.tensors, whole.state, digest=Run.open(path).digest)
    return path


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_run_that_was_trained_on_a_gpu_is_loaded_where_there_is_none(run, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluation, "environments", scripted)
    elsewhere = with_config(run, tmp_path / "gpu", device="cuda")
    policy = exploration.load(elsewhere)
    assert policy.agent.device.type == "cpu"
    assert exploration.evaluate(elsewhere, episodes=3)["length"] == exploration.evaluate(run, episodes=3)["length"]
    with pytest.raises(BadInput, match="device: 'cuda' is not allowed; there is no GPU here"):
        exploration.load(run, device="cuda")


def test_a_checkpoint_has_its_groups_and_a_reader_takes_what_it_needs(run, tmp_path):
    whole = checkpoint.load(run / "checkpoints")
    assert set(whole.tensors) == {"policy", "learner", "actor", "replay"}
    prefixes = {group: {name.split(".")[0] for name in names} for group, names in whole.tensors.items()}
    assert prefixes["policy"] == {"q", "rnd", "novelty"}
    assert prefixes["learner"] == {"q_target", "q_optimizer", "embedding", "embedding_optimizer", "rnd_optimizer"}
    # what else there is may be gone bad
    damaged = tmp_path / "run"
    shutil.copytree(run, damaged)
    for name in ("learner", "actor", "replay"):
        file = next((damaged / "checkpoints").iterdir()) / f"{name}.safetensors"
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(bytes(content))
    exploration.load(damaged)
    with pytest.raises(BadInput, match="no checkpoint that can be read"):
        Run.open(damaged).load()


def test_a_checkpoint_of_version_0_6_is_refused_in_a_sentence(run, tmp_path):
    former = with_config(run, tmp_path / "former")
    whole = checkpoint.load(former / "checkpoints")
    shutil.rmtree(former / "checkpoints")
    state = {name: value for name, value in whole.state.items() if name != "spec"}
    tensors = {"q": whole.tensors["policy"], "replay": whole.tensors["replay"]}
    checkpoint.save(former / "checkpoints", whole.step, tensors, state, digest=Run.open(former).digest)
    with pytest.raises(BadInput, match=r"holds a checkpoint of version 0\.6, which cannot be read; train it anew"):
        exploration.load(former)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [("reward", np.nan, "finite"), ("reward", np.zeros(5), "scalar or"), ("first", [True], "scalar or")],
)
def test_a_wrong_reward_or_beginning_is_refused_before_anything_moves(run, name, value, reason):
    policy = exploration.load(run)
    observation = np.zeros((2, *policy.spec.shape), policy.spec.dtype)
    state = policy.initial_state(count=2)
    with pytest.raises(BadInput, match=f"^{name}: .*{reason}"):
        policy.act(observation, state, **{name: value})
    assert not state.begun and (state.recurrent == 0).all()
