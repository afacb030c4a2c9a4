"""Perplexity on held-out text, at the training's length and beyond it.

Table 2 of arXiv 2410.06205 reports it at the training's length only. Perplexity is exp of the mean negative
log-likelihood of a token. Validation text is cut into windows side by side; each predicts as many tokens as it is
long, the first from nothing but the token before. At every length the same tokens are predicted, so what differs is
how much a prediction may look back on, and how far its positions go. The last quarter of the positions is reported
apart: there every prediction has looked back on at least three quarters of a window.
"""

import math
from collections.abc import Callable, Sequence
from typing import TypedDict

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel

from outrange.core.errors import BadInput

MULTIPLES = (1, 2, 4, 8)
TOKENS = 32_768
_TOKENS_PER_PASS = 2048
_LARGEST_EXPONENT = 700  # exp of more overflows a double


class LengthPerplexity(TypedDict):
    """Perplexity in windows of one length."""

    length: int
    perplexity: float
    last_quarter: float
    """over the last quarter of a window's positions alone"""
    tokens: int
    """how many were predicted"""


def perplexity(
    model: PreTrainedModel, tokens: np.ndarray, length: int, limit: int | None = None, precision: str = "float32"
) -> tuple[float, float]:
    """Perplexity over whole windows and over the last quarter of their positions.

    Args:
        model: a causal language model.
        tokens: (tokens,), the stream.
        length: tokens that a window predicts.
        limit: how many tokens to predict at most; none: all that fill windows.
        precision: "bfloat16" multiplies in half precision.

    Raises:
        BadInput: there are too few tokens for one window.
    """
    window_count = min(len(tokens) - 1, limit if limit is not None else len(tokens)) // length
    if window_count < 1:
        raise BadInput(
            f"length: {length} is not allowed; the held-out text has {len(tokens):,} tokens, and a window needs "
            f"{length + 1:,}; give more text"
        )
    per_pass = max(1, _TOKENS_PER_PASS // length)
    passes = [
        _window_losses(model, tokens, length, range(first, min(first + per_pass, window_count)), precision)
        for first in range(0, window_count, per_pass)
    ]
    losses = np.concatenate(passes)  # (windows, length), in nats
    return _exp(losses.mean()), _exp(losses[:, 3 * length // 4 :].mean())


def perplexity_by_length(
    model: PreTrainedModel,
    tokens: np.ndarray,
    length: int,
    multiples: Sequence[int] = MULTIPLES,
    limit: int = TOKENS,
    precision: str = "float32",
    report_progress: Callable[[int, int], None] | None = None,
) -> dict[int, LengthPerplexity]:
    """Perplexity at multiples of a length, over the same tokens at each; by multiple.

    Args:
        model: a causal language model.
        tokens: (tokens,), the stream.
        length: the training's.
        multiples: of it, at which to evaluate.
        limit: how many tokens to predict at most; at least one window of the longest length is.
        precision: "bfloat16" multiplies in half precision.
        report_progress: called with how many lengths are done, and of how many.

    Raises:
        BadInput: there are too few tokens for a window of the longest length.
    """
    longest = length * math.lcm(*multiples)  # so that windows of every length fill the same stretch
    used = min(len(tokens) - 1, max(limit, longest)) // longest * longest
    if used < 1:
        raise BadInput(
            f"length: {longest} is not allowed; the held-out text has {len(tokens):,} tokens, and a window needs "
            f"{longest + 1:,}; give more text, or smaller multiples"
        )
    results: dict[int, LengthPerplexity] = {}
    for index, multiple in enumerate(multiples):
        all_positions, last_quarter = perplexity(model, tokens, length * multiple, used, precision)
        results[multiple] = {
            "length": length * multiple,
            "perplexity": all_positions,
            "last_quarter": last_quarter,
            "tokens": used,
        }
        if report_progress:
            report_progress(index + 1, len(multiples))
    return results


def token_losses(model: PreTrainedModel, windows: Tensor, precision: str) -> Tensor:
    """The loss in nats of every predicted token, (windows, length), of windows (windows, length + 1)."""
    with torch.autocast(windows.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
        logits = model(input_ids=windows[:, :-1], use_cache=False).logits
    # The loss itself is always computed in float32: sums over a vocabulary lose too much in bfloat16.
    losses = cross_entropy(logits.float().flatten(0, 1), windows[:, 1:].flatten(), reduction="none")
    return losses.view(len(windows), -1)


def _window_losses(
    model: PreTrainedModel, tokens: np.ndarray, length: int, indices: range, precision: str
) -> np.ndarray:
    """Losses (windows, length) of some of the windows side by side; the model's mode is put back afterwards."""
    windows = np.stack([tokens[k * length : (k + 1) * length + 1] for k in indices]).astype(np.int64)
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            losses = token_losses(model, torch.from_numpy(windows).to(model.device), precision)
            return losses.double().cpu().numpy()
    finally:
        model.train(was_training)


def _exp(loss: float) -> float:
    return math.exp(loss) if loss < _LARGEST_EXPONENT else math.inf
