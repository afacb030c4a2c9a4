"""The table of agents: a name, and the parts that an agent of this name is made of. A new agent is one file and one row.

A configuration reads its choices here, so this file imports none of the parts: they are named, and imported when they are used.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from outrange.core.errors import unknown


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
    adapt: Callable[[Any], Any] = lambda config: config
    """what the agent changes in the configuration of a preset, a ``TrainConfig``"""


def _without_warm_up(config: Any) -> Any:
    return replace(config, bonus=replace(config.bonus, warmup_updates=0))


def _without_bonus(config: Any) -> Any:
    return replace(config, bonus=replace(config.bonus, mixtures=1, warmup_updates=0))


#: name -> how its parts are made
AGENTS: dict[str, Recipe] = {
    "ngu": Recipe(learner="agents.ngu:NGU", bonus="novelty.product:EpisodicTimesLifelong"),
    "ngu-episodic": Recipe(learner="agents.ngu:NGU", bonus="novelty.episodic:Episodic"),
    "ngu-projection": Recipe(learner="agents.ngu:NGU", bonus="novelty.episodic:Projection", adapt=_without_warm_up),
    "rnd": Recipe(learner="agents.ngu:NGU", bonus="novelty.lifelong:Lifelong", adapt=_without_warm_up),
    "r2d2": Recipe(learner="agents.r2d2:R2D2", adapt=_without_bonus),
}


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
