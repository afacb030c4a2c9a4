"""A trace in the terminal: inputs, then the hints step by step with what changed marked by a character and a colour,
then outputs."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.text import Text

from outrange.core.checks import whole
from outrange.reasoning.clrs.specs import Probe
from outrange.reasoning.clrs.trace import Trace

SHAPES = ("one", "row", "grid")
KINDS = {
    "scalar": "number",
    "mask": "flag",
    "mask_one": "node",
    "categorical": "class",
    "pointer": "node",
    "should_be_permutation": "node",
}
COLORS = ("white", "grey", "black")  # what the depth-first searches call their three classes
DIRECTIONS = ("↖", "↑", "←")  # where a cell of the longest common subsequence comes from
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
        return (
            self.probe.location == "node"
            and self.probe.type in ("pointer", "should_be_permutation")
            and len(self.values) > 0
        )

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
    return [
        _quantity(trace, name, probe) for name, probe in trace.spec.items() if probe.stage == stage and name != "adj"
    ]


def _quantity(trace: Trace, name: str, probe: Probe) -> Quantity:
    values = np.asarray(trace.recorded(name))
    integer = probe.integer or (
        probe.type == "scalar" and bool((np.isfinite(values) & (values == np.round(values))).all())
    )
    words: tuple[str, ...] = ()
    if (name, probe.classes) == ("color", 3):
        words = COLORS
    elif trace.name == "lcs_length" and (probe.location, probe.type) == ("edge", "categorical"):
        words = DIRECTIONS
    return Quantity(name, probe, values, integer, words)


def terminal(trace: Trace, console: Console, steps: int | None = None) -> None:
    """Print a trace: what was given, the hints of every step with what changed marked ``*`` and coloured, what was
    returned.

    Args:
        trace: of any known algorithm.
        console: where to; rows of nodes are broken to its width.
        steps: how many to print, the first and the last of them when there are more. None prints 10.

    Scalars have three decimals, a hidden cell is ``·``.
    """
    budget = STEPS_SHOWN if steps is None else whole("steps", steps, 1)
    hints, length = quantities(trace, "hint"), trace.length
    constant = [q for q in hints if length > 1 and q.constant]
    _print(
        console,
        [
            Text.assemble(
                (trace.name, "bold"), (f"   {trace.spec.category} · {trace.size} nodes · {length} steps", "dim")
            )
        ],
    )
    _print(console, [_heading("inputs"), *_state(quantities(trace, "input"), console.width)])
    if constant:
        _print(console, [_heading("hints that never change"), *_state(constant, console.width, 0)])
    head, tail = (length, 0) if length <= budget else ((budget + 1) // 2, budget // 2)
    left_out = [
        Text(f"\n… {length - budget} step{'s' * (length - budget > 1)} left out; all with steps={length}", "dim italic")
    ]
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
    """All quantities at a step (None: they have no time axis): single values on a line, rows in a table, grids side by
    side."""
    now = {q.name: q.values if step is None else q.values[step] for q in shown}
    changed = {
        q.name: _differs(now[q.name], q.values[step - 1]) if step else np.zeros(now[q.name].shape, bool) for q in shown
    }
    lines = _wrapped(
        [
            Text.assemble((q.name + " ", "dim"), _cell(q.text(now[q.name]), bool(changed[q.name])))
            for q in shown
            if q.shape == "one"
        ],
        width,
    )
    rows = [
        (q.name, [q.text(x) for x in now[q.name].tolist()], changed[q.name].tolist(), q.words)
        for q in shown
        if q.shape == "row"
    ]
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

    When that is too wide the 0 before the decimal point goes first, then rows of words become lists, then the columns
    are broken into parts.
    """
    label = max(len(corner), *(len(row[0]) for row in rows)) + 2
    columns = len(rows[0][1])

    def fitting() -> int:
        return max(
            1, (width - label - 2) // (1 + max(len(str(columns - 1)), *(len(cell) for row in rows for cell in row[1])))
        )

    if fitting() < columns:
        rows = [
            (name, [cell.replace("0.", ".", 1) if cell.startswith(("0.", "-0.")) else cell for cell in cells], *rest)
            for name, cells, *rest in rows
        ]
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
        groups = [
            (word, [_cell(str(k), changed[k]) for k in range(columns) if cells[k] == word]) for word in (*words, "·")
        ]
        parts = [Text.assemble((f"{word}: ", "dim"), *members) for word, members in groups if members]
        first, *others = _wrapped(parts, width - label, 0)
        lines += [
            Text.assemble("  ", name.ljust(label), first),
            *(Text(" " * (label + 2)).append_text(line) for line in others),
        ]
    return lines


def _grid(quantity: Quantity, now: np.ndarray, changed: np.ndarray, width: int, later: bool) -> list[Text]:
    name, size, count = quantity.name, len(now), int(changed.sum())
    if later and count == 0:
        return [Text.assemble("  ", name, ("  unchanged", "dim"))]
    if later and size > GRID_REPEATED:
        places = np.argwhere(changed)[:CELLS_LISTED].tolist()
        cells = [Text.assemble((f"({i}, {j}) ", "dim"), _cell(quantity.text(now[i, j]), True)) for i, j in places]
        rest = [Text(f"and {count - CELLS_LISTED} more", "dim")] if count > CELLS_LISTED else []
        return [
            Text.assemble("  ", name, (f"  {count} of {now.size} cells changed", "dim")),
            *_wrapped(cells + rest, width, 4),
        ]
    if size > GRID_PRINTED:
        return [Text.assemble("  ", name, (f"  {size} × {size}, {np.count_nonzero(now)} cells are not 0", "dim"))]
    zero = quantity.kind == "number"  # in a matrix a bare 0 is easier to look past than 0.000
    rows = [
        (str(i), ["0" if zero and x == 0 else quantity.text(x) for x in row], changed[i].tolist(), ())
        for i, row in enumerate(now.tolist())
    ]
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
