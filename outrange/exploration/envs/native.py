"""What our own environments share: counters, the order of a step, states, pictures.

A step is two kernels: ``_move`` takes the actions and paints the observations they lead to; ``_begin`` starts new
episodes where one ended. An environment's random numbers are hashes of its counters (draws.py), so its state is a few
arrays and nothing else.
"""

from collections.abc import Mapping

import numpy as np

from outrange.core.checks import whole
from outrange.core.errors import BadInput, brief
from outrange.core.seeding import SeedTree
from outrange.exploration.envs.contract import Step
from outrange.exploration.envs.inputs import checked_actions, same_arrays

MOVES: tuple[str, ...] = ("up", "down", "left", "right")


class Native:
    """B environments whose transitions are compiled. Subclasses give ``_move``, ``_begin``, ``_paint`` and ``places``,
    and name the rows of their state.

    Args:
        count: B.
        seed: of all draws; environment i depends on it and on i alone.
        options: numbers that a state must have been made with.
        arrays: what the next step reads beside the counters, each with B rows.
    """

    engine, exact = "native", True
    dtype = np.dtype(np.uint8)
    name: str
    actions: int
    action_names: tuple[str, ...]
    shape: tuple[int, ...]
    codes: int
    palette: np.ndarray  #: (codes, 3) uint8
    glyphs: str  #: a letter for each code
    wall_codes: range = range(0)  #: the codes of cells that cannot be entered

    def __init__(
        self, count: int, seed: int, options: Mapping[str, float], arrays: dict[str, np.ndarray] | None = None
    ) -> None:
        self.count, self.options = count, dict(options)
        self._key = np.uint64(SeedTree(seed).child("environment", self.name).integer(64))
        # ``episode`` is -1 before the first one
        self._arrays = {
            "episode": np.full(count, -1, np.int64),
            "clock": np.zeros(count, np.int64),
            "cell": np.zeros(count, np.int64),
        } | (arrays or {})
        self._observation: np.ndarray | None = None

    def _move(
        self,
        actions: np.ndarray,
        observation: np.ndarray,
        reward: np.ndarray,
        terminated: np.ndarray,
        truncated: np.ndarray,
        place: np.ndarray,
    ) -> None:
        raise NotImplementedError

    def _begin(self, mask: np.ndarray, observation: np.ndarray, place: np.ndarray) -> None:
        raise NotImplementedError

    def _paint(self, observation: np.ndarray) -> None:
        """What is shown now, from the state alone."""
        raise NotImplementedError

    def places(self) -> np.ndarray:
        raise NotImplementedError

    def reset(self) -> tuple[np.ndarray, np.ndarray]:
        observation, place = np.empty((self.count, *self.shape), self.dtype), np.empty(self.count, np.int64)
        self._begin(np.ones(self.count, bool), observation, place)
        self._observation = observation.copy()
        return observation, place

    def step(self, actions: np.ndarray) -> Step:
        if self._observation is None:
            raise BadInput(f"{self.name}: step before reset; call reset first")
        n = self.count
        final, reward, place = np.empty((n, *self.shape), self.dtype), np.zeros(n, np.float32), np.empty(n, np.int64)
        terminated, truncated = np.zeros(n, bool), np.zeros(n, bool)
        self._move(checked_actions(actions, n, self.actions), final, reward, terminated, truncated, place)
        # where an episode ended, ``final`` keeps its last observation and ``observation`` shows the next one's first
        started = terminated | truncated
        observation, start_place = final, place.copy()
        if started.any():
            observation = final.copy()
            self._begin(started, observation, start_place)
        np.copyto(self._observation, observation)  # a copy: the arrays of a step belong to the caller
        return Step(
            observation=observation,
            final=final,
            reward=reward,
            terminated=terminated,
            truncated=truncated,
            started=started,
            valid=np.ones(n, bool),
            broken=np.zeros(n, bool),
            place=place,
            start_place=start_place,
        )

    def state_dict(self) -> dict[str, np.ndarray]:
        fixed = {"key": np.array([self._key], np.uint64), "options": np.array(list(self.options.values()), np.float64)}
        return fixed | {name: array.copy() for name, array in self._arrays.items()}

    def load_state_dict(self, state: dict[str, np.ndarray]) -> None:
        same_arrays(f"{self.name}: state", state, self.state_dict())
        for (name, value), saved_value in zip(self.options.items(), state["options"].tolist(), strict=True):
            if value != saved_value:
                raise BadInput(
                    f"{self.name}: state: it was made with {name} {saved_value:g}, and here it is {value:g}; "
                    f"make the environments with the same options"
                )
        self._check_state(state)
        self._key = np.uint64(state["key"][0])
        for name, array in self._arrays.items():
            np.copyto(array, state[name])
        # what is shown follows from the counters
        self._observation = None
        if (self._arrays["episode"] >= 0).all():
            self._observation = np.empty((self.count, *self.shape), self.dtype)
            self._paint(self._observation)

    def _check_state(self, state: dict[str, np.ndarray]) -> None:
        """That the compiled code, which does not look, stays within its arrays."""
        for name in ("cell", "coin"):
            if name in state and not ((state[name] >= 0) & (state[name] < np.prod(self.shape))).all():
                raise BadInput(
                    f"{self.name}: state.{name}: {brief(state[name].tolist())} is not allowed; each must be "
                    f"from 0 to {np.prod(self.shape) - 1}"
                )

    def picture(self, index: int = 0) -> np.ndarray:
        if self._observation is None:
            raise BadInput(f"{self.name}: picture before reset; call reset first")
        return self.palette[self._observation[whole("index", index, 0, self.count - 1)]]

    def close(self) -> None:
        self._observation = None
