"""Our own environments for everybody else: Gymnasium ids, alone (``gymnasium.make``) and in batches
(``gymnasium.make_vec``, same-step autoreset).

Alone and in a batch they are the same transitions: ``Single`` with a seed is environment 0 of a batch with that seed.
Info holds "place" and "places".
"""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv

from outrange.core.checks import whole
from outrange.core.errors import BadInput
from outrange.exploration.envs.coin import RandomCoin
from outrange.exploration.envs.deepsea import DeepSea
from outrange.exploration.envs.disco import RandomDiscoMaze
from outrange.exploration.envs.doors import TwoDoors
from outrange.exploration.envs.inputs import checked_options
from outrange.exploration.envs.native import Native

NATIVE: dict[str, type[RandomDiscoMaze] | type[RandomCoin] | type[TwoDoors] | type[DeepSea]] = {
    kind.name: kind for kind in (RandomDiscoMaze, RandomCoin, TwoDoors, DeepSea)
}
_SCALE = 8  # pixels of a cell


def native(name: str, count: int, seed: int, options: dict[str, Any]) -> Native:
    """B environments of our own."""
    return NATIVE[name](
        whole("count", count, 1, 1 << 20), seed, **checked_options(f"env: {name}", NATIVE[name].__init__, options)
    )


def register() -> None:
    """Make the ids known to Gymnasium, once."""
    module_name = "outrange.exploration.envs.registered"
    for name in NATIVE:
        if name not in gymnasium.registry:
            gymnasium.register(
                name,
                entry_point=f"{module_name}:Single",
                vector_entry_point=f"{module_name}:Batch",
                kwargs={"name": name},
            )


def _observations(envs: Native) -> spaces.Box:
    return spaces.Box(0, envs.codes - 1, envs.shape, np.uint8)


class Single(gymnasium.Env[np.ndarray, np.int64]):
    """One environment."""

    metadata: dict[str, Any] = {  # noqa: RUF012 - as Gymnasium declares it
        "render_modes": ["rgb_array", "ansi"],
        "render_fps": 10,
    }

    def __init__(self, name: str, render_mode: str | None = None, **options: Any) -> None:
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise BadInput(f"render_mode: {render_mode!r} is not allowed; it must be rgb_array, ansi or None")
        self.render_mode, self._name, self._options = render_mode, name, options
        self._envs = native(name, 1, 0, options)
        self.observation_space, self.action_space = _observations(self._envs), spaces.Discrete(self._envs.actions)
        self._is_seeded, self._next_start, self._observation = False, None, None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None or not self._is_seeded:
            seed = seed if seed is not None else int(self.np_random.integers(1 << 63))
            self._envs, self._is_seeded, self._next_start = native(self._name, 1, seed, self._options), True, None
        if self._next_start is None:
            observation, place = self._envs.reset()
            self._next_start = observation[0], int(place[0])
        (self._observation, place), self._next_start = self._next_start, None
        return self._observation.copy(), self._info(place)

    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        if self._observation is None or self._next_start is not None:
            raise BadInput(
                f"{self._name}: step {'after the end of an episode' if self._next_start else 'before reset'}; "
                f"call reset first"
            )
        # the batch begins the next episode by itself: its first observation waits for ``reset``
        info = self._info(-1)  # of this episode: another may begin below
        step = self._envs.step(np.array([action]))
        self._observation, info["place"] = step.final[0], int(step.place[0])
        if step.started[0]:
            self._next_start = step.observation[0], int(step.start_place[0])
        return self._observation.copy(), float(step.reward[0]), bool(step.terminated[0]), bool(step.truncated[0]), info

    def _info(self, place: int) -> dict[str, Any]:
        return {"place": place, "places": int(self._envs.places()[0])}

    def render(self) -> Any:
        """(8H, 8W, 3) uint8, or a text of one letter for each cell."""
        if self.render_mode is None or self._observation is None:
            return None
        if self.render_mode == "ansi":
            return "\n".join("".join(self._envs.glyphs[code] for code in row) for row in self._observation)
        return self._envs.palette[self._observation].repeat(_SCALE, 0).repeat(_SCALE, 1)


class Batch(VectorEnv[np.ndarray, np.ndarray, np.ndarray]):
    """B environments; the step that ends an episode shows the next one's first observation, and info has "final_obs"
    and "final_info"."""

    metadata: dict[str, Any] = {  # noqa: RUF012 - Gymnasium declares it so
        "autoreset_mode": AutoresetMode.SAME_STEP,
        "render_modes": ["rgb_array"],
        "render_fps": 10,
    }

    def __init__(self, name: str, num_envs: int = 1, render_mode: str | None = None, **options: Any) -> None:
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise BadInput(f"render_mode: {render_mode!r} is not allowed; it must be rgb_array or None")
        self.num_envs, self.render_mode, self._name, self._options = num_envs, render_mode, name, options
        self._envs, self._is_seeded = native(name, num_envs, 0, options), False
        self.single_observation_space, self.single_action_space = (
            _observations(self._envs),
            spaces.Discrete(self._envs.actions),
        )
        self.observation_space = gymnasium.vector.utils.batch_space(self.single_observation_space, num_envs)
        self.action_space = gymnasium.vector.utils.batch_space(self.single_action_space, num_envs)

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        if isinstance(seed, list):
            raise BadInput(
                "seed: a list is not supported; give one number, from which every environment has its own draws"
            )
        super().reset(seed=seed)
        # a seed begins anew; without one, the episodes go on
        if seed is not None or not self._is_seeded:
            self._envs = native(
                self._name,
                self.num_envs,
                seed if seed is not None else int(self.np_random.integers(1 << 63)),
                self._options,
            )
            self._is_seeded = True
        observation, place = self._envs.reset()
        return observation, {"place": place, "places": self._envs.places()}

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        places = self._envs.places()  # before the step: of the episode that it may end
        step = self._envs.step(actions)
        info: dict[str, Any] = {
            "place": np.where(step.started, step.start_place, step.place),
            "places": self._envs.places(),
        }
        if step.started.any():
            final = np.empty(self.num_envs, object)
            for i in np.flatnonzero(step.started):
                final[i] = step.final[i]
            info |= {"final_obs": final, "_final_obs": step.started.copy()}
            info |= {"final_info": {"place": step.place, "places": places}, "_final_info": step.started.copy()}
        return step.observation, step.reward.astype(np.float64), step.terminated, step.truncated, info

    def render(self) -> tuple[np.ndarray, ...] | None:
        """(8H, 8W, 3) uint8 of every environment."""
        if self.render_mode is None:
            return None
        return tuple(self._envs.picture(i).repeat(_SCALE, 0).repeat(_SCALE, 1) for i in range(self.num_envs))
