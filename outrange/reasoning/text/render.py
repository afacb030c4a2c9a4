"""A trace as text: CLRS-Text (arXiv 2406.04229, section 3; the published generator's format, docs/papers/clrs.md).

    bfs:
    s: 3, A: [[1 0 1 1], …], initial_trace: [0 1 2 3]      <- the question, with the trace asked for
    trace | pi:
    [3 3 2 3] | [3 3 0 3]                                  <- the answer, then a blank line

Of the hints one family is shown: those named ``<output>_h``, or the replacements of ``TRACED``. The first step stands in the question and the last one, which
normally repeats the output, is left out.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from outrange.core.errors import BadInput, brief
from outrange.reasoning.clrs.caching import compiled
from outrange.reasoning.clrs.specs import Probe, Spec
from outrange.reasoning.clrs.trace import Trace
from outrange.reasoning.text.numbers import write, write_series

TERMINATOR = "\n\n"


@dataclass(frozen=True, slots=True)
class Traced:
    """Which hints an algorithm shows, how their names are written, and whether the answer is read from their last step."""

    hints: tuple[str, ...]
    label: str
    answer_from_hints: bool = True


TRACED = {
    "binary_search": Traced(("low", "high"), "(low, high)"),
    "find_maximum_subarray_kadane": Traced(("best_low", "best_high"), "(best_low, best_high)"),
    "quickselect": Traced(("pivot",), "pivot"),
    "naive_string_matcher": Traced(("s",), "s", answer_from_hints=False),
    "kmp_matcher": Traced(("s",), "s", answer_from_hints=False),
}


@dataclass(frozen=True, slots=True)
class Item:
    """A question, its answer, and where they come from. ``text`` is what a language model is trained on."""

    question: str
    answer: str
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return self.question + self.answer


def traced(name: str, spec: Spec) -> Traced | None:
    """The hints that the text of an algorithm shows, or None if it has none to show."""
    if name in TRACED:
        return TRACED[name]
    shown = tuple(f"{output}_h" for output in spec.outputs if f"{output}_h" in spec.hints)
    return Traced(shown, ", ".join(spec.outputs), answer_from_hints=False) if shown else None


def render(trace: Trace, hints: bool = False) -> Item:
    """Write a trace as a question and its answer.

    Args:
        trace: of any known algorithm.
        hints: ask for the trace of the algorithm before the output. An algorithm without hints to show is written as if it were False.

    ``metadata`` holds algorithm, length (nodes), steps, and whether the trace is in the text.
    """
    if not isinstance(trace, Trace):
        raise BadInput(f"trace: {brief(trace)} is not a trace, as clrs.trace and clrs.sample give")
    spec = trace.spec
    shown = traced(trace.name, spec) if hints else None
    inputs = ", ".join(f"{name}: {write(trace.recorded(name))}" for name in spec.arguments)
    metadata = {"algorithm": trace.name, "length": trace.size, "steps": trace.length, "hints": shown is not None}
    output = ", ".join(write(_readable(trace, probe, trace.recorded(name))) for name, probe in spec.outputs.items())
    if shown is None:
        return Item(f"{trace.name}:\n{inputs}\n{', '.join(spec.outputs)}:\n", output + TERMINATOR, metadata)
    series = [_readable(trace, spec[name], trace.recorded(name)) for name in shown.hints]
    if shown.answer_from_hints:
        output = _steps(series, trace.length - 1, trace.length)
    first, middle = _steps(series, 0, 1), _steps(series, 1, trace.length - 1)
    question = f"{trace.name}:\n{inputs}, initial_trace: {first}\ntrace | {shown.label}:\n"
    return Item(question, f"{middle} | {output}{TERMINATOR}", metadata)


def _steps(series: list[np.ndarray], start: int, stop: int) -> str:
    """Steps start … stop-1, several hints joined inside a step; pairs of indices in parentheses."""
    if len(series) == 1:
        return write_series(series[0][start:stop])
    if all(values.ndim == 1 for values in series):
        return ", ".join(
            "(" + ", ".join(map(str, step)) + ")"
            for step in zip(*(values[start:stop].tolist() for values in series), strict=True)
        )
    return ", ".join(write(values[step]) for step in range(start, stop) for values in series)


def _readable(trace: Trace, probe: Probe, values: np.ndarray) -> np.ndarray:
    """Pointers that form a permutation are written as the keys in their order; everything else as it was recorded."""
    permutes = probe.type == "should_be_permutation" or (probe.stage == "hint" and _is_permuted(trace, probe))
    if not permutes:
        return values
    keys = next(
        (
            trace.recorded(name)
            for name, p in trace.spec.arguments.items()
            if p.location == "node" and p.type == "scalar"
        ),
        np.arange(trace.size),
    )
    rows = values.reshape(-1, trace.size)
    return keys[_orders(rows, np.empty(rows.shape, np.int64))].reshape(values.shape)


def _is_permuted(trace: Trace, probe: Probe) -> bool:
    """Whether this hint follows an output that is a permutation."""
    spec = trace.spec
    return any(o.type == "should_be_permutation" and spec.get(f"{name}_h") is probe for name, o in spec.outputs.items())


@compiled
def _orders(pointers, orders):
    """From predecessor chains (count, n), whose first node points to itself, to the nodes in order. What is no chain gives some nodes, in range."""
    count, n = pointers.shape
    after = np.zeros(n, np.int64)
    for c in range(count):
        node = 0
        for i in range(n):
            if pointers[c, i] == i:
                node = i
            else:
                after[min(max(pointers[c, i], 0), n - 1)] = i
        for place in range(n):
            orders[c, place] = node
            node = after[node]
    return orders
