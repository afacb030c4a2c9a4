"""A trace one can look at: in the terminal, or as one HTML page (outrange/report/stepper.py) with the structure drawn and its hints stepped through.

Both are derived from the spec. Where a picture needs more than the type of a probe, its name decides, so an algorithm of one's own gets the same picture by
using the names of the thirty:

    x, y            inputs: points in the plane          s, f / start, end   inputs: intervals
    string          a mask that tells two strings laid end to end apart
    <output>_h      a hint that becomes that output: its pointers, mask or edges are drawn first
    low … high, p … r, best_low … best_high              pairs of nodes: the places between them are shaded

An edge scalar or edge mask among the inputs makes the nodes a graph. Otherwise they are an array; a pointer chain that changes gives its order.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.text import Text

from outrange.reasoning.clrs.samplers import whole
from outrange.reasoning.clrs.specs import Probe
from outrange.reasoning.clrs.trace import Trace
from outrange.report import stepper

SHAPES = ("one", "row", "grid")
KINDS = {"scalar": "number", "mask": "flag", "mask_one": "node", "categorical": "class", "pointer": "node", "should_be_permutation": "node"}
COLORS = ("white", "grey", "black")  # what the depth-first searches call their three classes
DIRECTIONS = ("↖", "↑", "←")  # where a cell of the longest common subsequence comes from
INTERVALS = (("s", "f"), ("start", "end"), ("start", "finish"))
CHANGED, CHANGED_STYLE = "*", "bold magenta"
STEPS_SHOWN = 10
GRID_REPEATED = 8  # up to this size a grid is printed at every step, above it the changed cells are listed
GRID_PRINTED = 16
CELLS_LISTED = 24


@dataclass(frozen=True, eq=False)
class Quantity:
    """One probe of a trace with its recorded values (hints time-first), and how they read."""

    name: str
    probe: Probe
    values: np.ndarray
    integer: bool
    words: tuple[str, ...]

    @property
    def shape(self) -> str:
        return SHAPES[len(self.probe.recorded_shape(2))]

    @property
    def kind(self) -> str:
        return KINDS[self.probe.type]

    @property
    def pointers(self) -> bool:
        return self.probe.location == "node" and self.probe.type in ("pointer", "should_be_permutation") and len(self.values) > 0

    @property
    def constant(self) -> bool:
        return bool((self.values == self.values[:1]).all())

    def text(self, value: Any) -> str:
        if self.kind != "number":
            return "·" if value < 0 else self.words[value] if value < len(self.words) else str(value)
        if not math.isfinite(value):
            return str(float(value))
        return f"{value:.2e}" if abs(value) >= 1e5 else str(int(value)) if self.integer else f"{value:.3f}"

    def plain(self, values: np.ndarray) -> Any:
        """The values as lists, None where hidden."""
        if self.kind == "number":
            return values.tolist()
        cells = np.asarray(values).astype(object)
        cells[np.less(values, 0)] = None
        return cells.tolist()


def quantities(trace: Trace, stage: str) -> list[Quantity]:
    """The probes of a stage. ``adj`` is left out: it says where A is not 0, and is 1 on the diagonal."""
    return [_quantity(trace, name, probe) for name, probe in trace.spec.items() if probe.stage == stage and name != "adj"]


def _quantity(trace: Trace, name: str, probe: Probe) -> Quantity:
    values = np.asarray(trace.recorded(name))
    integer = probe.integer or (probe.type == "scalar" and bool((np.isfinite(values) & (values == np.round(values))).all()))
    words: tuple[str, ...] = ()
    if (name, probe.classes) == ("color", 3):
        words = COLORS
    elif trace.name == "lcs_length" and (probe.location, probe.type) == ("edge", "categorical"):
        words = DIRECTIONS
    return Quantity(name, probe, values, integer, words)


def terminal(trace: Trace, console: Console, steps: int | None = None) -> None:
    """Print a trace: what was given, the hints of every step with what changed marked ``*`` and coloured, what was returned.

    Args:
        trace: of any known algorithm.
        console: where to; rows of nodes are broken to its width.
        steps: how many to print, the first and the last of them when there are more. None prints 10.

    Scalars have three decimals, a hidden cell is ``·``.
    """
    budget = STEPS_SHOWN if steps is None else whole("steps", steps, 1)
    hints, length = quantities(trace, "hint"), trace.length
    constant = [q for q in hints if length > 1 and q.constant]
    _print(console, [Text.assemble((trace.name, "bold"), (f"   {trace.spec.category} · {trace.size} nodes · {length} steps", "dim"))])
    _print(console, [_heading("inputs"), *_state(quantities(trace, "input"), console.width)])
    if constant:
        _print(console, [_heading("hints that never change"), *_state(constant, console.width, 0)])
    head, tail = (length, 0) if length <= budget else ((budget + 1) // 2, budget // 2)
    left_out = [Text(f"\n… {length - budget} step{'s' * (length - budget > 1)} left out; all with steps={length}", "dim italic")]
    moving = [q for q in hints if q not in constant]
    for step in [*range(head), *range(length - tail, length)]:
        if tail and step == length - tail:
            _print(console, left_out)
        _print(console, [_heading(f"step {step} / {length - 1}"), *_state(moving, console.width, step)])
    if tail == 0 and head < length:
        _print(console, left_out)
    _print(console, [_heading("outputs"), *_state(quantities(trace, "output"), console.width)])


def _print(console: Console, lines: list[Text]) -> None:
    for line in lines:
        line.rstrip()
        console.print(line, no_wrap=True, overflow="ignore", crop=False, soft_wrap=True, highlight=False)


def _heading(text: str) -> Text:
    return Text(f"\n── {text}", "bold blue")


def _state(shown: list[Quantity], width: int, step: int | None = None) -> list[Text]:
    """All quantities at a step (None: they have no time axis): single values on a line, rows in a table, grids side by side."""
    now = {q.name: q.values if step is None else q.values[step] for q in shown}
    changed = {q.name: _differs(now[q.name], q.values[step - 1]) if step else np.zeros(now[q.name].shape, bool) for q in shown}
    lines = _wrapped([Text.assemble((q.name + " ", "dim"), _cell(q.text(now[q.name]), bool(changed[q.name]))) for q in shown if q.shape == "one"], width)
    rows = [(q.name, [q.text(x) for x in now[q.name].tolist()], changed[q.name].tolist(), q.words) for q in shown if q.shape == "row"]
    lines += _table("node", rows, width) if rows else []
    grids = [_grid(q, now[q.name], changed[q.name], width, bool(step)) for q in shown if q.shape == "grid"]
    return lines + _beside(grids, width)


def _differs(now: np.ndarray, before: np.ndarray) -> np.ndarray:
    return (now != before) & ~((now != now) & (before != before))  # two NaN are no change


def _cell(text: str, changed: bool, width: int = 0) -> Text:
    return Text(text.rjust(width) + (CHANGED if changed else " "), CHANGED_STYLE if changed else "")


def _wrapped(parts: list[Text], width: int, indent: int = 2) -> list[Text]:
    lines: list[Text] = []
    for part in parts:
        if not lines or len(lines[-1]) + len(part) + 2 > width:
            lines.append(Text(" " * indent))
        lines[-1].append_text(part).append("  ")
    return lines


def _table(corner: str, rows: list[tuple], width: int) -> list[Text]:
    """Rows (name, cells, changed, words) under the numbers of their columns.

    When that is too wide the 0 before the decimal point goes first, then rows of words become lists, then the columns are broken into parts.
    """
    label = max(len(corner), *(len(row[0]) for row in rows)) + 2
    columns = len(rows[0][1])

    def fitting() -> int:
        return max(1, (width - label - 2) // (1 + max(len(str(columns - 1)), *(len(cell) for row in rows for cell in row[1]))))

    if fitting() < columns:
        rows = [(name, [cell.replace("0.", ".", 1) if cell.startswith(("0.", "-0.")) else cell for cell in cells], *rest) for name, cells, *rest in rows]
    listed: list[tuple] = []
    if fitting() < columns:
        listed = [row for row in rows if row[3]]
        rows = [row for row in rows if not row[3]]
    lines: list[Text] = []
    if rows:
        part = -(-columns // -(-columns // fitting()))
        size = max(len(str(columns - 1)), *(len(cell) for row in rows for cell in row[1]))
        for start in range(0, columns, part):
            span = range(start, min(start + part, columns))
            lines.append(Text("  " + corner.ljust(label) + "".join(f"{k:>{size}} " for k in span), "dim"))
            for name, cells, changed, _ in rows:
                lines.append(Text.assemble("  ", name.ljust(label), *(_cell(cells[k], changed[k], size) for k in span)))
    for name, cells, changed, words in listed:
        groups = [(word, [_cell(str(k), changed[k]) for k in range(columns) if cells[k] == word]) for word in (*words, "·")]
        parts = [Text.assemble((f"{word}: ", "dim"), *members) for word, members in groups if members]
        first, *others = _wrapped(parts, width - label, 0)
        lines += [Text.assemble("  ", name.ljust(label), first), *(Text(" " * (label + 2)).append_text(line) for line in others)]
    return lines


def _grid(quantity: Quantity, now: np.ndarray, changed: np.ndarray, width: int, later: bool) -> list[Text]:
    name, size, count = quantity.name, len(now), int(changed.sum())
    if later and count == 0:
        return [Text.assemble("  ", name, ("  unchanged", "dim"))]
    if later and size > GRID_REPEATED:
        places = np.argwhere(changed)[:CELLS_LISTED].tolist()
        cells = [Text.assemble((f"({i}, {j}) ", "dim"), _cell(quantity.text(now[i, j]), True)) for i, j in places]
        rest = [Text(f"and {count - CELLS_LISTED} more", "dim")] if count > CELLS_LISTED else []
        return [Text.assemble("  ", name, (f"  {count} of {now.size} cells changed", "dim")), *_wrapped(cells + rest, width, 4)]
    if size > GRID_PRINTED:
        return [Text.assemble("  ", name, (f"  {size} × {size}, {np.count_nonzero(now)} cells are not 0", "dim"))]
    zero = quantity.kind == "number"  # in a matrix a bare 0 is easier to look past than 0.000
    rows = [(str(i), ["0" if zero and x == 0 else quantity.text(x) for x in row], changed[i].tolist(), ()) for i, row in enumerate(now.tolist())]
    return _table(name, rows, width)


def _beside(blocks: list[list[Text]], width: int) -> list[Text]:
    """Blocks of lines next to each other while they fit."""
    lines: list[Text] = []
    while blocks:
        taken, used = 0, 0
        while taken < len(blocks) and (taken == 0 or used + max(map(len, blocks[taken])) + 2 <= width):
            used += max(map(len, blocks[taken])) + 2
            taken += 1
        row, blocks = blocks[:taken], blocks[taken:]
        for k in range(max(map(len, row))):
            line = Text()
            for block in row:
                cell = block[k].copy() if k < len(block) else Text()
                line.append_text(cell).append(" " * (max(map(len, block)) + 2 - len(cell)))
            line.rstrip()
            lines.append(line)
    return lines


def page(trace: Trace) -> str:
    """One self-contained HTML page that steps through a trace: no network, light and dark, keyboard and slider, ``#step=7`` in its address."""
    return stepper.page(story(trace))


def story(trace: Trace) -> dict[str, Any]:
    """What ``page`` shows, as plain data (its form is documented in outrange/report/stepper.py)."""
    inputs, hints, outputs = (quantities(trace, stage) for stage in ("input", "hint", "output"))
    edges, notes = _edges(trace)
    notes += [f"{q.name} only keeps the order of the places, so it is not drawn." for q in hints if edges is None and _is_places(q)]
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
    return {"name": q.name, "shape": q.shape, "kind": q.kind, "integer": q.integer, "words": list(q.words), "meaning": _meaning(trace, q.name), **colors}


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


def _pictures(trace: Trace, inputs: list[Quantity], hints: list[Quantity], edges: dict[str, Any] | None) -> list[dict[str, Any]]:
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
    return {"type": "plane", "x": "x", "y": "y", "hull": hull, "links": links, "segments": [[k, k + 1] for k in range(0, trace.size - 1, 2)] if paired else []}


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


def _grids(grids: list[Quantity], inputs: list[Quantity], hints: list[Quantity]) -> tuple[list[dict[str, Any]], str | None]:
    """The heat maps, and the letters at their heads. Classes that have words of one sign stand in the corners of the first grid of numbers."""
    grids = sorted(grids, key=lambda q: q.kind != "number")
    numeric, letters = grids[0].kind == "number", next(iter(_names(inputs, "class")), None)
    signs = next((q.name for q in grids if q.words and numeric), None)
    rows, columns = _used(grids)
    common = {"type": "grid", "rows": rows, "columns": columns, "badges": _names(hints, "node", "one") if numeric else [], "head": letters}
    return [{**common, "name": q.name, "corner": signs if q is grids[0] else None} for q in grids if q.name != signs], letters


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
