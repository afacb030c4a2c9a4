"""Engines that step B environments themselves and begin new episodes on their own: one order of events for all their
habits.

    same step    the step that ends an episode shows the next one's first observation and keeps the last one aside
    next step    it shows the last observation; the next step ignores its action, gives no reward and shows the first
    one: that is no transition

What such an engine holds cannot be taken out of it, so a state is a seed and how often it was begun anew; after
``load_state_dict`` new episodes begin, and the first step says so: broken and started everywhere.
"""

from typing import NamedTuple

import numpy as np

from outrange.core.checks import whole
from outrange.core.errors import BadInput
from outrange.core.seeding import SeedTree
from outrange.exploration.envs.contract import Step
from outrange.exploration.envs.inputs import checked_actions, same_arrays
from outrange.exploration.envs.observations import rgb


class Raw(NamedTuple):
    """What an engine's step gives."""

    observation: np.ndarray  #: (B, *shape), ours from now on
    reward: np.ndarray  #: (B,)
    terminated: np.ndarray  #: (B,)
    truncated: np.ndarray  #: (B,)
    place: np.ndarray  #: (B,) of ``observation``
    final: np.ndarray  #: (B, *shape) read where an episode ended, in same step only
    final_place: np.ndarray  #: (B,) the same


class Vectorised:
    """B environments of such an engine. Subclasses give ``_open``, which makes the engine from B seeds and begins,
    ``_advance`` and ``_close``."""

    exact, codes = False, 0
    engine: str
    next_step: bool  #: its habit

    def __init__(self, name: str, count: int, seed: int) -> None:
        self.name, self.count, self.seed = name, count, seed
        self._reset_count = 0  # how often all were begun anew
        self._ended: np.ndarray | None = None  # (B,) where the last step ended an episode; None before the first reset
        self._needs_restart = False
        self._observation: np.ndarray | None = None
        SeedTree(seed)  # says what is wrong with it before an engine does

    def _open(self, seeds: list[int]) -> tuple[np.ndarray, np.ndarray]:
        """The first observations, ours from now on, and places."""
        raise NotImplementedError

    def _advance(self, actions: np.ndarray) -> Raw:
        raise NotImplementedError

    def _close(self) -> None:
        raise NotImplementedError

    actions: int
    action_names: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype

    def reset(self) -> tuple[np.ndarray, np.ndarray]:
        self._close()
        tree = SeedTree(self.seed).child("environment", self.name)
        observation, place = self._open([tree.child(i, self._reset_count).integer(31) for i in range(self.count)])
        self._reset_count += 1
        self._ended, self._needs_restart, self._observation = np.zeros(self.count, bool), False, observation
        return observation, place

    def step(self, actions: np.ndarray) -> Step:
        actions = checked_actions(actions, self.count, self.actions)
        none, every = np.zeros(self.count, bool), np.ones(self.count, bool)
        if self._needs_restart:
            # nothing of the running episodes is left: all begin anew, and the step says so
            observation, place = self.reset()
            return Step(
                observation=observation,
                final=observation,
                reward=np.zeros(self.count, np.float32),
                terminated=none,
                truncated=none.copy(),
                started=every,
                valid=none.copy(),
                broken=every.copy(),
                place=place,
                start_place=place.copy(),
            )
        if self._ended is None:
            raise BadInput(f"{self.name}: step before reset; call reset first")
        raw = self._advance(actions)
        # with next-step autoreset, the step after an end only shows the next first observation
        valid = ~self._ended if self.next_step else every
        # engines may say both of the last step; terminated wins
        terminated = raw.terminated.astype(bool) & valid
        truncated = raw.truncated.astype(bool) & valid & ~terminated
        ended = terminated | truncated
        final, place = raw.observation, raw.place.astype(np.int64)
        start_place = place.copy()
        # with same-step autoreset, what is shown is of the next episode already; the last one's end was kept aside
        if not self.next_step and ended.any():
            final, place = raw.observation.copy(), place.copy()
            final[ended], place[ended] = raw.final[ended], raw.final_place[ended]
        self._ended, self._observation = ended, raw.observation  # the caller's, and only for pictures
        reward = np.where(valid, raw.reward, 0).astype(np.float32)
        started = ~valid if self.next_step else ended.copy()
        return Step(
            observation=raw.observation,
            final=final,
            reward=reward,
            terminated=terminated,
            truncated=truncated,
            started=started,
            valid=valid,
            broken=none,
            place=place,
            start_place=start_place,
        )

    def state_dict(self) -> dict[str, np.ndarray]:
        return {
            "seed": np.array([self.seed], np.uint64),
            "begun": np.array([self._reset_count], np.int64),
            "count": np.array([self.count], np.int64),
        }

    def load_state_dict(self, state: dict[str, np.ndarray]) -> None:
        same_arrays(f"{self.name}: state", state, self.state_dict())
        if int(state["count"][0]) != self.count:
            raise BadInput(
                f"{self.name}: state: it is of {int(state['count'][0])} environments, and here are {self.count}"
            )
        self.seed, self._reset_count, self._needs_restart = int(state["seed"][0]), int(state["begun"][0]), True

    def places(self) -> np.ndarray:
        return np.zeros(self.count, np.int64)

    def _rgb(self, observation: np.ndarray) -> np.ndarray:
        return rgb(observation)

    def picture(self, index: int = 0) -> np.ndarray:
        if self._observation is None:
            raise BadInput(f"{self.name}: picture before reset; call reset first")
        return self._rgb(self._observation[whole("index", index, 0, self.count - 1)])

    def close(self) -> None:
        self._close()
        self._ended = self._observation = None
