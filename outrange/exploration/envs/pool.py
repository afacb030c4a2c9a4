"""MiniGrid and Atari through envpool, whose environments are C++ and whose habit is next-step autoreset.

Its MiniGrid levels are the Python ones written anew: same rules and step limits, other random numbers; not every id is
there (``levels``). In 1.2.5 most of its MultiRoom levels cannot be solved, as walls stand where a room should open into
the next (9 of 64 could in N4-S5, 28 in N6, 39 in N2-S4; in Python all can), so it runs MiniGrid only where it is asked
for by name. For Atari it shows the console's memory, so rooms can be counted (atari.py). Importing it takes seconds, as
it imports much beside.
"""

from typing import Any

import numpy as np

from outrange.core.checks import whole
from outrange.core.errors import unknown
from outrange.exploration.envs.atari import ACTIONS, AtariSettings, images, picture, rooms
from outrange.exploration.envs.inputs import needed
from outrange.exploration.envs.observations import MINIGRID_ACTIONS, minigrid_place, rgb, with_direction
from outrange.exploration.envs.vectorised import Raw, Vectorised


def levels(name: str, kind: str) -> list[str]:
    """The ids of a kind, "MiniGrid-" or "ALE/", that envpool has."""
    pool = needed(f"env: {name}", "envpool", "envpool")
    if kind == "MiniGrid-":
        return [key for key in pool.list_all_envs() if key.startswith(kind)]
    specs = pool.registration.registry.specs
    return [f"ALE/{key}" for key in pool.list_all_envs() if specs[key][0] == "envpool.atari"]


class _Pool(Vectorised):
    engine, next_step, dtype = "envpool", True, np.dtype(np.uint8)
    _engine: Any = None

    def _make(self, identity: str, seeds: list[int], **settings: Any) -> Any:
        pool = needed(f"env: {self.name}", "envpool", "envpool")
        return pool.make(identity, env_type="gymnasium", num_envs=self.count, seed=seeds, **settings)

    def _read(self, observation: Any, info: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
        raise NotImplementedError

    def _settings(self) -> tuple[str, dict[str, Any]]:
        raise NotImplementedError

    def _open(self, seeds: list[int]) -> tuple[np.ndarray, np.ndarray]:
        identity, settings = self._settings()
        self._engine = self._make(identity, seeds, **settings)
        return self._read(*self._engine.reset())

    def _advance(self, actions: np.ndarray) -> Raw:
        # envpool refuses other types of integers
        observation, reward, terminated, truncated, info = self._engine.step(actions.astype(np.int32))
        observations, place = self._read(observation, info)
        return Raw(observations, reward, terminated, truncated, place, observations, place)

    def _close(self) -> None:
        if self._engine is not None:
            self._engine.close()
        self._engine = None


class PoolMiniGrid(_Pool):
    """B MiniGrid levels of one id; observations (7, 7, 4), see observations.py.

    Args:
        threads: envpool's own.
        cap: steps after which an episode is truncated; the level's own limit if not given.
    """

    def __init__(self, name: str, count: int, seed: int, *, threads: int = 1, cap: int | None = None) -> None:
        super().__init__(name, count, seed)
        if name not in (known := levels(name, "MiniGrid-")):
            raise unknown("env", name, known, "a level of envpool's; engine 'gymnasium' may have it")
        spec = needed(f"env: {name}", "envpool", "envpool").make_spec(name)
        height, width, _ = spec.observation_space["image"].shape
        self.shape = (int(height), int(width), 4)
        self.actions = int(spec.action_space.n)  # some levels have the three moves only
        self.action_names = MINIGRID_ACTIONS[: self.actions]
        self._engine_settings: dict[str, Any] = {"num_threads": whole("env: option threads", threads, 1, 1 << 10)}
        if cap is not None:
            self._engine_settings["max_episode_steps"] = whole("env: option cap", cap, 1, 1 << 30)

    def _settings(self) -> tuple[str, dict[str, Any]]:
        return self.name, self._engine_settings

    def _read(self, observation: Any, info: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
        return with_direction(observation["image"], observation["direction"]), minigrid_place(info["agent_pos"])

    def _rgb(self, observation: np.ndarray) -> np.ndarray:
        return rgb(observation, minigrid=True)


class PoolAtari(_Pool):
    """B consoles of a game, observations (84, 84, 1); ``place`` is the room where it is known."""

    actions, action_names = len(ACTIONS), ACTIONS

    def __init__(self, name: str, count: int, seed: int, settings: AtariSettings) -> None:
        super().__init__(name, count, seed)
        if name not in (known := levels(name, "ALE/")):
            raise unknown("env", name, known, "a game of envpool's")
        self.settings, self.shape = settings, settings.shape()

    def _settings(self) -> tuple[str, dict[str, Any]]:
        s = self.settings
        return self.name.removeprefix("ALE/"), {
            "num_threads": s.threads,
            "max_episode_steps": -(-s.frames // s.skip),
            "stack_num": s.stack,
            "frame_skip": s.skip,
            "noop_max": s.noops,
            "repeat_action_probability": s.sticky,
            "full_action_space": True,
            "use_fire_reset": False,
            "episodic_life": False,
            "reward_clip": False,
            "zero_discount_on_life_loss": False,
            "gray_scale": True,
            "img_height": s.size,
            "img_width": s.size,
            "mode": -1,
            "difficulty": -1,
        }

    def _read(self, observation: Any, info: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
        return images(observation), rooms(self.name, info["ram"], self.count)

    def _rgb(self, observation: np.ndarray) -> np.ndarray:
        return picture(observation)
