"""Which mixture of the family an actor's episode follows (Never Give Up, arXiv 2002.06038, appendix A).

The paper prints j mod (N-1) for the mixture of actor j, by which the last mixture would never act; j mod N is meant.
The Agent57 paper says that NGU draws it anew for each episode.
"""

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from outrange.core.checks import whole
from outrange.exploration.agents.contract import Agent
from outrange.exploration.config import TrainConfig


class Mixtures(Protocol):
    """Chooses the mixture of every episode of B actors."""

    mixture: np.ndarray
    """(B,) int16, the mixtures of the running episodes"""

    def draw(self, started: np.ndarray) -> None:
        """Choose for the actors (B,) bool whose episode begins, one at least."""
        ...

    def ended(self, ended: np.ndarray, returns: np.ndarray) -> None:
        """Learn what the episodes that ended (B,) bool came to, their undiscounted returns (B,), before the next are
        chosen."""
        ...

    def state_dict(self) -> dict[str, np.ndarray]:
        """All that ``load_state_dict`` needs."""
        ...

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from ``state_dict``."""
        ...


class Fixed:
    """Every actor keeps its mixture for good.

    Args:
        mixture: (B,) of each actor.
    """

    def __init__(self, mixture: np.ndarray) -> None:
        self.mixture = mixture.astype(np.int16)

    def draw(self, started: np.ndarray) -> None:
        """Nothing is chosen."""

    def ended(self, ended: np.ndarray, returns: np.ndarray) -> None:
        """Nothing is learned."""

    def state_dict(self) -> dict[str, np.ndarray]:
        return {"mixture": self.mixture}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        self.mixture = state["mixture"]


class Uniform(Fixed):
    """A mixture is drawn uniformly where an episode begins.

    Args:
        mixtures: N, how many there are.
        count: B, how many actors.
        rng: draws.
    """

    def __init__(self, mixtures: int, count: int, rng: np.random.Generator) -> None:
        self.mixtures, self.rng = whole("mixtures", mixtures, 1), rng
        super().__init__(rng.integers(mixtures, size=whole("actors", count, 1), dtype=np.int64))

    def draw(self, started: np.ndarray) -> None:
        drawn = self.rng.integers(self.mixtures, size=len(started), dtype=np.int64)
        self.mixture = np.where(started, drawn, self.mixture).astype(np.int16)


def round_robin(mixtures: int, count: int) -> np.ndarray:
    """Mixture j mod N for actor j, (count,) int64."""
    return np.arange(whole("actors", count, 1), dtype=np.int64) % whole("mixtures", mixtures, 1)


def assigned(config: TrainConfig, agent: Agent, count: int, rng: np.random.Generator) -> Mixtures:
    """What ``acting.mixture_assignment`` asks for."""
    if config.acting.mixture_assignment == "uniform":
        return Uniform(len(agent.family), count, rng)
    return Fixed(round_robin(len(agent.family), count))
