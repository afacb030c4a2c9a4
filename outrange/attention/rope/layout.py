"""A model's rotary layout, read from what the model does and not from what its configuration is called.

A small stand-in is built from the configuration: the same code, layer kinds, head dimension and rotary settings; two
heads, a tiny vocabulary, random weights, attention switched off so that nothing passes between positions. Every
position of a sequence then computes the same query q, turned by its position: R^n q. From the queries of many
sequences the map R is solved for, which gives all there is to know: which channels turn together, how fast, and which
do not turn.

With head dimension d, base theta and K turning pairs (arXiv 2410.06205, section 6; transformers' two meanings of
``partial_rotary_factor``):

    RoPE             theta^(-2m/d), m < d/2
    p-RoPE           theta^(-2m/d), m < K: the fastest K of RoPE's own, pairs (m, m + d/2) over the whole head
    partial rotary   theta^(-2m/(2K)), m < K: a whole spectrum squeezed into the first 2K channels, pairs inside them
    NoPE             nothing turns

``outrange.lm.schemes`` holds these rules, and recognises the scheme that measured frequencies belong to.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from outrange.attention.rope.stand_in import build_stand_in, copy_frequencies, queries_and_keys, text_config
from outrange.attention.tap import attention_modules
from outrange.lm.schemes import PairPlacement, recognise

_DISTANCES = (1, 32, 1023, 131_071)  # fast pairs show at the first, slow ones at the last
_FARTHEST = 1 << 17
# Radians over the last of these distances below which a pair does not turn: 1e-10 a token, as with a base of 1e10.
_STILL_ANGLE = 1e-5
_LENGTH_DEPENDENT = ("dynamic", "longrope")  # rope types with other frequencies beyond the trained length
_LARGEST_ROTATION_ERROR = 1e-3  # relative; above it queries do not differ by a rotation alone

Pair = tuple[int, int]


@dataclass(frozen=True)
class LayerLayout:
    """How one layer turns its queries and keys."""

    scheme: str
    """RoPE, p-RoPE, partial rotary, reversed p-RoPE, NoPE, learned positions, …"""
    head_dim: int
    pairs: tuple[Pair, ...]
    """channels (a, b) that make a plane, fastest first; those that do not turn are at the end, paired by convention"""
    frequencies: tuple[float, ...]
    """radians a token of every pair; 0: does not turn"""
    pairing: str
    """where the channels of the pairs lie, in words"""
    theta: float | None = None
    rope_type: str = ""
    note: str = ""
    """what deserves attention"""

    @property
    def turning_count(self) -> int:
        """How many pairs turn."""
        return sum(frequency > 0 for frequency in self.frequencies)

    def matches(self, other: "LayerLayout") -> bool:
        """Whether the two are the same up to the rounding of float32."""
        if replace(self, frequencies=()) != replace(other, frequencies=()):
            return False
        return all(
            math.isclose(mine, theirs, rel_tol=1e-3, abs_tol=1e-7)
            for mine, theirs in zip(self.frequencies, other.frequencies, strict=True)
        )

    def rotation(self, distance: float) -> Tensor:
        """The map R^distance, (d, d), float64."""
        matrix = torch.eye(self.head_dim, dtype=torch.float64)
        for (a, b), frequency in zip(self.pairs, self.frequencies, strict=True):
            if frequency:
                cos, sin = math.cos(frequency * distance), math.sin(frequency * distance)
                matrix[a, a], matrix[a, b], matrix[b, a], matrix[b, b] = cos, -sin, sin, cos
        return matrix


@dataclass(frozen=True)
class Layout:
    """The layouts of every layer that attends, by index."""

    family: str
    """the configuration's ``model_type``"""
    layers: dict[int, LayerLayout]

    def groups(self) -> list[tuple[list[int], LayerLayout]]:
        """Layers that match, together: their indices, and the layout of the first."""
        groups: list[tuple[list[int], LayerLayout]] = []
        for index, layer in self.layers.items():
            indices = next((indices for indices, first in groups if first.matches(layer)), None)
            if indices is None:
                groups.append(([index], layer))
            else:
                indices.append(index)
        return groups

    @property
    def rotates(self) -> bool:
        """Whether any pair of any layer turns."""
        return any(layer.turning_count for layer in self.layers.values())


def read_layout(model_or_config: Any) -> Layout:
    """The rotary layout of a model, or of a configuration alone.

    A loaded model's own frequencies are used, so one that was changed after loading shows as changed.

    Raises:
        BadInput: no stand-in can be built, or its attention cannot be watched.
    """
    model = model_or_config if isinstance(model_or_config, nn.Module) else None
    config = text_config(model.config if model is not None else model_or_config)
    family = str(getattr(config, "model_type", type(config).__name__))
    stand_in, token_ids = build_stand_in(config)
    if model is not None:
        copy_frequencies(model, stand_in)

    # 1. Where to look: angles go on for ever, a table of learned positions ends at the trained length.
    length = int(getattr(config, "max_position_embeddings", 0) or 0) or 2048
    farthest = min(length, _FARTHEST) - 1
    settings = getattr(config, "rope_parameters", None) or {}
    rope_types = {part.get("rope_type") for part in (settings, *settings.values()) if isinstance(part, dict)}
    bounded = not settings or not rope_types.isdisjoint(_LENGTH_DEPENDENT)
    distances = tuple(distance for distance in _DISTANCES if distance < length or not bounded)

    # 2. Queries and keys of one token at growing distances; and far out by itself, where some frequencies are others.
    near = queries_and_keys(stand_in, token_ids, (0, *distances))
    far = queries_and_keys(stand_in, token_ids, (0, farthest))

    # 3. Layer by layer, the rotation between them.
    modules = attention_modules(stand_in)
    layers = {}
    for index, (query, key) in near.items():
        layer = _describe(query, key, distances, _layer_settings(config, modules[index]))
        layers[index] = _note_changes_with_length(layer, far[index][0], farthest)
    return Layout(family, layers)


# ---------- from queries to a layout ----------


def _describe(query: Tensor, key: Tensor, distances: Sequence[int], settings: dict[str, Any]) -> LayerLayout:
    """The layout of a layer from its queries and keys (sequences, 1 + distances, d), the first at position 0."""
    head_dim = query.shape[-1]
    maps, error = _solve_maps(query)
    if error > _LARGEST_ROTATION_ERROR:
        return _not_rotated(head_dim, has_rotary_settings=bool(settings))
    pairs, frequencies = _planes(maps, distances)
    key_maps, key_error = _solve_maps(key)
    notes = []
    if (
        key_error < _LARGEST_ROTATION_ERROR
        and key_maps.shape == maps.shape
        and float((key_maps - maps).abs().max()) > 1e-4
    ):
        notes.append("keys turn otherwise than queries")
    theta, rope_type = settings.get("rope_theta"), str(settings.get("rope_type", ""))
    scheme, note = _name(pairs, frequencies, head_dim, theta, rope_type)
    if note:
        notes.append(note)
    if not any(frequencies):  # what the settings say of angles means nothing then
        theta, rope_type = None, ""
    pairing = _pairing(pairs, frequencies, head_dim)
    return LayerLayout(scheme, head_dim, tuple(pairs), tuple(frequencies), pairing, theta, rope_type, "; ".join(notes))


def _not_rotated(head_dim: int, has_rotary_settings: bool) -> LayerLayout:
    """The layout of a layer whose queries differ between positions by more than a rotation."""
    halves = tuple((m, m + head_dim // 2) for m in range(head_dim // 2))
    note = "queries of one token differ between positions by more than a rotation"
    if has_rotary_settings:
        scheme, reason = "cannot be read", "; layers of another kind mix positions"
    else:
        scheme = "positions are added, not rotated"
        reason = ": what is learned or fixed for a position is added to the embeddings"
    return LayerLayout(scheme, head_dim, halves, (0.0,) * len(halves), "none", note=note + reason)


def _note_changes_with_length(layer: LayerLayout, query: Tensor, farthest: int) -> LayerLayout:
    """The layout with a note if queries (sequences, 2, d) at position 0 and far out are not one turn of it apart."""
    if not layer.turning_count:
        return layer
    maps, _ = _solve_maps(query)
    error = float((maps[0] - layer.rotation(farthest)).abs().max())
    if error <= max(0.02, farthest * 3e-7):  # float32 angles drift by so much
        return layer
    note = f"at position {farthest:,} the angles are others than near 0: the frequencies change with length"
    return replace(layer, note="; ".join(filter(None, (layer.note, note))))


def _solve_maps(vectors: Tensor) -> tuple[Tensor, float]:
    """The maps from vectors at the first position to the same at each other, (positions, d, d), and their relative
    error.

    Least squares over sequences: ``vectors`` (sequences, 1 + positions, d), each map R with R vectors[s, 0] =
    vectors[s, n].
    """
    at_start, elsewhere = vectors[:, 0], vectors[:, 1:]
    solution = torch.linalg.lstsq(at_start, elsewhere.flatten(1)).solution
    residual = (at_start @ solution - elsewhere.flatten(1)).abs().max()
    error = float(residual / elsewhere.abs().max().clamp_min(1e-30))
    return solution.unflatten(1, elsewhere.shape[1:]).permute(1, 2, 0), error


def _planes(maps: Tensor, distances: Sequence[int]) -> tuple[list[Pair], list[float]]:
    """Pairs and frequencies, fastest first; the rest paired half against half, with frequency 0."""
    head_dim = maps.shape[-1]
    # How much each channel moves into each other one, at the distance where it moves most.
    moves = (maps - torch.diag_embed(torch.diagonal(maps, dim1=-2, dim2=-1))).abs().amax(0)
    planes: list[tuple[float, int, int]] = []
    paired: set[int] = set()
    for a in range(head_dim):
        b = int(moves[:, a].argmax())
        if a in paired or b in paired or float(moves[b, a]) < _STILL_ANGLE:
            continue
        rate = _rate(maps[:, [a, b]][:, :, [a, b]], distances)
        planes.append((abs(rate), a, b) if rate > 0 else (abs(rate), b, a))  # (a, b) turn from a towards b
        paired |= {a, b}
    planes.sort(key=lambda plane: (-plane[0], plane[1]))

    # Channels that do not turn are paired as the others are: half against half of the head, or of what is left.
    rest = [channel for channel in range(head_dim) if channel not in paired]
    half = head_dim // 2
    if planes and all(b - a == half for _, a, b in planes):
        still = [(channel, channel + half) for channel in rest if channel < half and channel + half in rest]
    else:
        step = len(rest) // 2
        still = [(rest[i], rest[i + step]) for i in range(step)]
    pairs = [(a, b) for _, a, b in planes] + still
    return pairs, [rate for rate, _, _ in planes] + [0.0] * len(still)


def _rate(blocks: Tensor, distances: Sequence[int]) -> float:
    """Radians a token of one plane, from its 2 x 2 maps over growing distances.

    The longest distance over which it turns by less than two radians tells best: beyond, whole turns are lost.
    """
    rate = 0.0
    for block, distance in zip(blocks, distances, strict=True):
        if distance == distances[0] or abs(rate) * distance < 2:
            rate = math.atan2(float(block[1, 0]), float(block[0, 0])) / distance
    return rate


# ---------- names ----------


def _pairing(pairs: Sequence[Pair], frequencies: Sequence[float], head_dim: int) -> str:
    """Where the channels of the turning pairs lie, in words."""
    turning = [pair for pair, frequency in zip(pairs, frequencies, strict=True) if frequency > 0]
    if not turning:
        return "none"
    steps, first, last = {b - a for a, b in turning}, min(a for a, _ in turning), max(b for _, b in turning)
    extent = "the whole head" if (first, last) == (0, head_dim - 1) else f"channels {first}-{last}"
    if steps == {head_dim // 2}:
        return f"(m, m + {head_dim // 2}) over the whole head"
    if steps == {1}:
        return f"(2m, 2m + 1) in {extent}"
    if steps == {len(turning)} and last - first + 1 == 2 * len(turning):
        return f"(m, m + {len(turning)}) in {extent}"
    return f"of its own, in {extent}"


def _placement(turning: Sequence[Pair], head_dim: int) -> PairPlacement:
    """Where the channels of the turning pairs lie, as the schemes tell it apart."""
    if all(b - a == head_dim // 2 for a, b in turning):
        return "whole head"
    channels_end = max(max(pair) for pair in turning) + 1
    return "first channels" if channels_end <= 2 * len(turning) else "scattered"


def _name(
    pairs: Sequence[Pair], frequencies: Sequence[float], head_dim: int, theta: float | None, rope_type: str
) -> tuple[str, str]:
    """The scheme that fits what turns, and what deserves attention about it."""
    turning = [(pair, frequency) for pair, frequency in zip(pairs, frequencies, strict=True) if frequency > 0]
    rates, count = [frequency for _, frequency in turning], len(turning)
    base = theta or _estimate_base(rates, head_dim)
    recognised = recognise(rates, base, head_dim, _placement([pair for pair, _ in turning], head_dim))
    if recognised:
        return recognised
    scaled = rope_type not in ("", "default")
    if count == head_dim // 2:
        scaled = scaled and rope_type != "proportional"  # which over a whole head is plain RoPE
        return f"RoPE, {f'scaled ({rope_type})' if scaled else 'with frequencies of its own'}", ""
    origin = f"scaled ({rope_type})" if scaled else "with frequencies of its own"
    return f"partial rotary, {2 * count / head_dim:g} of the head, {origin}", ""


def _estimate_base(rates: Sequence[float], head_dim: int) -> float:
    """The base whose RoPE has a spectrum as steep as these frequencies, fastest first."""
    if len(rates) < 2:
        return 10_000.0
    slowest_exponent = 2 * (len(rates) - 1) / head_dim
    return (rates[0] / rates[-1]) ** (1 / slowest_exponent)


def _layer_settings(config: Any, module: Any) -> dict[str, Any]:
    """The rotary settings that a configuration states for a layer."""
    settings = getattr(config, "rope_parameters", None) or {}
    layer_type = getattr(module, "layer_type", None)
    if not layer_type and getattr(config, "layer_types", None):
        layer_type = config.layer_types[module.layer_idx]
    of_type = settings.get(layer_type) if layer_type else None
    if isinstance(of_type, dict):
        return dict(of_type)
    return {name: value for name, value in settings.items() if not isinstance(value, dict)}
