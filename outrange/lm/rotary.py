"""Rotary position schemes on models: their frequencies, and changing a model's scheme in place (arXiv 2410.06205,
sections 5 and 6, table 2).

``lm.schemes`` says what the schemes are; here they become transformers' ``rope_parameters`` and ``inv_freq`` buffers.
p-rope, and with p = 1 and 0 rope and nope, is transformers' ``rope_type`` "proportional". "reversed" and "partial"
are rope types registered here under names that begin with "outrange_": a model saved with them loads wherever
``outrange.lm.rotary`` was imported before. Pairs are (m, m + d/2), as transformers pairs them in Llama; for "partial"
that is the classic layout up to an order of channels, which training from scratch does not notice.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS, RotaryEmbeddingConfigMixin

from outrange.core.errors import BadInput, brief
from outrange.lm.config import Rotary
from outrange.lm.schemes import SCHEMES, RotaryKind, turning_pairs

OWN_ROPE_TYPES: dict[str, RotaryKind] = {
    scheme.rope_type: kind for kind, scheme in SCHEMES.items() if scheme.rope_type.startswith("outrange_")
}
"""rope types that transformers knows only once this module was imported, and their schemes"""


def parameters(rotary: Rotary) -> dict[str, Any]:
    """transformers' ``rope_parameters`` of a scheme."""
    scheme = SCHEMES[rotary.kind]
    result: dict[str, Any] = {"rope_type": scheme.rope_type, "rope_theta": rotary.theta}
    if scheme.partial_rotary_factor is not None:
        result["partial_rotary_factor"] = scheme.partial_rotary_factor(rotary.p)
    return result


def frequencies(rotary: Rotary, head_dim: int) -> Tensor:
    """Radians a token of every channel pair, (head_dim / 2,) float32; 0 where it does not turn.

    Computed as transformers computes them (float32, a power and a reciprocal), so that equal schemes are equal to the
    bit.
    """
    if head_dim < 2 or head_dim % 2:
        raise BadInput(f"head_dim: {brief(head_dim)} is not allowed; it must be even")
    exponents = SCHEMES[rotary.kind].exponents(turning_pairs(rotary.p, head_dim), head_dim)
    # A quotient of small whole numbers rounded to float64 and then to float32 is the quotient rounded to float32.
    turning = torch.tensor([exponent for exponent in exponents if exponent is not None], dtype=torch.float32)
    result = torch.zeros(head_dim // 2)
    result[[exponent is not None for exponent in exponents]] = 1.0 / rotary.theta**turning
    return result


def convert(model: Any, p: float = 0.75, kind: RotaryKind = "p-rope") -> Any:
    """Give a model another rotary scheme, in place: its bases stay, its weights stay, the angles change. Returns the
    model.

    What is saved afterwards loads with the new scheme. p = 1 gives back a RoPE model to the bit, p = 0 is NoPE to the
    bit.

    Raises:
        BadInput: the model has no rotary embedding, one whose frequencies are scaled ("llama3", "yarn", …) or turn a
            part of a head only,
            or weights in between layers that were trained otherwise.
    """
    modules = rotary_modules(model)
    config: Any = model.config
    by_layer_type = _settings_by_layer_type(config)
    settings = by_layer_type or {None: config.rope_parameters}
    for setting in settings.values():
        _refuse_scaled(setting)
    schemes = {
        layer_type: Rotary(kind=kind, theta=float(setting["rope_theta"]), p=p)
        for layer_type, setting in settings.items()
    }

    # 1. The buffers that angles are computed from, in every rotary module.
    for module in modules:
        for layer_type, rotary in schemes.items():
            prefix = f"{layer_type}_" if by_layer_type else ""
            for name in (f"{prefix}inv_freq", f"{prefix}original_inv_freq"):
                buffer = getattr(module, name, None)
                if buffer is None:
                    raise BadInput(
                        f"model: its rotary embedding has no {name}; models of this kind cannot be converted"
                    )
                buffer.copy_(frequencies(rotary, 2 * len(buffer)))
            if isinstance(getattr(module, "rope_type", None), str):
                module.rope_type = parameters(rotary)["rope_type"]

    # 2. The configuration that they would be computed from again.
    if by_layer_type:
        config.rope_parameters = {layer_type: parameters(rotary) for layer_type, rotary in schemes.items()}
    else:
        config.rope_parameters = parameters(schemes[None])
    return model


def rotary_modules(model: Any) -> list[nn.Module]:
    """The modules that hold a model's rotary frequencies.

    Raises:
        BadInput: there is none, or the configuration does not describe it.
    """
    modules = []
    for module in model.modules():
        names = [name for name, _ in module.named_buffers(recurse=False)]
        if any(name.endswith("inv_freq") for name in names):
            modules.append(module)
    if not modules or not getattr(model.config, "rope_parameters", None):
        raise BadInput(f"model: {type(model).__name__} has no rotary embedding that can be changed")
    return modules


@contextlib.contextmanager
def converted(model: Any, p: float = 0.75, kind: RotaryKind = "p-rope") -> Iterator[Any]:
    """``convert`` for the length of a block; the model is as it was afterwards, to the bit."""
    modules, config = rotary_modules(model), model.config
    original_parameters, originals = config.rope_parameters, []
    for module in modules:
        buffers = {name: buffer.clone() for name, buffer in module.named_buffers(recurse=False)}
        originals.append((module, buffers, getattr(module, "rope_type", None)))
    try:
        yield convert(model, p, kind)
    finally:
        for module, buffers, rope_type in originals:
            for name, value in buffers.items():
                getattr(module, name).copy_(value)
            if rope_type is not None:
                module.rope_type = rope_type
        config.rope_parameters = original_parameters


def _refuse_scaled(setting: dict[str, Any]) -> None:
    """Raise ``BadInput`` unless a layer's ``rope_parameters`` are one of the schemes here, over the whole head."""
    rope_type, factor = setting.get("rope_type"), setting.get("partial_rotary_factor", 1.0)
    if rope_type not in {scheme.rope_type for scheme in SCHEMES.values()}:
        problem = f"rope_type {rope_type!r}"
    elif rope_type == "default" and factor != 1.0:
        problem = f"partial rotary of {factor:g}"
    else:
        return
    raise BadInput(f"model: has {problem}; only plain RoPE, over whole heads and without scaling, can be converted")


def _settings_by_layer_type(config: Any) -> dict[str | None, dict[str, Any]]:
    """``rope_parameters`` of models whose layers differ; empty where all layers share one."""
    rope_parameters = getattr(config, "rope_parameters", None) or {}
    return {key: value for key, value in rope_parameters.items() if isinstance(value, dict)}


def _initialiser(kind: RotaryKind) -> Any:
    """A function as transformers' table of rope types expects it: configuration -> (inv_freq, factor of attention)."""

    def initialise(
        config: Any, device: Any = None, seq_len: int | None = None, layer_type: str | None = None
    ) -> tuple[Tensor, float]:
        setting = config.rope_parameters[layer_type] if layer_type else config.rope_parameters
        head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        rotary = Rotary(kind=kind, theta=setting["rope_theta"], p=setting.get("partial_rotary_factor", 1.0))
        return frequencies(rotary, head_dim).to(device), 1.0

    return initialise


def _validate(self: Any, rope_parameters: dict[str, Any], ignore_keys: set[str] | None = None) -> None:
    """What transformers calls to check the parameters of a rope type; ``Rotary`` refuses what is out of bounds."""
    Rotary(theta=rope_parameters["rope_theta"], p=rope_parameters.get("partial_rotary_factor", 1.0))


for _rope_type, _kind in OWN_ROPE_TYPES.items():
    ROPE_INIT_FUNCTIONS[_rope_type] = _initialiser(_kind)
    # transformers finds the check of a rope type by this name
    setattr(RotaryEmbeddingConfigMixin, f"_validate_{_rope_type}_rope_parameters", _validate)
