"""The recorder: runs an algorithm over a block of inputs and copies every state it yields into flat buffers.

An algorithm is a plain Python generator. To compile it, each of its ``yield state`` is rewritten to a call that copies the state into the next row, so that
Numba sees an ordinary function: its own generators run several times slower and never free the arrays they hold (numba issue 1278). Line numbers stay those
of the source. Run uncompiled, the generator itself is iterated.

Recorders are kept on disk (caching.py). The buffers have one row a step, the steps of all samples one after another. When they are full the recorder still
counts the steps of the sample that did not fit, and is called again from that sample on with larger ones.
"""

import ast
import functools
import inspect
import re
import sys
import textwrap
from collections.abc import Callable
from contextlib import contextmanager, nullcontext
from types import FunctionType

import numpy as np
from numba import njit
from numba.core import event, types
from numba.core.dispatcher import LiftedCode
from numba.core.errors import NumbaError, TypingError
from numba.extending import overload

from outrange.core.errors import BadInput
from outrange.reasoning.clrs.caching import JIT_OFF, compiled, fingerprint
from outrange.reasoning.clrs.memory import pool
from outrange.reasoning.clrs.specs import Spec


def _record_template(inputs, outputs, buffers, ends, first, row):
    """Run samples first, first + 1, …; returns how many are done, and the rows used (more than there are if one did not fit).

    ``ends[b]`` is the row after the last step of sample b.
    """
    capacity = buffers[0].shape[0]
    for b in range(first, ends.size):
        row = _algorithm(*(_row(inputs, b) + _row(outputs, b) + (buffers, row)))  # type: ignore[name-defined]  # noqa: F821
        if row > capacity:
            return b, row
        ends[b] = row
    return ends.size, row


def _row(arrays, b):
    return tuple(array[b] for array in arrays)


def _write(buffers, row, state):
    """Copy a state into a row, if there is such a row; returns the next row."""
    if row < buffers[0].shape[0] and len(state) > 0:
        for buffer, value in zip(buffers, state, strict=True):
            buffer[row] = value
    return row + 1


def _function(text: str) -> Callable:
    names: dict = {}
    exec(text, names)  # noqa: S102 - the text is made here, from numbers only
    return names["function"]


@overload(_row)
def _row_compiled(arrays, b):
    items = "".join(f"arrays[{k}][b]," for k in range(len(arrays)))
    return _function(f"def function(arrays, b):\n    return ({items})")


@overload(_write)
def _write_compiled(buffers, row, state):
    if not isinstance(state, types.BaseTuple):
        raise TypingError(
            "hints: a yield gives one value or none; write 'yield hints(...)' with one value for each hint of the spec"
        )
    if (
        len(state) == 0 and isinstance(buffers[0].dtype, types.Integer) and buffers[0].ndim == 2
    ):  # a spec without hints: steps are counted
        return lambda buffers, row, state: row + 1
    if len(buffers) != len(state):
        raise TypingError(
            f"hints: a yield gives {len(state)} values, the spec has {len(buffers)} hints; yield one for each, in the order of the spec"
        )
    lines = ["def function(buffers, row, state):", "    if row < buffers[0].shape[0]:"]
    for k, (buffer, value) in enumerate(zip(buffers, state, strict=True)):  # pyright: ignore[reportGeneralTypeIssues, reportArgumentType]
        axes = value.ndim if isinstance(value, types.Array) else 0
        if axes != buffer.ndim - 1:
            raise TypingError(
                f"hints: number {k + 1} has {axes} axes, its spec says {buffer.ndim - 1}; yield an index for a node mask_one"
            )
        kind = value.dtype if isinstance(value, types.Array) else value
        if isinstance(buffer.dtype, types.Integer) and not isinstance(kind, types.Integer | types.Boolean):
            raise TypingError(
                f"hints: number {k + 1} is of type {kind}, its spec asks for whole numbers; yield int or bool values"
            )
        lines.append(f"        buffer{k}, value{k} = buffers[{k}], state[{k}]")
        if axes:
            lines.append(
                f"        if {' or '.join(f'value{k}.shape[{axis}] != buffer{k}.shape[{axis + 1}]' for axis in range(axes))}:"
            )
            lines.append(
                f"            raise ValueError('hints: number {k + 1} has not the length that its spec asks for; yield one value for each node')"
            )
        lines += [f"{'    ' * (axis + 2)}for i{axis} in range(value{k}.shape[{axis}]):" for axis in range(axes)]
        indices = "".join(f", i{axis}" for axis in range(axes))
        lines.append(f"{'    ' * (axes + 2)}buffer{k}[row{indices}] = value{k}" + (f"[{indices[2:]}]" if axes else ""))
    return _function("\n".join([*lines, "    return row + 1"]))


class _Recording(ast.NodeTransformer):
    """``yield state`` becomes ``_row = _write(_buffers, _row, state)``, and every return hands back ``_row``."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        if isinstance(node.value, ast.Yield):
            if node.value.value is None:
                raise BadInput(
                    f"line {node.lineno}: a yield without a value; write 'yield hints(...)' with one value for each hint of the spec"
                )
            call = ast.parse("_row = _write(_buffers, _row, None)").body[0]
            call.value.args[2] = node.value.value  # type: ignore[attr-defined]
            return ast.fix_missing_locations(ast.copy_location(call, node))
        return self.generic_visit(node)

    def visit_Return(self, node: ast.Return) -> ast.AST:
        return ast.fix_missing_locations(ast.copy_location(ast.parse("return _row").body[0], node))

    def visit_Yield(self, node: ast.Yield) -> ast.AST:
        raise BadInput(
            f"line {node.lineno}: a yield whose value is used; write 'yield hints(...)' as a statement of its own"
        )

    def visit_YieldFrom(self, node: ast.YieldFrom) -> ast.AST:
        raise BadInput(f"line {node.lineno}: 'yield from' cannot be compiled; yield each step in the algorithm itself")


def recording_function(algorithm: Callable) -> Callable:
    """An algorithm as an ordinary function that writes its steps: its parameters, then ``_buffers`` and ``_row``; returns the row after its last step."""
    name = algorithm.__name__
    if algorithm.__closure__:
        raise BadInput(
            f"algorithm {name}: uses variables of an enclosing function ({', '.join(algorithm.__code__.co_freevars)}); define it at module level"
        )
    try:
        lines, start = inspect.getsourcelines(algorithm)
    except (OSError, TypeError) as error:
        raise BadInput(
            f"algorithm {name}: its source cannot be read, so it cannot be compiled; define it in a file or a notebook cell"
        ) from error
    tree = ast.parse(textwrap.dedent("".join(lines)))
    ast.increment_lineno(tree, start - 1)
    definition = next(node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == name)
    definition.decorator_list = []
    definition.returns = None
    _Recording().generic_visit(definition)
    definition.args.args += [ast.arg("_buffers"), ast.arg("_row")]
    definition.body.append(ast.parse("return _row").body[0])
    names = {**algorithm.__globals__, "_write": _write}
    module = ast.fix_missing_locations(ast.Module([definition], []))
    code = compile(module, inspect.getsourcefile(algorithm) or "<algorithm>", "exec")
    exec(code, names)  # noqa: S102 - the algorithm's own text, rewritten
    return names[name]


def make_recorder(name: str, algorithm: Callable) -> Callable:
    """The recorder of one algorithm, compiled at its first call."""
    function = njit(recording_function(algorithm), no_cfunc_wrapper=True, no_cpython_wrapper=True)  # pyright: ignore[reportCallIssue]
    title = re.sub(r"\W", "_", f"record_{name}")
    record = FunctionType(_record_template.__code__, {**globals(), "_algorithm": function}, title)
    record.__module__ = __name__
    return compiled(record, f"{title}_{fingerprint(algorithm)}")


def _run_plain(algorithm: Callable, inputs, outputs, buffers, ends, first, row):
    """The recorder without a compiler: iterates the generator itself."""
    for b in range(first, ends.size):
        for state in algorithm(*_row(inputs, b), *_row(outputs, b)):
            row = _write(buffers, row, state)
        if row > buffers[0].shape[0]:
            return b, row
        ends[b] = row
    return ends.size, row


class _Announcer(event.Listener):
    """Says once on stderr that a compilation has begun: it takes seconds, and silence looks like a hang."""

    def __init__(self, what: str) -> None:
        self.what, self.said = what, False

    def on_start(self, event: event.Event) -> None:
        # what runs as Python inside compiled code is prepared anew in every process, and at once
        if not self.said and not isinstance((event.data or {}).get("dispatcher"), LiftedCode):
            self.said = True
            print(f"outrange: compiling {self.what} (once; the result is kept on disk) …", file=sys.stderr, flush=True)

    def on_end(self, event: event.Event) -> None:
        pass


@contextmanager
def announced(what: str):
    """Within this block, compilations are announced."""
    if JIT_OFF:
        yield
        return
    with event.install_listener("numba:compile", _Announcer(what)):
        yield


@contextmanager
def _explained(name: str):
    """Within this block, a refusal of the compiler's becomes one sentence."""
    try:
        yield
    except NumbaError as error:
        lines = [line.strip() for line in str(error).splitlines()]
        own = [line[line.index("hints: ") :] for line in lines if "hints: " in line]
        others = [line for line in lines if line and not line.startswith(("Failed in", "During:", "File"))]
        reason = next(iter([*own, *others]), "no reason given")
        where = next((line for line in lines if line.startswith("File")), "")
        advice = "; yield the same types at every yield, e.g. int and float alike" if "unify" in reason else ""
        said = reason[:200] if own else f"{reason[:200]} {where[:120]}".strip()
        raise BadInput(f"algorithm {name}: Numba cannot compile it: {said}{advice}") from error
    except (ValueError, TypeError) as error:
        said = str(error).splitlines()[-1] if str(error) else ""
        if "hints: " not in said and "argument" not in said:
            raise
        advice = "" if "hints: " in said else "; yield hints(...) with one value for each hint of the spec"
        raise BadInput(f"algorithm {name}: {said[:250]}{advice}") from error


class Recorder:
    """Runs one algorithm over blocks of inputs. ``plain=True`` runs its text as ordinary Python instead."""

    def __init__(self, name: str, spec: Spec, algorithm: Callable, plain: bool = False) -> None:
        self.name, self.spec = name, spec
        self._ready = plain or JIT_OFF
        self._run = functools.partial(_run_plain, algorithm) if self._ready else make_recorder(name, algorithm)
        self._steps: dict[int, int] = {}  # size -> the most steps a sample has taken so far

    def __call__(self, inputs: tuple[np.ndarray, ...], count: int, size: int):
        """Record ``count`` samples of ``size`` nodes.

        ``inputs`` holds one array an argument, samples first. Returns (outputs, hints, ends): outputs as recorded, samples first; hints as recorded, the
        steps of all samples one after another; and for each sample the number of rows up to its last step.
        """
        spec = self.spec
        outputs = tuple(
            np.zeros((count, *(p.recorded_shape(size) or (1,))), p.recorded_dtype) for p in spec.outputs.values()
        )
        ends = np.zeros(count, np.int64)
        capacity = max(self.steps(size) * count, 1)
        buffers = self._allocate(capacity, size)
        done, rows = 0, 0
        while True:
            with _explained(self.name), nullcontext() if self._ready else announced(self.name):
                done, used = self._run(inputs, outputs, buffers, ends, done, rows)
            self._ready = True
            rows = int(ends[done - 1]) if done else 0
            if done == count:
                break
            for output in outputs:
                output[done] = 0  # the sample that did not fit starts again
            capacity = max(2 * capacity, used)
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
        return tuple(
            pool.empty((capacity, *p.recorded_shape(size)), p.recorded_dtype) for p in self.spec.hints.values()
        )
