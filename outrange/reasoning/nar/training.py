"""Training a reasoner (arXiv 2209.11142, section 4): read ``Trainer.advance`` first.

A run is a directory (core/run.py). Batches depend on (seed, algorithm, step) alone and are drawn in the background;
noise depends on (seed, step). So what a checkpoint holds, weights, moments, the best weights so far and where chunked
lanes stand, is all that the next step reads.

Deviations: the best weights on validation are the newest among equals (a score of 1 is often reached early); chunks are
stretches of whole traces, see chunks.py; with several algorithms the best weights are chosen by the mean of their
scores.
"""

import math
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from outrange.core.checkpoint import load as load_checkpoint
from outrange.core.checkpoint import steps
from outrange.core.errors import BadInput
from outrange.core.loop import ReportMetrics, TrainingLoop
from outrange.core.run import NonFinite, Run
from outrange.core.seeding import SeedTree
from outrange.reasoning.nar.chunks import Chunk, ChunkedFeed, windows
from outrange.reasoning.nar.config import TrainConfig
from outrange.reasoning.nar.decode import gumbel
from outrange.reasoning.nar.evaluation import evaluate
from outrange.reasoning.nar.evaluation_sets import EvaluationSet, evaluation_set
from outrange.reasoning.nar.feed import Background, Feed
from outrange.reasoning.nar.loss import counts, losses
from outrange.reasoning.nar.model import Predictions
from outrange.reasoning.nar.optimizer import Optimizer
from outrange.reasoning.nar.parallel import ProcessGroup, process_group, shard
from outrange.reasoning.nar.reasoner import Reasoner, start_from
from outrange.reasoning.nar.samples import Samples


class TurnTaking:
    """The feeds of several algorithms, taking turns."""

    def __init__(self, feeds: list[Feed]) -> None:
        self.feeds = feeds

    def __getitem__(self, k: int) -> Samples | Chunk:
        return self.feeds[k % len(self.feeds)][k // len(self.feeds)]


class Trainer:
    """The state of a training and how it moves."""

    def __init__(self, config: TrainConfig, group: ProcessGroup | None = None, fresh: bool = True) -> None:
        """``fresh``: nothing is going to be restored, so weights start where the configuration says."""
        self.config, self.group = config, group or ProcessGroup()
        if config.batch_size < self.group.world:
            raise BadInput(
                f"batch_size: {config.batch_size} is fewer than the {self.group.world} processes; each needs a sample"
            )
        # one seed, with a branch of its own for data, weights and noise
        torch.set_num_threads(config.threads)
        self.seeds = SeedTree(config.seed)
        self.feeds = self._make_feeds()
        self.model = Reasoner(
            {feed.algorithm: feed.spec for feed in self.feeds},
            config.model,
            seed=self.seeds.child("weights").integer(63),
            kernels=config.kernels,
        ).to(self.group.device)
        if config.initial_weights and fresh:  # a resumed run has its own weights, and those may be gone
            start_from(self.model, config.initial_weights)
        self.optimizer = Optimizer(self.model, config.learning_rate, config.max_grad_norm)
        self.step, self.best_score, self.best_step = 0, -1.0, 0
        self.best_weights: dict[str, Tensor] = {}
        self.lanes: dict[str, Any] = {}
        self._validation_sets: dict[str, EvaluationSet] = {}

    def _make_feeds(self) -> list[Feed]:
        config = self.config
        options: dict[str, Any] = dict(
            batch_size=config.batch_size,
            seed=self.seeds.child("data").integer(63),
            lengths=config.lengths,
            random_pos=config.random_positions,
            pred_as_input=config.pred_as_input,
            permutations=config.permutations,
        )
        if config.chunk_length:
            return [ChunkedFeed(name, chunk_length=config.chunk_length, **options) for name in config.algorithms]
        return [Feed(name, **options) for name in config.algorithms]

    def advance(self, batch: Samples | Chunk) -> dict[str, float]:
        """One update; returns the losses by probe, their sum ``loss`` and the gradient's norm.

        Raises:
            NonFinite: a loss or the gradient is not finite; nothing was updated.
        """
        # where the lanes stand after this chunk is part of the state: a resumed run draws the next
        if isinstance(batch, Chunk):
            self.lanes[batch.algorithm] = batch.state
            samples = windows(batch)
        else:
            samples = batch

        # each process rolls out its share; losses divide by counts of the whole batch, so that their sum over processes
        # is its loss
        whole_counts = counts(samples)
        share = shard(samples, self.group.rank, self.group.world) if self.group.world > 1 else samples
        noise, forced = self._draw_noise(samples, share)
        self.model.train()
        predictions: Predictions = self.model(share, noise=noise, forced=forced)
        probe_losses = losses(share, predictions.outputs, predictions.hints, whole_counts)
        loss = torch.stack(list(probe_losses.values())).sum()
        self.optimizer.zero_grad()
        loss.backward()

        # one sum over processes for all numbers and gradients, one wait for the device
        values = torch.stack([loss.detach(), *(value.detach() for value in probe_losses.values())])
        self.group.sum_in_place([values, *self.optimizer.gradients([samples.algorithm])])
        names = ["loss", *(f"loss/{name}" for name in probe_losses)]
        metrics: dict[str, float] = dict(zip(names, values.tolist(), strict=True))
        self._refuse_non_finite(samples.algorithm, metrics)
        try:
            metrics["gradient_norm"] = self.optimizer.step(samples.algorithm)
        except ArithmeticError as error:
            raise NonFinite(
                f"{samples.algorithm} at step {self.step}: {error} though the loss is finite; nothing was updated; lower learning_rate"
            ) from None
        self.step += 1
        return metrics

    def _draw_noise(self, samples: Samples, share: Samples) -> tuple[Tensor | None, Tensor | None]:
        """The step's noise on permutation logits and its forced hints: drawn for the whole batch, this process's part
        taken.
        """
        seeds = self.seeds.child("noise", self.step)
        noise = forced = None
        if any(probe.type == "permutation_pointer" for probe in samples.spec.values()):
            batch_noise = gumbel((len(samples), samples.size, samples.size), seeds.child("gumbel").torch())
            noise = batch_noise[share.batch_indices].to(self.group.device)
        if self.config.teacher_forcing > 0:
            draws = torch.rand((samples.steps, len(samples)), generator=seeds.child("forcing").torch())
            forced = (draws < self.config.teacher_forcing)[:, share.batch_indices].to(self.group.device)
        return noise, forced

    def _refuse_non_finite(self, algorithm: str, metrics: dict[str, float]) -> None:
        wrong = [name for name, value in metrics.items() if not math.isfinite(value)]
        if wrong:
            # the sum is not finite whenever a part is: name the part
            culprit = next((name for name in wrong if name != "loss"), "loss")
            raise NonFinite(
                f"loss of {algorithm}{culprit.removeprefix('loss')} is {metrics[culprit]} at step {self.step}; nothing was updated; "
                "train in a new run directory with a lower learning_rate"
            )

    def validate(self) -> dict[str, float]:
        """The score of every algorithm on its validation set; keeps the weights if their mean is the best so far."""
        scores = {}
        for feed in self.feeds:
            name = feed.algorithm
            if name not in self._validation_sets:  # drawn once, at the first validation
                self._validation_sets[name] = evaluation_set(
                    name,
                    "val",
                    size=None if self.config.lengths is None else max(self.config.lengths),
                    count=self.config.evaluate_samples or None,
                    random_pos=self.config.random_positions,
                    **feed.spec_options,
                )
            scores[name] = evaluate(self.model, self._validation_sets[name])["score"]
        mean = statistics.fmean(scores.values())
        if mean >= self.best_score:  # of equals the newest: a score of 1 is often reached early
            self.best_score, self.best_step = mean, self.step
            self.best_weights = self.weights()
        return scores

    def weights(self) -> dict[str, Tensor]:
        """A copy of the model's parameters, on the processor."""
        parameters = self.model.state_dict()
        return {name: value.detach().to("cpu", copy=True).contiguous() for name, value in parameters.items()}

    def state_dict(self) -> dict[str, dict[str, Any]]:
        """All that the next step reads: ``tensors``, by group and name, and ``state``, as JSON."""
        moments = {name: value.to("cpu", copy=True) for name, value in self.optimizer.state_dict().items()}
        tensors = {"model": self.weights(), "optimizer": moments}
        if self.best_weights:
            tensors["best"] = self.best_weights
        state = {"step": self.step, "best_score": self.best_score, "best_step": self.best_step, "lanes": self.lanes}
        return {"tensors": tensors, "state": state}

    def load_state_dict(self, tensors: Mapping[str, dict[str, Tensor]], state: Mapping[str, Any]) -> None:
        """Go on from what ``state_dict`` gave."""
        self.model.load_state_dict(tensors["model"])
        self.optimizer.load_state_dict(tensors["optimizer"], state["step"])
        self.best_weights = tensors.get("best", {})
        self.step, self.best_score, self.best_step = state["step"], state["best_score"], state["best_step"]
        self.lanes = state["lanes"]
        for feed in self.feeds:
            if feed.algorithm in self.lanes:
                feed.load_state_dict(self.lanes[feed.algorithm])  # type: ignore[attr-defined]


def train(config: TrainConfig, path: Path, report_metrics: ReportMetrics | None = None) -> dict[str, Any]:
    """Train in a run directory; one that holds checkpoints of the same configuration is gone on with.

    Args:
        config: the training.
        path: of the run.
        report_metrics: called after every step with what there is to show: step, steps, seconds, loss, best, and what
            was logged.

    Returns:
        what came of it: ``steps``, ``best_score``, ``best_step``, ``seconds``, ``new_steps``, the ``kernels`` used, and
            whether it was ``stopped`` before the end.

    Raises:
        BadInput: the directory holds something else, or another process writes to it.
        NonFinite: a loss or gradient is not finite; nothing was updated.
    """
    with process_group(config.device) as group:
        trainer = Trainer(config, group, fresh=not steps(path / "checkpoints"))
        if group.rank:  # the first process alone writes
            return _loop(trainer, None, report_metrics)
        with Run.create(path, "nar", config) as run:
            return _loop(trainer, run, report_metrics)


def resume(path: Path, report_metrics: ReportMetrics | None = None) -> dict[str, Any]:
    """Go on with a run that was stopped."""
    return train(Run.configuration(path, TrainConfig), path, report_metrics)


def _loop(trainer: Trainer, run: Run | None, report_metrics: ReportMetrics | None) -> dict[str, Any]:
    """Train to the last step, or until asked to stop. ``run`` is None in all processes but the first."""
    config, group, sweep = trainer.config, trainer.group, len(trainer.feeds)
    _restore(trainer, run)
    loop = TrainingLoop(
        run,
        step=trainer.step,
        steps=config.steps,
        checkpoint_every=config.checkpoint_every,
        report_metrics=report_metrics,
        agree=group.any,
    )
    with loop, Background(TurnTaking(trainer.feeds), trainer.step) as batches:
        while loop.running(trainer.step):
            k, batch = next(batches)
            step_metrics = trainer.advance(batch)
            is_last = trainer.step == config.steps

            # a line of metrics for every algorithm's turn of a sweep, and the scores when all have had theirs
            line: dict[str, Any] = {}
            if (k // sweep) % config.log_every == 0 or is_last:
                line = {"algorithm": batch.algorithm} | step_metrics
            if config.evaluate_every and (trainer.step % (config.evaluate_every * sweep) == 0 or is_last):
                scores = trainer.validate()
                line["val"] = statistics.fmean(scores.values())
                if sweep > 1:
                    line |= {f"val/{name}": score for name, score in scores.items()}
            if line:
                loop.log(trainer.step, line)
            loop.report(trainer.step, {"loss": step_metrics["loss"], "best": trainer.best_score} | line)

            if loop.checkpoint_due(trainer.step):
                loop.save(trainer.step, **trainer.state_dict())
        if loop.saved_step is None:  # a training of no steps leaves its first weights
            loop.save(trainer.step, **trainer.state_dict())
    best = {"best_score": trainer.best_score, "best_step": trainer.best_step}
    return loop.result(trainer.step) | best | {"kernels": trainer.model.kernels}


def _restore(trainer: Trainer, run: Run | None) -> None:
    """Go on from the newest valid checkpoint; with several processes all read the one that the first found."""
    # a damaged checkpoint is passed over by the first process; the others take what it took
    checkpoint = run.load() if run else None
    path = trainer.group.broadcast(str(checkpoint.path) if checkpoint else "")
    if path and not checkpoint:
        checkpoint = load_checkpoint(Path(path).parent, step=int(Path(path).name.removeprefix("step_")))
    if checkpoint:
        trainer.load_state_dict(checkpoint.tensors, checkpoint.state)
