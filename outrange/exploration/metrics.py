"""Every number that a run logs, declared once: its unit, how it is printed and what it means.

The command line takes its formats from here, and the page its glossary. To add a number of an episode, declare it in
``EPISODE_METRICS`` and compute it in acting/episodes.py: it is then logged for every group of actors, evaluated,
printed and explained.
"""

from collections.abc import Mapping
from dataclasses import dataclass

MIXTURES_LISTED = 4
"""up to so many mixtures the glossary lists the numbers of each; those of more mixtures are listed once, as
``mixture*_…``"""


@dataclass(frozen=True)
class Metric:
    """One number of a log."""

    unit: str
    """"share" (of 1), "count", "steps", "reward", …"""
    format: str
    """how the terminal prints it, in Python's format language"""
    meaning: str
    """what it counts or averages over, in a sentence without its full stop"""


EPISODE_METRICS: dict[str, Metric] = {
    "episodes": Metric(
        "count", ",.0f", "episodes that ended since the line before; the numbers beside it are their means"
    ),
    "return": Metric("reward", ".3g", "sum of an episode's rewards rᵉ; the bonus is not in it"),
    "length": Metric("steps", ",.0f", "steps of an episode"),
    "bonus": Metric("bonus", ".3g", "sum of an episode's bonuses rⁱ; divide it by the length for the bonus a step"),
    "coverage": Metric(
        "share", ".1%", "share of an episode's places that it visits; 0 where nobody knows how many there are"
    ),
    "places": Metric("count", ".1f", "different places that an episode visits: cells, rooms"),
    "success": Metric("share", ".1%", "share of episodes with a return above 0"),
}
"""Of the episodes that ended since the line before, in the order in which they are logged. "episodes" counts them,
every other number is their mean."""

TRAINING_METRICS: dict[str, Metric] = {
    "step": Metric("steps", ",.0f", "steps of all environments so far, those of the embedding's warm-up among them"),
    "updates": Metric("count", ",.0f", "updates of the Q network so far"),
    "replay": Metric("rows", ",.0f", "steps that the replay holds"),
    "broken": Metric(
        "count", ",.0f", "episodes lost to an environment that crashed, stalled or returned something it must not"
    ),
    "ever_places": Metric("count", ",.0f", "different places that any episode has reached since the run began"),
    "loss": Metric(
        "error²",
        ".3g",
        "mean of the Q network's squared errors over the steps learned from; its size follows the size of Q",
    ),
    "gradient_norm": Metric("norm", ".3g", "of the Q network's gradient, before it is clipped"),
    "q": Metric(
        "return",
        ".3g",
        "mean of Q at the steps learned from; near beta × bonus a step / (1 − gamma) where the bonus is all there is",
    ),
    "counted": Metric(
        "share",
        ".1%",
        "share of the steps of a batch that enter the loss; the rest is burn-in, padding or an episode's last "
        "observation",
    ),
    "embedding_loss": Metric(
        "nats",
        ".3g",
        "cross entropy of the action between two observations, from which the controllable state is learned",
    ),
    "embedding_accuracy": Metric(
        "share",
        ".1%",
        "how often the embedding predicts the action between two observations; of no meaning while the policy "
        "is nearly deterministic",
    ),
    "distance": Metric(
        "distance²",
        ".3g",
        "dₘ², running mean of the squared distances to the k nearest controllable states of an episode; the "
        "unit of the kernel",
    ),
    "rnd_loss": Metric(
        "error²",
        ".3g",
        "mean error of the predictor of random network distillation on what is learned from; falls as "
        "observations grow familiar",
    ),
}
"""Of acting and learning as a whole."""

TIMING_METRICS: dict[str, Metric] = {
    "seconds": Metric("s", ",.0f", "time on the clock, over all parts of a run that was stopped and resumed"),
    "cpu_seconds": Metric("s", ",.0f", "time of the processor, since the run was last started"),
    "steps_per_second": Metric("steps/s", ",.0f", "of all environments, since the run was last started"),
    "steps_per_cpu_second": Metric(
        "steps/s", ",.0f", "the same by the processor's time; the one to compare where other work shares the machine"
    ),
}
"""What a clock measured: timing.jsonl."""


def glossary(mixtures: int = 1) -> dict[str, Metric]:
    """Every number that the logs of a run can hold, by name.

    Args:
        mixtures: of the run. The numbers of episodes are logged for all actors, for the greedy ones (``greedy_return``)
            and, if there are several mixtures, for each of them (``mixture0_return``, ``mixture0_greedy_return``); see
            ``MIXTURES_LISTED``.
    """
    groups = {"": "", "greedy_": "; of the greedy actors"}
    if mixtures > MIXTURES_LISTED:
        groups |= _mixture_groups("*", "under each mixture, from the lowest of them to the highest")
    elif mixtures > 1:
        for mixture in range(mixtures):
            groups |= _mixture_groups(str(mixture), f"under mixture {mixture}")
    names = ("step", "updates", "replay", "broken")
    listed = {name: TRAINING_METRICS[name] for name in names}
    for prefix, addition in groups.items():
        listed |= {f"{prefix}{name}": _extended(metric, addition) for name, metric in EPISODE_METRICS.items()}
    return listed | _without(TRAINING_METRICS, names) | TIMING_METRICS


def _mixture_groups(mixture: str, phrase: str) -> dict[str, str]:
    """Prefix of the name -> what it adds to the meaning."""
    return {f"mixture{mixture}_": f"; {phrase}", f"mixture{mixture}_greedy_": f"; {phrase} with a greedy actor"}


def _extended(metric: Metric, addition: str) -> Metric:
    return Metric(metric.unit, metric.format, metric.meaning + addition)


def _without(metrics: Mapping[str, Metric], names: tuple[str, ...]) -> dict[str, Metric]:
    return {name: metric for name, metric in metrics.items() if name not in names}
