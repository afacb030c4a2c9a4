"""How new an observation is: the intrinsic reward r^i (Never Give Up, arXiv 2002.06038, section 3).

A bonus has two halves. Its ``NoveltyLearner`` belongs to the agent and owns the networks that are trained. Its
``Novelty`` belongs to an actor, and holds what acting gathers: memories of the running episodes, running means, a copy
of the embedding. What there is:

    episodic.py   the episodic bonus (algorithm 1), on a learned or a random embedding      memory.py, kernel.py
    lifelong.py   the life-long factor: the error of random network distillation
    product.py    both together: Never Give Up
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor, nn

    from outrange.exploration.learning.transitions import Transitions

State = dict[str, np.ndarray]
Weights = Mapping[str, Mapping[str, "Tensor"]]
"""tensors of modules, by module and by name"""


class Novelty(Protocol):
    """Judges observations of B environments for one actor. Arrays have the environments first."""

    def begin(self, observation: np.ndarray, started: np.ndarray, rewarded: bool) -> np.ndarray:
        """Take in first observations.

        Args:
            observation: (B, *shape), looked at where ``started``.
            started: (B,) bool, where an episode begins; what was remembered of the last one is forgotten.
            rewarded: whether first observations are judged; if not, they are only remembered.

        Returns:
            the bonus of the first observations, (B,) float32, 0 where none began or nothing is rewarded.
        """
        ...

    def reward(self, observation: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """The bonus of observations (B, *shape) that were arrived at, (B,) float32, 0 where not ``valid``. Each is
        remembered after it was judged."""
        ...

    def refresh(self, weights: Weights) -> None:
        """Take over the learner's newest weights (``NoveltyLearner.weights``)."""
        ...

    def restart(self) -> None:
        """Forget how many episodes there were, before new ones begin everywhere."""
        ...

    def embed(self, observation: np.ndarray) -> np.ndarray:
        """The controllable states of observations (N, *shape), (N, p) float32; p is 0 where there is no embedding."""
        ...

    def metrics(self) -> dict[str, float]:
        """What a line of the log says about it."""
        ...

    def state_dict(self, streams: bool = True) -> State:
        """All that ``load_state_dict`` needs; without ``streams`` only what holds for any number of environments, which
        is enough to act with."""
        ...

    def load_state_dict(self, state: State) -> None:
        """Go on from ``state_dict``, with or without its ``streams``."""
        ...


class NoveltyLearner(Protocol):
    """The trained half of a bonus; made from configuration, spec and seeds."""

    warms_up: bool
    """whether uniformly random actions teach it something before Q is learned"""

    def novelty(self, count: int) -> Novelty:
        """The half that judges, for ``count`` environments."""
        ...

    def learn(self, transitions: "Transitions") -> dict[str, float]:
        """One update; returns metrics."""
        ...

    def weights(self) -> Weights:
        """What ``Novelty.refresh`` takes over."""
        ...

    def modules(self) -> "dict[str, nn.Module]":
        """The modules that acting reads, by name."""
        ...

    def state_dict(self) -> "dict[str, dict[str, Tensor]]":
        """Tensors by group, ``policy`` and ``learner``."""
        ...

    def load_state_dict(self, groups: "Mapping[str, Mapping[str, Tensor]]") -> None:
        """Go on from ``state_dict``; the group ``policy`` alone is enough to judge."""
        ...


class NoNovelty:
    """The novelty of an agent without a bonus: always 0."""

    def __init__(self, count: int) -> None:
        self.count = count

    def begin(self, observation: np.ndarray, started: np.ndarray, rewarded: bool) -> np.ndarray:
        return np.zeros(self.count, np.float32)

    def reward(self, observation: np.ndarray, valid: np.ndarray) -> np.ndarray:
        return np.zeros(self.count, np.float32)

    def refresh(self, weights: Weights) -> None:
        """There is nothing to refresh."""

    def restart(self) -> None:
        """There is nothing to forget."""

    def embed(self, observation: np.ndarray) -> np.ndarray:
        return np.zeros((len(observation), 0), np.float32)

    def metrics(self) -> dict[str, float]:
        return {}

    def state_dict(self, streams: bool = True) -> State:
        return {}

    def load_state_dict(self, state: State) -> None:
        """There is nothing to go on from."""
