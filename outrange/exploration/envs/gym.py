"""Any Gymnasium environments with discrete actions, B of them in Python, one after another, in a loop of our own.

One that raises, takes too long, or gives what is not finite or outside its space is broken: its episode is to be
dropped and it is made anew, while the others go on. Every episode begins from a seed of its own, so a state is the
seeds' counters and the actions of the running episodes, which ``load_state_dict`` takes again; it compares what is
shown with what was, so an environment that does not repeat itself is found out and never gone on with as if it did.
"""

import contextlib
import logging
import warnings
from collections import deque
from typing import Any

import gymnasium
import numpy as np

from outrange.core.checks import finite, whole
from outrange.core.errors import BadInput, brief, unknown
from outrange.core.seeding import SeedTree
from outrange.exploration.envs.contract import Step
from outrange.exploration.envs.inputs import checked_actions, flag, needed, same_arrays
from outrange.exploration.envs.observations import MINIGRID_ACTIONS, minigrid_place, rgb
from outrange.exploration.envs.reading import Outside, action_count, reading
from outrange.exploration.envs.time_limit import Stalled, TimeLimit

log = logging.getLogger("outrange")
_LARGEST = float(np.finfo(np.float32).max)
_TRIES = 3  # beginnings of an episode that may fail in a row


class Gymnasium:
    """B environments of an id.

    Args:
        name: an id that ``gymnasium.make`` knows; ``module:Name-v0`` imports a module first.
        limit: seconds that a step or a reset may take (time_limit.py says where it holds).
        exact: whether a running episode can be gone on with after ``load_state_dict``; by default unless the
            environment says that it is not deterministic.
        options: given to ``gymnasium.make``.

    ``problems`` holds the last sentences about broken environments. ``place`` is MiniGrid's cell, or what an
    environment's info says under "place".
    """

    engine, codes = "gymnasium", 0

    def __init__(
        self, name: str, count: int, seed: int, *, limit: float = 30.0, exact: bool | None = None, **options: Any
    ) -> None:
        self.name, self.count, self.seed, self._options = name, count, seed, options
        self.problems: deque[str] = deque(maxlen=20)
        self._time_limit = TimeLimit(finite("env: option limit", limit, 0.0))
        self._tree = SeedTree(seed).child("environment", name)
        if name.startswith(("MiniGrid-", "BabyAI-")):
            needed(f"env: {name}", "minigrid", "minigrid")  # which registers its ids
        elif name.startswith("ALE/"):
            gymnasium.register_envs(needed(f"env: {name}", "ale_py", "ale-py"))
        self._envs = [self._make() for _ in range(count)]
        first = self._envs[0]
        # spaces are those of the first environment; all are of one id with the same options
        self.actions, self._reading = action_count(name, first.action_space), reading(name, first.observation_space)
        self.shape, self.dtype = self._reading.shape, self._reading.dtype
        deterministic = not (first.spec and first.spec.nondeterministic)
        self.exact = deterministic if exact is None else flag("env: option exact", exact)
        self.action_names = tuple(str(action) for action in range(self.actions))
        if self._reading.minigrid:
            self.action_names = MINIGRID_ACTIONS[: self.actions]
        self._episode = np.full(count, -1, np.int64)
        self._actions_taken: list[list[int]] = [[] for _ in range(count)]
        self._observations = np.zeros((count, *self.shape), self.dtype)
        self._needs_restart = False

    def _make(self) -> gymnasium.Env:
        try:
            with self._time_limit, warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # an older version was asked for by its id
                return self._time_limit.call(gymnasium.make, self.name, disable_env_checker=True, **self._options)
        except (gymnasium.error.NameNotFound, gymnasium.error.NamespaceNotFound, gymnasium.error.VersionNotFound):
            raise unknown("env", self.name, gymnasium.registry, "an environment that Gymnasium knows") from None
        except Stalled:
            raise BadInput(f"env: making {self.name} takes longer than {self._time_limit.seconds:g} s") from None
        except Exception as error:
            raise BadInput(
                f"env: {self.name} cannot be made: {type(error).__name__}: {brief(str(error), 200)}"
            ) from error

    def reset(self) -> tuple[np.ndarray, np.ndarray]:
        place = np.empty(self.count, np.int64)
        with self._time_limit:
            for i in range(self.count):
                place[i] = self._begin(i)
        self._needs_restart = False
        return self._observations.copy(), place

    def step(self, actions: np.ndarray) -> Step:
        if (self._episode < 0).any():
            raise BadInput(f"{self.name}: step before reset; call reset first")
        actions = checked_actions(actions, self.count, self.actions)
        n = self.count
        final, reward, place = np.empty((n, *self.shape), self.dtype), np.zeros(n, np.float32), np.empty(n, np.int64)
        terminated, truncated, broken = np.zeros(n, bool), np.zeros(n, bool), np.zeros(n, bool)
        start_place = np.empty(n, np.int64)
        with self._time_limit:
            for i in range(n):
                # one environment that breaks must not stop the others
                try:
                    if self._needs_restart:
                        raise Outside("")  # a saved state of it could not be gone on with
                    final[i], reward[i], terminated[i], truncated[i], place[i] = self._advance(i, int(actions[i]))
                except Outside as error:
                    broken[i] = True
                    self._remake(i, str(error))
                # ``final`` keeps where the transition ended; what is shown is the next episode's beginning
                if broken[i] or terminated[i] or truncated[i]:
                    start_place[i] = self._begin(i)
                else:
                    self._observations[i], start_place[i] = final[i], place[i]
        self._needs_restart = False
        # a broken step leads nowhere: it ends where the new episode begins, and is not valid
        started = terminated | truncated | broken
        final[broken], place[broken] = self._observations[broken], start_place[broken]
        return Step(
            observation=self._observations.copy() if started.any() else final,
            final=final,
            reward=reward,
            terminated=terminated,
            truncated=truncated,
            started=started,
            valid=~broken,
            broken=broken,
            place=place,
            start_place=start_place,
        )

    def _call(self, method: Any, *values: Any, **named: Any) -> Any:
        """Call code of the environment's author; everything that can go wrong in it becomes ``Outside``."""
        try:
            return self._time_limit.call(method, *values, **named)
        except Stalled:
            raise Outside(f"it took longer than {self._time_limit.seconds:g} s") from None
        except Exception as error:
            raise Outside(f"it raised {type(error).__name__}: {brief(str(error), 200)}") from None

    def _advance(self, i: int, action: int) -> tuple[np.ndarray, float, bool, bool, int]:
        self._actions_taken[i].append(action)
        result = self._call(self._envs[i].step, action)
        try:
            observation, reward, terminated, truncated, info = result
            number, terminated, truncated = float(reward), bool(terminated), bool(truncated)
        except (TypeError, ValueError) as error:
            raise Outside(f"its step gave {brief(result)}: {error}") from None
        if not abs(number) <= _LARGEST:  # written so that NaN fails, too
            raise Outside(f"a reward of {brief(reward)}")
        return self._reading.read(observation), number, terminated, truncated and not terminated, self._place(i, info)

    def _begin(self, i: int) -> int:
        """Begin the next episode of an environment that is over or new; returns the place."""
        # a try counts as an episode, so that the next one has another seed
        for tries_left in reversed(range(_TRIES)):
            self._episode[i] += 1
            try:
                return self._open(i)
            except Outside as error:
                if not tries_left:
                    raise BadInput(
                        f"env: {self.name}: environment {i} cannot begin an episode, {_TRIES} times in a row; {error}"
                    ) from None
                self._remake(i, str(error))
        raise AssertionError

    def _open(self, i: int) -> int:
        self._actions_taken[i] = []
        result = self._call(self._envs[i].reset, seed=self._tree.child(i, int(self._episode[i])).integer(31))
        if not isinstance(result, tuple) or len(result) != 2:
            raise Outside(f"its reset gave {brief(result)}")
        self._observations[i] = self._reading.read(result[0])
        return self._place(i, result[1])

    def _place(self, i: int, info: Any) -> int:
        if self._reading.minigrid:
            core = self._envs[i].unwrapped
            return int(minigrid_place(np.asarray(core.agent_pos), core.width))  # type: ignore[attr-defined]
        place = info.get("place", -1) if isinstance(info, dict) else -1
        return int(place) if isinstance(place, int | np.integer) else -1

    def _remake(self, i: int, why: str) -> None:
        if why:
            self.problems.append(
                f"{self.name}: environment {i} broke in episode {self._episode[i]} after "
                f"{len(self._actions_taken[i])} steps: {why}; it was made anew"
            )
            log.warning("%s", self.problems[-1])
        with contextlib.suppress(Outside):  # it is broken anyway
            self._call(self._envs[i].close)
        self._envs[i] = self._make()

    def state_dict(self) -> dict[str, np.ndarray]:
        # rows of different lengths, padded to an array
        lengths = np.array([len(actions) for actions in self._actions_taken], np.int64)
        padded = np.zeros((self.count, int(lengths.max())), np.int64)
        for row, actions in zip(padded, self._actions_taken, strict=True):
            row[: len(actions)] = actions
        return {
            "seed": np.array([self.seed], np.uint64),
            "episode": self._episode.copy(),
            "length": lengths,
            "taken": padded,
            "shown": self._observations.copy(),
        }

    def load_state_dict(self, state: dict[str, np.ndarray]) -> None:
        rows = state.get("taken", np.zeros((0, 0)))
        # the actions are as many as the longest episode had: only their rows are compared
        same_arrays(
            f"{self.name}: state",
            {**state, "taken": rows[:, :0]},
            {**self.state_dict(), "taken": np.zeros((self.count, 0), np.int64)},
        )
        self.seed = int(state["seed"][0])
        self._tree = SeedTree(self.seed).child("environment", self.name)
        self._episode = state["episode"].copy()
        if not self.exact:
            self._needs_restart = True
            return
        with self._time_limit:
            for i in range(self.count):
                if self._episode[i] >= 0:
                    self._replay(i, state["taken"][i, : int(state["length"][i])].tolist(), state["shown"][i])

    def _replay(self, i: int, actions: list[int], shown: np.ndarray) -> None:
        try:
            self._open(i)
            for action in actions:
                self._observations[i], _, terminated, truncated, _ = self._advance(i, action)
                if terminated or truncated:
                    raise Outside("it ended")
            if self._observations[i].tobytes() != shown.tobytes():
                raise Outside("it shows something else")
        except Outside as error:
            raise BadInput(
                f"{self.name}: state: environment {i} does not repeat its episode from the same seed and "
                f"actions ({len(actions)} steps; {error}); "
                "make it with exact=False to begin new episodes instead"
            ) from None

    def places(self) -> np.ndarray:
        return np.zeros(self.count, np.int64)

    def picture(self, index: int = 0) -> np.ndarray:
        return rgb(self._observations[whole("index", index, 0, self.count - 1)], self._reading.minigrid)

    def close(self) -> None:
        with self._time_limit:
            for env in self._envs:
                try:
                    self._call(env.close)
                except Outside as error:
                    log.warning("%s: closing it: %s", self.name, error)
