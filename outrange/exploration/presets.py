"""The presets of exploration runs, each with an agent that it is made for; any other agent can take its place.

Values of ``atari_paper`` are those of tables 6 and 8 of Never Give Up (arXiv 2002.06038); ``disco`` starts from table 7
and says where it leaves it: two cores see a thousandth of the paper's frames. Agents differ in their bonus alone, so
that a comparison changes one thing.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from outrange.core.errors import unknown
from outrange.exploration import agents
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
    """Random Disco Maze in minutes on one core: the Q network sees 9 x 9 cells around the agent, gamma is shorter,
    learning rates and replay ratio higher. From 60 % of the run on the rate falls, without which up to one greedy
    episode in four ends in a wall. Its agent has the episodic bonus without the life-long factor."""
    return TrainConfig(
        agent="ngu-episodic",
        preset="disco",
        # a random step into a wall ends the episode, so few actors take many
        acting=ActingConfig(epsilon_base=0.05, epsilon_alpha=1.5, greedy_actors=8),
        learner=LearnerConfig(
            # table 7
            retrace_lambda=0.97,
            transform="identity",
            target_policy_epsilon=0.0,
            # a thousandth of the paper's frames have to do: a shorter horizon, more updates, larger steps
            gamma=0.95,
            gamma_explore=0.95,
            batch_size=16,
            replay_ratio=6,
            learning_rate=7e-4,
            rate_hold_share=0.6,
            final_rate_share=0.05,
            reduction="mean",
            target_update_period=100,
        ),
        bonus=BonusConfig(
            kernel_epsilon=0.01,  # table 7
            missing_neighbours="unit",  # untrained agents' episodes last two steps
            embedding_learning_rate=3e-3,
            adam_epsilon=1e-8,
            # a nearly deterministic policy teaches the embedding nothing
            warmup_updates=2000,
            warmup_accuracy=0.99,
        ),
    )


def smoke() -> TrainConfig:
    """Seconds: a maze of 7 x 7, small networks, too few steps to learn much; the agent of disco."""
    small = disco()
    return replace(
        small,
        preset="smoke",
        env=EnvConfig(count=16, options=("size=7", "cap=40")),
        network=NetworkConfig(encoder="crop", encoder_size=32, hidden_size=32, head_size=32),
        acting=replace(small.acting, greedy_actors=4),
        replay=ReplayConfig(capacity=8000, trace_length=20, period=20, min_sequences=16),
        learner=replace(small.learner, batch_size=8, replay_ratio=4, target_update_period=20),
        bonus=replace(
            small.bonus, embedding_size=8, warmup_updates=20, memory_capacity=100, embedding_refresh_period=20
        ),
        steps=8000,
        log_every=2000,
        checkpoint_every=4000,
    )


def minigrid() -> TrainConfig:
    """MiniGrid's partial view, two mixtures: one exploits, one explores. A goal ends its episode, so the explorer's
    values go on into the next one, where everything is new again; its beta is small enough for a reward to stand out
    among errors; each mixture learns from the other's episodes too. What each of these is for: docs/papers/ngu.md."""
    return TrainConfig(
        agent="ngu",
        preset="minigrid",
        env=EnvConfig(name="MiniGrid-MultiRoom-N4-S5-v0"),
        network=NetworkConfig(encoder="objects"),
        acting=ActingConfig(epsilon_base=0.4, epsilon_alpha=4, greedy_actors=8, greedy_epsilon=0.01),
        replay=ReplayConfig(capacity=1_000_000, trace_length=40, period=40),
        learner=LearnerConfig(
            target="n-step",
            transform="identity",
            target_policy_epsilon=0.0,
            gamma=0.98,
            gamma_explore=0.97,
            batch_size=16,
            replay_ratio=4,
            learning_rate=7e-4,
            adam_epsilon=1e-8,
            reduction="mean",
            target_update_period=50,
            cross_mixture_share=0.5,  # mixture 0 never meets a goal of its own at first
        ),
        bonus=BonusConfig(
            mixtures=2,
            beta=0.001,  # with 0.3 values of the explorer are a hundred times those of mixture 0
            non_episodic_returns=True,
            kernel_epsilon=1e-3,
            missing_neighbours="unit",
            encoder="objects",
            embedding_learning_rate=1e-3,
            training_steps=10,
            warmup_updates=300,
        ),
        steps=600_000,
    )


def atari_paper() -> TrainConfig:
    """Tables 6 and 8. 256 actors and 35e9 frames there; here as many environments as are asked for, and as long as
    there is time. With the 32 set here each mixture has one actor, and so one epsilon: `--env.count 256` gives each
    eight of them, as published; `--acting.mixture-assignment uniform` gives each any."""
    return TrainConfig(
        agent="ngu",
        preset="atari-paper",
        env=EnvConfig(name="ALE/MontezumaRevenge-v5", count=32),
        network=NetworkConfig(encoder="pixels", encoder_size=512, hidden_size=512, head_size=512),
        replay=ReplayConfig(capacity=5_000_000, trace_length=80, period=40, cross_episodes=False, min_sequences=6250),
        learner=LearnerConfig(batch_size=64, target_update_period=1500),
        bonus=BonusConfig(
            mixtures=32,
            timing="departure",
            encoder="pixels",
            memory_capacity=30_000,
            embedding_refresh_period=100,
        ),
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
        network=NetworkConfig(encoder="pixels", encoder_size=128, hidden_size=128, head_size=128),
        acting=ActingConfig(epsilon_base=0.4, epsilon_alpha=4, greedy_actors=2, greedy_epsilon=0.01),
        replay=ReplayConfig(capacity=100_000, trace_length=40, period=40, min_sequences=128),
        learner=LearnerConfig(
            batch_size=16, replay_ratio=0.5, learning_rate=5e-4, reduction="mean", target_update_period=200
        ),
        bonus=replace(
            paper.bonus,
            mixtures=2,
            timing="arrival",
            missing_neighbours="unit",
            memory_capacity=5000,
            warmup_updates=300,
            embedding_learning_rate=1e-3,
            embedding_refresh_period=200,
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


def preset(name: str, agent: str | None = None, **changes: Any) -> TrainConfig:
    """A preset, with its own agent or another.

    Args:
        name: of the preset.
        agent: a name of ``agents.AGENTS``; the preset's own if not given.
        changes: of the run's own settings.

    Raises:
        BadInput: there is no such preset or agent; the message says which is nearest.
    """
    if name not in PRESETS:
        raise unknown("preset", name, PRESETS, "a preset")
    config = PRESETS[name]()
    if agent is not None:
        config = with_agent(config, agent)
    return replace(config, **changes)


def with_agent(config: TrainConfig, agent: str) -> TrainConfig:
    """A configuration with another agent, and what that agent changes in it."""
    row = agents.recipe(agent)
    return row.adapt(replace(config, agent=agent))


def fitting(env: str) -> str:
    """The preset made for an environment, by its name."""
    return "minigrid" if env.startswith("MiniGrid-") else "atari-laptop" if env.startswith("ALE/") else "disco"
