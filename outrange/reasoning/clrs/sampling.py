"""Sampling: ``trace`` runs an algorithm on given inputs, ``sample`` repeats the published package's draws, ``dataset``
is the modern contract.

``sample`` draws from one legacy generator, sample after sample, so the same seed, length and options give the inputs
that the published package gives. ``dataset`` gives every item a generator of its own: item i depends on (seed, i) and
nothing else, so workers, shards and resumed runs agree.
"""

import hashlib
import operator
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Any, overload

import numpy as np

from outrange.core.checks import whole
from outrange.core.errors import BadInput, brief, unknown
from outrange.reasoning.clrs.registry import Algorithm, get_algorithm
from outrange.reasoning.clrs.samplers import PerItemSource, Sampler, SequentialSource, Source, UserSampler
from outrange.reasoning.clrs.traces import Block, Trace
from outrange.reasoning.clrs.validate import check_inputs

#: What a block may hold, about: large enough to make calls cheap, small enough for a processor's cache.
BLOCK_BYTES = 2 << 20
MAX_BLOCK_SAMPLES = 128
MAX_TRACE_BYTES = 4 << 30


def trace(name: str, inputs: Mapping[str, Any]) -> Trace:
    """Run an algorithm on your inputs.

    Args:
        name: one of ``clrs.names()``.
        inputs: probe names to arrays, shaped as in ``clrs.spec(name)``; a mask_one may be given as an index, a
            categorical as class numbers. ``pos`` and ``adj`` are derived when absent.

    Raises:
        BadInput: naming the input, what it holds and what the algorithm allows.
    """
    return _run_one(get_algorithm(name), inputs).traces()[0]


def _run_one(algorithm: Algorithm, inputs: Mapping[str, Any]) -> Block:
    """A block of one sample, run on inputs that are checked first."""
    arrays, size, positions = check_inputs(algorithm.name, algorithm.spec, inputs)
    recorded = algorithm.recorder.record(arrays, 1, size)
    return Block(algorithm.name, algorithm.spec, size, arrays, *recorded, positions=positions)


def sample(
    name: str, length: int, count: int = 1, seed: int = 0, *, truncate_decimals: int | None = None, **options: Any
) -> list[Trace]:
    """``count`` traces on the inputs that the published sampler draws from ``seed``.

    Args:
        name: one of ``clrs.names()``.
        length: the sampler's length: nodes, keys, or for the string tasks letters of both strings together.
        count: how many; sample k is the k-th draw of one generator.
        seed: 0 to 2**32 - 1.
        truncate_decimals: cut float inputs toward zero to this many decimals before the algorithm runs, as CLRS-Text
            does (with 3).
        options: the sampler's own, e.g. ``p``, ``low``, ``high``, ``length_needle``, ``max_deadline``, ``k``, ``eps``.

    Raises:
        BadInput: naming the argument or option, its value and what is allowed.
    """
    blocks = sample_blocks(name, length, count, seed, truncate_decimals=truncate_decimals, **options)
    return [trace for block in blocks for trace in block.traces()]


def sample_blocks(
    name: str, length: int, count: int, seed: int = 0, *, truncate_decimals: int | None = None, **options: Any
) -> Iterator[Block]:
    """The same as ``sample``, a block at a time, in flat memory."""
    algorithm = get_algorithm(name)
    checked_length, arguments = algorithm.sampler.check(name, length, options)
    count = whole("count", count, 0)
    source = SequentialSource(whole("seed", seed, 0, 2**32 - 1))
    return _blocks(algorithm, source, 0, count, checked_length, _decimal_scale(truncate_decimals), arguments)


def _decimal_scale(truncate_decimals: int | None) -> float:
    """10**decimals, by which draws multiply before they cut; 0 for not cutting."""
    return 0.0 if truncate_decimals is None else 10.0 ** whole("truncate_decimals", truncate_decimals, 0, 15)


def _blocks(
    algorithm: Algorithm,
    source: Source,
    first: int,
    count: int,
    length: int,
    decimal_scale: float,
    arguments: tuple,
) -> Iterator[Block]:
    """Samples first … first + count - 1, drawn from ``source`` with the sampler's checked ``length``, ``arguments``."""
    if isinstance(algorithm.sampler, UserSampler):  # Python, and of any size: one at a time
        for item in range(first, first + count):
            yield _run_one(algorithm, algorithm.sampler.sample(source, item, length, decimal_scale, *arguments))
        return
    # Refused before memory is asked for, with the largest length that would do.
    if not _fits(algorithm, length):
        largest = bisect_left(range(1, length), True, key=lambda n: not _fits(algorithm, n))
        raise BadInput(
            f"{algorithm.name} length: {length} is too large, one trace would take more than "
            f"{MAX_TRACE_BYTES >> 30} GiB; at most {largest}"
        )
    stop, size = first + count, algorithm.sampler.size(length)
    while first < stop:
        block_count = min(_samples_per_block(algorithm, size), stop - first)
        arrays = tuple(
            np.empty((block_count, *probe.recorded_shape(size)), probe.recorded_dtype)
            for probe in algorithm.spec.arguments.values()
        )
        algorithm.sampler.draw(source, first, arrays, decimal_scale, arguments)
        recorded = algorithm.recorder.record(arrays, block_count, size)
        yield Block(algorithm.name, algorithm.spec, size, arrays, *recorded)
        first += block_count


def _sample_bytes(algorithm: Algorithm, size: int) -> tuple[int, int]:
    """What a sample's inputs and one of its steps take, about."""
    inputs = sum(prod(probe.recorded_shape(size)) * 8 for probe in algorithm.spec.arguments.values())
    step = sum(prod(probe.shape(size)) * probe.dtype.itemsize for probe in algorithm.spec.hints.values())
    return inputs, step


def _fits(algorithm: Algorithm, length: int) -> bool:
    """Whether a trace of a step a node, which is few, stays below ``MAX_TRACE_BYTES``."""
    size = algorithm.sampler.size(length) if isinstance(algorithm.sampler, Sampler) else length
    inputs, step = _sample_bytes(algorithm, size)
    return inputs + step * size <= MAX_TRACE_BYTES


def _samples_per_block(algorithm: Algorithm, size: int) -> int:
    inputs, step = _sample_bytes(algorithm, size)
    sample_bytes = inputs + step * algorithm.recorder.expected_steps(size) + 1
    return max(1, min(MAX_BLOCK_SAMPLES, BLOCK_BYTES // sample_bytes))


class Dataset(Sequence[Trace]):
    """Items cycle through the (algorithm, length) cells; item i is sample ``i // cells`` of cell ``i % cells``.

    See ``dataset``.
    """

    def __init__(
        self,
        cells: Sequence[tuple[str, int]],
        seed: int,
        count: int | None,
        truncate_decimals: int | None,
        options: Mapping[str, Mapping[str, Any]],
    ) -> None:
        self.cells, self.seed, self.item_count = tuple(cells), seed, count
        self.truncate_decimals, self.options = truncate_decimals, options
        self._decimal_scale = _decimal_scale(truncate_decimals)
        self._algorithms = [get_algorithm(name) for name, _ in cells]
        self._checked = [  # (length, sampler arguments) of each cell
            algorithm.sampler.check(name, length, options.get(name, {}))
            for algorithm, (name, length) in zip(self._algorithms, cells, strict=True)
        ]
        self._streams = [_stream(name, length) for name, length in cells]

    def __len__(self) -> int:
        if self.item_count is None:
            raise TypeError("dataset count: None, so it has no length; give dataset(..., count=N) to bound it")
        return self.item_count

    def cell_blocks(self, cell: int, start: int, stop: int) -> Iterator[Block]:
        """Samples start … stop-1 of a cell, by its number, a block at a time."""
        length, arguments = self._checked[cell]
        source = PerItemSource(self.seed, self._streams[cell])
        return _blocks(self._algorithms[cell], source, start, stop - start, length, self._decimal_scale, arguments)

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
        # A bounded dataset counts from its end, too.
        if index < 0 and self.item_count is not None:
            index += self.item_count
        if index < 0 or (self.item_count is not None and index >= self.item_count):
            allowed = f"0..{self.item_count - 1}" if self.item_count is not None else "0 up"
            raise IndexError(f"dataset index: {item} is not in {allowed}")
        return self.items([index])[0]

    def __reduce__(self):
        return Dataset, (self.cells, self.seed, self.item_count, self.truncate_decimals, self.options)

    def _range(self, item: slice) -> range:
        """The indices of a slice; in an endless dataset both ends must be counted from 0."""
        if self.item_count is not None:
            return range(*item.indices(self.item_count))
        is_backwards = item.step is not None and operator.index(item.step) < 0
        is_open = item.start is None if is_backwards else item.stop is None
        ends = [operator.index(end) for end in (item.start, item.stop) if end is not None]
        if is_open or min(ends) < 0:
            raise BadInput(
                f"dataset slice: {item} has no end in a dataset without a count; "
                "give both ends from 0 up, or dataset(..., count=N)"
            )
        return range(*item.indices(max(ends) + 1))

    def items(self, indices: Sequence[int]) -> list[Trace]:
        """The items of these indices, in this order. Neighbours of one cell are drawn together."""
        # Which samples of which cell: item i is sample i // cells of cell i % cells.
        samples_by_cell: dict[int, list[int]] = {}
        for index in sorted(set(indices)):
            samples_by_cell.setdefault(index % len(self.cells), []).append(index // len(self.cells))
        # Consecutive samples of a cell are one draw, in blocks.
        traces: dict[int, Trace] = {}
        for cell, samples in samples_by_cell.items():
            for start, stop in _runs(samples):
                drawn = (trace for block in self.cell_blocks(cell, start, stop) for trace in block.traces())
                for sample_index, trace in zip(range(start, stop), drawn, strict=True):
                    traces[sample_index * len(self.cells) + cell] = trace
        return [traces[index] for index in indices]

    def __iter__(self) -> Iterator[Trace]:
        step, first = 64 * len(self.cells), 0  # 64 samples of each cell at a time
        while self.item_count is None or first < self.item_count:
            stop = first + step if self.item_count is None else min(first + step, self.item_count)
            yield from self.items(range(first, stop))
            first = stop

    def __repr__(self) -> str:
        size = "endless" if self.item_count is None else f"{self.item_count} items"
        algorithm_count = len({name for name, _ in self.cells})
        return (
            f"<Dataset of {algorithm_count} algorithms in {len(self.cells)} (algorithm, length) cells, "
            f"seed {self.seed}, {size}>"
        )


def _stream(name: str, length: int) -> int:
    """The number of a cell's random stream: of its name and length alone, so that other cells do not change it."""
    return int.from_bytes(hashlib.blake2b(f"{name}/{length}".encode(), digest_size=8).digest(), "big")


def _runs(numbers: list[int]) -> Iterator[tuple[int, int]]:
    """The ranges (start, stop) of consecutive numbers in an ascending list."""
    start = 0
    for end in range(1, len(numbers) + 1):
        if end == len(numbers) or numbers[end] != numbers[end - 1] + 1:
            yield numbers[start], numbers[end - 1] + 1
            start = end


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

    Raises:
        BadInput: naming the argument, its value and what is allowed.
    """
    if not isinstance(algorithms, str | Sequence):
        raise BadInput(f"dataset algorithms: {brief(algorithms)} is not allowed; a name or a list of names")
    names = [algorithms] if isinstance(algorithms, str) else list(algorithms)
    if not names:
        raise BadInput("dataset algorithms: an empty list; name at least one")

    options = {} if options is None else options
    if not isinstance(options, Mapping) or not all(isinstance(by_name, Mapping) for by_name in options.values()):
        raise BadInput(
            f"dataset options: {brief(options)} is not allowed; a mapping from algorithm to a mapping of its options"
        )

    # The cells, an (algorithm, length) each.
    cells = []
    for name in names:
        get_algorithm(name, "dataset algorithms")
        cells += [(name, whole(f"{name} length", length, 1)) for length in _lengths_of(name, lengths)]
    if len(set(cells)) < len(cells):
        name, length = next(cell for cell in cells if cells.count(cell) > 1)
        raise BadInput(f"dataset: {name} at length {length} is listed twice; list each algorithm and length once")
    # An option for an algorithm that is not there is most likely a misspelling.
    for name in options:
        if name not in names:
            raise unknown("dataset options", name, names, "one of its algorithms")

    return Dataset(
        cells,
        whole("dataset seed", seed, 0, 2**64 - 1),
        None if count is None else whole("dataset count", count, 0),
        truncate_decimals,
        {name: dict(values) for name, values in options.items()},
    )


def _lengths_of(name: str, lengths: int | Sequence[int] | Mapping[str, Sequence[int]]) -> Sequence[int] | np.ndarray:
    """The lengths of one algorithm."""
    own_lengths = lengths.get(name) if isinstance(lengths, Mapping) else lengths
    if isinstance(own_lengths, int | np.integer):
        own_lengths = [int(own_lengths)]
    if not isinstance(own_lengths, Sequence | np.ndarray) or isinstance(own_lengths, str) or len(own_lengths) == 0:
        raise BadInput(
            f"dataset lengths: {brief(own_lengths)} for {name!r} is not allowed; "
            "give a length or a list of at least one"
        )
    return own_lengths
