"""Small decoder language models as Hugging Face models: built from a shape, begun from a seed, read from a run, given away as a folder.

All rotary schemes have the same weights, so models of one shape and one seed begin with equal ones whatever their scheme. Weights begin normal: embeddings with
deviation 0.02, matrices with 1/sqrt(inputs), those that write to the residual stream with 1/sqrt(2 x layers) of that; norms begin as the identity.
Embeddings are tied, as in Gemma. On a CPU attention is the plain one, since the backward of the fused one is slow there.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    GemmaConfig,
    LlamaConfig,
    MistralConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from outrange.core import atomic
from outrange.core.errors import BadInput
from outrange.core.run import Run
from outrange.core.seeding import SeedTree
from outrange.lm.config import ModelConfig, TrainConfig
from outrange.lm.rotary import parameters
from outrange.lm.text import beside
from outrange.lm.tokenizer import end_of_text, load_tokenizer

WRITES = ("o_proj.weight", "down_proj.weight")  # to the residual stream


def hf_config(model: ModelConfig, vocab: int, length: int, end: int | None = None) -> PreTrainedConfig:
    """The Hugging Face configuration of a shape.

    Args:
        vocab: tokens of the tokenizer.
        length: tokens of a training window, kept as ``max_position_embeddings``; rotary models can be run beyond it.
        end: the end-of-text token.
    """
    shape: dict[str, Any] = dict(
        vocab_size=vocab, hidden_size=model.width, intermediate_size=model.ffn, num_hidden_layers=model.layers, num_attention_heads=model.heads,
        num_key_value_heads=model.kv_heads, head_dim=model.head_dim, max_position_embeddings=length, tie_word_embeddings=True,
        rope_parameters=parameters(model.rotary), bos_token_id=end, eos_token_id=end, pad_token_id=None,
    )  # fmt: skip
    if model.window:  # Mistral is Llama with a window
        return MistralConfig(**shape, sliding_window=model.window)
    return GemmaConfig(**shape) if model.family == "gemma" else LlamaConfig(**shape)


def build(config: PreTrainedConfig, seed: int, device: torch.device | str = "cpu") -> PreTrainedModel:
    """A model with fresh weights; torch's global random state is left as it was."""
    device = torch.device(device)
    attention = "sdpa" if device.type == "cuda" else "eager"
    with torch.random.fork_rng(devices=[]):
        model = AutoModelForCausalLM.from_config(config, attn_implementation=attention, dtype=torch.float32)
    begin(model, SeedTree(seed))
    return model.to(device)  # pyright: ignore[reportArgumentType]


def begin(model: PreTrainedModel, seeds: SeedTree) -> None:
    """Draw a model's weights; each tensor's depend on the seed, its name and its shape alone."""
    layers = int(model.config.num_hidden_layers)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim < 2:
                continue  # norms
            std = 0.02 if "embed_tokens" in name else weight.shape[1] ** -0.5
            std /= (2 * layers) ** 0.5 if name.endswith(WRITES) else 1.0
            weight.copy_(torch.randn(weight.shape, generator=seeds.child(name).torch()) * std)


def weights(model: PreTrainedModel) -> dict[str, Tensor]:
    """A model's weights on the CPU, tied ones once."""
    return {name: value.detach().to("cpu", copy=True).contiguous() for name, value in model.named_parameters()}


def put(model: PreTrainedModel, tensors: dict[str, Tensor]) -> None:
    """Give a model the weights that ``weights`` made.

    Raises:
        BadInput: they are of another shape.
    """
    own = dict(model.named_parameters())
    wrong = sorted(
        n for n in own.keys() | tensors.keys() if n not in own or n not in tensors or own[n].shape != tensors[n].shape
    )
    if wrong:
        raise BadInput(
            f"weights: {wrong[0]} is of another shape than the model's, or on one side only; take the configuration that they were trained with"
        )
    with torch.no_grad():
        for name, value in own.items():
            value.copy_(tensors[name])


def load(path: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerFast, TrainConfig, int]:
    """The newest model of a run, its tokenizer, its configuration, and the step it was saved at.

    Raises:
        BadInput: there is no run, it is of another kind, or it holds no checkpoint yet.
    """
    run = Run.open(path)
    if run.kind != "lm":
        raise BadInput(f"run: {str(path)!r} holds a run of kind {run.kind!r}, not 'lm'")
    config = Run.configuration(path, TrainConfig)
    found = run.load()
    if not found:
        raise BadInput(f"run: {str(path)!r} holds no checkpoint yet; train it further")
    tokenizer = load_tokenizer(path / "tokenizer")
    device = "cuda" if torch.cuda.is_available() and config.device != "cpu" else "cpu"
    model = build(hf_config(config.model, len(tokenizer), config.length, end_of_text(tokenizer)), config.seed, device)
    put(model, found.tensors["model"])
    return model.eval(), tokenizer, config, found.step


def export(run: Path, folder: Path) -> str:
    """Write a run's newest model and tokenizer as a new folder that ``from_pretrained`` reads, complete or not at all; returns its rope type.

    A rope type that begins with "outrange" is known to transformers only after ``import outrange.lm.rotary``.
    """
    model, tokenizer, _, _ = load(run)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadInput(f"folder: {str(folder)!r} is not empty; give a new folder")
    with atomic.writable("folder", folder), beside(folder) as partial:
        model.save_pretrained(str(partial))
        tokenizer.save_pretrained(str(partial))
    return str(model.config.rope_parameters["rope_type"])
