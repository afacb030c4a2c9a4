"""Behaviours: how an actor chooses actions, and with what probability. Here epsilon-greedy, with Ape-X's ladder of
epsilons.

epsilon_i = base^(1 + alpha i / (A-1))
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from outrange.core.checks import require, whole
from outrange.exploration.agents.contract import Agent
from outrange.exploration.config import TrainConfig


@dataclass(frozen=True, eq=False)
class Action:
    """What B environments do next."""

    chosen: np.ndarray
    """(B,) int, the agent's action, from which Q is learned; it may be one that no environment knows, as an option that
    runs for several steps"""
    executed: np.ndarray
    """(B,) int, the environment's action"""
    probability: np.ndarray
    """(B,) float32 with which the agent's action was chosen"""
    state: np.ndarray
    """(B, S) float32 recurrent state after the row"""
    columns: Mapping[str, np.ndarray] = field(default_factory=dict)
    """what the agent's own replay fields hold (``Agent.replay_fields``), as ``executed_action`` where it is not the
    chosen one"""


class Behaviour(Protocol):
    """Chooses actions."""

    greedy: np.ndarray
    """(B,) bool, the actors whose episodes are logged apart, as they show what the agent can do"""

    def act(self, row: dict[str, np.ndarray], state: np.ndarray, uniform: bool = False) -> Action:
        """The next action of B environments.

        Args:
            row: what the network is shown: observation, last_action, last_reward, last_bonus, mixture, first; (B, …)
                each.
            state: (B, S) recurrent state before the row.
            uniform: whether all actions are drawn uniformly.
        """
        ...

    def state_dict(self) -> dict[str, np.ndarray]:
        """What the next action depends on besides its arguments."""
        ...

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from ``state_dict``."""
        ...


class EpsilonGreedy:
    """The action of the largest value, or with probability epsilon a uniformly random one.

    Args:
        agent: whose values decide.
        epsilon: (B,) of each actor.
        greedy: (B,) bool, the actors that show what the agent can do.
        rng: draws.
    """

    def __init__(self, agent: Agent, epsilon: np.ndarray, greedy: np.ndarray, rng: np.random.Generator) -> None:
        self.agent, self.epsilon, self.greedy, self.rng = agent, epsilon, greedy, rng

    def act(self, row: dict[str, np.ndarray], state: np.ndarray, uniform: bool = False) -> Action:
        q, after = self.agent.values(row, state)
        count, actions = q.shape
        epsilon = np.ones(count) if uniform else self.epsilon
        # all is drawn for all actors, so that one actor's luck does not depend on another's
        random = np.ones(count, bool) if uniform else self.rng.random(count) < epsilon
        best = q.argmax(1)
        action = np.where(random, self.rng.integers(actions, size=count), best)
        # a random draw may hit the best action too
        share = epsilon / actions
        probability = np.where(action == best, 1 - epsilon + share, share).astype(np.float32)
        return Action(action, action, probability, after)

    def state_dict(self) -> dict[str, np.ndarray]:
        return {}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        """It depends on nothing but its arguments and the draws."""


def epsilon_greedy(config: TrainConfig, agent: Agent, count: int, rng: np.random.Generator) -> EpsilonGreedy:
    """The behaviour while learning: one ladder of epsilons over all actors, the first few of each mixture greedy.

    Every mixture then has steps from top to bottom, if it has several actors; with one, epsilon goes with the mixture.
    """
    acting = config.acting
    greedy = np.arange(count) // config.bonus.mixtures < acting.greedy_actors
    ladder = epsilons(count, acting.epsilon_base, acting.epsilon_alpha)
    return EpsilonGreedy(agent, np.where(greedy, acting.greedy_epsilon, ladder), greedy, rng)


def epsilons(count: int, base: float = 0.4, alpha: float = 7.0) -> np.ndarray:
    """epsilon_i of all actors, (count,) float64, from ``base`` falling to base^(1 + alpha); (base,) for a count of
    1."""
    whole("actors", count, 1)
    require(0 <= base <= 1, "epsilon base", base, "in 0..1")
    require(0 <= alpha < math.inf, "epsilon alpha", alpha, "0 or above")
    return np.array([base ** (1 + alpha * i / max(count - 1, 1)) for i in range(count)], dtype=np.float64)
