"""What happens without some frequencies (arXiv 2410.06205, sections 5 and 6): in any head or everywhere, to head scores and to perplexity.

remove    the pairs add nothing to logits: their channels of the query are zero
still     the pairs stop turning and go on comparing contents, as p-RoPE has it: queries and keys are turned back by their positions
"""

import contextlib
import math
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from outrange.attention.rope.layout import LayerLayout, Layout
from outrange.attention.tap import AttentionInputs, Watch, tapped
from outrange.core.errors import BadInput, brief
from outrange.lm.evaluate import forward

Kind = Literal["remove", "still"]
Head = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Ablation:
    """Frequencies taken away."""

    kind: Kind = "still"
    pairs: str = "all"
    """"lowest:8", "highest:25%", "quarter:1" (of four, the first is the fastest), "22-25", "3,7", "all"; counted from the fastest, 0"""
    heads: Collection[Head] | None = None
    """(layer, head), or none: everywhere, which is what ``still`` needs: it changes keys, and several heads may share them"""

    def __post_init__(self) -> None:
        if self.kind == "still" and self.heads is not None:
            raise BadInput(
                "heads: 'still' changes keys, which several heads may share, so it works everywhere only; in single heads take 'remove'"
            )

    def chosen(self, layout: LayerLayout) -> Tensor:
        """Indices of the layer's pairs."""
        return torch.tensor(choose(self.pairs, layout.turning_count, len(layout.pairs)), dtype=torch.long)


def choose(pairs: str, count: int, total: int | None = None) -> list[int]:
    """The pairs that a text names, of ``count`` that turn; "all", and numbers, also reach those that do not, ``total`` with them.

    Raises:
        BadInput: it names none, or one that is not there.
    """
    found: list[int] = []
    total = count if total is None else total
    for part in pairs.replace(" ", "").split(","):
        named = re.fullmatch(r"(lowest|highest|quarter):([0-9]{1,5})(%?)", part)
        numbers = re.fullmatch(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", part)
        if part == "all":
            chosen = range(total)
        elif named and named[1] == "quarter" and 1 <= int(named[2]) <= 4 and not named[3]:
            chosen = range((int(named[2]) - 1) * count // 4, int(named[2]) * count // 4)
        elif named and named[1] != "quarter" and int(named[2]) <= (100 if named[3] else count):
            some = int(named[2]) * count // 100 if named[3] else int(named[2])
            chosen = range(some) if named[1] == "highest" else range(count - some, count)
        elif numbers and int(numbers[1]) <= int(numbers[2] or numbers[1]) < total:
            chosen = range(int(numbers[1]), int(numbers[2] or numbers[1]) + 1)
        else:
            raise BadInput(
                f"pairs: {brief(part)} is not allowed; write lowest:N, highest:N (or N%), quarter:1..4, all, or numbers in 0..{total - 1} such as 22-25"
            )
        found += [m for m in chosen if m not in found]
    return sorted(found)


def head(text: str, layout: Layout, heads: int) -> Head:
    """A head as one writes it: L16H0."""
    named = re.fullmatch(r"[Ll]([0-9]{1,4})[Hh]([0-9]{1,4})", text)
    if not named or int(named[1]) not in layout.layers or int(named[2]) >= heads:
        raise BadInput(
            f"head: {brief(text)} is not allowed; write L16H0, with a layer in 0..{max(layout.layers)} and a head in 0..{heads - 1}"
        )
    return int(named[1]), int(named[2])


@contextlib.contextmanager
def ablated(model: Any, layout: Layout, ablation: Ablation, watch: Watch | None = None) -> Iterator[None]:
    """The model with frequencies taken away while the block runs; texts must begin at position 0 and have no padding."""

    def edit(seen: AttentionInputs) -> tuple[Tensor, Tensor]:
        return edited(seen, layout.layers[seen.layer], ablation)

    with tapped(model, watch, edit):
        yield


def edited(seen: AttentionInputs, layout: LayerLayout, ablation: Ablation) -> tuple[Tensor, Tensor]:
    """Query and key of a layer without the ablation's frequencies."""
    heads = None if ablation.heads is None else [h for layer, h in ablation.heads if layer == seen.layer]
    if heads == []:
        return seen.query, seen.key
    planes = torch.tensor(layout.pairs, device=seen.query.device)[ablation.chosen(layout)]
    which = slice(None) if heads is None else heads
    if ablation.kind == "remove":
        query = seen.query.clone()
        part = query[:, which]
        part[..., planes.flatten()] = 0
        query[:, which] = part
        return query, seen.key
    rates = torch.tensor(layout.frequencies, dtype=torch.float64, device=seen.query.device)[ablation.chosen(layout)]
    return turned_back(seen.query, planes, rates), turned_back(seen.key, planes, rates)


def turned_back(vectors: Tensor, planes: Tensor, rates: Tensor) -> Tensor:
    """Vectors (B, H, N, d) with some planes turned back by their positions 0 … N - 1."""
    angles = torch.arange(vectors.shape[2], dtype=torch.float64, device=vectors.device)[:, None] * rates
    cos, sin = angles.cos().to(vectors.dtype), angles.sin().to(vectors.dtype)
    a, b = vectors[..., planes[:, 0]], vectors[..., planes[:, 1]]
    result = vectors.clone()
    result[..., planes[:, 0]], result[..., planes[:, 1]] = a * cos + b * sin, b * cos - a * sin
    return result


@torch.no_grad()
def perplexity(model: Any, windows: Sequence[Tensor]) -> float:
    """exp of the mean negative log-likelihood of every token but the first of each window (1, N)."""
    losses = torch.cat([forward(model, ids.to(model.device), "float32").flatten().double() for ids in windows])
    return math.exp(float(losses.mean()))
