"""Sampling: ``trace`` runs an algorithm on given inputs, ``sample`` repeats the published package's draws, ``dataset`` is the modern contract.

``sample`` draws from one legacy generator, sample after sample, so the same seed, length and options give the inputs that the published package gives.
``dataset`` gives every item a generator of its own: item i depends on (seed, i) and nothing else, so workers, shards and resumed runs agree.
"""

import hashlib
import operator
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Any, overload

import numpy as np

from outrange.core.errors import BadInput, brief, unknown
from outrange.reasoning.clrs.memory import pool
from outrange.reasoning.clrs.registry import Algorithm, algorithm
from outrange.reasoning.clrs.samplers import PerItem, Sampler, Sequential, UserSampler, whole
from outrange.reasoning.clrs.trace import Block, Trace
from outrange.reasoning.clrs.validate import arguments

BLOCK_BYTES = (
    2 << 20
)  # what a block may hold, about: large enough to make calls cheap, small enough for a processor's cache
BLOCK_SAMPLES = 128
MOST_BYTES = 4 << 30  # of one trace


def trace(name: str, inputs: Mapping[str, Any]) -> Trace:
    """Run an algorithm on your inputs.

    Args:
        name: one of ``clrs.names()``.
        inputs: probe names to arrays, shaped as in ``clrs.spec(name)``; a mask_one may be given as an index, a categorical as class numbers. ``pos`` and
            ``adj`` are derived when absent.

    Raises:
        BadInput: naming the input, what it holds and what the algorithm allows.
    """
    known = algorithm(name)
    values, size, positions = arguments(known.name, known.spec, inputs)
    return Block(known.name, known.spec, size, values, *known.record(values, 1, size), positions=positions).traces()[0]


def sample(
    name: str, length: int, count: int = 1, seed: int = 0, *, truncate_decimals: int | None = None, **options: Any
) -> list[Trace]:
    """``count`` traces on the inputs that the published sampler draws from ``seed``.

    Args:
        name: one of ``clrs.names()``.
        length: the sampler's length: nodes, keys, or for the string tasks letters of both strings together.
        count: how many; sample k is the k-th draw of one generator.
        seed: 0 to 2**32 - 1.
        truncate_decimals: cut float inputs toward zero to this many decimals before the algorithm runs, as CLRS-Text does (with 3).
        options: the sampler's own, e.g. ``p``, ``low``, ``high``, ``length_needle``, ``max_deadline``, ``k``, ``eps``.
    """
    return [
        t
        for block in sample_blocks(name, length, count, seed, truncate_decimals=truncate_decimals, **options)
        for t in block.traces()
    ]


def sample_blocks(
    name: str, length: int, count: int, seed: int = 0, *, truncate_decimals: int | None = None, **options: Any
) -> Iterator[Block]:
    """The same as ``sample``, a block at a time, in flat memory."""
    known = algorithm(name)
    n, values = known.sampler.check(name, length, options)
    count = whole("count", count, 0)
    source = Sequential(whole("seed", seed, 0, 2**32 - 1))
    return _blocks(known, source, 0, count, n, _scale(truncate_decimals), values)


def _scale(truncate_decimals: int | None) -> float:
    return 0.0 if truncate_decimals is None else 10.0 ** whole("truncate_decimals", truncate_decimals, 0, 15)


def _blocks(
    known: Algorithm, source: Sequential | PerItem, first: int, count: int, length: int, scale: float, values: tuple
) -> Iterator[Block]:
    if isinstance(known.sampler, UserSampler):
        for item in range(first, first + count):
            drawn, size, positions = arguments(
                known.name, known.spec, known.sampler.sample(source, item, length, scale, *values)
            )
            yield Block(known.name, known.spec, size, drawn, *known.record(drawn, 1, size), positions=positions)
        return
    stop, size = first + count, known.sampler.size(length)
    if not _fits(known, length):
        largest = bisect_left(range(1, length), True, key=lambda n: not _fits(known, n))
        raise BadInput(
            f"{known.name} length: {length} is too large, one trace would take more than {MOST_BYTES >> 30} GiB; at most {largest}"
        )
    while first < stop:
        block_count = min(_block_samples(known, size), stop - first)
        drawn = tuple(
            pool.empty((block_count, *p.recorded_shape(size)), p.recorded_dtype) for p in known.spec.arguments.values()
        )
        known.sampler.draw(source, first, drawn, scale, values)
        yield Block(known.name, known.spec, size, drawn, *known.record(drawn, block_count, size))
        first += block_count


def _bytes(known: Algorithm, size: int) -> tuple[int, int]:
    """What a sample's inputs and one of its steps take, about."""
    given = sum(prod(p.recorded_shape(size)) * 8 for p in known.spec.arguments.values())
    return given, sum(prod(p.shape(size)) * p.dtype.itemsize for p in known.spec.hints.values())


def _fits(known: Algorithm, length: int) -> bool:
    """Whether a trace of a step a node, which is few, stays below ``MOST_BYTES``."""
    size = known.sampler.size(length) if isinstance(known.sampler, Sampler) else length
    given, step = _bytes(known, size)
    return given + step * size <= MOST_BYTES


def _block_samples(known: Algorithm, size: int) -> int:
    given, step = _bytes(known, size)
    return max(1, min(BLOCK_SAMPLES, BLOCK_BYTES // (given + step * known.record.steps(size) + 1)))


class Dataset(Sequence[Trace]):
    """Items cycle through the (algorithm, length) cells; item i is sample ``i // cells`` of cell ``i % cells``. See ``dataset``."""

    def __init__(
        self,
        cells: Sequence[tuple[str, int]],
        seed: int,
        count: int | None,
        truncate_decimals: int | None,
        options: Mapping[str, Mapping[str, Any]],
    ) -> None:
        self.cells, self.seed, self.bound = tuple(cells), seed, count
        self.truncate_decimals, self.options = truncate_decimals, options
        self._scale = _scale(truncate_decimals)
        self._known = [algorithm(name) for name, _ in cells]
        self._values = [
            known.sampler.check(name, n, options.get(name, {}))
            for known, (name, n) in zip(self._known, cells, strict=True)
        ]
        self._streams = [
            int.from_bytes(hashlib.blake2b(f"{name}/{n}".encode(), digest_size=8).digest(), "big") for name, n in cells
        ]

    def __len__(self) -> int:
        if self.bound is None:
            raise TypeError("dataset count: None, so it has no length; give dataset(..., count=N) to bound it")
        return self.bound

    def cell(self, k: int, start: int, stop: int) -> Iterator[Block]:
        """Samples start … stop-1 of cell k, a block at a time."""
        length, values = self._values[k]
        return _blocks(
            self._known[k], PerItem(self.seed, self._streams[k]), start, stop - start, length, self._scale, values
        )

    @overload
    def __getitem__(self, item: int) -> Trace: ...
    @overload
    def __getitem__(self, item: slice) -> list[Trace]: ...
    def __getitem__(self, item: int | slice) -> Trace | list[Trace]:
        if isinstance(item, slice):
            return self.items(self._range(item))
        index = operator.index(item)
        if index >= 2**63:
            raise IndexError(f"dataset index: {brief(item)} is not below 2**63")
        if index < 0 and self.bound is not None:
            index += self.bound
        if index < 0 or (self.bound is not None and index >= self.bound):
            raise IndexError(
                f"dataset index: {item} is not in " + (f"0..{self.bound - 1}" if self.bound is not None else "0 up")
            )
        return self.items([index])[0]

    def __reduce__(self):
        return Dataset, (self.cells, self.seed, self.bound, self.truncate_decimals, self.options)

    def _range(self, item: slice) -> range:
        if self.bound is not None:
            return range(*item.indices(self.bound))
        backwards = item.step is not None and operator.index(item.step) < 0
        ends = [end for end in (item.start, item.stop) if end is not None]
        if (item.start is None if backwards else item.stop is None) or any(operator.index(end) < 0 for end in ends):
            raise BadInput(
                f"dataset slice: {item} has no end in a dataset without a count; give both ends from 0 up, or dataset(..., count=N)"
            )
        return range(*item.indices(max(map(operator.index, ends)) + 1))

    def items(self, indices: Sequence[int]) -> list[Trace]:
        """The items of these indices, in this order. Neighbours of one cell are drawn together."""
        result: dict[int, Trace] = {}
        by_cell: dict[int, list[int]] = {}
        for index in sorted(set(indices)):
            by_cell.setdefault(index % len(self.cells), []).append(index // len(self.cells))
        for k, within in by_cell.items():
            start = 0
            for end in range(1, len(within) + 1):
                if end == len(within) or within[end] != within[end - 1] + 1:
                    traces = (t for block in self.cell(k, within[start], within[end - 1] + 1) for t in block.traces())
                    result.update((s * len(self.cells) + k, t) for s, t in zip(within[start:end], traces, strict=True))
                    start = end
        return [result[index] for index in indices]

    def __iter__(self) -> Iterator[Trace]:
        step, first = 64 * len(self.cells), 0
        while self.bound is None or first < self.bound:
            stop = first + step if self.bound is None else min(first + step, self.bound)
            yield from self.items(range(first, stop))
            first = stop

    def __repr__(self) -> str:
        size = "endless" if self.bound is None else f"{self.bound} items"
        return f"<Dataset of {len({n for n, _ in self.cells})} algorithms in {len(self.cells)} (algorithm, length) cells, seed {self.seed}, {size}>"


def dataset(
    algorithms: str | Sequence[str],
    lengths: int | Sequence[int] | Mapping[str, Sequence[int]],
    seed: int = 0,
    *,
    count: int | None = None,
    truncate_decimals: int | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> Dataset:
    """An indexable dataset of traces whose item i depends only on (seed, i).

    Args:
        algorithms: names, or one name.
        lengths: the lengths to cycle through, for all algorithms, or a mapping from name to lengths.
        seed: 0 to 2**64 - 1. An algorithm's samples do not change when others are added to the dataset.
        count: the number of items; None means endless.
        truncate_decimals: as in ``sample``.
        options: sampler options by algorithm, e.g. ``{"bfs": {"p": 0.3}}``.
    """
    if not isinstance(algorithms, str | Sequence):
        raise BadInput(f"dataset algorithms: {brief(algorithms)} is not allowed; a name or a list of names")
    if not isinstance(options or {}, Mapping) or not all(isinstance(own, Mapping) for own in (options or {}).values()):
        raise BadInput(
            f"dataset options: {brief(options)} is not allowed; a mapping from algorithm to a mapping of its options"
        )
    chosen = [algorithms] if isinstance(algorithms, str) else list(algorithms)
    if not chosen:
        raise BadInput("dataset algorithms: an empty list; name at least one")
    cells = []
    for name in chosen:
        algorithm(name, "dataset algorithms")
        own = lengths.get(name) if isinstance(lengths, Mapping) else lengths
        own = [own] if isinstance(own, int | np.integer) else own
        if not isinstance(own, Sequence | np.ndarray) or isinstance(own, str) or len(own) == 0:
            raise BadInput(
                f"dataset lengths: {brief(own)} for {name!r} is not allowed; give a length or a list of at least one"
            )
        cells += [(name, whole(f"{name} length", n, 1)) for n in own]
    if len(set(cells)) < len(cells):
        twice = next(cell for cell in cells if cells.count(cell) > 1)
        raise BadInput(f"dataset: {twice[0]} at length {twice[1]} is listed twice; list each algorithm and length once")
    for name in options or {}:
        if name not in chosen:
            raise unknown("dataset options", name, chosen, "one of its algorithms")
    count = None if count is None else whole("dataset count", count, 0)
    return Dataset(
        cells,
        whole("dataset seed", seed, 0, 2**64 - 1),
        count,
        truncate_decimals,
        {k: dict(v) for k, v in (options or {}).items()},
    )
