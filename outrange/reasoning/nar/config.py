"""What a training is: the model's shape, the training's settings, and the presets (arXiv 2209.11142, section 4 and appendix; the published code's defaults).

Apart from the model, so that a command line can be read without loading torch.
"""

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from outrange.core.errors import BadInput, unknown
from outrange.reasoning.clrs import ALGORITHMS, names
from outrange.reasoning.clrs.load import load_modules
from outrange.reasoning.clrs.registry import get_algorithm

HINTS = ("encoded_decoded", "decoded_only", "none")
FEEDBACK = ("soft", "hard", "hard_on_eval")


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A reasoner's shape; the defaults are the paper's."""

    processor: str = "triplet_gmpnn"
    hidden: int = 128
    triplet_features: int = 8
    hints: Literal["encoded_decoded", "decoded_only", "none"] = "encoded_decoded"
    """encoded_decoded: hints are predicted and fed back; decoded_only: predicted; none: neither"""
    feedback: Literal["soft", "hard", "hard_on_eval"] = "soft"
    """how predicted hints are fed back: as probabilities with gradient, or decided"""
    xavier_on_scalars: bool = True
    """encoders of scalar hints start at 1/sqrt(hidden)"""

    def __post_init__(self) -> None:
        for name in ("hidden", "triplet_features"):
            if getattr(self, name) < 1:
                raise BadInput(f"model.{name}: {getattr(self, name)} is not allowed; it must be at least 1")
        if self.hints not in HINTS:
            raise unknown("model.hints", self.hints, HINTS, "a hint policy")
        if self.feedback not in FEEDBACK:
            raise unknown("model.feedback", self.feedback, FEEDBACK, "a way to feed hints back")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """A training of one reasoner. A step is one update on one batch of one algorithm; several algorithms take turns."""

    algorithms: tuple[str, ...]
    """what it learns"""
    model: ModelConfig = field(default_factory=ModelConfig)
    steps: int = 10_000
    """updates in all"""
    batch: int = 32
    lengths: tuple[int, ...] | None = None
    """sampler lengths in turn; none: 4, 7, 11, 13, 16 (string matchers: 20)"""
    chunk: int = 0
    """train on stretches of this many steps instead of whole traces; 0: whole traces"""
    teacher_forcing: float = 0.0
    """probability that a true hint is fed instead of the predicted one"""
    random_positions: bool = True
    pred_as_input: bool = True
    """a constant pred_h becomes an input"""
    permutations: bool = True
    """sorted orders are decoded as permutations"""
    learning_rate: float = 1e-3
    clip: float = 1.0
    """largest norm of a gradient"""
    seed: int = 0
    evaluate_every: int = 50
    """updates of an algorithm between validations; 0: none, the last weights are kept"""
    evaluate_count: int = 0
    """validation samples at most; 0: all, 64 times the published multiplier"""
    checkpoint_every: int = 500
    log_every: int = 50
    layer: Literal["auto", "torch", "cpu"] = "auto"
    """kernels: auto takes the fastest for the device"""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int = 1
    """of each process"""
    start: str = ""
    """weights to start from instead of fresh ones: a run, a folder of weights, or a shipped name"""
    load: tuple[str, ...] = ()
    """Python files that register algorithms or processors"""

    def __post_init__(self) -> None:
        load_modules(self.load)
        if not self.algorithms:
            raise BadInput(
                f"train.algorithms: none given; name one or more of {', '.join(ALGORITHMS[:3])}, …, or 'all'"
            )
        for name in self.algorithms:
            get_algorithm(name, "train.algorithms")
        if len(set(self.algorithms)) < len(self.algorithms):
            raise BadInput("train.algorithms: one is listed twice; list each once")
        least = {
            "steps": 0,
            "batch": 1,
            "chunk": 0,
            "evaluate_every": 0,
            "evaluate_count": 0,
            "checkpoint_every": 1,
            "log_every": 1,
            "threads": 1,
            "seed": 0,
        }
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise BadInput(f"train.{name}: {getattr(self, name)} is not allowed; it must be at least {bound}")
        if not 0 <= self.teacher_forcing <= 1:
            raise BadInput(f"train.teacher_forcing: {self.teacher_forcing} is not allowed; a probability from 0 to 1")
        if not 0 < self.learning_rate < float("inf"):
            raise BadInput(f"train.learning_rate: {self.learning_rate} is not allowed; it must be above 0")
        if not 0 <= self.clip < float("inf"):
            raise BadInput(f"train.clip: {self.clip} is not allowed; it must be at least 0, which cuts nothing")
        if self.chunk == 1:
            raise BadInput(
                "train.chunk: 1 is not allowed; a stretch of one step predicts nothing; 0 trains on whole traces, 16 is published"
            )


def smoke(algorithms: tuple[str, ...]) -> TrainConfig:
    """Some seconds: it runs, and the loss falls."""
    model = ModelConfig(hidden=32)
    return TrainConfig(
        algorithms=algorithms,
        model=model,
        steps=60,
        batch=8,
        lengths=(4, 6),
        evaluate_every=30,
        evaluate_count=16,
        checkpoint_every=30,
        log_every=10,
    )


def laptop(algorithms: tuple[str, ...]) -> TrainConfig:
    """Some minutes for most single algorithms: the paper's model, a tenth of its steps, 1,000 an algorithm."""
    return TrainConfig(
        algorithms=algorithms,
        steps=1_000 * len(algorithms),
        evaluate_every=100,
        evaluate_count=64,
        checkpoint_every=100,
    )


def paper(algorithms: tuple[str, ...]) -> TrainConfig:
    """10,000 steps an algorithm of batches of 32, validation every 50; several algorithms in chunks of 16, without the gate.

    Validation as published is up to 4,096 samples, more work than the training; ``evaluate_every`` and ``evaluate_count`` make it less.
    """
    one = TrainConfig(algorithms=algorithms)
    if len(algorithms) == 1:
        return one
    return replace(one, steps=10_000 * len(algorithms), chunk=16, model=ModelConfig(processor="triplet_mpnn"))


PRESETS = {"smoke": smoke, "laptop": laptop, "paper": paper}


def preset(name: str, algorithms: tuple[str, ...], **changes: Any) -> TrainConfig:
    """A preset for these algorithms (``all``: the thirty), with some settings changed."""
    if name not in PRESETS:
        raise unknown("preset", name, PRESETS, "a preset")
    chosen = ALGORITHMS if algorithms == ("all",) else algorithms
    for a in chosen:
        if a not in names():
            get_algorithm(a, "algorithms")
    return replace(PRESETS[name](tuple(chosen)), **changes)
