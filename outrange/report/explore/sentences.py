"""What the numbers say, in plain sentences; every word of them follows from the data."""

from collections.abc import Sequence

import numpy as np

from outrange.report.explore.episode import first_visits, has_places, shortened
from outrange.report.explore.series import final_values, runs_by_group, series
from outrange.report.explore.story import Episode, RunLog, Story

_CLAUSES = (
    ("coverage", "{who} visit {value} of an episode's places", "share"),
    ("places", "{who} visit {value} places an episode", "number"),
    ("return", "{who} earn {value} an episode", "number"),
    ("success", "{value} of {whose} episodes earn something", "share"),
)
"""(metric, what is said of its last value, how the value is written)"""


def reading(story: Story) -> list[str]:
    """What the numbers of a story say."""
    sentences: list[str] = []
    # how far each group has come; then what drives the agent, which is said of a single group only
    groups = runs_by_group(story.runs)
    for group, members in groups.items():
        clauses = _clauses(members)
        if clauses:
            start = f"{group}: after" if len(groups) > 1 else "After"
            steps = max(run.last_step for run in members)
            sentences.append(f"{start} {steps:,} steps, {'; '.join(clauses)}.")
    marks = [reference for reference in story.references if reference.metric == "coverage"]
    if marks:
        shares = ", ".join(f"{_text(mark.value, 'share')} ({mark.name})" for mark in marks)
        sentences.append(f"Policies that learn nothing visit {shares}.")
    if len(groups) == 1:
        sentences += _drive_sentences(story.runs)
    if story.episode is not None:
        sentences += _episode_sentences(shortened(story.episode))
    return sentences


def _clauses(members: Sequence[RunLog]) -> list[str]:
    """What one group reached."""
    clauses = {metric: _clause(members, metric, template, form) for metric, template, form in _CLAUSES}
    if clauses["coverage"]:
        clauses["places"] = ""  # coverage says the same as a share
    return [clause for clause in clauses.values() if clause]


def _clause(members: Sequence[RunLog], metric: str, template: str, form: str) -> str:
    """One metric at the end of the logs, of the greedy actors where there are any; "" where it is absent, or always
    0."""
    for name, actors in ((f"greedy_{metric}", "greedy actors"), (metric, "all actors")):
        ends = final_values(members, name)
        if not ends:
            continue
        if not any(series(run, name)[1].any() for run in members):
            return ""
        # the spread is part of the number wherever there are several runs
        value = _text(float(np.median(ends)), form)
        if len(ends) > 1:
            value += f" (median of {len(ends)} runs, {_text(min(ends), form)} to {_text(max(ends), form)})"
        return template.format(who=actors, whose=f"{actors}'", value=value)
    return ""


def _drive_sentences(runs: Sequence[RunLog]) -> list[str]:
    """Bonus, distance and embedding, from the first to the last line."""
    sentences = []
    bonus = _first_and_last(runs, "bonus/length")
    if bonus and bonus[1]:
        beginning = f", {bonus[0]:.2f} at the beginning" if bonus[0] != bonus[1] else ""
        sentences.append(f"A step earns a bonus of {bonus[1]:.2f} on average at the end{beginning}.")
    distance = _first_and_last(runs, "distance")
    if distance and distance[1]:
        # 0 until the first distances have been measured
        start = next((value for run in runs for value in series(run, "distance")[1] if value > 0), 0.0)
        sentences.append(f"The mean squared distance to the nearest states went from {start:.3g} to {distance[1]:.3g}.")
    accuracy = _first_and_last(runs, "embedding_accuracy")
    if accuracy:
        best = max(float(value) for run in runs for value in series(run, "embedding_accuracy")[1])
        last = f"{100 * accuracy[1]:.1f}\u00a0% of the actions apart at the end"
        sentences.append(f"The embedding tells {last}, {100 * best:.1f}\u00a0% at its best.")
    return sentences


def _first_and_last(runs: Sequence[RunLog], metric: str) -> tuple[float, float] | None:
    """Medians over runs of the first and the last value; None where no run has the metric."""
    all_values = [values for run in runs if len(values := series(run, metric)[1])]
    if not all_values:
        return None
    first, last = [values[0] for values in all_values], [values[-1] for values in all_values]
    return float(np.median(first)), float(np.median(last))


def _episode_sentences(episode: Episode) -> list[str]:
    """What the episode comes to, and the contrast that drives the agent: the bonus of new places beside that of known
    ones."""
    steps = f"{len(episode.bonus):,} steps"
    earned = f" and earns {float(episode.reward.sum()):.3g}" if episode.reward.any() else ""
    if not has_places(episode):
        return [f"The episode shown has {steps}{earned}."]
    assert episode.place is not None
    is_first = first_visits(episode.place)
    of_all = f" of {episode.place_count}" if episode.place_count else ""
    sentences = [f"The episode shown has {steps}, sees {int(is_first.sum())}{of_all} places{earned}."]
    # a step's bonus is that of the place it leads to, which is one entry later
    to_new = is_first[1:]
    to_known = (episode.place[1:] >= 0) & ~to_new
    if episode.bonus.any() and to_new.any() and to_known.any():
        new, known = episode.bonus[to_new].mean(), episode.bonus[to_known].mean()
        sentences.append(
            f"In it a step to a new place earns a bonus of {new:.2f}, a step to one seen before {known:.2f}."
        )
    return sentences


def _text(value: float, form: str) -> str:
    if form == "share":
        return f"{100 * value:.{1 if value < 0.1 else 0}f}\u00a0%"
    return f"{value:.3g}"
