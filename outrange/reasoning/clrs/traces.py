"""Traces: what an algorithm was run on, what it remembered at every step, and what it returned.

Samples are recorded in blocks. A ``Trace`` is one sample's view of its block; the public arrays, with their one-hot
axes, are made for the whole block when the first of them is asked for. Shapes and dtypes come from the spec (see
specs.py); hints have time in front.
"""

from functools import cached_property

import numpy as np

from outrange.reasoning.clrs.algorithms.common import compiled
from outrange.reasoning.clrs.specs import Probe, Spec


@compiled
def _fill_one_hot(indices, cells, classes):
    """Fill ``cells``, ``classes`` of them an index, with 0 and a 1 at each index.

    An index of -1 gives a hidden cell: -1 in the last place.
    """
    for i in range(cells.size):
        cells[i] = 0
    for i in range(indices.size):
        if indices[i] >= 0:
            cells[i * classes + np.int64(indices[i])] = 1
        else:
            cells[i * classes + classes - 1] = -1


@compiled
def _fill_adjacency(A, adjacency):
    """1 where A is not 0, and on the diagonal."""
    for b in range(A.shape[0]):
        for i in range(A.shape[1]):
            for j in range(A.shape[2]):
                adjacency[b, i, j] = A[b, i, j] != 0
            adjacency[b, i, i] = 1


def public_array(probe: Probe, recorded: np.ndarray, size: int) -> np.ndarray:
    """The public array of recorded values (any number of leading axes)."""
    if not probe.is_one_hot:
        return recorded
    classes = probe.classes or size
    cells = np.empty((*recorded.shape, classes), probe.dtype)
    _fill_one_hot(recorded.reshape(-1), cells.reshape(-1), classes)
    return cells


def node_positions(spec: Spec, arguments: dict[str, np.ndarray], count: int, size: int) -> np.ndarray:
    """``pos`` (count, size): i / N for node i; for two strings laid end to end, the place in one's own string over its
    length.
    """
    if "string" not in spec.inputs:
        return np.tile(np.arange(size) / size, (count, 1))
    # Both strings are laid end to end; each has positions from 0 to below 1 of its own.
    is_second = arguments["string"].astype(np.int64)
    first_length = size - is_second.sum(1, keepdims=True)
    index = np.arange(size)
    return np.where(is_second == 0, index / first_length, (index - first_length) / (size - first_length))


class Block:
    """Samples of one algorithm and size, as recorded.

    ``arguments`` (by input, without pos and adj) and ``recorded_outputs`` have samples first; ``recorded_hints`` have
    all steps one after another, those of sample b from ``step_offsets[b]`` to ``step_offsets[b + 1]``. ``positions`` is
    ``pos`` if it is not the usual one.
    """

    def __init__(
        self,
        name: str,
        spec: Spec,
        size: int,
        arguments: tuple,
        outputs: tuple,
        hints: tuple,
        ends: np.ndarray,
        positions: np.ndarray | None = None,
    ) -> None:
        self.name, self.spec, self.size, self.positions = name, spec, size, positions
        self.arguments = dict(zip(spec.arguments, arguments, strict=True))
        self.recorded_outputs = dict(zip(spec.outputs, outputs, strict=True))
        self.recorded_hints = dict(zip(spec.hints, hints if spec.hints else (), strict=True))
        self.step_offsets = [0, *ends.tolist()]

    def __len__(self) -> int:
        return len(self.step_offsets) - 1

    def traces(self) -> list["Trace"]:
        """A view for each sample."""
        return [Trace(self, b) for b in range(len(self))]

    @cached_property
    def inputs(self) -> dict[str, np.ndarray]:
        """The public arrays of all inputs, samples first; ``pos`` and ``adj`` derived."""
        result = {}
        for name, probe in self.spec.inputs.items():
            # What no algorithm reads, and so was not recorded, is derived.
            if name == "pos":
                usual = self.positions is None
                result[name] = (
                    node_positions(self.spec, self.arguments, len(self), self.size) if usual else self.positions
                )
            elif name == "adj":
                result[name] = np.empty(self.arguments["A"].shape, probe.dtype)
                _fill_adjacency(self.arguments["A"], result[name])
            else:
                result[name] = public_array(probe, self.arguments[name], self.size)
        return result

    @cached_property
    def outputs(self) -> dict[str, np.ndarray]:
        """The public arrays of all outputs, samples first."""
        result = {}
        for name, probe in self.spec.outputs.items():
            # An output of one value was recorded in an array of one entry.
            recorded = self.recorded_outputs[name].reshape(len(self), *probe.recorded_shape(self.size))
            result[name] = public_array(probe, recorded, self.size)
        return result

    @cached_property
    def hints(self) -> dict[str, np.ndarray]:
        """The public arrays of all hints, the steps of all samples one after another."""
        return {name: public_array(self.spec[name], array, self.size) for name, array in self.recorded_hints.items()}


class Trace:
    """One run of one algorithm.

    ``inputs``, ``hints`` and ``outputs`` map probe names to arrays; ``hints`` have shape (length, …). ``length`` counts
    the recorded steps, ``size`` the nodes.
    """

    __slots__ = ("_block", "_hints", "_index", "_inputs", "_outputs")

    def __init__(self, block: Block, index: int) -> None:
        self._block, self._index = block, index
        self._inputs = self._hints = self._outputs = None  # made when first asked for

    @property
    def name(self) -> str:
        """The algorithm's name."""
        return self._block.name

    @property
    def spec(self) -> Spec:
        """The algorithm's spec."""
        return self._block.spec

    @property
    def size(self) -> int:
        """The number of nodes."""
        return self._block.size

    @property
    def length(self) -> int:
        """The number of recorded steps."""
        offsets = self._block.step_offsets
        return offsets[self._index + 1] - offsets[self._index]

    @property
    def inputs(self) -> dict[str, np.ndarray]:
        """The public arrays of the inputs."""
        if self._inputs is None:
            self._inputs = {name: array[self._index] for name, array in self._block.inputs.items()}
        return self._inputs

    @property
    def outputs(self) -> dict[str, np.ndarray]:
        """The public arrays of the outputs."""
        if self._outputs is None:
            self._outputs = {name: array[self._index] for name, array in self._block.outputs.items()}
        return self._outputs

    @property
    def hints(self) -> dict[str, np.ndarray]:
        """The public arrays of the hints, (length, …)."""
        if self._hints is None:
            offsets = self._block.step_offsets
            start, stop = offsets[self._index], offsets[self._index + 1]
            self._hints = {name: array[start:stop] for name, array in self._block.hints.items()}
        return self._hints

    def recorded(self, name: str) -> np.ndarray:
        """A probe as recorded: a mask_one or categorical as indices (-1 a hidden cell), hints with time in front."""
        block, b = self._block, self._index
        stage = block.spec[name].stage
        if stage == "hint":
            return block.recorded_hints[name][block.step_offsets[b] : block.step_offsets[b + 1]]
        if stage == "output":
            return block.recorded_outputs[name][b].reshape(block.spec[name].recorded_shape(block.size))
        return block.arguments[name][b] if name in block.arguments else block.inputs[name][b]

    def copy(self) -> "Trace":
        """The same trace with a copy of its own data, so that the block it came from can be freed."""
        return Trace(self._one_block(), 0)

    def _one_block(self) -> Block:
        """A block of this sample alone, with its own memory."""
        block, b = self._block, self._index
        arguments = tuple(array[b : b + 1].copy() for array in block.arguments.values())
        outputs = tuple(array[b : b + 1].copy() for array in block.recorded_outputs.values())
        hints = tuple(self.recorded(name).copy() for name in block.recorded_hints)
        positions = None if block.positions is None else block.positions[b : b + 1].copy()
        return Block(block.name, block.spec, block.size, arguments, outputs, hints, np.array([self.length]), positions)

    def __reduce__(self):
        block = self._one_block()  # never the whole block for one of its traces
        arrays = (block.arguments, block.recorded_outputs, block.recorded_hints)
        values = (tuple(by_name.values()) for by_name in arrays)
        return _rebuild, (block.name, block.spec.description, block.size, *values, self.length, block.positions)

    def __repr__(self) -> str:
        return f"<Trace of {self.name}: {self.size} nodes, {self.length} steps>"


def _rebuild(name, description, size, arguments, outputs, hints, length, positions) -> Trace:
    """A trace from what ``Trace.__reduce__`` pickles; the spec travels as its text."""
    return Trace(Block(name, Spec(**description), size, arguments, outputs, hints, np.array([length]), positions), 0)
