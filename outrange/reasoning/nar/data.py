"""The generalist's data: CLRS traces as the model's arrays, endless training batches, and the sets to evaluate on (arXiv 2209.11142, section 3).

    prepare         a batch of traces -> Samples: random positions, pred as input, permutations (spec.py says which)
    Feed            training batches of one algorithm: feed[k] depends on (seed, algorithm, k) alone
    Background      draws what comes next in a thread
    shard           one process's part of a batch
    evaluation      the validation and test sets

Training draws from ``clrs.dataset``, not from the published sampler's generator, so batches differ from the published ones but not their distribution.
Deviations: validation takes one batch of random positions a batch of 32, from generators of our own."""

import hashlib
import queue
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from outrange.core.checks import whole
from outrange.core.errors import BadInput, brief, unknown
from outrange.reasoning import clrs
from outrange.reasoning.clrs.registry import get_algorithm as known_algorithm
from outrange.reasoning.clrs.splits import MULTIPLIERS
from outrange.reasoning.clrs.trace import Block, Trace
from outrange.reasoning.nar.spec import Probe, is_permutation, moves_pred, task_spec

BATCH = 32  # of evaluation
EVALUATION_SEEDS = {"val": 2, "test": 3}  # the published splits' own
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Samples:
    """B samples of one algorithm and size N, as the model takes them.

    All arrays are float32, but pointers, which are int64 indices: (B, N) at nodes, (B, N, N) at edges. mask_one and categorical have one more axis, one-hot,
    with the -1 of hidden cells kept; a permutation_pointer is (B, N, N), row i one-hot at the predecessor of node i, the first node's being the last.

    Attributes:
        inputs, outputs: (B, …).
        hints: (T, B, …), zeros after a sample's end. T is that of the whole batch, also in a shard.
        lengths: (B,) int64, steps of each sample.
        all_lengths: of the whole batch that this is a shard of, in its order; else ``lengths``.
        indices: (B,) int64, the places of these samples in the whole batch.
        ended: (B,) bool, whether a sample's outputs count; False where it is a stretch that stops before the end (chunks.py).
    """

    algorithm: str
    size: int
    spec: dict[str, Probe]
    inputs: Arrays
    hints: Arrays
    outputs: Arrays
    lengths: np.ndarray
    all_lengths: np.ndarray = field(default=None)  # type: ignore[assignment]
    indices: np.ndarray = field(default=None)  # type: ignore[assignment]
    ended: np.ndarray = field(default=None)  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if self.all_lengths is None:
            object.__setattr__(self, "all_lengths", self.lengths)
        if self.indices is None:
            object.__setattr__(self, "indices", np.arange(len(self.lengths)))
        if self.ended is None:
            object.__setattr__(self, "ended", np.ones(len(self.lengths), bool))

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def steps(self) -> int:
        """T, to which hints are padded."""
        return len(next(iter(self.hints.values()))) if self.hints else int(self.all_lengths.max())


def prepare(
    batch: clrs.Batch,
    *,
    random_pos: np.random.Generator | None,
    pred_as_input: bool | str = True,
    permutations: bool = True,
) -> Samples:
    """A batch of traces as the model takes it.

    Args:
        batch: as ``clrs.batch`` gives it.
        random_pos: replaces ``pos`` by sorted uniform draws, within each string of a string task; None keeps it.
        pred_as_input, permutations: as in ``spec.task_spec``.

    Raises:
        BadInput: a ``pred_h`` that was to become an input changes, or an output that was to become a permutation is not one.
    """
    spec = task_spec(batch.spec, pred_as_input=pred_as_input, permutations=permutations)
    inputs, hints, outputs = dict(batch.inputs), dict(batch.hints), dict(batch.outputs)
    lengths = batch.lengths.astype(np.int64, copy=False)
    if random_pos is not None and "pos" in inputs:
        inputs["pos"] = random_positions(inputs["pos"], random_pos)
    if moves_pred(batch.spec, pred_as_input):
        inputs["pred"] = _constant(batch.name, hints.pop("pred_h"), lengths)
    for name, probe in batch.spec.items():
        if is_permutation(probe, permutations):
            outputs[name], outputs[f"{name}_mask"] = _cyclic(batch.name, name, outputs[name])
    inputs, hints, outputs = (
        _typed(spec, stage, arrays) for stage, arrays in (("input", inputs), ("hint", hints), ("output", outputs))
    )
    return Samples(batch.name, batch.size, spec, inputs, hints, outputs, lengths)


def _typed(spec: Mapping[str, Probe], stage: str, arrays: Arrays) -> Arrays:
    return {
        name: arrays[name].astype(_dtype(probe), copy=False) for name, probe in spec.items() if probe.stage == stage
    }


def _dtype(probe: Any) -> type:
    return np.int64 if probe.type in ("pointer", "should_be_permutation") else np.float32


def random_positions(pos: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Positions (B, N) for those given: one block of uniform draws, sorted within each run of nodes that starts at a 0."""
    draws = rng.random(pos.shape)
    run = (pos == 0).cumsum(1)
    return np.take_along_axis(draws, np.lexsort((draws, run), axis=-1), axis=1)


def _constant(algorithm: str, pred: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The first step (B, N) of a hint (T, B, N) that never changes."""
    alive = np.arange(len(pred))[:, None] < lengths
    if ((pred != pred[0]).any(-1) & alive).any():
        raise BadInput(
            f"{algorithm} hint pred_h: changes from step to step, so it cannot become an input; pass pred_as_input=False"
        )
    return pred[0]


def _cyclic(algorithm: str, name: str, pointers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The permutation (B, N, N) and mask (B, N) of predecessor chains (B, N)."""
    nodes = np.arange(pointers.shape[1])
    first = pointers == nodes  # points to itself
    permutation = (pointers[..., None] == nodes).astype(np.float32)
    last = permutation.sum(1) == 0  # nobody points to it
    chains = (first.sum(1) == 1) & (last.sum(1) == 1)
    if chains.all():
        permutation[first] = last
        chains = (permutation.sum(1) == 1).all(1)
    if not chains.all():
        raise BadInput(
            f"{algorithm} output {name}: {brief(pointers[chains.argmin()].tolist())} is not a chain of predecessors of at least two nodes, "
            "whose first one points to itself; make it a pointer in the spec, or pass permutations=False"
        )
    return permutation, first.astype(np.float32)


def _collect(blocks: Sequence[Block]) -> clrs.Batch:
    """Blocks of one algorithm as a batch, like ``clrs.batch`` of their traces but without a loop over them; hints are of the model's dtype already."""
    first = blocks[0]
    for block in blocks:
        if block.size != first.size:
            raise BadInput(
                f"{first.name} sampler: gave {first.size} and {block.size} nodes for one length; a batch needs one number of nodes"
            )
    lengths = np.concatenate([np.diff(block.step_offsets) for block in blocks])
    lane = np.repeat(np.arange(len(lengths)), lengths)
    step = np.arange(len(lane)) - np.repeat(lengths.cumsum() - lengths, lengths)
    hints = {}
    for name, probe in first.spec.hints.items():
        flat = _joined([block.hints[name] for block in blocks])
        hints[name] = np.zeros((int(lengths.max()), len(lengths), *flat.shape[1:]), _dtype(probe))
        hints[name][step, lane] = flat
    inputs = {name: _joined([block.inputs[name] for block in blocks]) for name in first.spec.inputs}
    outputs = {name: _joined([block.outputs[name] for block in blocks]) for name in first.spec.outputs}
    return clrs.Batch(first.name, first.spec, first.size, inputs, hints, outputs, lengths)


def _joined(arrays: Sequence[np.ndarray]) -> np.ndarray:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _generator(seed: int, purpose: str, *numbers: int) -> np.random.Generator:
    """A generator for one purpose, from the seed, the purpose's name and numbers."""
    stream = int.from_bytes(hashlib.blake2b(purpose.encode(), digest_size=8).digest(), "big")
    return np.random.default_rng([seed, stream, *numbers])


def shard(samples: Samples, rank: int, world: int) -> Samples:
    """One process's part of a batch: dealt out in turn from the longest trace to the shortest, so that all have about equal work.

    Hints keep the whole batch's T, and ``all_lengths`` its lengths: losses divide by counts over the whole batch.
    """
    world = whole("shard world", world, 1, len(samples))
    rank = whole("shard rank", rank, 0, world - 1)
    mine = np.argsort(-samples.lengths, kind="stable")[rank::world]
    return replace(
        samples,
        inputs={name: array[mine] for name, array in samples.inputs.items()},
        hints={name: array[:, mine] for name, array in samples.hints.items()},
        outputs={name: array[mine] for name, array in samples.outputs.items()},
        lengths=samples.lengths[mine],
        all_lengths=samples.all_lengths,
        indices=samples.indices[mine],
        ended=samples.ended[mine],
    )


class Feed:
    """Training batches of one algorithm; ``feed[k]`` is that of step k and depends on (seed, algorithm, k) alone.

    Lengths take turns; every sample is fresh. By default lengths and sampler options are the generalist's (random edge probabilities and needles).

    Args:
        algorithm: one of ``clrs.names()``.
        batch_size: B.
        seed: 0 to 2**64 - 1.
        lengths: sampler lengths to take turns; None for the generalist's.
        options: of the algorithm's sampler; None for the generalist's.
        random_pos: whether positions are random.
        pred_as_input, permutations: as in ``spec.task_spec``.
    """

    def __init__(
        self,
        algorithm: str,
        batch_size: int = 32,
        seed: int = 0,
        lengths: Sequence[int] | None = None,
        options: Mapping[str, Any] | None = None,
        random_pos: bool = True,
        pred_as_input: bool | str = True,
        permutations: bool = True,
    ) -> None:
        known = known_algorithm(algorithm)
        usual_lengths, usual_options = clrs.generalist(algorithm)
        self.algorithm = algorithm
        self.batch_size = whole("batch_size", batch_size, 1, 2**20)
        self.options = dict(usual_options if options is None else options)
        self.random_pos = random_pos
        self.changes: dict[str, Any] = dict(pred_as_input=pred_as_input, permutations=permutations)
        self.spec = task_spec(known.spec, **self.changes)
        self.data = clrs.dataset(
            algorithm, usual_lengths if lengths is None else lengths, seed, options={algorithm: self.options}
        )
        self.seed, self.lengths = self.data.seed, tuple(length for _, length in self.data.cells)

    def __getitem__(self, k: int) -> Samples:
        round_, turn = divmod(whole("step", k, 0, 2**62), len(self.lengths))
        return self._samples(turn, round_, "positions", k)

    def _samples(self, turn: int, round_: int, *key: Any) -> Samples:
        """Samples round_ * B … of the length whose turn it is."""
        blocks = list(self.data.cell_blocks(turn, round_ * self.batch_size, (round_ + 1) * self.batch_size))
        rng = _generator(self.seed, f"{self.algorithm}/{key[0]}", *key[1:]) if self.random_pos else None
        return prepare(_collect(blocks), random_pos=rng, **self.changes)


Item = TypeVar("Item", covariant=True)


class Indexed(Protocol[Item]):
    """What ``Background`` draws from: a ``Feed``, a ``ChunkedFeed``, or anything else with steps."""

    def __getitem__(self, k: int, /) -> Item: ...


class Background(Generic[Item]):
    """Yields (k, feed[k]) for k = start, start + 1, …, drawing up to ``ahead`` steps ahead in a thread.

    What the feed raises is raised by ``next``. Close it, or use it in a ``with``: no thread is left behind then. Nobody else may use a ChunkedFeed meanwhile.
    """

    def __init__(self, feed: Indexed[Item], start: int = 0, ahead: int = 2) -> None:
        self._drawn: queue.SimpleQueue = queue.SimpleQueue()
        self._room = threading.Semaphore(whole("ahead", ahead, 1, 2**20))
        stopped = threading.Event()
        work = (feed, whole("start", start, 0, 2**62), self._drawn, self._room, stopped)
        thread = threading.Thread(target=_draw, args=work, name="outrange-feed", daemon=True)
        # the thread knows nothing of this object, so that dropping it ends the thread
        self.close = weakref.finalize(self, _stop, stopped, self._room, thread, self._drawn)
        thread.start()

    def __iter__(self) -> Iterator[tuple[int, Item]]:
        return self

    def __next__(self) -> tuple[int, Item]:
        if not self.close.alive:
            raise StopIteration
        k, drawn = self._drawn.get()
        self._room.release()
        if isinstance(drawn, BaseException):
            self.close()
            raise drawn
        if k < 0:
            raise StopIteration
        return k, drawn

    def __enter__(self) -> "Background[Item]":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _draw(feed: Indexed, k: int, drawn: queue.SimpleQueue, room: threading.Semaphore, stopped: threading.Event) -> None:
    while True:
        room.acquire()
        if stopped.is_set():
            return
        try:
            item = feed[k]
        except BaseException as error:
            drawn.put((k, error))
            return
        drawn.put((k, item))
        del item
        k += 1


def _stop(
    stopped: threading.Event, room: threading.Semaphore, thread: threading.Thread, drawn: queue.SimpleQueue
) -> None:
    stopped.set()
    room.release()
    if thread is not threading.current_thread():
        thread.join()
    drawn.put((-1, None))  # for one who waits meanwhile


class Evaluation(Sequence[Samples]):
    """Batches of 32, in order; prepared when asked for, so that only the traces, which are compact, stay in memory."""

    def __init__(self, traces: Sequence[Trace], random_pos: int | None, changes: Mapping[str, Any]) -> None:
        self._traces, self._random_pos, self._changes = traces, random_pos, changes

    def __len__(self) -> int:
        return -(-len(self._traces) // BATCH)

    @property
    def total(self) -> int:
        """How many samples there are in all batches."""
        return len(self._traces)

    def __getitem__(self, b):  # pyright: ignore[reportIncompatibleMethodOverride]
        if isinstance(b, slice):
            return [self[i] for i in range(*b.indices(len(self)))]
        b = range(len(self))[b]
        traces = [
            trace.copy() for trace in self._traces[b * BATCH : (b + 1) * BATCH]
        ]  # else their blocks would keep every one-hot ever asked for
        rng = None if self._random_pos is None else _generator(self._random_pos, f"{traces[0].name}/evaluation", b)
        return prepare(clrs.batch(traces), random_pos=rng, **self._changes)


def evaluation(
    algorithm: str,
    split: str = "val",
    *,
    size: int | None = None,
    count: int | None = None,
    seed: int | None = None,
    random_pos: bool | None = None,
    pred_as_input: bool | str = True,
    permutations: bool = True,
) -> Evaluation:
    """The samples on which an algorithm is evaluated, in batches of 32.

    val: 64 samples times the published multiplier, of the longest training length (16; 20 for the string matchers), by the generalist's sampler options, with
    random positions. test: the published CLRS-30 split (n = 64, plain positions, the sampler's default options).

    Args:
        algorithm: one of ``clrs.names()``.
        split: "val" or "test".
        size: another sampler length; then test draws as many samples from ``seed``, too.
        count: another number of samples, of the same sequence.
        seed: of the sampler; by default 2 for val and 3 for test, as in the published splits.
        random_pos: whether positions are random; by default in val, not in test.
        pred_as_input, permutations: as in ``spec.task_spec``.
    """
    known_algorithm(algorithm)
    if split not in EVALUATION_SEEDS:
        raise unknown("split", split, EVALUATION_SEEDS, "a split to evaluate on")
    multiplier = MULTIPLIERS.get(algorithm, 1)
    drawn_seed = EVALUATION_SEEDS[split] if seed is None else seed
    if split == "val":
        lengths, options = clrs.generalist(algorithm)
        length, usual = max(lengths), 64 * multiplier
    else:
        length, usual, options = 64, 32 * multiplier, {}
    wanted = usual if count is None else whole("count", count, 1)
    traces = clrs.sample(algorithm, length if size is None else size, wanted, drawn_seed, **options)
    random = split == "val" if random_pos is None else random_pos
    return Evaluation(
        traces, drawn_seed if random else None, dict(pred_as_input=pred_as_input, permutations=permutations)
    )
