"""Training a reasoner (arXiv 2209.11142, section 4): read ``Trainer.advance`` first.

A run is a directory (core/run.py). Batches depend on (seed, algorithm, step) alone and are drawn in the background; noise depends on (seed, step). So what a
checkpoint holds, weights, moments, the best weights so far and where chunked lanes stand, is all that the next step reads.

Deviations: the best weights on validation are the newest among equals (a score of 1 is often reached early); chunks are stretches of whole traces, see
chunks.py; with several algorithms the best weights are chosen by the mean of their scores.
"""

import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from outrange.core import metrics
from outrange.core.checkpoint import load as load_checkpoint
from outrange.core.checkpoint import steps
from outrange.core.errors import BadInput
from outrange.core.run import NonFinite, Run, Stopping
from outrange.core.seeding import SeedTree
from outrange.reasoning.nar.chunks import Chunk, ChunkedFeed, windows
from outrange.reasoning.nar.config import TrainConfig
from outrange.reasoning.nar.data import Background, Feed, Samples, evaluation, shard
from outrange.reasoning.nar.decode import gumbel
from outrange.reasoning.nar.evaluate import evaluate
from outrange.reasoning.nar.load import start_from
from outrange.reasoning.nar.loss import counts, losses
from outrange.reasoning.nar.model import Predictions, Reasoner
from outrange.reasoning.nar.optimizer import Optimizer
from outrange.reasoning.nar.parallel import Group, group

Told = Callable[[dict[str, Any]], None]


class Turns:
    """The feeds of several algorithms, taking turns."""

    def __init__(self, feeds: list[Feed]) -> None:
        self.feeds = feeds

    def __getitem__(self, k: int) -> Samples | Chunk:
        return self.feeds[k % len(self.feeds)][k // len(self.feeds)]


class Trainer:
    """The state of a training and how it moves."""

    def __init__(self, config: TrainConfig, mine: Group | None = None, fresh: bool = True) -> None:
        """``fresh``: nothing is going to be restored, so weights start where the configuration says."""
        self.config, self.group = config, mine or Group()
        if config.batch < self.group.world:
            raise BadInput(
                f"train.batch: {config.batch} is fewer than the {self.group.world} processes; each needs a sample"
            )
        torch.set_num_threads(config.threads)
        self.seeds = SeedTree(config.seed)
        given: dict[str, Any] = dict(
            batch_size=config.batch, seed=self.seeds.child("data").integer(63), lengths=config.lengths
        )
        given |= dict(
            random_pos=config.random_positions, pred_as_input=config.pred_as_input, permutations=config.permutations
        )
        self.feeds = [
            ChunkedFeed(name, chunk=config.chunk, **given) if config.chunk else Feed(name, **given)
            for name in config.algorithms
        ]
        specs = {feed.algorithm: feed.spec for feed in self.feeds}
        self.model = Reasoner(specs, config.model, seed=self.seeds.child("weights").integer(63), layer=config.layer).to(
            self.group.device
        )
        if config.start and fresh:
            start_from(self.model, config.start)
        self.optimizer = Optimizer(self.model, config.learning_rate, config.clip)
        self.step, self.best_score, self.best_step = 0, -1.0, 0
        self.best: dict[str, Tensor] = {}
        self.lanes: dict[str, Any] = {}
        self._validation: dict[str, Any] = {}

    def advance(self, batch: Samples | Chunk) -> dict[str, float]:
        """One update; returns the losses by probe, their sum ``loss`` and the gradient's norm."""
        if isinstance(batch, Chunk):
            self.lanes[batch.algorithm] = batch.state
            samples = windows(batch)
        else:
            samples = batch
        counted = counts(samples)
        share = shard(samples, self.group.rank, self.group.world) if self.group.world > 1 else samples
        noise, forced = self._draws(samples, share)
        self.model.train()
        predicted: Predictions = self.model(share, noise=noise, forced=forced)
        found = losses(share, predicted.outputs, predicted.hints, counted)
        total = torch.stack(list(found.values())).sum()
        self.optimizer.zero_grad()
        total.backward()
        told = torch.stack([total.detach(), *(value.detach() for value in found.values())])
        self.group.add([told, *self.optimizer.gradients([samples.algorithm])])
        values: dict[str, float] = dict(zip(("loss", *(f"loss/{name}" for name in found)), told.tolist(), strict=True))
        self._refuse_non_finite(samples.algorithm, values)
        try:
            values["gradient_norm"] = self.optimizer.step(samples.algorithm)
        except ArithmeticError as error:
            raise NonFinite(
                f"{samples.algorithm} at step {self.step}: {error} though the loss is finite; nothing was updated; lower learning_rate"
            ) from None
        self.step += 1
        return values

    def _draws(self, samples: Samples, share: Samples) -> tuple[Tensor | None, Tensor | None]:
        """The step's noise on permutation logits and its forced hints: drawn for the whole batch, this process's part taken."""
        branch = self.seeds.child("noise", self.step)
        noise = forced = None
        if any(probe.type == "permutation_pointer" for probe in samples.spec.values()):
            whole = gumbel((len(samples), samples.size, samples.size), branch.child("gumbel").torch())
            noise = whole[share.indices].to(self.group.device)
        if self.config.teacher_forcing > 0:
            draws = torch.rand((samples.steps, len(samples)), generator=branch.child("forcing").torch())
            forced = (draws < self.config.teacher_forcing)[:, share.indices].to(self.group.device)
        return noise, forced

    def _refuse_non_finite(self, algorithm: str, values: dict[str, float]) -> None:
        wrong = [name for name, value in values.items() if not math.isfinite(value)]
        if wrong:
            culprit = next((name for name in wrong if name != "loss"), "loss")
            raise NonFinite(
                f"loss of {algorithm}{culprit.removeprefix('loss')} is {values[culprit]} at step {self.step}; nothing was updated; "
                "train in a new run directory with a lower learning_rate"
            )

    def validate(self) -> dict[str, float]:
        """The score of every algorithm on its validation set; keeps the weights if their mean is the best so far."""
        scores = {}
        count = self.config.evaluate_count
        for feed in self.feeds:
            name = feed.algorithm
            if name not in self._validation:
                size = None if self.config.lengths is None else max(self.config.lengths)
                self._validation[name] = evaluation(
                    name, "val", size=size, count=count or None, random_pos=self.config.random_positions, **feed.changes
                )
            scores[name] = evaluate(self.model, self._validation[name])["score"]
        mean = statistics.fmean(scores.values())
        if mean >= self.best_score:
            self.best_score, self.best_step = mean, self.step
            self.best = self.weights()
        return scores

    def weights(self) -> dict[str, Tensor]:
        return {
            name: value.detach().to("cpu", copy=True).contiguous() for name, value in self.model.state_dict().items()
        }

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """What a checkpoint holds of tensors."""
        moments = {name: value.to("cpu", copy=True) for name, value in self.optimizer.state().items()}
        return {"model": self.weights(), "optimizer": moments} | ({"best": self.best} if self.best else {})

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds besides tensors."""
        return {"step": self.step, "best_score": self.best_score, "best_step": self.best_step, "lanes": self.lanes}

    def restore(self, tensors: dict[str, dict[str, Tensor]], state: dict[str, Any]) -> None:
        self.model.load_state_dict(tensors["model"])
        self.optimizer.restore(tensors["optimizer"], state["step"])
        self.best = tensors.get("best", {})
        self.step, self.best_score, self.best_step, self.lanes = (
            state[k] for k in ("step", "best_score", "best_step", "lanes")
        )
        for feed in self.feeds:
            if feed.algorithm in self.lanes:
                feed.restore(self.lanes[feed.algorithm])  # type: ignore[attr-defined]


def train(config: TrainConfig, path: Path, tell: Told | None = None) -> dict[str, Any]:
    """Train in a run directory; one that holds checkpoints of the same configuration is gone on with.

    Args:
        config: the training.
        path: of the run.
        tell: called with what there is to show: step, steps, losses, scores, speed.

    Returns:
        what came of it: steps, best score, seconds, and whether it was stopped before the end.

    Raises:
        BadInput: the directory holds something else, or another process writes to it.
        NonFinite: a loss or gradient is not finite; nothing was updated.
    """
    with group(config.device) as mine:
        trainer = Trainer(config, mine, fresh=not steps(path / "checkpoints"))
        if mine.rank:
            return _loop(trainer, None, tell)
        with Run.create(path, "nar", config) as run:
            return _loop(trainer, run, tell)


def resume(path: Path, tell: Told | None = None) -> dict[str, Any]:
    """Go on with a run that was stopped."""
    return train(Run.configuration(path, TrainConfig), path, tell)


def _loop(trainer: Trainer, run: Run | None, tell: Told | None) -> dict[str, Any]:
    config, world = trainer.config, trainer.group.world
    _restore(trainer, run)
    before = _seconds_before(run)
    begun, start, per_sweep = time.perf_counter(), trainer.step, len(trainer.feeds)
    stopped = False
    saved = trainer.step if trainer.step else -1

    def save() -> None:
        nonlocal saved
        if run and saved != trainer.step:
            run.save(trainer.step, trainer.tensors(), trainer.state())
            saved = trainer.step

    with Stopping() as stopping, Background(Turns(trainer.feeds), trainer.step) as batches:
        while trainer.step < config.steps:
            k, batch = next(batches)
            values = trainer.advance(batch)
            done = trainer.step
            line: dict[str, Any] = {}
            if (k // per_sweep) % config.log_every == 0 or done == config.steps:
                line = {"algorithm": batch.algorithm} | values
            if config.evaluate_every and (done % (config.evaluate_every * per_sweep) == 0 or done == config.steps):
                scores = trainer.validate()
                line |= {"val": statistics.fmean(scores.values())} | (
                    {f"val/{n}": s for n, s in scores.items()} if per_sweep > 1 else {}
                )
            if run and line:
                run.metrics.write(step=done, **line)
            seconds = time.perf_counter() - begun
            if run and line:
                run.timing.write(
                    step=done, seconds=round(before + seconds, 3), steps_per_second=round((done - start) / seconds, 3)
                )
            if tell:
                tell(
                    {
                        "step": done,
                        "steps": config.steps,
                        "loss": values["loss"],
                        "best": trainer.best_score,
                        "seconds": seconds,
                    }
                    | line
                )
            stopped = stopping.requested if world == 1 else trainer.group.agreed(stopping.requested)
            if stopped or done % config.checkpoint_every == 0 or done == config.steps:
                save()
            if stopped:
                break
    save()
    return {
        "steps": trainer.step,
        "best_score": trainer.best_score,
        "best_step": trainer.best_step,
        "seconds": before + time.perf_counter() - begun,
        "new_steps": trainer.step - start,
        "layer": trainer.model.kernels,
        "stopped": stopped and trainer.step < config.steps,
    }


def _seconds_before(run: Run | None) -> float:
    """How long earlier processes trained up to the checkpoint that is gone on from."""
    lines = metrics.read(run.path / "timing.jsonl") if run else []
    return float(lines[-1]["seconds"]) if lines else 0.0


def _restore(trainer: Trainer, run: Run | None) -> None:
    """Go on from the newest valid checkpoint; with several processes all read the one that the first found."""
    found = run.load() if run else None
    place = trainer.group.from_first(str(found.path) if found else "")
    if place and not found:
        found = load_checkpoint(Path(place).parent, step=int(Path(place).name.removeprefix("step_")))
    if found:
        trainer.restore(found.tensors, found.state)
