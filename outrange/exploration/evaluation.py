"""What an agent does once it has learned: episodes with its exploiting mixture (beta 0), or any other, and one episode
looked at closely.

The bonus is computed as in training, since it is an input of the network. Whole episodes count, the same number from
each environment, so that short ones are not preferred.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from outrange.core.checks import whole, within
from outrange.core.seeding import SeedTree
from outrange.exploration import agents
from outrange.exploration.acting.actor import Actor, environments
from outrange.exploration.acting.behaviour import EpsilonGreedy
from outrange.exploration.acting.episodes import METRICS
from outrange.exploration.acting.mixtures import Fixed
from outrange.exploration.config import TrainConfig
from outrange.exploration.envs import Envs
from outrange.exploration.policy import Policy, check_mixture, load

ReportProgress = Callable[[int, int], None]
_MOST_SIDE_BY_SIDE = 64


class Discard:
    """A replay that keeps nothing."""

    def append(self, columns: Mapping[str, np.ndarray], mask: np.ndarray, state: np.ndarray) -> None:
        """Forget."""

    def drop(self, mask: np.ndarray, lengths: np.ndarray) -> None:
        """There is nothing to drop."""


@dataclass(frozen=True, eq=False)
class Stage:
    """A trained agent in environments of its own, acting with one mixture. Close ``envs`` when it is over."""

    config: TrainConfig
    envs: Envs
    policy: Policy
    actor: Actor


def stage(path: Path, count: int, seed: int = 0, mixture: int = 0, epsilon: float = 0.0) -> Stage:
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
    policy = load(path)
    config = policy.config
    check_mixture(config, mixture)
    within("epsilon", epsilon, 0, 1, "between 0 and 1")
    torch.set_num_threads(config.threads)
    seeds = SeedTree(config.seed).child("evaluate", seed)
    envs = environments(config, seeds.child("env"), count)
    rng = seeds.child("actor").numpy()
    behaviour = EpsilonGreedy(policy.agent, np.full(count, epsilon), np.zeros(count, bool), rng)
    mixtures = Fixed(np.full(count, mixture))
    parts = agents.acting_parts(config, policy.agent, count, rng, behaviour, mixtures)
    parts.novelty.load_state_dict(policy.novelty_state)
    # the embedding that is looked up stays as it is, or points of two embeddings would lie in one memory
    actor = Actor(config, envs, policy.agent, parts, Discard(), refreshing=False)
    return Stage(config, envs, policy, actor)


def evaluate(
    path: Path,
    episodes: int = 128,
    seed: int = 0,
    mixture: int = 0,
    epsilon: float = 0.0,
    report_progress: ReportProgress | None = None,
) -> dict[str, Any]:
    """The metrics of whole episodes (acting/episodes.py): for each its mean, and under ``<name>_error`` its standard
    error, over episodes.

    Args:
        path, seed, mixture, epsilon: see ``stage``.
        episodes: how many; rounded up to a multiple of the environments, at most 64 side by side.
        report_progress: called with how many are done, and of how many.
    """
    whole("episodes", episodes, 1)
    count = min(_MOST_SIDE_BY_SIDE, episodes)
    episodes_per_env = -(-episodes // count)
    acting = stage(path, count, seed, mixture, epsilon)
    try:
        finished = acting.actor.episodes.finished = []
        ended = np.zeros(count, np.int64)
        counted: list[dict[str, float]] = []
        # whole episodes, the same number of each environment
        while ended.min() < episodes_per_env:
            acting.actor.advance()
            for episode in finished:
                env = int(episode["actor"])
                ended[env] += 1
                if ended[env] <= episodes_per_env:  # those beyond would prefer environments whose episodes are short
                    counted.append(episode)
            finished.clear()
            if report_progress:
                report_progress(len(counted), episodes_per_env * count)
    finally:
        acting.envs.close()
    result: dict[str, Any] = {
        "run": str(path),
        "env": acting.config.env.name,
        "agent": acting.config.agent,
        "mixture": mixture,
        "epsilon": epsilon,
        "episodes": len(counted),
        "seed": seed,
    }
    for name in METRICS:
        values = np.array([episode[name] for episode in counted])
        result[name] = float(values.mean())
        result[f"{name}_error"] = float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else 0.0
    return result


@dataclass(frozen=True, kw_only=True)
class Recording:
    """One episode of N steps, closely: what was seen, done and earned, and what the embedding made of it."""

    env: str
    mixture: int
    pictures: np.ndarray
    """(N + 1, H, W, 3) uint8, before each step and after the last but for an episode whose environment begins the next
    one by itself"""
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


def record(path: Path, seed: int = 0, mixture: int = 0, epsilon: float = 0.0, max_steps: int = 10_000) -> Recording:
    """One episode of the agent of a run; see ``stage``.

    Args:
        max_steps: steps after which the recording ends whether the episode has or not.
    """
    acting = stage(path, 1, seed, mixture, epsilon)
    envs, actor = acting.envs, acting.actor
    try:
        place_count = int(envs.places()[0])
        pictures, places = [envs.picture()], [int(actor.place[0])]
        actions, rewards, bonuses, points = [], [], [], []
        ended = terminated = False
        while not ended and len(actions) < max_steps:
            actor.advance()
            assert actor.last is not None
            step, action, bonus = actor.last
            if not step.valid[0]:
                continue
            actions.append(int(action[0]))
            rewards.append(float(step.reward[0]))
            bonuses.append(float(bonus[0]))
            places.append(int(step.place[0]))
            points.append(actor.novelty.embed(step.final)[0])
            terminated = bool(step.terminated[0])
            ended = terminated or bool(step.truncated[0])
            # where the environment has begun the next episode, the last picture of this one is gone
            pictures.append(pictures[-1] if step.started[0] else envs.picture())
    finally:
        envs.close()
    visited = len({place for place in places if place >= 0})
    return Recording(
        env=acting.config.env.name,
        mixture=mixture,
        pictures=np.stack(pictures),
        place=np.array(places),
        action=np.array(actions),
        reward=np.array(rewards, np.float32),
        bonus=np.array(bonuses, np.float32),
        points=np.array(points, np.float32).reshape(len(actions), -1),
        terminated=terminated,
        coverage=visited / place_count if place_count else 0.0,
        places=place_count,
    )
