"""Watching a model's attention: every layer's queries, keys and values as they meet, after rotation, without touching the model.

transformers hands queries (B, H, N, d), keys and values (B, K, N, d) of every attention layer to one function, looked up by name. While a model is tapped, that
name leads to a function that shows them to the watcher and then calls what was there before, so all models that go through the interface are seen alike:
fused or separate projections, norms of queries and keys, any pairing of rotated channels, grouped queries. Outputs are the untapped model's to the bit.
"""

import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from outrange.core.errors import BadInput


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What one attention layer computes with."""

    layer: int
    query: Tensor
    """(B, H, N, d), rotated"""
    key: Tensor
    """(B, K, N, d), rotated; head h reads key head h // (H / K)"""
    value: Tensor
    """(B, K, N, d of values)"""
    mask: Tensor | None
    """(B or 1, 1 or H, N, N): true where attention is allowed, or numbers added to logits; none: causal"""
    scaling: float
    softcap: float | None
    """logits are softcap * tanh(logits / softcap) before the mask (Gemma 2)"""
    sinks: Tensor | None
    """(H,) a logit of every head that belongs to no key (gpt-oss)"""

    @property
    def groups(self) -> int:
        """Query heads that share one key head."""
        return self.query.shape[1] // self.key.shape[1]

    def logits(self, rows: slice, mask: bool = True) -> Tensor:
        """Attention logits of some query positions, (B, H, rows, columns up to the last row), float32 or float64; -inf where attention is not allowed."""
        first, last, _ = rows.indices(self.query.shape[2])
        query, key = self.query[:, :, first:last], self.key[:, :, :last]
        wide = torch.float64 if query.dtype == torch.float64 else torch.float32
        query = query.to(wide).unflatten(1, (key.shape[1], self.groups))
        found = (query @ key.to(wide)[:, :, None].transpose(-1, -2)).flatten(1, 2) * self.scaling
        if self.softcap is not None:
            found = self.softcap * torch.tanh(found / self.softcap)
        return self.masked(found, first) if mask else found

    def masked(self, logits: Tensor, first: int) -> Tensor:
        """Logits (B, H, rows, columns) of rows from ``first`` on, with the model's mask."""
        last, columns = first + logits.shape[2], logits.shape[3]
        if self.mask is None:
            seen = (
                torch.arange(columns, device=logits.device) <= torch.arange(first, last, device=logits.device)[:, None]
            )
            return logits.masked_fill(~seen, -torch.inf)
        mask = self.mask[:, :, first:last, :columns]
        return logits.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else logits + mask

    def weights(self, rows: slice) -> Tensor:
        """Attention weights of some query positions, (B, H, rows, columns up to the last row)."""
        logits = self.logits(rows)
        if self.sinks is None:
            return torch.softmax(logits, -1)
        extra = self.sinks.to(logits.dtype)[None, :, None, None].expand(*logits.shape[:3], 1)
        return torch.softmax(torch.cat((logits, extra), -1), -1)[..., :-1]


Watch = Callable[[Seen], None]
Edit = Callable[[Seen], tuple[Tensor, Tensor]]


#: What models outside transformers' attention interface do with positions, so that a refusal can say it.
_OTHERS = {
    "bloom": "ALiBi: distances are added to logits",
    "mpt": "ALiBi: distances are added to logits",
    "falcon": "rotary or ALiBi, by code of its own",
}
_OTHERS |= {"gptj": "rotary, by code of its own", "codegen": "rotary, by code of its own"}


def decoder(model: Any) -> nn.Module:
    """The part of a model that reads text; of one that sees or hears as well, without the rest."""
    found = model.get_decoder() if hasattr(model, "get_decoder") else None
    return found if isinstance(found, nn.Module) else model


def attention_modules(model: nn.Module) -> dict[int, nn.Module]:
    """The self-attention layers of a model's decoder by index.

    Raises:
        BadInput: its attention does not go through transformers' interface.
    """
    found: dict[int, nn.Module] = {}
    for module in decoder(model).modules():
        source = sys.modules.get(type(module).__module__)
        index = getattr(module, "layer_idx", None)
        attends = "attention" in type(module).__name__.lower() and hasattr(source, "ALL_ATTENTION_FUNCTIONS")
        if attends and isinstance(index, int) and (hasattr(module, "scaling") or hasattr(module, "head_dim")):
            found.setdefault(index, module)
    if not found:
        family = getattr(getattr(model, "config", None), "model_type", "")
        what = f" (it has {_OTHERS[family]})" if family in _OTHERS else ""
        raise BadInput(
            f"model: the attention of {type(model).__name__} cannot be watched{what}; it must go through transformers' attention interface; "
            "its perplexity can be had from `outrange.attention.ablate.perplexity`"
        )
    return dict(sorted(found.items()))


@contextlib.contextmanager
def tapped(
    model: nn.Module, watch: Watch | None = None, edit: Edit | None = None, blind: bool = False
) -> Iterator[None]:
    """Show every attention layer's ``Seen`` to ``watch`` while the block runs.

    Args:
        model: a transformers decoder.
        watch: called once a layer and forward pass, in order; must not change what it is given.
        edit: gives the query and the key that are used instead, for ablations.
        blind: attention returns zeros, so that nothing passes between positions.
    """
    modules = attention_modules(model)
    ours = {id(module): layer for layer, module in modules.items()}
    places = {}
    for module in modules.values():
        source = sys.modules[type(module).__module__]
        name = module.config._attn_implementation or "eager"  # type: ignore[union-attr]
        places[id(source.ALL_ATTENTION_FUNCTIONS), name] = source, name

    def wrapped(original: Any) -> Any:
        def attend(
            module: nn.Module,
            query: Tensor,
            key: Tensor,
            value: Tensor,
            attention_mask: Tensor | None,
            *rest: Any,
            **given: Any,
        ) -> Any:
            if id(module) not in ours:
                return original(module, query, key, value, attention_mask, *rest, **given)
            scaling = given.get("scaling")
            seen = Seen(
                layer=ours[id(module)],
                query=query,
                key=key,
                value=value,
                mask=attention_mask,
                scaling=query.shape[-1] ** -0.5 if scaling is None else float(scaling),
                softcap=given.get("softcap"),
                sinks=given.get("s_aux"),
            )
            if edit:
                query, key = edit(seen)
                seen = replace(seen, query=query, key=key)
            if watch:
                watch(seen)
            if blind:
                return value.new_zeros(query.shape[0], query.shape[2], query.shape[1], value.shape[3]), None
            return original(module, query, key, value, attention_mask, *rest, **given)

        return attend

    undo: list[tuple[Any, str, Any]] = []
    try:
        for source, name in places.values():
            local = source.ALL_ATTENTION_FUNCTIONS._local_mapping
            undo.append((local, name, local.get(name)))
            local[name] = wrapped(source.ALL_ATTENTION_FUNCTIONS.get(name) or source.eager_attention_forward)
        yield
    finally:
        for local, name, before in reversed(undo):
            if before is None:
                local.pop(name, None)
            else:
                local[name] = before
