"""Traces as datasets on disk: sharded Parquet or JSON lines with a dataset card, which ``datasets.load_dataset`` opens and ``read`` turns back into traces.

A row is a trace: algorithm, length (the sampler's), seed, index, steps, and one column a probe, ``input_A``, ``hint_pi_h``, ``output_pi``, as recorded: a
mask_one or a categorical as an index (-1 a hidden cell), hints with time in front. ``pos`` and ``adj`` are derived when a trace is read.
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
from outrange.core.errors import BadInput, brief, unknown
from outrange.core.shards import Progress, export
from outrange.reasoning.clrs.load import load_modules
from outrange.reasoning.clrs.registry import ALGORITHMS, algorithm
from outrange.reasoning.clrs.sample import Dataset, sample_blocks
from outrange.reasoning.clrs.samplers import whole
from outrange.reasoning.clrs.specs import Spec
from outrange.reasoning.clrs.splits import Cell, preset
from outrange.reasoning.clrs.trace import Block, Trace

FORMATS = ("parquet", "jsonl")
GROUP_ROWS, GROUP_BYTES = (
    1000,
    32 << 20,
)  # a row group of Parquet is held in memory: bounded in rows and, about, in bytes


@dataclass(frozen=True)
class Selection:
    """What to export: a preset's cells, drawn as the published package draws them, or a grid of algorithms and lengths with ``count`` samples a cell."""

    preset: str | None = None
    algorithms: tuple[str, ...] = ()
    lengths: tuple[int, ...] = ()
    count: int | None = None
    seed: int = 0
    truncate_decimals: int | None = None
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    modules: tuple[str, ...] = ()

    def cells(self) -> list[Cell]:
        if self.preset is not None:
            free = Selection(self.preset)
            for name in ("lengths", "seed", "options", "truncate_decimals"):
                given = getattr(self, name)
                if given != getattr(free, name):
                    raise BadInput(
                        f"{name}: {brief(given)} cannot be combined with preset {self.preset!r}, which fixes it; leave one out"
                    )
            return preset(
                self.preset,
                self.algorithms or ALGORITHMS,
                None if self.count is None else whole("count", self.count, 1),
            )
        if not self.algorithms or not self.lengths or self.count is None:
            raise BadInput(
                "export: nothing to export; give a preset, or algorithms, lengths and a count per algorithm and length"
            )
        whole("count", self.count, 1)
        whole("seed", self.seed, 0, 2**63 - 1)
        if self.truncate_decimals is not None:
            whole("decimals", self.truncate_decimals, 0, 15)
        for name, given in (("algorithms", self.algorithms), ("lengths", self.lengths)):
            if len(set(given)) < len(given):
                raise BadInput(f"{name}: {brief(given)} lists one twice; list each once")
        for name in self.options:
            if name not in self.algorithms:
                raise unknown("options", name, self.algorithms, "one of the algorithms to export")
        for name in self.algorithms:
            for length in self.lengths:
                algorithm(name).sampler.check(name, length, self.options.get(name, {}))
        return [
            Cell(a, n, self.seed, self.count, self.truncate_decimals, self.options.get(a, {}))
            for a in self.algorithms
            for n in self.lengths
        ]


class Piece(NamedTuple):
    """Samples start … stop-1 of a block."""

    block: Block
    start: int
    stop: int


class Steps(NamedTuple):
    """A column of hints: the steps of all rows one after another, and how many each row has."""

    flat: np.ndarray
    lengths: np.ndarray

    def lists(self) -> list:
        return [part.tolist() for part in np.split(self.flat, np.cumsum(self.lengths)[:-1])]


@dataclass(frozen=True)
class TraceShard:
    """Samples ``start`` … ``start + rows - 1`` of a cell, as one file. ``sequential``: drawn by one generator from the cell's start."""

    path: str
    rows: int
    start: int
    cell: Cell
    sequential: bool
    modules: tuple[str, ...]
    format: str
    kind: ClassVar[str] = "clrs"

    def blocks(self) -> Iterator[Block]:
        load_modules(self.modules)
        c = self.cell
        if self.sequential:
            return sample_blocks(
                c.algorithm, c.length, self.rows, c.seed, truncate_decimals=c.truncate_decimals, **c.options
            )
        data = Dataset([(c.algorithm, c.length)], c.seed, None, c.truncate_decimals, {c.algorithm: c.options})
        return data.cell(0, self.start, self.start + self.rows)

    def table(self, pieces: list[Piece], first: int) -> dict[str, Any]:
        """The columns of some rows: lists, arrays with rows in front, or ``Steps``."""
        blocks = [piece.block for piece in pieces]
        lengths = np.concatenate([np.diff(p.block.bounds)[p.start : p.stop] for p in pieces])
        columns: dict[str, Any] = self.origin(len(lengths), first) | {"steps": lengths}
        for name, probe in blocks[0].spec.items():
            column = f"{probe.stage}_{name}"
            if probe.stage == "hint":
                rows = [p.block.recorded_hints[name][p.block.bounds[p.start] : p.block.bounds[p.stop]] for p in pieces]
                columns[column] = Steps(np.concatenate(rows), lengths)
            elif name not in ("pos", "adj"):
                held = [
                    p.block.arguments[name] if probe.stage == "input" else p.block.recorded_outputs[name]
                    for p in pieces
                ]
                rows = np.concatenate([array[p.start : p.stop] for array, p in zip(held, pieces, strict=True)])
                columns[column] = rows.reshape(len(lengths), *probe.recorded_shape(blocks[0].size))
        return columns

    def origin(self, rows: int, first: int) -> dict[str, Any]:
        c = self.cell
        return {
            "algo_name": [c.algorithm] * rows,
            "length": [c.length] * rows,
            "seed": [c.seed] * rows,
            "index": list(range(first, first + rows)),
        }

    def write(self, target: Path) -> None:
        writer = _parquet if self.format == "parquet" else _jsonl
        writer(target, self._groups())

    def _groups(self) -> Iterator[dict[str, Any]]:
        """Row groups. Where they end depends on the rows alone, not on the blocks they were made in: the file's bytes must not either."""
        pieces: list[Piece] = []
        rows, size, first = 0, 0, self.start
        for block in self.blocks():
            step_bytes = sum(array.nbytes for array in block.recorded_hints.values()) // max(1, block.bounds[-1])
            row_bytes = sum(
                a.nbytes for held in (block.arguments, block.recorded_outputs) for a in held.values()
            ) // len(block)
            start = 0
            for k in range(len(block)):
                rows += 1
                size += row_bytes + step_bytes * (block.bounds[k + 1] - block.bounds[k])
                if rows == GROUP_ROWS or size > GROUP_BYTES:
                    yield self.table([*pieces, Piece(block, start, k + 1)], first)
                    pieces, start, first, rows, size = [], k + 1, first + rows, 0, 0
            if start < len(block):
                pieces.append(Piece(block, start, len(block)))
        if pieces:
            yield self.table(pieces, first)


def _parquet(target: Path, groups: Iterable[dict[str, Any]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    writer = None
    try:
        for columns in groups:
            table = pa.table({name: _column(values) for name, values in columns.items()})
            if writer is None:
                writer = pq.ParquetWriter(target, table.schema, compression="zstd", compression_level=3)
            writer.write_table(table)
    finally:
        if writer is not None:
            writer.close()


def _column(values: Any) -> Any:
    """A column as an Arrow array; arrays become lists of lists without passing through Python objects."""
    import pyarrow as pa

    if isinstance(values, Steps):
        return pa.ListArray.from_arrays(
            pa.array(np.concatenate(([0], np.cumsum(values.lengths))), pa.int32()), _column(values.flat)
        )
    if not isinstance(values, np.ndarray) or values.ndim == 1:
        return pa.array(values)
    result = pa.array(values.reshape(-1))
    for axis in range(values.ndim - 1, 0, -1):
        count = int(np.prod(values.shape[:axis]))
        result = pa.ListArray.from_arrays(pa.array(np.arange(count + 1) * values.shape[axis], pa.int32()), result)
    return result


def _jsonl(target: Path, groups: Iterable[dict[str, Any]]) -> None:
    with open(target, "w", encoding="utf-8") as file:
        for columns in groups:
            plain = [
                values.lists()
                if isinstance(values, Steps)
                else values.tolist()
                if isinstance(values, np.ndarray)
                else values
                for values in columns.values()
            ]
            for row in zip(*plain, strict=True):
                file.write(json.dumps(dict(zip(columns, row, strict=True)), separators=(",", ":")) + "\n")


def shards(
    selection: Selection, make: type, format: str, shard_rows: int, **extra: Any
) -> tuple[dict[str, Any], list[Any]]:
    """The plan and the tasks of an export. Every shard belongs to one cell; a preset's cell, being one stream, is one shard."""
    if format not in FORMATS:
        raise unknown("format", format, FORMATS, "a format")
    whole("shard-rows", shard_rows, 1)
    cells, sequential = selection.cells(), selection.preset is not None
    tasks = []
    for name in dict.fromkeys(c.algorithm for c in cells):
        pieces = [
            (c, start)
            for c in cells
            if c.algorithm == name
            for start in range(0, c.count, c.count if sequential else shard_rows)
        ]
        for k, (c, start) in enumerate(pieces):
            rows = c.count if sequential else min(shard_rows, c.count - start)
            path = f"data/{name}/{k:05d}-of-{len(pieces):05d}.{format}"
            tasks.append(make(path, rows, start, c, sequential, selection.modules, format, **extra))
    versions = {"outrange": __version__, "numpy": np.__version__} | (
        {"pyarrow": version("pyarrow")} if format == "parquet" else {}
    )
    plan = {
        "kind": make.kind,
        "format": format,
        "shard_rows": shard_rows,
        "versions": versions,
        **asdict(selection),
        **extra,
    }
    plan["options"] = {k: dict(v) for k, v in selection.options.items()}
    plan["modules"] = {
        Path(file).name: hashlib.sha256(Path(file).read_bytes()).hexdigest() for file in selection.modules
    }
    return json.loads(json.dumps(plan)), tasks


def export_traces(
    target: Path,
    selection: Selection,
    *,
    format: str = "parquet",
    shard_rows: int = 10_000,
    workers: int = 1,
    command: str = "",
    progress: Progress | None = None,
) -> dict:
    """Write traces as a dataset; see ``outrange.core.shards.export`` for what is resumable and stable. Returns the manifest."""
    load_modules(selection.modules)
    plan, tasks = shards(selection, TraceShard, format, shard_rows)
    text = "Execution traces of algorithms: inputs, hints (the state at every recorded step, time first) and outputs, as recorded by outrange."
    return export(
        target,
        plan,
        tasks,
        lambda manifest: card(manifest, "CLRS traces", text, command),
        whole("workers", workers, 1, 256),
        progress,
    )


def card(manifest: Mapping[str, Any], title: str, text: str, command: str) -> str:
    """The dataset card: what ``load_dataset`` needs in front, then how the data was made and what it must hash to."""
    plan = manifest["plan"]
    names = list(dict.fromkeys(entry["path"].split("/")[1] for entry in manifest["files"]))
    one_schema = plan["kind"] == "text" or len(names) == 1
    configs = [("default", "*")] * one_schema + [(name, name) for name in names if not (one_schema and len(names) == 1)]
    lines = [
        "---",
        "license: apache-2.0",
        f"pretty_name: {title}",
        "tags: [algorithmic-reasoning, clrs, outrange]",
        "configs:",
    ]
    split = (
        "test"
        if plan["preset"] and plan["preset"].rpartition("-")[2] in ("eval", "test")
        else "validation"
        if plan["preset"] == "clrs30-val"
        else "train"
    )
    for name, folder in configs:
        lines += [
            f"- config_name: {name}",
            "  data_files:",
            f"  - split: {split}",
            f"    path: data/{folder}/*.{plan['format']}",
        ]
    versions = ", ".join(f"{k} {v}" for k, v in plan["versions"].items())
    lines += ["---", "", f"# {title}", "", text, ""]
    lines += [f"- rows: {manifest['rows']:,} in {len(manifest['files'])} files, {len(names)} algorithms"]
    lines += [
        f"- seed: {plan['seed']}"
        if not plan["preset"]
        else f"- preset: {plan['preset']} (its seeds are in the `seed` column)"
    ]
    lines += [
        f"- versions: {versions}",
        f"- SHA-256 over the files' SHA-256 (each in `manifest.json`): `{manifest['sha256']}`",
        "",
    ]
    if command:
        lines += ["Made by", "", f"    {command}", ""]
    lines += (
        ["which writes the same bytes again with the same versions on the same type of processor.", ""]
        if command
        else []
    )
    return "\n".join(lines)


def read(path: Path) -> Iterator[Trace]:
    """The traces of one exported Parquet file."""
    import pyarrow.parquet as pq

    file = pq.ParquetFile(path)
    for group in range(file.num_row_groups):
        for row in file.read_row_group(group).to_pylist():
            yield from_row(row)


def from_row(row: Mapping[str, Any]) -> Trace:
    """A trace from a row as ``read``, ``datasets`` or ``json`` give it."""
    spec: Spec = algorithm(row["algo_name"]).spec
    size = next(
        len(row[f"input_{n}"])
        for n, p in spec.arguments.items()
        if p.location != "graph" and not (p.location == "node" and p.type == "mask_one")
    )

    def stage(probes: Mapping, prefix: str) -> tuple[np.ndarray, ...]:
        return tuple(np.asarray(row[f"{prefix}_{n}"], p.recorded_dtype) for n, p in probes.items())

    arguments = tuple(a[None] for a in stage(spec.arguments, "input"))
    outputs = tuple(
        a.reshape(1, *(p.recorded_shape(size) or (1,)))
        for a, p in zip(stage(spec.outputs, "output"), spec.outputs.values(), strict=True)
    )
    hints = tuple(
        a.reshape(row["steps"], *p.recorded_shape(size))
        for a, p in zip(stage(spec.hints, "hint"), spec.hints.values(), strict=True)
    )
    return Block(row["algo_name"], spec, size, arguments, outputs, hints, np.array([row["steps"]])).traces()[0]


__all__: Sequence[str] = ("Selection", "TraceShard", "card", "export_traces", "from_row", "read", "shards")
