"""The recorder: runs an algorithm's generator over a block of inputs and copies every state it yields into flat buffers.

One recorder is compiled per algorithm and kept on disk. Numba keys its cache by the recorder's own file and name, so the name carries a hash of every source
that is compiled into it: an edited algorithm is never served from an old cache. The buffers have one row a step, the steps of all samples one after another;
when they are full the recorder stops before the sample that did not fit, and is called again with larger ones.
"""

import functools
import hashlib
import inspect
import re
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from types import FunctionType

import numpy as np
from numba import config, njit
from numba.core import event, types
from numba.core.errors import TypingError
from numba.extending import overload

from outrange.reasoning.clrs.specs import Spec


def _record_template(inputs, outputs, buffers, ends, first, row):
    """Run samples first, first + 1, …; returns how many are done. ``ends[b]`` is the row after the last step of sample b."""
    capacity = buffers[0].shape[0]
    for b in range(first, ends.size):
        for state in _algorithm(*(_row(inputs, b) + _row(outputs, b))):  # type: ignore[name-defined]  # noqa: F821
            if row == capacity:
                return b
            _write(buffers, row, state)
            row += 1
        ends[b] = row
    return ends.size


def _row(arrays, b):
    return tuple(array[b] for array in arrays)


def _write(buffers, row, state):
    for buffer, value in zip(buffers, state, strict=True):
        buffer[row] = value


@njit
def _put_vector(buffer, row, values):
    for i in range(values.size):
        buffer[row, i] = values[i]


@njit
def _put_matrix(buffer, row, values):
    for i in range(values.shape[0]):
        for j in range(values.shape[1]):
            buffer[row, i, j] = values[i, j]


def _function(text: str, **names):
    exec(text, names)  # noqa: S102 - the text is made here, from numbers only
    return names["function"]


@overload(_row)
def _row_compiled(arrays, b):
    items = "".join(f"arrays[{k}][b]," for k in range(len(arrays)))
    return _function(f"def function(arrays, b):\n    return ({items})")


@overload(_write)
def _write_compiled(buffers, row, state):
    if len(buffers) != len(state):
        raise TypingError(f"the algorithm yields {len(state)} values, its spec has {len(buffers)} hints; yield one per hint, in the order of the spec")
    lines = ["def function(buffers, row, state):"]
    for k, (buffer, value) in enumerate(zip(buffers, state, strict=True)):
        dimensions = value.ndim if isinstance(value, types.Array) else 0
        if dimensions != buffer.ndim - 1:
            raise TypingError(f"hint number {k + 1} has {dimensions} axes, its spec says {buffer.ndim - 1}; yield an index for a node mask_one")
        put = ("buffers[{k}][row] = state[{k}]", "vector(buffers[{k}], row, state[{k}])", "matrix(buffers[{k}], row, state[{k}])")[dimensions]
        lines.append("    " + put.format(k=k))
    return _function("\n".join(lines), vector=_put_vector, matrix=_put_matrix)


@functools.cache
def _source_hash(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _fingerprint(algorithm: Callable) -> str | None:
    """A hash of all sources compiled into the recorder of ``algorithm``, or None when they cannot be read (then nothing is cached)."""
    here = Path(__file__).parent
    try:
        own = inspect.getsourcefile(algorithm)
        paths = {str(here / "record.py"), str(here / "specs.py"), str(here / "algorithms" / "common.py"), str(own)}
        return hashlib.sha256("".join(_source_hash(p) for p in sorted(paths)).encode()).hexdigest()[:12]
    except (OSError, TypeError):
        return None


def make_recorder(name: str, algorithm: Callable) -> Callable:
    """The recorder of one algorithm (a generator, compiled or plain), compiled at its first call."""
    plain = getattr(algorithm, "py_func", algorithm)
    if not config.DISABLE_JIT and plain is algorithm:
        algorithm = njit(plain)
    fingerprint = _fingerprint(plain)
    title = re.sub(r"\W", "_", f"record_{name}_{fingerprint}")
    record = FunctionType(_record_template.__code__, {**globals(), "_algorithm": algorithm}, title)
    record.__qualname__, record.__module__, record.__doc__ = title, __name__, _record_template.__doc__
    return njit(record, cache=fingerprint is not None)


class _Announcer(event.Listener):
    """Says once on stderr that a compilation has begun: it takes seconds, and silence looks like a hang."""

    def __init__(self, what: str) -> None:
        self.what, self.said = what, False

    def on_start(self, event: event.Event) -> None:
        if not self.said:
            self.said, self.began = True, time.perf_counter()
            print(f"outrange: compiling {self.what} (once; the result is kept on disk) …", file=sys.stderr, flush=True)

    def on_end(self, event: event.Event) -> None:
        pass


@contextmanager
def announced(what: str):
    """Within this block, compilations are announced."""
    if config.DISABLE_JIT:
        yield
        return
    with event.install_listener("numba:compile", _Announcer(what)):
        yield


class Recorder:
    """Runs one algorithm over blocks of inputs. ``plain=True`` runs its text as ordinary Python instead."""

    def __init__(self, name: str, spec: Spec, algorithm: Callable, plain: bool = False) -> None:
        self.name, self.spec = name, spec
        if plain:
            names = {**globals(), "_algorithm": getattr(algorithm, "py_func", algorithm)}
            self._run = FunctionType(_record_template.__code__, names, "record_plain")
        else:
            self._run = make_recorder(name, algorithm)
        self._steps: dict[int, int] = {}  # size -> the most steps a sample has taken so far
        self._ready = plain

    def __call__(self, inputs: tuple[np.ndarray, ...], count: int, size: int):
        """Record ``count`` samples of ``size`` nodes.

        ``inputs`` holds one array an argument, samples first. Returns (outputs, hints, ends): outputs as recorded, samples first; hints as recorded, the
        steps of all samples one after another; and for each sample the number of rows up to its last step.
        """
        spec = self.spec
        outputs = tuple(np.zeros((count, *(p.recorded_shape(size) or (1,))), p.recorded_dtype) for p in spec.outputs.values())
        ends = np.zeros(count, np.int64)
        capacity = max(self.steps(size) * count, 1)
        buffers = self._allocate(capacity, size)
        done, rows = 0, 0
        while True:
            if self._ready:
                done = self._run(inputs, outputs, buffers, ends, done, rows)
            else:
                with announced(self.name):
                    done = self._run(inputs, outputs, buffers, ends, done, rows)
                self._ready = True
            rows = int(ends[done - 1]) if done else 0
            if done == count:
                break
            for output in outputs:
                output[done] = 0  # the sample that did not fit starts again
            capacity *= 2
            smaller, buffers = buffers, self._allocate(capacity, size)
            for old, new in zip(smaller, buffers, strict=True):
                new[:rows] = old[:rows]
        self._steps[size] = max(self._steps.get(size, 0), int(np.diff(ends, prepend=0).max(initial=0)))
        return outputs, tuple(buffer[:rows] for buffer in buffers), ends

    def steps(self, size: int) -> int:
        """The most steps a sample of this size has taken so far; before the first, a guess."""
        return self._steps.get(size, 4 * size)

    def _allocate(self, capacity: int, size: int) -> tuple[np.ndarray, ...]:
        if not self.spec.hints:  # an algorithm without hints still yields steps; they are counted, not kept
            return (np.empty((capacity, 0), np.int8),)
        return tuple(np.empty((capacity, *p.recorded_shape(size)), p.recorded_dtype) for p in self.spec.hints.values())
