"""CLRS traces as the model's arrays, after the generalist's changes to an algorithm's set-up (arXiv 2209.11142, section
3; spec.py says which).

prepare             a batch of traces -> Samples
random_positions    positions drawn anew, so that a model cannot rely on n fixed ones
join_blocks         blocks of traces -> one batch of traces
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from outrange.core.errors import BadInput, brief
from outrange.reasoning import clrs
from outrange.reasoning.clrs.traces import Block
from outrange.reasoning.nar.spec import TaskProbe, is_permutation, moves_pred, task_spec

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Samples:
    """B samples of one algorithm and size N, as the model takes them: a whole batch (``whole_batch``), or one process's
    part of one (``parallel.shard``).

    All arrays are float32, but pointers, which are int64 indices: (B, N) at nodes, (B, N, N) at edges. mask_one and
    categorical have one more axis, one-hot, with the -1 of hidden cells kept; a permutation_pointer is (B, N, N), row i
    one-hot at the predecessor of node i, the first node's being the last.

    Attributes: inputs, outputs: (B, …). hints: (T, B, …), zeros after a sample's end. T is that of the whole batch,
    also in a part of it. lengths: (B,) int64, steps of each sample. batch_lengths: of the whole batch that this is a
    part of, in its order. batch_indices: (B,) int64, the places of these samples in the whole batch. reaches_end: (B,)
    bool, whether a sample's outputs count; False where it is a stretch that stops before the end (chunks.py).
    """

    algorithm: str
    size: int
    spec: dict[str, TaskProbe]
    inputs: Arrays
    hints: Arrays
    outputs: Arrays
    lengths: np.ndarray
    batch_lengths: np.ndarray
    batch_indices: np.ndarray
    reaches_end: np.ndarray

    @classmethod
    def whole_batch(
        cls,
        algorithm: str,
        size: int,
        spec: dict[str, TaskProbe],
        inputs: Arrays,
        hints: Arrays,
        outputs: Arrays,
        lengths: np.ndarray,
        reaches_end: np.ndarray | None = None,
    ) -> "Samples":
        """A batch that is no part of another; without ``reaches_end`` every sample is there to its end."""
        count = len(lengths)
        whole = np.ones(count, bool) if reaches_end is None else reaches_end
        return cls(algorithm, size, spec, inputs, hints, outputs, lengths, lengths, np.arange(count), whole)

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def steps(self) -> int:
        """T, to which hints are padded."""
        return len(next(iter(self.hints.values()))) if self.hints else int(self.batch_lengths.max())


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
        BadInput: a ``pred_h`` that was to become an input changes, or an output that was to become a permutation is not
            one.
    """
    spec = task_spec(batch.spec, pred_as_input=pred_as_input, permutations=permutations)
    inputs, hints, outputs = dict(batch.inputs), dict(batch.hints), dict(batch.outputs)
    lengths = batch.lengths.astype(np.int64, copy=False)
    if random_pos is not None and "pos" in inputs:
        inputs["pos"] = random_positions(inputs["pos"], random_pos)
    if moves_pred(batch.spec, pred_as_input):
        inputs["pred"] = _constant_hint(batch.name, hints.pop("pred_h"), lengths)
    for name, probe in batch.spec.items():
        if is_permutation(probe, permutations):
            outputs[name], outputs[f"{name}_mask"] = _permutation(batch.name, name, outputs[name])
    return Samples.whole_batch(
        batch.name,
        batch.size,
        spec,
        _as_model_types(spec, "input", inputs),
        _as_model_types(spec, "hint", hints),
        _as_model_types(spec, "output", outputs),
        lengths,
    )


def _as_model_types(spec: Mapping[str, TaskProbe], stage: str, arrays: Arrays) -> Arrays:
    """The arrays of a stage, in the order of the spec and of the model's types."""
    return {
        name: arrays[name].astype(_model_dtype(probe.type), copy=False)
        for name, probe in spec.items()
        if probe.stage == stage
    }


def _model_dtype(probe_type: str) -> type:
    return np.int64 if probe_type in ("pointer", "should_be_permutation") else np.float32


def random_positions(pos: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Positions (B, N) for those given: one block of uniform draws, sorted within each run of nodes that starts at a 0."""
    draws = rng.random(pos.shape)
    run = (pos == 0).cumsum(1)  # a string task has a run for each of its strings
    return np.take_along_axis(draws, np.lexsort((draws, run), axis=-1), axis=1)


def _constant_hint(algorithm: str, pred: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The first step (B, N) of a hint (T, B, N) that never changes."""
    alive = np.arange(len(pred))[:, None] < lengths  # what stands after a sample's end does not count
    if ((pred != pred[0]).any(-1) & alive).any():
        raise BadInput(
            f"{algorithm} hint pred_h: changes from step to step, so it cannot become an input; pass pred_as_input=False"
        )
    return pred[0]


def _permutation(algorithm: str, name: str, pointers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The permutation (B, N, N) and mask (B, N) of predecessor chains (B, N)."""
    nodes = np.arange(pointers.shape[1])
    is_first = pointers == nodes  # points to itself
    permutation = (pointers[..., None] == nodes).astype(np.float32)
    is_last = permutation.sum(1) == 0  # nobody points to it
    is_chain = (is_first.sum(1) == 1) & (is_last.sum(1) == 1)
    if is_chain.all():
        permutation[is_first] = is_last  # the first node's predecessor is the last: the chain becomes a cycle
        is_chain = (permutation.sum(1) == 1).all(1)
    if not is_chain.all():
        raise BadInput(
            f"{algorithm} output {name}: {brief(pointers[is_chain.argmin()].tolist())} is not a chain of predecessors of at least two nodes, "
            "whose first one points to itself; make it a pointer in the spec, or pass permutations=False"
        )
    return permutation, is_first.astype(np.float32)


def join_blocks(blocks: Sequence[Block]) -> clrs.Batch:
    """Blocks of one algorithm as a batch, like ``clrs.batch`` of their traces but without a loop over them; hints are
    of the model's types already.
    """
    first = blocks[0]
    for block in blocks:
        if block.size != first.size:
            raise BadInput(
                f"{first.name} sampler: gave {first.size} and {block.size} nodes for one length; a batch needs one number of nodes"
            )
    # a block's hints stand one sample after another: row r of all of them is step ``step[r]`` of sample ``sample[r]``
    lengths = np.concatenate([np.diff(block.step_offsets) for block in blocks])
    sample = np.repeat(np.arange(len(lengths)), lengths)
    step = np.arange(len(sample)) - np.repeat(lengths.cumsum() - lengths, lengths)
    hints = {}
    for name, probe in first.spec.hints.items():
        rows = _concatenated([block.hints[name] for block in blocks])
        hints[name] = np.zeros((int(lengths.max()), len(lengths), *rows.shape[1:]), _model_dtype(probe.type))
        hints[name][step, sample] = rows
    inputs = {name: _concatenated([block.inputs[name] for block in blocks]) for name in first.spec.inputs}
    outputs = {name: _concatenated([block.outputs[name] for block in blocks]) for name in first.spec.outputs}
    return clrs.Batch(first.name, first.spec, first.size, inputs, hints, outputs, lengths)


def _concatenated(arrays: Sequence[np.ndarray]) -> np.ndarray:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)  # a copy costs, and one block is the usual case


def position_generator(seed: int, purpose: str, *numbers: int) -> np.random.Generator:
    """The generator of random positions for one purpose, from the seed, the purpose's name and numbers."""
    stream = int.from_bytes(hashlib.blake2b(purpose.encode(), digest_size=8).digest(), "big")
    return np.random.default_rng([seed, stream, *numbers])
