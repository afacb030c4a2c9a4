"""Training an exploring agent: read ``Trainer.advance`` first. Actor and learner take turns in one process; a run is a directory (core/run.py).

A checkpoint holds all that the next step reads: networks, moments, replay, memories, running means, environments, random states. Where the environments'
engine cannot say where it is (envpool, ALE), a resumed run begins new episodes, and says so.
"""

import logging
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from outrange.core import metrics
from outrange.core.errors import BadInput
from outrange.core.run import Run, Stopping
from outrange.core.seeding import SeedTree, numpy_state, restore_numpy
from outrange.exploration.acting.actor import Actor, environments, settled
from outrange.exploration.acting.remote import Remote
from outrange.exploration.agents.ngu import NGU
from outrange.exploration.config import TrainConfig
from outrange.exploration.learning.replay import Replay

log = logging.getLogger("outrange")
Told = Callable[[dict[str, Any]], None]


class Trainer:
    """The state of a run and how it moves."""

    def __init__(self, config: TrainConfig) -> None:
        if config.device == "cuda" and not torch.cuda.is_available():
            raise BadInput("device: 'cuda' is not allowed; there is no GPU here; take 'cpu'")
        self.config, self.seeds = config, SeedTree(config.seed)
        self.envs = environments(config, self.seeds.child("env"))
        self.agent = NGU(config, self.envs, self.seeds)
        self.replay = Replay(
            streams=self.envs.count, rows=config.rows, trace=config.replay.trace, period=config.replay.period, shape=self.envs.shape,
            dtype=self.envs.dtype, state_size=self.agent.state_size, crossing=config.replay.crossing, exponent=config.replay.exponent,
        )  # fmt: skip
        if config.acting.process:
            self.envs.close()  # the other process has its own; this one's said what they show
            self.actor: Actor | Remote = Remote(config, self.agent, self.replay)
        else:
            self.actor = Actor(config, self.envs, self.agent, self.replay, self.seeds)
        self.rng = self.seeds.child("replay").numpy()
        self.step = self.warm_steps = self.warm_updates = 0
        self.debt = 0.0
        self.recent: list[float] = []
        self.sums: dict[str, tuple[float, int]] = {}

    @property
    def warming(self) -> bool:
        """Whether the embedding is still being warmed up."""
        bonus = self.config.bonus
        known = len(self.recent) == 20 and sum(self.recent) / 20 >= bonus.warmup_accuracy
        return bonus.learns and self.warm_updates < bonus.warmup and not known

    def advance(self) -> None:
        """One step of all environments, and the updates that are due after it."""
        if self.warming:
            return self._warm()
        done = self.actor.advance()
        self.step += done
        if self.replay.ready < self.config.replay.start:
            return
        self.debt += done
        while self.debt >= self.config.update_every:
            self.debt -= self.config.update_every
            sequences = self.replay.sample(self.config.learner.batch, self.rng)
            self.agent.slow(self.step / self.config.steps)
            priorities, told = self.agent.learn(sequences)
            self.replay.update(sequences.slots, priorities)
            self._note(told)

    def _warm(self) -> None:
        """The embedding learns from uniformly random actions; then the replay is emptied and the run begins."""
        done = self.actor.advance(uniform=True)
        self.step += done
        self.warm_steps += done
        if self.replay.ready >= min(
            self.config.replay.start, 128
        ):  # a small network needs no more; the paper's 6,250 sequences are for Q
            sequences = self.replay.sample(self.config.learner.batch, self.rng)
            told = self.agent.learn_novelty(sequences, self.config.replay.trace)
            self._note(told)
            self.recent = [*self.recent, told.get("embedding_accuracy", 0.0)][-20:]
            self.warm_updates += 1
            if not self.warming:
                self.actor.refresh()
                self.replay.clear()
                self.actor.restart()

    def _note(self, told: dict[str, float]) -> None:
        for name, value in told.items():
            total, number = self.sums.get(name, (0.0, 0))
            self.sums[name] = total + value, number + 1

    def report(self) -> dict[str, float]:
        """What happened since the last report, for the log."""
        values = {name: total / number for name, (total, number) in self.sums.items()}
        self.sums.clear()
        return values | {"updates": self.agent.updates, "replay": self.replay.filled} | self.actor.report()

    def pause(self) -> None:
        """Let an actor that is ahead come to rest, so that what is saved is one moment."""
        if isinstance(self.actor, Remote):
            done = self.actor.drain()
            self.step += done
            self.debt += done

    def close(self) -> None:
        """End processes and environments."""
        if isinstance(self.actor, Remote):
            self.actor.close()
        else:
            self.envs.close()

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """What a checkpoint holds of tensors."""
        return self.agent.tensors() | {"replay": _tensors(self.replay.state()), "actor": _tensors(self.actor.arrays())}

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds besides tensors."""
        return {
            "step": self.step, "warm_steps": self.warm_steps, "warm_updates": self.warm_updates, "debt": self.debt,
            "recent": self.recent, "updates": self.agent.updates,
            "sums": {name: list(pair) for name, pair in self.sums.items()}, "actor": self.actor.counters(),
            "rng": numpy_state(self.rng), "learner_rng": numpy_state(self.agent.rng),
        }  # fmt: skip

    def restore(self, tensors: dict[str, dict[str, Tensor]], state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.step, self.warm_steps, self.warm_updates = (state[name] for name in ("step", "warm_steps", "warm_updates"))
        self.debt, self.recent = state["debt"], state["recent"]
        self.sums = {name: (total, number) for name, (total, number) in state["sums"].items()}
        self.replay.restore(_arrays(tensors["replay"]))
        self.agent.restore(tensors, state["updates"])
        self.actor.restore(_arrays(tensors["actor"]), state["actor"])
        restore_numpy(self.rng, state["rng"])
        restore_numpy(self.agent.rng, state["learner_rng"])


def train(config: TrainConfig, path: Path, tell: Told | None = None) -> dict[str, Any]:
    """Train, or go on with a training that was stopped.

    Args:
        config: everything.
        path: the run's directory.
        tell: called with what there is to show: step, steps, seconds, and whatever was logged.

    Returns:
        what came of it: steps, updates, the last line of the log, seconds, and whether it was stopped before the end.

    Raises:
        BadInput: the environment is not supported, the replay does not fit, or the directory holds something else.
        NonFinite: a loss or gradient is not finite; nothing was updated.
        Broken: the environments broke too often.
    """
    with settled(config), closing(Trainer(config)) as trainer, Run.create(path, "explore", config) as run:
        return _loop(trainer, run, tell)


def resume(path: Path, tell: Told | None = None) -> dict[str, Any]:
    """Go on with a run that was stopped."""
    return train(Run.configuration(path, TrainConfig), path, tell)


def _loop(trainer: Trainer, run: Run, tell: Told | None) -> dict[str, Any]:
    config = trainer.config
    log.info("%s", trainer.replay.describe())
    found = run.load()
    if found:
        trainer.restore(found.tensors, found.state)
        if not trainer.envs.exact and trainer.step < config.steps:
            log.warning(
                "env: %s cannot bring its environments back; new episodes begin at step %s",
                trainer.envs.engine,
                trainer.step,
            )
    before = float(lines[-1]["seconds"]) if (lines := metrics.read(run.path / "timing.jsonl")) else 0.0
    begun, cpu, start = time.perf_counter(), time.process_time(), trainer.step
    saved, stopped, last = (
        trainer.step,
        False,
        dict(lines[-1]) if (lines := metrics.read(run.path / "metrics.jsonl")) else {},
    )
    with Stopping() as stopping:
        while trainer.step < config.steps and not stopped:
            earlier = trainer.step
            trainer.advance()
            done = trainer.step
            ended = done >= config.steps
            seconds = time.perf_counter() - begun
            if done > earlier and (done // config.log_every > earlier // config.log_every or ended):
                last = trainer.report()
                run.metrics.write(step=done, **last)
                used = time.process_time() - cpu
                pace = {
                    "steps_per_second": round((done - start) / seconds, 1),
                    "steps_per_cpu_second": round((done - start) / used, 1),
                }
                run.timing.write(step=done, seconds=round(before + seconds, 3), cpu_seconds=round(used, 3), **pace)
                if tell:
                    tell({"step": done, "steps": config.steps, "seconds": seconds, "logged": True} | pace | last)
            elif tell:
                warm = {"warming": trainer.warm_updates, "of": config.bonus.warmup} if trainer.warming else {}
                tell({"step": done, "steps": config.steps, "seconds": seconds} | warm)
            stopped = stopping.requested
            if stopped or ended or done // config.checkpoint_every > saved // config.checkpoint_every:
                trainer.pause()
                run.save(trainer.step, trainer.tensors(), trainer.state(), keep=1)
                saved = trainer.step
    return {
        "steps": trainer.step,
        "updates": trainer.agent.updates,
        "last": {name: value for name, value in last.items() if name != "step"},
        "seconds": before + time.perf_counter() - begun,
        "new_steps": trainer.step - start,
        "stopped": trainer.step < config.steps,
    }


def _tensors(arrays: dict[str, np.ndarray]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in arrays.items()}


def _arrays(tensors: dict[str, Tensor]) -> dict[str, np.ndarray]:
    return {name: value.numpy().copy() for name, value in tensors.items()}
