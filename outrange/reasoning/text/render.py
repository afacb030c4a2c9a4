"""A trace as text: CLRS-Text (arXiv 2406.04229, section 3; the published generator's format, docs/papers/clrs.md).

    bfs:
    s: 3, A: [[1 0 1 1], …], initial_trace: [0 1 2 3]      <- the question, with the trace asked for
    trace | pi:
    [3 3 2 3] | [3 3 0 3]                                  <- the answer, then a blank line

Of the hints one family is written: those named ``<output>_h``, or the replacements of ``TRACE_FORMATS``. The first step
stands in the question and the last one, which normally repeats the output, is left out.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from outrange.core.errors import BadInput, brief
from outrange.reasoning.clrs.algorithms.common import compiled
from outrange.reasoning.clrs.specs import Probe, Spec
from outrange.reasoning.clrs.traces import Trace
from outrange.reasoning.text.numbers import write, write_series

TERMINATOR = "\n\n"


@dataclass(frozen=True, slots=True)
class TraceFormat:
    """Which hints an algorithm's text has, how it names them, and whether the answer is read from their last step."""

    hints: tuple[str, ...]
    label: str
    answer_from_hints: bool = True


#: Those whose text does not simply have the hints ``<output>_h``.
TRACE_FORMATS = {
    "binary_search": TraceFormat(("low", "high"), "(low, high)"),
    "find_maximum_subarray_kadane": TraceFormat(("best_low", "best_high"), "(best_low, best_high)"),
    "quickselect": TraceFormat(("pivot",), "pivot"),
    "naive_string_matcher": TraceFormat(("s",), "s", answer_from_hints=False),
    "kmp_matcher": TraceFormat(("s",), "s", answer_from_hints=False),
}


@dataclass(frozen=True, slots=True)
class Item:
    """A question, its answer, and where they come from. ``text`` is what a language model is trained on."""

    question: str
    answer: str
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """Question and answer."""
        return self.question + self.answer


def trace_format(name: str, spec: Spec) -> TraceFormat | None:
    """How the text of an algorithm writes its trace, or None if it has no hints for it."""
    if name in TRACE_FORMATS:
        return TRACE_FORMATS[name]
    hints = tuple(f"{output}_h" for output in spec.outputs if f"{output}_h" in spec.hints)
    return TraceFormat(hints, ", ".join(spec.outputs), answer_from_hints=False) if hints else None


def render(trace: Trace, hints: bool = False) -> Item:
    """Write a trace as a question and its answer.

    Args:
        trace: of any known algorithm.
        hints: ask for the trace of the algorithm before the output. An algorithm without hints for it is written as if
            this were False.

    Returns:
        the item; its ``metadata`` holds algorithm, length (nodes), steps, and whether the trace is in the text.

    Raises:
        BadInput: ``trace`` is not a trace.
    """
    if not isinstance(trace, Trace):
        raise BadInput(f"trace: {brief(trace)} is not a trace, as clrs.trace and clrs.sample give")
    spec = trace.spec
    format = trace_format(trace.name, spec) if hints else None
    inputs = ", ".join(f"{name}: {write(trace.recorded(name))}" for name in spec.arguments)
    output = ", ".join(write(_readable(trace, probe, trace.recorded(name))) for name, probe in spec.outputs.items())
    metadata = {"algorithm": trace.name, "length": trace.size, "steps": trace.length, "hints": format is not None}
    if format is None:
        return Item(f"{trace.name}:\n{inputs}\n{', '.join(spec.outputs)}:\n", output + TERMINATOR, metadata)

    # The first step goes into the question, the others but the last into the answer, in front of the output.
    series = [_readable(trace, spec[name], trace.recorded(name)) for name in format.hints]
    first, middle = _write_steps(series, 0, 1), _write_steps(series, 1, trace.length - 1)
    if format.answer_from_hints:
        output = _write_steps(series, trace.length - 1, trace.length)
    question = f"{trace.name}:\n{inputs}, initial_trace: {first}\ntrace | {format.label}:\n"
    return Item(question, f"{middle} | {output}{TERMINATOR}", metadata)


def _write_steps(series: list[np.ndarray], start: int, stop: int) -> str:
    """Steps start … stop-1, several hints joined inside a step; pairs of indices in parentheses."""
    if len(series) == 1:
        return write_series(series[0][start:stop])
    if all(values.ndim == 1 for values in series):  # an index or number a step
        steps = zip(*(values[start:stop].tolist() for values in series), strict=True)
        return ", ".join("(" + ", ".join(map(str, step)) + ")" for step in steps)
    return ", ".join(write(values[step]) for step in range(start, stop) for values in series)


def _readable(trace: Trace, probe: Probe, values: np.ndarray) -> np.ndarray:
    """Pointers that form a permutation as the keys in their order; everything else as it was recorded."""
    is_permutation = probe.type == "should_be_permutation" or (
        probe.stage == "hint" and _follows_permutation(trace.spec, probe)
    )
    if not is_permutation:
        return values
    predecessors = values.reshape(-1, trace.size)
    orders = _orders(predecessors, np.empty(predecessors.shape, np.int64))
    return _sort_keys(trace)[orders].reshape(values.shape)


def _sort_keys(trace: Trace) -> np.ndarray:
    """The numbers that are sorted: the first input with a number for each node, or else the nodes themselves."""
    for name, probe in trace.spec.arguments.items():
        if probe.location == "node" and probe.type == "scalar":
            return trace.recorded(name)
    return np.arange(trace.size)


def _follows_permutation(spec: Spec, probe: Probe) -> bool:
    """Whether this hint follows an output that is a permutation."""
    outputs = [name for name, output in spec.outputs.items() if output.type == "should_be_permutation"]
    # By identity: two hints may have equal probes, but only one is the output's own.
    return any(spec.hints.get(f"{name}_h") is probe for name in outputs)


@compiled
def _orders(predecessors, orders):
    """From predecessors (count, n), of which the first node's is itself, to the nodes in order, into ``orders``.

    What is no chain gives some nodes, in range.
    """
    count, n = predecessors.shape
    successor = np.zeros(n, np.int64)
    for c in range(count):
        node = 0
        # Turn the pointers round, then follow them from the node that points to itself.
        for i in range(n):
            if predecessors[c, i] == i:
                node = i
            else:
                successor[min(max(predecessors[c, i], 0), n - 1)] = i
        for place in range(n):
            orders[c, place] = node
            node = successor[node]
    return orders
