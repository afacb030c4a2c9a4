"""What the page of a scan shows: a language model's use of its rotary frequencies, as frozen dataclasses that check
themselves.

``outrange.attention.rope.scan`` fills them in, ``outrange.report.scan`` makes the page. In shapes, a side has L
layers that attend, each with H query heads and G key heads; a layer has P channel pairs, and P may differ from layer
to layer. Rows of arrays are layers in rising order of the indices that ``layouts`` name; a "layer" elsewhere is such
an index.
"""

import base64
import binascii
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from outrange.core.checks import finite, require, whole, within
from outrange.core.errors import BadInput, unknown

HeadKind = Literal["diagonal", "previous token", "first token", ""]
HEAD_KINDS: tuple[HeadKind, ...] = get_args(HeadKind)
ScoreName = Literal["diagonal", "previous"]
Array = Sequence[Sequence[Sequence[float]]]
"""(L, heads, P): layers, their heads, their channel pairs"""


@dataclass(frozen=True, kw_only=True)
class LayoutGroup:
    """Layers that turn their queries and keys alike."""

    layers: Sequence[int]
    """indices, at least one"""
    scheme: str
    head_dim: int
    theta: float | None
    pairing: str
    frequencies: Sequence[float]
    """(P,) radians a token, fastest first; 0 for a pair that is not rotated"""
    note: str = ""

    def __post_init__(self) -> None:
        _filled("layouts.layers", self.layers)
        for k, layer in enumerate(self.layers):
            whole(f"layouts.layers[{k}]", layer, 0)
        whole("layouts.head_dim", self.head_dim, 1)
        if self.theta is not None:
            within("layouts.theta", self.theta, 0, math.inf, "a finite number of at least 0, or None")
        _filled("layouts.frequencies", self.frequencies)
        for k, frequency in enumerate(self.frequencies):
            _not_negative(f"layouts.frequencies[{k}]", frequency)


@dataclass(frozen=True, kw_only=True)
class PairNorms:
    """Mean 2-norm of every channel pair of queries (L, H, P), keys (L, G, P) and values (L, G, any)."""

    q: Array
    k: Array
    v: Array

    def __post_init__(self) -> None:
        for name in ("q", "k", "v"):
            _check_array(f"usage.{name}", getattr(self, name), signed=False)


@dataclass(frozen=True, kw_only=True)
class LogitParts:
    """What every frequency of every head adds to logits, (L, H, P) each, in logit units.

    ``spread`` is the standard deviation over keys; the others are the logit at the token itself, the previous and the
    first token less the mean over keys.
    """

    spread: Array
    diagonal: Array
    previous: Array
    first: Array

    def __post_init__(self) -> None:
        for name in ("spread", "diagonal", "previous", "first"):
            _check_array(f"logits.{name}", getattr(self, name), signed=name != "spread")


@dataclass(frozen=True, kw_only=True)
class HeadSummary:
    """What a head attends to: mean attention to the token itself, the previous and the first one."""

    layer: int
    head: int
    diagonal: float
    previous: float
    first: float
    top_quarter: float
    """share of |q||k| in the highest quarter of the frequencies"""
    kind: HeadKind

    def __post_init__(self) -> None:
        _check_place("heads", self.layer, self.head)
        for name in ("diagonal", "previous", "first", "top_quarter"):
            _not_negative(f"heads.{name}", getattr(self, name))
        if self.kind not in HEAD_KINDS:
            raise unknown("heads.kind", self.kind, filter(None, HEAD_KINDS), "a kind of head")


@dataclass(frozen=True, kw_only=True)
class SemanticChannel:
    """A slow channel pair of a head that tells contents apart; ``first`` and ``spread`` as in ``LogitParts``."""

    layer: int
    head: int
    pair: int
    frequency: float
    """radians a token"""
    period: float | None
    """tokens that a turn takes; None: it does not turn"""
    first: float
    spread: float

    def __post_init__(self) -> None:
        _check_place("channels", self.layer, self.head)
        whole("channels.pair", self.pair, 0)
        for name in ("frequency", "spread"):
            _not_negative(f"channels.{name}", getattr(self, name))
        finite("channels.first", self.first)


@dataclass(frozen=True, kw_only=True)
class AblationCurve:
    """Perplexity of the whole model as more and more frequencies are taken away."""

    name: str
    x: Sequence[int]
    """how many frequencies"""
    perplexity: Sequence[float]

    def __post_init__(self) -> None:
        _filled("ablations.x", self.x)
        for k, count in enumerate(self.x):
            whole(f"ablations.x[{k}]", count, 0)
        _expect("ablations.perplexity", "numbers", len(self.perplexity), len(self.x))
        for k, perplexity in enumerate(self.perplexity):
            finite(f"ablations.perplexity[{k}]", perplexity, above=0)


@dataclass(frozen=True, kw_only=True)
class HeadAblation:
    """A positional head's score as it is, and with one quarter of its frequencies taken out, the highest first."""

    layer: int
    head: int
    score: ScoreName
    untouched: float
    quarters: Sequence[float]

    def __post_init__(self) -> None:
        _check_place("head_ablations", self.layer, self.head)
        if self.score not in get_args(ScoreName):
            raise unknown("head_ablations.score", self.score, get_args(ScoreName), "a score")
        _not_negative("head_ablations.untouched", self.untouched)
        _expect("head_ablations.quarters", "numbers", len(self.quarters), 4)
        for k, value in enumerate(self.quarters):
            _not_negative(f"head_ablations.quarters[{k}]", value)


@dataclass(frozen=True, kw_only=True)
class AttentionPatterns:
    """Attention of every head on the first tokens."""

    tokens: Sequence[str]
    layers: int
    heads: int
    data: str
    """attention times 255 as base64: for each layer, each head, each query i, keys 0 to i"""

    def __post_init__(self) -> None:
        _filled("patterns.tokens", self.tokens)
        whole("patterns.layers", self.layers, 1)
        whole("patterns.heads", self.heads, 1)
        try:
            byte_count = len(base64.b64decode(self.data, validate=True))
        except (binascii.Error, ValueError):
            require(False, "patterns.data", self.data, "base64")
            raise
        expected = self.layers * self.heads * triangle_size(len(self.tokens))
        _expect("patterns.data", "bytes", byte_count, expected)


@dataclass(frozen=True, kw_only=True)
class ScanSide:
    """One model on one text. A part that was not measured is None or empty, and has no section on the page."""

    model: str
    text: str
    """its name"""
    tokens: int
    """how many were read"""
    layouts: Sequence[LayoutGroup]
    """which together name every layer once"""
    heads_per_layer: int
    """H, query heads"""
    kv_heads: int
    """G, key heads; divides H"""
    usage: PairNorms
    heads: Sequence[HeadSummary]
    patterns: AttentionPatterns | None = None
    logits: LogitParts | None = None
    channels: Sequence[SemanticChannel] = ()
    head_ablations: Sequence[HeadAblation] = ()
    ablations: Sequence[AblationCurve] = ()

    def __post_init__(self) -> None:
        whole("tokens", self.tokens, 1)
        whole("heads_per_layer", self.heads_per_layer, 1)
        whole("kv_heads", self.kv_heads, 1)
        divides = self.heads_per_layer % self.kv_heads == 0
        require(divides, "kv_heads", self.kv_heads, f"a divisor of the {self.heads_per_layer} heads_per_layer")
        _filled("layouts", self.layouts)
        self._check_layers()
        self._check_arrays()
        self._check_places()
        if self.patterns:
            _expect("patterns.layers", "layers", self.patterns.layers, len(self.layer_indices))
            _expect("patterns.heads", "heads", self.patterns.heads, self.heads_per_layer)

    @property
    def layer_indices(self) -> list[int]:
        """Every layer's index, in the order of the rows of arrays."""
        return sorted(layer for group in self.layouts for layer in group.layers)

    @property
    def row_frequencies(self) -> list[Sequence[float]]:
        """The frequencies (P,) of every row of the arrays."""
        by_layer = {layer: group.frequencies for group in self.layouts for layer in group.layers}
        return [by_layer[layer] for layer in sorted(by_layer)]

    def _check_layers(self) -> None:
        counts = Counter(layer for group in self.layouts for layer in group.layers)
        repeated = [layer for layer, count in counts.items() if count > 1]
        if repeated:
            raise BadInput(f"layouts: layer {repeated[0]} is named twice; every layer belongs to one layout")

    def _check_arrays(self) -> None:
        """Every array has the layers, heads and pairs that the side names."""
        for field, array, heads in self._arrays():
            _expect(field, "layers", len(array), len(self.layer_indices))
            for row, (layer, frequencies) in enumerate(zip(array, self.row_frequencies, strict=True)):
                _expect(f"{field}[{row}]", "heads", len(layer), heads)
                for head, pairs in enumerate(layer):
                    # values have pairs of their own number, the same in all heads of a layer
                    expected = len(layer[0]) if field == "usage.v" else len(frequencies)
                    _expect(f"{field}[{row}][{head}]", "pairs", len(pairs), expected)

    def _arrays(self) -> Iterator[tuple[str, Array, int]]:
        """Every array with its name and the number of its heads."""
        yield "usage.q", self.usage.q, self.heads_per_layer
        yield "usage.k", self.usage.k, self.kv_heads
        yield "usage.v", self.usage.v, self.kv_heads
        if self.logits:
            for name in ("spread", "diagonal", "previous", "first"):
                yield f"logits.{name}", getattr(self.logits, name), self.heads_per_layer

    def _check_places(self) -> None:
        """Every layer, head and pair that is named is there."""
        pair_count = dict(zip(self.layer_indices, map(len, self.row_frequencies), strict=True))
        for part in ("heads", "channels", "head_ablations"):
            for k, entry in enumerate(getattr(self, part)):
                field = f"{part}[{k}]"
                require(entry.layer in pair_count, f"{field}.layer", entry.layer, "a layer that layouts name")
                below_heads = entry.head < self.heads_per_layer
                require(below_heads, f"{field}.head", entry.head, f"below {self.heads_per_layer}")
                if isinstance(entry, SemanticChannel):
                    pairs = pair_count[entry.layer]
                    require(entry.pair < pairs, f"{field}.pair", entry.pair, f"below {pairs}")


@dataclass(frozen=True, kw_only=True)
class ScanStory:
    """What the page of a scan shows: one side, or two models or two texts side by side."""

    title: str
    subtitle: str
    sides: Sequence[ScanSide]
    command: str = ""
    """that makes the page again; empty: not shown"""
    notes: Sequence[str] = ()
    """sentences at the end of the page"""

    def __post_init__(self) -> None:
        if not 1 <= len(self.sides) <= 2:
            raise BadInput(f"sides: {len(self.sides)} are not allowed; there must be one or two")


def triangle_size(tokens: int) -> int:
    """Cells of a lower triangle with its diagonal."""
    return tokens * (tokens + 1) // 2


def _check_array(field: str, array: Array, signed: bool) -> None:
    """Every number is finite, and at least 0 unless signed; no layer, head or pair is missing altogether."""
    _filled(field, array)
    for row, layer in enumerate(array):
        _filled(f"{field}[{row}]", layer)
        for head, pairs in enumerate(layer):
            _filled(f"{field}[{row}][{head}]", pairs)
            # the fast test of a whole row first: arrays hold some hundred thousand numbers
            if all(isinstance(value, float) and math.isfinite(value) and (signed or value >= 0) for value in pairs):
                continue
            for pair, value in enumerate(pairs):
                name = f"{field}[{row}][{head}][{pair}]"
                if signed:
                    finite(name, value)
                else:
                    _not_negative(name, value)


def _check_place(part: str, layer: int, head: int) -> None:
    whole(f"{part}.layer", layer, 0)
    whole(f"{part}.head", head, 0)


def _not_negative(field: str, value: float) -> None:
    within(field, value, 0, math.inf, "a finite number of at least 0")


def _filled(field: str, values: Sequence[object]) -> None:
    require(len(values) > 0, field, values, "a list of at least 1")


def _expect(field: str, unit: str, count: int, expected: int) -> None:
    if count != expected:
        raise BadInput(f"{field}: {count} {unit} are not allowed; there must be {expected}")
