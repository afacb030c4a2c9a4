"""Environments whose every transition is known, and environments that break; and transitions read back from steps."""

import time

import gymnasium
import numpy as np
from gymnasium import spaces

from outrange.exploration.envs.vectorised import Raw, Vectorised


def length(episode: int) -> int:
    """Episodes of 1, 2, 3, 4, 1, … steps; every other one is truncated."""
    return 1 + episode % 4


def truth(steps: int) -> list[tuple]:
    """(shown before, shown after, reward, terminated, truncated) of the first transitions: shown is (episode, step), the reward counts."""
    transitions_seen, episode, at = [], 0, 0
    while len(transitions_seen) < steps:
        over = at + 1 == length(episode)
        transitions_seen.append(
            (
                (episode, at),
                (episode, at + 1),
                float(10 * episode + at),
                over and episode % 2 == 0,
                over and episode % 2 == 1,
            )
        )
        episode, at = (episode + 1, 0) if over else (episode, at + 1)
    return transitions_seen


class Counting(gymnasium.Env):
    """Shows (episode, step). It remembers its episodes whatever the seed, so it cannot be brought back."""

    observation_space, action_space = spaces.Box(0, 1e6, (2,), np.float32), spaces.Discrete(3)

    def __init__(self):
        self.episode, self.at = -1, 0

    def observation(self):
        return np.array([self.episode, self.at], np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.episode, self.at = self.episode + 1, 0
        return self.observation(), {}

    def step(self, action):
        reward = float(10 * self.episode + self.at)
        self.at += 1
        over = self.at == length(self.episode)
        return self.observation(), reward, over and self.episode % 2 == 0, over and self.episode % 2 == 1, {}


class Drawing(gymnasium.Env):
    """Shows what its seed and the actions so far make; 9 steps, or fewer by chance."""

    observation_space, action_space = spaces.Box(-1e6, 1e6, (3,), np.float64), spaces.Discrete(4)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at, self.value = 0, self.np_random.normal(size=3)
        return self.value, {"place": 5}

    def step(self, action):
        self.at += 1
        self.value = self.value + action * self.np_random.normal(size=3)
        return self.value, float(self.value[0]), bool(self.np_random.random() < 0.1), self.at == 9, {"place": self.at}


class Breaking(gymnasium.Env):
    """In its third step of every second object's life, or in resets, does what ``how`` says."""

    observation_space, action_space = spaces.Box(0, 10, (2,), np.float32), spaces.Discrete(2)

    def __init__(self, how: str, space=None):
        self.how, self.at = how, 0
        if how == "make":
            raise RuntimeError("no display")

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at = 0
        if self.how == "reset":
            raise RuntimeError("no map")
        if self.how == "reset shape":
            return np.zeros(3, np.float32), {}
        return np.zeros(2, np.float32), {}

    def step(self, action):
        self.at += 1
        observation, reward = np.full(2, self.at, np.float32), 1.0
        if self.at == 3:
            if self.how == "raise":
                raise ValueError("no such wall")
            if self.how == "stall":
                try:
                    time.sleep(30)
                except Exception:
                    pass
            if self.how == "close":
                raise ValueError("half closed")
            if self.how == "result":
                return observation
            observation, reward = {
                "nan": (np.array([np.nan, 0], np.float32), 1.0),
                "inf": (np.array([np.inf, 0], np.float32), 1.0),
                "high": (np.array([11, 0], np.float32), 1.0),
                "shape": (np.zeros(3, np.float32), 1.0),
                "dtype": (np.array(["a", "b"]), 1.0),
                "reward nan": (observation, float("nan")),
                "reward inf": (observation, float("inf")),
                "reward big": (observation, 1e300),
                "reward text": (observation, "much"),
            }[self.how]
        return observation, reward, False, self.at == 5, {}

    def close(self):
        if self.how == "close":
            raise RuntimeError("cannot close")


class Engine(Vectorised):
    """Counting environments in a vector engine of either habit, which flags dummy steps as ends, and some ends as both kinds."""

    engine, actions, action_names, shape, dtype = "fake", 3, ("a", "b", "c"), (2,), np.dtype(np.float32)

    def __init__(self, count, seed, next_step):
        super().__init__("fake", count, seed)
        self.next_step = next_step

    def _open(self, seeds):
        self.seeds = seeds
        self.envs = [Counting() for _ in seeds]
        self.over = np.zeros(self.count, bool)
        return np.stack([env.reset()[0] for env in self.envs]), np.zeros(self.count, np.int64)

    def _advance(self, actions):
        observation, final = np.zeros((self.count, 2), np.float32), np.zeros((self.count, 2), np.float32)
        reward, terminated, truncated = np.full(self.count, 7.0), np.zeros(self.count, bool), np.zeros(self.count, bool)
        dummy = np.zeros(self.count, bool)
        for i, env in enumerate(self.envs):
            if self.next_step and self.over[i]:
                observation[i], dummy[i] = env.reset()[0], True
                continue
            observation[i], reward[i], terminated[i], truncated[i], _ = env.step(actions[i])
            if not self.next_step and (terminated[i] or truncated[i]):
                final[i], observation[i] = observation[i], env.reset()[0]
        self.over = terminated | truncated
        place = observation[:, 1].astype(np.int64)
        return Raw(
            observation,
            reward,
            terminated | dummy,
            self.over | dummy if actions[0] else truncated,
            place,
            final,
            final[:, 1].astype(np.int64),
        )

    def _close(self):
        self.envs = []


def transitions(envs, steps: int, seed: int = 0) -> list[list[tuple]]:
    """What each environment went through, read from steps: as ``truth``, with arrays as tuples."""
    before, _ = envs.reset()
    random, transitions_seen = np.random.default_rng(seed), [[] for _ in range(envs.count)]
    for _ in range(steps):
        step = envs.step(random.integers(envs.actions, size=envs.count))
        for i in np.flatnonzero(step.valid):
            transitions_seen[i].append(
                (
                    tuple(before[i]),
                    tuple(step.final[i]),
                    float(step.reward[i]),
                    bool(step.terminated[i]),
                    bool(step.truncated[i]),
                )
            )
        before = step.observation
    return transitions_seen


for _kind in (Counting, Drawing, Breaking):
    if f"counting/{_kind.__name__}-v0" not in gymnasium.registry:
        gymnasium.register(f"counting/{_kind.__name__}-v0", entry_point=_kind)
