"""A trace as one HTML page: which picture its structure gets, what is marked in it, and what the legend says. The page itself is outrange/report/stepper.py.

Everything is derived from the spec. Where a picture needs more than the type of a probe, its name decides, so an algorithm of one's own gets the same picture
by using the names of the thirty:

    x, y            inputs: points in the plane          s, f / start, end   inputs: intervals
    string          a mask that tells two strings laid end to end apart
    <output>_h      a hint that becomes that output: its pointers, mask or edges are drawn first
    low … high, p … r, best_low … best_high              pairs of nodes: the places between them are shaded

An edge scalar or edge mask among the inputs makes the nodes a graph. Otherwise they are an array; a pointer chain that changes gives its order.
"""

from typing import Any

import numpy as np

from outrange.reasoning.clrs.show import COLORS, Quantity, quantities
from outrange.reasoning.clrs.trace import Trace
from outrange.report import stepper

INTERVALS = (("s", "f"), ("start", "end"), ("start", "finish"))


def page(trace: Trace) -> str:
    """One self-contained HTML page that steps through a trace: no network, light and dark, keyboard and slider, ``#step=7`` in its address."""
    return stepper.page(story(trace))


def story(trace: Trace) -> dict[str, Any]:
    """What ``page`` shows, as plain data (its form is documented in outrange/report/stepper.py)."""
    inputs, hints, outputs = (quantities(trace, stage) for stage in ("input", "hint", "output"))
    edges, notes = _edges(trace)
    notes += [
        f"{q.name} only keeps the order of the places, so it is not drawn."
        for q in hints
        if edges is None and _is_places(q)
    ]
    span = f"{trace.length} steps, 0 to {trace.length - 1}" if trace.length else "no steps"
    return {
        "title": trace.name,
        "subtitle": f"{trace.spec.category} · {trace.size} nodes · {span}",
        "notes": notes,
        "nodes": [str(k) for k in range(trace.size)],
        "edges": edges,
        "variables": [_variable(trace, q) for q in hints],
        "steps": [{q.name: q.plain(q.values[step]) for q in hints} for step in range(trace.length)],
        "given": [{**_variable(trace, q), "value": q.plain(q.values)} for q in inputs],
        "returned": [{**_variable(trace, q), "value": q.plain(q.values)} for q in outputs],
        "headings": {"given": "Inputs", "variables": "Hints at this step", "returned": "Outputs"},
        "pictures": _pictures(trace, inputs, hints, edges),
    }


def _variable(trace: Trace, q: Quantity) -> dict[str, Any]:
    colors = {"colors": ["#ffffff", "#9aa3ab", "#08090a"]} if q.words == COLORS else {}
    return {
        "name": q.name,
        "shape": q.shape,
        "kind": q.kind,
        "integer": q.integer,
        "words": list(q.words),
        "meaning": _meaning(trace, q.name),
        **colors,
    }


def _edges(trace: Trace) -> tuple[dict[str, Any] | None, list[str]]:
    """The edges of the first matrix among the inputs, and what the picture leaves out of them."""
    matrices = [n for n, p in trace.spec.inputs.items() if p.location == "edge" and p.type in ("scalar", "mask")]
    if not matrices:
        return None, []
    A = np.asarray(trace.recorded(next((n for n in matrices if n != "adj"), "adj")))
    directed = not np.array_equal(A, A.T)
    listed = [[u, v, A[u, v].item()] for u, v in np.argwhere(A != 0).tolist() if u != v and (directed or u < v)]
    loops = np.flatnonzero(np.diagonal(A)).tolist()
    notes = [f"Self loops are not drawn; they are at {', '.join(map(str, loops))}."] if loops else []
    return {"directed": directed, "weighted": any(weight != 1 for _, _, weight in listed), "list": listed}, notes


def _is_places(q: Quantity) -> bool:
    """Pointers that never change and link each place to the one before it: they say nothing that the picture does not."""
    return q.pointers and q.constant and all(p in (k - 1, k) for k, p in enumerate(q.values[0].tolist()))


def _is_order(q: Quantity) -> bool:
    """Pointers that at every step form one chain through all nodes."""
    return q.pointers and not q.constant and all(_is_chain(row) for row in q.values.tolist())


def _is_chain(pointers: list[int]) -> bool:
    after = {p: k for k, p in enumerate(pointers) if p != k}
    node, length = next((k for k, p in enumerate(pointers) if p == k), None), 0
    while node is not None and length <= len(pointers):
        node, length = after.get(node), length + 1
    return length == len(pointers)


def _names(among: list[Quantity], kind: str, shape: str = "row") -> list[str]:
    return [q.name for q in among if (q.kind, q.shape) == (kind, shape) and not _is_places(q)]


def _pairs(hints: list[Quantity], *candidates: tuple[str, str]) -> list[list[str]]:
    nodes = _names(hints, "node", "one")
    return [list(pair) for pair in candidates if set(pair) <= set(nodes)]


def _pictures(
    trace: Trace, inputs: list[Quantity], hints: list[Quantity], edges: dict[str, Any] | None
) -> list[dict[str, Any]]:
    """The structure of the algorithm, and a heat map for every grid that it does not show; grids of numbers come first, as they are then the point."""
    becoming = [f"{name}_h" for name in trace.spec.outputs]
    ranked = sorted(hints, key=lambda q: q.name not in becoming)
    flags, kinds = _names(ranked, "class") + _names(ranked, "flag"), {q.name: q.kind for q in hints}
    main: dict[str, Any] = {
        "arrows": _names(ranked, "node")[:3],
        "fill": flags[0] if flags else None,
        "rings": [n for n in flags[1:] if kinds[n] == "flag"][:2],
        "badges": _names(hints, "node", "one") + _names(inputs, "node", "one"),
    }
    numbers, values = [n for n in _names(inputs, "number") if n != "pos"], {q.name: q.values for q in inputs}
    intervals = [pair for pair in INTERVALS if set(pair) <= set(numbers) and (values[pair[0]] <= values[pair[1]]).all()]
    marks: list[str] = []
    if {"x", "y"} <= set(numbers):
        main |= _plane(trace, ranked)
    elif edges is not None:
        marks = [n for n in _names(ranked, "flag", "grid") if n in becoming]
        main |= {"type": "graph", "marks": marks, "small": next(iter(_names(hints, "number")), None)}
    elif intervals:
        main |= {"type": "intervals", "start": intervals[0][0], "end": intervals[0][1]}
    else:
        main |= _row(inputs, hints, numbers, main)
    grids = [q for q in hints if q.shape == "grid" and q.name not in marks]
    if not grids:
        return [main]
    drawn, letters = _grids(grids, inputs, hints)
    if letters and main["type"] == "row":
        return drawn  # the letters stand at the heads of the grid
    return [drawn[0], main, *drawn[1:]] if "number" in {q.kind for q in grids} else [main, *drawn]


def _plane(trace: Trace, hints: list[Quantity]) -> dict[str, Any]:
    paired = any("intersect" in name for name in trace.spec.outputs)
    links = _pairs(hints, ("last_point", "endpoint"), ("last_point", "i"), ("last_stack", "i"), ("i", "j"))
    hull = next((n for n in _names(hints, "flag") if "hull" in n), None)
    return {
        "type": "plane",
        "x": "x",
        "y": "y",
        "hull": hull,
        "links": links,
        "segments": [[k, k + 1] for k in range(0, trace.size - 1, 2)] if paired else [],
    }


def _row(inputs: list[Quantity], hints: list[Quantity], numbers: list[str], parts: dict[str, Any]) -> dict[str, Any]:
    lanes = (numbers + _names(inputs, "class") + _names(hints, "number"))[:3]
    order = next((q.name for q in hints if _is_order(q)), None)
    split = next((q.name for q in inputs if q.name == "string" and q.kind == "flag" and _is_split(q.values)), None)
    spans = _pairs(hints, ("best_low", "best_high"), ("low", "high"), ("p", "r"))
    return {
        "type": "row",
        "lanes": lanes,
        "order": None if split else order,
        "line": next(iter(_names(inputs, "number", "one")), None) if lanes == numbers[:1] else None,
        "split": split,
        "align": ["i", "j"] if split and {"i", "j"} <= set(parts["badges"]) else None,
        "spans": (spans + (_pairs(hints, ("i", "j")) if ["best_low", "best_high"] in spans else []))[:2],
        "arrows": [name for name in parts["arrows"] if name != order],
    }


def _grids(
    grids: list[Quantity], inputs: list[Quantity], hints: list[Quantity]
) -> tuple[list[dict[str, Any]], str | None]:
    """The heat maps, and the letters at their heads. Classes that have words of one sign stand in the corners of the first grid of numbers."""
    grids = sorted(grids, key=lambda q: q.kind != "number")
    numeric, letters = grids[0].kind == "number", next(iter(_names(inputs, "class")), None)
    signs = next((q.name for q in grids if q.words and numeric), None)
    rows, columns = _used(grids)
    common = {
        "type": "grid",
        "rows": rows,
        "columns": columns,
        "badges": _names(hints, "node", "one") if numeric else [],
        "head": letters,
    }
    return [
        {**common, "name": q.name, "corner": signs if q is grids[0] else None} for q in grids if q.name != signs
    ], letters


def _is_split(mask: np.ndarray) -> bool:
    return bool((np.diff(mask) >= 0).all() and mask[0] == 0 and mask[-1] == 1)


def _used(grids: list[Quantity]) -> tuple[list[int], list[int]]:
    """The rows and columns of the grids in which anything ever stands."""
    used = np.zeros(grids[0].values.shape[1:], bool)
    for q in grids:
        used |= ((q.values >= 0) if q.kind == "class" else (q.values != 0)).any(0)
    rows, columns = np.flatnonzero(used.any(1)).tolist(), np.flatnonzero(used.any(0)).tolist()
    everything = list(range(len(used)))
    return rows or everything, columns or everything


_MEANINGS = {
    "graphs": "s where the search started; u node being worked on; v neighbour being looked at; s_last top of the stack; s_prev the node below it on the stack"
    "; pi_h parent found so far; reach_h reached so far; msk known so far; mark settled; in_queue waiting in the queue; d distance so far"
    "; key weight of its lightest edge to the tree; in_mst_h edges taken into the tree; is_cut_h cut nodes found; is_bridge_h bridges found"
    "; topo_h next in the order; topo_head_h first in the order so far; scc_id_h component found; A_t the graph with its edges turned round"
    "; k node newly allowed on the way; D distance so far; Pi_h the node before the end of the way; pi parent in the forest of joined trees"
    "; root_u climbing from u; root_v climbing from v; mask_u passed on the climb from u; mask_v passed on the climb from v",
    "depth first": "s root of the present tree; d time of discovery; f time of finishing; low earliest discovery that can be reached back to"
    "; child_cnt hundredths of its children",
    "sorting": "i left hand of the comparison; j right hand of the comparison; p start of the segment; r end of the segment, the pivot"
    "; parent the one above it in the heap; largest largest of the family; heap_size last element of the heap",
    "insertion_sort": "i element that made room; j element being inserted",
    "bubble_sort": "i place being filled; j the later of the two compared",
    "heapsort": "i element standing where the sift began; j element standing where the sift is",
    "quicksort": "i first of the larger ones so far; j element being compared",
    "searching": "i element being looked at; j element being compared; min_h smallest so far; low start of what is left; high end of what is left"
    "; mid middle of what is left; p start of the segment; r end of the segment; pivot the pivot; target value looked for",
    "divide and conquer": "best_low start of the best run; best_high end of the best run; i start of the present run; j end of the present run",
    "greedy": "m activity being looked at; k last one taken; i task being looked at; selected_h taken",
    "dynamic programming": "m cost found so far; s_h where to split; msk known so far; c length found so far; b_h where the length comes from"
    "; root_h best root so far; e expected cost; w probability of the range",
    "strings": "s shift of the needle; i letter of the haystack; j letter of the needle; pi failure link; is_reset link to nothing"
    "; k state while links are built; q state while matching",
    "geometry": "best lowest point; in_hull_h on the hull so far; stack_prev the point below it on the stack; last_stack top of the stack"
    "; i point being looked at; last_point last point of the hull; endpoint best next point so far"
    "; atans angle at the lowest point",
    "segments_intersect": "i end of the segment; j its other end; k point being tested; on_seg in the box of the other segment; dir side of the other segment",
}


def _meaning(trace: Trace, name: str) -> str:
    """What a hint of the thirty means, in a few words; empty when it is not known."""
    groups = [trace.name, *(["depth first"] if {"color", "f"} <= set(trace.spec.hints) else []), trace.spec.category]
    for group in groups:
        for entry in _MEANINGS.get(group, "").split("; "):
            word, _, text = entry.partition(" ")
            if word == name:
                return text
    return ""
