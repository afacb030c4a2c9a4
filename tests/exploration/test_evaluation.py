"""What an agent is called, and that looking at it does not change it."""

import numpy as np
import pytest

from outrange.exploration import evaluation, training
from outrange.exploration.evaluation import load
from outrange.exploration.presets import PRESETS, preset
from outrange.exploration.training import train
from tests.exploration.helpers.scripted import Scripted, tiny


@pytest.mark.parametrize("name", PRESETS)
def test_the_agent_ngu_has_a_life_long_factor_in_every_preset_or_the_preset_says_that_it_has_none(name):
    # in disco and smoke, ngu and ngu-episodic are the same agent under two names, and nothing says so
    assert preset(name, "ngu").bonus.kind == "ngu" or "life-long" in (PRESETS[name].__doc__ or "")


def test_the_embedding_that_is_looked_up_stays_the_same_while_an_agent_is_evaluated(monkeypatch, tmp_path):
    for module in (training, evaluation):
        monkeypatch.setattr(module, "environments", lambda config, seeds, count=None: Scripted([["..T"], ["....C"]]))
    train(tiny(env__count=2, steps=66, bonus__kind="episodic", bonus__refresh=20, learner__ratio=4), tmp_path / "run")
    _, _, agent, actor = load(tmp_path / "run", 2)
    x = np.arange(12, dtype=np.uint8).reshape(4, 3)
    before = agent.embed(x)
    for _ in range(25):
        actor.advance()
    assert agent.embed(x).tolist() == before.tolist()  # else points of two embeddings lie in one memory
