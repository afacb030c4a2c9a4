"""Tables of the page: every number of the logs, the evaluation, settings, and what ran."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from outrange.report.explore.series import curve, final_values, finite_number, runs_by_group
from outrange.report.explore.story import Meaning, RunLog, Story

_COURSE_POINTS = 40
_UNKNOWN = Meaning("", "not described here")
_LABELS = {"run": "text", "mixture": "whole", "epsilon": "whole", "episodes": "whole"}
"""columns of the evaluation that say what a row is of -> how they are written"""
_ALWAYS = ("mixture", "episodes")
"""of those, the columns that stand there even where all their numbers are 0"""


def log_numbers(story: Story) -> list[dict[str, Any]]:
    """A row for every number of the logs or the glossary: its meaning, its last value (median over runs), its course.

    A name with * in the glossary stands for the numbers of all mixtures, which get one row: their range.
    """
    logged = {name: None for run in story.runs for line in (*run.metrics, *run.timing) for name in line}
    families = {name: _family_pattern(name) for name in story.glossary if "*" in name}
    # what is declared comes first, in its order, whether it was logged or not; then what else the logs hold
    rows = []
    for name, meaning in story.glossary.items():
        members = [other for other in logged if families[name].fullmatch(other)] if name in families else [name]
        rows.append(_log_number(name, meaning, members, story.runs))
    for name in logged:
        if name not in story.glossary and not any(pattern.fullmatch(name) for pattern in families.values()):
            rows.append(_log_number(name, _UNKNOWN, [name], story.runs))
    return rows


def _family_pattern(name: str) -> re.Pattern[str]:
    return re.compile(re.escape(name).replace(re.escape("*"), r"\d+"))


def _log_number(name: str, meaning: Meaning, members: Sequence[str], runs: Sequence[RunLog]) -> dict[str, Any]:
    """One row; ``members`` are the logged names that it stands for."""
    row: dict[str, Any] = {"name": name, "unit": meaning.unit, "meaning": meaning.meaning, "last": None}
    # of each name the median over runs of its last value
    values = [float(np.median(ends)) for member in members if (ends := final_values(runs, member))]
    if not values:
        return row
    if len(values) > 1:
        return row | {"last": min(values), "to": max(values)}
    row["last"] = values[0]
    if name != "step" and (points := curve(runs, members[0])) and len(points["y"]) > 1:
        y = np.array(points["y"])
        row["course"] = [float(part.mean()) for part in np.array_split(y, min(_COURSE_POINTS, len(y)))]
    return row


def evaluation_table(rows: Sequence[Mapping[str, Any]], glossary: Mapping[str, Meaning]) -> dict[str, Any] | None:
    """The columns of the evaluation that say something, how each is written, and its rows."""
    if not rows:
        return None
    # what was measured has a standard error beside it
    measured = {name.removesuffix("_error"): None for row in rows for name in row if name.endswith("_error")}
    columns = [name for name in _LABELS if any(row.get(name) or (name in _ALWAYS and name in row) for row in rows)]
    columns += [name for name in measured if any(row.get(name) for row in rows)]
    if len({row.get("run") for row in rows}) == 1:
        columns = [name for name in columns if name != "run"]
    return {
        "columns": columns,
        "forms": {name: _form(name, glossary) for name in columns},
        "rows": [_evaluation_row(row, columns) for row in rows],
    }


def _form(name: str, glossary: Mapping[str, Meaning]) -> str:
    """How a column is written: text, whole, share or number."""
    if name in _LABELS:
        return _LABELS[name]
    return "share" if name in glossary and glossary[name].unit == "share" else "number"


def _evaluation_row(row: Mapping[str, Any], columns: Sequence[str]) -> dict[str, Any]:
    names = [name for column in columns for name in (column, f"{column}_error") if name in row]
    return {name: row[name] if isinstance(row[name], str) else finite_number(row[name]) for name in names}


def flat_settings(settings: Mapping[str, Any], prefix: str = "") -> list[list[str]]:
    """Nested settings as [dotted name, text] pairs; empty ones are left out."""
    pairs: list[list[str]] = []
    for name, value in settings.items():
        if isinstance(value, Mapping):
            pairs += flat_settings(value, f"{prefix}{name}.")
        elif value not in ([], (), None):
            pairs.append([f"{prefix}{name}", _setting_text(value)])
    return pairs


def _setting_text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()  # as JSON writes it
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def facts(story: Story) -> list[list[str]]:
    """What ran, as [name, text] pairs."""
    config, runs = story.config, story.runs
    env, bonus = _section(config, "env"), _section(config, "bonus")
    groups = runs_by_group(runs)
    pairs: list[tuple[str, Any]] = [
        ("environment", env.get("name")),
        ("options", " ".join(map(str, env.get("options") or ()))),
        ("side by side", env.get("count")),
    ]
    if len(groups) > 1:
        pairs.append(("compared", ", ".join(groups)))
    else:
        pairs += [("agent", config.get("agent")), ("mixtures", bonus.get("mixtures"))]
    steps = [run.last_step for run in runs]
    pairs += [("runs", len(runs)), ("steps", _range(steps))]
    # a run that is still going says how far it has got
    planned = config.get("steps")
    if isinstance(planned, int) and max(steps) < planned:
        pairs.append(("of", f"{planned:,}"))
    if updates := final_values(runs, "updates"):
        pairs.append(("updates", f"{np.median(updates):,.0f}"))
    if seconds := final_values(runs, "seconds"):
        pairs.append(("time", _duration(float(np.median(seconds)))))
    return [[name, str(value)] for name, value in pairs if value]


def _section(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = config.get(name)
    return section if isinstance(section, Mapping) else {}


def _range(steps: Sequence[int]) -> str:
    return f"{steps[0]:,}" if len(set(steps)) == 1 else f"{min(steps):,} to {max(steps):,}"


def _duration(seconds: float) -> str:
    minutes, hours = seconds / 60, seconds / 3600
    return f"{seconds:.0f} s" if seconds < 100 else f"{minutes:.0f} min" if minutes < 100 else f"{hours:.1f} h"
