"""Which curves of the logs are drawn, in which order, and what each caption says.

A chart whose numbers no run has logged is left out. To draw another number, add a ``Chart`` to one of the two tables.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from outrange.report.explore.series import curve, mixture_count, runs_by_group
from outrange.report.explore.story import Reference, RunLog, Story

SECTIONS = {"reaches": "What it reaches", "drives": "What drives it", "learns": "How it learns"}
_REFERENCES_SENTENCE = " Dotted: policies that learn nothing."
_LOG_SPREAD = 30
"""a logarithmic axis needs numbers that differ by more than this factor"""


@dataclass(frozen=True)
class Chart:
    """One figure: curves over steps."""

    key: str
    section: str
    """a key of ``SECTIONS``"""
    title: str
    lines: tuple[tuple[str, str], ...]
    """(metric, its label); a metric may be the quotient of two, as in ``bonus/length``"""
    unit: str
    help: str
    form: str = "number"
    """number, share (of 1) or count"""
    may_be_logarithmic: bool = False
    hidden_if_zero: bool = False
    """whether the chart is left out where all its numbers are 0"""


_GREEDY_ACTORS, _ALL_ACTORS = "greedy actors", "all actors"


def _greedy_and_all(metric: str) -> tuple[tuple[str, str], ...]:
    return ((f"greedy_{metric}", _GREEDY_ACTORS), (metric, _ALL_ACTORS))


EPISODE_CHARTS = (
    Chart(
        "coverage",
        "reaches",
        "Coverage",
        _greedy_and_all("coverage"),
        "share of an episode's places that it visits",
        "Look for a steep climb that lasts. Where walls kill, it begins only once the agent stays alive. "
        "Dotted: policies that learn nothing.",
        "share",
        hidden_if_zero=True,
    ),
    Chart(
        "places",
        "reaches",
        "Places",
        (*_greedy_and_all("places"), ("ever_places", "any episode so far")),
        "visited in an episode",
        "Look for the line of single episodes following the line of all episodes: places once found are found again.",
        hidden_if_zero=True,
    ),
    Chart(
        "return",
        "reaches",
        "Return",
        _greedy_and_all("return"),
        "rewards of an episode, without the bonus",
        "Look for the greedy line leaving 0 and staying away: reward that was met by chance is now sought.",
        hidden_if_zero=True,
    ),
    Chart(
        "success",
        "reaches",
        "Success",
        _greedy_and_all("success"),
        "episodes with a return above 0",
        "Look for the same in the share of episodes: few lucky ones raise the return, not this.",
        "share",
        hidden_if_zero=True,
    ),
    Chart(
        "length",
        "reaches",
        "Length",
        _greedy_and_all("length"),
        "steps of an episode",
        "Where a wall ends the episode, length grows to its limit first and coverage after it; where a goal "
        "does, it falls once the goal is sought.",
        "count",
    ),
)
"""what episodes come to"""

LEARNING_CHARTS = (
    Chart(
        "bonus",
        "drives",
        "Bonus a step",
        (("greedy_bonus/greedy_length", _GREEDY_ACTORS), ("bonus/length", _ALL_ACTORS)),
        "mean rⁱ",
        "1 to 2 and steady is healthy in the maze. Near 3 with little coverage, noise looks new; near 0, "
        "everything looks known.",
    ),
    Chart(
        "distance",
        "drives",
        "Distance dₘ²",
        (("distance", ""),),
        "to the nearest states",
        "Look for a rise as the agent travels farther. If it sinks to a small value the agent stands still, and "
        "noise looks new.",
        hidden_if_zero=True,
    ),
    Chart(
        "accuracy",
        "drives",
        "Embedding accuracy",
        (("embedding_accuracy", ""),),
        "actions told apart",
        "Near 100 % at the end of the warm-up is healthy. It means nothing while the policy is nearly "
        "deterministic: a constant guess is right then.",
        "share",
    ),
    Chart(
        "embedding_loss",
        "drives",
        "Embedding loss",
        (("embedding_loss", ""),),
        "nats an action",
        "Look for the fall from ln of the number of actions: it comes late, and suddenly where the agent is a "
        "small part of the picture.",
        may_be_logarithmic=True,
    ),
    Chart(
        "rnd_loss",
        "drives",
        "RND error",
        (("rnd_loss", ""),),
        "of the predictor",
        "Look for a slow fall. A new rise is something that this run had not seen before, and what earns the "
        "life-long factor.",
        may_be_logarithmic=True,
    ),
    Chart(
        "q",
        "learns",
        "Q",
        (("q", ""),),
        "at actions learned from",
        "With a bonus of b a step it settles near beta b / (1 − gamma). Rising beyond all returns is overestimation.",
    ),
    Chart(
        "loss",
        "learns",
        "Loss of Q",
        (("loss", ""),),
        "squared error",
        "Its size follows Q's: look for a level that Q explains, not for 0. Growth by orders of magnitude while "
        "Q stands still is divergence.",
        may_be_logarithmic=True,
    ),
    Chart(
        "gradient_norm",
        "learns",
        "Gradient norm",
        (("gradient_norm", ""),),
        "before clipping",
        "Compare with the clip: always far above it, every update has the same length and the learning rate "
        "alone decides.",
        may_be_logarithmic=True,
    ),
    Chart(
        "counted",
        "learns",
        "Steps in the loss",
        (("counted", ""),),
        "share of a batch",
        "Look for a value near 1 (less the burn-in): the rest of a batch is padding, which many short episodes cause.",
        "share",
    ),
    Chart(
        "pace",
        "learns",
        "Pace",
        (("steps_per_cpu_second", "a CPU second"), ("steps_per_second", "a second")),
        "steps of all environments",
        "Averages since the run was last started: they should settle. A second on the clock also contains what else "
        "ran on the machine; a CPU second does not.",
        "count",
    ),
)
"""what drives the agent, and how it learns"""


def drawn_charts(story: Story) -> list[dict[str, Any]]:
    """The charts of a story as the page's script reads them: those that some run has numbers for."""
    charts = (*EPISODE_CHARTS, *_mixture_charts(mixture_count(story.runs)), *LEARNING_CHARTS)
    drawn: list[dict[str, Any]] = []
    for chart in charts:
        if chart.key == "places" and any(other["key"] == "coverage" for other in drawn):
            continue  # coverage is the same curve, as a share
        packed = _drawn(chart, story.runs, story.references)
        if packed is not None:
            drawn.append(packed)
    return drawn


def _drawn(chart: Chart, runs: Sequence[RunLog], references: Sequence[Reference]) -> dict[str, Any] | None:
    """One chart with its curves; None where there is nothing to draw."""
    lines, label = _curves(chart, runs)
    if not lines or (chart.hidden_if_zero and not any(any(line["y"]) for line in lines)):
        return None
    # a logarithmic axis only where numbers are positive and spread widely
    values = [value for line in lines for value in line["y"]]
    logarithmic = chart.may_be_logarithmic and min(values) > 0 and max(values) > _LOG_SPREAD * min(values)
    marks = [{"name": mark.name, "value": mark.value} for mark in references if mark.metric == chart.key]
    return {
        "key": chart.key,
        "section": chart.section,
        "title": chart.title,
        "form": chart.form,
        "unit": f"{chart.unit}, {label}" if label else chart.unit,
        "help": chart.help if marks else chart.help.replace(_REFERENCES_SENTENCE, ""),
        "log": logarithmic,
        "lines": lines,
        "references": marks,
    }


def _curves(chart: Chart, runs: Sequence[RunLog]) -> tuple[list[dict[str, Any]], str]:
    """The curves of a chart; and which of its metrics they are, where groups are compared in one metric alone."""
    groups = runs_by_group(runs)
    if len(groups) == 1:
        lines = []
        for stroke, (metric, label) in enumerate(chart.lines):
            points = curve(runs, metric)
            if points is not None:
                lines.append({"name": label, "stroke": stroke, **points})
        return lines, ""
    # of several groups one curve each, of the first metric that the group has, so that they can be told apart
    lines, compared = [], ""
    for stroke, (group, members) in enumerate(groups.items()):
        for metric, label in chart.lines:
            points = curve(members, metric)
            if points is not None:
                lines.append({"name": group, "stroke": stroke, **points})
                compared = label
                break
    return lines, compared


_MIXTURE_CAPTIONS = {
    "return": (
        "rewards of an episode",
        "Look for mixture 0 coming to earn at least what the exploring ones do: it learns from what they met.",
    ),
    "places": (
        "visited in an episode",
        "Look for a distance between them: exploring mixtures should see more places than the one that exploits.",
    ),
}


def _mixture_charts(mixtures: int) -> tuple[Chart, ...]:
    """Mixtures side by side: at most four, from the one that exploits to the one that explores most."""
    if mixtures < 2:
        return ()
    last = mixtures - 1
    labels = {number: f"mixture {number}" for number in sorted({0, mixtures // 3, 2 * mixtures // 3, last})}
    labels[0] += ", exploits"
    labels[last] += ", explores most"
    charts = []
    # one chart for each metric, one line for each mixture
    for metric, (unit, help_text) in _MIXTURE_CAPTIONS.items():
        lines = tuple((f"mixture{number}_{metric}", label) for number, label in labels.items())
        title = f"{metric.capitalize()} by mixture"
        charts.append(Chart(f"mixture_{metric}", "reaches", title, lines, unit, help_text, hidden_if_zero=True))
    return tuple(charts)
