"""A trace as one HTML page: which picture its structure gets, what is marked in it, and what the legend says.

The page itself is outrange/report/stepper.py. Everything is derived from the spec. Where a picture needs more than the
type of a probe, its name decides, so that an algorithm of one's own gets the same picture by using the names of the
thirty:

    x, y            inputs: points in the plane          s, f / start, end   inputs: intervals
    string          a mask that tells two strings laid end to end apart
    <output>_h      a hint that becomes that output: its pointers, mask or edges are drawn first
    low … high, p … r, best_low … best_high              pairs of nodes: the places between them are shaded

An edge scalar or edge mask among the inputs makes the nodes a graph. Otherwise they are an array; a pointer chain that
changes gives its order.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from outrange.reasoning.clrs.show import COLORS, Quantity, quantities
from outrange.reasoning.clrs.traces import Trace
from outrange.report import stepper
from outrange.report.stepper import GridPicture, IntervalsPicture, Picture, PlanePicture, RowPicture

INTERVALS = (("s", "f"), ("start", "end"), ("start", "finish"))
"""names of inputs that are the two ends of intervals"""
_CSS_COLORS = ("#ffffff", "#9aa3ab", "#08090a")
"""how the classes white, grey and black of the depth-first searches are drawn"""


@dataclass(frozen=True)
class _Parts:
    """What a trace has to draw."""

    trace: Trace
    inputs: list[Quantity]
    hints: list[Quantity]

    @property
    def outputs_in_progress(self) -> list[str]:
        """Names that hints have while they become an output."""
        return [f"{name}_h" for name in self.trace.spec.outputs]

    def hints_by_rank(self) -> list[Quantity]:
        """Hints, those first that become an output."""
        return sorted(self.hints, key=lambda q: q.name not in self.outputs_in_progress)

    def numbers(self) -> list[str]:
        """Rows of numbers among the inputs."""
        return [name for name in _names(self.inputs, "number") if name != "pos"]


def page(trace: Trace, command: str = "") -> str:
    """One self-contained HTML page that steps through a trace; ``command`` is the one that wrote it, which it then says.

    It needs no network, is light or dark, follows keyboard and slider, and opens at a step with ``#step=7`` in its
    address.
    """
    page_story = story(trace)
    if command:
        page_story = replace(page_story, notes=[*page_story.notes, f"Command: {command}"])
    return stepper.page(page_story)


def story(trace: Trace) -> stepper.Story:
    """What ``page`` shows."""
    inputs, hints, outputs = (quantities(trace, stage) for stage in ("input", "hint", "output"))
    edges, notes = _edges(trace)
    for q in hints:
        if edges is None and _is_places(q):
            notes.append(f"{q.name} only keeps the order of the places, so it is not drawn.")
    span = f"{trace.length} steps, 0 to {trace.length - 1}" if trace.length else "no steps"
    return stepper.Story(
        title=trace.name,
        subtitle=f"{trace.spec.category} · {trace.size} nodes · {span}",
        notes=notes,
        nodes=[str(k) for k in range(trace.size)],
        edges=edges,
        variables=[stepper.Variable(**_description(trace, q)) for q in hints],
        steps=[{q.name: q.plain(q.values[step]) for q in hints} for step in range(trace.length)],
        inputs=[stepper.Fixed(**_description(trace, q), value=q.plain(q.values)) for q in inputs],
        outputs=[stepper.Fixed(**_description(trace, q), value=q.plain(q.values)) for q in outputs],
        headings=stepper.Headings(inputs="Inputs", variables="Hints at this step", outputs="Outputs"),
        pictures=_pictures(_Parts(trace, inputs, hints), edges),
    )


def _description(trace: Trace, q: Quantity) -> dict[str, Any]:
    """The fields of a ``stepper.Variable``."""
    return {
        "name": q.name,
        "shape": q.shape,
        "kind": q.kind,
        "integer": q.integer,
        "words": list(q.words),
        "colors": list(_CSS_COLORS) if q.words == COLORS else [],
        "meaning": _meaning(trace, q.name),
    }


# ---------- what the structure of a trace is ----------


def _edges(trace: Trace) -> tuple[stepper.Edges | None, list[str]]:
    """The edges of the first matrix among the inputs, and what the picture leaves out of them."""
    probes = trace.spec.inputs.items()
    matrices = [name for name, probe in probes if probe.location == "edge" and probe.type in ("scalar", "mask")]
    if not matrices:
        return None, []
    # adj only says where another matrix is not 0
    matrix_name = next((name for name in matrices if name != "adj"), "adj")
    A = np.asarray(trace.recorded(matrix_name))
    directed = not np.array_equal(A, A.T)
    triples = []
    for u, v in np.argwhere(A != 0).tolist():
        if u != v and (directed or u < v):
            triples.append((u, v, A[u, v].item()))
    loops = np.flatnonzero(np.diagonal(A)).tolist()
    notes = [f"Self loops are not drawn; they are at {', '.join(map(str, loops))}."] if loops else []
    weighted = any(weight != 1 for _, _, weight in triples)
    return stepper.Edges(directed=directed, weighted=weighted, triples=triples), notes


def _is_places(q: Quantity) -> bool:
    """Pointers that never change and link each place to the one before it: they say nothing that the picture does
    not."""
    return q.is_pointers and q.is_constant and all(p in (k - 1, k) for k, p in enumerate(q.values[0].tolist()))


def _is_order(q: Quantity) -> bool:
    """Pointers that at every step form one chain through all nodes."""
    return q.is_pointers and not q.is_constant and all(_is_chain(row) for row in q.values.tolist())


def _is_chain(pointers: list[int]) -> bool:
    """Whether walking from the node that points to itself, against the pointers, passes all nodes."""
    followers = {p: k for k, p in enumerate(pointers) if p != k}
    node = next((k for k, p in enumerate(pointers) if p == k), None)
    length = 0
    while node is not None and length <= len(pointers):
        node, length = followers.get(node), length + 1
    return length == len(pointers)


def _names(among: Sequence[Quantity], kind: str, shape: str = "row") -> list[str]:
    return [q.name for q in among if (q.kind, q.shape) == (kind, shape) and not _is_places(q)]


def _pairs(hints: Sequence[Quantity], *candidates: tuple[str, str]) -> list[list[str]]:
    """Those of the pairs whose names are both single nodes among the hints."""
    nodes = _names(hints, "node", "one")
    return [list(pair) for pair in candidates if set(pair) <= set(nodes)]


# ---------- pictures ----------


def _pictures(parts: _Parts, edges: stepper.Edges | None) -> list[Picture | GridPicture]:
    """The structure of the algorithm, and a heat map for every grid that it does not show; grids of numbers come first,
    as they are then the point."""
    main, marks = _main_picture(parts, edges)
    grids = [q for q in parts.hints if q.shape == "grid" and q.name not in marks]
    if not grids:
        return [main]
    drawn, letters = _grids(grids, parts)
    if letters and isinstance(main, RowPicture):
        return list(drawn)  # the letters stand at the heads of the grid
    if any(q.kind == "number" for q in grids):
        return [drawn[0], main, *drawn[1:]]
    return [main, *drawn]


def _main_picture(parts: _Parts, edges: stepper.Edges | None) -> tuple[Picture, list[str]]:
    """The picture of the nodes, and the grids that it shows as thick edges."""
    common, numbers = _common(parts), parts.numbers()
    if {"x", "y"} <= set(numbers):
        return _plane(parts, common), []
    if edges is not None:
        flag_grids = _names(parts.hints_by_rank(), "flag", "grid")
        marks = [name for name in flag_grids if name in parts.outputs_in_progress]
        small = next(iter(_names(parts.hints, "number")), None)
        return stepper.GraphPicture(**common, marks=marks, small=small), marks
    values = {q.name: q.values for q in parts.inputs}
    for start, end in INTERVALS:
        if {start, end} <= set(numbers) and (values[start] <= values[end]).all():
            return IntervalsPicture(**common, start=start, end=end), []
    return _row(parts, common), []


def _common(parts: _Parts) -> dict[str, Any]:
    """What every picture of nodes may show of them; the page has room for three layers of arrows and two of rings."""
    hints = parts.hints_by_rank()
    classes, flags = _names(hints, "class"), _names(hints, "flag")
    fill, *others = [*classes, *flags] or [None]
    return {
        "arrows": _names(hints, "node")[:3],
        "fill": fill,
        "rings": [name for name in others if name in flags][:2],
        "badges": _names(parts.hints, "node", "one") + _names(parts.inputs, "node", "one"),
    }


def _plane(parts: _Parts, common: dict[str, Any]) -> PlanePicture:
    hints = parts.hints_by_rank()
    # where segments are tested for a crossing, points 2k and 2k + 1 are the ends of one
    has_segments = any("intersect" in name for name in parts.trace.spec.outputs)
    segments = [[k, k + 1] for k in range(0, parts.trace.size - 1, 2)] if has_segments else []
    candidates = (("last_point", "endpoint"), ("last_point", "i"), ("last_stack", "i"), ("i", "j"))
    hull = next((name for name in _names(hints, "flag") if "hull" in name), None)
    return PlanePicture(**common, x="x", y="y", hull=hull, links=_pairs(hints, *candidates), segments=segments)


def _row(parts: _Parts, common: dict[str, Any]) -> RowPicture:
    inputs, hints, numbers = parts.inputs, parts.hints, parts.numbers()
    lanes = (numbers + _names(inputs, "class") + _names(hints, "number"))[:3]
    order = next((q.name for q in hints if _is_order(q)), None)
    split = next((q.name for q in inputs if q.name == "string" and q.kind == "flag" and _is_split(q.values)), None)
    spans = _pairs(hints, ("best_low", "best_high"), ("low", "high"), ("p", "r"))
    if ["best_low", "best_high"] in spans:  # beside the best run, the present one
        spans += _pairs(hints, ("i", "j"))
    common = common | {"arrows": [name for name in common["arrows"] if name != order]}
    return RowPicture(
        **common,
        lanes=lanes,
        order=None if split else order,
        # a single number is a threshold only where the numbers are the bars
        line=next(iter(_names(inputs, "number", "one")), None) if lanes == numbers[:1] else None,
        split=split,
        align=["i", "j"] if split and {"i", "j"} <= set(common["badges"]) else None,
        spans=spans[:2],
    )


def _grids(grids: list[Quantity], parts: _Parts) -> tuple[list[GridPicture], str | None]:
    """The heat maps, and the letters at their heads. Classes whose words are single signs stand in the corners of the
    first grid of numbers."""
    grids = sorted(grids, key=lambda q: q.kind != "number")
    has_numbers = grids[0].kind == "number"
    letters = next(iter(_names(parts.inputs, "class")), None)
    signs = next((q.name for q in grids if q.words and has_numbers), None)
    rows, columns = _used(grids)
    badges = _names(parts.hints, "node", "one") if has_numbers else []
    drawn = []
    for q in grids:
        if q.name != signs:
            corner = signs if q is grids[0] else None
            drawn.append(
                GridPicture(name=q.name, rows=rows, columns=columns, badges=badges, head=letters, corner=corner)
            )
    return drawn, letters


def _is_split(mask: np.ndarray) -> bool:
    """Whether a mask is 0 at the beginning and 1 from some place on."""
    return bool((np.diff(mask) >= 0).all() and mask[0] == 0 and mask[-1] == 1)


def _used(grids: list[Quantity]) -> tuple[list[int], list[int]]:
    """The rows and columns of the grids in which anything ever stands."""
    used = np.zeros(grids[0].values.shape[1:], bool)
    for q in grids:
        used |= ((q.values >= 0) if q.kind == "class" else (q.values != 0)).any(axis=0)
    rows, columns = np.flatnonzero(used.any(axis=1)).tolist(), np.flatnonzero(used.any(axis=0)).tolist()
    everything = list(range(len(used)))
    return rows or everything, columns or everything


# ---------- words ----------

_MEANINGS: dict[str, dict[str, str]] = {
    "graphs": {
        "s": "where the search started",
        "u": "node being worked on",
        "v": "neighbour being looked at",
        "s_last": "top of the stack",
        "s_prev": "the node below it on the stack",
        "pi_h": "parent found so far",
        "reach_h": "reached so far",
        "msk": "known so far",
        "mark": "settled",
        "in_queue": "waiting in the queue",
        "d": "distance so far",
        "key": "weight of its lightest edge to the tree",
        "in_mst_h": "edges taken into the tree",
        "is_cut_h": "cut nodes found",
        "is_bridge_h": "bridges found",
        "topo_h": "next in the order",
        "topo_head_h": "first in the order so far",
        "scc_id_h": "component found",
        "A_t": "the graph with its edges turned round",
        "k": "node newly allowed on the way",
        "D": "distance so far",
        "Pi_h": "the node before the end of the way",
        "pi": "parent in the forest of joined trees",
        "root_u": "climbing from u",
        "root_v": "climbing from v",
        "mask_u": "passed on the climb from u",
        "mask_v": "passed on the climb from v",
    },
    "depth first": {
        "s": "root of the present tree",
        "d": "time of discovery",
        "f": "time of finishing",
        "low": "earliest discovery that can be reached back to",
        "child_cnt": "hundredths of its children",
    },
    "sorting": {
        "i": "left hand of the comparison",
        "j": "right hand of the comparison",
        "p": "start of the segment",
        "r": "end of the segment, the pivot",
        "parent": "the one above it in the heap",
        "largest": "largest of the family",
        "heap_size": "last element of the heap",
    },
    "insertion_sort": {
        "i": "element that made room",
        "j": "element being inserted",
    },
    "bubble_sort": {
        "i": "place being filled",
        "j": "the later of the two compared",
    },
    "heapsort": {
        "i": "element standing where the sift began",
        "j": "element standing where the sift is",
    },
    "quicksort": {
        "i": "first of the larger ones so far",
        "j": "element being compared",
    },
    "searching": {
        "i": "element being looked at",
        "j": "element being compared",
        "min_h": "smallest so far",
        "low": "start of what is left",
        "high": "end of what is left",
        "mid": "middle of what is left",
        "p": "start of the segment",
        "r": "end of the segment",
        "pivot": "the pivot",
        "target": "value looked for",
    },
    "divide and conquer": {
        "best_low": "start of the best run",
        "best_high": "end of the best run",
        "i": "start of the present run",
        "j": "end of the present run",
    },
    "greedy": {
        "m": "activity being looked at",
        "k": "last one taken",
        "i": "task being looked at",
        "selected_h": "taken",
    },
    "dynamic programming": {
        "m": "cost found so far",
        "s_h": "where to split",
        "msk": "known so far",
        "c": "length found so far",
        "b_h": "where the length comes from",
        "root_h": "best root so far",
        "e": "expected cost",
        "w": "probability of the range",
    },
    "strings": {
        "s": "shift of the needle",
        "i": "letter of the haystack",
        "j": "letter of the needle",
        "pi": "failure link",
        "is_reset": "link to nothing",
        "k": "state while links are built",
        "q": "state while matching",
    },
    "geometry": {
        "best": "lowest point",
        "in_hull_h": "on the hull so far",
        "stack_prev": "the point below it on the stack",
        "last_stack": "top of the stack",
        "i": "point being looked at",
        "last_point": "last point of the hull",
        "endpoint": "best next point so far",
        "atans": "angle at the lowest point",
    },
    "segments_intersect": {
        "i": "end of the segment",
        "j": "its other end",
        "k": "point being tested",
        "on_seg": "in the box of the other segment",
        "dir": "side of the other segment",
    },
}
"""What hints and inputs of the thirty algorithms mean: by algorithm, by what several share, or by category; then by
name."""


def _meaning(trace: Trace, name: str) -> str:
    """What a hint of the thirty means, in a few words; empty when it is not known."""
    groups = [trace.name]
    if {"color", "f"} <= set(trace.spec.hints):
        groups.append("depth first")
    groups.append(trace.spec.category)
    return next((_MEANINGS[group][name] for group in groups if name in _MEANINGS.get(group, {})), "")
