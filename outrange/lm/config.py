"""What a training of a small decoder language model is: its shape, its rotary scheme, its settings, and the presets (arXiv 2410.06205, section 5, table 2).

Apart from the model, so that a command line can be read without loading torch. Deviations of ``paper``: its learning rate, warm-up and weight decay are ours,
since the paper's were not found; its text and its tokenizer are what one gives.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from outrange.core.errors import BadInput, brief, unknown
from outrange.lm.schemes import ROTARY_KINDS, RotaryKind

FAMILIES = ("llama", "gemma")
PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True, kw_only=True)
class Rotary:
    """A rotary scheme by name; ``lm.schemes`` says what each is, ``lm.rotary`` makes it."""

    kind: RotaryKind = "rope"
    theta: float = 10_000.0
    """base of the frequencies"""
    p: float = 0.75
    """share of the frequencies that turn; used by p-rope, reversed and partial"""

    def __post_init__(self) -> None:
        if self.kind not in ROTARY_KINDS:
            raise unknown("rotary.kind", self.kind, ROTARY_KINDS, "a rotary scheme")
        if not 0 <= self.p <= 1:
            raise BadInput(f"rotary.p: {brief(self.p)} is not allowed; it must lie in 0..1")
        if not 1 < self.theta < math.inf:
            raise BadInput(f"rotary.theta: {brief(self.theta)} is not allowed; it must be above 1")


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A decoder's shape."""

    family: Literal["llama", "gemma"] = "llama"
    layers: int = 4
    width: int = 128
    heads: int = 4
    kv_heads: int = 4
    """key and value heads, shared by the query heads"""
    head_dim: int = 32
    ffn: int = 352
    """width inside the feed-forward network"""
    window: int = 0
    """tokens that a position sees in every layer, itself among them; 0: all before it. Llama only"""
    rotary: Rotary = field(default_factory=Rotary)

    def __post_init__(self) -> None:
        if self.family not in FAMILIES:
            raise unknown("model.family", self.family, FAMILIES, "a family of models")
        for name in ("layers", "width", "heads", "kv_heads", "head_dim", "ffn"):
            if getattr(self, name) < 1:
                raise BadInput(f"model.{name}: {getattr(self, name)} is not allowed; it must be at least 1")
        if self.window < 0 or (self.window and self.family != "llama"):
            raise BadInput(
                f"model.window: {self.window} is not allowed in the {self.family} family; 0, or for llama 1 and above"
            )
        if self.head_dim % 2:
            raise BadInput(
                f"model.head_dim: {self.head_dim} is not allowed; it must be even, since channels turn in pairs"
            )
        if self.heads % self.kv_heads:
            raise BadInput(f"model.kv_heads: {self.kv_heads} is not allowed; it must divide the {self.heads} heads")


def sized(depth: int, rotary: Rotary | None = None) -> ModelConfig:
    """A shape from one dial: ``depth`` layers, ``depth`` heads of 32 channels, so a width of 32 x depth; inside 8/3 of it, in whole 32s."""
    if depth < 1:
        raise BadInput(f"depth: {depth} is not allowed; it must be at least 1")
    width = 32 * depth
    return ModelConfig(
        layers=depth,
        width=width,
        heads=depth,
        kv_heads=depth,
        ffn=32 * math.ceil(width * 8 / 3 / 32),
        rotary=rotary or Rotary(),
    )


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """A training of one language model. A step is one update on ``batch`` windows of ``length`` tokens."""

    text: tuple[str, ...]
    """files, folders, or hub:NAME for a data set of the Hugging Face hub"""
    column: str = "text"
    """of tables: Parquet files and hub data sets"""
    separator: str = ""
    """cuts text files into documents; none: a file is a document"""
    tokenizer: str = ""
    """a folder with a Hugging Face tokenizer; none: byte-level BPE, trained on the training documents"""
    vocab: int = 4096
    """tokens of a tokenizer that is trained, at most"""
    model: ModelConfig = field(default_factory=ModelConfig)
    length: int = 128
    """tokens of a window"""
    batch: int = 16
    """windows of an update"""
    micro: int = 0
    """windows that are computed at a time; 0: all of the update's"""
    steps: int = 1000
    learning_rate: float = 3e-3
    """at its highest; it falls to a tenth of that on a cosine"""
    warmup: int = 50
    """updates in which the learning rate rises"""
    weight_decay: float = 0.1
    clip: float = 1.0
    """largest norm of a gradient; 0 cuts nothing"""
    seed: int = 0
    evaluate_every: int = 200
    """updates between validations; 0: only after the last"""
    evaluate_tokens: int = 32_768
    """tokens that a validation predicts, at most"""
    checkpoint_every: int = 200
    log_every: int = 20
    precision: Literal["float32", "bfloat16"] = "float32"
    """bfloat16: products in half precision; worth it only where the processor knows it"""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int = 1

    def __post_init__(self) -> None:
        if not self.text:
            raise BadInput("train.text: none given; name files or folders of text")
        if self.precision not in PRECISIONS:
            raise unknown("train.precision", self.precision, PRECISIONS, "a precision")
        least = {"vocab": 257, "length": 2, "batch": 1, "micro": 0, "steps": 0, "warmup": 0, "seed": 0}
        least |= {"evaluate_every": 0, "evaluate_tokens": 1, "checkpoint_every": 1, "log_every": 1, "threads": 1}
        for name, bound in least.items():
            if getattr(self, name) < bound:
                why = ": 256 bytes and the end of a document" if name == "vocab" else ""
                raise BadInput(f"train.{name}: {getattr(self, name)} is not allowed; it must be at least {bound}{why}")
        if not 0 < self.learning_rate < math.inf:
            raise BadInput(f"train.learning_rate: {self.learning_rate} is not allowed; it must be above 0")
        for name in ("clip", "weight_decay"):
            if not 0 <= getattr(self, name) < math.inf:
                raise BadInput(f"train.{name}: {getattr(self, name)} is not allowed; it must be at least 0")


def smoke(text: tuple[str, ...]) -> TrainConfig:
    """Seconds: it runs, and the loss falls."""
    return TrainConfig(
        text=text, vocab=512, model=sized(2), length=32, batch=8, steps=60, warmup=10,
        evaluate_every=30, evaluate_tokens=2048, checkpoint_every=30, log_every=10,
    )  # fmt: skip


def laptop(text: tuple[str, ...]) -> TrainConfig:
    """At most two minutes on one busy core."""
    return TrainConfig(text=text, vocab=2048, model=sized(3), length=128, batch=16, steps=400, warmup=40)


def paper(text: tuple[str, ...]) -> TrainConfig:
    """Gemma 2B's shape, 10,000 updates on 512 windows of 8,192 tokens: for GPUs. Give it a tokenizer of 256,000 tokens."""
    shape = ModelConfig(family="gemma", layers=18, width=2048, heads=8, kv_heads=1, head_dim=256, ffn=16_384)
    return TrainConfig(
        text=text, vocab=256_000, model=shape, length=8192, batch=512, micro=1, steps=10_000, learning_rate=3e-4, warmup=500,
        evaluate_every=500, evaluate_tokens=1 << 22, checkpoint_every=500, precision="bfloat16",
    )  # fmt: skip


PRESETS: dict[str, Callable[[tuple[str, ...]], TrainConfig]] = {"smoke": smoke, "laptop": laptop, "paper": paper}


def preset(name: str, text: tuple[str, ...], **changes: Any) -> TrainConfig:
    """A preset on a text, with some settings changed."""
    if name not in PRESETS:
        raise unknown("preset", name, PRESETS, "a preset")
    return replace(PRESETS[name](text), **changes)
