"""Training an exploring agent: read ``Trainer.advance`` first. Actor and learner take turns in one process; a run is a
directory (core/run.py).

A checkpoint has four groups of tensors, each in a file of its own, so that a reader takes only what it needs:

    policy    what acting needs anywhere: networks, the actors' embedding, running means; evaluation reads this alone
    learner   target networks, optimizers
    actor     where everything is: environments, running episodes, their memories
    replay    the sequences

Where the environments' engine cannot say where it is (envpool, ALE), a resumed run begins new episodes, and says so.
"""

import logging
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from outrange.core import metrics
from outrange.core.config import to_json
from outrange.core.errors import BadInput
from outrange.core.loop import ReportMetrics, TrainingLoop
from outrange.core.run import Run
from outrange.core.seeding import SeedTree, numpy_state, restore_numpy
from outrange.exploration import agents
from outrange.exploration.acting.actor import Actor, environments, process_settings
from outrange.exploration.acting.remote import Remote
from outrange.exploration.config import TrainConfig
from outrange.exploration.learning.modules import merged
from outrange.exploration.learning.replay import Replay
from outrange.exploration.policy import refuse_former
from outrange.exploration.spec import Spec

log = logging.getLogger("outrange")
_ACCURACY_WINDOW = 20  # updates over which the warm-up's accuracy is averaged
_WARM_UP_SEQUENCES = 128  # a small network needs no more to begin; the paper's 6,250 sequences are for Q


class Trainer:
    """The state of a run and how it moves."""

    def __init__(self, config: TrainConfig) -> None:
        if config.device == "cuda" and not torch.cuda.is_available():
            raise BadInput("device: 'cuda' is not allowed; there is no GPU here; take 'cpu'")
        self.config, self.seeds = config, SeedTree(config.seed)
        self.envs = environments(config, self.seeds.child("env"))
        self.spec = Spec.of(self.envs)
        self.agent = agents.make(config, self.spec, self.seeds)
        self.replay = Replay(
            streams=self.envs.count,
            rows=config.rows_per_env,
            trace=config.replay.trace_length,
            period=config.replay.period,
            shape=self.envs.shape,
            dtype=self.envs.dtype,
            state_size=self.agent.state_size,
            crossing=config.replay.cross_episodes,
            exponent=config.replay.priority_exponent,
            fields=self.agent.replay_fields,
        )
        if config.acting.separate_process:
            self.envs.close()  # the other process has its own; this one's have said what they show
            self.actor: Actor | Remote = Remote(config, self.agent, self.replay)
        else:
            rng = self.seeds.child("actor").numpy()
            parts = agents.acting_parts(config, self.agent, self.envs.count, rng)
            self.actor = Actor(config, self.envs, self.agent, parts, self.replay)
        self.rng = self.seeds.child("replay").numpy()
        self.step = self.warm_up_steps = self.warm_up_updates = 0
        self.steps_not_learned = 0.0
        self.recent_accuracy: list[float] = []
        self.sums: dict[str, tuple[float, int]] = {}

    @property
    def warming_up(self) -> bool:
        """Whether the embedding still learns from uniformly random actions."""
        bonus, recent = self.config.bonus, self.recent_accuracy
        accurate = len(recent) == _ACCURACY_WINDOW and sum(recent) / _ACCURACY_WINDOW >= bonus.warmup_accuracy
        return self.agent.warms_up and self.warm_up_updates < bonus.warmup_updates and not accurate

    def advance(self) -> None:
        """One step of all environments, and the updates that are due after it."""
        if self.warming_up:
            return self._warm_up()
        transitions = self.actor.advance()
        self.step += transitions
        if self.replay.ready < self.config.replay.min_sequences:
            return
        # so many updates are due that each step is learned from replay_ratio times on average
        self.steps_not_learned += transitions
        while self.steps_not_learned >= self.config.steps_per_update:
            self.steps_not_learned -= self.config.steps_per_update
            sequences = self.replay.sample(self.config.learner.batch_size, self.rng)
            self.agent.set_progress(self.step / self.config.steps)
            priorities, numbers = self.agent.learn(sequences)
            self.replay.update(sequences.slots, priorities)
            self._add_to_means(numbers)

    def _warm_up(self) -> None:
        """The embedding learns from uniformly random actions; then the replay is emptied and the run begins."""
        transitions = self.actor.advance(uniform=True)
        self.step += transitions
        self.warm_up_steps += transitions
        if self.replay.ready < min(self.config.replay.min_sequences, _WARM_UP_SEQUENCES):
            return
        sequences = self.replay.sample(self.config.learner.batch_size, self.rng)
        numbers = self.agent.warm_up(sequences)
        self._add_to_means(numbers)
        accuracy = numbers.get("embedding_accuracy", 0.0)
        self.recent_accuracy = [*self.recent_accuracy, accuracy][-_ACCURACY_WINDOW:]
        self.warm_up_updates += 1
        if not self.warming_up:  # over: actors get the embedding, rows of random actions go
            self.actor.refresh()
            self.replay.clear()
            self.actor.restart()

    def _add_to_means(self, numbers: Mapping[str, float]) -> None:
        for name, value in numbers.items():
            total, count = self.sums.get(name, (0.0, 0))
            self.sums[name] = total + value, count + 1

    def report(self) -> dict[str, float]:
        """Metrics since the last report: means over updates, and what episodes came to."""
        means = {name: total / count for name, (total, count) in self.sums.items()}
        self.sums.clear()
        return means | {"updates": self.agent.updates, "replay": self.replay.filled} | self.actor.report()

    def pause(self) -> None:
        """Let an actor that is ahead come to rest, so that what is saved is one moment."""
        if isinstance(self.actor, Remote):
            transitions = self.actor.drain()
            self.step += transitions
            self.steps_not_learned += transitions

    def close(self) -> None:
        """End processes and environments."""
        if isinstance(self.actor, Remote):
            self.actor.close()
        else:
            self.envs.close()

    def state_dict(self) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
        """What a checkpoint holds: tensors by group, and everything else as JSON."""
        # the policy's file gets tensors from both sides: networks from the agent, normalisers from the actor
        acting, actor_counters = self.actor.state_dict()
        arrays = acting | {"replay": self.replay.state_dict()}
        groups = {group: _tensors(values) for group, values in arrays.items()}
        state = {
            "spec": to_json(self.spec),
            "step": self.step,
            "warm_up_steps": self.warm_up_steps,
            "warm_up_updates": self.warm_up_updates,
            "steps_not_learned": self.steps_not_learned,
            "recent_accuracy": self.recent_accuracy,
            "updates": self.agent.updates,
            "sums": {name: list(pair) for name, pair in self.sums.items()},
            "actor": actor_counters,
            "rng": numpy_state(self.rng),
            "learner_rng": numpy_state(self.agent.rng),
        }
        return merged(self.agent.state_dict(), groups), state

    def load_state_dict(self, groups: Mapping[str, Mapping[str, Tensor]], state: Mapping[str, Any]) -> None:
        """Go on from ``state_dict``."""
        self.step, self.steps_not_learned = state["step"], state["steps_not_learned"]
        self.warm_up_steps, self.warm_up_updates = state["warm_up_steps"], state["warm_up_updates"]
        self.recent_accuracy = state["recent_accuracy"]
        self.sums = {name: (total, count) for name, (total, count) in state["sums"].items()}
        self.replay.load_state_dict(_arrays(groups["replay"]))
        self.agent.load_state_dict(groups)
        self.agent.updates = state["updates"]
        acting = {group: _arrays(groups[group]) for group in ("policy", "actor")}
        self.actor.load_state_dict(acting, state["actor"])
        # random state last
        restore_numpy(self.rng, state["rng"])
        restore_numpy(self.agent.rng, state["learner_rng"])


def train(config: TrainConfig, path: Path, report_metrics: ReportMetrics | None = None) -> dict[str, Any]:
    """Train, or go on with a training that was stopped.

    Args:
        config: everything.
        path: the run's directory.
        report_metrics: called with what there is to show: step, steps, seconds, and whatever was logged.

    Returns:
        what came of it: steps, updates, the last line of the log, seconds, and whether it was stopped before the end.

    Raises:
        BadInput: the environment is not supported, the replay does not fit, or the directory holds something else.
        NonFinite: a loss or gradient is not finite; nothing was updated.
        Broken: the environments broke too often.
    """
    with process_settings(config), closing(Trainer(config)) as trainer, Run.create(path, "explore", config) as run:
        return _loop(trainer, run, report_metrics)


def resume(path: Path, report_metrics: ReportMetrics | None = None) -> dict[str, Any]:
    """Go on with a run that was stopped."""
    return train(Run.configuration(path, TrainConfig), path, report_metrics)


def _loop(trainer: Trainer, run: Run, report_metrics: ReportMetrics | None) -> dict[str, Any]:
    config = trainer.config
    log.info("%s", trainer.replay.describe())
    checkpoint = run.load()
    if checkpoint:
        refuse_former(run.path, checkpoint.state)
        trainer.load_state_dict(checkpoint.tensors, checkpoint.state)
        if not trainer.envs.exact and trainer.step < config.steps:
            what = "env: %s cannot bring its environments back; new episodes begin at step %s"
            log.warning(what, trainer.envs.engine, trainer.step)
    lines = metrics.read(run.path / "metrics.jsonl")
    last = dict(lines[-1]) if lines else {}
    with TrainingLoop(
        run,
        step=trainer.step,
        steps=config.steps,
        checkpoint_every=config.checkpoint_every,
        keep=1,  # one holds the whole replay
        report_metrics=report_metrics,
    ) as loop:
        while loop.running(trainer.step):
            earlier = trainer.step
            trainer.advance()
            step, every = trainer.step, config.log_every
            # a step of all environments may pass a multiple of log_every, or, in the warm-up's end, none at all
            if step > earlier and (step // every > earlier // every or step >= config.steps):
                last = trainer.report()
                pace = {
                    "steps_per_second": round((step - loop.start) / loop.seconds, 1),
                    "steps_per_cpu_second": round((step - loop.start) / loop.cpu_seconds, 1),
                }
                loop.log(step, last, cpu_seconds=round(loop.cpu_seconds, 3), **pace)
                loop.report(step, {"logged": True} | pace | last)
            else:
                loop.report(step, _warm_up_progress(trainer))
            if loop.checkpoint_due(step):
                trainer.pause()
                loop.save(trainer.step, *trainer.state_dict())
    return loop.result(trainer.step) | {
        "updates": trainer.agent.updates,
        "last": {name: value for name, value in last.items() if name != "step"},
    }


def _warm_up_progress(trainer: Trainer) -> dict[str, Any]:
    """How far the embedding's warm-up is, while there is one."""
    if not trainer.warming_up:
        return {}
    return {"warming": trainer.warm_up_updates, "of": trainer.config.bonus.warmup_updates}


def _tensors(arrays: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in arrays.items()}


def _arrays(tensors: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    return {name: value.numpy().copy() for name, value in tensors.items()}
