"""Training a small decoder language model (arXiv 2410.06205, section 5): read ``Trainer.advance`` first.

A run is a directory (core/run.py). The windows of a step depend on (seed, step) and the text alone, the first weights
on the seed and the shape alone; so models that differ in their rotary scheme begin equal and see the same, and what a
checkpoint holds, weights and moments, is all that the next step reads.

AdamW (0.9, 0.95) with decay on matrices only, a learning rate that rises and then falls on a cosine to a tenth,
gradients scaled down to a norm.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from outrange.core import metrics
from outrange.core.errors import BadInput
from outrange.core.loop import ReportMetrics, TrainingLoop
from outrange.core.optim import NamedAdam
from outrange.core.run import Run, check_finite
from outrange.core.seeding import SeedTree
from outrange.lm.config import TrainConfig
from outrange.lm.evaluation import perplexity, token_losses
from outrange.lm.model import build_model, hf_config, load_weights, weights
from outrange.lm.tokenizer import Corpus, ReportStage, end_of_text, prepare_corpus, save_tokenizer


def draw_windows(tokens: np.ndarray, batch_size: int, context_length: int, seeds: SeedTree, step: int) -> Tensor:
    """The windows of a step, (batch_size, context_length + 1): stretches that begin anywhere in the stream, each place
    as likely as another.
    """
    generator = seeds.child("windows", step).numpy()
    starts = generator.integers(len(tokens) - context_length, size=batch_size)
    windows = [tokens[start : start + context_length + 1] for start in starts]
    return torch.from_numpy(np.stack(windows).astype(np.int64))


def learning_rate(config: TrainConfig, step: int) -> float:
    """The learning rate of a step, counted from 0: up in a line, then down on a cosine from 1 to 0.1 of the highest."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    share = (step - config.warmup_steps) / max(config.steps - config.warmup_steps, 1)
    return config.learning_rate * (0.1 + 0.9 * (1 + math.cos(math.pi * share)) / 2)


class Trainer:
    """The state of a training and how it moves."""

    def __init__(self, config: TrainConfig, corpus: Corpus) -> None:
        """
        Raises:
            BadInput: the text is shorter than a window, or there is no GPU where the configuration asks for one.
        """
        for part, tokens in (("training", corpus.training), ("held-out", corpus.validation)):
            if len(tokens) < config.context_length + 1:
                raise BadInput(
                    f"text: its {part} part has {len(tokens):,} tokens, and one window of context_length needs "
                    f"{config.context_length + 1:,}; give more text or a shorter length"
                )
        if config.device == "cuda" and not torch.cuda.is_available():
            raise BadInput("device: 'cuda' is not allowed; there is no GPU here; take 'cpu'")
        self.config, self.corpus, self.step = config, corpus, 0
        self.device = torch.device("cuda" if torch.cuda.is_available() and config.device != "cpu" else "cpu")
        torch.set_num_threads(config.threads)
        self.seeds = SeedTree(config.seed)
        shape = hf_config(config.model, corpus.vocab_size, config.context_length, end_of_text(corpus.tokenizer))
        self.model = build_model(shape, self.seeds.child("weights").integer(63), self.device)
        self.model.train()
        self.optimizer = self._adamw()

    def _adamw(self) -> NamedAdam:
        """AdamW in two groups: matrices decay, norms do not."""
        parameters = list(self.model.parameters())
        groups = [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": self.config.weight_decay},
            {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
        ]
        adamw = torch.optim.AdamW(groups, lr=self.config.learning_rate, betas=(0.9, 0.95), eps=1e-8, foreach=True)
        return NamedAdam(adamw, self.model.named_parameters())

    def advance(self) -> dict[str, float]:
        """One update; returns the loss in nats a token, the gradient's norm and the learning rate."""
        config = self.config
        windows = draw_windows(self.corpus.training, config.batch_size, config.context_length, self.seeds, self.step)

        # Gradients of micro batches add up to that of the batch: each loss is divided by all of the batch's tokens.
        self.optimizer.zero_grad(set_to_none=False)
        loss = 0.0
        for part in windows.split(config.micro_batch_size or config.batch_size):
            losses = token_losses(self.model, part.to(self.device), config.precision)
            share = losses.sum() / (config.batch_size * config.context_length)
            share.backward()
            loss += share.item()

        # What is not finite ends the run here, before any weight has seen it.
        check_finite(loss, "loss", self.step)
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients).item()
        check_finite(norm, "the gradient's norm", self.step)
        if 0 < config.max_grad_norm < norm:
            for gradient in gradients:
                gradient.mul_(config.max_grad_norm / norm)

        self.optimizer.learning_rate = learning_rate(config, self.step)
        self.optimizer.step()
        self.step += 1
        return {"loss": loss, "gradient_norm": norm, "learning_rate": self.optimizer.learning_rate}

    def validate(self) -> float:
        """Perplexity on held-out text, in windows of the training's length; the same windows each time."""
        config = self.config
        limit = max(config.evaluate_tokens, config.context_length)
        return perplexity(self.model, self.corpus.validation, config.context_length, limit, config.precision)[0]

    def state_dict(self) -> dict[str, dict[str, Any]]:
        """What a checkpoint holds: ``tensors`` by group, and ``state``, the rest."""
        return {
            "tensors": {"model": weights(self.model), "optimizer": self.optimizer.state_dict()},
            "state": {"step": self.step, "text": self.corpus.digest},
        }

    def load_state_dict(self, tensors: Mapping[str, dict[str, Tensor]], state: Mapping[str, Any]) -> None:
        """Go on from what ``state_dict`` returned.

        Raises:
            BadInput: the text is not the run's.
        """
        if state["text"] != self.corpus.digest:
            raise BadInput(
                "text: is not what the run was begun with (a file's content, or the tokenizer, has changed); "
                "put it back, or begin a new run"
            )
        load_weights(self.model, tensors["model"])
        self.step = state["step"]
        self.optimizer.load_state_dict(tensors["optimizer"], steps=self.step)


def train(
    config: TrainConfig,
    path: Path,
    report_metrics: ReportMetrics | None = None,
    report_stage: ReportStage | None = None,
    corpus: Corpus | None = None,
) -> dict[str, Any]:
    """Train, or go on with a training that was stopped.

    Args:
        config: what to train on what, and how.
        path: the run's directory.
        report_metrics: called after each step with step, steps, loss, seconds, and val after a validation.
        report_stage: called while the text is turned into tokens.
        corpus: the tokens, if they are at hand.

    Returns:
        steps, the last validation perplexity, seconds, and whether it was stopped before the end.

    Raises:
        BadInput: the text cannot be used, the directory holds something else, or another process writes to it.
        NonFinite: a loss or gradient is not finite; nothing was updated.
    """
    trainer = Trainer(config, corpus or prepare_corpus(config, report_stage))
    with Run.create(path, "lm", config) as run:
        save_tokenizer(trainer.corpus.tokenizer, path / "tokenizer")
        return _loop(trainer, run, report_metrics)


def resume(path: Path, report_metrics: ReportMetrics | None = None) -> dict[str, Any]:
    """Go on with a run that was stopped."""
    return train(Run.configuration(path, TrainConfig), path, report_metrics)


def _loop(trainer: Trainer, run: Run, report_metrics: ReportMetrics | None) -> dict[str, Any]:
    config = trainer.config
    checkpoint = run.load()
    if checkpoint:
        trainer.load_state_dict(checkpoint.tensors, checkpoint.state)
    with TrainingLoop(
        run,
        step=trainer.step,
        steps=config.steps,
        checkpoint_every=config.checkpoint_every,
        report_metrics=report_metrics,
    ) as loop:
        while loop.running(trainer.step):
            values = trainer.advance()
            step, last = trainer.step, trainer.step == config.steps

            # A line is written where something is due: the losses, a validation, or both.
            line: dict[str, Any] = dict(values) if step % config.log_every == 0 or last else {}
            if last or (config.evaluate_every and step % config.evaluate_every == 0):
                line["val"] = trainer.validate()
            if line:
                tokens = (step - loop.start) * config.batch_size * config.context_length
                loop.log(step, line, tokens_per_second=round(tokens / loop.seconds))
            loop.report(step, {"loss": values["loss"]} | line)
            if loop.checkpoint_due(step):
                loop.save(step, **trainer.state_dict())
        if loop.saved_step is None:  # a training of no steps leaves its first weights
            loop.save(trainer.step, **trainer.state_dict())
    validations = [line["val"] for line in metrics.read(run.path / "metrics.jsonl") if "val" in line]
    return loop.result(trainer.step) | {"perplexity": validations[-1] if validations else None}
