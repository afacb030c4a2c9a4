"""The configuration of a run. Defaults are those of tables 6 to 8 of Never Give Up (arXiv 2002.06038) where they have
one.

Each class is one part of a run, and each field's text is what ``outrange explore train --help`` prints. Reading a
configuration loads neither torch nor Numba. The names that version 0.6 gave to fields are read through the ``RENAMED``
of each class.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from outrange.core.checks import within
from outrange.core.config import assignments
from outrange.core.errors import BadInput, unknown
from outrange.exploration.agents import table

MissingNeighbours = Literal["zero", "unit"]
Average = Literal["cumulative", "momentum"]
AverageScope = Literal["global", "episode"]
AverageOf = Literal["all", "kth"]
EncoderName = Literal["crop", "cells", "cells-paper", "pixels", "objects", "vector"]
if TYPE_CHECKING:
    AgentName = str
else:
    AgentName = Literal[*table.names()]  # the choices are the rows of one table


@dataclass(frozen=True, kw_only=True)
class EnvConfig:
    """Which environments, and how many side by side."""

    name: str = "outrange/RandomDiscoMaze-v0"
    """The id of the environment: outrange/RandomDiscoMaze-v0, RandomCoin-v0, TwoDoors-v0 or DeepSea-v0, a MiniGrid or
    ALE id, or any Gymnasium id with discrete actions."""
    count: int = 64
    """How many environments run side by side; each is one actor."""
    engine: Literal["auto", "native", "gymnasium", "envpool", "ale"] = "auto"
    """What runs the environments. auto takes our own where it is ours, for Atari envpool if it is installed and knows
    the game's rooms, else ale, and gymnasium for everything else."""
    options: tuple[str, ...] = ()
    """Options of the environment as NAME=VALUE pairs, for example size=15."""

    def __post_init__(self) -> None:
        within("env.count", self.count, 1, 4096, "between 1 and 4,096")
        if not self.name:
            raise BadInput("env.name: '' is not allowed; it must be the name of an environment")
        assignments("env.options", self.options)


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """The recurrent Q network: an encoder, an LSTM, dueling heads."""

    RENAMED: ClassVar = {"width": "encoder_size", "hidden": "hidden_size", "head": "head_size"}

    encoder: EncoderName = "crop"
    """How an observation is encoded: crop, cells and cells-paper take grids of cell codes, objects takes MiniGrid's
    view, pixels takes images, vector takes any numbers."""
    encoder_size: int = 128
    """How many features the encoder gives for one observation."""
    hidden_size: int = 128
    """How many units the LSTM has."""
    head_size: int = 128
    """How many hidden units each of the two dueling heads has."""

    def __post_init__(self) -> None:
        for name in ("encoder_size", "hidden_size", "head_size"):
            within(f"network.{name}", getattr(self, name), 1, 8192, "between 1 and 8,192")


@dataclass(frozen=True, kw_only=True)
class ActingConfig:
    """How actions are chosen while learning. Actor i of A takes random actions with epsilon_i = base^(1 + alpha i / (A
    - 1)), as in Ape-X."""

    RENAMED: ClassVar = {
        "base": "epsilon_base",
        "alpha": "epsilon_alpha",
        "greedy": "greedy_actors",
        "epsilon_greedy": "greedy_epsilon",
        "process": "separate_process",
        "ahead": "steps_ahead",
        "assign": "mixture_assignment",
    }

    epsilon_base: float = 0.4
    """The largest share of random actions, that of the first actor."""
    epsilon_alpha: float = 7.0
    """How far the share of random actions falls from the first actor to the last; 0 gives all actors the same."""
    greedy_actors: int = 0
    """How many actors of each mixture take random actions with greedy_epsilon only. Their episodes are logged apart
    (greedy_…), as what the agent can do by now."""
    greedy_epsilon: float = 0.0
    """The share of random actions of the greedy actors."""
    separate_process: bool = False
    """Whether the actors run in a process of their own, and act while the learner learns."""
    steps_ahead: int = 4
    """How many steps actors in a process of their own may be ahead of the learner. With 0 they wait for it, and the run
    has the numbers of a single process."""
    mixture_assignment: Literal["fixed", "uniform"] = "fixed"
    """Which mixture an actor follows: fixed keeps mixture j mod N for actor j, uniform draws one for each episode, as
    the Agent57 paper describes NGU."""

    def __post_init__(self) -> None:
        within("acting.epsilon_base", self.epsilon_base, 0, 1, "between 0 and 1")
        within("acting.epsilon_alpha", self.epsilon_alpha, 0, 1000, "between 0 and 1,000")
        within("acting.greedy_epsilon", self.greedy_epsilon, 0, 1, "between 0 and 1")
        within("acting.greedy_actors", self.greedy_actors, 0, 4096, "between 0 and 4,096")
        within("acting.steps_ahead", self.steps_ahead, 0, 1000, "between 0 and 1,000")


@dataclass(frozen=True, kw_only=True)
class ReplayConfig:
    """The replay: prioritized sequences with stored recurrent state."""

    RENAMED: ClassVar = {
        "rows": "capacity",
        "trace": "trace_length",
        "crossing": "cross_episodes",
        "start": "min_sequences",
        "exponent": "priority_exponent",
        "eta": "priority_eta",
    }

    capacity: int = 300_000
    """How many environment steps the replay holds, over all environments; the oldest are overwritten."""
    trace_length: int = 50
    """How many steps a sequence has."""
    period: int = 50
    """How many steps lie between the beginnings of two sequences; with less than trace_length neighbours overlap."""
    cross_episodes: bool = True
    """Whether a sequence may go on from one episode into the next, with the recurrent state reset in between. The
    published ones do not, and are padded instead."""
    min_sequences: int = 128
    """How many sequences there must be before learning begins."""
    priority_exponent: float = 0.9
    """A sequence is drawn in proportion to its priority to this power; 0 draws all alike."""
    priority_eta: float = 0.9
    """The weight of the largest error in a sequence's priority; the rest is the weight of the mean error."""

    def __post_init__(self) -> None:
        within("replay.trace_length", self.trace_length, 2, 10_000, "between 2 and 10,000")
        within("replay.period", self.period, 1, self.trace_length, "between 1 and replay.trace_length")
        within("replay.priority_exponent", self.priority_exponent, 0, 10, "between 0 and 10")
        within("replay.priority_eta", self.priority_eta, 0, 1, "between 0 and 1")
        within("replay.min_sequences", self.min_sequences, 1, 1 << 40, "at least 1")
        within("replay.capacity", self.capacity, 1, 1 << 40, "at least 1")


@dataclass(frozen=True, kw_only=True)
class LearnerConfig:
    """How Q is learned from sequences."""

    RENAMED: ClassVar = {
        "lam": "retrace_lambda",
        "n": "n_steps",
        "target_epsilon": "target_policy_epsilon",
        "batch": "batch_size",
        "ratio": "replay_ratio",
        "rate": "learning_rate",
        "rate_end": "final_rate_share",
        "rate_hold": "rate_hold_share",
        "clip": "max_grad_norm",
        "over": "reduction",
        "copy_every": "target_update_period",
        "scale": "reward_scale",
        "foreign": "cross_mixture_share",
    }

    target: Literal["retrace", "n-step"] = "retrace"
    """Which return Q is trained towards: retrace corrects for actions the target policy would not take, n-step sums
    n_steps rewards uncorrected."""
    retrace_lambda: float = 0.95
    """The lambda of Retrace: how much of a return is passed from one step to the step before."""
    n_steps: int = 5
    """How many rewards an n-step return sums; unused by retrace."""
    transform: Literal["rescale", "identity"] = "rescale"
    """Whether the network's outputs are values rescaled by h(x) = sign(x) (sqrt(|x| + 1) - 1) + epsilon x, or the
    values themselves."""
    transform_epsilon: float = 1e-3
    """The epsilon of h; unused by identity."""
    target_policy_epsilon: float = 0.01
    """The share of random actions of the policy whose value is learned; 0 is greedy."""
    gamma: float = 0.997
    """The discount of mixture 0, which exploits."""
    gamma_explore: float = 0.99
    """The discount of the last mixture, which explores most."""
    batch_size: int = 64
    """How many sequences an update learns from."""
    burn_in: int = 0
    """How many first steps of a sequence only bring the recurrent state up to date, without being learned from."""
    replay_ratio: float = 1.0
    """How often each environment step is learned from on average. There are replay_ratio x steps / (batch_size x
    trace_length) updates."""
    learning_rate: float = 1e-4
    """The step size of Adam."""
    final_rate_share: float = 1.0
    """The share of the learning rate that is left at the end of the run; 1 keeps it as it is."""
    rate_hold_share: float = 0.0
    """The share of the run for which the learning rate stays as it is; after that it falls in proportion to the
    steps."""
    adam_epsilon: float = 1e-4
    """The epsilon that Adam adds to the root of the second moment."""
    max_grad_norm: float = 40.0
    """The norm that gradients are cut to."""
    reduction: Literal["sum", "mean"] = "sum"
    """Whether the squared errors of a sequence are summed, as published, or averaged, before the batch is averaged.
    max_grad_norm is meant for the sum."""
    target_update_period: int = 1500
    """How many updates lie between two copies of the network to the target network."""
    reward_scale: float = 1.0
    """What rewards and bonuses are multiplied by before they are learned from. Adam's steps do not shrink with values,
    so small values are learned with more noise. q and loss are logged in the rewards' own units."""
    cross_mixture_share: float = 0.0
    """The share of a batch that is learned from under another mixture than the one it was collected under
    (cross-mixture replay); without effect where there is one mixture."""

    def __post_init__(self) -> None:
        for name in (
            "retrace_lambda",
            "target_policy_epsilon",
            "cross_mixture_share",
            "final_rate_share",
            "rate_hold_share",
            "transform_epsilon",
            "adam_epsilon",
            "learning_rate",
        ):
            within(f"learner.{name}", getattr(self, name), 0, 1, "between 0 and 1")
        for name in ("gamma", "gamma_explore"):
            within(f"learner.{name}", getattr(self, name), 0, 0.999999, "at least 0 and below 1")
        within("learner.max_grad_norm", self.max_grad_norm, 1e-9, 1e9, "above 0")
        within("learner.reward_scale", self.reward_scale, 1e-9, 1e9, "above 0")
        if self.gamma_explore > self.gamma:
            allowed = f"at most learner.gamma, {self.gamma}"
            raise BadInput(f"learner.gamma_explore: {self.gamma_explore} is not allowed; it must be {allowed}")
        within("learner.batch_size", self.batch_size, 1, 1 << 16, "at least 1")
        within("learner.n_steps", self.n_steps, 1, 1000, "between 1 and 1,000")
        within("learner.replay_ratio", self.replay_ratio, 1e-9, 1000, "above 0")
        within("learner.burn_in", self.burn_in, 0, 10_000, "not negative")
        within("learner.target_update_period", self.target_update_period, 1, 1 << 40, "at least 1")


@dataclass(frozen=True, kw_only=True)
class EpisodicConfig:
    """The constants of algorithm 1, the episodic bonus; the defaults are the paper's table."""

    neighbours: int = 10
    """k, how many nearest neighbours in the episode's memory an observation is compared with."""
    kernel_epsilon: float = 1e-4
    """The epsilon of the kernel epsilon / (d + epsilon); the paper's maze has 0.01."""
    cluster_distance: float = 0.008
    """xi, the normalised squared distance up to which two observations count as the same."""
    pseudo_count: float = 1e-3
    """c, which is added to the similarity, after the root."""
    max_similarity: float = 8.0
    """s_m, the similarity above which there is no bonus."""
    missing_neighbours: MissingNeighbours = "zero"
    """What a memory of fewer than k observations gives: zero gives no bonus, unit puts each missing neighbour at
    normalised distance 1."""
    distance_mean: Average = "cumulative"
    """How d_m^2, which distances are divided by, is averaged: over all steps so far, or by a moving average."""
    distance_mean_rate: float = 0.01
    """The weight of the newest step in a moving average; unused by cumulative."""
    distance_mean_scope: AverageScope = "global"
    """Whether d_m^2 is one mean for all environments and episodes, or one for each environment from the beginning of
    its episode."""
    distance_mean_of: AverageOf = "all"
    """Whether d_m^2 averages the distances to all k neighbours, or to the k-th only."""

    def __post_init__(self) -> None:
        within("bonus.neighbours", self.neighbours, 1, 1 << 30, "at least 1")
        for name in ("kernel_epsilon", "pseudo_count", "max_similarity"):
            within(f"bonus.{name}", getattr(self, name), math.ulp(0.0), math.inf, "above 0")
        within("bonus.cluster_distance", self.cluster_distance, 0, math.inf, "0 or above")
        within("bonus.distance_mean_rate", self.distance_mean_rate, math.ulp(0.0), 1, "above 0 and at most 1")
        for name, choices in (
            ("missing_neighbours", MissingNeighbours),
            ("distance_mean", Average),
            ("distance_mean_scope", AverageScope),
            ("distance_mean_of", AverageOf),
        ):
            if getattr(self, name) not in get_args(choices):
                raise unknown(f"bonus.{name}", getattr(self, name), get_args(choices), "allowed")


@dataclass(frozen=True, kw_only=True)
class BonusConfig(EpisodicConfig):
    """The intrinsic reward r^i and the family of mixtures r^e + beta_j r^i that one network learns. Which bonus there
    is, is the agent's choice."""

    RENAMED: ClassVar = {
        "k": "neighbours",
        "epsilon": "kernel_epsilon",
        "xi": "cluster_distance",
        "c": "pseudo_count",
        "maximum": "max_similarity",
        "missing": "missing_neighbours",
        "mean": "distance_mean",
        "mean_rate": "distance_mean_rate",
        "mean_scope": "distance_mean_scope",
        "mean_of": "distance_mean_of",
        "at": "timing",
        "dimension": "embedding_size",
        "capacity": "memory_capacity",
        "ceiling": "max_factor",
        "frames": "training_steps",
        "rate": "embedding_learning_rate",
        "decay": "embedding_weight_decay",
        "rnd_width": "rnd_size",
        "rnd_rate": "rnd_learning_rate",
        "warmup": "warmup_updates",
        "refresh": "embedding_refresh_period",
        "wipe_every": "episodes_per_memory",
        "continuing": "non_episodic_returns",
    }

    mixtures: int = 1
    """N, how many mixtures of reward and bonus one network learns. Mixture 0 of several has no bonus; a single one is
    the one that explores."""
    beta: float = 0.3
    """The largest weight of the bonus, that of the last mixture."""
    timing: Literal["arrival", "departure"] = "arrival"
    """Whether a step earns the novelty of the observation it leads to, or of the one it leaves (the paper's r_t of
    x_t)."""
    embedding_size: int = 32
    """How many numbers the controllable state of an observation has."""
    encoder: EncoderName = "cells"
    """How the embedding and random network distillation encode an observation; see network.encoder."""
    memory_capacity: int = 5000
    """How many observations of an episode are remembered; the oldest goes first."""
    max_factor: float = 5.0
    """L, the most that the life-long factor multiplies the episodic bonus by."""
    training_steps: int = 5
    """How many last steps of a sequence the embedding and random network distillation are trained on."""
    embedding_learning_rate: float = 5e-4
    """The step size of Adam for the embedding."""
    adam_epsilon: float = 1e-4
    """The epsilon of Adam for the embedding and for random network distillation."""
    embedding_weight_decay: float = 1e-5
    """The weight decay (L2) of the embedding."""
    rnd_size: int = 128
    """How many numbers the networks of random network distillation give for an observation."""
    rnd_learning_rate: float = 5e-4
    """The step size of Adam for random network distillation."""
    warmup_updates: int = 0
    """How many updates, at most, the embedding learns from uniformly random actions before anything else; the replay is
    emptied afterwards."""
    warmup_accuracy: float = 1.0
    """The accuracy of the predicted actions, over the last 20 updates, at which the warm-up ends sooner."""
    embedding_refresh_period: int = 200
    """How many steps of the environments lie between two copies of the embedding to the actors."""
    episodes_per_memory: int = 1
    """How many episodes pass before the memory is emptied."""
    non_episodic_returns: bool = False
    """Whether mixtures with a bonus value what comes after the end of an episode, in the next one, rewards and bonuses
    alike (random network distillation does it for the bonus alone). Reaching a goal then costs only that step's own
    bonus, and wins a memory in which everything is new again. Mixture 0 is not concerned."""

    def __post_init__(self) -> None:
        within("bonus.mixtures", self.mixtures, 1, 256, "between 1 and 256")
        within("bonus.beta", self.beta, 0, 1e6, "not negative")
        within("bonus.embedding_size", self.embedding_size, 1, 4096, "between 1 and 4,096")
        within("bonus.memory_capacity", self.memory_capacity, 1, 1 << 30, "at least 1")
        super().__post_init__()
        within("bonus.neighbours", self.neighbours, 1, self.memory_capacity, "between 1 and bonus.memory_capacity")
        for name in (
            "embedding_learning_rate",
            "rnd_learning_rate",
            "adam_epsilon",
            "embedding_weight_decay",
            "warmup_accuracy",
        ):
            within(f"bonus.{name}", getattr(self, name), 0, 1, "between 0 and 1")
        within("bonus.rnd_size", self.rnd_size, 1, 8192, "between 1 and 8,192")
        within("bonus.warmup_updates", self.warmup_updates, 0, 1 << 40, "not negative")
        within("bonus.training_steps", self.training_steps, 1, 10_000, "at least 1")
        within("bonus.embedding_refresh_period", self.embedding_refresh_period, 1, 1 << 40, "at least 1")
        within("bonus.episodes_per_memory", self.episodes_per_memory, 1, 1 << 40, "at least 1")
        within("bonus.max_factor", self.max_factor, 1, 1e6, "at least 1")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One run."""

    KIND: ClassVar = "explore"
    RENAMED: ClassVar = {"broken": "max_broken_episodes"}

    agent: AgentName = "ngu"
    """Which agent is trained. ngu is Never Give Up; ngu-episodic leaves out its life-long factor; ngu-projection never
    trains its embedding; rnd has the life-long factor alone as its bonus; r2d2 has no bonus."""
    preset: str = ""
    """The preset that these settings began from."""
    env: EnvConfig = field(default_factory=EnvConfig)
    """Which environments, and how many side by side."""
    network: NetworkConfig = field(default_factory=NetworkConfig)
    """The recurrent Q network."""
    acting: ActingConfig = field(default_factory=ActingConfig)
    """How actions are chosen while learning."""
    replay: ReplayConfig = field(default_factory=ReplayConfig)
    """The replay of sequences."""
    learner: LearnerConfig = field(default_factory=LearnerConfig)
    """How Q is learned from sequences."""
    bonus: BonusConfig = field(default_factory=BonusConfig)
    """The intrinsic reward and the family of mixtures."""
    steps: int = 1_500_000
    """How many environment steps the run takes, over all environments, the embedding's warm-up among them."""
    seed: int = 0
    """The seed of everything that is drawn: first weights, environments, actions, sequences."""
    log_every: int = 25_000
    """How many environment steps lie between two lines of metrics.jsonl."""
    checkpoint_every: int = 500_000
    """How many environment steps lie between two checkpoints."""
    max_broken_episodes: int = 20
    """How many episodes may be lost to an environment that crashes, stalls or leaves its spaces, before the run
    ends."""
    threads: int = 1
    """How many processor threads the run may use."""
    device: Literal["auto", "cpu", "cuda"] = "cpu"
    """Where networks are trained: cpu, cuda, or auto for a GPU if there is one. A trained run can be loaded on
    either."""

    def __post_init__(self) -> None:
        if self.agent not in table.names():
            table.recipe(self.agent)  # says in a sentence which agents there are
        within("steps", self.steps, 0, 1 << 60, "not negative")
        within("max_broken_episodes", self.max_broken_episodes, 0, 1 << 40, "not negative")
        for name in ("log_every", "checkpoint_every", "threads"):
            within(name, getattr(self, name), 1, 1 << 60, "at least 1")
        self._check_replay()
        self._check_mixtures()

    def _check_replay(self) -> None:
        """What the replay and what learns from its sequences ask of each other."""
        replay, count = self.replay, self.env.count
        smallest = count * (replay.trace_length + 2 * replay.period)
        if replay.capacity < smallest:
            needed = f"{count} environments need at least {smallest:,}"
            raise BadInput(f"replay.capacity: {replay.capacity:,} is not allowed; {needed}")
        most = count * ((self.rows_per_env - replay.trace_length) // replay.period)
        if replay.min_sequences > most:
            reason = f"this replay never holds more than {most:,} sequences"
            raise BadInput(f"replay.min_sequences: {replay.min_sequences:,} is not allowed; {reason}")
        if self.learner.burn_in >= replay.trace_length:
            allowed = f"less than replay.trace_length, {replay.trace_length}"
            raise BadInput(f"learner.burn_in: {self.learner.burn_in} is not allowed; it must be {allowed}")
        if self.bonus.training_steps > replay.trace_length:
            allowed = f"at most replay.trace_length, {replay.trace_length}"
            raise BadInput(f"bonus.training_steps: {self.bonus.training_steps} is not allowed; it must be {allowed}")

    def _check_mixtures(self) -> None:
        """What mixtures and actors ask of each other."""
        bonus, acting, count = self.bonus, self.acting, self.env.count
        if bonus.non_episodic_returns and not self.replay.cross_episodes:
            raise BadInput(
                "bonus.non_episodic_returns: true is not allowed with replay.cross_episodes false; "
                "the next episode's beginning must follow in the sequence"
            )
        if bonus.non_episodic_returns and acting.mixture_assignment != "fixed":
            raise BadInput(
                "bonus.non_episodic_returns: true is not allowed with acting.mixture_assignment uniform; "
                "the next episode would be another mixture's"
            )
        if acting.greedy_actors * bonus.mixtures > count:
            many = f"for each of {bonus.mixtures} mixtures are more than the {count} of env.count"
            raise BadInput(f"acting.greedy_actors: {acting.greedy_actors} {many}")
        if count < bonus.mixtures and acting.mixture_assignment == "fixed":
            allowed = f"at least bonus.mixtures, {bonus.mixtures}, or take acting.mixture_assignment uniform"
            raise BadInput(f"env.count: {count} is not allowed; it must be {allowed}")

    @staticmethod
    def upgrade(data: dict[str, Any]) -> dict[str, Any]:
        """A configuration of version 0.6, where ``bonus.kind`` decided what ``agent`` decides now."""
        bonus = data.get("bonus")
        if isinstance(bonus, Mapping) and "kind" in bonus:
            data["bonus"] = {name: value for name, value in bonus.items() if name != "kind"}
            data["agent"] = _AGENT_OF_KIND.get(bonus["kind"], bonus["kind"])
        return data

    @property
    def rows_per_env(self) -> int:
        """How many rows the replay has for each environment: a whole number of periods."""
        return max(self.replay.capacity // self.env.count // self.replay.period, 1) * self.replay.period

    @property
    def steps_per_update(self) -> float:
        """How many environment steps lie between two updates."""
        return self.learner.batch_size * self.replay.trace_length / self.learner.replay_ratio


#: ``bonus.kind`` of version 0.6 -> the agent that has this bonus
_AGENT_OF_KIND = {
    "none": "r2d2",
    "ngu": "ngu",
    "episodic": "ngu-episodic",
    "projection": "ngu-projection",
    "rnd": "rnd",
}
