"""Traces as datasets on disk: sharded Parquet or JSON lines with a dataset card, which ``datasets.load_dataset`` opens
and ``read`` turns back into traces.

A row is a trace: algorithm, length (the sampler's), seed, index, steps, and one column a probe, ``input_A``,
``hint_pi_h``, ``output_pi``, as recorded: a mask_one or a categorical as an index (-1 a hidden cell), hints with time
in front. ``pos`` and ``adj`` are derived when a trace is read.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from outrange import __version__
from outrange.core.checks import whole
from outrange.core.errors import BadInput, brief, unknown
from outrange.core.shards import Progress, export
from outrange.reasoning.clrs.card import card
from outrange.reasoning.clrs.load import load_modules
from outrange.reasoning.clrs.registry import ALGORITHMS, get_algorithm
from outrange.reasoning.clrs.sampling import Dataset, sample_blocks
from outrange.reasoning.clrs.specs import Probe, Spec
from outrange.reasoning.clrs.splits import Cell, preset
from outrange.reasoning.clrs.traces import Block, Trace

FORMATS = ("parquet", "jsonl")
#: A row group of Parquet is held in memory: bounded in rows and, about, in bytes.
GROUP_ROWS, GROUP_BYTES = 1000, 32 << 20


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What to export: a preset's cells, drawn as the published package draws them, or a grid of algorithms and lengths
    with ``count`` samples a cell.
    """

    preset: str | None = None
    algorithms: tuple[str, ...] = ()
    lengths: tuple[int, ...] = ()
    count: int | None = None
    seed: int = 0
    truncate_decimals: int | None = None
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    load: tuple[str, ...] = ()

    def cells(self) -> list[Cell]:
        """The cells, checked.

        Raises:
            BadInput: naming the field, its value and what is allowed.
        """
        return self._grid_cells() if self.preset is None else self._preset_cells(self.preset)

    def _preset_cells(self, name: str) -> list[Cell]:
        unset = Selection()
        for field_name in ("lengths", "seed", "options", "truncate_decimals"):
            value = getattr(self, field_name)
            if value != getattr(unset, field_name):
                raise BadInput(
                    f"{field_name}: {brief(value)} cannot be combined with preset {name!r}, which fixes it; "
                    "leave one out"
                )
        count = None if self.count is None else whole("count", self.count, 1)
        return preset(name, self.algorithms or ALGORITHMS, count)

    def _grid_cells(self) -> list[Cell]:
        if not self.algorithms or not self.lengths or self.count is None:
            raise BadInput(
                "export: nothing to export; give a preset, or algorithms, lengths and a count per algorithm and length"
            )
        # Everything is refused here, before a file is written.
        whole("count", self.count, 1)
        whole("seed", self.seed, 0, 2**63 - 1)
        if self.truncate_decimals is not None:
            whole("truncate_decimals", self.truncate_decimals, 0, 15)
        for field_name, values in (("algorithms", self.algorithms), ("lengths", self.lengths)):
            if len(set(values)) < len(values):
                raise BadInput(f"{field_name}: {brief(values)} lists one twice; list each once")
        for name in self.options:
            if name not in self.algorithms:
                raise unknown("options", name, self.algorithms, "one of the algorithms to export")
        cells = []
        for name in self.algorithms:
            options = self.options.get(name, {})
            for length in self.lengths:
                get_algorithm(name).sampler.check(name, length, options)
                cells.append(Cell(name, length, self.seed, self.count, self.truncate_decimals, options))
        return cells


class Piece(NamedTuple):
    """Samples start … stop-1 of a block."""

    block: Block
    start: int
    stop: int

    @property
    def step_range(self) -> slice:
        """The rows of the block's hints that belong to these samples."""
        return slice(self.block.step_offsets[self.start], self.block.step_offsets[self.stop])


class Steps(NamedTuple):
    """A column of hints: the steps of all rows one after another, and how many each row has."""

    flat: np.ndarray
    lengths: np.ndarray

    def lists(self) -> list:
        """A list of steps for each row."""
        return [steps.tolist() for steps in np.split(self.flat, np.cumsum(self.lengths)[:-1])]


@dataclass(frozen=True)
class TraceShard:
    """Samples ``start`` … ``start + rows - 1`` of a cell, as one file.

    ``sequential``: drawn by one generator from the cell's start, as the published package draws; otherwise every sample
    has a generator of its own. ``load``: the files to run first where another process writes it.
    """

    path: str
    rows: int
    start: int
    cell: Cell
    sequential: bool
    load: tuple[str, ...]
    format: str
    kind: ClassVar[str] = "clrs"

    def blocks(self) -> Iterator[Block]:
        """The samples, a block at a time."""
        load_modules(self.load)
        cell = self.cell
        if self.sequential:
            return sample_blocks(
                cell.algorithm,
                cell.length,
                self.rows,
                cell.seed,
                truncate_decimals=cell.truncate_decimals,
                **cell.options,
            )
        options = {cell.algorithm: cell.options}
        data = Dataset([(cell.algorithm, cell.length)], cell.seed, None, cell.truncate_decimals, options)
        return data.cell_blocks(0, self.start, self.start + self.rows)

    def table(self, pieces: list[Piece], first: int) -> dict[str, Any]:
        """The columns of some rows: lists, arrays with rows in front, or ``Steps``.

        ``first`` is the first row's index.
        """
        spec, size = pieces[0].block.spec, pieces[0].block.size
        lengths = np.concatenate([np.diff(piece.block.step_offsets)[piece.start : piece.stop] for piece in pieces])
        columns: dict[str, Any] = self.origin(len(lengths), first) | {"steps": lengths}
        for name, probe in spec.items():
            column = f"{probe.stage}_{name}"
            if probe.stage == "hint":
                steps = [piece.block.recorded_hints[name][piece.step_range] for piece in pieces]
                columns[column] = Steps(np.concatenate(steps), lengths)
            elif name not in ("pos", "adj"):
                rows = np.concatenate(
                    [_recorded(piece.block, name, probe)[piece.start : piece.stop] for piece in pieces]
                )
                columns[column] = rows.reshape(len(lengths), *probe.recorded_shape(size))
        return columns

    def origin(self, rows: int, first: int) -> dict[str, Any]:
        """The columns that say where each row comes from."""
        return {
            "algo_name": [self.cell.algorithm] * rows,
            "length": [self.cell.length] * rows,
            "seed": [self.cell.seed] * rows,
            "index": list(range(first, first + rows)),
        }

    def write(self, target: Path) -> None:
        """Write the file."""
        write_groups = _write_parquet if self.format == "parquet" else _write_jsonl
        write_groups(target, self._groups())

    def _groups(self) -> Iterator[dict[str, Any]]:
        """Row groups.

        Where they end depends on the rows alone, not on the blocks they were made in: the file's bytes must not either.
        """
        pieces: list[Piece] = []
        rows, size, first = 0, 0, self.start
        for block in self.blocks():
            # Sizes per sample and per step, from the block's own arrays.
            step_bytes = sum(array.nbytes for array in block.recorded_hints.values()) // max(1, block.step_offsets[-1])
            arrays = (*block.arguments.values(), *block.recorded_outputs.values())
            row_bytes = sum(array.nbytes for array in arrays) // len(block)
            start = 0
            for k in range(len(block)):
                rows += 1
                size += row_bytes + step_bytes * (block.step_offsets[k + 1] - block.step_offsets[k])
                # A full group: what earlier blocks left over, and this block's samples up to k.
                if rows == GROUP_ROWS or size > GROUP_BYTES:
                    yield self.table([*pieces, Piece(block, start, k + 1)], first)
                    pieces, start, first, rows, size = [], k + 1, first + rows, 0, 0
            if start < len(block):  # the rest of the block begins the next group
                pieces.append(Piece(block, start, len(block)))
        if pieces:
            yield self.table(pieces, first)


def _recorded(block: Block, name: str, probe: Probe) -> np.ndarray:
    """An input or an output of all samples of a block, as recorded."""
    return block.arguments[name] if probe.stage == "input" else block.recorded_outputs[name]


def _write_parquet(target: Path, groups: Iterable[dict[str, Any]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    writer = None
    try:
        for columns in groups:
            table = pa.table({name: _arrow_column(values) for name, values in columns.items()})
            if writer is None:
                writer = pq.ParquetWriter(target, table.schema, compression="zstd", compression_level=3)
            writer.write_table(table)
    finally:
        if writer is not None:
            writer.close()


def _arrow_column(values: Any) -> Any:
    """A column as an Arrow array; arrays become lists of lists without passing through Python objects."""
    import pyarrow as pa

    if isinstance(values, Steps):
        offsets = pa.array(np.concatenate(([0], np.cumsum(values.lengths))), pa.int32())
        return pa.ListArray.from_arrays(offsets, _arrow_column(values.flat))
    if not isinstance(values, np.ndarray) or values.ndim == 1:
        return pa.array(values)
    # From the innermost axis out: each turns the entries so far into lists of its length.
    column = pa.array(values.reshape(-1))
    for axis in range(values.ndim - 1, 0, -1):
        list_count = int(np.prod(values.shape[:axis]))
        offsets = pa.array(np.arange(list_count + 1) * values.shape[axis], pa.int32())
        column = pa.ListArray.from_arrays(offsets, column)
    return column


def _write_jsonl(target: Path, groups: Iterable[dict[str, Any]]) -> None:
    with open(target, "w", encoding="utf-8") as file:
        for columns in groups:
            for row in zip(*map(_python_column, columns.values()), strict=True):
                file.write(json.dumps(dict(zip(columns, row, strict=True)), separators=(",", ":")) + "\n")


def _python_column(values: Any) -> list:
    if isinstance(values, Steps):
        return values.lists()
    return values.tolist() if isinstance(values, np.ndarray) else values


def shards(
    selection: Selection, shard_type: type, format: str, shard_rows: int, **fields: Any
) -> tuple[dict[str, Any], list[Any]]:
    """The plan and the tasks of an export.

    Every shard belongs to one cell; a preset's cell, being one stream, is one shard.

    Args:
        selection: what to export.
        shard_type: ``TraceShard`` or a class derived from it.
        format: one of ``FORMATS``.
        shard_rows: the most rows of a shard.
        fields: what the shard type has besides those of ``TraceShard``; they go into the plan too.

    Returns:
        (plan, tasks): everything the bytes depend on, as JSON; and a shard each.
    """
    if format not in FORMATS:
        raise unknown("format", format, FORMATS, "a format")
    whole("shard-rows", shard_rows, 1)
    cells, sequential = selection.cells(), selection.preset is not None

    # A folder an algorithm, its files numbered through all of its cells.
    tasks = []
    for name in dict.fromkeys(cell.algorithm for cell in cells):
        starts = [  # of every shard of this algorithm
            (cell, start)
            for cell in cells
            if cell.algorithm == name
            for start in range(0, cell.count, cell.count if sequential else shard_rows)
        ]
        for k, (cell, start) in enumerate(starts):
            rows = cell.count if sequential else min(shard_rows, cell.count - start)
            path = f"data/{name}/{k:05d}-of-{len(starts):05d}.{format}"
            tasks.append(shard_type(path, rows, start, cell, sequential, selection.load, format, **fields))

    # Versions are part of the plan: another NumPy may break ties otherwise, another pyarrow write other bytes.
    versions = {"outrange": __version__, "numpy": np.__version__}
    if format == "parquet":
        versions["pyarrow"] = version("pyarrow")
    plan = {
        "kind": shard_type.kind,
        "format": format,
        "shard_rows": shard_rows,
        "versions": versions,
        **asdict(selection),
        **fields,
    }
    plan["options"] = {name: dict(options) for name, options in selection.options.items()}
    # Another text of a loaded file is another export, wherever the file lies.
    plan["load"] = {Path(file).name: hashlib.sha256(Path(file).read_bytes()).hexdigest() for file in selection.load}
    return json.loads(json.dumps(plan)), tasks


def export_traces(
    target: Path,
    selection: Selection,
    *,
    format: str = "parquet",
    shard_rows: int = 10_000,
    workers: int = 1,
    command: str = "",
    report_progress: Progress | None = None,
) -> dict:
    """Write traces as a dataset.

    Args:
        target: a new or empty directory, or one to resume; see ``outrange.core.shards.export`` for what is stable.
        selection: what to export.
        format: ``parquet`` or ``jsonl``.
        shard_rows: the most rows of a file.
        workers: processes.
        command: what the card says the data was made by.
        report_progress: called with the rows done and to do.

    Returns:
        the manifest.
    """
    load_modules(selection.load)
    plan, tasks = shards(selection, TraceShard, format, shard_rows)
    description = (
        "Execution traces of algorithms: inputs, hints (the state at every recorded step, time first) and outputs, "
        "as recorded by outrange."
    )

    def make_card(manifest: dict) -> str:
        return card(manifest, "CLRS traces", description, command)

    return export(target, plan, tasks, make_card, whole("workers", workers, 1, 256), report_progress)


def read(path: Path) -> Iterator[Trace]:
    """The traces of one exported Parquet file."""
    import pyarrow.parquet as pq

    file = pq.ParquetFile(path)
    for group in range(file.num_row_groups):
        for row in file.read_row_group(group).to_pylist():
            yield from_row(row)


def from_row(row: Mapping[str, Any]) -> Trace:
    """A trace from a row as ``read``, ``datasets`` or ``json`` give it."""
    spec: Spec = get_algorithm(row["algo_name"]).spec
    # Some input has an entry a node; a node's mask_one and a graph's number have not.
    size = next(len(row[f"input_{name}"]) for name, probe in spec.arguments.items() if probe.recorded_shape(1))

    def array(name: str, probe: Probe, shape: tuple[int, ...]) -> np.ndarray:
        return np.asarray(row[f"{probe.stage}_{name}"], probe.recorded_dtype).reshape(shape)

    arguments = tuple(array(name, probe, (1, *probe.recorded_shape(size))) for name, probe in spec.arguments.items())
    outputs = tuple(array(name, p, (1, *(p.recorded_shape(size) or (1,)))) for name, p in spec.outputs.items())
    hints = tuple(array(name, p, (row["steps"], *p.recorded_shape(size))) for name, p in spec.hints.items())
    return Block(row["algo_name"], spec, size, arguments, outputs, hints, np.array([row["steps"]])).traces()[0]


__all__: Sequence[str] = ("Selection", "TraceShard", "export_traces", "from_row", "read", "shards")
