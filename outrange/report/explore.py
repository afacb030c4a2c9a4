"""One self-contained HTML page about runs of an exploring agent: how they went, where the agent goes, one episode of it (Never Give Up, arXiv 2002.06038).

What it is told is plain data: report/explore_story.py lists it, and refuses what is not allowed.

Names and sentences come from users: they reach the page as JSON inside a script element that is never run, and become text nodes, never markup.
"""

import base64
import functools
import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from outrange.report.explore_story import checked, clean, number
from outrange.report.stepper import script_json

LIMIT = 2_000_000
"""bytes of a page; a larger one shows fewer pictures of its episode, then fewer maps"""
POINTS = 300
"""of a curve; where a log has more lines, neighbours are averaged"""
FRAMES = 600
"""pictures of an episode, at most"""
ENOUGH = 5
"""runs of a group from which on the band is an interval of the median; with fewer it is their range"""
MIXTURES = 4
"""mixtures that are told one by one"""

# ---------- what a log can hold ----------

_EPISODES = {
    "episodes": ("count", "episodes that ended since the line before; the numbers beside it are their means"),
    "return": ("reward", "sum of an episode's rewards rᵉ; the bonus is not in it"),
    "length": ("steps", "steps of an episode"),
    "bonus": ("bonus", "sum of an episode's bonuses rⁱ; divide it by the length for the bonus a step"),
    "coverage": ("share", "share of an episode's places that it visits; 0 where nobody knows how many there are"),
    "places": ("count", "different places that an episode visits: cells, rooms"),
    "success": ("share", "share of episodes with a return above 0"),
}
_ALONE = {
    "step": ("steps", "steps of all environments so far, those of the embedding's warm-up among them"),
    "updates": ("count", "updates of the Q network so far"),
    "replay": ("rows", "steps that the replay holds"),
    "broken": ("count", "episodes lost to an environment that crashed, stalled or gave what it must not"),
    "ever_places": ("count", "different places that any episode has come to since the run began"),
    "loss": (
        "error²",
        "mean of the Q network's squared errors over the steps learned from; its size follows the size of Q",
    ),
    "gradient_norm": ("norm", "of the Q network's gradient, before it is clipped"),
    "q": (
        "return",
        "mean of Q at the steps learned from; near beta × bonus a step / (1 − gamma) where the bonus is all there is",
    ),
    "counted": (
        "share",
        "share of the steps of a batch that enter the loss; the rest is burn-in, padding or an episode's last observation",
    ),
    "embedding_loss": (
        "nats",
        "cross entropy of the action between two observations, from which the controllable state is learned",
    ),
    "embedding_accuracy": (
        "share",
        "how often the embedding tells the action between two observations; of no meaning while the policy is nearly deterministic",
    ),
    "distance": (
        "distance²",
        "dₘ², running mean of the squared distances to the k nearest controllable states of an episode; the unit of the kernel",
    ),
    "rnd_loss": (
        "error²",
        "mean error of the predictor of random network distillation on what is learned from; falls as observations grow familiar",
    ),
}
_TIMING = {
    "seconds": ("s", "on the clock, over all sittings"),
    "cpu_seconds": ("s", "of the processor, in this sitting"),
    "steps_per_second": ("steps/s", "of all environments, since the sitting began"),
    "steps_per_cpu_second": (
        "steps/s",
        "the same by the processor's time; the one to compare where other work shares the machine",
    ),
}


def glossary(mixtures: int = 1) -> dict[str, tuple[str, str]]:
    """Every number that the logs of a run can hold: name -> (unit, meaning), those of mixtures one by one up to ``MIXTURES``, else as ``mixture*_…``."""
    found = {name: _ALONE[name] for name in ("step", "updates", "replay", "broken")}
    groups = [("", ""), ("greedy_", "; of the greedy actors")]
    if mixtures > 1:
        each = [str(j) for j in range(mixtures)] if mixtures <= MIXTURES else ["*"]
        named = {
            j: f"; under mixture {j}" if j != "*" else "; under each mixture, from the lowest of them to the highest"
            for j in each
        }
        groups += [
            (f"mixture{j}_{greedy}", said + (" with a greedy actor" if greedy else ""))
            for j, said in named.items()
            for greedy in ("", "greedy_")
        ]
    found |= {
        prefix + name: (unit, meaning + said) for prefix, said in groups for name, (unit, meaning) in _EPISODES.items()
    }
    return found | {name: told for name, told in _ALONE.items() if name not in found} | _TIMING


# ---------- what is drawn of a log ----------


@dataclass(frozen=True)
class Chart:
    """One figure: curves over steps."""

    key: str
    section: str
    title: str
    lines: tuple[tuple[str, str], ...]
    """(metric, what it is called)"""
    unit: str
    help: str
    form: str = "number"
    """number, share (of 1) or count"""
    log: bool = False
    """whether the axis may be logarithmic"""
    missing_zero: bool = False
    """whether the chart is left out where all its numbers are 0"""


_ALL = "all actors", "greedy actors"


def _both(name: str) -> tuple[tuple[str, str], ...]:
    return ((f"greedy_{name}", _ALL[1]), (name, _ALL[0]))


CHARTS = (
    Chart("coverage", "reaches", "Coverage", _both("coverage"), "share of an episode's places that it visits",
        "Look for a steep climb that lasts. Where walls kill, it begins only once the agent stays alive. Dotted: policies that learn nothing.",
        "share", missing_zero=True),
    Chart("places", "reaches", "Places", (*_both("places"), ("ever_places", "any episode so far")), "visited in an episode",
        "Look for the line of single episodes following the line of all episodes: places once found are found again.", missing_zero=True),
    Chart("return", "reaches", "Return", _both("return"), "rewards of an episode, without the bonus",
        "Look for the greedy line leaving 0 and staying away: reward that was met by chance is now sought.", missing_zero=True),
    Chart("success", "reaches", "Success", _both("success"), "episodes with a return above 0",
        "Look for the same in the share of episodes: few lucky ones raise the return, not this.", "share", missing_zero=True),
    Chart("length", "reaches", "Length", _both("length"), "steps of an episode",
        "Where a wall ends the episode, length grows to its limit first and coverage after it; where a goal does, it falls once the goal is sought.", "count"),
    Chart("bonus", "drives", "Bonus a step", (("greedy_bonus/greedy_length", _ALL[1]), ("bonus/length", _ALL[0])), "mean rⁱ",
        "1 to 2 and steady is healthy in the maze. Near 3 with little coverage, noise looks new; near 0, everything looks known."),
    Chart("distance", "drives", "Distance dₘ²", (("distance", ""),), "to the nearest states",
        "Look for a rise as the agent travels farther. If it sinks to a small value the agent stands still, and noise looks new.", missing_zero=True),
    Chart("accuracy", "drives", "Embedding accuracy", (("embedding_accuracy", ""),), "actions told apart",
        "Near 100 % at the end of the warm-up is healthy. It means nothing while the policy is nearly deterministic: a constant guess is right then.", "share"),
    Chart("embedding_loss", "drives", "Embedding loss", (("embedding_loss", ""),), "nats an action",
        "Look for the fall from ln of the number of actions: it comes late, and suddenly where the agent is a small part of the picture.", log=True),
    Chart("rnd_loss", "drives", "RND error", (("rnd_loss", ""),), "of the predictor",
        "Look for a slow fall. A new rise is something that this run had not seen before, and what earns the life-long factor.", log=True),
    Chart("q", "learns", "Q", (("q", ""),), "at actions learned from",
        "With a bonus of b a step it settles near beta b / (1 − gamma). Rising beyond all returns is overestimation."),
    Chart("loss", "learns", "Loss of Q", (("loss", ""),), "squared error",
        "Its size follows Q's: look for a level that Q explains, not for 0. Growth by orders of magnitude while Q stands still is divergence.", log=True),
    Chart("gradient_norm", "learns", "Gradient norm", (("gradient_norm", ""),), "before clipping",
        "Compare with the clip: always far above it, every update has the same length and the learning rate alone decides.", log=True),
    Chart("counted", "learns", "Steps in the loss", (("counted", ""),), "share of a batch",
        "Look for a value near 1 (less the burn-in): the rest of a batch is padding, which many short episodes cause.", "share"),
    Chart("pace", "learns", "Pace", (("steps_per_cpu_second", "a CPU second"), ("steps_per_second", "a second")), "steps of all environments",
        "Averages over the sitting: they should settle. A second on the clock has in it what else ran on the machine, a CPU second has not.", "count"),
)  # fmt: skip
SECTIONS = {"reaches": "What it reaches", "drives": "What drives it", "learns": "How it learns"}


def page(story: Mapping[str, Any]) -> str:
    """The page of a story.

    Args:
        story: plain data, with the keys listed at the top of this file.

    Raises:
        BadInput: naming the part of the story that is missing or not allowed.
    """
    whole = checked(story)
    limits: list[str] = []
    charts = _charts(whole["runs"], whole["references"], _mixtures(whole["runs"]))
    if any(len(run["metrics"]) > POINTS for run in whole["runs"]):
        limits.append(f"Logs have more than {POINTS} lines: neighbours are averaged in the curves.")
    packed: dict[str, Any] = {
        "title": whole["title"],
        "subtitle": whole["subtitle"],
        "command": whole["command"],
        "notes": whole["notes"],
        "limits": limits,
        "reading": _reading(whole),
        "facts": _facts(whole),
        "charts": charts,
        "bands": _bands(whole["runs"]),
        "maps": [_map(one) for one in whole["maps"]],
        "episode": _episode(whole["episode"]) if whole["episode"] else None,
        "evaluation": _rows(whole["evaluation"]),
        "numbers": _numbers(whole["runs"]),
        "settings": _flat(whole["config"]),
        "environment": _flat(whole["environment"]),
    }
    return _fitted(_rounded(packed), whole)


def reading(story: Mapping[str, Any]) -> list[str]:
    """What the numbers say, in plain sentences; every word of them follows from the data."""
    return _reading(checked(story))


# ---------- pictures ----------


def indexed(pictures: np.ndarray, colours: int = 256) -> tuple[np.ndarray, np.ndarray]:
    """Pictures (N, H, W, 3) uint8 as (N, H, W) uint8 into a palette (K, 3) uint8.

    They are the same pictures where they have at most ``colours`` colours, which grids and old games do; else the nearest of that many, chosen by median cut
    from sixteen of the pictures.
    """
    found = np.zeros(0, np.uint32)
    for picture in pictures:
        found = np.union1d(found, _packed(picture))
        if len(found) > colours:
            break
    else:
        palette = np.stack([found >> 16, found >> 8 & 255, found & 255], axis=-1).astype(np.uint8)
        return np.stack([np.searchsorted(found, _packed(picture)).astype(np.uint8) for picture in pictures]), palette
    from PIL import Image

    some = pictures[np.linspace(0, len(pictures) - 1, min(len(pictures), 16)).astype(int)]
    base = Image.fromarray(some.reshape(-1, *some.shape[2:])).quantize(
        colours, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE
    )
    nearest = [
        np.asarray(Image.fromarray(picture).quantize(palette=base, dither=Image.Dither.NONE)) for picture in pictures
    ]
    return np.stack(nearest), np.array(base.getpalette(), np.uint8).reshape(-1, 3)[:colours]


def _packed(picture: np.ndarray) -> np.ndarray:
    """(H, W, 3) bytes as (H, W) numbers, one a colour."""
    wide = picture.astype(np.uint32)
    return wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]


def _sheet(pictures: np.ndarray, count: int) -> dict[str, Any]:
    """Some of an episode's pictures, evenly spread and with the last, as one PNG: frames that follow each other lie side by side, so that it packs well."""
    from PIL import Image

    chosen = np.unique(np.linspace(0, len(pictures) - 1, min(count, len(pictures))).round().astype(int))
    frames, palette = indexed(pictures[chosen])
    n, height, width = frames.shape
    columns = max(1, min(n, 4096 // width, math.ceil(math.sqrt(n * height / width))))
    rows = -(-n // columns)
    sheet = np.zeros((rows * columns, height, width), np.uint8)
    sheet[:n] = frames
    image = Image.fromarray(
        sheet.reshape(rows, columns, height, width).transpose(0, 2, 1, 3).reshape(rows * height, columns * width)
    )
    image.putpalette(palette.tobytes())
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    data = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
    return {"width": width, "height": height, "columns": columns, "steps": chosen.tolist(), "data": data}


def _fitted(packed: dict[str, Any], whole: Mapping[str, Any]) -> str:
    """The page with as many pictures, then maps, as fit."""
    pictures = (whole["episode"] or {}).get("pictures")
    text = _rendered(packed)
    if pictures is not None and packed["episode"]:
        count = most = min(FRAMES, len(pictures))
        while count >= 2:
            said = (
                [f"The episode is shown by {count} of its {len(pictures)} pictures."] if count < len(pictures) else []
            )
            found = _rendered(
                {
                    **packed,
                    "episode": {**packed["episode"], "sheet": _sheet(pictures, count)},
                    "limits": [*packed["limits"], *said],
                }
            )
            if len(found.encode()) <= LIMIT:
                return found
            count = count // 2 if count > 2 else 1
        packed["limits"].append(
            f"The episode is shown without its {most} pictures: with them this page would pass {LIMIT / 1e6:g} MB."
        )
        text = _rendered(packed)
    shown = len(packed["maps"])
    while len(text.encode()) > LIMIT and packed["maps"]:
        packed["maps"] = packed["maps"][: len(packed["maps"]) // 2]
        said = f"{len(packed['maps'])} of {shown} maps are shown: with more this page would pass {LIMIT / 1e6:g} MB."
        text = _rendered({**packed, "limits": [*packed["limits"], said]})
    return text


# ---------- curves ----------


def _groups(runs: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    found: dict[str, list[Mapping[str, Any]]] = {}
    for run in runs:
        found.setdefault(run["group"], []).append(run)
    return found


def _series(run: Mapping[str, Any], metric: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values of a metric, or of the quotient of two (``bonus/length``), where they are numbers."""
    name, _, below = metric.partition("/")
    x, y = [], []
    for line in (*run["metrics"], *run["timing"]) if not below else run["metrics"]:
        value = number(line.get(name))
        if below:
            length = number(line.get(below))
            value = value / length if value is not None and length else None
        if value is not None:
            x.append(line["step"])
            y.append(value)
    return np.array(x, np.float64), np.array(y, np.float64)


def _thinned(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At most ``POINTS`` points, each the mean of neighbours."""
    if len(x) <= POINTS:
        return x, y
    parts = np.array_split(np.arange(len(x)), POINTS)
    return np.array([x[part].mean() for part in parts]), np.array([y[part].mean() for part in parts])


def _curve(runs: Sequence[Mapping[str, Any]], metric: str) -> dict[str, Any] | None:
    """Of one run its line; of several the median over those that have come so far, between their lines, and a band: see ``ENOUGH``."""
    series = [_thinned(*pair) for run in runs if len((pair := _series(run, metric))[0])]
    if not series:
        return None
    if len(series) == 1:
        return {"x": series[0][0].round().tolist(), "y": series[0][1].tolist()}
    grid = max((x for x, _ in series), key=lambda x: (x[-1], len(x)))
    values = np.stack([_between(grid, x, y) for x, y in series])
    grid, values = grid[(there := ~np.isnan(values).all(0))], values[:, there]
    low, high = np.nanmin(values, 0), np.nanmax(values, 0)
    if len(series) >= ENOUGH:
        rng = np.random.default_rng(0)
        for k, column in enumerate(values.T):
            held = column[~np.isnan(column)]
            if len(held) >= ENOUGH:
                low[k], high[k] = np.quantile(np.median(rng.choice(held, (1000, len(held))), axis=1), (0.025, 0.975))
    count = (~np.isnan(values)).sum(0)
    return {
        "x": grid.round().tolist(),
        "y": np.nanmedian(values, 0).tolist(),
        "low": low.tolist(),
        "high": high.tolist(),
        "count": count.tolist(),
    }


def _between(grid: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A line at the steps of another, NaN where it is not; half a stride beyond its ends still counts, since runs do not log at the very same steps."""
    slack = (x[-1] - x[0]) / max(len(x) - 1, 1) / 2 or grid[-1] / len(grid) / 2
    return np.where((grid < x[0] - slack) | (grid > x[-1] + slack), np.nan, np.interp(grid, x, y))


def _charts(
    runs: Sequence[Mapping[str, Any]], references: Sequence[Mapping[str, Any]], mixtures: int
) -> list[dict[str, Any]]:
    groups = _groups(runs)
    found: list[dict[str, Any]] = []
    for chart in (*CHARTS[:5], *_mixture_charts(mixtures), *CHARTS[5:]):
        if chart.key == "places" and any(one["key"] == "coverage" for one in found):
            continue  # they say the same
        lines, which = [], ""
        for k, (group, members) in enumerate(groups.items()):
            for m, (metric, name) in enumerate(chart.lines):
                if (curve := _curve(members, metric)) is None:
                    continue
                if len(groups) == 1:
                    lines.append({"name": name, "stroke": m, **curve})
                    continue
                lines.append({"name": group, "stroke": k, **curve})
                which = name
                break  # the first that is there, so that groups can be told apart
        if not lines or (chart.missing_zero and not any(any(line["y"]) for line in lines)):
            continue
        of_all = [y for line in lines for y in line["y"]]
        log = chart.log and min(of_all) > 0 and max(of_all) > 30 * min(of_all)
        marks = [{"name": one["name"], "value": one["value"]} for one in references if one["metric"] == chart.key]
        told = chart.help.replace(" Dotted: policies that learn nothing.", "") if not marks else chart.help
        about = {name: getattr(chart, name) for name in ("key", "section", "title", "form")}
        unit = chart.unit + (f", {which}" if which else "")
        found.append(about | {"unit": unit, "help": told, "log": log, "lines": lines, "references": marks})
    return found


def _mixture_charts(mixtures: int) -> tuple[Chart, ...]:
    """Mixtures side by side: a few, from the one that exploits to the one that explores most."""
    if mixtures < 2:
        return ()
    chosen = sorted({0, mixtures // 3, 2 * mixtures // 3, mixtures - 1})
    named = {
        j: f"mixture {j}" + (", exploits" if j == 0 else ", explores most" if j == mixtures - 1 else "") for j in chosen
    }
    told = {
        "return": "Look for mixture 0 coming to earn at least what the exploring ones do: it learns from what they met.",
        "places": "Look for a distance between them: exploring mixtures should see more places than the one that exploits.",
    }
    units = {"return": "rewards of an episode", "places": "visited in an episode"}
    found = []
    for name, text in told.items():
        lines = tuple((f"mixture{j}_{name}", said) for j, said in named.items())
        found.append(
            Chart(
                f"mixture_{name}",
                "reaches",
                f"{name.capitalize()} by mixture",
                lines,
                units[name],
                text,
                missing_zero=True,
            )
        )
    return tuple(found)


def _mixtures(runs: Sequence[Mapping[str, Any]]) -> int:
    """How many mixtures the logs tell of."""
    numbers = [
        int(found[1]) for run in runs for line in run["metrics"] for name in line if (found := _MIXTURE.match(name))
    ]
    return max(numbers, default=0) + 1


_MIXTURE = re.compile(r"mixture(\d+)_")


def _bands(runs: Sequence[Mapping[str, Any]]) -> str:
    """What the bands are."""
    sizes = [len(members) for members in _groups(runs).values()]
    if max(sizes) == 1:
        return ""
    counts = f"{sizes[0]}" if len(set(sizes)) == 1 else f"{min(sizes)} to {max(sizes)}"
    few, many = 1 < min(n for n in sizes if n > 1) < ENOUGH, max(sizes) >= ENOUGH
    bands = (
        "their range"
        if not many
        else "a 95 % bootstrap interval of the median" + (f", or the range of fewer than {ENOUGH}" if few else "")
    )
    ends = [run["metrics"][-1]["step"] for run in runs]
    late = " Beyond the last step of a run they are of the others." if min(ends) < 0.99 * max(ends) else ""
    return f"Lines are medians of {counts} runs that differ in their seed, bands {bands}.{late}".replace(
        " %", "\u00a0%"
    )


# ---------- tables ----------


def _numbers(runs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Every number of the logs, with its meaning, its last value (median over runs) and its course; those that this log does not hold, too."""
    mixtures = _mixtures(runs)
    names = glossary(mixtures)
    held = list(dict.fromkeys(name for run in runs for line in (*run["metrics"], *run["timing"]) for name in line))
    rows = []
    for name in [
        *names,
        *(name for name in held if name not in names and not (mixtures > MIXTURES and _MIXTURE.match(name))),
    ]:
        unit, meaning = names.get(name, ("", "not described here"))
        members = [name] if "*" not in name else [name.replace("*", str(j)) for j in range(mixtures)]
        ends = [
            float(np.median(last))
            for one in members
            if (last := [y[-1] for run in runs if len(y := _series(run, one)[1])])
        ]
        row: dict[str, Any] = {"name": name, "unit": unit, "meaning": meaning, "last": ends[0] if ends else None}
        if len(ends) > 1:
            row |= {"last": min(ends), "to": max(ends)}
        elif ends and name != "step" and (curve := _curve(runs, name)) and len(curve["y"]) > 1:
            row["course"] = [
                float(part.mean()) for part in np.array_split(np.array(curve["y"]), min(40, len(curve["y"])))
            ]
        rows.append(row)
    return rows


_COLUMNS = ("run", "mixture", "epsilon", "episodes", "return", "success", "coverage", "places", "length", "bonus")


def _rows(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """The columns of the evaluation that tell something, and its rows."""
    if not rows:
        return None
    always = {"mixture", "episodes"}
    columns = [
        name
        for name in _COLUMNS
        if any(row.get(name) for row in rows) or (name in always and any(name in row for row in rows))
    ]
    if len({row.get("run") for row in rows}) == 1:
        columns = [name for name in columns if name != "run"]
    kept = [{key: row[key] for name in columns for key in (name, f"{name}_error") if key in row} for row in rows]
    return {"columns": columns, "rows": kept}


def _flat(values: Mapping[str, Any], before: str = "") -> list[list[str]]:
    """Nested settings as [dotted name, text] pairs."""
    found: list[list[str]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            found += _flat(value, f"{before}{name}.")
        elif value not in ([], (), None):
            text = (
                ", ".join(map(str, value))
                if isinstance(value, list | tuple)
                else str(value).lower()
                if isinstance(value, bool)
                else str(value)
            )
            found.append([clean(f"{before}{name}"), clean(text)])
    return found


def _facts(whole: Mapping[str, Any]) -> list[list[str]]:
    """What was run, in a few words."""
    config, runs = whole["config"], whole["runs"]
    env = config.get("env", {}) if isinstance(config.get("env"), Mapping) else {}
    bonus = config.get("bonus", {}) if isinstance(config.get("bonus"), Mapping) else {}
    steps = [run["metrics"][-1]["step"] for run in runs]
    found: list[list[str]] = []
    for name, value in (
        ("environment", env.get("name")),
        ("options", " ".join(map(str, env.get("options") or ()))),
        ("side by side", env.get("count")),
    ):
        if value:
            found.append([name, clean(str(value))])
    if len(groups := _groups(runs)) > 1:
        found.append(["compared", ", ".join(groups)])
    elif config.get("agent"):
        found.append(["agent", clean(str(config["agent"]))])
    for name in ("kind", "mixtures") if len(groups) == 1 else ():
        if bonus.get(name):
            found.append(["bonus" if name == "kind" else name, clean(str(bonus[name]))])
    found.append(["runs", f"{len(runs)}"])
    found.append(["steps", f"{steps[0]:,}" if len(set(steps)) == 1 else f"{min(steps):,} to {max(steps):,}"])
    if whole["steps"] and max(steps) < whole["steps"]:
        found.append(["of", f"{whole['steps']:,}"])
    for metric, name in (("updates", "updates"), ("seconds", "time")):
        ends = [float(y[-1]) for run in runs if len(y := _series(run, metric)[1])]
        if ends:
            found.append([name, f"{np.median(ends):,.0f}" if name == "updates" else _time(float(np.median(ends)))])
    return found


def _time(seconds: float) -> str:
    minutes, hours = seconds / 60, seconds / 3600
    return f"{seconds:.0f} s" if seconds < 100 else f"{minutes:.0f} min" if minutes < 100 else f"{hours:.1f} h"


# ---------- what is seen, in words ----------


def _reading(whole: Mapping[str, Any]) -> list[str]:
    said: list[str] = []
    groups = _groups(whole["runs"])
    for group, members in groups.items():
        start = f"{group}: after" if len(groups) > 1 else "After"
        steps = max(run["metrics"][-1]["step"] for run in members)
        told = [text for name, words, form in _TOLD if (text := _end(members, name, words, form))]
        if any("of an episode's places" in text for text in told):
            told = [text for text in told if "places an episode" not in text]  # they say the same
        if told:
            said.append(f"{start} {steps:,} steps, {'; '.join(told)}.")
    if marks := [
        f"{_said(one['value'], 'share')} ({one['name']})" for one in whole["references"] if one["metric"] == "coverage"
    ]:
        said.append(f"Policies that learn nothing visit {', '.join(marks)}.")
    if len(groups) == 1:
        said += _drive(whole["runs"])
    if whole["episode"]:
        said += _novel(whole["episode"])
    return said


_TOLD = (
    ("coverage", "{who} visit {value} of an episode's places", "share"),
    ("places", "{who} visit {value} places an episode", "number"),
    ("return", "{who} earn {value} an episode", "number"),
    ("success", "{value} of {whose} episodes earn something", "share"),
)


def _end(members: Sequence[Mapping[str, Any]], name: str, words: str, form: str) -> str:
    """One metric at the end of the logs, of the greedy actors where there are such; "" where it is not there, or 0 all along."""
    for metric, who in ((f"greedy_{name}", "greedy"), (name, "all")):
        series = [y for run in members if len(y := _series(run, metric)[1])]
        if not series:
            continue
        if not any(y.any() for y in series):
            return ""
        ends = [float(y[-1]) for y in series]
        value = _said(float(np.median(ends)), form)
        if len(ends) > 1:
            value += f" (median of {len(ends)} runs, {_said(min(ends), form)} to {_said(max(ends), form)})"
        text = words.format(who=f"{who} actors", whose=f"{who} actors'", value=value)
        return text
    return ""


def _drive(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Bonus, distance and embedding, from the first to the last line."""

    def ends(metric: str) -> tuple[float, float] | None:
        series = [y for run in runs if len(y := _series(run, metric)[1])]
        return (float(np.median([y[0] for y in series])), float(np.median([y[-1] for y in series]))) if series else None

    said, bonus, distance, accuracy = [], ends("bonus/length"), ends("distance"), ends("embedding_accuracy")
    if bonus and bonus[1]:
        began = f", {bonus[0]:.2f} at the beginning" if bonus[0] != bonus[1] else ""
        said.append(f"A step earns a bonus of {bonus[1]:.2f} on average at the end{began}.")
    if distance and distance[1]:
        began = next((y for run in runs for y in _series(run, "distance")[1] if y > 0), 0.0)
        said.append(f"The mean squared distance to the nearest states went from {began:.3g} to {distance[1]:.3g}.")
    if accuracy:
        best = max(
            float(_series(run, "embedding_accuracy")[1].max())
            for run in runs
            if len(_series(run, "embedding_accuracy")[1])
        )
        said.append(
            f"The embedding tells {100 * accuracy[1]:.1f}\u00a0% of the actions apart at the end, {100 * best:.1f}\u00a0% at its best."
        )
    return said


def _novel(episode: Mapping[str, Any]) -> list[str]:
    """Whether the bonus goes to places that are new: the contrast that drives the agent."""
    bonus, place = episode["bonus"], episode.get("place")
    steps = f"{len(bonus):,} steps"
    earned = f" and earns {float(episode['reward'].sum()):.3g}" if episode["reward"].any() else ""
    if place is None or not (place >= 0).any():
        return [f"The episode shown has {steps}{earned}."]
    new = _new(place)[1:]
    seen = int(_new(place).sum())
    of = f" of {episode['places']}" if episode.get("places") else ""
    said = [f"The episode shown has {steps}, sees {seen}{of} places{earned}."]
    old = (place[1:] >= 0) & ~new
    if bonus.any() and new.any() and old.any():
        said.append(
            f"In it a step to a new place earns a bonus of {bonus[new].mean():.2f}, a step to one seen before {bonus[old].mean():.2f}."
        )
    return said


def _new(place: np.ndarray) -> np.ndarray:
    """(N + 1,) bool: whether a place is seen for the first time."""
    new = np.zeros(len(place), bool)
    new[np.unique(place, return_index=True)[1]] = True
    return new & (place >= 0)


def _said(value: float, form: str) -> str:
    return f"{100 * value:.{1 if value < 0.1 else 0}f}\u00a0%" if form == "share" else f"{value:.3g}"


# ---------- maps and the episode ----------


def _map(one: Mapping[str, Any]) -> dict[str, Any]:
    visits, first = one["visits"], one.get("first")
    free = ~np.isnan(visits)
    seen = free & (visits > 0)
    return {
        "name": one["name"], "width": visits.shape[1], "height": visits.shape[0], "visits": _gaps(visits), "first": None if first is None else _gaps(first),
        "seen": int(seen.sum()), "walls": bool((~free).any()), "free": int(free.sum()),
    }  # fmt: skip


def _gaps(values: np.ndarray) -> list[float | None]:
    """Flat, None for NaN."""
    return [None if math.isnan(v) else v for v in values.ravel().tolist()]


def _episode(one: Mapping[str, Any]) -> dict[str, Any]:
    bonus, reward, place, points = one["bonus"], one["reward"], one.get("place"), one.get("points")
    packed: dict[str, Any] = {
        "name": one["name"], "steps": len(bonus), "bonus": bonus.tolist(), "reward": reward.tolist() if reward.any() else None,
        "terminated": one.get("terminated"), "places": one.get("places") or 0, "grid": one.get("grid"),
        **dict.fromkeys(("sheet", "points", "place", "new", "action")), "action_names": [],
    }  # fmt: skip
    if place is not None and (place >= 0).any():
        packed |= {"place": place.tolist(), "new": np.flatnonzero(_new(place)).tolist()}
    if one.get("action") is not None and one.get("action_names"):
        packed |= {"action": one["action"].tolist(), "action_names": list(one["action_names"])}
    if points is not None and points.shape[1] >= 1 and len(points) >= 3:
        packed["points"] = _plane(points)
    return packed


def _plane(points: np.ndarray) -> dict[str, Any]:
    """Points (N, p) on their first two principal axes, and the share of the variance on each; the sign of an axis is that of its largest part."""
    chosen = np.unique(np.linspace(0, len(points) - 1, min(len(points), 2000)).round().astype(int))
    centred = points.astype(np.float64) - points.mean(0, dtype=np.float64)
    _, sizes, axes = np.linalg.svd(centred, full_matrices=False)
    axes, total = axes[:2], float((sizes**2).sum())
    axes = axes * np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(1)])[:, None]
    flat = np.zeros((len(chosen), 2))
    flat[:, : len(axes)] = centred[chosen] @ axes.T
    shares = [float(size**2) / total if total else 0.0 for size in sizes[:2]]
    return {
        "x": flat[:, 0].tolist(),
        "y": flat[:, 1].tolist(),
        "steps": (chosen + 1).tolist(),
        "shares": [*shares, 0.0][:2],
        "dimension": points.shape[1],
    }


# ---------- from data to page ----------


def _rounded(value: Any) -> Any:
    """Floats to four significant digits, whole ones as they are; None where they are not finite. Ints, being counts and indices, stay."""
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        if not value.is_integer():
            value = float(f"{value:.4g}")
        return int(value) if value.is_integer() and abs(value) < 1e15 else value
    if isinstance(value, dict):
        return {key: _rounded(v) for key, v in value.items()}
    return [_rounded(v) for v in value] if isinstance(value, list | tuple) else value


def _rendered(packed: Mapping[str, Any]) -> str:
    sections = [key for key in SECTIONS if any(chart["section"] == key for chart in packed["charts"])]
    sections += [part for part in ("episode", "maps", "evaluation") if packed[part]]
    sections += ["settings"] * bool(packed["settings"] or packed["environment"]) + ["notes"] * bool(
        packed["notes"] or packed["limits"] or packed["command"]
    )
    return _template().render(
        title=packed["title"],
        subtitle=packed["subtitle"],
        sections=sections,
        headings=SECTIONS,
        data=script_json(packed),
    )


@functools.cache
def _template() -> Template:
    return Environment(
        loader=PackageLoader("outrange.report"), autoescape=True, undefined=StrictUndefined
    ).get_template("explore.html.j2")
