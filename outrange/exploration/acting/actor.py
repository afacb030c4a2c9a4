"""The actor: B environments in lock step, one batch of network calls a step, rows into the replay (arXiv 2002.06038,
section 3 and appendix A).

One step, read ``advance``: an action and with what probability it was chosen; the environments move; the bonus of where
they came to; the row is stored: what was seen, the network's other inputs, the action, r^e and r^i that it brought. An
episode that was cut short by a limit gets one row more, its last observation, to bootstrap from; one that ended by
itself gets none. Episodes' numbers go to ``Episodes``.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
import torch

from outrange.core.config import assignments
from outrange.core.run import Failed
from outrange.core.seeding import SeedTree, numpy_state, restore_numpy
from outrange.exploration.acting.behaviour import Action
from outrange.exploration.acting.episodes import Episodes
from outrange.exploration.agents import ActingParts, Agent
from outrange.exploration.config import TrainConfig
from outrange.exploration.envs import Envs, Step, make
from outrange.exploration.learning.modules import prefixed, unprefixed

Arrays = dict[str, np.ndarray]


class Broken(Failed):
    """Environments broke more often than the run allows; the message is one sentence."""


def environments(config: TrainConfig, seeds: SeedTree, count: int | None = None) -> Envs:
    """The environments of a run; ``count`` of them, if another number is wanted."""
    options = assignments("env.options", config.env.options)
    return make(config.env.name, count or config.env.count, seeds.integer(63), config.env.engine, **options)


@contextmanager
def process_settings(config: TrainConfig) -> Iterator[None]:
    """This process set up for a run: its threads; and while it lasts numbers below 1e-38 are zero, which are slow to
    compute with."""
    torch.set_num_threads(config.threads)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        # it is the processor's state, and others in this process mean their small numbers
        torch.set_flush_denormal(False)


class RowSink(Protocol):
    """Where rows go: a replay."""

    def append(self, columns: Mapping[str, np.ndarray], mask: np.ndarray, state: np.ndarray) -> None:
        """See ``Replay.append``."""
        ...

    def drop(self, mask: np.ndarray, lengths: np.ndarray) -> None:
        """See ``Replay.drop``."""
        ...


class Actor:
    """Where B environments are, and how they go on.

    Args:
        config: of the run.
        envs: the environments; they are reset.
        agent: what learns; its weights are read.
        parts: what acts: behaviour, novelty, mixtures and their draws.
        replay: where rows go.
        refreshing: whether the novelty follows the learner's newest weights, every ``bonus.embedding_refresh_period``
            steps; not where what was learned is looked at.
    """

    def __init__(
        self,
        config: TrainConfig,
        envs: Envs,
        agent: Agent,
        parts: ActingParts,
        replay: RowSink,
        refreshing: bool = True,
    ) -> None:
        self.config, self.envs, self.agent, self.replay, self.refreshing = config, envs, agent, replay, refreshing
        self.behaviour, self.novelty = parts.behaviour, parts.novelty
        self.mixtures, self.rng = parts.mixtures, parts.rng
        count = envs.count
        self.all = np.ones(count, bool)
        self.on_departure = config.bonus.timing == "departure"
        self.vector_steps = self.broken = 0
        observation, self.place = envs.reset()
        self.state = np.zeros((count, agent.state_size), np.float32)
        nothing = np.zeros(count)
        self.row = self._next_row(observation, nothing, nothing, nothing, self.all)
        #: (B,) float32 the bonus of the observations that are shown now, which is paid on departure
        self.pending_bonus = self.novelty.begin(observation, self.all, self.on_departure)
        self.episodes = Episodes(envs, len(agent.family), self.behaviour.greedy)
        self.episodes.begin(self.all, self.place)
        self.last: tuple[Step, np.ndarray, np.ndarray] | None = None
        """the last step, its executed actions and the bonuses it earned, for whoever watches"""

    def advance(self, uniform: bool = False) -> int:
        """One step of all environments; returns how many transitions there were.

        Args:
            uniform: actions are drawn uniformly and earn no bonus, as while the embedding is warmed up.
        """
        action = self.behaviour.act(self.row, self.state, uniform)
        step = self.envs.step(action.executed)
        # the bonus: of the observation each step came to, or of the one it left
        alive = step.valid & ~step.terminated
        arrival_bonus = _zeros(self.envs.count) if uniform else self.novelty.reward(step.final, alive)
        if uniform or not self.on_departure:
            bonus = arrival_bonus
        else:
            bonus = np.where(step.valid, self.pending_bonus, 0).astype(np.float32)
        self._store(action, step, bonus)
        self.episodes.add(step, bonus, self.mixtures.mixture, count_ended=not uniform)
        ended = step.valid & (step.terminated | step.truncated)
        if ended.any() and not uniform:
            self.mixtures.ended(ended, self.episodes.returns)
        if step.broken.any():
            self._drop(step.broken)
        # where episodes begin: another mixture, another memory
        self.pending_bonus = arrival_bonus
        if step.started.any():
            self.mixtures.draw(step.started)
            first_bonus = self.novelty.begin(step.observation, step.started, self.on_departure and not uniform)
            self.pending_bonus = np.where(step.started, first_bonus, arrival_bonus).astype(np.float32)
            self.episodes.begin(step.started, step.start_place)
        self.row = self._next_row(step.observation, action.executed, step.reward, bonus, step.started)
        self.state, self.last = action.state, (step, action.executed, bonus)
        self.vector_steps += 1
        if self.refreshing and not uniform and self.vector_steps % self.config.bonus.embedding_refresh_period == 0:
            self.refresh()
        return int(step.valid.sum())

    def _store(self, action: Action, step: Step, bonus: np.ndarray) -> None:
        """The rows of this step, and where an episode was cut short its last observation."""
        count = self.envs.count
        # what was seen and done in this step, and what it brought
        columns = self.row | {
            "action": action.chosen.astype(np.int16),
            "reward": step.reward,
            "bonus": bonus,
            "mu": action.probability,
            "terminated": step.terminated,
            "filler": np.zeros(count, bool),
        }
        self.replay.append(columns | dict(action.columns), step.valid, self.state)
        # an episode that was cut short is valued by its last observation
        cut = step.truncated & step.valid
        if cut.any():
            none = np.zeros(count, bool)
            last = self._next_row(step.final, action.executed, step.reward, bonus, none)
            last |= {
                "action": np.zeros(count, np.int16),
                "reward": _zeros(count),
                "bonus": _zeros(count),
                "mu": np.ones(count, np.float32),
                "terminated": none,
                "filler": self.all,
            }
            own_columns = {name: np.zeros_like(column) for name, column in action.columns.items()}
            self.replay.append(last | own_columns, cut, action.state)

    def _next_row(
        self, observation: np.ndarray, action: np.ndarray, reward: np.ndarray, bonus: np.ndarray, first: np.ndarray
    ) -> Arrays:
        """What the network is shown next: the observation, and beside it what the last step was and brought."""
        return {
            "observation": observation,
            "last_action": np.where(first, -1, action).astype(np.int16),
            "last_reward": np.where(first, 0, reward).astype(np.float32),
            "last_bonus": np.where(first, 0, bonus).astype(np.float32),
            "mixture": self.mixtures.mixture.copy(),
            "first": first,
        }

    def _drop(self, broken: np.ndarray) -> None:
        """Forget the episodes that broke."""
        self.replay.drop(broken, self.episodes.length)
        self.episodes.forget(broken)
        self.broken += int(broken.sum())
        if self.broken > self.config.max_broken_episodes:
            reason = f"{self.broken} episodes broke (it crashed, stalled or left its spaces)"
            allowed = f"max_broken_episodes allows {self.config.max_broken_episodes}"
            raise Broken(f"env {self.envs.name!r}: {reason}, and {allowed}")

    def report(self) -> dict[str, float]:
        """Metrics of the episodes since the last report."""
        return {"broken": float(self.broken)} | self.episodes.report() | self.novelty.metrics()

    def refresh(self) -> None:
        """Give the novelty the learner's weights as they are now."""
        self.novelty.refresh(self.agent.novelty_weights())

    def restart(self) -> None:
        """Begin new episodes everywhere, with nothing remembered of the old ones."""
        observation, self.place = self.envs.reset()
        nothing = np.zeros(self.envs.count)
        self.row = self._next_row(observation, nothing, nothing, nothing, self.all)
        self.state = np.zeros_like(self.state)
        self.novelty.restart()
        self.pending_bonus = self.novelty.begin(observation, self.all, self.on_departure)
        self.episodes = Episodes(self.envs, len(self.agent.family), self.behaviour.greedy)
        self.episodes.begin(self.all, self.place)

    def state_dict(self) -> tuple[dict[str, Arrays], dict[str, Any]]:
        """Arrays by group, and counters and random state as JSON.

        The group ``policy`` is what acting anywhere needs of the novelty; ``actor`` is where everything is:
        environments, running episodes, their memories.
        """
        # what does not depend on the number of environments goes with the policy
        policy = self.novelty.state_dict(streams=False)
        memories = {name: value for name, value in self.novelty.state_dict().items() if name not in policy}
        own = {"state": self.state, "pending_bonus": self.pending_bonus}
        actor = (
            own
            | prefixed("row.", self.row)
            | prefixed("env.", self.envs.state_dict())
            | prefixed("novelty.", memories)
            | prefixed("mixtures.", self.mixtures.state_dict())
            | prefixed("behaviour.", self.behaviour.state_dict())
            | prefixed("episodes.", self.episodes.state_dict())
        )
        counters = {"vector_steps": self.vector_steps, "broken": self.broken, "rng": numpy_state(self.rng)}
        return {"policy": prefixed("novelty.", policy), "actor": actor}, counters

    def load_state_dict(self, groups: Mapping[str, Mapping[str, np.ndarray]], counters: Mapping[str, Any]) -> None:
        """Go on from ``state_dict``. Where the environments cannot be brought back, new episodes begin."""
        actor = groups["actor"]
        self.vector_steps, self.broken = counters["vector_steps"], counters["broken"]
        self.mixtures.load_state_dict(unprefixed("mixtures.", actor))
        self.behaviour.load_state_dict(unprefixed("behaviour.", actor))
        self.novelty.load_state_dict(unprefixed("novelty.", groups["policy"]) | unprefixed("novelty.", actor))
        self.envs.load_state_dict(unprefixed("env.", actor))
        episodes = unprefixed("episodes.", actor)
        if self.envs.exact:
            self.state, self.pending_bonus = actor["state"], actor["pending_bonus"]
            self.row = unprefixed("row.", actor)
            self.episodes.load_state_dict(episodes)
        else:
            # what ran ends here, as if cut short: its last row is to bootstrap from
            self.replay.drop(self.all, np.ones(self.envs.count, np.int64))
            self.restart()
            self.episodes.load_state_dict(episodes, running=False)
            self.episodes.begin(self.all, self.place)
        restore_numpy(self.rng, counters["rng"])


def _zeros(count: int) -> np.ndarray:
    return np.zeros(count, np.float32)
