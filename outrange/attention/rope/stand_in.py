"""A small stand-in for a language model, and the queries and keys of every layer that it computes by position alone.

It has the code, layer kinds, head dimension and rotary settings of a configuration; two heads, a tiny vocabulary,
random weights. With attention switched off nothing passes between positions, so that every position of a sequence of
one token computes the same query, turned by its position. ``outrange.attention.rope.layout`` reads the rotation off
these.
"""

import copy
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

import outrange.lm.rotary  # noqa: F401 - registers the rope types of our own
from outrange.attention.tap import AttentionInputs, decoder, tapped
from outrange.core.errors import BadInput

_FIRST_TOKEN_ID = 3  # smaller ones are padding, beginning and end


def text_config(config: Any) -> Any:
    """The part of a configuration that describes the decoder of text."""
    return config.get_text_config(decoder=True) if hasattr(config, "get_text_config") else config


def _head_dim(config: Any) -> int:
    """Channels of a head, as most configurations state it; some layers may differ."""
    return int(_stated(config, "head_dim") or config.hidden_size // config.num_attention_heads)


def _stated(config: Any, name: str) -> Any:
    """A setting of a configuration; where layers differ and it refuses to name one, the largest; None if there is
    none.
    """
    try:
        return getattr(config, name, None)
    except Exception as error:  # of a class of transformers' own
        if "per-layer" not in str(error):
            raise
        return max(getattr(config.per_layer_config[index], name) for index in range(config.num_hidden_layers))


def _widest_head(config: Any) -> int:
    """Channels of the widest head of any layer: of global layers (Gemma 4), or a part that turns and one that does
    not (DeepSeek).
    """
    latent = int(getattr(config, "qk_nope_head_dim", 0) or 0)
    rotated = int(getattr(config, "qk_rope_head_dim", 0) or 0)
    return max(_head_dim(config), int(getattr(config, "global_head_dim", 0) or 0), latent + rotated)


def build_stand_in(config: Any) -> tuple[nn.Module, Tensor]:
    """A small model of the same kind, float64, and token ids (count,), one for each sequence: enough of them to span
    all queries.
    """
    from transformers import AutoModelForCausalLM

    # More tokens than a head has channels, so that queries span the head though norms take a direction away.
    count = hidden = 2 * _widest_head(config)
    small = copy.deepcopy(config)
    sizes = {
        "vocab_size": count + _FIRST_TOKEN_ID, "vocab_size_per_layer_input": count + _FIRST_TOKEN_ID,
        "hidden_size_per_layer_input": 8, "intermediate_size": 8, "intermediate_size_mlp": 8,
        "moe_intermediate_size": 8,
        "ffn_dim": 8, "num_attention_heads": 2, "num_key_value_heads": 1, "num_global_key_value_heads": 1,
        "hidden_size": hidden, "word_embed_proj_dim": hidden, "num_local_experts": 2, "num_experts": 2,
        "n_routed_experts": 2, "num_experts_per_tok": 1, "n_group": 1, "topk_group": 1,
        "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "embedding_size": hidden,
    }  # fmt: skip
    for name, value in sizes.items():
        stated = _stated(small, name)
        if stated is not None and (stated or name.endswith("token_id")):  # 0 switches a part off, but is a token id
            setattr(small, name, value)
    small._attn_implementation = "eager"
    try:
        # transformers draws first weights from torch's own generator
        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
            warnings.simplefilter("ignore")
            torch.manual_seed(0)
            model = AutoModelForCausalLM.from_config(small, attn_implementation="eager")
    except Exception as error:  # whatever a configuration's own code raises
        raise BadInput(
            f"model: no stand-in of a {getattr(config, 'model_type', '?')!r} configuration can be built: "
            f"{' '.join(str(error).split())[:200]}"
        ) from None

    # Weights of order one whatever the family's own first weights are.
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) / parameter.shape[-1] ** 0.5)
    return model.eval().double(), torch.arange(_FIRST_TOKEN_ID, _FIRST_TOKEN_ID + count)


def copy_frequencies(model: nn.Module, stand_in: nn.Module) -> None:
    """Give the stand-in the frequencies that a model has now."""
    current = {}
    for name, buffer in decoder(model).named_buffers():
        if name.endswith("inv_freq") and not buffer.is_meta:
            current[name] = buffer
    for name, buffer in decoder(stand_in).named_buffers():
        if name in current and current[name].shape == buffer.shape:
            buffer.copy_(current[name])


def queries_and_keys(model: Any, token_ids: Tensor, positions: Sequence[int]) -> dict[int, tuple[Tensor, Tensor]]:
    """Of every layer, queries and keys (sequences, positions, d) where a sequence has one token at all positions."""
    by_layer: dict[int, tuple[Tensor, Tensor]] = {}

    def watch(inputs: AttentionInputs) -> None:
        by_layer[inputs.layer] = inputs.query[:, 0].double().clone(), inputs.key[:, 0].double().clone()

    with torch.no_grad(), warnings.catch_warnings(), tapped(model, watch, blind=True):
        warnings.simplefilter("ignore")
        tokens = token_ids[:, None].expand(-1, len(positions)).contiguous()
        position_ids = torch.tensor(positions).expand(len(token_ids), -1).contiguous()
        vocabulary_size = getattr(getattr(model.get_input_embeddings(), "weight", None), "shape", (0,))[0]
        if int(tokens.max()) >= vocabulary_size:
            raise BadInput("model: its stand-in has too small a vocabulary; models of this kind cannot be described")
        arguments: dict[str, Any] = {
            "position_ids": position_ids,
            "attention_mask": torch.ones_like(tokens),
            "use_cache": False,
        }
        try:
            try:
                model(tokens, **arguments)
            except RuntimeError:  # some kernels, of mixtures of experts for one, know no float64
                model.float()(tokens, **arguments)
        except Exception as error:  # of a family's own code
            raise BadInput(
                f"model: a stand-in of its kind does not run: {' '.join(str(error).split())[:200]}"
            ) from None
    if not by_layer:
        raise BadInput("model: no attention was seen in its stand-in; models of this kind cannot be described")
    return by_layer
