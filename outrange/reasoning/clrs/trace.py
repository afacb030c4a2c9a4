"""Traces: what an algorithm was given, what it remembered at every step, and what it returned.

Samples are recorded in blocks. A ``Trace`` is one sample's view of its block; the public arrays, with their one-hot axes, are made for the whole block when
the first of them is asked for. Shapes and dtypes come from the spec (see specs.py); hints have time in front.
"""

from functools import cached_property

import numpy as np

from outrange.reasoning.clrs.caching import compiled
from outrange.reasoning.clrs.memory import pool
from outrange.reasoning.clrs.specs import Probe, Spec


@compiled
def _one_hot(indices, cells, classes):
    """Fill ``cells``, ``classes`` of them an index, with 0 and a 1 at each index; an index of -1 gives a hidden cell: -1 in the last place."""
    for i in range(cells.size):
        cells[i] = 0
    for i in range(indices.size):
        if indices[i] >= 0:
            cells[i * classes + np.int64(indices[i])] = 1
        else:
            cells[i * classes + classes - 1] = -1


@compiled
def _adjacency(A, adjacency):
    """1 where A is not 0, and on the diagonal."""
    for b in range(A.shape[0]):
        for i in range(A.shape[1]):
            for j in range(A.shape[2]):
                adjacency[b, i, j] = A[b, i, j] != 0
            adjacency[b, i, i] = 1


def public(probe: Probe, recorded: np.ndarray, size: int) -> np.ndarray:
    """The public array of recorded values (any number of leading axes)."""
    if not probe.by_index:
        return recorded
    classes = probe.classes or size
    cells = pool.empty((*recorded.shape, classes), probe.dtype)
    _one_hot(recorded.reshape(-1), cells.reshape(-1), classes)
    return cells


def even_positions(spec: Spec, arguments: dict[str, np.ndarray], count: int, size: int) -> np.ndarray:
    """``pos``: i / N for node i; for two strings laid end to end, the place in one's own string over its length."""
    if "string" not in spec.inputs:
        return np.tile(np.arange(size) / size, (count, 1))
    second = arguments["string"].astype(np.int64)
    first_length = size - second.sum(1, keepdims=True)
    index = np.arange(size)
    return np.where(second == 0, index / first_length, (index - first_length) / (size - first_length))


class Block:
    """Samples of one algorithm and size, as recorded: ``arguments`` and ``outputs`` samples first, ``hints`` all steps one after another."""

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
        self.bounds = [0, *ends.tolist()]

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def traces(self) -> list["Trace"]:
        return [Trace(self, b) for b in range(len(self))]

    @cached_property
    def inputs(self) -> dict[str, np.ndarray]:
        result = {}
        for name, probe in self.spec.inputs.items():
            if name == "pos":
                given = self.positions
                result[name] = (
                    even_positions(self.spec, self.arguments, len(self), self.size) if given is None else given
                )
            elif name == "adj":
                result[name] = pool.empty(self.arguments["A"].shape, probe.dtype)
                _adjacency(self.arguments["A"], result[name])
            else:
                result[name] = public(probe, self.arguments[name], self.size)
        return result

    @cached_property
    def outputs(self) -> dict[str, np.ndarray]:
        shaped = (
            (n, p, self.recorded_outputs[n].reshape(len(self), *p.recorded_shape(self.size)))
            for n, p in self.spec.outputs.items()
        )
        return {name: public(probe, array, self.size) for name, probe, array in shaped}

    @cached_property
    def hints(self) -> dict[str, np.ndarray]:
        return {name: public(self.spec[name], array, self.size) for name, array in self.recorded_hints.items()}


class Trace:
    """One run of one algorithm.

    ``inputs``, ``hints`` and ``outputs`` map probe names to arrays; ``hints`` have shape (length, …). ``length`` counts the recorded steps, ``size`` the nodes.
    """

    __slots__ = ("_block", "_hints", "_index", "_inputs", "_outputs")

    def __init__(self, block: Block, index: int) -> None:
        self._block, self._index = block, index
        self._inputs = self._hints = self._outputs = None

    @property
    def name(self) -> str:
        return self._block.name

    @property
    def spec(self) -> Spec:
        return self._block.spec

    @property
    def size(self) -> int:
        return self._block.size

    @property
    def length(self) -> int:
        start, stop = self._block.bounds[self._index : self._index + 2]
        return stop - start

    @property
    def inputs(self) -> dict[str, np.ndarray]:
        if self._inputs is None:
            b = self._index
            self._inputs = {name: array[b] for name, array in self._block.inputs.items()}
        return self._inputs

    @property
    def outputs(self) -> dict[str, np.ndarray]:
        if self._outputs is None:
            b = self._index
            self._outputs = {name: array[b] for name, array in self._block.outputs.items()}
        return self._outputs

    @property
    def hints(self) -> dict[str, np.ndarray]:
        if self._hints is None:
            start, stop = self._block.bounds[self._index : self._index + 2]
            self._hints = {name: array[start:stop] for name, array in self._block.hints.items()}
        return self._hints

    def recorded(self, probe: str) -> np.ndarray:
        """A probe as recorded: a mask_one or categorical as indices (-1 a hidden cell), hints with time in front."""
        block, b = self._block, self._index
        stage = block.spec[probe].stage
        if stage == "hint":
            return block.recorded_hints[probe][block.bounds[b] : block.bounds[b + 1]]
        if stage == "output":
            return block.recorded_outputs[probe][b].reshape(block.spec[probe].recorded_shape(block.size))
        return block.arguments[probe][b] if probe in block.arguments else block.inputs[probe][b]

    def alone(self) -> "Trace":
        """The same trace with a copy of its own data, so that the block it came from can be freed."""
        block, b = self._block, self._index
        arguments = tuple(array[b : b + 1].copy() for array in block.arguments.values())
        outputs = tuple(array[b : b + 1].copy() for array in block.recorded_outputs.values())
        hints = tuple(self.recorded(name).copy() for name in block.recorded_hints)
        given = None if block.positions is None else block.positions[b : b + 1].copy()
        return Trace(
            Block(block.name, block.spec, block.size, arguments, outputs, hints, np.array([self.length]), given), 0
        )

    def __reduce__(self):
        own = self.alone()._block
        data = (tuple(part.values()) for part in (own.arguments, own.recorded_outputs, own.recorded_hints))
        return _rebuild, (own.name, own.spec.description, own.size, *data, self.length, own.positions)

    def __repr__(self) -> str:
        return f"<Trace of {self.name}: {self.size} nodes, {self.length} steps>"


def _rebuild(name, description, size, arguments, outputs, hints, length, positions) -> Trace:
    return Trace(Block(name, Spec(**description), size, arguments, outputs, hints, np.array([length]), positions), 0)
