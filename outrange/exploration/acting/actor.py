"""The actor: B environments in lock step, one batch of network calls a step, rows into the replay (arXiv 2002.06038, section 3 and appendix A).

One step, read ``advance``: Q of what is seen; an epsilon-greedy action whose probability mu is kept; the environments move; the bonus of where they came to;
the row is stored: what was seen, the network's other inputs, the action, r^e and r^i that it brought. An episode that was cut short by a limit gets one
row more, its last observation, to bootstrap from; one that ended by itself gets none. Episodes' numbers go to ``Episodes``.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
import torch

from outrange.core.config import assignments
from outrange.core.errors import BadInput
from outrange.core.run import Failed
from outrange.core.seeding import SeedTree, numpy_state, restore_numpy
from outrange.exploration.agents.ngu import NGU, below
from outrange.exploration.config import TrainConfig
from outrange.exploration.envs import Envs, Step, make
from outrange.exploration.learning import family


class Broken(Failed):
    """Environments broke more often than the run allows; the message is one sentence."""


def environments(config: TrainConfig, seeds: SeedTree, count: int | None = None) -> Envs:
    """The environments of a run; ``count`` of them, if another number is wanted."""
    options = assignments("env.options", config.env.options)
    return make(config.env.name, count or config.env.count, seeds.integer(63), config.env.engine, **options)


@contextmanager
def settled(config: TrainConfig) -> Iterator[None]:
    """This process set up for a run: its threads; and while it lasts numbers below 1e-38 are zero, which are slow to compute with."""
    torch.set_num_threads(config.threads)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(
            False
        )  # it is the processor's state, and others in this process mean their small numbers


class Rows(Protocol):
    """Where rows go: a replay."""

    def append(self, columns: Mapping[str, np.ndarray], where: np.ndarray, state: np.ndarray) -> None:
        """See ``Replay.append``."""
        ...

    def drop(self, where: np.ndarray, lengths: np.ndarray) -> None:
        """See ``Replay.drop``."""
        ...


class Actor:
    """Where B environments are, and how they go on.

    Args:
        show: a mixture and an epsilon with which all of them act, while the embedding stays as it is: to look at what was learned.
    """

    def __init__(
        self,
        config: TrainConfig,
        envs: Envs,
        agent: NGU,
        replay: Rows,
        seeds: SeedTree,
        show: tuple[int, float] | None = None,
    ) -> None:
        self.config, self.envs, self.agent, self.replay = config, envs, agent, replay
        self.rng = seeds.child("actor").numpy()
        count = envs.count
        self.every = np.ones(count, bool)
        self.mixture = family.assign(agent.mixtures, count, config.acting.assign, self.rng).astype(np.int16)
        self.epsilon, self.greedy = _epsilons(config, count)
        self.show = show
        if show:
            self.mixture[:], self.epsilon[:] = show
        self.vector_steps = self.broken = 0
        observation, self.place = envs.reset()
        self.state = np.zeros((count, agent.state_size), np.float32)
        self.row: dict[str, np.ndarray] = {
            "observation": observation,
            "last_action": np.full(count, -1, np.int16),
            "last_reward": np.zeros(count, np.float32),
            "last_bonus": np.zeros(count, np.float32),
            "mixture": self.mixture.copy(),
            "first": np.ones(count, bool),
        }
        self.pending = agent.begin(observation, self.every)
        self.episodes = Episodes(envs, agent.mixtures)
        self.episodes.begin(self.every, self.place)
        self.last: tuple[Step, np.ndarray, np.ndarray] | None = None
        """the last step, its actions and the bonuses it earned, for whoever watches"""

    def advance(self, uniform: bool = False) -> int:
        """One step of all environments; returns how many transitions there were.

        Args:
            uniform: actions are drawn uniformly and earn no bonus, as while the embedding is warmed up.
        """
        count, row, config = self.envs.count, self.row, self.config
        q, after = self.agent.values(row, self.state)
        random = self.every if uniform else self.rng.random(count) < self.epsilon
        best = q.argmax(1)
        action = np.where(random, self.rng.integers(self.envs.actions, size=count), best)
        share = (1.0 if uniform else self.epsilon) / self.envs.actions
        mu = np.where(action == best, 1 - (1 if uniform else self.epsilon) + share, share).astype(np.float32)
        step = self.envs.step(action)

        alive = step.valid & ~step.terminated
        arrived = np.zeros(count, np.float32) if uniform else self.agent.novelty(step.final, alive)
        bonus = (
            arrived
            if uniform or config.bonus.at == "arrival"
            else np.where(step.valid, self.pending, 0).astype(np.float32)
        )
        columns = row | {
            "action": action.astype(np.int16),
            "reward": step.reward,
            "bonus": bonus,
            "mu": mu,
            "terminated": step.terminated,
            "filler": np.zeros(count, bool),
        }
        self.replay.append(columns, step.valid, self.state)
        if (cut := step.truncated & step.valid).any():
            last = self._next(step.final, action, step.reward, bonus, np.zeros(count, bool))
            blank = {
                "action": np.zeros(count, np.int16),
                "reward": _zeros(count),
                "bonus": _zeros(count),
                "mu": np.ones(count, np.float32),
            }
            self.replay.append(last | blank | {"terminated": np.zeros(count, bool), "filler": self.every}, cut, after)
        self.episodes.add(step, bonus, self.mixture, self.greedy, count_all=not uniform)
        if step.broken.any():
            self._drop(step.broken)
        if step.started.any():
            if config.acting.assign == "uniform" and not self.show:
                drawn = family.assign(self.agent.mixtures, count, "uniform", self.rng)
                self.mixture = np.where(step.started, drawn, self.mixture).astype(np.int16)
            self.pending = np.where(
                step.started, self.agent.begin(step.observation, step.started, not uniform), arrived
            ).astype(np.float32)
            self.episodes.begin(step.started, step.start_place)
        else:
            self.pending = arrived
        self.row = self._next(step.observation, action, step.reward, bonus, step.started)
        self.state, self.last = after, (step, action, bonus)
        self.vector_steps += 1
        if not uniform and not self.show and self.vector_steps % config.bonus.refresh == 0:
            self.agent.refresh()
        return int(step.valid.sum())

    def _next(
        self, observation: np.ndarray, action: np.ndarray, reward: np.ndarray, bonus: np.ndarray, first: np.ndarray
    ) -> dict[str, np.ndarray]:
        """What the network is shown next."""
        return {
            "observation": observation,
            "last_action": np.where(first, -1, action).astype(np.int16),
            "last_reward": np.where(first, 0, reward).astype(np.float32),
            "last_bonus": np.where(first, 0, bonus).astype(np.float32),
            "mixture": self.mixture.copy(),
            "first": first,
        }

    def _drop(self, broken: np.ndarray) -> None:
        self.replay.drop(broken, self.episodes.length)
        self.episodes.forget(broken)
        self.broken += int(broken.sum())
        if self.broken > self.config.broken:
            raise Broken(
                f"env {self.envs.name!r}: {self.broken} episodes broke (it crashed, stalled or left its spaces), and broken allows {self.config.broken}"
            )

    def report(self) -> dict[str, float]:
        """What acting came to since the last report, for the log."""
        told = {"broken": float(self.broken)} | self.episodes.report()
        if self.agent.bonus.embeds:
            told["distance"] = float(self.agent.kernel.mean.value.mean())
        return told

    def refresh(self) -> None:
        """Give the actor the embedding as it is now."""
        self.agent.refresh()

    def restart(self) -> None:
        """Begin new episodes everywhere, with nothing remembered of the old ones."""
        observation, self.place = self.envs.reset()
        none = np.zeros(self.envs.count)
        self.row = self._next(observation, none, none, none, self.every)
        self.state = np.zeros_like(self.state)
        self.agent.episodes[...] = 0
        self.pending = self.agent.begin(observation, self.every)
        self.episodes = Episodes(self.envs, self.agent.mixtures)
        self.episodes.begin(self.every, self.place)

    def arrays(self) -> dict[str, np.ndarray]:
        """Where everything is, the environments and the running episodes' memories with it."""
        inner = {f"env.{name}": value for name, value in self.envs.state().items()}
        own = {"mixture": self.mixture, "state": self.state, "pending": self.pending}
        rows = {f"row.{name}": value for name, value in self.row.items()}
        gathered = {f"novelty.{name}": value for name, value in self.agent.arrays().items()}
        return (
            own
            | rows
            | inner
            | gathered
            | {f"episodes.{name}": value for name, value in self.episodes.arrays().items()}
        )

    def counters(self) -> dict[str, Any]:
        """What a checkpoint holds besides arrays."""
        return {"vector_steps": self.vector_steps, "broken": self.broken, "rng": numpy_state(self.rng)}

    def restore(self, arrays: dict[str, np.ndarray], counters: dict[str, Any]) -> None:
        """Go on from a checkpoint. Where the environments cannot be brought back, new episodes begin."""
        self.vector_steps, self.broken = counters["vector_steps"], counters["broken"]
        self.mixture = arrays["mixture"]
        self.agent.take_up(below(arrays, "novelty."))
        self.envs.restore(below(arrays, "env."))
        if self.envs.exact:
            self.state, self.pending = arrays["state"], arrays["pending"]
            self.row = below(arrays, "row.")
            self.episodes.restore(below(arrays, "episodes."))
        else:
            self.replay.drop(
                self.every, np.ones(self.envs.count, np.int64)
            )  # what ran ends here, as if cut short: its last row is to bootstrap from
            self.restart()
            self.episodes.tally, self.episodes.ever = arrays["episodes.tally"], arrays["episodes.ever"]
            self.episodes.seen = np.zeros((self.envs.count, len(self.episodes.ever)), bool)
            self.episodes.begin(self.every, self.place)
        restore_numpy(self.rng, counters["rng"])


class Episodes:
    """What episodes come to: return, length, bonus, and the share of their places that was visited; running ones, and a tally of those that ended."""

    #: of an episode: how often, its return, length, bonus, coverage, places, success (a return above 0)
    COLUMNS = ("episodes", "return", "length", "bonus", "coverage", "places", "success")

    def __init__(self, envs: Envs, mixtures: int) -> None:
        count = envs.count
        self.envs, self.mixtures = envs, mixtures
        self.returns, self.bonuses = np.zeros(count), np.zeros(count)
        self.length, self.visited, self.of = (
            np.zeros(count, np.int64),
            np.zeros(count, np.int64),
            np.zeros(count, np.int64),
        )
        self.seen = np.zeros((count, 64), bool)
        self.ever = np.zeros(64, bool)  # places that any episode came to
        self.tally = np.zeros((mixtures, 2, len(self.COLUMNS)))  # by mixture, and whether the actor is a greedy one
        self.ended: list[dict[str, float]] | None = None
        """a list to be given each episode that ends, if anyone wants them one by one"""

    def begin(self, started: np.ndarray, place: np.ndarray) -> None:
        """Episodes begin at places."""
        self.returns[started] = self.bonuses[started] = 0
        self.length[started] = self.visited[started] = 0
        self.of[started] = self.envs.places()[started]
        self.seen[started] = False
        self._visit(place, started)

    def _visit(self, place: np.ndarray, where: np.ndarray) -> None:
        rows = np.flatnonzero(where & (place >= 0))
        if not rows.size:
            return
        at = place[rows]
        if (high := int(at.max())) >= self.seen.shape[1]:
            if high >= 1 << 20:
                raise BadInput(f"place: {high} is not allowed; places of an environment are numbered below {1 << 20:,}")
            more = 2 * high + 1 - self.seen.shape[1]
            self.seen, self.ever = np.pad(self.seen, ((0, 0), (0, more))), np.pad(self.ever, (0, more))
        self.visited[rows] += ~self.seen[rows, at]
        self.seen[rows, at] = self.ever[at] = True

    def add(
        self, step: Step, bonus: np.ndarray, mixture: np.ndarray, greedy: np.ndarray, count_all: bool = True
    ) -> None:
        """Take in a step; episodes that end with it are tallied, unless not ``count_all``."""
        valid = step.valid
        self.returns += np.where(valid, step.reward, 0)
        self.bonuses += np.where(valid, bonus, 0)
        self.length += valid
        self._visit(step.place, valid)
        for k in np.flatnonzero(valid & (step.terminated | step.truncated)) if count_all else ():
            share = self.visited[k] / self.of[k] if self.of[k] else 0.0
            numbers = (1, self.returns[k], self.length[k], self.bonuses[k], share, self.visited[k], self.returns[k] > 0)
            self.tally[mixture[k], int(greedy[k])] += numbers
            if self.ended is not None:
                self.ended.append(
                    dict(zip(self.COLUMNS[1:], map(float, numbers[1:]), strict=True))
                    | {"mixture": int(mixture[k]), "actor": int(k)}
                )

    def forget(self, broken: np.ndarray) -> None:
        """Episodes that broke count for nothing."""
        self.returns[broken] = self.bonuses[broken] = 0
        self.length[broken] = 0

    def report(self) -> dict[str, float]:
        """Means over the episodes that ended since the last report: of all, of the greedy actors, and by mixture; then the tally begins anew."""
        told: dict[str, float] = {"ever_places": float(self.ever.sum())} if self.ever.any() else {}
        groups = {"": self.tally.sum((0, 1)), "greedy_": self.tally[:, 1].sum(0)}
        if self.mixtures > 1:
            groups |= {f"mixture{j}_": self.tally[j].sum(0) for j in range(self.mixtures)} | {
                f"mixture{j}_greedy_": self.tally[j, 1] for j in range(self.mixtures)
            }
        for name, total in groups.items():
            if total[0]:
                told |= {
                    f"{name}{column}": float(value)
                    for column, value in zip(self.COLUMNS, [total[0], *(total[1:] / total[0])], strict=True)
                }
        self.tally[...] = 0
        return told

    def arrays(self) -> dict[str, np.ndarray]:
        """For a checkpoint."""
        return {
            name: getattr(self, name)
            for name in ("returns", "bonuses", "length", "visited", "of", "seen", "ever", "tally")
        }

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """From a checkpoint."""
        for name, value in arrays.items():
            setattr(self, name, value)


def _epsilons(config: TrainConfig, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Epsilon of each actor, and which are the greedy ones: one ladder over all actors, so that every mixture has steps from top to bottom, if it has several
    actors; with one, epsilon goes with the mixture."""
    mixtures, acting = config.bonus.mixtures, config.acting
    greedy = np.arange(count) // mixtures < acting.greedy
    return np.where(greedy, acting.epsilon_greedy, family.epsilons(count, acting.base, acting.alpha)), greedy


def _zeros(count: int) -> np.ndarray:
    return np.zeros(count, np.float32)
