"""The recorder: runs an algorithm over a block of inputs and copies every state it yields into flat buffers.

An algorithm is a plain Python generator. To compile it, each of its ``yield state`` is rewritten to a call that copies
the state into the next row, so that Numba sees an ordinary function: its own generators run several times slower and
never free the arrays they hold (numba issue 1278). Line numbers stay those of the source. Run uncompiled, the generator
itself is iterated.

Recorders are kept on disk (core/compiled.py). The buffers have one row a step, the steps of all samples one after
another. When they are full the recorder still counts the steps of the sample that did not fit, and is called again from
that sample on with larger ones.
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

from outrange.core.compiled import JIT_OFF, fingerprint, kernel
from outrange.core.errors import BadInput
from outrange.reasoning.clrs.specs import Spec

# ---- what is compiled: a loop over samples around the rewritten algorithm


def _record_template(inputs, outputs, buffers, ends, first_sample, row):
    """Run samples first_sample, first_sample + 1, …, writing steps from ``row`` on.

    Returns how many samples are done, and the rows used (more than there are if one did not fit). ``ends[b]`` becomes
    the row after the last step of sample b.
    """
    capacity = buffers[0].shape[0]
    for b in range(first_sample, ends.size):
        row = _algorithm(*(_select(inputs, b) + _select(outputs, b) + (buffers, row)))  # type: ignore[name-defined]  # noqa: F821
        if row > capacity:
            return b, row
        ends[b] = row
    return ends.size, row


def _select(arrays, b):
    """Sample b of every array, as a tuple."""
    return tuple(array[b] for array in arrays)


def _write_state(buffers, row, state):
    """Copy a state into a row, if there is such a row; returns the next row."""
    if row < buffers[0].shape[0] and len(state) > 0:
        for buffer, value in zip(buffers, state, strict=True):
            buffer[row] = value
    return row + 1


# Numba cannot loop over tuples of unlike arrays, so for compiled code both helpers are written out, an element a line.


@overload(_select)
def _select_compiled(arrays, b):
    items = "".join(f"arrays[{k}][b]," for k in range(len(arrays)))
    return _function_of_text(f"def function(arrays, b):\n    return ({items})")


@overload(_write_state)
def _write_state_compiled(buffers, row, state):
    if not isinstance(state, types.BaseTuple):
        raise TypingError(
            "hints: a yield gives one value or none; write 'yield hints(...)' with one value for each hint of the spec"
        )
    spec_has_no_hints = isinstance(buffers[0].dtype, types.Integer) and buffers[0].ndim == 2 and len(state) == 0
    if spec_has_no_hints:  # then steps are only counted
        return lambda buffers, row, state: row + 1
    if len(buffers) != len(state):
        raise TypingError(
            f"hints: a yield gives {len(state)} values, the spec has {len(buffers)} hints; "
            "yield one for each, in the order of the spec"
        )
    lines = ["def function(buffers, row, state):", "    if row < buffers[0].shape[0]:"]
    for k, (buffer, value) in enumerate(zip(buffers, state, strict=True)):  # pyright: ignore[reportGeneralTypeIssues, reportArgumentType]
        lines += _copy_lines(k, buffer, value)
    return _function_of_text("\n".join([*lines, "    return row + 1"]))


def _copy_lines(k: int, buffer, value) -> list[str]:
    """The lines that copy value k of a state into its buffer; a sentence if their Numba types do not fit."""
    axes = value.ndim if isinstance(value, types.Array) else 0
    if axes != buffer.ndim - 1:
        raise TypingError(
            f"hints: number {k + 1} has {axes} axes, its spec says {buffer.ndim - 1}; "
            "yield an index for a node mask_one"
        )
    element_type = value.dtype if isinstance(value, types.Array) else value
    is_integer = isinstance(element_type, types.Integer | types.Boolean)
    if isinstance(buffer.dtype, types.Integer) and not is_integer:
        raise TypingError(
            f"hints: number {k + 1} is of type {element_type}, its spec asks for whole numbers; "
            "yield int or bool values"
        )
    lines = [f"        buffer{k}, value{k} = buffers[{k}], state[{k}]"]
    if axes:
        # The spec's shapes, once more while running: compiled code would write past the end of a row.
        mismatch = " or ".join(f"value{k}.shape[{axis}] != buffer{k}.shape[{axis + 1}]" for axis in range(axes))
        message = f"hints: number {k + 1} has not the length that its spec asks for; yield one value for each node"
        lines += [f"        if {mismatch}:", f"            raise ValueError('{message}')"]
    lines += [f"{'    ' * (axis + 2)}for i{axis} in range(value{k}.shape[{axis}]):" for axis in range(axes)]
    indices = ", ".join(f"i{axis}" for axis in range(axes))
    source = f"value{k}[{indices}]" if axes else f"value{k}"
    target = f"buffer{k}[row, {indices}]" if axes else f"buffer{k}[row]"
    return [*lines, f"{'    ' * (axes + 2)}{target} = {source}"]


def _function_of_text(text: str) -> Callable:
    namespace: dict = {}
    exec(text, namespace)  # noqa: S102 - the text is made here, from numbers only
    return namespace["function"]


# ---- rewriting an algorithm


class _YieldToWrite(ast.NodeTransformer):
    """``yield state`` becomes ``_row = _write_state(_buffers, _row, state)``, and every return hands back ``_row``."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        if isinstance(node.value, ast.Yield):
            if node.value.value is None:
                raise BadInput(
                    f"line {node.lineno}: a yield without a value; "
                    "write 'yield hints(...)' with one value for each hint of the spec"
                )
            call = ast.parse("_row = _write_state(_buffers, _row, None)").body[0]
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
    """An algorithm as an ordinary function that writes its steps.

    Its parameters are the algorithm's, then ``_buffers`` and ``_row``; it returns the row after its last step.
    """
    name = algorithm.__name__
    if algorithm.__closure__:
        raise BadInput(
            f"algorithm {name}: uses variables of an enclosing function ({', '.join(algorithm.__code__.co_freevars)}); "
            "define it at module level"
        )
    try:
        lines, start = inspect.getsourcelines(algorithm)
    except (OSError, TypeError) as error:
        raise BadInput(
            f"algorithm {name}: its source cannot be read, so it cannot be compiled; "
            "define it in a file or a notebook cell"
        ) from error
    tree = ast.parse(textwrap.dedent("".join(lines)))
    ast.increment_lineno(tree, start - 1)  # so that tracebacks name the user's own lines
    definition = next(node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == name)
    definition.decorator_list = []
    definition.returns = None
    _YieldToWrite().generic_visit(definition)
    definition.args.args += [ast.arg("_buffers"), ast.arg("_row")]
    definition.body.append(ast.parse("return _row").body[0])
    namespace = {**algorithm.__globals__, "_write_state": _write_state}
    module = ast.fix_missing_locations(ast.Module([definition], []))
    code = compile(module, inspect.getsourcefile(algorithm) or "<algorithm>", "exec")
    exec(code, namespace)  # noqa: S102 - the algorithm's own text, rewritten
    return namespace[name]


def make_recorder(name: str, algorithm: Callable) -> Callable:
    """The recorder of one algorithm, compiled at its first call."""
    function = njit(recording_function(algorithm), no_cfunc_wrapper=True, no_cpython_wrapper=True)  # pyright: ignore[reportCallIssue]
    title = re.sub(r"\W", "_", f"record_{name}")
    record = FunctionType(_record_template.__code__, {**globals(), "_algorithm": function}, title)
    record.__module__ = __name__
    # The fingerprint is that of the algorithm as written; what was rewritten from it has no source file to hash.
    return kernel(record, name=f"{title}_{fingerprint(algorithm)}", no_cfunc_wrapper=True)


def _record_plain(algorithm: Callable, inputs, outputs, buffers, ends, first_sample, row):
    """The recorder without a compiler: iterates the generator itself."""
    for b in range(first_sample, ends.size):
        for state in algorithm(*_select(inputs, b), *_select(outputs, b)):
            row = _write_state(buffers, row, state)
        if row > buffers[0].shape[0]:
            return b, row
        ends[b] = row
    return ends.size, row


# ---- what a compilation says to the user


class _Announcer(event.Listener):
    """Says once on stderr that a compilation has begun: it takes seconds, and silence looks like a hang."""

    def __init__(self, subject: str) -> None:
        self.subject, self.is_announced = subject, False

    def on_start(self, event: event.Event) -> None:
        # what runs as Python inside compiled code is prepared anew in every process, and at once
        is_lifted = isinstance((event.data or {}).get("dispatcher"), LiftedCode)
        if not self.is_announced and not is_lifted:
            self.is_announced = True
            message = f"outrange: compiling {self.subject} (once; the result is kept on disk) …"
            print(message, file=sys.stderr, flush=True)

    def on_end(self, event: event.Event) -> None:
        pass


@contextmanager
def announce_compiling(subject: str):
    """Within this block, a compilation is announced on stderr as one of ``subject``."""
    if JIT_OFF:
        yield
        return
    with event.install_listener("numba:compile", _Announcer(subject)):
        yield


@contextmanager
def _compiler_errors_in_one_sentence(name: str):
    """Within this block, what Numba refuses of algorithm ``name`` is refused in one sentence."""
    try:
        yield
    except NumbaError as error:
        lines = [line.strip() for line in str(error).splitlines()]
        # Our own sentence from ``_copy_lines`` if there is one, else the first line that is not a heading.
        ours = [line[line.index("hints: ") :] for line in lines if "hints: " in line]
        theirs = [line for line in lines if line and not line.startswith(("Failed in", "During:", "File"))]
        reason = next(iter([*ours, *theirs]), "no reason given")[:200]
        location = next((line for line in lines if line.startswith("File")), "")[:120]
        advice = "; yield the same types at every yield, e.g. int and float alike" if "unify" in reason else ""
        sentence = reason if ours else f"{reason} {location}".strip()
        raise BadInput(f"algorithm {name}: Numba cannot compile it: {sentence}{advice}") from error
    except (ValueError, TypeError) as error:
        reason = str(error).splitlines()[-1] if str(error) else ""
        if "hints: " not in reason and "argument" not in reason:
            raise
        advice = "" if "hints: " in reason else "; yield hints(...) with one value for each hint of the spec"
        raise BadInput(f"algorithm {name}: {reason[:250]}{advice}") from error


class Recorder:
    """Runs one algorithm over blocks of inputs.

    Args:
        name: of the algorithm, for messages.
        spec: its probes.
        algorithm: its generator.
        plain: run its text as ordinary Python instead of compiling it.
        steps_per_node: how many steps a sample is guessed to take before the first one has run; buffers grow when it
            takes more.
    """

    def __init__(
        self, name: str, spec: Spec, algorithm: Callable, *, plain: bool = False, steps_per_node: int = 4
    ) -> None:
        self.name, self.spec, self.steps_per_node = name, spec, steps_per_node
        self._is_ready = plain or JIT_OFF  # nothing is to be compiled any more
        self._run = functools.partial(_record_plain, algorithm) if self._is_ready else make_recorder(name, algorithm)
        self._most_steps: dict[int, int] = {}  # size -> the most steps a sample has taken so far

    def record(
        self, inputs: tuple[np.ndarray, ...], count: int, size: int
    ) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...], np.ndarray]:
        """Run ``count`` samples of ``size`` nodes.

        Args:
            inputs: one array an argument of the algorithm, samples first.

        Returns:
            (outputs, hints, ends): outputs as recorded, samples first; hints as recorded, the steps of all samples one
                after another; and for each sample the number of rows up to its last step.
        """
        outputs = tuple(
            np.zeros((count, *(probe.recorded_shape(size) or (1,))), probe.recorded_dtype)
            for probe in self.spec.outputs.values()
        )
        ends = np.zeros(count, np.int64)
        capacity = max(self.expected_steps(size) * count, 1)
        buffers = self._allocate(capacity, size)
        done, rows = 0, 0
        while True:
            announce = nullcontext() if self._is_ready else announce_compiling(self.name)
            with _compiler_errors_in_one_sentence(self.name), announce:
                done, used_rows = self._run(inputs, outputs, buffers, ends, done, rows)
            self._is_ready = True
            rows = int(ends[done - 1]) if done else 0
            if done == count:
                break
            # Sample ``done`` did not fit: larger buffers, and it starts again.
            for output in outputs:
                output[done] = 0
            capacity = max(2 * capacity, used_rows)
            full_buffers, buffers = buffers, self._allocate(capacity, size)
            for full_buffer, buffer in zip(full_buffers, buffers, strict=True):
                buffer[:rows] = full_buffer[:rows]
        longest = int(np.diff(ends, prepend=0).max(initial=0))
        self._most_steps[size] = max(self._most_steps.get(size, 0), longest)
        return outputs, tuple(buffer[:rows] for buffer in buffers), ends

    def expected_steps(self, size: int) -> int:
        """The most steps a sample of this size has taken so far; before the first, a guess."""
        return self._most_steps.get(size, self.steps_per_node * size)

    def _allocate(self, capacity: int, size: int) -> tuple[np.ndarray, ...]:
        if not self.spec.hints:  # an algorithm without hints still yields steps; they are counted, not kept
            return (np.empty((capacity, 0), np.int8),)
        return tuple(
            np.empty((capacity, *probe.recorded_shape(size)), probe.recorded_dtype)
            for probe in self.spec.hints.values()
        )
