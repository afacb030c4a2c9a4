"""One self-contained HTML page that steps through something: what was given, quantities that change from step to step, and what was returned.

The story is plain data, so that anything can be told: a trace of an algorithm, an agent's episode, the layers of a network. Its keys:

    title, subtitle     text
    notes               sentences that stand under the picture
    nodes               one label a node
    edges               (optional) {"directed": bool, "weighted": bool, "list": [[from, to, weight], …], "loops": [node, …]}
    variables           what changes: a list of {"name", "shape", "kind"} with, where they apply, "words", "colors", "integer" and "meaning"
    steps               one dict a step: variable name -> value
    given, returned     like variables, each with its "value"
    headings            (optional) what to call "given", "variables" and "returned"
    pictures            what to draw, largest first: {"type": …, and names of variables or given values for the parts of that picture}

A shape is "one" (a single value), "row" (one a node) or "grid" (one a pair of nodes). A kind is "number", "flag" (0 or 1), "class" (a number into ``words``)
or "node" (an index into ``nodes``: a label at that node, or in a row a pointer). None is a hidden value. The pictures and their parts:

    graph       nodes on a circle over the edges.   arrows, fill, rings, badges, small, marks (a grid of flags: edges drawn thick)
    row         bars and cells side by side.        lanes, order, split, align, line, spans, arrows, fill, rings, badges
    intervals   a bar from start to end a node.     start, end, fill, rings, badges
    plane       points.                             x, y, hull, segments, links, arrows, fill, rings, badges
    grid        a heat map.                         name, rows, columns, head, badges, corner (a grid of short words)

Names and values come from users: they reach the page as JSON inside a script element that is never run, and become text nodes, never markup.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from outrange.core.errors import BadInput, brief, unknown
from outrange.report.page import finite_json, render, script_json

SHAPES = ("one", "row", "grid")
KINDS = ("number", "flag", "class", "node")
PICTURES = ("graph", "row", "intervals", "plane", "grid")
NAMING = (
    "arrows",
    "fill",
    "rings",
    "badges",
    "small",
    "marks",
    "lanes",
    "order",
    "split",
    "align",
    "line",
    "spans",
    "start",
    "end",
    "x",
    "y",
    "hull",
    "links",
)
NAMING += ("name", "head", "corner")  # the parts of a picture that hold names
REQUIRED = ("title", "nodes", "variables", "steps")
DEFAULTS: dict[str, Any] = {"subtitle": "", "notes": [], "edges": None, "given": [], "returned": [], "pictures": []}
HEADINGS = {"given": "Given", "variables": "At this step", "returned": "Returned"}


def page(story: Mapping[str, Any]) -> str:
    """The page of a story.

    Args:
        story: plain data, with the keys listed at the top of this file. Numbers that are not finite are shown as such.

    Raises:
        BadInput: naming the part of the story that is missing or not allowed.
    """
    whole = _checked(story)
    whole["steps"] = pack(whole["variables"], whole["steps"])
    parts = {key: whole[key] for key in ("title", "subtitle", "notes")}
    return render("stepper.html.j2", **parts, story=script_json(whole))


def pack(variables: Sequence[Mapping[str, Any]], steps: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Steps as differences: the first whole, then only what differs from the step before.

    A changed row or grid is a flat list [index, value, index, value, …], a grid counted row by row. This is what keeps a page of a hundred steps small, and it
    tells the page what to mark as changed.
    """
    packed: list[dict[str, Any]] = []
    before: dict[str, Any] = {}
    for step in steps:
        now = {v["name"]: finite_json(step[v["name"]]) for v in variables}
        packed.append(
            {
                v["name"]: d
                for v in variables
                if (d := _difference(v["shape"], before[v["name"]], now[v["name"]])) is not None
            }
            if packed
            else now
        )
        before = now
    return packed


def unpack(variables: Sequence[Mapping[str, Any]], packed: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The steps that ``pack`` was given (numbers that are not finite come back as "nan", "inf", "-inf")."""
    steps: list[dict[str, Any]] = []
    for differences in packed:
        step = dict(differences) if not steps else dict(steps[-1])
        for variable in variables if steps else ():
            name, shape = variable["name"], variable["shape"]
            if name in differences:
                step[name] = differences[name][0] if shape == "one" else _patched(shape, step[name], differences[name])
        steps.append(step)
    return steps


def _difference(shape: str, before: Any, now: Any) -> list | None:
    if shape == "one":
        return None if before == now else [now]  # in a list, because None is a value too: a hidden one
    old, new = (_flat(before), _flat(now)) if shape == "grid" else (before, now)
    return [part for k, (a, b) in enumerate(zip(old, new, strict=True)) if a != b for part in (k, b)] or None


def _patched(shape: str, before: list, pairs: list) -> list:
    flat = _flat(before) if shape == "grid" else list(before)
    for k in range(0, len(pairs), 2):
        flat[pairs[k]] = pairs[k + 1]
    width = len(before[0]) if shape == "grid" and before else 1
    return [flat[k : k + width] for k in range(0, len(flat), width)] if shape == "grid" else flat


def _flat(grid: list) -> list:
    return [value for row in grid for value in row]


def _checked(story: Mapping[str, Any]) -> dict[str, Any]:
    for key in REQUIRED:
        if key not in story:
            raise BadInput(f"story {key}: missing; a story needs {', '.join(REQUIRED)}")
    for key in story:
        if key not in (*REQUIRED, *DEFAULTS, "headings"):
            raise unknown("story", key, (*REQUIRED, *DEFAULTS, "headings"), "a part of a story")
    whole = {**DEFAULTS, **story, "headings": {**HEADINGS, **story.get("headings", {})}}
    for part in ("variables", "given", "returned"):
        for variable in whole[part]:
            for key, allowed in (("shape", SHAPES), ("kind", KINDS)):
                if variable.get(key) not in allowed:
                    raise unknown(
                        f"story {part} {brief(variable.get('name'))} {key}", variable.get(key), allowed, f"a {key}"
                    )
    for k, step in enumerate(whole["steps"]):
        if missing := [v["name"] for v in whole["variables"] if v["name"] not in step]:
            raise BadInput(
                f"story steps: step {k} has no value for {brief(missing[0])}; give every variable at every step, None where it is hidden"
            )
    known = [v["name"] for part in ("variables", "given") for v in whole[part]]
    for picture in whole["pictures"]:
        if picture.get("type") not in PICTURES:
            raise unknown("story pictures type", picture.get("type"), PICTURES, "a type of picture")
        for part in NAMING:
            for name in _names(picture.get(part)):
                if name not in known:
                    raise unknown(f"story pictures {part}", name, known, "a variable or a given value")
    return whole


def _names(part: Any) -> list[str]:
    """The names in a part of a picture: none, one, a list of them, or a list of pairs."""
    return (
        [name for item in part for name in _names(item)]
        if isinstance(part, list | tuple)
        else [part]
        if part is not None
        else []
    )
