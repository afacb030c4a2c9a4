"""What a training is: the model's shape, the training's settings, and the presets (arXiv 2209.11142, section 4 and
appendix; the published code's defaults).

Apart from the model, so that a command line can be read without loading torch or Numba. The texts under the fields are
also the help of the command line.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, get_args

from outrange.core.checks import finite, whole, within
from outrange.core.errors import BadInput, unknown
from outrange.reasoning.clrs.load import load_modules
from outrange.reasoning.clrs.specs import CLRS30

HintMode = Literal["encoded_decoded", "decoded_only", "none"]
HintFeedback = Literal["soft", "hard", "hard_on_eval"]
_THIRTY = tuple(sorted(CLRS30))


def _require_known(name: str, field: str) -> None:
    """Refuse a name that is neither one of the thirty nor a registered one."""
    if name not in CLRS30:
        # the registry loads the compiler, so it is asked only about what the table does not know
        from outrange.reasoning.clrs.registry import get_algorithm

        get_algorithm(name, field)


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A reasoner's shape; the defaults are the paper's."""

    RENAMED: ClassVar = {"hidden": "hidden_dim", "hints": "hint_mode", "feedback": "hint_feedback"}

    processor: str = "triplet_gmpnn"
    """one of triplet_gmpnn, triplet_mpnn, gmpnn, mpnn, pgn, gpgn, triplet_pgn, triplet_gpgn, or one that a loaded file
    registers"""
    hidden_dim: int = 128
    """width of all features"""
    triplet_features: int = 8
    """width of the features of a triplet of nodes"""
    hint_mode: HintMode = "encoded_decoded"
    """encoded_decoded: hints are predicted and fed back; decoded_only: predicted; none: neither"""
    hint_feedback: HintFeedback = "soft"
    """how predicted hints are fed back: soft, as probabilities with gradient; hard, decided; hard_on_eval, decided
    outside training"""
    xavier_on_scalars: bool = True
    """encoders of scalar hints start at 1/sqrt(hidden_dim)"""

    def __post_init__(self) -> None:
        for name in ("hidden_dim", "triplet_features"):
            whole(f"model.{name}", getattr(self, name), 1)
        if self.hint_mode not in get_args(HintMode):
            raise unknown("model.hint_mode", self.hint_mode, get_args(HintMode), "a hint policy")
        if self.hint_feedback not in get_args(HintFeedback):
            raise unknown("model.hint_feedback", self.hint_feedback, get_args(HintFeedback), "a way to feed hints back")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """A training of one reasoner. A step is one update on one batch of one algorithm; several algorithms take turns."""

    KIND: ClassVar = "nar"
    RENAMED: ClassVar = {
        "batch": "batch_size",
        "chunk": "chunk_length",
        "clip": "max_grad_norm",
        "evaluate_count": "evaluate_samples",
        "layer": "kernels",
        "start": "initial_weights",
    }

    algorithms: tuple[str, ...]
    """what it learns: names of `outrange clrs list`"""
    model: ModelConfig = field(default_factory=ModelConfig)
    """the reasoner's shape"""
    steps: int = 10_000
    """updates in all"""
    batch_size: int = 32
    """samples of an update"""
    lengths: tuple[int, ...] | None = None
    """sampler lengths, in turn; none: 4, 7, 11, 13, 16 (string matchers: 20)"""
    chunk_length: int = 0
    """train on stretches of this many steps instead of whole traces; 0: whole traces"""
    teacher_forcing: float = 0.0
    """probability that a true hint is fed instead of the predicted one"""
    random_positions: bool = True
    """positions of nodes are drawn anew for every sample, sorted"""
    pred_as_input: bool = True
    """a constant pred_h becomes an input"""
    permutations: bool = True
    """sorted orders are decoded as permutations"""
    learning_rate: float = 1e-3
    """of Adam"""
    max_grad_norm: float = 1.0
    """a larger gradient is scaled down to this norm; 0: none is"""
    seed: int = 0
    """of weights, data and noise"""
    evaluate_every: int = 50
    """updates of an algorithm between validations; 0: none, the last weights are kept"""
    evaluate_samples: int = 0
    """validation samples at most; 0: all, 64 times the published multiplier"""
    checkpoint_every: int = 500
    """updates between checkpoints"""
    log_every: int = 50
    """updates of an algorithm between lines of metrics"""
    kernels: Literal["auto", "torch", "cpu"] = "auto"
    """auto takes the fastest for the device"""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """where to compute"""
    threads: int = 1
    """of each process"""
    initial_weights: str = ""
    """weights to start from instead of fresh ones: a run, a folder of weights, or a shipped name"""
    load: tuple[str, ...] = ()
    """Python files that register algorithms or processors"""

    def __post_init__(self) -> None:
        load_modules(self.load)  # first: they may register the algorithms and processors named below
        if not self.algorithms:
            raise BadInput(f"algorithms: none given; name one or more of {', '.join(_THIRTY[:3])}, …, or 'all'")
        for name in self.algorithms:
            _require_known(name, "algorithms")
        if len(set(self.algorithms)) < len(self.algorithms):
            raise BadInput("algorithms: one is listed twice; list each once")
        # 0 has a meaning of its own in these, and none in the next
        for name in ("steps", "chunk_length", "evaluate_every", "evaluate_samples", "seed"):
            whole(f"{name}", getattr(self, name), 0)
        for name in ("batch_size", "checkpoint_every", "log_every", "threads"):
            whole(f"{name}", getattr(self, name), 1)
        within("teacher_forcing", self.teacher_forcing, 0, 1, "a probability from 0 to 1")
        finite("learning_rate", self.learning_rate, above=0)
        within("max_grad_norm", self.max_grad_norm, 0, math.inf, "at least 0, which scales nothing down")
        if self.chunk_length == 1:
            raise BadInput(
                "chunk_length: 1 is not allowed; a stretch of one step predicts nothing; "
                "0 trains on whole traces, 16 is published"
            )


def smoke(algorithms: tuple[str, ...]) -> TrainConfig:
    """Some seconds: it runs, and the loss falls."""
    return TrainConfig(
        algorithms=algorithms,
        model=ModelConfig(hidden_dim=32),
        steps=60,
        batch_size=8,
        lengths=(4, 6),
        evaluate_every=30,
        evaluate_samples=16,
        checkpoint_every=30,
        log_every=10,
    )


def laptop(algorithms: tuple[str, ...]) -> TrainConfig:
    """Some minutes for most single algorithms: the paper's model, a tenth of its steps, 1,000 an algorithm."""
    return TrainConfig(
        algorithms=algorithms,
        steps=1_000 * len(algorithms),
        evaluate_every=100,
        evaluate_samples=64,
        checkpoint_every=100,
    )


def paper(algorithms: tuple[str, ...]) -> TrainConfig:
    """10,000 steps an algorithm of batches of 32, validation every 50; several algorithms in chunks of 16, without the
    gate.

    Validation as published is up to 4,096 samples, more work than the training; ``evaluate_every`` and
    ``evaluate_samples`` make it less.
    """
    # the class's defaults are the paper's for one algorithm
    single_task = TrainConfig(algorithms=algorithms)
    if len(algorithms) == 1:
        return single_task
    ungated = ModelConfig(processor="triplet_mpnn")
    return replace(single_task, steps=10_000 * len(algorithms), chunk_length=16, model=ungated)


PRESETS: dict[str, Callable[[tuple[str, ...]], TrainConfig]] = {"smoke": smoke, "laptop": laptop, "paper": paper}


def preset(name: str, algorithms: tuple[str, ...], **changes: Any) -> TrainConfig:
    """A preset for these algorithms (``all``: the thirty), with some settings changed.

    Args:
        name: smoke, laptop or paper.
        algorithms: names of ``clrs.names()``, or ``("all",)``.
        changes: settings of ``TrainConfig`` by name.

    Raises:
        BadInput: there is no such preset or algorithm, or a setting is out of its bounds.
    """
    if name not in PRESETS:
        raise unknown("preset", name, PRESETS, "a preset")
    chosen = _THIRTY if algorithms == ("all",) else tuple(algorithms)
    for algorithm in chosen:
        _require_known(algorithm, "algorithms")
    return replace(PRESETS[name](chosen), **changes)
