"""Perplexity on held-out text, at the training's length and beyond it (arXiv 2410.06205, table 2, reports it at the training's length only).

Perplexity is exp of the mean negative log-likelihood a token. Validation text is cut into windows side by side; each predicts as many tokens as it is long, the
first from nothing but the token before. At every length the same tokens are predicted, so what differs is how much a prediction may look back on, and
how far its positions go. The last quarter of the positions is told apart: there every prediction has looked back on at least three quarters of a window.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel

from outrange.core.errors import BadInput

MULTIPLES = (1, 2, 4, 8)
TOKENS = 32_768
_AT_ONCE = 2048  # tokens of a forward pass


def perplexity(
    model: PreTrainedModel, tokens: np.ndarray, length: int, limit: int | None = None, precision: str = "float32"
) -> tuple[float, float]:
    """Perplexity over whole windows and over the last quarter of their positions.

    Args:
        tokens: (tokens,), the stream.
        length: tokens that a window predicts.
        limit: how many tokens to predict at most; none: all that fill windows.

    Raises:
        BadInput: there are too few tokens for one window.
    """
    count = min(len(tokens) - 1, limit if limit is not None else len(tokens)) // length
    if count < 1:
        raise BadInput(
            f"length: {length} is not allowed; the held-out text has {len(tokens):,} tokens, and a window needs {length + 1:,}; give more text"
        )
    losses = np.concatenate(
        [
            _losses(model, tokens, length, start, end, precision)
            for start, end in _groups(count, max(1, _AT_ONCE // length))
        ]
    )
    return _exp(losses.mean()), _exp(losses[:, 3 * length // 4 :].mean())


def beyond(
    model: PreTrainedModel,
    tokens: np.ndarray,
    length: int,
    multiples: Sequence[int] = MULTIPLES,
    limit: int = TOKENS,
    precision: str = "float32",
    progress: Callable[[int, int], None] | None = None,
) -> dict[int, dict[str, Any]]:
    """Perplexity at multiples of a length, over the same tokens at each: by multiple ``length``, ``perplexity``, ``last_quarter`` and ``tokens``."""
    longest = length * math.lcm(*multiples)  # so that every length fills the same stretch
    used = min(len(tokens) - 1, max(limit, longest)) // longest * longest
    if used < 1:
        raise BadInput(
            f"length: {longest} is not allowed; the held-out text has {len(tokens):,} tokens, and a window needs {longest + 1:,}; "
            "give more text, or smaller multiples"
        )
    found = {}
    for k, multiple in enumerate(multiples):
        whole, last = perplexity(model, tokens, length * multiple, used, precision)
        found[multiple] = {"length": length * multiple, "perplexity": whole, "last_quarter": last, "tokens": used}
        if progress:
            progress(k + 1, len(multiples))
    return found


def forward(model: PreTrainedModel, windows: Tensor, precision: str) -> Tensor:
    """The loss of every predicted token, (windows, length), of windows (windows, length + 1)."""
    with torch.autocast(windows.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
        logits = model(input_ids=windows[:, :-1], use_cache=False).logits
    return cross_entropy(logits.float().flatten(0, 1), windows[:, 1:].flatten(), reduction="none").view(
        len(windows), -1
    )


def _losses(
    model: PreTrainedModel, tokens: np.ndarray, length: int, start: int, end: int, precision: str
) -> np.ndarray:
    windows = np.stack([tokens[k * length : (k + 1) * length + 1] for k in range(start, end)]).astype(np.int64)
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            return forward(model, torch.from_numpy(windows).to(model.device), precision).double().cpu().numpy()
    finally:
        model.train(training)


def _groups(count: int, size: int) -> list[tuple[int, int]]:
    return [(start, min(start + size, count)) for start in range(0, count, size)]


def _exp(loss: float) -> float:
    return math.exp(loss) if loss < 700 else math.inf
