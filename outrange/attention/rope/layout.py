"""A model's rotary layout, read from what the model does and not from what its configuration is called.

A small stand-in is built from the configuration: the same code, layer kinds, head dimension and rotary settings; two heads, a tiny vocabulary, random weights,
attention switched off so that nothing passes between positions. Every position of a sequence then computes the same query q, turned by its position: R^n q.
From the queries of many sequences the map R is solved for, which gives all there is to know: which channels turn together, how fast, and which do not turn.

With head dimension d, base theta and K turning pairs (arXiv 2410.06205, section 6; transformers' two meanings of ``partial_rotary_factor``):

    RoPE             theta^(-2m/d), m < d/2
    p-RoPE           theta^(-2m/d), m < K: the fastest K of RoPE's own frequencies, pairs (m, m + d/2) over the whole head
    partial rotary   theta^(-2m/(2K)), m < K: a whole spectrum squeezed into the first 2K channels, pairs inside them
    NoPE             nothing turns
"""

import copy
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

import outrange.lm.rotary  # noqa: F401 - registers the rope types of our own
from outrange.attention.tap import AttentionInputs, attention_modules, decoder, tapped
from outrange.core.errors import BadInput

_DISTANCES = (1, 32, 1023, 131_071)  # fast pairs show at the first, slow ones at the last
_FARTHEST = 1 << 17
_STILL = (
    1e-5  # radians over the last of these distances below which a pair does not turn: 1e-10 a token, of a base of 1e10
)
_BY_LENGTH = ("dynamic", "longrope")  # rope types whose frequencies are others beyond the trained length
_FIRST_ID = 3  # below are padding, beginning and end


@dataclass(frozen=True)
class LayerLayout:
    """How one layer turns its queries and keys."""

    scheme: str
    """RoPE, p-RoPE, partial rotary, reversed p-RoPE, NoPE, learned positions, …"""
    head_dim: int
    pairs: tuple[tuple[int, int], ...]
    """channels (a, b) that make a plane, fastest first; those that do not turn are at the end, paired by convention"""
    frequencies: tuple[float, ...]
    """radians a token of every pair; 0: does not turn"""
    pairing: str
    theta: float | None = None
    rope_type: str = ""
    note: str = ""
    """what deserves attention"""

    @property
    def turning(self) -> int:
        return sum(g > 0 for g in self.frequencies)

    def like(self, other: "LayerLayout") -> bool:
        """The same up to the rounding of float32."""
        words = ("scheme", "head_dim", "pairs", "pairing", "theta", "rope_type", "note")
        if any(getattr(self, name) != getattr(other, name) for name in words):
            return False
        return all(
            math.isclose(a, b, rel_tol=1e-3, abs_tol=1e-7)
            for a, b in zip(self.frequencies, other.frequencies, strict=True)
        )

    def rotation(self, distance: float) -> Tensor:
        """The map R^distance, (d, d), float64."""
        found = torch.eye(self.head_dim, dtype=torch.float64)
        for (a, b), g in zip(self.pairs, self.frequencies, strict=True):
            if g:
                c, s = math.cos(g * distance), math.sin(g * distance)
                found[a, a], found[a, b], found[b, a], found[b, b] = c, -s, s, c
        return found


@dataclass(frozen=True)
class Layout:
    """Of every layer that attends, by index."""

    family: str
    layers: dict[int, LayerLayout]

    def groups(self) -> list[tuple[list[int], LayerLayout]]:
        """Layers that are alike, together."""
        found: list[tuple[list[int], LayerLayout]] = []
        for index, layer in self.layers.items():
            alike = next((indices for indices, other in found if other.like(layer)), None)
            if alike is None:
                found.append(([index], layer))
            else:
                alike.append(index)
        return found

    @property
    def rotates(self) -> bool:
        return any(layer.turning for layer in self.layers.values())


def layout(model_or_config: Any) -> Layout:
    """The rotary layout of a model, or of a configuration alone.

    A loaded model's own frequencies are used, so one that was changed after loading shows as changed.

    Raises:
        BadInput: no stand-in can be built, or its attention cannot be watched.
    """
    model = model_or_config if isinstance(model_or_config, nn.Module) else None
    config = text_config(model.config if model is not None else model_or_config)
    family = str(getattr(config, "model_type", type(config).__name__))
    standing, ids = _stand_in(config)
    if model is not None:
        _same_frequencies(standing, model)
    length = int(getattr(config, "max_position_embeddings", 0) or 0) or 2048
    farthest = min(length, _FARTHEST) - 1
    held = getattr(config, "rope_parameters", None) or {}
    types = {one.get("rope_type") for one in (held, *held.values()) if isinstance(one, dict)}
    bounded = not held or types & {*_BY_LENGTH}  # a table of learned positions ends; angles do not
    distances = tuple(n for n in _DISTANCES if n < length or not bounded)
    near, far = _queries(standing, ids, (0, *distances)), _queries(standing, ids, (0, farthest))
    attending = attention_modules(standing)
    return Layout(
        family,
        {index: _describe(config, attending[index], distances, near[index], far[index], farthest) for index in near},
    )


def text_config(config: Any) -> Any:
    """The part of a configuration that describes the decoder of text."""
    return config.get_text_config(decoder=True) if hasattr(config, "get_text_config") else config


def head_dim(config: Any) -> int:
    """Channels of a head, as most configurations say it; some layers may differ."""
    return int(stated(config, "head_dim") or config.hidden_size // config.num_attention_heads)


def stated(config: Any, name: str) -> Any:
    """A setting of a configuration; where layers differ and it refuses to name one, the largest; None if there is none."""
    try:
        return getattr(config, name, None)
    except Exception as error:  # of a class of transformers' own
        if "per-layer" not in str(error):
            raise
        return max(getattr(config.per_layer_config[index], name) for index in range(config.num_hidden_layers))


def _stand_in(config: Any) -> tuple[nn.Module, Tensor]:
    """A small model of the same kind, float64, and one token per sequence, enough of them to span all queries."""
    from transformers import AutoModelForCausalLM

    small, width = copy.deepcopy(config), head_dim(config)
    for wider in ("global_head_dim", "qk_nope_head_dim"):
        width = max(
            width,
            int(getattr(config, wider, 0) or 0)
            + (int(getattr(config, "qk_rope_head_dim", 0) or 0) if wider.startswith("qk") else 0),
        )
    count = hidden = (
        2 * width
    )  # more than a head has channels, so that queries span the head though norms take a direction away
    sizes = {
        "vocab_size": count + _FIRST_ID, "vocab_size_per_layer_input": count + _FIRST_ID, "hidden_size_per_layer_input": 8,
        "intermediate_size": 8, "intermediate_size_mlp": 8, "moe_intermediate_size": 8, "ffn_dim": 8,
        "num_attention_heads": 2, "num_key_value_heads": 1, "num_global_key_value_heads": 1, "hidden_size": hidden, "word_embed_proj_dim": hidden,
        "num_local_experts": 2, "num_experts": 2, "n_routed_experts": 2, "num_experts_per_tok": 1, "n_group": 1, "topk_group": 1,
        "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "embedding_size": hidden,
    }  # fmt: skip
    for name, value in sizes.items():
        held = stated(small, name)
        if held is not None and (held or name.endswith("token_id")):
            setattr(small, name, value)
    small._attn_implementation = "eager"
    try:
        with (
            warnings.catch_warnings(),
            torch.random.fork_rng(devices=[]),
        ):  # transformers draws first weights from torch's own generator
            warnings.simplefilter("ignore")
            torch.manual_seed(0)
            model = AutoModelForCausalLM.from_config(small, attn_implementation="eager")
    except Exception as error:  # whatever a configuration's own code raises
        raise BadInput(
            f"model: no stand-in of a {getattr(config, 'model_type', '?')!r} configuration can be built: {' '.join(str(error).split())[:200]}"
        ) from None
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) / parameter.shape[-1] ** 0.5)
    return model.eval().double(), torch.arange(_FIRST_ID, _FIRST_ID + count)


def _same_frequencies(standing: nn.Module, model: nn.Module) -> None:
    """Give the stand-in the frequencies that a model has now."""
    found = {
        name: buffer
        for name, buffer in decoder(model).named_buffers()
        if name.endswith("inv_freq") and not buffer.is_meta
    }
    for name, buffer in decoder(standing).named_buffers():
        if name in found and found[name].shape == buffer.shape:
            buffer.copy_(found[name])


def _queries(model: Any, ids: Tensor, positions: Sequence[int]) -> dict[int, tuple[Tensor, Tensor]]:
    """Of every layer, queries and keys (sequences, positions, d) where a sequence holds one token at all positions."""
    found: dict[int, tuple[Tensor, Tensor]] = {}

    def watch(seen: AttentionInputs) -> None:
        found[seen.layer] = seen.query[:, 0].double().clone(), seen.key[:, 0].double().clone()

    count = len(positions)
    with torch.no_grad(), warnings.catch_warnings(), tapped(model, watch, blind=True):
        warnings.simplefilter("ignore")
        tokens, at = (
            ids[:, None].expand(-1, count).contiguous(),
            torch.tensor(positions).expand(len(ids), -1).contiguous(),
        )
        limit = getattr(getattr(model.get_input_embeddings(), "weight", None), "shape", (0,))[0]
        if int(tokens.max()) >= limit:
            raise BadInput("model: its stand-in has too small a vocabulary; models of this kind cannot be described")
        given: dict[str, Any] = dict(position_ids=at, attention_mask=torch.ones_like(tokens), use_cache=False)
        try:
            try:
                model(tokens, **given)
            except RuntimeError:  # some kernels, of mixtures of experts for one, know no float64
                model.float()(tokens, **given)
        except Exception as error:  # of a family's own code
            raise BadInput(
                f"model: a stand-in of its kind does not run: {' '.join(str(error).split())[:200]}"
            ) from None
    if not found:
        raise BadInput("model: no attention was seen in its stand-in; models of this kind cannot be described")
    return found


def _describe(
    config: Any,
    module: Any,
    distances: Sequence[int],
    near: tuple[Tensor, Tensor],
    far: tuple[Tensor, Tensor],
    farthest: int,
) -> LayerLayout:
    query, key = near
    width = query.shape[-1]
    settings = _settings(config, module)
    theta, rope_type = settings.get("rope_theta"), str(settings.get("rope_type", ""))
    turned, error = _solve(query)
    if error > 1e-3:
        halves = tuple((m, m + width // 2) for m in range(width // 2))
        scheme = "cannot be read" if settings else "positions are added, not rotated"
        note = "queries of one token differ between positions by more than a rotation"
        note += (
            "; layers of another kind mix positions"
            if settings
            else ": what is learned or fixed for a position is added to the embeddings"
        )
        return LayerLayout(scheme, width, halves, (0.0,) * len(halves), "none", note=note)
    pairs, frequencies = _planes(turned, distances)
    keys, key_error = _solve(key)
    notes = (
        ["keys turn otherwise than queries"]
        if key_error < 1e-3 and keys.shape == turned.shape and float((keys - turned).abs().max()) > 1e-4
        else []
    )
    name, note = _name(pairs, frequencies, width, theta, rope_type)
    notes += [note] if note else []
    if not any(frequencies):
        theta, rope_type = None, ""
    result = LayerLayout(
        name, width, tuple(pairs), tuple(frequencies), _pairing(pairs, frequencies, width), theta, rope_type
    )
    moved = _solve(far[0])[0][0]
    if any(frequencies) and float((moved - result.rotation(farthest)).abs().max()) > max(0.02, farthest * 3e-7):
        notes.append(f"at position {farthest:,} the angles are others than near 0: the frequencies change with length")
    return LayerLayout(**{**vars(result), "note": "; ".join(notes)})


def _solve(vectors: Tensor) -> tuple[Tensor, float]:
    """The maps from vectors at the first position to the same at each other, (positions, d, d), and how far they are from exact."""
    before, after = vectors[:, 0], vectors[:, 1:]
    found = torch.linalg.lstsq(before, after.flatten(1)).solution
    error = float((before @ found - after.flatten(1)).abs().max() / after.abs().max().clamp_min(1e-30))
    return found.unflatten(1, after.shape[1:]).permute(1, 2, 0), error


def _planes(turned: Tensor, distances: Sequence[int]) -> tuple[list[tuple[int, int]], list[float]]:
    """Pairs and frequencies, fastest first; the rest paired half against half, with frequency 0."""
    width = turned.shape[-1]
    moves = (turned - torch.diag_embed(torch.diagonal(turned, dim1=-2, dim2=-1))).abs().amax(0)
    planes: list[tuple[float, int, int]] = []
    taken: set[int] = set()
    for a in range(width):
        b = int(moves[:, a].argmax())
        if a in taken or b in taken or float(moves[b, a]) < _STILL:
            continue
        rate = _rate(turned[:, [a, b]][:, :, [a, b]], distances)
        planes.append((abs(rate), a, b) if rate > 0 else (abs(rate), b, a))
        taken |= {a, b}
    planes.sort(key=lambda plane: (-plane[0], plane[1]))
    rest = [c for c in range(width) if c not in taken]
    whole = len(planes) > 0 and all(b - a == width // 2 for _, a, b in planes)
    step = width // 2 if whole else len(rest) // 2
    still = (
        [(c, c + step) for c in rest if c + step in rest and c < width // 2]
        if whole
        else [(rest[i], rest[i + step]) for i in range(step)]
    )
    return [(a, b) for _, a, b in planes] + still, [g for g, _, _ in planes] + [0.0] * len(still)


def _rate(blocks: Tensor, distances: Sequence[int]) -> float:
    """Radians a token of one plane, from its 2 x 2 maps over growing distances: the longest over which it turns by less than two radians tells best."""
    rate = 0.0
    for block, distance in zip(blocks, distances, strict=True):
        if distance == distances[0] or abs(rate) * distance < 2:
            rate = math.atan2(float(block[1, 0]), float(block[0, 0])) / distance
    return rate


def _pairing(pairs: Sequence[tuple[int, int]], frequencies: Sequence[float], width: int) -> str:
    turning = [pair for pair, g in zip(pairs, frequencies, strict=True) if g > 0]
    if not turning:
        return "none"
    steps, first, last = {b - a for a, b in turning}, min(a for a, _ in turning), max(b for _, b in turning)
    inside = "the whole head" if (first, last) == (0, width - 1) else f"channels {first}-{last}"
    if steps == {width // 2}:
        return f"(m, m + {width // 2}) over the whole head"
    if steps == {1}:
        return f"(2m, 2m + 1) in {inside}"
    if steps == {len(turning)} and last - first + 1 == 2 * len(turning):
        return f"(m, m + {len(turning)}) in {inside}"
    return f"of its own, in {inside}"


def _name(
    pairs: Sequence[tuple[int, int]], frequencies: Sequence[float], width: int, theta: float | None, rope_type: str
) -> tuple[str, str]:
    """The scheme that fits what turns, and what deserves attention about it."""
    turning = [g for g in frequencies if g > 0]
    count, pair_count = len(turning), width // 2
    if not count:
        return "NoPE", ""
    block = max(max(pair) for pair, g in zip(pairs, frequencies, strict=True) if g > 0) + 1
    if theta is None:
        theta = math.exp(-math.log(turning[-1] / turning[0]) * width / (2 * (count - 1))) if count > 1 else 10_000.0

    def fits(first: int, denominator: int) -> bool:
        wanted = (theta ** (-2 * (first + m) / denominator) for m in range(count))
        return all(abs(g / w - 1) < 1e-3 for g, w in zip(turning, wanted, strict=True))

    if count == pair_count:
        if fits(0, width):
            return "RoPE", ""
        how = (
            f"scaled ({rope_type})"
            if rope_type not in ("", "default", "proportional")
            else "with frequencies of its own"
        )
        return f"RoPE, {how}", ""
    whole_head = all(b - a == width // 2 for (a, b), g in zip(pairs, frequencies, strict=True) if g > 0)
    if fits(0, width) and count > 1:
        if whole_head or block > 2 * count:
            return f"{count / pair_count:g}-p-RoPE", ""
        return (
            "p-RoPE's frequencies with partial rotary's pairing",
            "pairs lie inside the first channels, frequencies are those of p-RoPE: one of the two is a mistake",
        )
    if fits(pair_count - count, width):
        return f"reversed {count / pair_count:g}-p-RoPE", "the fastest frequencies are the ones that do not turn"
    if fits(0, 2 * count):
        note = "pairs span the whole head: classic partial rotary up to an order of channels" if whole_head else ""
        return f"partial rotary, {2 * count / width:g} of the head", note
    how = f"scaled ({rope_type})" if rope_type not in ("", "default") else "with frequencies of its own"
    return f"partial rotary, {2 * count / width:g} of the head, {how}", ""


def _settings(config: Any, module: Any) -> dict[str, Any]:
    """The rotary settings that a configuration states for a layer."""
    held = getattr(config, "rope_parameters", None) or {}
    layer_type = getattr(module, "layer_type", None) or (
        config.layer_types[module.layer_idx] if getattr(config, "layer_types", None) else None
    )
    inner = held.get(layer_type) if layer_type else None
    return dict(inner) if isinstance(inner, dict) else {k: v for k, v in held.items() if not isinstance(v, dict)}
