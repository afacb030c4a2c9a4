"""On a GPU an agent computes what it computes on a processor: the fused recurrence against plain tensor operations there, bonus, updates, a whole training."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from outrange.core.config import changed
from outrange.exploration.agents import make
from outrange.exploration.presets import preset
from outrange.exploration.training import Trainer, train

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")


@pytest.fixture
def exact_products():
    """TF32 off: the comparison is of float32."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


@pytest.mark.usefixtures("exact_products")
@pytest.mark.parametrize("name", ["ngu-episodic", "ngu"])
def test_updates_and_bonus_are_those_of_the_processor(name):
    config = changed(preset("smoke", name), {"bonus.mixtures": 2, "bonus.warmup_updates": 0})
    trainer = Trainer(config)
    while trainer.replay.ready < config.replay.min_sequences:
        trainer.actor.advance()
    learners = [make(replace(config, device=device), trainer.spec, trainer.seeds) for device in ("cpu", "cuda")]
    for _ in range(3):
        sequences = trainer.replay.sample(config.learner.batch_size, trainer.rng)
        (here, told), (there, too) = (agent.learn(sequences) for agent in learners)
        np.testing.assert_allclose(there, here, rtol=2e-3, atol=1e-4)
        assert too.keys() == told.keys()
        for name, value in told.items():
            assert abs(too[name] - value) <= 2e-3 * abs(value) + 1e-4, name
    seen, counts = sequences.observation[0][: config.env.count], np.ones(config.env.count, bool)
    seen = np.resize(seen, (config.env.count, *trainer.envs.shape))
    novelties = [agent.novelty(config.env.count) for agent in learners]
    for agent, novelty in zip(learners, novelties):
        novelty.refresh(agent.novelty_weights())
        novelty.begin(seen, counts, False)
    np.testing.assert_allclose(novelties[1].embed(seen), novelties[0].embed(seen), atol=1e-4)
    np.testing.assert_allclose(*(novelty.reward(seen, counts) for novelty in novelties), rtol=1e-2, atol=1e-3)
    trainer.close()


def test_a_training_runs_there_and_its_checkpoint_is_resumed(tmp_path):
    config = preset("smoke", "ngu", steps=4000, device="cuda", log_every=1000, checkpoint_every=2000)
    told = train(config, tmp_path / "run")
    assert told["updates"] > 0 and told["last"]["episodes"] > 0
    again = train(config, tmp_path / "run")  # nothing is left to do
    assert again["new_steps"] == 0 and again["updates"] == told["updates"]
