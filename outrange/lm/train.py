"""Training a small decoder language model (arXiv 2410.06205, section 5): read ``Trainer.advance`` first.

A run is a directory (core/run.py). The windows of a step depend on (seed, step) and the text alone, the first weights on the seed and the shape alone; so
models that differ in their rotary scheme begin equal and see the same, and what a checkpoint holds, weights and moments, is all that the next step reads.

AdamW (0.9, 0.95) with decay on matrices only, a learning rate that rises and then falls on a cosine to a tenth, gradients cut to a norm.
"""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from outrange.core import metrics
from outrange.core.errors import BadInput
from outrange.core.run import Run, Stopping, check_finite
from outrange.core.seeding import SeedTree
from outrange.lm.config import TrainConfig
from outrange.lm.evaluate import forward, perplexity
from outrange.lm.model import build, hf_config, put, weights
from outrange.lm.tokenizer import Corpus, Progress, end_of_text, prepare, save_tokenizer

Told = Callable[[dict[str, Any]], None]


def draw(tokens: np.ndarray, batch: int, length: int, seeds: SeedTree, step: int) -> Tensor:
    """The windows of a step, (batch, length + 1): stretches that begin anywhere in the stream, each place as likely as another."""
    starts = seeds.child("windows", step).numpy().integers(len(tokens) - length, size=batch)
    return torch.from_numpy(np.stack([tokens[k : k + length + 1] for k in starts]).astype(np.int64))


def rate(config: TrainConfig, step: int) -> float:
    """The learning rate of a step, counted from 0."""
    if step < config.warmup:
        return config.learning_rate * (step + 1) / config.warmup
    share = (step - config.warmup) / max(config.steps - config.warmup, 1)
    return config.learning_rate * (0.1 + 0.9 * (1 + math.cos(math.pi * share)) / 2)


class Trainer:
    """The state of a training and how it moves."""

    def __init__(self, config: TrainConfig, corpus: Corpus) -> None:
        for name, tokens in (("training", corpus.training), ("held-out", corpus.validation)):
            if len(tokens) < config.length + 1:
                raise BadInput(
                    f"text: its {name} part has {len(tokens):,} tokens, and one window of train.length needs {config.length + 1:,}; "
                    "give more text or a shorter length"
                )
        if config.device == "cuda" and not torch.cuda.is_available():
            raise BadInput("train.device: 'cuda' is not allowed; there is no GPU here; take 'cpu'")
        self.config, self.corpus, self.step = config, corpus, 0
        self.device = torch.device("cuda" if torch.cuda.is_available() and config.device != "cpu" else "cpu")
        torch.set_num_threads(config.threads)
        self.seeds = SeedTree(config.seed)
        shape = hf_config(config.model, corpus.vocab, config.length, end_of_text(corpus.tokenizer))
        self.model = build(shape, self.seeds.child("weights").integer(63), self.device)
        self.model.train()
        parameters = list(self.model.parameters())
        groups = [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.weight_decay},
            {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.95), eps=1e-8, foreach=True)
        for p in parameters:
            self.optimizer.state[p] = {
                "step": torch.tensor(0.0),
                "exp_avg": torch.zeros_like(p),
                "exp_avg_sq": torch.zeros_like(p),
            }

    def advance(self) -> dict[str, float]:
        """One update; returns the loss in nats a token, the gradient's norm and the learning rate."""
        config = self.config
        windows = draw(self.corpus.training, config.batch, config.length, self.seeds, self.step)
        self.optimizer.zero_grad(set_to_none=False)
        loss = 0.0
        for part in windows.split(config.micro or config.batch):
            share = forward(self.model, part.to(self.device), config.precision).sum() / (config.batch * config.length)
            share.backward()
            loss += share.item()
        check_finite(loss, "loss", self.step)
        norm = torch.nn.utils.get_total_norm([p.grad for p in self.model.parameters() if p.grad is not None]).item()
        check_finite(norm, "the gradient's norm", self.step)
        if 0 < config.clip < norm:
            for p in self.model.parameters():
                if p.grad is not None:
                    p.grad.mul_(config.clip / norm)
        now = rate(config, self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = now
        self.optimizer.step()
        self.step += 1
        return {"loss": loss, "gradient_norm": norm, "learning_rate": now}

    def validate(self) -> float:
        """Perplexity on held-out text, in windows of the training's length; the same windows each time."""
        limit = max(self.config.evaluate_tokens, self.config.length)
        return perplexity(self.model, self.corpus.validation, self.config.length, limit, self.config.precision)[0]

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """What a checkpoint holds of tensors."""
        moments = {
            f"{name}.{kind}": self.optimizer.state[p][kind].to("cpu", copy=True)
            for name, p in self.model.named_parameters()
            for kind in ("exp_avg", "exp_avg_sq")
        }
        return {"model": weights(self.model), "optimizer": moments}

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds besides tensors."""
        return {"step": self.step, "text": self.corpus.digest}

    def restore(self, tensors: dict[str, dict[str, Tensor]], state: dict[str, Any]) -> None:
        if state["text"] != self.corpus.digest:
            raise BadInput(
                "text: is not what the run was begun with (a file's content, or the tokenizer, has changed); put it back, or begin a new run"
            )
        put(self.model, tensors["model"])
        self.step = state["step"]
        for name, p in self.model.named_parameters():
            held = self.optimizer.state[p]
            held["step"].fill_(self.step)
            for kind in ("exp_avg", "exp_avg_sq"):
                held[kind].copy_(tensors["optimizer"][f"{name}.{kind}"])


def train(
    config: TrainConfig,
    path: Path,
    tell: Told | None = None,
    progress: Progress | None = None,
    corpus: Corpus | None = None,
) -> dict[str, Any]:
    """Train, or go on with a training that was stopped.

    Args:
        config: what to train on what, and how.
        path: the run's directory.
        tell: called with what there is to show: step, steps, loss, seconds, and val after a validation.
        progress: called while the text is turned into tokens.
        corpus: the tokens, if they are at hand.

    Returns:
        what came of it: steps, the last validation perplexity, seconds, and whether it was stopped before the end.

    Raises:
        BadInput: the text is of no use, the directory holds something else, or another process writes to it.
        NonFinite: a loss or gradient is not finite; nothing was updated.
    """
    trainer = Trainer(config, corpus or prepare(config, progress))
    with Run.create(path, "lm", config) as run:
        save_tokenizer(trainer.corpus.tokenizer, path / "tokenizer")
        return _loop(trainer, run, tell)


def resume(path: Path, tell: Told | None = None) -> dict[str, Any]:
    """Go on with a run that was stopped."""
    return train(Run.configuration(path, TrainConfig), path, tell)


def _loop(trainer: Trainer, run: Run, tell: Told | None) -> dict[str, Any]:
    config = trainer.config
    found = run.load()
    if found:
        trainer.restore(found.tensors, found.state)
    before = float(lines[-1]["seconds"]) if (lines := metrics.read(run.path / "timing.jsonl")) else 0.0
    begun, start = time.perf_counter(), trainer.step
    stopped = False
    with Stopping() as stopping:
        while trainer.step < config.steps and not stopped:
            values = trainer.advance()
            done = trainer.step
            line: dict[str, Any] = dict(values) if done % config.log_every == 0 or done == config.steps else {}
            if done == config.steps or (config.evaluate_every and done % config.evaluate_every == 0):
                line["val"] = trainer.validate()
            seconds = time.perf_counter() - begun
            if line:
                speed = (done - start) / seconds
                run.metrics.write(step=done, **line)
                pace = {
                    "steps_per_second": round(speed, 3),
                    "tokens_per_second": round(speed * config.batch * config.length),
                }
                run.timing.write(step=done, seconds=round(before + seconds, 3), **pace)
            if tell:
                tell({"step": done, "steps": config.steps, "loss": values["loss"], "seconds": seconds} | line)
            stopped = stopping.requested
            if stopped or done % config.checkpoint_every == 0 or done == config.steps:
                run.save(done, trainer.tensors(), trainer.state())
        if not trainer.step:  # a training of no steps leaves its first weights
            run.save(0, trainer.tensors(), trainer.state())
    held = [line["val"] for line in metrics.read(run.path / "metrics.jsonl") if "val" in line]
    return {
        "steps": trainer.step,
        "perplexity": held[-1] if held else None,
        "seconds": before + time.perf_counter() - begun,
        "new_steps": trainer.step - start,
        "stopped": trainer.step < config.steps,
    }
