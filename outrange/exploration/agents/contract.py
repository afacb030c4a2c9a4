"""What an agent is to everything else: it learns from sequences, and says what acting needs."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

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
