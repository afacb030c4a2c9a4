"""Small decoder language models as Hugging Face models: built from a shape, initialised from a seed, read from a run,
exported as a folder.

All rotary schemes have the same weights, so models of one shape and one seed begin with equal ones whatever their
scheme. Weights are drawn from normal distributions: embeddings with deviation 0.02, matrices with 1/sqrt(inputs),
those that write to the residual stream with 1/sqrt(2 x layers) of that; norms begin as the identity. Embeddings are
tied, as in Gemma. On a CPU attention is the plain one, since the backward pass of the fused one is slow there.
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
from outrange.lm.fetch import whole_folder
from outrange.lm.rotary import parameters
from outrange.lm.tokenizer import end_of_text, load_tokenizer

RESIDUAL_WRITERS = ("o_proj.weight", "down_proj.weight")
"""ends of the names of the matrices whose outputs are added to the residual stream"""


def hf_config(
    model: ModelConfig, vocab_size: int, context_length: int, end_token: int | None = None
) -> PreTrainedConfig:
    """The Hugging Face configuration of a shape.

    Args:
        model: the shape.
        vocab_size: tokens of the tokenizer.
        context_length: tokens of a training window, kept as ``max_position_embeddings``; rotary models can be run
            beyond it.
        end_token: the end-of-text token.
    """
    shape: dict[str, Any] = dict(
        vocab_size=vocab_size,
        hidden_size=model.hidden_size,
        intermediate_size=model.intermediate_size,
        num_hidden_layers=model.num_layers,
        num_attention_heads=model.num_heads,
        num_key_value_heads=model.num_kv_heads,
        head_dim=model.head_dim,
        max_position_embeddings=context_length,
        tie_word_embeddings=True,
        rope_parameters=parameters(model.rotary),
        bos_token_id=end_token,
        eos_token_id=end_token,
        pad_token_id=None,
    )
    if model.sliding_window:  # Mistral is Llama with a window
        return MistralConfig(**shape, sliding_window=model.sliding_window)
    return GemmaConfig(**shape) if model.family == "gemma" else LlamaConfig(**shape)


def build_model(config: PreTrainedConfig, seed: int, device: torch.device | str = "cpu") -> PreTrainedModel:
    """A model with fresh weights; torch's global random state is left as it was."""
    device = torch.device(device)
    attention = "sdpa" if device.type == "cuda" else "eager"
    with torch.random.fork_rng(devices=[]):  # transformers draws weights of its own, which are drawn anew below
        model = AutoModelForCausalLM.from_config(config, attn_implementation=attention, dtype=torch.float32)
    initialise(model, SeedTree(seed))
    return model.to(device)  # pyright: ignore[reportArgumentType]


def initialise(model: PreTrainedModel, seeds: SeedTree) -> None:
    """Draw a model's weights; each tensor's depend on the seed, its name and its shape alone."""
    num_layers = int(model.config.num_hidden_layers)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim < 2:  # norms begin as the identity
                continue
            std = 0.02 if "embed_tokens" in name else weight.shape[1] ** -0.5
            # Each layer adds to the residual stream twice: what 2 x layers of them add has the deviation of one.
            std /= (2 * num_layers) ** 0.5 if name.endswith(RESIDUAL_WRITERS) else 1.0
            weight.copy_(torch.randn(weight.shape, generator=seeds.child(name).torch()) * std)


def weights(model: PreTrainedModel) -> dict[str, Tensor]:
    """A model's weights on the CPU, tied ones once; ``load_weights`` reads them."""
    return {name: value.detach().to("cpu", copy=True).contiguous() for name, value in model.named_parameters()}


def load_weights(model: PreTrainedModel, tensors: dict[str, Tensor]) -> None:
    """Give a model the weights that ``weights`` returned.

    Raises:
        BadInput: they are of another shape.
    """
    parameters = dict(model.named_parameters())
    shapes = {name: value.shape for name, value in parameters.items()}
    given_shapes = {name: value.shape for name, value in tensors.items()}
    differing = sorted(n for n in shapes.keys() | given_shapes.keys() if shapes.get(n) != given_shapes.get(n))
    if differing:
        raise BadInput(
            f"weights: {differing[0]} is of another shape than the model's, or on one side only; "
            "take the configuration that they were trained with"
        )
    with torch.no_grad():
        for name, value in parameters.items():
            value.copy_(tensors[name])


def load_model(path: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerFast, TrainConfig, int]:
    """The newest model of a run, its tokenizer, its configuration, and the step it was saved at.

    Raises:
        BadInput: there is no run, it is of another kind, or it holds no checkpoint yet.
    """
    run, config = Run.open(path), Run.configuration(path, TrainConfig)
    checkpoint = run.load()
    if not checkpoint:
        raise BadInput(f"run: {str(path)!r} holds no checkpoint yet; train it further")
    tokenizer = load_tokenizer(path / "tokenizer")
    shape = hf_config(config.model, len(tokenizer), config.context_length, end_of_text(tokenizer))
    # A run that was trained on a GPU is read where there is none as well.
    device = "cuda" if torch.cuda.is_available() and config.device != "cpu" else "cpu"
    model = build_model(shape, config.seed, device)
    load_weights(model, checkpoint.tensors["model"])
    return model.eval(), tokenizer, config, checkpoint.step


def export_model(run: Path, folder: Path) -> str:
    """Write a run's newest model and tokenizer as a new folder that ``from_pretrained`` reads, whole or not at all.

    Returns:
        Its rope type. One that begins with "outrange" is known to transformers only after
        ``import outrange.lm.rotary``.
    """
    model, tokenizer, _, _ = load_model(run)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadInput(f"folder: {str(folder)!r} is not empty; give a new folder")
    with atomic.writable("folder", folder), whole_folder(folder) as partial:
        model.save_pretrained(str(partial))
        tokenizer.save_pretrained(str(partial))
    return str(model.config.rope_parameters["rope_type"])
