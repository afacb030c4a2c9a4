"""Everything an exploration run is told. Names are those of tables 6 to 8 of Never Give Up (arXiv 2002.06038), and so are defaults where they have one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from outrange.core.config import assignments, from_json, to_json
from outrange.core.errors import BadInput, unknown
from outrange.exploration.novelty.episodic import EpisodicConfig

EncoderName = Literal["crop", "cells", "cells-paper", "pixels", "objects", "vector"]


def _within(name: str, value: float, low: float, high: float, said: str) -> None:
    if not low <= value <= high:
        raise BadInput(f"{name}: {value} is not allowed; it must be {said}")


@dataclass(frozen=True, kw_only=True)
class EnvConfig:
    """Which environments, how many side by side."""

    name: str = "outrange/RandomDiscoMaze-v0"
    count: int = 64
    engine: Literal["auto", "native", "gymnasium", "envpool", "ale"] = "auto"
    """auto: our own where it is ours; for Atari envpool if it tells the room and is installed, else ale; gymnasium for all else"""
    options: tuple[str, ...] = ()
    """NAME=VALUE pairs for the environment"""

    def __post_init__(self) -> None:
        _within("env.count", self.count, 1, 4096, "between 1 and 4,096")
        if not self.name:
            raise BadInput("env.name: '' is not allowed; it must be the name of an environment")
        assignments("env.options", self.options)


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """The recurrent Q network."""

    encoder: EncoderName = "crop"
    width: int = 128
    """features of an observation"""
    hidden: int = 128
    """of the LSTM"""
    head: int = 128
    """of the dueling heads"""

    def __post_init__(self) -> None:
        for name in ("width", "hidden", "head"):
            _within(f"network.{name}", getattr(self, name), 1, 8192, "between 1 and 8,192")


@dataclass(frozen=True, kw_only=True)
class ActingConfig:
    """How actions are chosen while learning: epsilon_i = base^(1 + alpha i / (A - 1)) over all A actors (Ape-X), the first few of each mixture greedy."""

    base: float = 0.4
    alpha: float = 7.0
    greedy: int = 0
    """actors of each mixture that act with epsilon_greedy all the time; their episodes are what coverage and return are read off while learning"""
    epsilon_greedy: float = 0.0
    process: bool = False
    """whether the actor has a process of its own; it then acts while the learner learns"""
    ahead: int = 4
    """steps of its environments that such an actor may be in front of the learner; 0 is lock-step, and gives the numbers of a single process"""
    assign: Literal["fixed", "uniform"] = "fixed"
    """one mixture for each actor, j mod N; or drawn anew each episode, as the Agent57 paper describes NGU"""

    def __post_init__(self) -> None:
        _within("acting.alpha", self.alpha, 0, 1000, "between 0 and 1,000")
        _within("acting.base", self.base, 0, 1, "between 0 and 1")
        _within("acting.epsilon_greedy", self.epsilon_greedy, 0, 1, "between 0 and 1")
        _within("acting.ahead", self.ahead, 0, 1000, "between 0 and 1,000")
        _within("acting.greedy", self.greedy, 0, 4096, "not negative")


@dataclass(frozen=True, kw_only=True)
class ReplayConfig:
    """Prioritized sequences with stored recurrent state."""

    rows: int = 300_000
    """environment steps kept, over all environments"""
    trace: int = 50
    """steps of a sequence"""
    period: int = 50
    """steps between the beginnings of two sequences; less than trace for overlap"""
    crossing: bool = True
    """whether a sequence may span the end of an episode, with the state reset inside; the paper's do not, at the price of padding"""
    start: int = 128
    """sequences there must be before learning"""
    exponent: float = 0.9
    eta: float = 0.9
    """priority = eta max + (1 - eta) mean of |error|"""

    def __post_init__(self) -> None:
        _within("replay.trace", self.trace, 2, 10_000, "between 2 and 10,000")
        _within("replay.period", self.period, 1, self.trace, "between 1 and replay.trace")
        _within("replay.exponent", self.exponent, 0, 10, "between 0 and 10")
        _within("replay.eta", self.eta, 0, 1, "between 0 and 1")
        _within("replay.start", self.start, 1, 1 << 40, "at least 1")
        _within("replay.rows", self.rows, 1, 1 << 40, "at least 1")


@dataclass(frozen=True, kw_only=True)
class LearnerConfig:
    """How Q is learned."""

    target: Literal["retrace", "n-step"] = "retrace"
    lam: float = 0.95
    n: int = 5
    transform: Literal["rescale", "identity"] = "rescale"
    transform_epsilon: float = 1e-3
    target_epsilon: float = 0.01
    """epsilon of the target policy; 0 is greedy"""
    gamma: float = 0.997
    """discount of mixture 0, which exploits"""
    gamma_explore: float = 0.99
    """discount of the last mixture"""
    batch: int = 64
    burn_in: int = 0
    """first steps of a sequence that only warm the state up"""
    ratio: float = 1.0
    """how often a step is learned from, on average: updates = ratio x steps / (batch x trace)"""
    rate: float = 1e-4
    rate_end: float = 1.0
    """share of the rate that is left at the end of the run"""
    rate_hold: float = 0.0
    """share of the run in which the rate stays whole; from there it falls in proportion to the steps"""
    adam_epsilon: float = 1e-4
    clip: float = 40.0
    over: Literal["sum", "mean"] = "sum"
    """what a sequence's squared errors become before the batch's mean; clip is meant for the sum, which it cuts to one size where errors are large"""
    copy_every: int = 1500
    """updates between copies to the target network"""
    scale: float = 1.0
    """what rewards and bonuses are multiplied by to learn from them; Adam's steps do not shrink with values, so small values are learned with more noise.
    q and loss are logged in the rewards' own units"""
    foreign: float = 0.0
    """share of a batch that is learned from under another mixture than it was collected under (CMR); nothing where there is one mixture"""

    def __post_init__(self) -> None:
        for name in ("lam", "target_epsilon", "foreign", "rate_end", "rate_hold"):
            _within(f"learner.{name}", getattr(self, name), 0, 1, "between 0 and 1")
        for name in ("gamma", "gamma_explore"):
            _within(f"learner.{name}", getattr(self, name), 0, 0.999999, "at least 0 and below 1")
        _within("learner.transform_epsilon", self.transform_epsilon, 0, 1, "between 0 and 1")
        _within("learner.adam_epsilon", self.adam_epsilon, 0, 1, "between 0 and 1")
        _within("learner.clip", self.clip, 1e-9, 1e9, "above 0")
        _within("learner.scale", self.scale, 1e-9, 1e9, "above 0")
        if self.gamma_explore > self.gamma:
            raise BadInput(
                f"learner.gamma_explore: {self.gamma_explore} is not allowed; it must be at most learner.gamma, {self.gamma}"
            )
        _within("learner.batch", self.batch, 1, 1 << 16, "at least 1")
        _within("learner.n", self.n, 1, 1000, "between 1 and 1,000")
        _within("learner.ratio", self.ratio, 1e-9, 1000, "above 0")
        _within("learner.rate", self.rate, 0, 1, "between 0 and 1")
        _within("learner.burn_in", self.burn_in, 0, 10_000, "not negative")
        _within("learner.copy_every", self.copy_every, 1, 1 << 40, "at least 1")


@dataclass(frozen=True, kw_only=True)
class BonusConfig(EpisodicConfig):
    """The intrinsic reward r^i and the family of mixtures r^e + beta_j r^i; with the constants of the episodic bonus."""

    kind: Literal["none", "ngu", "episodic", "projection", "rnd"] = "ngu"
    """ngu: episodic x life-long factor; episodic: without the factor; projection: episodic with an embedding that is never trained; rnd: the factor alone"""
    mixtures: int = 1
    beta: float = 0.3
    at: Literal["arrival", "departure"] = "arrival"
    """whether a step earns the novelty of the observation it leads to, or of the one it leaves (the paper's r_t of x_t)"""
    dimension: int = 32
    encoder: EncoderName = "cells"
    capacity: int = 5000
    """points of an episode that are remembered; the oldest goes first"""
    ceiling: float = 5.0
    """L, at most which the life-long factor multiplies"""
    frames: int = 5
    """last steps of a sequence that embedding and RND are trained on"""
    rate: float = 5e-4
    adam_epsilon: float = 1e-4
    decay: float = 1e-5
    rnd_width: int = 128
    rnd_rate: float = 5e-4
    warmup: int = 0
    """updates of the embedding, at most, on uniformly random actions before anything else; the replay is emptied after"""
    warmup_accuracy: float = 1.0
    """the warm-up ends sooner once actions are told apart this well, over its last 20 updates"""
    refresh: int = 200
    """steps of the environments between copies of the embedding to the actors"""
    wipe_every: int = 1
    """episodes after which the memory is wiped"""
    continuing: bool = False
    """whether mixtures with a bonus value what comes after an episode's end, in the next one, rewards and bonuses alike (RND does it for the
    bonus alone). Reaching a goal then forfeits only that step's own bonus, and wins a memory in which everything is new again. Mixture 0 is not concerned"""

    def __post_init__(self) -> None:
        _within("bonus.mixtures", self.mixtures, 1, 256, "between 1 and 256")
        _within("bonus.beta", self.beta, 0, 1e6, "not negative")
        _within("bonus.dimension", self.dimension, 1, 4096, "between 1 and 4,096")
        _within("bonus.capacity", self.capacity, 1, 1 << 30, "at least 1")
        super().__post_init__()
        _within("bonus.k", self.k, 1, self.capacity, "between 1 and bonus.capacity")
        for name in ("rate", "rnd_rate", "adam_epsilon", "decay", "warmup_accuracy"):
            _within(f"bonus.{name}", getattr(self, name), 0, 1, "between 0 and 1")
        _within("bonus.rnd_width", self.rnd_width, 1, 8192, "between 1 and 8,192")
        _within("bonus.warmup", self.warmup, 0, 1 << 40, "not negative")
        _within("bonus.frames", self.frames, 1, 10_000, "at least 1")
        _within("bonus.refresh", self.refresh, 1, 1 << 40, "at least 1")
        _within("bonus.wipe_every", self.wipe_every, 1, 1 << 40, "at least 1")
        _within("bonus.ceiling", self.ceiling, 1, 1e6, "at least 1")

    @property
    def embeds(self) -> bool:
        """Whether there is an embedding and a memory."""
        return self.kind in ("ngu", "episodic", "projection")

    @property
    def learns(self) -> bool:
        """Whether the embedding is trained."""
        return self.kind in ("ngu", "episodic")

    @property
    def distils(self) -> bool:
        """Whether there is random network distillation."""
        return self.kind in ("ngu", "rnd")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One run."""

    agent: str = "ngu"
    """what it is called; what it does is in the rest"""
    preset: str = ""
    env: EnvConfig = field(default_factory=EnvConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    acting: ActingConfig = field(default_factory=ActingConfig)
    replay: ReplayConfig = field(default_factory=ReplayConfig)
    learner: LearnerConfig = field(default_factory=LearnerConfig)
    bonus: BonusConfig = field(default_factory=BonusConfig)
    steps: int = 1_500_000
    """environment steps in all, the embedding's warm-up among them"""
    seed: int = 0
    log_every: int = 25_000
    checkpoint_every: int = 500_000
    broken: int = 20
    """episodes that may be lost to an environment that crashes, stalls or gives what it must not, before the run ends"""
    threads: int = 1
    device: Literal["auto", "cpu", "cuda"] = "cpu"

    def __post_init__(self) -> None:
        _within("steps", self.steps, 0, 1 << 60, "not negative")
        _within("broken", self.broken, 0, 1 << 40, "not negative")
        least = self.env.count * (self.replay.trace + 2 * self.replay.period)
        if self.replay.rows < least:
            raise BadInput(
                f"replay.rows: {self.replay.rows:,} is not allowed; {self.env.count} environments need at least {least:,}"
            )
        most = self.env.count * ((self.rows - self.replay.trace) // self.replay.period)
        if self.replay.start > most:
            raise BadInput(
                f"replay.start: {self.replay.start:,} is not allowed; this replay never holds more than {most:,} sequences"
            )
        for name in ("log_every", "checkpoint_every", "threads"):
            _within(name, getattr(self, name), 1, 1 << 60, "at least 1")
        if self.learner.burn_in >= self.replay.trace:
            raise BadInput(
                f"learner.burn_in: {self.learner.burn_in} is not allowed; it must be less than replay.trace, {self.replay.trace}"
            )
        if self.bonus.frames > self.replay.trace:
            raise BadInput(
                f"bonus.frames: {self.bonus.frames} is not allowed; it must be at most replay.trace, {self.replay.trace}"
            )
        if self.bonus.continuing and not self.replay.crossing:
            raise BadInput(
                "bonus.continuing: true is not allowed with replay.crossing false; the next episode's beginning must follow in the sequence"
            )
        if self.bonus.continuing and self.acting.assign != "fixed":
            raise BadInput(
                "bonus.continuing: true is not allowed with acting.assign uniform; the next episode would be another mixture's"
            )
        if self.acting.greedy * self.bonus.mixtures > self.env.count:
            raise BadInput(
                f"acting.greedy: {self.acting.greedy} for each of {self.bonus.mixtures} mixtures are more than the {self.env.count} of env.count"
            )
        if self.env.count < self.bonus.mixtures and self.acting.assign == "fixed":
            raise BadInput(
                f"env.count: {self.env.count} is not allowed; it must be at least bonus.mixtures, {self.bonus.mixtures}, or take acting.assign uniform"
            )

    @property
    def rows(self) -> int:
        """Rows of the replay for each environment: a multiple of the period."""
        return max(self.replay.rows // self.env.count // self.replay.period, 1) * self.replay.period

    @property
    def update_every(self) -> float:
        """Environment steps between two updates."""
        return self.learner.batch * self.replay.trace / self.learner.ratio


def changed(config: TrainConfig, settings: Mapping[str, Any]) -> TrainConfig:
    """A configuration with other settings, by their dotted names: ``{"learner.gamma": 0.97}``.

    Raises:
        BadInput: there is no such setting, or it does not take that.
    """
    held = to_json(config)
    for name, value in settings.items():
        *path, last = name.split(".")
        inner = held
        for part in path:
            if not isinstance(inner.get(part), dict):
                raise unknown("set", name, _names(held), "a setting")
            inner = inner[part]
        if last not in inner or isinstance(inner[last], dict):
            raise unknown("set", name, _names(held), "a setting")
        inner[last] = list(value) if isinstance(value, tuple) else value
    return from_json(TrainConfig, held)


def _names(held: Mapping[str, Any], before: str = "") -> list[str]:
    return [
        name
        for key, value in held.items()
        for name in (_names(value, f"{before}{key}.") if isinstance(value, Mapping) else [before + key])
    ]
