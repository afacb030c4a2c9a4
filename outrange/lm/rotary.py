"""Rotary schemes by name, for building a model and for changing one (arXiv 2410.06205, sections 5 and 6, table 2).

With head dimension d and base theta, plain RoPE turns channel pair m by g_m = theta^(-2m/d) radians a token, m = 0 … d/2 - 1. The schemes:

    nope        no pair turns
    rope        all pairs turn
    p-rope      the floor(p d / 2) fastest turn as in RoPE, the others not at all; p = 1 is rope, p = 0 is nope
    reversed    the slowest floor(p d / 2) turn, the others not at all
    partial     classic partial rotary: floor(p d / 2) pairs turn with a whole spectrum of their own, theta^(-2m / (p d)), down to about 1/theta

p-rope, and with p = 1 and 0 rope and nope, is transformers' ``rope_type`` "proportional". The other two are rope types registered here under names of ours: a
model saved with them loads wherever ``outrange.lm`` was imported before. Pairs are (m, m + d/2), as transformers pairs them in Llama; for "partial" that is
the classic layout up to an order of channels, which training from scratch does not notice.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS, RotaryEmbeddingConfigMixin

from outrange.core.errors import BadInput, brief
from outrange.lm.config import Kind, Rotary

REVERSED, PARTIAL = "outrange_reversed", "outrange_partial"


def parameters(rotary: Rotary) -> dict[str, Any]:
    """transformers' ``rope_parameters`` of a scheme."""
    if rotary.kind == "rope":
        return {"rope_type": "default", "rope_theta": rotary.theta}
    types = {"nope": "proportional", "p-rope": "proportional", "reversed": REVERSED, "partial": PARTIAL}
    return {
        "rope_type": types[rotary.kind],
        "rope_theta": rotary.theta,
        "partial_rotary_factor": 0.0 if rotary.kind == "nope" else rotary.p,
    }


def frequencies(rotary: Rotary, head_dim: int) -> Tensor:
    """Radians a token of every channel pair, (head_dim / 2,); 0 where it does not turn.

    Computed as transformers computes them (float32, a power and a reciprocal), so that equal schemes are equal to the bit.
    """
    if head_dim < 2 or head_dim % 2:
        raise BadInput(f"head_dim: {brief(head_dim)} is not allowed; it must be even")
    pairs = head_dim // 2
    turning = {"nope": 0, "rope": pairs}.get(rotary.kind, int(rotary.p * head_dim // 2))
    width = 2 * turning if rotary.kind == "partial" else head_dim
    found = 1.0 / (
        rotary.theta
        ** (torch.arange(0, 2 * (pairs if rotary.kind == "reversed" else turning), 2).float() / max(width, 1))
    )
    if rotary.kind == "reversed":
        found[: pairs - turning] = 0.0
        return found
    return torch.cat((found, torch.zeros(pairs - turning)))


def convert(model: Any, p: float = 0.75, kind: Kind = "p-rope") -> Any:
    """Give a model another rotary scheme, in place: its bases stay, its weights stay, the angles change. Returns the model.

    What is saved afterwards loads with the new scheme. p = 1 gives back a RoPE model to the bit, p = 0 is NoPE to the bit.

    Raises:
        BadInput: the model has no rotary embedding, one whose frequencies are scaled ("llama3", "yarn", …) or turn a part of a head only,
            or weights in between layers that were trained otherwise.
    """
    modules = rotary_modules(model)
    config: Any = model.config
    nested = _by_layer_type(config)
    held = nested or {None: config.rope_parameters}
    for old in held.values():
        known = old.get("rope_type") in ("default", "proportional", REVERSED, PARTIAL)
        if not known or (old["rope_type"] == "default" and old.get("partial_rotary_factor", 1.0) != 1.0):
            what = (
                f"partial rotary of {old['partial_rotary_factor']:g}"
                if known
                else f"rope_type {old.get('rope_type')!r}"
            )
            raise BadInput(
                f"model: has {what}; only plain RoPE, over whole heads and without scaling, can be converted"
            )
    fresh = {layer_type: Rotary(kind=kind, theta=float(old["rope_theta"]), p=p) for layer_type, old in held.items()}
    for module in modules:
        for layer_type, rotary in fresh.items():
            prefix = f"{layer_type}_" if nested else ""
            for name in (f"{prefix}inv_freq", f"{prefix}original_inv_freq"):
                buffer = getattr(module, name, None)
                if buffer is None:
                    raise BadInput(
                        f"model: its rotary embedding has no {name}; models of this kind cannot be converted"
                    )
                buffer.copy_(frequencies(rotary, 2 * len(buffer)))
            if isinstance(getattr(module, "rope_type", None), str):
                module.rope_type = parameters(rotary)["rope_type"]
    config.rope_parameters = (
        {layer_type: parameters(rotary) for layer_type, rotary in fresh.items()} if nested else parameters(fresh[None])
    )
    return model


def rotary_modules(model: Any) -> list[nn.Module]:
    """The modules that hold a model's rotary frequencies."""
    found = [
        module
        for module in model.modules()
        if any(name.endswith("inv_freq") for name, _ in module.named_buffers(recurse=False))
    ]
    if not found or not getattr(model.config, "rope_parameters", None):
        raise BadInput(f"model: {type(model).__name__} has no rotary embedding that can be changed")
    return found


@contextlib.contextmanager
def changed(model: Any, p: float = 0.75, kind: Kind = "p-rope") -> Iterator[Any]:
    """``convert`` for the length of a block; the model is as it was afterwards, to the bit."""
    modules, config = rotary_modules(model), model.config
    before = [
        (m, {n: b.clone() for n, b in m.named_buffers(recurse=False)}, getattr(m, "rope_type", None)) for m in modules
    ]
    parameters = config.rope_parameters
    try:
        yield convert(model, p, kind)
    finally:
        for module, buffers, rope_type in before:
            for name, value in buffers.items():
                getattr(module, name).copy_(value)
            if rope_type is not None:
                module.rope_type = rope_type
        config.rope_parameters = parameters


def _by_layer_type(config: Any) -> dict[str | None, dict[str, Any]]:
    """``rope_parameters`` of models whose layers differ; empty where all layers share one."""
    held = getattr(config, "rope_parameters", None) or {}
    return {key: value for key, value in held.items() if isinstance(value, dict)}


def _initialise(kind: Kind) -> Any:
    """A function as transformers' table of rope types holds them."""

    def initialise(
        config: Any, device: Any = None, seq_len: int | None = None, layer_type: str | None = None
    ) -> tuple[Tensor, float]:
        held = config.rope_parameters[layer_type] if layer_type else config.rope_parameters
        head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        rotary = Rotary(kind=kind, theta=held["rope_theta"], p=held.get("partial_rotary_factor", 1.0))
        return frequencies(rotary, head_dim).to(device), 1.0

    return initialise


def _validate(self: Any, rope_parameters: dict[str, Any], ignore_keys: set[str] | None = None) -> None:
    """What transformers asks of a rope type of its own."""
    Rotary(theta=rope_parameters["rope_theta"], p=rope_parameters.get("partial_rotary_factor", 1.0))


ROPE_INIT_FUNCTIONS |= {REVERSED: _initialise("reversed"), PARTIAL: _initialise("partial")}
for _name in (REVERSED, PARTIAL):
    setattr(RotaryEmbeddingConfigMixin, f"_validate_{_name}_rope_parameters", _validate)
