"""A trace in the terminal: inputs, then the hints step by step with what changed marked by a character and a colour,
then outputs."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from rich.console import Console
from rich.text import Text

from outrange.core.checks import whole
from outrange.reasoning.clrs.specs import Probe
from outrange.reasoning.clrs.traces import Trace

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
STEPS_SHOWN = 10  # if not asked for otherwise
GRID_REPEATED = 8  # up to this size a grid is printed at every step, above it the changed cells are listed
GRID_PRINTED = 16  # up to this size it is printed at the first step
CELLS_LISTED = 24  # of those that changed


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
    def is_pointers(self) -> bool:
        """Whether it is a node for each node."""
        return (
            self.probe.location == "node"
            and self.probe.type in ("pointer", "should_be_permutation")
            and len(self.values) > 0
        )

    @property
    def is_constant(self) -> bool:
        """Whether it is the same at all steps."""
        return bool((self.values == self.values[:1]).all())

    def text(self, value: Any) -> str:
        """A value as it is printed; · if hidden."""
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
        cells[np.less(values, 0)] = None  # hidden cells are recorded as -1
        return cells.tolist()


@dataclass(frozen=True)
class _Row:
    """A row of a table, as text."""

    name: str
    cells: list[str]
    changed: list[bool]
    words: tuple[str, ...]


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
    constant = [q for q in hints if length > 1 and q.is_constant]
    changing = [q for q in hints if q not in constant]

    summary = f"   {trace.spec.category} · {trace.size} nodes · {length} steps"
    _print(console, [Text.assemble((trace.name, "bold"), (summary, "dim"))])
    _print(console, [_heading("inputs"), *_state(quantities(trace, "input"), console.width)])
    if constant:
        _print(console, [_heading("hints that never change"), *_state(constant, console.width, 0)])

    # all steps, or the first and the last of them with a line about those between
    head, tail = (length, 0) if length <= budget else ((budget + 1) // 2, budget // 2)
    omitted = length - budget
    omission = Text(f"\n… {omitted} step{'s' * (omitted > 1)} left out; all with steps={length}", "dim italic")
    for step in [*range(head), *range(length - tail, length)]:
        if tail and step == length - tail:
            _print(console, [omission])
        _print(console, [_heading(f"step {step} / {length - 1}"), *_state(changing, console.width, step)])
    if tail == 0 and head < length:
        _print(console, [omission])
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
    singles: list[Text] = []
    rows: list[_Row] = []
    grids: list[list[Text]] = []
    for q in shown:
        current = q.values if step is None else q.values[step]
        changed = _differs(current, q.values[step - 1]) if step else np.zeros(current.shape, bool)
        if q.shape == "one":
            singles.append(Text.assemble((q.name + " ", "dim"), _cell(q.text(current), bool(changed))))
        elif q.shape == "row":
            cells = [q.text(value) for value in current.tolist()]
            rows.append(_Row(q.name, cells, changed.tolist(), q.words))
        else:
            grids.append(_grid(q, current, changed, width, bool(step)))
    lines = _wrapped(singles, width)
    if rows:
        lines += _table("node", rows, width)
    return lines + _beside(grids, width)


def _differs(current: np.ndarray, previous: np.ndarray) -> np.ndarray:
    is_nan = (current != current) & (previous != previous)
    return (current != previous) & ~is_nan  # two NaN are no change


def _cell(text: str, changed: bool, width: int = 0) -> Text:
    return Text(text.rjust(width) + (CHANGED if changed else " "), CHANGED_STYLE if changed else "")


def _wrapped(parts: list[Text], width: int, indent: int = 2) -> list[Text]:
    lines: list[Text] = []
    for part in parts:
        if not lines or len(lines[-1]) + len(part) + 2 > width:
            lines.append(Text(" " * indent))
        lines[-1].append_text(part).append("  ")
    return lines


def _table(corner: str, rows: list[_Row], width: int) -> list[Text]:
    """Rows under the numbers of their columns.

    When that is too wide the 0 before the decimal point goes first, then rows of words become lists, then the columns
    are broken into parts.
    """
    label_width = max(len(corner), *(len(row.name) for row in rows)) + 2
    columns = len(rows[0].cells)
    if _fitting_columns(rows, width - label_width) < columns:
        rows = [replace(row, cells=[_without_zero(cell) for cell in row.cells]) for row in rows]
    listed: list[_Row] = []
    if _fitting_columns(rows, width - label_width) < columns:
        listed = [row for row in rows if row.words]
        rows = [row for row in rows if not row.words]

    lines: list[Text] = []
    if rows:
        # parts of about equal width
        part_count = -(-columns // _fitting_columns(rows, width - label_width))
        part_width = -(-columns // part_count)
        cell_width = _cell_width(rows)
        for start in range(0, columns, part_width):
            span = range(start, min(start + part_width, columns))
            head = "".join(f"{column:>{cell_width}} " for column in span)
            lines.append(Text("  " + corner.ljust(label_width) + head, "dim"))
            for row in rows:
                cells = [_cell(row.cells[column], row.changed[column], cell_width) for column in span]
                lines.append(Text.assemble("  ", row.name.ljust(label_width), *cells))
    for row in listed:
        lines += _listed_row(row, label_width, width)
    return lines


def _cell_width(rows: list[_Row]) -> int:
    """Of the widest cell, or of the widest number of a column."""
    columns = len(rows[0].cells)
    return max(len(str(columns - 1)), *(len(cell) for row in rows for cell in row.cells))


def _fitting_columns(rows: list[_Row], width: int) -> int:
    """How many columns a line holds, at least 1; a column has one character more for the mark of a change."""
    return max(1, (width - 2) // (1 + _cell_width(rows)))


def _without_zero(cell: str) -> str:
    return cell.replace("0.", ".", 1) if cell.startswith(("0.", "-0.")) else cell


def _listed_row(row: _Row, label_width: int, width: int) -> list[Text]:
    """A row of words as a list of the nodes that have each word."""
    groups: list[Text] = []
    for word in (*row.words, "·"):
        members = [_cell(str(node), row.changed[node]) for node in range(len(row.cells)) if row.cells[node] == word]
        if members:
            groups.append(Text.assemble((f"{word}: ", "dim"), *members))
    first, *others = _wrapped(groups, width - label_width, 0)
    lines = [Text.assemble("  ", row.name.ljust(label_width), first)]
    return lines + [Text(" " * (label_width + 2)).append_text(line) for line in others]


def _grid(quantity: Quantity, current: np.ndarray, changed: np.ndarray, width: int, is_later: bool) -> list[Text]:
    """A grid: whole while it is small, then the cells that changed, then how many cells are not 0."""
    name, size, count = quantity.name, len(current), int(changed.sum())
    if is_later and count == 0:
        return [Text.assemble("  ", name, ("  unchanged", "dim"))]
    if is_later and size > GRID_REPEATED:
        places = np.argwhere(changed)[:CELLS_LISTED].tolist()
        cells = [Text.assemble((f"({i}, {j}) ", "dim"), _cell(quantity.text(current[i, j]), True)) for i, j in places]
        if count > CELLS_LISTED:
            cells.append(Text(f"and {count - CELLS_LISTED} more", "dim"))
        summary = f"  {count} of {current.size} cells changed"
        return [Text.assemble("  ", name, (summary, "dim")), *_wrapped(cells, width, 4)]
    if size > GRID_PRINTED:
        summary = f"  {size} × {size}, {np.count_nonzero(current)} cells are not 0"
        return [Text.assemble("  ", name, (summary, "dim"))]
    rows = []
    for i, row in enumerate(current.tolist()):
        cells = [_grid_text(quantity, value) for value in row]
        rows.append(_Row(str(i), cells, changed[i].tolist(), ()))
    return _table(name, rows, width)


def _grid_text(quantity: Quantity, value: Any) -> str:
    # in a matrix a bare 0 is easier to look past than 0.000
    return "0" if quantity.kind == "number" and value == 0 else quantity.text(value)


def _beside(blocks: list[list[Text]], width: int) -> list[Text]:
    """Blocks of lines next to each other while they fit."""
    lines: list[Text] = []
    while blocks:
        # as many blocks as fit, at least one
        widths = [max(map(len, block)) + 2 for block in blocks]
        count = 1
        while count < len(blocks) and sum(widths[: count + 1]) <= width:
            count += 1
        row, blocks = blocks[:count], blocks[count:]
        for k in range(max(map(len, row))):
            line = Text()
            for block, block_width in zip(row, widths):
                cell = block[k].copy() if k < len(block) else Text()
                line.append_text(cell).append(" " * (block_width - len(cell)))
            line.rstrip()
            lines.append(line)
    return lines
