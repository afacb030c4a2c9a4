"""What an agent is called, and that looking at it does not change it."""

import numpy as np
import pytest

from outrange.core.config import changed
from outrange.core.seeding import SeedTree
from outrange.exploration import agents, evaluation, training
from outrange.exploration.evaluation import stage
from outrange.exploration.presets import PRESETS, preset
from outrange.exploration.spec import Spec
from outrange.exploration.training import train
from tests.exploration.helpers.scripted import Scripted, tiny


@pytest.mark.parametrize("name", PRESETS)
def test_the_agent_ngu_has_a_life_long_factor_in_every_preset_and_ngu_episodic_has_none(name):
    # one environment is enough to make the parts
    def parts(agent):
        config = preset(name, agent)
        spec = Spec(shape=(84, 84), dtype="uint8", codes=0, actions=3, action_names=("a", "b", "c"))
        encoder = {"network.encoder": "vector", "bonus.encoder": "vector"}
        return set(agents.make(changed(config, encoder), spec, SeedTree(0)).acting_modules())

    assert parts("ngu") == {"q", "embedding", "rnd"} and parts("ngu-episodic") == {"q", "embedding"}


def test_the_embedding_that_is_looked_up_stays_the_same_while_an_agent_is_evaluated(monkeypatch, tmp_path):
    for module in (training, evaluation):
        monkeypatch.setattr(module, "environments", lambda config, seeds, count=None: Scripted([["..T"], ["....C"]]))
    train(
        tiny(env__count=2, steps=66, agent="ngu-episodic", bonus__embedding_refresh_period=20, learner__replay_ratio=4),
        tmp_path / "run",
    )
    actor = stage(tmp_path / "run", 2).actor
    x = np.arange(12, dtype=np.uint8).reshape(4, 3)
    before = actor.novelty.embed(x)
    for _ in range(25):
        actor.advance()
    assert actor.novelty.embed(x).tolist() == before.tolist()  # else points of two embeddings lie in one memory
