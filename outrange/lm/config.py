"""What a training of a small decoder language model is: its shape, its rotary scheme, its settings, and the presets
(arXiv 2410.06205, section 5, table 2).

Apart from the model, so that a command line can be read without loading torch. The texts under the fields are also the
help of the command line. Deviations of ``paper``: its learning rate, warm-up and weight decay are ours, since the
paper's were not found; its text and its tokenizer are what one gives.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, get_args

from outrange.core.checks import finite, require, whole, within
from outrange.core.errors import BadInput, unknown
from outrange.lm.schemes import ROTARY_KINDS, RotaryKind

Family = Literal["llama", "gemma"]
Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True, kw_only=True)
class Rotary:
    """A rotary scheme by name; ``lm.schemes`` says what each is, ``lm.rotary`` makes it."""

    kind: RotaryKind = "rope"
    """which channel pairs turn with position: none, all, the fastest p, the slowest p, a whole spectrum on p of them"""
    theta: float = 10_000.0
    """base of the frequencies"""
    p: float = 0.75
    """share of the frequencies that turn; used by p-rope, reversed and partial"""

    def __post_init__(self) -> None:
        if self.kind not in ROTARY_KINDS:
            raise unknown("rotary.kind", self.kind, ROTARY_KINDS, "a rotary scheme")
        within("rotary.p", self.p, 0, 1, "between 0 and 1")
        finite("rotary.theta", self.theta, above=1)


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A decoder's shape."""

    RENAMED: ClassVar = {
        "layers": "num_layers",
        "width": "hidden_size",
        "heads": "num_heads",
        "kv_heads": "num_kv_heads",
        "ffn": "intermediate_size",
        "window": "sliding_window",
    }

    family: Family = "llama"
    """whose layers: Llama's, or Gemma's, whose norms, activation and embeddings differ"""
    num_layers: int = 4
    """blocks of attention and feed-forward network"""
    hidden_size: int = 128
    """width of the residual stream"""
    num_heads: int = 4
    """query heads of a layer"""
    num_kv_heads: int = 4
    """key and value heads, shared by the query heads"""
    head_dim: int = 32
    """channels of a head; even, since they turn in pairs"""
    intermediate_size: int = 352
    """width inside the feed-forward network"""
    sliding_window: int = 0
    """tokens that a position sees in every layer, itself among them; 0: all before it. Llama only"""
    rotary: Rotary = field(default_factory=Rotary)
    """how positions are encoded"""

    def __post_init__(self) -> None:
        if self.family not in get_args(Family):
            raise unknown("model.family", self.family, get_args(Family), "a family of models")
        for name in ("num_layers", "hidden_size", "num_heads", "num_kv_heads", "head_dim", "intermediate_size"):
            whole(f"model.{name}", getattr(self, name), 1)
        # transformers has a window for Llama's layers only, under the name of Mistral.
        if self.sliding_window < 0 or (self.sliding_window and self.family != "llama"):
            raise BadInput(
                f"model.sliding_window: {self.sliding_window} is not allowed in the {self.family} family; "
                "it must be 0, or for llama at least 1"
            )
        require(self.head_dim % 2 == 0, "model.head_dim", self.head_dim, "even, since channels turn in pairs")
        divides = self.num_heads % self.num_kv_heads == 0
        require(divides, "model.num_kv_heads", self.num_kv_heads, f"a divisor of the {self.num_heads} heads")


def sized(depth: int, rotary: Rotary | None = None) -> ModelConfig:
    """A shape from one dial.

    Args:
        depth: the number of layers, and of heads of 32 channels in each, so that the width is 32 x depth. The
            feed-forward network is 8/3 as wide, rounded up to a multiple of 32.
        rotary: the rotary scheme; plain RoPE if not given.
    """
    whole("depth", depth, 1)
    hidden_size = 32 * depth
    return ModelConfig(
        num_layers=depth,
        hidden_size=hidden_size,
        num_heads=depth,
        num_kv_heads=depth,
        intermediate_size=32 * math.ceil(hidden_size * 8 / 3 / 32),
        rotary=rotary or Rotary(),
    )


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """A training of one language model. A step is one update on ``batch_size`` windows of ``context_length`` tokens."""

    KIND: ClassVar = "lm"
    RENAMED: ClassVar = {
        "vocab": "vocab_size",
        "length": "context_length",
        "batch": "batch_size",
        "micro": "micro_batch_size",
        "warmup": "warmup_steps",
        "clip": "max_grad_norm",
    }

    text: tuple[str, ...]
    """files or folders of text (.txt .md .rst .parquet), or hub:NAME for a data set of the Hugging Face hub"""
    column: str = "text"
    """the column to read of tables: Parquet files and hub data sets"""
    separator: str = ""
    """cuts text files into documents; none: a file is a document"""
    tokenizer: str = ""
    """a folder with a Hugging Face tokenizer; none: byte-level BPE, trained on the training documents"""
    vocab_size: int = 4096
    """tokens of a tokenizer that is trained, at most"""
    model: ModelConfig = field(default_factory=ModelConfig)
    """the model's shape"""
    context_length: int = 128
    """tokens of a window"""
    batch_size: int = 16
    """windows of an update"""
    micro_batch_size: int = 0
    """windows that are computed at a time, which bounds the memory; 0: all of the update's"""
    steps: int = 1000
    """updates in all"""
    learning_rate: float = 3e-3
    """at its highest; it falls to a tenth of that on a cosine"""
    warmup_steps: int = 50
    """updates in which the learning rate rises"""
    weight_decay: float = 0.1
    """of AdamW, on matrices alone"""
    max_grad_norm: float = 1.0
    """a larger gradient is scaled down to this norm; 0: none is"""
    seed: int = 0
    """of weights and windows"""
    evaluate_every: int = 200
    """updates between validations; 0: only after the last"""
    evaluate_tokens: int = 32_768
    """tokens that a validation predicts, at most"""
    checkpoint_every: int = 200
    """updates between checkpoints"""
    log_every: int = 20
    """updates between lines of metrics"""
    precision: Precision = "float32"
    """bfloat16 multiplies in half precision; worth it only where the processor has instructions for it"""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """where to compute"""
    threads: int = 1
    """of the process"""

    def __post_init__(self) -> None:
        if not self.text:
            raise BadInput("text: none given; name files or folders of text")
        if self.precision not in get_args(Precision):
            raise unknown("precision", self.precision, get_args(Precision), "a precision")
        # 256 bytes and the end of a document
        require(self.vocab_size >= 257, "vocab_size", self.vocab_size, "at least 257: 256 bytes and the end of a text")
        whole("context_length", self.context_length, 2)
        for name in ("micro_batch_size", "steps", "warmup_steps", "seed", "evaluate_every"):
            whole(name, getattr(self, name), 0)
        for name in ("batch_size", "evaluate_tokens", "checkpoint_every", "log_every", "threads"):
            whole(name, getattr(self, name), 1)
        finite("learning_rate", self.learning_rate, above=0)
        for name in ("max_grad_norm", "weight_decay"):
            within(name, getattr(self, name), 0, math.inf, "at least 0")


def smoke(text: tuple[str, ...]) -> TrainConfig:
    """Seconds: it runs, and the loss falls."""
    return TrainConfig(
        text=text,
        vocab_size=512,
        model=sized(2),
        context_length=32,
        batch_size=8,
        steps=60,
        warmup_steps=10,
        evaluate_every=30,
        evaluate_tokens=2048,
        checkpoint_every=30,
        log_every=10,
    )


def laptop(text: tuple[str, ...]) -> TrainConfig:
    """At most two minutes on one busy core."""
    return TrainConfig(text=text, vocab_size=2048, model=sized(3), steps=400, warmup_steps=40)


def paper(text: tuple[str, ...]) -> TrainConfig:
    """Gemma 2B's shape, 10,000 updates on 512 windows of 8,192 tokens: for GPUs.

    Give it a tokenizer of 256,000 tokens.
    """
    gemma_2b = ModelConfig(
        family="gemma",
        num_layers=18,
        hidden_size=2048,
        num_heads=8,
        num_kv_heads=1,
        head_dim=256,
        intermediate_size=16_384,
    )
    return TrainConfig(
        text=text,
        vocab_size=256_000,
        model=gemma_2b,
        context_length=8192,
        batch_size=512,
        micro_batch_size=1,
        steps=10_000,
        learning_rate=3e-4,
        warmup_steps=500,
        evaluate_every=500,
        evaluate_tokens=1 << 22,
        checkpoint_every=500,
        precision="bfloat16",
    )


PRESETS: dict[str, Callable[[tuple[str, ...]], TrainConfig]] = {"smoke": smoke, "laptop": laptop, "paper": paper}


def preset(name: str, text: tuple[str, ...], **changes: Any) -> TrainConfig:
    """A preset on a text, with some settings changed."""
    if name not in PRESETS:
        raise unknown("preset", name, PRESETS, "a preset")
    return replace(PRESETS[name](text), **changes)
