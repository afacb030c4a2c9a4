"""What happens without some frequencies (arXiv 2410.06205, sections 5 and 6): in any head or everywhere, to head
scores and to perplexity.

    remove    the pairs add nothing to logits: their channels of the query are zero
    still     the pairs stop turning and go on comparing contents, as p-RoPE has it: queries and keys are turned back by
              their positions

``ablated`` changes a model for the length of a block; ``compare_ablations`` measures several ablations side by side.
"""

import contextlib
import math
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from outrange.attention.rope.heads import SCORES, HeadScores
from outrange.attention.rope.layout import LayerLayout, Layout, read_layout
from outrange.attention.tap import AttentionInputs, Watch, tapped
from outrange.attention.texts import split_windows
from outrange.core.errors import BadInput, brief
from outrange.lm import opening
from outrange.lm.evaluation import token_losses
from outrange.lm.opening import OpenedModel

AblationKind = Literal["remove", "still"]
Head = tuple[int, int]
"""layer, head"""


@dataclass(frozen=True, kw_only=True)
class Ablation:
    """Frequencies taken away."""

    kind: AblationKind = "still"
    pairs: str = "all"
    """"lowest:8", "highest:25%", "quarter:1" (of four, the first is the fastest), "22-25", "3,7", "all"; counted from
    the fastest, 0"""
    heads: Collection[Head] | None = None
    """which heads; None: all, which is what ``still`` needs: it changes keys, and several heads may share them"""

    def __post_init__(self) -> None:
        if self.kind == "still" and self.heads is not None:
            raise BadInput(
                "heads: 'still' changes keys, which several heads may share, so it works everywhere only; "
                "in single heads take 'remove'"
            )

    def pair_indices(self, layout: LayerLayout) -> Tensor:
        """Indices of the layer's pairs that are taken away, (count,).

        Raises:
            BadInput: ``pairs`` names one that is not there.
        """
        return torch.tensor(choose_pairs(self.pairs, layout.turning_count, len(layout.pairs)), dtype=torch.long)


def choose_pairs(text: str, turning_count: int, pair_count: int | None = None) -> list[int]:
    """The channel pairs that a text such as "lowest:25%,3" names, in rising order; 0 is the fastest.

    Args:
        text: as in ``Ablation.pairs``; several parts are joined by commas.
        turning_count: pairs that turn; shares and ends are of these.
        pair_count: all pairs, which "all" and numbers reach; None: the same number.

    Raises:
        BadInput: it names none, or one that is not there.
    """
    pair_count = turning_count if pair_count is None else pair_count
    pairs: set[int] = set()
    for part in text.replace(" ", "").split(","):
        pairs.update(_pairs_of_part(part, turning_count, pair_count))
    return sorted(pairs)


def _pairs_of_part(part: str, turning_count: int, pair_count: int) -> range:
    """The pairs that one part of a text names."""
    if part == "all":
        return range(pair_count)
    by_end = re.fullmatch(r"(lowest|highest|quarter):([0-9]{1,5})(%?)", part)
    if by_end:
        end, number, percent = by_end[1], int(by_end[2]), bool(by_end[3])
        if end == "quarter":
            if 1 <= number <= 4 and not percent:
                return range((number - 1) * turning_count // 4, number * turning_count // 4)
        elif number <= (100 if percent else turning_count):
            count = number * turning_count // 100 if percent else number
            return range(count) if end == "highest" else range(turning_count - count, turning_count)
    by_number = re.fullmatch(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", part)
    if by_number:
        first, last = int(by_number[1]), int(by_number[2] or by_number[1])
        if first <= last < pair_count:
            return range(first, last + 1)
    raise BadInput(
        f"pairs: {brief(part)} is not allowed; write lowest:N, highest:N (or N%), quarter:1..4, all, "
        f"or numbers in 0..{pair_count - 1} such as 22-25"
    )


def parse_head(text: str, layout: Layout, heads_per_layer: int) -> Head:
    """A head as one writes it, L16H0.

    Raises:
        BadInput: it is not written so, or there is no such head.
    """
    match = re.fullmatch(r"[Ll]([0-9]{1,4})[Hh]([0-9]{1,4})", text)
    if not match or int(match[1]) not in layout.layers or int(match[2]) >= heads_per_layer:
        raise BadInput(
            f"head: {brief(text)} is not allowed; write L16H0, with a layer in 0..{max(layout.layers)} "
            f"and a head in 0..{heads_per_layer - 1}"
        )
    return int(match[1]), int(match[2])


@contextlib.contextmanager
def ablated(model: Any, layout: Layout, ablation: Ablation, watch: Watch | None = None) -> Iterator[None]:
    """The model with frequencies taken away while the block runs; texts must begin at position 0 and have no padding.

    Args:
        model: a transformers decoder.
        layout: of that model, from ``read_layout``.
        ablation: what is taken away.
        watch: is shown what attention then computes with.
    """

    def edit(inputs: AttentionInputs) -> tuple[Tensor, Tensor]:
        return edit_inputs(inputs, layout.layers[inputs.layer], ablation)

    with tapped(model, watch, edit):
        yield


def edit_inputs(inputs: AttentionInputs, layout: LayerLayout, ablation: Ablation) -> tuple[Tensor, Tensor]:
    """Query and key of a layer without the ablation's frequencies; the inputs' own tensors stay as they are."""
    if ablation.heads is None:
        heads: slice | list[int] = slice(None)
    else:
        heads = [head for layer, head in ablation.heads if layer == inputs.layer]
        if not heads:
            return inputs.query, inputs.key
    pair_indices = ablation.pair_indices(layout)
    planes = torch.tensor(layout.pairs, device=inputs.query.device)[pair_indices]
    if ablation.kind == "remove":
        query = inputs.query.clone()
        of_heads = query[:, heads]
        of_heads[..., planes.flatten()] = 0
        query[:, heads] = of_heads  # a list of heads gave a copy
        return query, inputs.key
    all_rates = torch.tensor(layout.frequencies, dtype=torch.float64, device=inputs.query.device)
    rates = all_rates[pair_indices]
    return turn_back(inputs.query, planes, rates), turn_back(inputs.key, planes, rates)


def turn_back(vectors: Tensor, planes: Tensor, rates: Tensor) -> Tensor:
    """Vectors (B, H, N, d) with some planes (count, 2) turned back by their positions 0 … N - 1 times rates (count,)."""
    positions = torch.arange(vectors.shape[2], dtype=torch.float64, device=vectors.device)
    angles = positions[:, None] * rates
    cos, sin = angles.cos().to(vectors.dtype), angles.sin().to(vectors.dtype)
    a, b = vectors[..., planes[:, 0]], vectors[..., planes[:, 1]]
    result = vectors.clone()
    result[..., planes[:, 0]] = a * cos + b * sin
    result[..., planes[:, 1]] = b * cos - a * sin
    return result


@torch.no_grad()
def perplexity(model: Any, windows: Sequence[Tensor]) -> float:
    """exp of the mean negative log-likelihood of every token but the first of each window (1, N)."""
    losses = [token_losses(model, token_ids.to(model.device), "float32").flatten().double() for token_ids in windows]
    return math.exp(float(torch.cat(losses).mean()))


# ---------- several ablations side by side ----------


@dataclass(frozen=True, kw_only=True)
class AblationResult:
    """What one ablation does."""

    pairs: str
    """as in ``Ablation.pairs``; empty: nothing was taken away"""
    perplexity: float
    head_scores: dict[Head, dict[str, float]] = field(default_factory=dict)
    """diagonal, previous and first of the heads that were asked for"""


@dataclass(frozen=True, kw_only=True)
class AblationComparison:
    """Several ablations of one model on one text; the first result is of the untouched model."""

    model: str
    kind: AblationKind
    tokens: int
    """how many were read"""
    results: tuple[AblationResult, ...]


def compare_ablations(
    opened: OpenedModel,
    text: str,
    pairs: Sequence[str],
    kind: AblationKind = "still",
    heads: Sequence[str] = (),
    tokens: int = 512,
    report_progress: Callable[[int, int], None] = lambda done, total: None,
) -> AblationComparison:
    """Perplexity, and the scores of heads, without some frequencies.

    Args:
        opened: the model.
        text: what it reads.
        pairs: which frequencies, one ablation each, as in ``Ablation.pairs``.
        kind: still or remove, as above.
        heads: for "remove", heads such as L16H0, whose scores are measured as well; none: everywhere.
        tokens: of the text, in one window.
        report_progress: called after each pass with passes done, and passes in all.

    Raises:
        BadInput: the model turns nothing by position, or something that is named is not there.
    """
    model = opened.model
    layout = read_layout(model)
    if not layout.rotates:
        raise BadInput(
            f"model: {opened.name!r} turns nothing by position, so there are no frequencies to take away; "
            "`outrange attention layout` says what it has"
        )
    token_ids = opening.encode_text(opened.tokenizer, text, tokens)
    window = split_windows(token_ids, tokens, opened.tokenizer)[0]
    heads_per_layer = model.config.get_text_config(decoder=True).num_attention_heads
    parsed_heads = [parse_head(head, layout, heads_per_layer) for head in heads]
    ablations = [Ablation(kind=kind, pairs=part, heads=parsed_heads or None) for part in pairs]
    for ablation in ablations:  # what is not there is refused before the first pass
        for layer in layout.layers.values():
            ablation.pair_indices(layer)

    nothing = Ablation(kind="remove", pairs="all", heads=())
    results = []
    for ablation in (nothing, *ablations):
        scores = HeadScores()
        with torch.no_grad(), ablated(model, layout, ablation, scores if parsed_heads else None):
            value = perplexity(model, [window])
        head_scores = {}
        for layer, head in parsed_heads:
            head_scores[layer, head] = {name: float(scores.layers[layer][name][head]) for name in SCORES}
        name = "" if ablation is nothing else ablation.pairs
        results.append(AblationResult(pairs=name, perplexity=value, head_scores=head_scores))
        report_progress(len(results), len(ablations) + 1)
    return AblationComparison(model=opened.name, kind=kind, tokens=window.shape[1], results=tuple(results))
