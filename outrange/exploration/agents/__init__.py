"""The agents, and how each is made: ``config.agent`` names a row of ``AGENTS``, in training, in evaluation and in an
actor's own process alike.

An agent is a choice among parts. The learner (``Agent``) owns everything that is trained. Whoever acts has three parts
of its own: a ``Behaviour`` (acting/behaviour.py), a ``Novelty`` (novelty/) and ``Mixtures`` (acting/mixtures.py). A new
agent is one file here and one row; so is a new bonus, which stands in novelty/. Importing this loads neither torch nor
Numba.
"""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from outrange.core.errors import unknown

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

    from outrange.core.seeding import SeedTree
    from outrange.exploration.acting.behaviour import Behaviour
    from outrange.exploration.acting.mixtures import Mixtures
    from outrange.exploration.config import TrainConfig
    from outrange.exploration.learning.family import Family
    from outrange.exploration.learning.replay import Sequences
    from outrange.exploration.novelty import Novelty, Weights
    from outrange.exploration.spec import Spec


class Agent(Protocol):
    """What learns. Arrays of environments are batched, (B, …); those of sequences have time first, (T + 1, B, …)."""

    config: "TrainConfig"
    spec: "Spec"
    family: "Family"
    rng: "np.random.Generator"
    """draws of the learner"""
    updates: int
    """how many updates there were"""
    state_size: int
    """how many numbers the recurrent state of one environment has"""
    replay_fields: "Mapping[str, type[np.generic]]"
    """columns that the replay keeps beside those of learning/replay.py, by name"""
    warms_up: bool
    """whether there is something to learn from uniformly random actions, before Q is learned"""

    def values(self, row: "dict[str, np.ndarray]", state: "np.ndarray") -> "tuple[np.ndarray, np.ndarray]":
        """Q of one row of B environments, (B, A), and the recurrent state after it, (B, state_size)."""
        ...

    def learn(self, sequences: "Sequences") -> "tuple[np.ndarray, dict[str, float]]":
        """One update of everything: the sequences' new priorities, (K,), and metrics."""
        ...

    def warm_up(self, sequences: "Sequences") -> dict[str, float]:
        """One update from uniformly random actions, of what such actions teach; metrics."""
        ...

    def set_progress(self, share: float) -> None:
        """Say which share of the run is done, for what changes along it."""
        ...

    def novelty(self, count: int) -> "Novelty":
        """A judge of novelty for ``count`` environments, which belongs to whoever acts in them."""
        ...

    def novelty_weights(self) -> "Weights":
        """What such a judge is refreshed with."""
        ...

    def acting_modules(self) -> "dict[str, nn.Module]":
        """Every module that acting reads, by name; an actor in another process shares their tensors."""
        ...

    def state_dict(self) -> "dict[str, dict[str, Tensor]]":
        """Tensors by group: ``policy``, what acting needs, and ``learner``, what else learning needs."""
        ...

    def load_state_dict(self, groups: "Mapping[str, Mapping[str, Tensor]]") -> None:
        """Go on from ``state_dict``; the group ``policy`` alone is enough to act."""
        ...


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How the parts of an agent are made. Parts are named ``module:object`` within this package, and imported when they
    are needed."""

    learner: str
    """called with configuration, spec and seeds, and, where there is a bonus, with what makes the learner of the
    bonus"""
    bonus: str = ""
    """the learner of its bonus (novelty/), called with configuration, spec and seeds; empty for none"""
    behaviour: str = "acting.behaviour:epsilon_greedy"
    """called with configuration, agent, number of environments and random generator"""
    mixtures: str = "acting.mixtures:assigned"
    """called with configuration, agent, number of environments and random generator"""
    adapt: "Callable[[TrainConfig], TrainConfig]" = lambda config: config
    """what the agent changes in the configuration of a preset"""


def _without_warm_up(config: "TrainConfig") -> "TrainConfig":
    return replace(config, bonus=replace(config.bonus, warmup_updates=0))


def _without_bonus(config: "TrainConfig") -> "TrainConfig":
    return replace(config, bonus=replace(config.bonus, mixtures=1, warmup_updates=0))


#: name -> how its parts are made
AGENTS: dict[str, Recipe] = {
    "ngu": Recipe(learner="agents.ngu:NGU", bonus="novelty.product:EpisodicTimesLifelong"),
    "ngu-episodic": Recipe(learner="agents.ngu:NGU", bonus="novelty.episodic:Episodic"),
    "ngu-projection": Recipe(learner="agents.ngu:NGU", bonus="novelty.episodic:Projection", adapt=_without_warm_up),
    "rnd": Recipe(learner="agents.ngu:NGU", bonus="novelty.lifelong:Lifelong", adapt=_without_warm_up),
    "r2d2": Recipe(learner="agents.r2d2:R2D2", adapt=_without_bonus),
}


@dataclass(frozen=True, kw_only=True)
class ActingParts:
    """What acts in B environments."""

    behaviour: "Behaviour"
    novelty: "Novelty"
    mixtures: "Mixtures"
    rng: "np.random.Generator"
    """draws for behaviour and mixtures"""


def names() -> tuple[str, ...]:
    """The names of all agents."""
    return tuple(AGENTS)


def recipe(name: str) -> Recipe:
    """The row of an agent.

    Raises:
        BadInput: there is none of this name; the message says which is nearest.
    """
    if name not in AGENTS:
        raise unknown("agent", name, AGENTS, "an agent")
    return AGENTS[name]


def make(config: "TrainConfig", spec: "Spec", seeds: "SeedTree") -> Agent:
    """The learner of ``config.agent``, its first weights drawn from the seeds.

    Raises:
        BadInput: an encoder does not fit what the environments show.
    """
    row = recipe(config.agent)
    parts = (_object(row.bonus),) if row.bonus else ()
    return _object(row.learner)(config, spec, seeds, *parts)


def acting_parts(
    config: "TrainConfig",
    agent: Agent,
    count: int,
    rng: "np.random.Generator",
    behaviour: "Behaviour | None" = None,
    mixtures: "Mixtures | None" = None,
) -> ActingParts:
    """What acts for an agent in ``count`` environments; an evaluation brings its own behaviour and mixtures."""
    row = recipe(config.agent)
    # the order of draws: mixtures first, then actions
    chosen_mixtures = mixtures or _object(row.mixtures)(config, agent, count, rng)
    return ActingParts(
        behaviour=behaviour or _object(row.behaviour)(config, agent, count, rng),
        novelty=agent.novelty(count),
        mixtures=chosen_mixtures,
        rng=rng,
    )


def _object(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(f"outrange.exploration.{module}"), name)
