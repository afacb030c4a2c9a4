"""What an agent does once it has learned: episodes with its exploiting mixture (beta 0), or any other, and one episode looked at closely.

The bonus is computed as in training, since it is an input of the network. Whole episodes count, the same number from each environment, so that short ones are
not preferred.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from outrange.core.errors import BadInput
from outrange.core.run import Run
from outrange.core.seeding import SeedTree
from outrange.exploration.acting.actor import Actor, environments
from outrange.exploration.agents.ngu import NGU, below
from outrange.exploration.config import TrainConfig
from outrange.exploration.envs import Envs

Progress = Callable[[int, int], None]


class Nowhere:
    """A replay that keeps nothing."""

    def append(self, columns: Mapping[str, np.ndarray], where: np.ndarray, state: np.ndarray) -> None:
        """Forget."""

    def drop(self, where: np.ndarray, lengths: np.ndarray) -> None:
        """There is nothing to drop."""


def load(
    path: Path, count: int, seed: int = 0, mixture: int = 0, epsilon: float = 0.0
) -> tuple[TrainConfig, Envs, NGU, Actor]:
    """The agent of a run's newest checkpoint in ``count`` environments of their own, acting with one mixture.

    Args:
        path: the run's directory.
        count: environments side by side.
        seed: of the environments and the actions; other episodes than those of training, whatever it is.
        mixture: whose policy; 0 exploits, the last explores most.
        epsilon: share of random actions.

    Raises:
        BadInput: there is no checkpoint yet, or no such mixture.
    """
    config = Run.configuration(path, TrainConfig)
    if not 0 <= mixture < config.bonus.mixtures:
        raise BadInput(f"mixture: {mixture} is not allowed; the run has {config.bonus.mixtures}, counted from 0")
    if not 0 <= epsilon <= 1:
        raise BadInput(f"epsilon: {epsilon} is not allowed; it must be between 0 and 1")
    found = Run.open(path).load()
    if found is None:
        raise BadInput(f"run: {str(path)!r} has no checkpoint yet; wait for the first, or stop the training once")
    torch.set_num_threads(config.threads)
    seeds = SeedTree(config.seed).child("evaluate", seed)
    envs = environments(config, seeds.child("env"), count)
    agent = NGU(config, envs, seeds)
    agent.adopt(found.tensors)
    gathered = {name: value.numpy() for name, value in found.tensors["actor"].items()}
    agent.take_up(below(gathered, "novelty."), memories=False)
    actor = Actor(config, envs, agent, Nowhere(), seeds, show=(mixture, epsilon))
    return config, envs, agent, actor


def evaluate(
    path: Path,
    episodes: int = 128,
    seed: int = 0,
    mixture: int = 0,
    epsilon: float = 0.0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Return, length, coverage, places, bonus and success over whole episodes: for each its mean and standard error, over episodes.

    Args:
        path, seed, mixture, epsilon: see ``load``.
        episodes: how many; rounded up to a multiple of the environments, at most 64 side by side.
        progress: told how many are done.
    """
    if episodes < 1:
        raise BadInput(f"episodes: {episodes} is not allowed; it must be at least 1")
    count = min(64, episodes)
    each = -(-episodes // count)
    config, envs, _, actor = load(path, count, seed, mixture, epsilon)
    try:
        ended: list[dict[str, float]] = []
        actor.episodes.ended = ended
        done = np.zeros(count, np.int64)
        kept: list[dict[str, float]] = []
        while done.min() < each:
            actor.advance()
            for episode in ended:
                done[int(episode["actor"])] += 1
                if done[int(episode["actor"])] <= each:
                    kept.append(episode)
            ended.clear()
            if progress:
                progress(len(kept), each * count)
    finally:
        envs.close()
    result: dict[str, Any] = {
        "run": str(path), "env": config.env.name, "agent": config.agent, "mixture": mixture, "epsilon": epsilon, "episodes": len(kept), "seed": seed,
    }  # fmt: skip
    for name in ("return", "success", "length", "coverage", "places", "bonus"):
        values = np.array([episode[name] for episode in kept])
        result[name] = float(values.mean())
        result[f"{name}_error"] = float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else 0.0
    return result


@dataclass(frozen=True, kw_only=True)
class Recording:
    """One episode of N steps, closely: what was seen, done and earned, and what the embedding made of it."""

    env: str
    mixture: int
    pictures: np.ndarray
    """(N + 1, H, W, 3) uint8, before each step and after the last but for an episode whose environment begins the next one by itself"""
    place: np.ndarray
    """(N + 1,) int64, -1 where unknown"""
    action: np.ndarray
    """(N,) int64"""
    reward: np.ndarray
    """(N,) float32 r^e"""
    bonus: np.ndarray
    """(N,) float32 r^i"""
    points: np.ndarray
    """(N, p) float32, the controllable state of what each step came to; p = 0 without an embedding"""
    terminated: bool
    coverage: float
    places: int
    """how many places the episode had in all, 0 if unknown"""


def record(path: Path, seed: int = 0, mixture: int = 0, epsilon: float = 0.0, longest: int = 10_000) -> Recording:
    """One episode of the agent of a run; see ``load``.

    Args:
        longest: steps after which the recording ends whether the episode has or not.
    """
    config, envs, agent, actor = load(path, 1, seed, mixture, epsilon)
    try:
        of = int(envs.places()[0])
        pictures, places = [envs.picture()], [int(actor.place[0])]
        actions, rewards, bonuses, points = [], [], [], []
        ended = terminated = False
        while not ended and len(actions) < longest:
            actor.advance()
            assert actor.last is not None
            step, action, bonus = actor.last
            if not step.valid[0]:
                continue
            actions.append(int(action[0]))
            rewards.append(float(step.reward[0]))
            bonuses.append(float(bonus[0]))
            places.append(int(step.place[0]))
            if agent.bonus.embeds:
                points.append(agent.embed(step.final)[0])
            terminated = bool(step.terminated[0])
            ended = terminated or bool(step.truncated[0])
            pictures.append(pictures[-1] if step.started[0] else envs.picture())
    finally:
        envs.close()
    seen = len({place for place in places if place >= 0})
    return Recording(
        env=config.env.name, mixture=mixture, pictures=np.stack(pictures), place=np.array(places), action=np.array(actions),
        reward=np.array(rewards, np.float32), bonus=np.array(bonuses, np.float32),
        points=np.array(points, np.float32).reshape(len(actions), -1), terminated=terminated, coverage=seen / of if of else 0.0, places=of,
    )  # fmt: skip
