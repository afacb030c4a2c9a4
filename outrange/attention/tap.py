"""Watching a model's attention: every layer's queries, keys and values as they meet, after rotation, without touching
the model.

transformers hands queries (B, H, N, d), keys and values (B, K, N, d) of every attention layer to one function, looked
up by name. While a model is tapped, that name leads to a function that shows them to a watcher and then calls the
original, so all models that go through the interface are watched alike: fused or separate projections, norms of
queries and keys, any pairing of rotated channels, grouped queries. Outputs are the untapped model's to the bit.
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
class AttentionInputs:
    """What one attention layer computes with in one forward pass: B texts, H query heads, K key heads, N positions, d
    channels.
    """

    layer: int
    query: Tensor
    """(B, H, N, d), rotated"""
    key: Tensor
    """(B, K, N, d), rotated; query head h reads key head h // (H / K)"""
    value: Tensor
    """(B, K, N, d of values)"""
    mask: Tensor | None
    """(B or 1, 1 or H, N, N): true where attention is allowed, or numbers added to logits; None: causal"""
    scaling: float
    """factor of the products of query and key, usually 1 / sqrt(d)"""
    softcap: float | None
    """logits are softcap * tanh(logits / softcap) before the mask (Gemma 2)"""
    sinks: Tensor | None
    """(H,) a logit of every head that belongs to no key (gpt-oss)"""

    @property
    def group_size(self) -> int:
        """Query heads that share one key head, H / K."""
        return self.query.shape[1] // self.key.shape[1]

    def logits(self, rows: slice, mask: bool = True) -> Tensor:
        """Attention logits of some query positions, (B, H, rows, columns up to the last row), float32 or float64.

        Args:
            rows: query positions.
            mask: -inf where attention is not allowed; else every product as it is.
        """
        first_row, last_row, _ = rows.indices(self.query.shape[2])
        query, key = self.query[:, :, first_row:last_row], self.key[:, :, :last_row]
        wide = torch.float64 if query.dtype == torch.float64 else torch.float32
        # (B, K, H / K, rows, d) against (B, K, 1, columns, d): each key head meets its group of query heads
        query = query.to(wide).unflatten(1, (key.shape[1], self.group_size))
        logits = (query @ key.to(wide)[:, :, None].transpose(-1, -2)).flatten(1, 2) * self.scaling
        if self.softcap is not None:
            logits = self.softcap * torch.tanh(logits / self.softcap)
        return self._apply_mask(logits, first_row) if mask else logits

    def weights(self, rows: slice) -> Tensor:
        """Attention weights of some query positions, (B, H, rows, columns up to the last row)."""
        logits = self.logits(rows)
        if self.sinks is None:
            return torch.softmax(logits, -1)
        # a sink takes part in the softmax and is then dropped: rows sum to less than 1
        sinks = self.sinks.to(logits.dtype)[None, :, None, None].expand(*logits.shape[:3], 1)
        return torch.softmax(torch.cat((logits, sinks), -1), -1)[..., :-1]

    def _apply_mask(self, logits: Tensor, first_row: int) -> Tensor:
        """Logits (B, H, rows, columns) of rows from ``first_row`` on, with the model's mask."""
        last_row, columns = first_row + logits.shape[2], logits.shape[3]
        if self.mask is None:
            row_index = torch.arange(first_row, last_row, device=logits.device)
            allowed = torch.arange(columns, device=logits.device) <= row_index[:, None]
            return logits.masked_fill(~allowed, -torch.inf)
        mask = self.mask[:, :, first_row:last_row, :columns]
        return logits.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else logits + mask


Watch = Callable[[AttentionInputs], None]
Edit = Callable[[AttentionInputs], tuple[Tensor, Tensor]]

# What models outside transformers' attention interface do with positions, so that a refusal can name it.
_OTHER_POSITIONS = {
    "bloom": "ALiBi: distances are added to logits",
    "mpt": "ALiBi: distances are added to logits",
    "falcon": "rotary or ALiBi, by code of its own",
    "gptj": "rotary, by code of its own",
    "codegen": "rotary, by code of its own",
}


def decoder(model: Any) -> nn.Module:
    """The part of a model that reads text: of a model that also sees or hears, its decoder alone."""
    module = model.get_decoder() if hasattr(model, "get_decoder") else None
    return module if isinstance(module, nn.Module) else model


def attention_modules(model: nn.Module) -> dict[int, nn.Module]:
    """The self-attention layers of a model's decoder by index, in rising order.

    Raises:
        BadInput: its attention does not go through transformers' interface.
    """
    by_layer: dict[int, nn.Module] = {}
    for module in decoder(model).modules():
        index = getattr(module, "layer_idx", None)
        if _attends(module) and isinstance(index, int):
            by_layer.setdefault(index, module)
    if not by_layer:
        family = getattr(getattr(model, "config", None), "model_type", "")
        reason = f" (it has {_OTHER_POSITIONS[family]})" if family in _OTHER_POSITIONS else ""
        raise BadInput(
            f"model: the attention of {type(model).__name__} cannot be watched{reason}; it must go through "
            "transformers' attention interface; its perplexity can be had from `outrange.attention.perplexity`"
        )
    return dict(sorted(by_layer.items()))


def _attends(module: nn.Module) -> bool:
    """Whether a module computes attention by transformers' interface: named so, in a file that imports its table of
    functions.
    """
    source = sys.modules.get(type(module).__module__)
    named = "attention" in type(module).__name__.lower() and hasattr(source, "ALL_ATTENTION_FUNCTIONS")
    return named and (hasattr(module, "scaling") or hasattr(module, "head_dim"))


@contextlib.contextmanager
def tapped(
    model: nn.Module, watch: Watch | None = None, edit: Edit | None = None, blind: bool = False
) -> Iterator[None]:
    """Show every attention layer's ``AttentionInputs`` to ``watch`` while the block runs.

    Args:
        model: a transformers decoder.
        watch: called once a layer and forward pass, in order; must not change the tensors.
        edit: returns the query and the key that are used instead, for ablations; ``watch`` then gets these.
        blind: attention returns zeros, so that nothing passes between positions.
    """
    modules = attention_modules(model)
    layer_of = {id(module): layer for layer, module in modules.items()}

    # Every table of attention functions that these layers look into, with the name they look up.
    lookups = {}
    for module in modules.values():
        source = sys.modules[type(module).__module__]
        name = module.config._attn_implementation or "eager"  # type: ignore[union-attr]
        lookups[id(source.ALL_ATTENTION_FUNCTIONS), name] = source, name

    def wrap(original: Any) -> Any:
        def attend(
            module: nn.Module,
            query: Tensor,
            key: Tensor,
            value: Tensor,
            attention_mask: Tensor | None,
            *arguments: Any,
            **options: Any,
        ) -> Any:
            if id(module) not in layer_of:  # another model's, or a layer that sees pictures
                return original(module, query, key, value, attention_mask, *arguments, **options)
            scaling = options.get("scaling")
            inputs = AttentionInputs(
                layer=layer_of[id(module)],
                query=query,
                key=key,
                value=value,
                mask=attention_mask,
                scaling=query.shape[-1] ** -0.5 if scaling is None else float(scaling),
                softcap=options.get("softcap"),
                sinks=options.get("s_aux"),
            )
            if edit:
                query, key = edit(inputs)
                inputs = replace(inputs, query=query, key=key)
            if watch:
                watch(inputs)
            if blind:
                return value.new_zeros(query.shape[0], query.shape[2], query.shape[1], value.shape[3]), None
            return original(module, query, key, value, attention_mask, *arguments, **options)

        return attend

    replaced: list[tuple[Any, str, Any]] = []
    try:
        for source, name in lookups.values():
            # the local mapping belongs to this table alone and is read before the global one
            table = source.ALL_ATTENTION_FUNCTIONS._local_mapping
            replaced.append((table, name, table.get(name)))
            table[name] = wrap(source.ALL_ATTENTION_FUNCTIONS.get(name) or source.eager_attention_forward)
        yield
    finally:
        for table, name, original in reversed(replaced):
            if original is None:
                table.pop(name, None)
            else:
                table[name] = original
