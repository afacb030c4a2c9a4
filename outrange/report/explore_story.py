"""What the page on exploring agents is told (report/explore.py), and what of it is not allowed.

The story is plain data; all of it but the runs may be left out. Its keys:

    title, subtitle, command      text
    notes                         sentences that stand at the end of the page
    runs                          {name, group, metrics, timing}: the lines of a run's logs, a dict with "step" each. Runs of one group differ in their seed
                                  alone: they are drawn as their median. Groups are what is compared
    references                    {name, metric, value}: what policies that learn nothing come to
    config, environment           settings and versions, as nested dicts
    maps                          {name, visits, first}: one episode, or several; visits (H, W), NaN where there is a wall; (optional) first (H, W): after which
                                  step a cell was first visited, NaN where it was not
    episode                       one episode of N steps: {name, bonus, reward} (N,); and, where there are such, pictures (N + 1, H, W, 3) uint8, place (N + 1,)
                                  or -1, places (how many there are), action (N,), action_names, points (N, p), grid [H, W] where a place is y W + x, terminated
    evaluation                    rows {mixture, episodes, return, return_error, …}: means over episodes and their standard errors
"""

import functools
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from outrange.core.errors import BadInput, brief, unknown

PARTS = (
    "title",
    "subtitle",
    "command",
    "notes",
    "runs",
    "references",
    "config",
    "environment",
    "maps",
    "episode",
    "evaluation",
)
LONGEST = 20_000
"""steps of an episode that are shown"""

Line = Mapping[str, Any]


def number(value: Any) -> float | None:
    """A finite number, or None."""
    return (
        float(value)
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        else None
    )


def _no(where: str, value: Any, allowed: str) -> BadInput:
    return BadInput(f"{where}: {brief(value)} is not allowed; {allowed}")


@functools.lru_cache(maxsize=4096)  # names stand in every line of a log
def clean(text: str) -> str:
    return re.sub("[\ud800-\udfff]", "\ufffd", text)  # half a character: no file can hold it


def _text(where: str, value: Any) -> str:
    if not isinstance(value, str):
        raise _no(where, value, "it must be text")
    return clean(value)


def _mapping(where: str, value: Any, parts: Iterable[str] = ()) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise _no(where, value, "it must be a mapping")
    for key in value if parts else ():
        if key not in parts:
            raise unknown(f"{where}.{brief(key).strip(chr(39))}", key, parts, f"a part of {where}")
    return value


def _several(where: str, value: Any, check: Callable[[str, Any], Any], least: int = 0) -> list[Any]:
    if not isinstance(value, list | tuple) or len(value) < least:
        raise _no(where, value, f"it must be a list of at least {least}" if least else "it must be a list")
    return [check(f"{where}[{k}]", v) for k, v in enumerate(value)]


def _array(where: str, value: Any, axes: int, lengths: Sequence[int | None] = ()) -> np.ndarray:
    """Numbers with so many axes, of given lengths where those are not None."""
    try:
        array = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        raise _no(where, value, "it must be an array of numbers") from None
    wanted = [str(n) if n is not None else "any" for n in lengths]
    if array.ndim != axes or any(n is not None and n != got for n, got in zip(lengths, array.shape)):
        raise BadInput(
            f"{where}: an array of shape {array.shape} is not allowed; it must have {axes} axes"
            + (f", {' x '.join(wanted)}" if lengths else "")
        )
    return array


def _finite(where: str, array: np.ndarray) -> np.ndarray:
    if not np.isfinite(array).all():
        raise BadInput(f"{where}: it must hold finite numbers only")
    return array


def _lines(where: str, value: Any) -> list[Line]:
    def line(where: str, one: Any) -> Line:
        step = _mapping(where, one).get("step")
        if isinstance(step, bool) or not isinstance(step, int):
            raise _no(f"{where}.step", step, "it must be a whole number")
        return {clean(str(key)): held for key, held in one.items()}

    return sorted(_several(where, value, line), key=lambda one: one["step"])


def _run(where: str, value: Any) -> dict[str, Any]:
    parts = _mapping(where, value, ("name", "group", "metrics", "timing"))
    if not parts.get("metrics"):
        raise BadInput(f"{where}.metrics: is missing or empty; a run needs at least one line")
    words = {key: _text(f"{where}.{key}", parts.get(key, "")) for key in ("name", "group")}
    return words | {key: _lines(f"{where}.{key}", parts.get(key) or []) for key in ("metrics", "timing")}


def _reference(where: str, value: Any) -> dict[str, Any]:
    parts = _mapping(where, value, ("name", "metric", "value"))
    amount = number(parts.get("value"))
    if amount is None:
        raise _no(f"{where}.value", parts.get("value"), "it must be a finite number")
    return {
        "name": _text(f"{where}.name", parts.get("name")),
        "metric": _text(f"{where}.metric", parts.get("metric")),
        "value": amount,
    }


def _one_map(where: str, value: Any) -> dict[str, Any]:
    parts = _mapping(where, value, ("name", "visits", "first"))
    visits = _array(f"{where}.visits", parts.get("visits"), 2)
    first = parts.get("first")
    return {
        "name": _text(f"{where}.name", parts.get("name", "")),
        "visits": visits,
        "first": None if first is None else _array(f"{where}.first", first, 2, visits.shape),
    }


_EPISODE = (
    "name",
    "bonus",
    "reward",
    "pictures",
    "place",
    "places",
    "action",
    "action_names",
    "points",
    "grid",
    "terminated",
)


def _one_episode(where: str, value: Any) -> dict[str, Any]:
    parts = _mapping(where, value, _EPISODE)
    for key in ("bonus", "reward"):
        if key not in parts:
            raise BadInput(f"{where}.{key}: is missing; an episode needs bonus and reward")
    bonus = _finite(f"{where}.bonus", _array(f"{where}.bonus", parts["bonus"], 1))
    n = len(bonus)
    kept: dict[str, Any] = {
        "name": _text(f"{where}.name", parts.get("name", "")),
        "bonus": bonus,
        "terminated": parts.get("terminated"),
    }
    kept["reward"] = _finite(f"{where}.reward", _array(f"{where}.reward", parts["reward"], 1, [n]))
    if parts.get("place") is not None:
        kept["place"] = _finite(f"{where}.place", _array(f"{where}.place", parts["place"], 1, [n + 1])).astype(np.int64)
        kept["places"] = int(parts.get("places") or 0)
    if parts.get("action") is not None:
        kept["action"] = _finite(f"{where}.action", _array(f"{where}.action", parts["action"], 1, [n])).astype(np.int64)
        kept["action_names"] = _several(f"{where}.action_names", parts.get("action_names") or [], _text)
    if parts.get("points") is not None:
        kept["points"] = _finite(f"{where}.points", _array(f"{where}.points", parts["points"], 2, [n, None]))
    if parts.get("grid") is not None:
        kept["grid"] = [int(size) for size in _array(f"{where}.grid", parts["grid"], 1, [2])]
    if parts.get("pictures") is not None:
        pictures = parts["pictures"]
        if (
            not isinstance(pictures, np.ndarray)
            or pictures.dtype != np.uint8
            or pictures.ndim != 4
            or pictures.shape[0] != n + 1
            or pictures.shape[3] != 3
        ):
            raise BadInput(
                f"{where}.pictures: is not allowed; it must be an array of {n + 1} pictures (H, W, 3) of bytes"
            )
        kept["pictures"] = pictures
    if n > LONGEST:
        kept |= {name: kept[name][:LONGEST] for name in ("bonus", "reward", "action", "points") if name in kept}
        kept |= {name: kept[name][: LONGEST + 1] for name in ("place", "pictures") if name in kept}
    return kept


def _row(where: str, value: Any) -> dict[str, Any]:
    row = _mapping(where, value)
    return {clean(str(key)): clean(held) if isinstance(held, str) else number(held) for key, held in row.items()}


def checked(story: Mapping[str, Any]) -> dict[str, Any]:
    story = _mapping("story", story, PARTS)
    if not story.get("runs"):
        raise BadInput("story.runs: is missing or empty; a page needs at least one run")
    config = _mapping("story.config", story.get("config") or {})
    steps = config.get("steps")
    return {
        "title": _text("story.title", story.get("title", "")),
        "subtitle": _text("story.subtitle", story.get("subtitle", "")),
        "command": _text("story.command", story.get("command", "")),
        "notes": _several("story.notes", story.get("notes") or [], _text),
        "runs": _several("story.runs", story["runs"], _run, 1),
        "references": _several("story.references", story.get("references") or [], _reference),
        "config": config,
        "steps": steps if isinstance(steps, int) else 0,
        "environment": _mapping("story.environment", story.get("environment") or {}),
        "maps": _several("story.maps", story.get("maps") or [], _one_map),
        "episode": _one_episode("story.episode", story["episode"]) if story.get("episode") else None,
        "evaluation": _several("story.evaluation", story.get("evaluation") or [], _row),
    }
