"""How fast a run goes, learning included, and where its time goes: environment steps a CPU-second.

The parts are timed inside the same run: the clock is read around environments, Q of what is seen, bonus, replay and
updates; what is left is the actor's own.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from statistics import median
from typing import Any

from outrange.core.checks import whole
from outrange.exploration.acting.actor import Actor, process_settings
from outrange.exploration.config import TrainConfig
from outrange.exploration.training import Trainer

ReportProgress = Callable[[int, int], None]


class Clock:
    """CPU seconds by part; a part that is entered within a part counts for the outer one."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}
        self._inside = False

    def around(self, owner: Any, method: str, part: str) -> None:
        """Time a method of an object from now on."""
        inner = getattr(owner, method)

        def timed(*arguments: Any, **named: Any) -> Any:
            with self.part(part):
                return inner(*arguments, **named)

        setattr(owner, method, timed)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Add the time inside to a part."""
        if self._inside:
            yield
            return
        self._inside, begun = True, time.process_time()
        try:
            yield
        finally:
            self._inside = False
            self.spent[name] = self.spent.get(name, 0.0) + time.process_time() - begun


def bench(
    config: TrainConfig, steps: int = 20_000, rounds: int = 3, report_progress: ReportProgress | None = None
) -> dict[str, Any]:
    """Steps a CPU-second after the replay has begun to be learned from; the embedding is not warmed up first. With a
    ratio so low that hardly an update falls into a round, as 1e-9, acting alone is measured.

    Args:
        config: of the run; nothing is written.
        steps: of each round.
        rounds: the median of them counts.
        report_progress: called with how many steps are done, and of how many.

    Returns:
        steps_per_cpu_second, rounds (each one's), milliseconds_per_update, shares of the time by part.

    Raises:
        BadInput: a number is not allowed, or what ``Trainer`` refuses.
    """
    whole("steps", steps, 1)
    whole("rounds", rounds, 1)
    config = replace(config, bonus=replace(config.bonus, warmup_updates=0))
    with process_settings(config), closing(Trainer(config)) as trainer:
        rare = 3 * config.steps_per_update > steps
        # the clock starts when learning has
        while trainer.replay.ready < config.replay.min_sequences or (trainer.agent.updates < 3 and not rare):
            trainer.advance()
        # the clock is read around methods of the parts themselves
        clock = Clock()
        clock.around(trainer.envs, "step", "environments")
        clock.around(trainer.agent, "values", "acting")
        if isinstance(trainer.actor, Actor):  # an actor in another process is not on this one's clock
            for method in ("reward", "begin"):
                clock.around(trainer.actor.novelty, method, "bonus")
        clock.around(trainer.agent, "learn", "learning")
        for method in ("append", "sample", "update"):
            clock.around(trainer.replay, method, "replay")
        rates, total, updates = [], 0.0, trainer.agent.updates
        for _ in range(rounds):
            begun, first = time.process_time(), trainer.step
            while trainer.step < first + steps:
                trainer.advance()
                if report_progress:
                    report_progress(len(rates) * steps + trainer.step - first, rounds * steps)
            used = time.process_time() - begun
            rates.append((trainer.step - first) / used)
            total += used
        shares = {name: spent / total for name, spent in clock.spent.items()}
        shares["the rest"] = 1 - sum(shares.values())
        milliseconds = 1000 * clock.spent.get("learning", 0.0)
        return {
            "env": config.env.name,
            "preset": config.preset,
            "agent": config.agent,
            "batch": config.learner.batch_size,
            "ratio": config.learner.replay_ratio,
            "steps_per_cpu_second": median(rates),
            "rounds": rates,
            "milliseconds_per_update": milliseconds / max(trainer.agent.updates - updates, 1),
            "shares": shares,
            "threads": config.threads,
        }
