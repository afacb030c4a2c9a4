"""The presets of exploration runs, and the agents that each of them can have.

Values of ``atari_paper`` are those of tables 6 and 8 of Never Give Up (arXiv 2002.06038); ``disco`` starts from table 7 and says where it leaves it: two cores
see a thousandth of the paper's frames. Agents differ in their bonus alone, so that a comparison changes one thing.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from outrange.core.errors import unknown
from outrange.exploration.config import (
    ActingConfig,
    BonusConfig,
    EnvConfig,
    LearnerConfig,
    NetworkConfig,
    ReplayConfig,
    TrainConfig,
)


def disco() -> TrainConfig:
    """Random Disco Maze in minutes on one core: the Q network sees 9 x 9 cells around the agent, gamma is shorter, learning rates and replay
    ratio higher. From 60 % of the run on the rate falls, without which up to one greedy episode in four ends in a wall. The bonus is the episodic one
    without its life-long factor, so that ngu and ngu-episodic are one agent here."""
    return TrainConfig(
        preset="disco",
        acting=ActingConfig(base=0.05, alpha=1.5, greedy=8),
        learner=LearnerConfig(
            lam=0.97,
            transform="identity",
            target_epsilon=0.0,
            gamma=0.95,
            gamma_explore=0.95,
            batch=16,
            ratio=6,
            rate=7e-4,
            rate_hold=0.6,
            rate_end=0.05,
            over="mean",
            copy_every=100,
        ),
        bonus=BonusConfig(
            kind="episodic",
            epsilon=0.01,
            missing="unit",
            rate=3e-3,
            adam_epsilon=1e-8,
            warmup=2000,
            warmup_accuracy=0.99,
        ),
    )


def smoke() -> TrainConfig:
    """Seconds: a maze of 7 x 7, small networks, too few steps to learn much; no life-long factor, as in disco."""
    small = disco()
    return replace(
        small,
        preset="smoke",
        env=EnvConfig(count=16, options=("size=7", "cap=40")),
        network=NetworkConfig(encoder="crop", width=32, hidden=32, head=32),
        acting=replace(small.acting, greedy=4),
        replay=ReplayConfig(rows=8000, trace=20, period=20, start=16),
        learner=replace(small.learner, batch=8, ratio=4, copy_every=20),
        bonus=replace(small.bonus, dimension=8, warmup=20, capacity=100, refresh=20),
        steps=8000,
        log_every=2000,
        checkpoint_every=4000,
    )


def minigrid() -> TrainConfig:
    """MiniGrid's partial view, two mixtures: one exploits, one explores. A goal ends its episode, so the explorer's values go on into the next one, where
    everything is new again; its beta is small enough for a reward to stand out among errors; each mixture learns from the other's episodes too. What each of
    these is for: docs/papers/ngu.md."""
    return TrainConfig(
        preset="minigrid",
        env=EnvConfig(name="MiniGrid-MultiRoom-N4-S5-v0"),
        network=NetworkConfig(encoder="objects"),
        acting=ActingConfig(base=0.4, alpha=4, greedy=8, epsilon_greedy=0.01),
        replay=ReplayConfig(rows=1_000_000, trace=40, period=40),
        learner=LearnerConfig(
            target="n-step",
            transform="identity",
            target_epsilon=0.0,
            gamma=0.98,
            gamma_explore=0.97,
            batch=16,
            ratio=4,
            rate=7e-4,
            adam_epsilon=1e-8,
            over="mean",
            copy_every=50,
            foreign=0.5,
        ),
        bonus=BonusConfig(
            kind="ngu",
            mixtures=2,
            beta=0.001,
            continuing=True,
            epsilon=1e-3,
            missing="unit",
            encoder="objects",
            rate=1e-3,
            frames=10,
            warmup=300,
        ),
        steps=600_000,
    )


def atari_paper() -> TrainConfig:
    """Tables 6 and 8. 256 actors and 35e9 frames there; here as many environments as are asked for, and as long as there is time. With the 32 set here each
    mixture has one actor, and so one epsilon: `--env.count 256` gives each eight of them, as published; `--acting.assign uniform` gives each any."""
    return TrainConfig(
        preset="atari-paper",
        env=EnvConfig(name="ALE/MontezumaRevenge-v5", count=32),
        network=NetworkConfig(encoder="pixels", width=512, hidden=512, head=512),
        replay=ReplayConfig(rows=5_000_000, trace=80, period=40, crossing=False, start=6250),
        learner=LearnerConfig(batch=64, copy_every=1500),
        bonus=BonusConfig(kind="ngu", mixtures=32, at="departure", encoder="pixels", capacity=30_000, refresh=100),
        steps=8_750_000_000,
        log_every=100_000,
        checkpoint_every=2_000_000,
    )


def atari_laptop() -> TrainConfig:
    """The same with a tenth of the network and few mixtures, for a few million frames on two cores."""
    paper = atari_paper()
    return replace(
        paper,
        preset="atari-laptop",
        env=replace(paper.env, count=16),
        network=NetworkConfig(encoder="pixels", width=128, hidden=128, head=128),
        acting=ActingConfig(base=0.4, alpha=4, greedy=2, epsilon_greedy=0.01),
        replay=ReplayConfig(rows=100_000, trace=40, period=40, start=128),
        learner=LearnerConfig(batch=16, ratio=0.5, rate=5e-4, over="mean", copy_every=200),
        bonus=replace(
            paper.bonus, mixtures=2, at="arrival", missing="unit", capacity=5000, warmup=300, rate=1e-3, refresh=200
        ),
        steps=500_000,
        log_every=10_000,
        checkpoint_every=250_000,
    )


PRESETS: dict[str, Callable[[], TrainConfig]] = {
    "smoke": smoke,
    "disco": disco,
    "minigrid": minigrid,
    "atari-laptop": atari_laptop,
    "atari-paper": atari_paper,
}

#: agent -> what it changes in a preset's bonus
AGENTS: dict[str, Callable[[BonusConfig], BonusConfig]] = {
    "ngu": lambda bonus: bonus,
    "ngu-episodic": lambda bonus: replace(bonus, kind="episodic"),
    "ngu-projection": lambda bonus: replace(bonus, kind="projection", warmup=0),
    "rnd": lambda bonus: replace(bonus, kind="rnd", warmup=0),
    "r2d2": lambda bonus: replace(bonus, kind="none", mixtures=1, warmup=0),
}


def preset(name: str, agent: str = "ngu", **changes: Any) -> TrainConfig:
    """A preset with an agent's bonus.

    Args:
        name: of the preset.
        agent: ngu, or what it is compared with: ngu-episodic (no life-long factor), ngu-projection (an embedding that is never trained), rnd (the life-long
            factor alone as bonus), r2d2 (no bonus).
        changes: of the run's own settings.
    """
    if name not in PRESETS:
        raise unknown("preset", name, PRESETS, "a preset")
    if agent not in AGENTS:
        raise unknown("agent", agent, AGENTS, "an agent")
    chosen = PRESETS[name]()
    return replace(chosen, agent=agent, bonus=AGENTS[agent](chosen.bonus), **changes)


def fitting(env: str) -> str:
    """The preset made for an environment, by its name."""
    return "minigrid" if env.startswith("MiniGrid-") else "atari-laptop" if env.startswith("ALE/") else "disco"
