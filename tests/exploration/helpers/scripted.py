"""Environments whose every step is written down beforehand, a replay that writes down what it is given, and configurations of a few numbers."""

import numpy as np

from outrange.core.seeding import SeedTree
from outrange.exploration.agents.ngu import NGU
from outrange.exploration.config import (
    ActingConfig,
    BonusConfig,
    EnvConfig,
    LearnerConfig,
    NetworkConfig,
    ReplayConfig,
    TrainConfig,
    changed,
)
from outrange.exploration.envs.contract import Step

ACTIONS = 3
SMALL = TrainConfig(
    env=EnvConfig(name="scripted", count=1),
    network=NetworkConfig(encoder="vector", width=4, hidden=3, head=4),
    acting=ActingConfig(base=0.0),
    replay=ReplayConfig(rows=4096, trace=4, period=2, start=1),
    learner=LearnerConfig(batch=2, rate=1e-2, copy_every=1000),
    bonus=BonusConfig(
        kind="none", encoder="vector", dimension=2, capacity=20, k=1, frames=2, rnd_width=3, refresh=1000
    ),
)


def tiny(**settings):
    """A small configuration with other settings; ``learner__gamma`` is learner.gamma."""
    settings = {name.replace("__", "."): value for name, value in settings.items()}
    if settings.get("learner.gamma", 1) < SMALL.learner.gamma_explore:
        settings = {"learner.gamma_explore": settings["learner.gamma"]} | settings
    return changed(SMALL, {"replay.rows": max(SMALL.replay.rows, 64 * settings.get("env.count", 1))} | settings)


class Scripted:
    """Environments that count: they show (which environment, which episode, how many steps into it) in bytes; ``place`` is the steps into the episode.

    A script is a list of episodes for each environment, taken from the beginning again when used up; an episode is a letter a step: ``.`` goes on, ``T`` ends it,
    ``C`` cuts it, ``B`` breaks it (no transition). ``rewards`` has the same form, a number a step, 0 where it is left out.

    habit "same": the step that ends an episode shows the first observation of the next one; "next": it shows the last one, and the step after is a dummy.
    """

    name, engine, actions, action_names, codes = "scripted", "none", ACTIONS, ("a", "b", "c"), 0
    shape, dtype = (3,), np.dtype(np.uint8)

    def __init__(self, scripts, rewards=None, habit="same", exact=True):
        self.scripts, self.rewards, self.habit, self.exact = scripts, rewards or [[] for _ in scripts], habit, exact
        self.count = len(scripts)
        self.episode, self.clock, self.over = (
            np.full(self.count, -1),
            np.zeros(self.count, np.int64),
            np.zeros(self.count, bool),
        )
        self.given = []

    def _shown(self):
        return np.stack([np.arange(self.count), self.episode, self.clock], 1).astype(np.uint8)

    def reset(self):
        self.episode, self.clock = self.episode + 1, np.zeros(self.count, np.int64)
        self.over[:] = False
        return self._shown(), self.clock.copy()

    def step(self, actions):
        assert actions.shape == (self.count,) and actions.min() >= 0 and actions.max() < ACTIONS
        self.given.append(actions.copy())
        reward = np.zeros(self.count, np.float32)
        terminated, truncated, started, broken = (np.zeros(self.count, bool) for _ in range(4))
        valid = ~self.over
        for b in range(self.count):
            letter = "over"
            if valid[b]:
                script, rewards = self.scripts[b][self.episode[b] % len(self.scripts[b])], self.rewards[b]
                letter, earned = script[self.clock[b]], rewards[self.episode[b] % len(rewards)] if rewards else ()
                if letter != "B":
                    reward[b] = earned[self.clock[b]] if self.clock[b] < len(earned) else 0
                    self.clock[b] += 1
            terminated[b], truncated[b], broken[b] = letter == "T", letter == "C", letter == "B"
            started[b] = letter in ("B", "over") or (self.habit == "same" and letter in ("T", "C"))
        valid &= ~broken
        final, place = self._shown(), self.clock.copy()
        self.episode = self.episode + started
        self.clock = np.where(started, 0, self.clock)
        self.over = (terminated | truncated) & ~started
        observation = self._shown()
        final[~valid], place[~valid] = observation[~valid], self.clock[~valid]
        return Step(
            observation=observation, final=final, reward=reward, terminated=terminated, truncated=truncated, started=started,
            valid=valid, broken=broken, place=place, start_place=self.clock.copy(),
        )  # fmt: skip

    def state(self):
        return {"episode": self.episode.copy(), "clock": self.clock.copy(), "over": self.over.copy()}

    def restore(self, state):
        self.episode, self.clock, self.over = (state[name].copy() for name in ("episode", "clock", "over"))

    def places(self):
        return np.full(self.count, 8, np.int64)

    def picture(self, index=0):
        return np.full((2, 2, 3), self.clock[index], np.uint8)

    def close(self):
        pass


class Written:
    """A replay that keeps every row as it was given, for each stream, with the recurrent state before it."""

    def __init__(self, streams):
        self.rows = [[] for _ in range(streams)]

    def append(self, columns, where, state):
        for b in np.flatnonzero(where):
            self.rows[b].append(
                {name: column[b].copy() for name, column in columns.items()} | {"state": state[b].copy()}
            )

    def drop(self, where, lengths):
        for b in np.flatnonzero(where):
            for row in self.rows[b][len(self.rows[b]) - int(lengths[b]) :]:
                row["filler"] = np.True_

    def column(self, b, name):
        return [np.asarray(row[name]).tolist() for row in self.rows[b]]


class Told(NGU):
    """An agent that does as it is told: its best action, the novelty of an observation and that of a first one are functions of observations (B, 3).

    Its recurrent state counts the rows of the episode that it has seen. ``seen`` keeps the rows it was shown, ``judged`` and ``begun`` the observations it was
    asked about.
    """

    def __init__(
        self,
        config,
        envs,
        best=lambda x: x.sum(1) % ACTIONS,
        novelty=lambda x: x[:, 2] + 0.5,
        first=lambda x: np.full(len(x), 0.25),
    ):
        super().__init__(config, envs, SeedTree(0))
        self._best, self._novelty, self._first = best, novelty, first
        self.seen, self.judged, self.begun, self.refreshed = [], [], [], 0

    def values(self, row, state):
        self.seen.append({name: value.copy() for name, value in row.items()})
        q = np.zeros((len(state), ACTIONS), np.float32)
        q[np.arange(len(state)), self._best(row["observation"].astype(int))] = 1
        return q, np.where(row["first"][:, None], 0, state) + np.float32(1)

    def novelty(self, observation, counts):
        self.judged += observation[counts].tolist()
        return np.where(counts, self._novelty(observation.astype(float)), 0).astype(np.float32)

    def begin(self, observation, started, judge=True):
        self.begun += observation[started].tolist()
        if self.config.bonus.at == "arrival":
            return np.zeros(len(started), np.float32)
        return np.where(started, self._first(observation.astype(float)), 0).astype(np.float32)

    def refresh(self):
        self.refreshed += 1
