"""The books of a training loop: what is logged, when it saves, how it stops, what came of it, also when it goes on in another process."""

import json
import os
import signal
from dataclasses import dataclass

import pytest
import torch

from outrange.core import checkpoint
from outrange.core.loop import TrainingLoop
from outrange.core.run import Run


@dataclass(frozen=True, kw_only=True)
class Toy:
    seed: int = 0


class Trainer:
    """Counts; ``stride`` steps at a time."""

    def __init__(self, stride=1):
        self.step, self.stride = 0, stride

    def advance(self):
        self.step += self.stride
        return {"loss": 1 / self.step}

    def state_dict(self):
        return {"tensors": {"model": {"step": torch.tensor(self.step)}}, "state": {"step": self.step}}


def train(path, steps=10, every=4, stride=1, stop_at=None, log_every=1, **options):
    """As the loop's own example; SIGTERM comes during step ``stop_at``."""
    trainer = Trainer(stride)
    with Run.create(path, "toy", Toy()) as run:
        if found := run.load():
            trainer.step = found.state["step"]
        with TrainingLoop(run, step=trainer.step, steps=steps, checkpoint_every=every, **options) as loop:
            while loop.running(trainer.step):
                metrics = trainer.advance()
                if trainer.step == stop_at:
                    os.kill(os.getpid(), signal.SIGTERM)
                if trainer.step % log_every == 0:
                    loop.log(trainer.step, metrics, units_per_second=2.0)
                loop.report(trainer.step, metrics)
                if loop.checkpoint_due(trainer.step):
                    loop.save(trainer.step, **trainer.state_dict())
            if loop.saved_step is None:
                loop.save(trainer.step, **trainer.state_dict())
        return loop.result(trainer.step)


def lines(path, name):
    return [json.loads(line) for line in (path / name).read_text().splitlines()]


def saved(path):
    return checkpoint.steps(path / "checkpoints")


def test_a_training_logs_its_metrics_and_its_pace_and_saves_by_its_rule(tmp_path):
    result = train(tmp_path / "r", keep=9)
    assert result.keys() == {"steps", "seconds", "new_steps", "stopped"}
    assert (result["steps"], result["new_steps"], result["stopped"]) == (10, 10, False)
    assert [line["step"] for line in lines(tmp_path / "r", "metrics.jsonl")] == list(range(1, 11))
    timing = lines(tmp_path / "r", "timing.jsonl")
    assert [line["step"] for line in timing] == list(range(1, 11))
    assert timing[-1].keys() >= {"seconds", "steps_per_second", "units_per_second"}
    assert saved(tmp_path / "r") == [4, 8, 10], "every fourth step, and the last"


def test_steps_in_strides_save_where_a_multiple_was_passed(tmp_path):
    train(tmp_path / "r", steps=20, every=4, stride=3, keep=9)
    assert saved(tmp_path / "r") == [6, 9, 12, 18, 21]


def test_it_keeps_the_newest_checkpoints_only(tmp_path):
    train(tmp_path / "r", keep=1)
    assert saved(tmp_path / "r") == [10]


def test_a_request_to_stop_saves_that_step_and_the_next_process_goes_on(tmp_path):
    whole = train(tmp_path / "whole")
    first = train(tmp_path / "parts", stop_at=6)
    assert (first["steps"], first["stopped"]) == (6, True) and saved(tmp_path / "parts") == [4, 6]
    second = train(tmp_path / "parts")
    assert (second["steps"], second["new_steps"], second["stopped"]) == (10, 4, False)
    assert whole["stopped"] is False
    assert (tmp_path / "parts/metrics.jsonl").read_bytes() == (tmp_path / "whole/metrics.jsonl").read_bytes()
    seconds = [line["seconds"] for line in lines(tmp_path / "parts", "timing.jsonl")]
    assert seconds == sorted(seconds), "the clock goes on where the first process left it"
    assert second["seconds"] >= seconds[5]


def test_a_request_during_the_last_step_is_no_stop(tmp_path):
    assert train(tmp_path / "r", stop_at=10)["stopped"] is False


def test_a_finished_training_does_nothing_more(tmp_path):
    train(tmp_path / "r")
    before = (tmp_path / "r/checkpoints/step_10/manifest.json").stat().st_mtime_ns
    result = train(tmp_path / "r")
    assert (result["new_steps"], result["stopped"]) == (0, False)
    assert (tmp_path / "r/checkpoints/step_10/manifest.json").stat().st_mtime_ns == before


def test_a_training_of_no_steps_leaves_its_first_state(tmp_path):
    assert train(tmp_path / "r", steps=0)["steps"] == 0
    assert saved(tmp_path / "r") == [0]


def test_whoever_watches_gets_every_step(tmp_path):
    seen = []
    train(tmp_path / "r", steps=3, log_every=2, report_metrics=seen.append)
    assert [values["step"] for values in seen] == [1, 2, 3]
    assert seen[0].keys() == {"step", "steps", "seconds", "loss"} and seen[0]["steps"] == 3


def test_a_further_process_logs_and_saves_nothing_but_stops_with_the_others():
    votes = []

    def agree(wish):
        votes.append(wish)
        return len(votes) == 3  # another process was asked to stop during its third step

    step = 0
    with TrainingLoop(None, step=0, steps=10, checkpoint_every=1, agree=agree) as loop:
        while loop.running(step):
            step += 1
            loop.log(step, {"loss": 1.0})
            assert not loop.checkpoint_due(step)
            loop.save(step, {}, {})
    assert step == 3 and votes == [False] * 3 and loop.saved_step is None
    assert loop.result(step)["stopped"]


def test_signals_are_as_they_were_when_it_is_left(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ZeroDivisionError), TrainingLoop(None, step=0, steps=1, checkpoint_every=1):
        raise ZeroDivisionError
    assert signal.getsignal(signal.SIGTERM) is before
