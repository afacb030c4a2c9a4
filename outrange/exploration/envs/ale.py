"""Atari through ale-py's own vector engine. It does not show the console's memory, so ``place`` is unknown; envpool
(pool.py) does."""

from typing import Any

import numpy as np

from outrange.core.errors import unknown
from outrange.exploration.envs.atari import ACTIONS, AtariSettings, images, picture
from outrange.exploration.envs.inputs import needed
from outrange.exploration.envs.vectorised import Raw, Vectorised


class Ale(Vectorised):
    """B consoles of a game.

    Args:
        name: as Gymnasium has it, ``ALE/MontezumaRevenge-v5``.
        settings: table 8 of the paper by default.
        next_step: which habit of autoreset the engine takes; what comes out is the same but for the dummy steps.
    """

    engine, dtype = "ale", np.dtype(np.uint8)
    actions, action_names = len(ACTIONS), ACTIONS

    def __init__(self, name: str, count: int, seed: int, settings: AtariSettings, next_step: bool = False) -> None:
        super().__init__(name, count, seed)
        games = roms(name)
        if name not in games:
            raise unknown("env", name, games, "a game of ale-py")
        self.settings, self.shape, self.next_step, self._game = settings, settings.shape(), next_step, games[name]
        self._engine: Any = None

    def _open(self, seeds: list[int]) -> tuple[np.ndarray, np.ndarray]:
        vector, s = needed(f"env: {self.name}", "ale_py.vector_env", "ale-py"), self.settings
        self._engine = vector.AtariVectorEnv(
            self._game,
            self.count,
            num_threads=s.threads,
            max_num_frames_per_episode=s.frames,
            repeat_action_probability=s.sticky,
            full_action_space=True,
            autoreset_mode="NextStep" if self.next_step else "SameStep",
            img_height=s.size,
            img_width=s.size,
            grayscale=True,
            stack_num=s.stack,
            frameskip=s.skip,
            maxpool=True,
            noop_max=s.noops,
            episodic_life=False,
            life_loss_info=False,
            reward_clipping=False,
            use_fire_reset=False,
        )
        observation, _ = self._engine.reset(seed=np.array(seeds))
        return images(observation), np.full(self.count, -1, np.int64)

    def _advance(self, actions: np.ndarray) -> Raw:
        observation, reward, terminated, truncated, info = self._engine.step(actions)
        unknown = np.full(self.count, -1, np.int64)
        observations = images(observation)
        return Raw(
            observations,
            reward,
            terminated,
            truncated,
            unknown,
            images(info["final_obs"]) if "final_obs" in info else observations,
            unknown,
        )

    def _close(self) -> None:
        if self._engine is not None:
            self._engine.close()
        self._engine = None

    def _rgb(self, observation: np.ndarray) -> np.ndarray:
        return picture(observation)


def roms(name: str) -> dict[str, str]:
    """The games that ale-py has, by Gymnasium's name."""
    import gymnasium

    gymnasium.register_envs(needed(f"env: {name}", "ale_py", "ale-py"))
    return {key: spec.kwargs["game"] for key, spec in gymnasium.registry.items() if key.startswith("ALE/")}
