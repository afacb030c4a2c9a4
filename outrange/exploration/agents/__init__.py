"""The agents, and how each is made: ``config.agent`` names a row of ``AGENTS`` (table.py), in training, in evaluation and in an actor's own
process alike.

An agent is a choice among parts. The learner (``Agent``, contract.py) owns everything that is trained. Whoever acts has three parts of its own:
a ``Behaviour`` (acting/behaviour.py), a ``Novelty`` (novelty/) and ``Mixtures`` (acting/mixtures.py). Importing this loads neither torch nor Numba.
"""

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from outrange.exploration.agents.contract import Agent
from outrange.exploration.agents.table import AGENTS, Recipe, names, recipe

if TYPE_CHECKING:
    import numpy as np

    from outrange.core.seeding import SeedTree
    from outrange.exploration.acting.behaviour import Behaviour
    from outrange.exploration.acting.mixtures import Mixtures
    from outrange.exploration.config import TrainConfig
    from outrange.exploration.novelty import Novelty
    from outrange.exploration.spec import Spec

__all__ = ["AGENTS", "ActingParts", "Agent", "Recipe", "acting_parts", "make", "names", "recipe"]


@dataclass(frozen=True, kw_only=True)
class ActingParts:
    """What acts in B environments."""

    behaviour: "Behaviour"
    novelty: "Novelty"
    mixtures: "Mixtures"
    rng: "np.random.Generator"
    """draws for behaviour and mixtures"""


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
