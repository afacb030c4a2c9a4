"""One self-contained HTML page that steps through something: its inputs, quantities that change from step to step, its
outputs.

A ``Story`` may show a trace of an algorithm, an agent's episode, the layers of a network. There are ``nodes`` with
labels, and every quantity has a shape: "one" (a single value), "row" (one a node) or "grid" (one a pair of nodes); and
a kind: "number", "flag" (0 or 1), "class" (a number into ``words``) or "node" (an index into ``nodes``: a label at that
node, or in a row a pointer). None is a hidden value.

``pictures`` says what is drawn, largest first. Their parts name quantities:

    GraphPicture        nodes on a circle over the edges
    RowPicture          bars and cells side by side
    IntervalsPicture    a bar from start to end for each node
    PlanePicture        points in the plane
    GridPicture         a heat map
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, get_args

from outrange.core.errors import BadInput, brief, unknown
from outrange.report.page import finite_json, render, script_json

Shape = Literal["one", "row", "grid"]
Kind = Literal["number", "flag", "class", "node"]


@dataclass(frozen=True, kw_only=True)
class Variable:
    """A quantity that changes from step to step."""

    name: str
    shape: Shape
    kind: Kind
    integer: bool = False
    """whether numbers are written without decimals"""
    words: Sequence[str] = ()
    """of a class: what each number stands for"""
    colors: Sequence[str] = ()
    """of a class: the colour of each number, as CSS writes it; the page's own if empty"""
    meaning: str = ""
    """what it is, in a few words"""

    def __post_init__(self) -> None:
        for field_name, allowed in (("shape", get_args(Shape)), ("kind", get_args(Kind))):
            value = getattr(self, field_name)
            if value not in allowed:
                raise unknown(f"variable {brief(self.name)}: {field_name}", value, allowed, f"a {field_name}")


@dataclass(frozen=True, kw_only=True)
class Fixed(Variable):
    """A quantity that does not change: an input or an output."""

    value: Any


@dataclass(frozen=True, kw_only=True)
class Edges:
    """The edges of a graph."""

    directed: bool
    weighted: bool
    triples: Sequence[tuple[int, int, float]]
    """(from, to, weight), nodes by their index"""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """What a picture of nodes may show of them; each part names quantities."""

    type: ClassVar[str]
    not_names: ClassVar[tuple[str, ...]] = ()
    """parts that hold something else than names of quantities"""

    arrows: Sequence[str] = ()
    """rows of pointers"""
    fill: str | None = None
    """a row of classes or flags: the colour of a node"""
    rings: Sequence[str] = ()
    """rows of flags"""
    badges: Sequence[str] = ()
    """single nodes: a label at that node"""

    def names(self) -> list[tuple[str, str]]:
        """(part, name of a quantity) for every name in the picture."""
        pairs: list[tuple[str, str]] = []
        for part in fields(self):
            if part.name not in self.not_names:
                pairs += [(part.name, name) for name in _flat_names(getattr(self, part.name))]
        return pairs


@dataclass(frozen=True, kw_only=True)
class GraphPicture(Picture):
    """Nodes on a circle over the edges."""

    type: ClassVar[str] = "graph"
    marks: Sequence[str] = ()
    """grids of flags: edges drawn thick"""
    small: str | None = None
    """a row of numbers, written in the nodes"""


@dataclass(frozen=True, kw_only=True)
class RowPicture(Picture):
    """Bars and cells side by side."""

    type: ClassVar[str] = "row"
    lanes: Sequence[str] = ()
    """rows, one below the other: bars for numbers, cells for classes"""
    order: str | None = None
    """a row of pointers that form one chain: the order of the nodes"""
    line: str | None = None
    """a single number, drawn across the bars"""
    split: str | None = None
    """a row of flags that tells two parts apart, drawn below each other"""
    align: Sequence[str] | None = None
    """two single nodes that stand below each other, one of each part"""
    spans: Sequence[Sequence[str]] = ()
    """pairs of single nodes: the places between them are shaded"""


@dataclass(frozen=True, kw_only=True)
class IntervalsPicture(Picture):
    """A bar from start to end for each node."""

    type: ClassVar[str] = "intervals"
    start: str
    end: str


@dataclass(frozen=True, kw_only=True)
class PlanePicture(Picture):
    """Points in the plane."""

    type: ClassVar[str] = "plane"
    not_names: ClassVar[tuple[str, ...]] = ("segments",)
    x: str
    y: str
    hull: str | None = None
    """a row of flags: the area that those points span"""
    links: Sequence[Sequence[str]] = ()
    """pairs of single nodes, joined by a line"""
    segments: Sequence[Sequence[int]] = ()
    """pairs of indices of nodes, joined by a line"""


@dataclass(frozen=True, kw_only=True)
class GridPicture:
    """A heat map."""

    type: ClassVar[str] = "grid"
    name: str
    """the grid"""
    rows: Sequence[int]
    """indices of the nodes whose rows are drawn"""
    columns: Sequence[int]
    badges: Sequence[str] = ()
    """single nodes: a label at that row and column"""
    head: str | None = None
    """a row of classes, written at the heads of rows and columns"""
    corner: str | None = None
    """a grid of classes, whose words stand in the corners of the cells"""

    def names(self) -> list[tuple[str, str]]:
        """(part, name of a quantity) for every name in the picture."""
        parts = ("name", "badges", "head", "corner")
        return [(part, name) for part in parts for name in _flat_names(getattr(self, part))]


@dataclass(frozen=True, kw_only=True)
class Headings:
    """What the three lists of quantities are called."""

    inputs: str = "Given"
    variables: str = "At this step"
    outputs: str = "Returned"


@dataclass(frozen=True, kw_only=True)
class Story:
    """All that a page shows.

    Raises:
        BadInput: a step lacks a variable, or a picture names a quantity that there is not.
    """

    title: str
    nodes: Sequence[str]
    """a label for each node"""
    variables: Sequence[Variable]
    steps: Sequence[Mapping[str, Any]]
    """for each step, the value of every variable by its name"""
    subtitle: str = ""
    notes: Sequence[str] = ()
    """sentences under the picture"""
    edges: Edges | None = None
    inputs: Sequence[Fixed] = ()
    outputs: Sequence[Fixed] = ()
    headings: Headings = Headings()
    pictures: Sequence[Picture | GridPicture] = ()
    """the largest first"""

    def __post_init__(self) -> None:
        for number, step in enumerate(self.steps):
            missing = [variable.name for variable in self.variables if variable.name not in step]
            if missing:
                raise BadInput(
                    f"story.steps: step {number} has no value for {brief(missing[0])}; "
                    "give every variable at every step, None where it is hidden"
                )
        known = [quantity.name for quantity in (*self.variables, *self.inputs)]
        for picture in self.pictures:
            for part, name in picture.names():
                if name not in known:
                    raise unknown(f"story.pictures: {part}", name, known, "a variable or an input")


def _flat_names(part: Any) -> list[str]:
    """The names in a part of a picture: none, one, a list of them, or a list of pairs."""
    if part is None:
        return []
    if isinstance(part, str):
        return [part]
    return [name for item in part for name in _flat_names(item)]


# ---------- from story to page ----------


def page(story: Story) -> str:
    """The page of a story, as HTML. Numbers that are not finite are shown as such."""
    # the keys are those that the page's script reads
    data = {
        "title": story.title,
        "subtitle": story.subtitle,
        "notes": story.notes,
        "nodes": story.nodes,
        "edges": _packed_edges(story.edges),
        "variables": [_packed(variable) for variable in story.variables],
        "steps": pack(story.variables, story.steps),
        "given": [_packed(quantity) | {"value": quantity.value} for quantity in story.inputs],
        "returned": [_packed(quantity) | {"value": quantity.value} for quantity in story.outputs],
        "headings": {
            "given": story.headings.inputs,
            "variables": story.headings.variables,
            "returned": story.headings.outputs,
        },
        "pictures": [_packed(picture) | {"type": picture.type} for picture in story.pictures],
    }
    return render(
        "stepper.html.j2",
        title=story.title,
        subtitle=story.subtitle,
        notes=story.notes,
        story=script_json(data),
    )


def _packed(part: Variable | Picture | GridPicture) -> dict[str, Any]:
    """The fields of a part that say something."""
    values = {field.name: getattr(part, field.name) for field in fields(part)}
    return {name: value for name, value in values.items() if value not in (None, "", (), [])}


def _packed_edges(edges: Edges | None) -> dict[str, Any] | None:
    if edges is None:
        return None
    return {"directed": edges.directed, "weighted": edges.weighted, "list": edges.triples}


def pack(variables: Sequence[Variable], steps: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Steps as differences: the first whole, then only what differs from the step before.

    A changed row or grid is a flat list [index, value, index, value, …], a grid counted row by row. This is what keeps
    a page of a hundred steps small, and it tells the page what to mark as changed.
    """
    packed: list[dict[str, Any]] = []
    previous: dict[str, Any] = {}
    for step in steps:
        # as JSON has it, so that two NaN are equal and make no change
        current = {variable.name: finite_json(step[variable.name]) for variable in variables}
        if not packed:
            packed.append(current)
        else:
            differences: dict[str, Any] = {}
            for variable in variables:
                change = _difference(variable.shape, previous[variable.name], current[variable.name])
                if change is not None:
                    differences[variable.name] = change
            packed.append(differences)
        previous = current
    return packed


def unpack(variables: Sequence[Variable], packed: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The steps that ``pack`` made ``packed`` of (numbers that are not finite come back as "nan", "inf", "-inf")."""
    steps: list[dict[str, Any]] = []
    for differences in packed:
        if not steps:
            steps.append(dict(differences))
            continue
        step = dict(steps[-1])
        for variable in variables:
            name = variable.name
            if name in differences:
                change = differences[name]
                step[name] = change[0] if variable.shape == "one" else _patched(variable.shape, step[name], change)
        steps.append(step)
    return steps


def _difference(shape: Shape, previous: Any, current: Any) -> list | None:
    """What changed; None where nothing did."""
    if shape == "one":
        return None if previous == current else [current]  # in a list, because None is a value too: a hidden one
    if shape == "grid":
        previous, current = _flat(previous), _flat(current)
    pairs = zip(previous, current, strict=True)
    changes = [part for index, (old, new) in enumerate(pairs) if old != new for part in (index, new)]
    return changes or None


def _patched(shape: Shape, previous: list, changes: list) -> list:
    """A row or grid with [index, value, …] put into it."""
    flat = _flat(previous) if shape == "grid" else list(previous)
    for k in range(0, len(changes), 2):
        flat[changes[k]] = changes[k + 1]
    if shape == "row":
        return flat
    width = len(previous[0]) if previous else 1  # an empty grid has no rows to measure
    return [flat[start : start + width] for start in range(0, len(flat), width)]


def _flat(grid: list) -> list:
    return [value for row in grid for value in row]
