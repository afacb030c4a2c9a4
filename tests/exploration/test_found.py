"""What was found wrong: each of these fails until the code, or what it says of itself, is changed."""

import copy

import numpy as np
import pytest
import torch
from scripted import SMALL, Scripted, Written, tiny

from outrange.cli import main
from outrange.core.errors import BadInput
from outrange.core.seeding import SeedTree
from outrange.exploration import train as training
from outrange.exploration.actor import Actor
from outrange.exploration.config import changed
from outrange.exploration.ngu import NGU
from outrange.exploration.presets import preset
from outrange.exploration.r2d2 import R2D2
from outrange.exploration.replay import Sequences
from outrange.exploration.train import Trainer


def scripted_trainer(monkeypatch, scripts, exact=True, **settings):
    monkeypatch.setattr(training, "environments", lambda config, seeds, count=None: Scripted(copy.deepcopy(scripts), exact=exact))
    return Trainer(tiny(env__count=len(scripts), **settings))


def resumed(monkeypatch, scripts, steps, **settings):
    """A trainer in the middle of episodes of an engine that cannot say where it is, and one that went on from what the first saved."""
    trainer, other = (scripted_trainer(monkeypatch, scripts, exact=False, **settings) for _ in range(2))
    for _ in range(steps):
        trainer.advance()
    other.restore(trainer.tensors(), trainer.state())
    return trainer, other


@pytest.mark.parametrize("crossing", [True, False])
def test_after_a_resume_that_begins_new_episodes_no_step_is_bootstrapped_from_another_episodes_beginning(monkeypatch, crossing):
    _, other = resumed(monkeypatch, [["......T"], ["...C"]], 9, replay__crossing=crossing, replay__start=50)
    for _ in range(9):
        other.advance()
    held, position = other.replay.state(), other.replay.state()["position"]
    begun = 0
    for stream in range(2):
        at = slice(sum(position[:stream]), sum(position[: stream + 1]))
        first, ends, filler = held["first"][at], held["terminated"][at], held["filler"][at]
        for t in np.flatnonzero(first[1:]):
            assert ends[t] or filler[t], f"stream {stream}: row {t} goes on, and row {t + 1} begins an episode"
            begun += 1
    assert begun > 3


def test_after_a_resume_new_episodes_are_others_than_those_of_the_beginning(monkeypatch):
    trainer, other = resumed(monkeypatch, [["..T"] * 9], 14)
    seen = int(trainer.actor.row["observation"][0, 1])
    assert seen == 4 and int(other.actor.row["observation"][0, 1]) > seen  # or every resume trains on the first episodes once more


def test_a_projection_is_not_trained_by_a_warm_up_either(monkeypatch):
    trainer = scripted_trainer(monkeypatch, [["....T"]], bonus__kind="projection", bonus__warmup=3)
    before = trainer.agent.tensors()["embedding"]
    for _ in range(40):
        trainer.advance()
    after = trainer.agent.tensors()["embedding"]
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_a_warm_up_earns_nothing_where_the_bonus_is_that_of_what_is_left_and_no_running_mean_moves():
    config = tiny(bonus__kind="ngu", bonus__at="departure", bonus__missing="unit")
    envs, written = Scripted([["....T"]]), Written(1)
    agent = NGU(config, envs, SeedTree(0))
    actor = Actor(config, envs, agent, written, SeedTree(1))
    known = agent.moments.count
    for _ in range(12):
        actor.advance(uniform=True)
    assert not any(written.column(0, "bonus")) and agent.moments.count == known


def test_building_an_agent_draws_nothing_from_torchs_global_generator():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        before = torch.get_rng_state()
        NGU(tiny(bonus__kind="ngu"), Scripted([["T"]]), SeedTree(0))
        assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("mixtures", [2, 8])
def test_the_share_of_foreign_sequences_is_the_share_that_was_collected_under_another_mixture(mixtures):
    config = changed(SMALL, {"bonus.kind": "episodic", "bonus.mixtures": mixtures, "env.count": mixtures, "learner.foreign": 0.5})
    agent = R2D2(config, Scripted([["T"]]), SeedTree(0))
    trained = agent._mixtures(torch.zeros(2, 20_000, dtype=torch.int16))[0]
    assert float((trained != 0).float().mean()) == pytest.approx(0.5, abs=0.02)  # drawing among all of them gives 0.25 with two


def test_the_ladder_of_the_papers_preset_falls_from_0_4_as_the_papers_does():
    config = preset("atari-paper")
    config = changed(
        SMALL,
        {"bonus.mixtures": config.bonus.mixtures, "env.count": config.env.count, "replay.rows": 64 * config.env.count, "acting.base": 0.4, "bonus.kind": "ngu"},
    )
    envs = Scripted([["T"]] * config.env.count)
    epsilon = Actor(config, envs, NGU(config, envs, SeedTree(0)), Written(envs.count), SeedTree(1)).epsilon
    assert epsilon.max() == pytest.approx(0.4) and epsilon.min() == pytest.approx(0.4**8)  # one actor for each mixture: all have 0.4


def test_a_sequence_that_ends_in_padding_teaches_the_embedding_with_its_own_last_steps():
    agent = NGU(tiny(bonus__kind="episodic", replay__trace=6, replay__crossing=False, bonus__frames=2), Scripted([["T"]]), SeedTree(0))
    shape = (7, 1)
    flags = {name: np.zeros(shape, bool) for name in ("terminated", "first", "filler")}
    flags["terminated"][3] = flags["first"][0] = True
    flags["first"][4:] = flags["filler"][4:] = True  # an episode of four steps, as the replay gives it when sequences do not cross
    zero, none = np.zeros(shape, np.float32), np.zeros(shape, np.int16)
    s = Sequences(
        observation=np.random.default_rng(0).integers(256, size=(7, 1, 3)).astype(np.uint8), last_action=none, last_reward=zero, last_bonus=zero, action=none,
        reward=zero, bonus=zero, mu=zero + 1, mixture=none, **flags, state=np.zeros((1, 6), np.float32), slots=np.zeros(1, int), probability=np.ones(1),
    )  # fmt: skip
    assert agent.learn_novelty(s, 2)  # where all episodes are shorter than trace - frames it would never learn


#: settings that are wrong: taken without a word, or refused in the name of something else, or by an error that is no BadInput
WRONG = {
    "acting.alpha": [-1.0], "replay.rows": [0, -5, 4], "replay.start": [1 << 30], "learner.transform_epsilon": [-1.0],
    "learner.gamma_explore": [0.9999], "learner.adam_epsilon": [-1.0], "learner.clip": [0.0, -1.0], "bonus.epsilon": [0.0, -1.0], "bonus.xi": [-1.0],
    "bonus.c": [-1.0], "bonus.maximum": [0.0], "bonus.mean_rate": [0.0, 2.0], "bonus.rate": [-1.0], "bonus.adam_epsilon": [-1.0], "bonus.decay": [-1.0],
    "bonus.rnd_width": [0, -1], "bonus.rnd_rate": [-1.0], "bonus.capacity": [0], "bonus.warmup": [-1], "bonus.warmup_accuracy": [-1.0, 2.0], "broken": [-1],
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:Initializing zero-element")
@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_a_setting_that_cannot_be_is_refused_by_its_own_name(name, value):
    settings = {"bonus.kind": "ngu", "learner.gamma": 0.99, "learner.gamma_explore": 0.9, "env.name": "outrange/TwoDoors-v0", name: value}
    with pytest.raises(BadInput, match=rf"^{name}: "):
        Trainer(changed(SMALL, settings))


def test_an_agent_named_beside_a_configuration_is_not_passed_over_in_silence(tmp_path, capsys):
    assert main(["explore", "train", "--preset", "smoke", "--steps", "0", "--out", str(tmp_path / "a")]) == 0
    capsys.readouterr()
    code = main(["explore", "train", "--config", str(tmp_path / "a/config.json"), "--agent", "r2d2", "--out", str(tmp_path / "b")])
    assert code == 2 or "r2d2" in capsys.readouterr().err  # it trains ngu
