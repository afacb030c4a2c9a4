"""What every batch of environments is to the agents: B environments in lock step, in numpy arrays, whatever engine runs
them.

The three habits of autoreset (same step, next step, none) become one: a transition ends in ``final``, and
``observation`` is what the environment shows now.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of B environments. The arrays belong to the caller; no later step writes into them."""

    observation: np.ndarray
    """(B, *shape) what each environment shows now: where ``started``, the first observation of an episode"""
    final: np.ndarray
    """(B, *shape) the observation in which the transition ended; the same array as ``observation`` if nothing ended"""
    reward: np.ndarray
    """(B,) float32"""
    terminated: np.ndarray
    """(B,) bool"""
    truncated: np.ndarray
    """(B,) bool; never both, terminated wins"""
    started: np.ndarray
    """(B,) bool: ``observation`` begins an episode"""
    valid: np.ndarray
    """(B,) bool: False where no transition happened (the dummy step of next-step autoreset): to be dropped"""
    broken: np.ndarray
    """(B,) bool: it crashed, stalled or left its space: the running episode is to be dropped whole; started, not
    valid"""
    place: np.ndarray
    """(B,) int64 where the agent is in ``final``: a number for each place of an episode (cell, room); -1 unknown or
    outside"""
    start_place: np.ndarray
    """(B,) int64 where it is in ``observation``; meaningful where ``started``"""


@runtime_checkable
class Envs(Protocol):
    """B environments. ``load_state_dict(state_dict())`` and the same actions give the same steps where ``exact``;
    elsewhere ``load_state_dict`` begins new episodes."""

    name: str
    engine: str
    """native, gymnasium, envpool or ale"""
    count: int
    """B"""
    actions: int
    """how many actions there are"""
    action_names: tuple[str, ...]
    shape: tuple[int, ...]
    """of one observation"""
    dtype: np.dtype
    codes: int
    """how many cell codes there are where an observation is a grid of codes, else 0"""
    exact: bool
    """whether a saved state brings it back in the middle of an episode"""

    def reset(self) -> tuple[np.ndarray, np.ndarray]:
        """Begin a new episode everywhere: observation (B, *shape) and place (B,)."""
        ...

    def step(self, actions: np.ndarray) -> Step:
        """Take an action, (B,) int64, everywhere."""
        ...

    def state_dict(self) -> dict[str, np.ndarray]:
        """Everything that the next step reads, as arrays."""
        ...

    def load_state_dict(self, state: dict[str, np.ndarray]) -> None:
        """Go back to a state of ``state_dict``."""
        ...

    def places(self) -> np.ndarray:
        """(B,) int64 how many places the running episode has in all, 0 where that is not known."""
        ...

    def picture(self, index: int = 0) -> np.ndarray:
        """(H, W, 3) uint8, one environment as it is now."""
        ...

    def close(self) -> None:
        """Free what the engine holds. It is not used after."""
        ...
