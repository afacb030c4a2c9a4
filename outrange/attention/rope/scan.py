"""A scan: everything that a page shows of how one model uses its rotary frequencies on one text (arXiv 2410.06205,
sections 4 to 6).

    scan_model   usage, head scores, attention patterns and, if asked for, ablations: one ``ScanSide``
    scan_story   one or two sides as the story of a page, which ``outrange.report.scan.page`` draws

The text is read in windows, each behind a first token.
"""

import base64
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from outrange.attention.rope.ablate import Ablation, AblationKind, ablated, choose_pairs, edit_inputs, perplexity
from outrange.attention.rope.heads import SCORES, HeadScores, head_kind
from outrange.attention.rope.layout import Layout, read_layout
from outrange.attention.rope.usage import LayerUsage, Usage
from outrange.attention.tap import AttentionInputs, Watch, tapped
from outrange.attention.texts import LEAST_TOKENS, split_windows
from outrange.core.checks import whole
from outrange.core.errors import BadInput
from outrange.lm import opening
from outrange.lm.opening import OpenedModel
from outrange.report.scan_story import (
    AblationCurve,
    AttentionPatterns,
    HeadAblation,
    HeadSummary,
    LayoutGroup,
    LogitParts,
    PairNorms,
    ScanSide,
    ScanStory,
    SemanticChannel,
)

DEFAULT_WINDOW = 512
"""tokens that are read at a time unless asked otherwise"""

_ABLATION_TOKENS = 256  # of the text that ablations read, from its beginning
_PATTERN_TOKENS = 48
_MOST_CHANNELS = 50
_MOST_ABLATED_HEADS = 6
_SLOW = 1e-3  # radians a token: less than a radian over 1,000 tokens
_CURVES: tuple[tuple[str, AblationKind, str, tuple[int, ...]], ...] = (
    # name, what is done, from which end, percent of the frequencies: as far as both ends can be told from each other
    ("slowest stop turning", "still", "lowest", (0, 12, 25, 50, 75, 100)),
    ("fastest stop turning", "still", "highest", (0, 12, 25)),
    ("slowest removed", "remove", "lowest", (0, 12, 25)),
)
_CURVE_PASSES = sum(len(percentages) - 1 for *_, percentages in _CURVES)

ReportProgress = Callable[[int, int], None]
"""receives how many forward passes are done, of how many"""


def scan_model(
    opened: OpenedModel,
    text: str,
    text_name: str,
    *,
    window: int | None = None,
    limit: int | None = None,
    experiments: bool = True,
    report_progress: ReportProgress = lambda done, total: None,
) -> ScanSide:
    """Scan a model on a text.

    Args:
        opened: the model.
        text: what it reads.
        text_name: of the text, to show.
        window: tokens at a time; None: 512, or as many as the model takes.
        limit: of tokens in all; None: the whole text.
        experiments: take frequencies away as well, which takes a dozen more passes over 256 tokens.
        report_progress: called after each pass with passes done, and passes in all.

    Raises:
        BadInput: the model cannot be watched, or the text is too short.
    """
    model, longest = opened.model, opening.context_length(opened.model)
    window = min(DEFAULT_WINDOW, longest) if window is None else whole("window", window, LEAST_TOKENS, longest)
    layout = read_layout(model)
    windows = split_windows(opening.encode_text(opened.tokenizer, text, limit), window, opened.tokenizer)
    passes = len(windows) + (_CURVE_PASSES if experiments and layout.rotates else 0)

    # 1. One pass over the text, in which usage and head scores are added up.
    usage, scores = Usage(layout), HeadScores()
    watch = _both(usage, scores) if layout.rotates else scores
    with torch.no_grad():
        for number, token_ids in enumerate(windows, start=1):
            with tapped(model, watch):
                _forward(model, token_ids)
            report_progress(number, passes)
        patterns = _attention_patterns(opened, windows[0][:, :_PATTERN_TOKENS])
    if scores.layers.keys() != layout.layers.keys():
        raise BadInput(
            f"model: {len(scores.layers)} layers were seen to attend, and its layout has {len(layout.layers)}; "
            "models of this kind cannot be scanned"
        )
    heads = _summarise_heads(usage, scores)
    config = model.config.get_text_config(decoder=True)
    query_heads = int(config.num_attention_heads)
    kv_heads = int(getattr(config, "num_key_value_heads", None) or query_heads)
    side = ScanSide(
        model=opened.name,
        text=text_name,
        tokens=sum(token_ids.shape[1] for token_ids in windows),
        layouts=describe_layout(layout),
        heads_per_layer=query_heads,
        kv_heads=kv_heads,
        usage=_pair_norms(usage) if layout.rotates else _zero_norms(layout, query_heads, kv_heads),
        heads=heads,
        patterns=patterns,
    )
    if not layout.rotates:
        return side

    # 2. What a frequency does to logits.
    side = replace(side, logits=_logit_parts(usage), channels=_semantic_channels(layout, usage))
    if not experiments:
        return side

    # 3. What happens without some frequencies, in single heads and everywhere, on the beginning of the text.
    beginning = windows[0][:, :_ABLATION_TOKENS]
    head_ablations = _ablate_heads(model, layout, heads, beginning)
    curves = _ablation_curves(model, layout, beginning, lambda done: report_progress(len(windows) + done, passes))
    return replace(side, head_ablations=head_ablations, ablations=curves)


def scan_story(sides: Sequence[ScanSide], command: str = "") -> ScanStory:
    """One or two sides as the story of a page.

    Args:
        sides: what ``scan_model`` returned, one or two.
        command: that makes the page again; empty: not shown.
    """
    models = list(dict.fromkeys(side.model for side in sides))
    return ScanStory(
        title=" and ".join(models),
        subtitle="how it uses rotary position frequencies",
        sides=sides,
        command=command,
        notes=[
            "Means over keys take all earlier tokens but the first, also those that a sliding window hides.",
            *opening.model_notes(models),
        ],
    )


def describe_layout(layout: Layout) -> list[LayoutGroup]:
    """A layout's groups of like layers, as a page or a table shows them."""
    return [
        LayoutGroup(
            layers=indices,
            scheme=layer.scheme,
            head_dim=layer.head_dim,
            theta=layer.theta,
            pairing=layer.pairing,
            frequencies=list(layer.frequencies),
            note=layer.note,
        )
        for indices, layer in layout.groups()
    ]


# ---------- what is measured ----------


def _forward(model: Any, token_ids: Tensor) -> None:
    """One pass whose outputs nobody needs: logits of the last token alone, no cache."""
    model(token_ids.to(model.device), use_cache=False, logits_to_keep=1)


def _both(*watchers: Watch) -> Watch:
    def watch(inputs: AttentionInputs) -> None:
        for watcher in watchers:
            watcher(inputs)

    return watch


def _pair_norms(usage: Usage) -> PairNorms:
    layers = usage.layers.values()
    return PairNorms(
        q=[layer.q.tolist() for layer in layers],
        k=[layer.k.tolist() for layer in layers],
        v=[layer.v.tolist() for layer in layers],
    )


def _zero_norms(layout: Layout, query_heads: int, kv_heads: int) -> PairNorms:
    """Usage where nothing turns, so that there are no frequencies to tell apart."""

    def zeros(heads: int) -> list[list[list[float]]]:
        return [[[0.0] * len(layer.pairs)] * heads for layer in layout.layers.values()]

    return PairNorms(q=zeros(query_heads), k=zeros(kv_heads), v=zeros(kv_heads))


def _logit_parts(usage: Usage) -> LogitParts:
    layers = usage.layers.values()
    return LogitParts(
        spread=[layer.spread.tolist() for layer in layers],
        diagonal=[layer.diagonal.tolist() for layer in layers],
        previous=[layer.previous.tolist() for layer in layers],
        first=[layer.first.tolist() for layer in layers],
    )


def _top_quarter(usage: LayerUsage, head: int) -> float:
    """Share of a head's summed |q||k| that lies in the fastest quarter of the pairs."""
    group_size = len(usage.q) // len(usage.k)
    product = usage.q[head] * usage.k[head // group_size]
    return float(product[: len(product) // 4].sum() / product.sum())


def _summarise_heads(usage: Usage, scores: HeadScores) -> list[HeadSummary]:
    """Every head's scores, how fast its frequencies are, and what kind of head that makes it."""
    summaries, layer_usage = [], usage.layers
    for layer, score_tensors in scores.layers.items():
        for head in range(len(score_tensors["diagonal"])):
            values = {name: float(score_tensors[name][head]) for name in SCORES}
            top_quarter = _top_quarter(layer_usage[layer], head) if layer in layer_usage else 0.0
            summaries.append(
                HeadSummary(layer=layer, head=head, **values, top_quarter=top_quarter, kind=head_kind(values))
            )
    return summaries


def _semantic_channels(layout: Layout, usage: Usage) -> list[SemanticChannel]:
    """Slow channel pairs that tell contents apart, by how far they spread keys or lift the first one, strongest
    first.
    """
    channels = []
    for layer, layer_usage in usage.layers.items():
        for pair, frequency in enumerate(layout.layers[layer].frequencies):
            if frequency >= _SLOW:
                continue
            for head in range(len(layer_usage.q)):
                channels.append(
                    SemanticChannel(
                        layer=layer,
                        head=head,
                        pair=pair,
                        frequency=frequency,
                        period=2 * np.pi / frequency if frequency else None,
                        first=float(layer_usage.first[head, pair]),
                        spread=float(layer_usage.spread[head, pair]),
                    )
                )
    return sorted(channels, key=lambda channel: -max(channel.spread, abs(channel.first)))[:_MOST_CHANNELS]


def _attention_patterns(opened: OpenedModel, token_ids: Tensor) -> AttentionPatterns:
    """Attention of every head on the first tokens, one byte a weight, lower triangles only."""
    triangles: dict[int, np.ndarray] = {}
    rows, columns = np.tril_indices(token_ids.shape[1])

    def watch(inputs: AttentionInputs) -> None:
        weights = inputs.weights(slice(None))[0].float().cpu().numpy()
        triangles[inputs.layer] = np.rint(255 * weights[:, rows, columns]).astype(np.uint8)

    with tapped(opened.model, watch):
        _forward(opened.model, token_ids)
    data = np.stack([triangles[layer] for layer in sorted(triangles)])
    return AttentionPatterns(
        tokens=opening.decode_tokens(opened.tokenizer, token_ids[0].tolist()),
        layers=len(data),
        heads=data.shape[1],
        data=base64.b64encode(data.tobytes()).decode("ascii"),
    )


# ---------- what is taken away ----------


def _ablate_heads(model: Any, layout: Layout, heads: Sequence[HeadSummary], token_ids: Tensor) -> list[HeadAblation]:
    """The clearest positional heads without a quarter of their frequencies: the score that makes them so."""
    positional = [head for head in heads if head.kind in ("diagonal", "previous token")]
    clearest = sorted(positional, key=lambda head: -max(head.diagonal, head.previous))[:_MOST_ABLATED_HEADS]
    ablations: dict[tuple[int, int], HeadAblation] = {}

    def watch(inputs: AttentionInputs) -> None:
        for head in clearest:
            if head.layer != inputs.layer:
                continue
            score = "diagonal" if head.kind == "diagonal" else "previous"
            quarters = []
            for quarter in range(1, 5):
                ablation = Ablation(kind="remove", pairs=f"quarter:{quarter}", heads=[(head.layer, head.head)])
                query, key = edit_inputs(inputs, layout.layers[inputs.layer], ablation)
                quarters.append(_score(replace(inputs, query=query, key=key), score, head.head))
            ablations[head.layer, head.head] = HeadAblation(
                layer=head.layer,
                head=head.head,
                score=score,
                untouched=_score(inputs, score, head.head),
                quarters=quarters,
            )

    if clearest:
        with torch.no_grad(), tapped(model, watch):
            _forward(model, token_ids)
    return [ablations[head.layer, head.head] for head in clearest]


def _score(inputs: AttentionInputs, score: str, head: int) -> float:
    """One score of one head on one text."""
    scores = HeadScores()
    scores(inputs)
    return float(scores.layers[inputs.layer][score][head])


def _ablation_curves(
    model: Any, layout: Layout, token_ids: Tensor, report_passes: Callable[[int], None]
) -> list[AblationCurve]:
    """Perplexity without the slowest or the fastest frequencies."""
    turning_count = max(layer.turning_count for layer in layout.layers.values())
    untouched = perplexity(model, [token_ids])
    curves, done = [], 0
    for name, kind, end, percentages in _CURVES:
        values = [untouched]
        for percentage in percentages[1:]:
            with ablated(model, layout, Ablation(kind=kind, pairs=f"{end}:{percentage}%")):
                values.append(perplexity(model, [token_ids]))
            done += 1
            report_passes(done)
        counts = [len(choose_pairs(f"{end}:{percentage}%", turning_count)) for percentage in percentages]
        curves.append(AblationCurve(name=name, x=counts, perplexity=values))
    return curves
