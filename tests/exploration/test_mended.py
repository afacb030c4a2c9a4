"""What a first reading of the agents found wrong, and is mended."""

import pytest
import torch

from outrange.core.errors import BadInput
from outrange.exploration.config import changed
from outrange.exploration.networks import Encoder
from outrange.exploration.presets import preset
from outrange.exploration.train import Trainer, train


def test_the_crop_shows_what_lies_outside_the_grid_as_something_else_than_an_empty_cell():
    # in a grid without walls of its own (DeepSea, RandomCoin) the agent otherwise sees the same wherever it is
    x = torch.zeros(2, 11, 11, dtype=torch.uint8)
    x[0, 0, 0] = x[1, 5, 5] = 1
    seen = Encoder("crop", (11, 11), 2, True, 16)(x)
    assert not torch.equal(seen[0], seen[1])


@pytest.mark.parametrize("name", ["network.encoder", "bonus.encoder"])
def test_an_encoder_that_does_not_fit_is_refused_by_the_name_of_its_setting(name):
    config = changed(preset("smoke", "ngu-episodic"), {name: "pixels"})
    with pytest.raises(BadInput, match=rf"^{name}: 'pixels' needs"):
        Trainer(config)


def test_the_warm_up_is_among_the_steps_of_a_run_as_its_setting_says():
    settings = {
        "steps": 400,
        "env.count": 4,
        "acting.greedy": 1,
        "replay.trace": 8,
        "replay.period": 4,
        "replay.rows": 480,
        "replay.start": 4,
        "bonus.warmup": 10,
    }
    trainer = Trainer(changed(preset("smoke"), settings))
    while trainer.step < trainer.config.steps:  # as the training does
        trainer.advance()
    assert 0 < trainer.warm_steps < 400 <= trainer.step < 404


def test_after_a_training_small_numbers_are_what_they_were(tmp_path):
    settings = {"steps": 40, "env.count": 4, "acting.greedy": 1, "replay.trace": 8, "replay.period": 4, "replay.rows": 480, "bonus.warmup": 0}
    train(changed(preset("smoke"), settings), tmp_path / "run")
    assert float(torch.tensor(1e-39) * 0.5) > 0
