"""Numbers of logs over steps: of one run, and the median and band of several.

Several seeds are drawn as the median of their values. From ``MANY_RUNS`` runs on the band is a bootstrap interval of
that median; of fewer runs it is their range, since an interval from so few values would say little.
"""

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from outrange.report.explore.story import RunLog

POINTS = 300
"""of a curve; where a log has more lines, neighbours are averaged"""
MANY_RUNS = 5
"""runs of a group from which on the band is an interval of the median"""
_RESAMPLES = 1000
_INTERVAL = (0.025, 0.975)


def finite_number(value: Any) -> float | None:
    """A finite number, or None for anything else."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) else None


def runs_by_group(runs: Sequence[RunLog]) -> dict[str, list[RunLog]]:
    """Runs that differ in their seed alone, by the name of their group, in the order in which groups first appear."""
    groups: dict[str, list[RunLog]] = {}
    for run in runs:
        groups.setdefault(run.group, []).append(run)
    return groups


def series(run: RunLog, metric: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values of a metric, where they are finite numbers, in the order of steps.

    Args:
        run: whose log.
        metric: a name, or the quotient of two (``bonus/length``).
    """
    name, _, divisor_name = metric.partition("/")
    # the two numbers of a quotient stand in the same line of metrics
    lines = run.metrics if divisor_name else [*run.metrics, *run.timing]
    points: list[tuple[int, float]] = []
    for line in lines:
        value = finite_number(line.get(name))
        if value is not None and divisor_name:
            divisor = finite_number(line.get(divisor_name))
            value = value / divisor if divisor else None
        if value is not None:
            points.append((line["step"], value))
    points.sort(key=lambda point: point[0])
    steps, values = zip(*points) if points else ((), ())
    return np.array(steps, np.float64), np.array(values, np.float64)


def final_values(runs: Sequence[RunLog], metric: str) -> list[float]:
    """The last value of a metric in each run that has one."""
    all_values = [series(run, metric)[1] for run in runs]
    return [float(values[-1]) for values in all_values if len(values)]


def curve(runs: Sequence[RunLog], metric: str) -> dict[str, Any] | None:
    """What is drawn of a metric of runs that differ in their seed alone; None where no run has it.

    Returns:
        Of one run its line {x, y}. Of several {x, y, low, high, count}: at each step the median of those runs that have
        reached it, between their lines; the band, and how many runs they are of.
    """
    lines = [_thinned(*series(run, metric)) for run in runs]
    lines = [(steps, values) for steps, values in lines if len(steps)]
    if not lines:
        return None
    if len(lines) == 1:
        steps, values = lines[0]
        return {"x": steps.round().tolist(), "y": values.tolist()}

    # all runs at the steps of the longest (the finest of those), NaN where a run has no line
    grid = max((steps for steps, _ in lines), key=lambda steps: (steps[-1], len(steps)))
    table = np.stack([_interpolated(grid, steps, values) for steps, values in lines])
    covered = ~np.isnan(table).all(axis=0)
    grid, table = grid[covered], table[:, covered]
    low, high = _band(table)
    return {
        "x": grid.round().tolist(),
        "y": np.nanmedian(table, axis=0).tolist(),
        "low": low.tolist(),
        "high": high.tolist(),
        "count": (~np.isnan(table)).sum(axis=0).tolist(),
    }


def _thinned(steps: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At most ``POINTS`` points, each the mean of neighbours."""
    if len(steps) <= POINTS:
        return steps, values
    parts = np.array_split(np.arange(len(steps)), POINTS)
    return np.array([steps[part].mean() for part in parts]), np.array([values[part].mean() for part in parts])


def _interpolated(grid: np.ndarray, steps: np.ndarray, values: np.ndarray) -> np.ndarray:
    """A line at the steps of another, NaN where it does not reach.

    Half a stride beyond its ends still counts, since runs do not log at the very same steps.
    """
    slack = (steps[-1] - steps[0]) / max(len(steps) - 1, 1) / 2
    slack = slack or grid[-1] / len(grid) / 2  # a line of one point has no stride of its own
    outside = (grid < steps[0] - slack) | (grid > steps[-1] + slack)
    return np.where(outside, np.nan, np.interp(grid, steps, values))


def _band(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The ends of the band, (steps,) each, of values (runs, steps) that are NaN where a run has none."""
    low, high = np.nanmin(table, axis=0), np.nanmax(table, axis=0)
    if len(table) < MANY_RUNS:
        return low, high
    rng = np.random.default_rng(0)
    for step, column in enumerate(table.T):
        values = column[~np.isnan(column)]
        if len(values) >= MANY_RUNS:
            # percentile bootstrap: medians of samples drawn with replacement
            medians = np.median(rng.choice(values, (_RESAMPLES, len(values))), axis=1)
            low[step], high[step] = np.quantile(medians, _INTERVAL)
    return low, high


def band_caption(runs: Sequence[RunLog]) -> str:
    """What lines and bands are; "" where every group is a single run."""
    sizes = [len(members) for members in runs_by_group(runs).values()]
    if max(sizes) == 1:
        return ""
    counts = f"{sizes[0]}" if len(set(sizes)) == 1 else f"{min(sizes)} to {max(sizes)}"
    if max(sizes) < MANY_RUNS:
        bands = "their range"
    else:
        bands = "a 95\u00a0% bootstrap interval of the median"
        if min(size for size in sizes if size > 1) < MANY_RUNS:
            bands += f", or the range of fewer than {MANY_RUNS}"
    # one per cent of slack: runs do not end at the very same step
    ends = [run.last_step for run in runs]
    shorter = " Beyond the last step of a shorter run they are of the others." if min(ends) < 0.99 * max(ends) else ""
    return f"Lines are medians of {counts} runs that differ in their seed, bands {bands}.{shorter}"


_MIXTURE_NAME = re.compile(r"mixture(\d+)_")


def mixture_count(runs: Sequence[RunLog]) -> int:
    """How many mixtures the logs have numbers of; 1 where they do not tell mixtures apart."""
    names = {name for run in runs for line in run.metrics for name in line}
    matches = [_MIXTURE_NAME.match(name) for name in names]
    return max((int(match[1]) for match in matches if match), default=0) + 1
