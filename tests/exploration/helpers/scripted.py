"""Environments whose every step is written down beforehand, a replay that writes down what it is given, and configurations of a few numbers."""

from dataclasses import replace

import numpy as np

from outrange.core.config import changed
from outrange.exploration import agents
from outrange.exploration.acting.actor import Actor
from outrange.exploration.config import (
    ActingConfig,
    BonusConfig,
    EnvConfig,
    LearnerConfig,
    NetworkConfig,
    ReplayConfig,
    TrainConfig,
)
from outrange.exploration.envs.contract import Step
from outrange.exploration.learning.family import Family
from outrange.exploration.novelty import NoNovelty
from outrange.exploration.spec import Spec

ACTIONS = 3
SMALL = TrainConfig(
    agent="r2d2",
    env=EnvConfig(name="scripted", count=1),
    network=NetworkConfig(encoder="vector", encoder_size=4, hidden_size=3, head_size=4),
    acting=ActingConfig(epsilon_base=0.0),
    replay=ReplayConfig(capacity=4096, trace_length=4, period=2, min_sequences=1),
    learner=LearnerConfig(batch_size=2, learning_rate=1e-2, target_update_period=1000),
    bonus=BonusConfig(
        encoder="vector",
        embedding_size=2,
        memory_capacity=20,
        neighbours=1,
        training_steps=2,
        rnd_size=3,
        embedding_refresh_period=1000,
    ),
)


def tiny(**settings):
    """A small configuration with other settings; ``learner__gamma`` is learner.gamma."""
    settings = {name.replace("__", "."): value for name, value in settings.items()}
    if settings.get("learner.gamma", 1) < SMALL.learner.gamma_explore:
        settings = {"learner.gamma_explore": settings["learner.gamma"]} | settings
    return changed(SMALL, {"replay.capacity": max(SMALL.replay.capacity, 64 * settings.get("env.count", 1))} | settings)


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

    def state_dict(self):
        return {"episode": self.episode.copy(), "clock": self.clock.copy(), "over": self.over.copy()}

    def load_state_dict(self, state):
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

    def append(self, columns, mask, state):
        for b in np.flatnonzero(mask):
            self.rows[b].append(
                {name: column[b].copy() for name, column in columns.items()} | {"state": state[b].copy()}
            )

    def drop(self, mask, lengths):
        for b in np.flatnonzero(mask):
            for row in self.rows[b][len(self.rows[b]) - int(lengths[b]) :]:
                row["filler"] = np.True_

    def column(self, b, name):
        return [np.asarray(row[name]).tolist() for row in self.rows[b]]


def made(config, envs, seeds):
    """The agent that a configuration asks for."""
    return agents.make(config, Spec.of(envs), seeds)


def actor_of(config, envs, agent, replay, seeds, novelty=None):
    """An actor of an agent in environments; its novelty is the agent's own, or another."""
    parts = agents.acting_parts(config, agent, envs.count, seeds.child("actor").numpy())
    if novelty is not None:
        parts = replace(parts, novelty=novelty)
    return Actor(config, envs, agent, parts, replay)


class Directed:
    """An agent whose best action is a function of observations (B, 3). Its recurrent state counts the rows of the episode that it has seen.

    ``seen`` keeps the rows it was shown; ``weights_read`` counts how often an actor asked for its weights.
    """

    state_size, updates, warms_up, replay_fields = 6, 0, False, {}

    def __init__(self, config, best=lambda x: x.sum(1) % ACTIONS):
        self.config, self._best = config, best
        self.family = Family.without_bonus(config.bonus.mixtures, 0.9)
        self.seen, self.weights_read = [], 0

    def values(self, row, state):
        self.seen.append({name: value.copy() for name, value in row.items()})
        q = np.zeros((len(state), ACTIONS), np.float32)
        q[np.arange(len(state)), self._best(row["observation"].astype(int))] = 1
        return q, np.where(row["first"][:, None], 0, state) + np.float32(1)

    def novelty(self, count):
        return ByFunction(count)

    def novelty_weights(self):
        self.weights_read += 1
        return {}


class ByFunction(NoNovelty):
    """A novelty that is a function of observations (B, 3); ``judged`` and ``begun`` keep the observations it was asked about."""

    def __init__(self, count):
        super().__init__(count)
        self.judged, self.begun = [], []

    def reward(self, observation, valid):
        self.judged += observation[valid].tolist()
        return np.where(valid, observation[:, 2] + 0.5, 0).astype(np.float32)

    def begin(self, observation, started, rewarded):
        self.begun += observation[started].tolist()
        return np.where(started & rewarded, 0.25, 0).astype(np.float32)
