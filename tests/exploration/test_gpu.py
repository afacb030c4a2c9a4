"""On a GPU an agent computes what it computes on a processor: the fused recurrence against plain tensor operations there, bonus, updates, a whole training."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from outrange.exploration.agents.ngu import NGU
from outrange.exploration.config import changed
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
@pytest.mark.parametrize("bonus", ["episodic", "ngu"])
def test_updates_and_bonus_are_those_of_the_processor(bonus):
    config = changed(preset("smoke", "ngu"), {"bonus.kind": bonus, "bonus.mixtures": 2, "bonus.warmup": 0})
    trainer = Trainer(config)
    while trainer.replay.ready < config.replay.start:
        trainer.actor.advance()
    agents = [NGU(replace(config, device=device), trainer.envs, trainer.seeds) for device in ("cpu", "cuda")]
    for _ in range(3):
        sequences = trainer.replay.sample(config.learner.batch, trainer.rng)
        (here, told), (there, too) = (agent.learn(sequences) for agent in agents)
        np.testing.assert_allclose(there, here, rtol=2e-3, atol=1e-4)
        assert too.keys() == told.keys()
        for name, value in told.items():
            assert abs(too[name] - value) <= 2e-3 * abs(value) + 1e-4, name
    seen, counts = sequences.observation[0][: config.env.count], np.ones(config.env.count, bool)
    seen = np.resize(seen, (config.env.count, *trainer.envs.shape))
    for agent in agents:
        agent.refresh()
        agent.begin(seen, counts)
    np.testing.assert_allclose(agents[1].embed(seen), agents[0].embed(seen), atol=1e-4)
    np.testing.assert_allclose(*(agent.novelty(seen, counts) for agent in agents), rtol=1e-2, atol=1e-3)
    trainer.close()


def test_a_training_runs_there_and_its_checkpoint_is_resumed(tmp_path):
    config = preset("smoke", "ngu", steps=4000, device="cuda", log_every=1000, checkpoint_every=2000)
    config = changed(config, {"bonus.kind": "ngu"})
    told = train(config, tmp_path / "run")
    assert told["updates"] > 0 and told["last"]["episodes"] > 0
    again = train(config, tmp_path / "run")  # nothing is left to do
    assert again["new_steps"] == 0 and again["updates"] == told["updates"]
