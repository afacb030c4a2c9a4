"""Traces of one algorithm and size as padded arrays, ready for a model: the published batch layout, hints time-first
and padded with zeros.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from outrange.core.checks import whole
from outrange.core.errors import BadInput, brief
from outrange.reasoning.clrs.specs import Spec
from outrange.reasoning.clrs.traces import Trace


@dataclass(frozen=True)
class Batch:
    """B traces.

    ``inputs`` and ``outputs`` have shape (B, …), ``hints`` (T, B, …) with zeros after a trace's end, ``lengths`` (B,)
    counts steps.
    """

    name: str
    spec: Spec
    size: int
    inputs: dict[str, np.ndarray]
    hints: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]
    lengths: np.ndarray

    def __len__(self) -> int:
        return len(self.lengths)


def batch(traces: Iterable[Trace], steps: int | None = None) -> Batch:
    """Stack traces of one algorithm and size.

    Args:
        traces: at least one; they may have different lengths.
        steps: pad hints to this many steps instead of the longest trace's, so that batches have one shape.

    Raises:
        BadInput: no traces, traces that are not alike, or fewer steps than the longest has.
    """
    traces = list(traces)
    if not all(isinstance(trace, Trace) for trace in traces):
        raise BadInput(f"batch traces: {brief(traces)} is not a list of traces, as clrs.sample gives")
    if not traces:
        raise BadInput("batch traces: an empty list; give at least one trace")
    # One spec and one number of nodes: every array of a probe has the same shape.
    first = traces[0]
    for k, trace in enumerate(traces):
        if (trace.name, trace.size) != (first.name, first.size):
            raise BadInput(
                f"batch traces: number {k} is {trace.name} with {trace.size} nodes, "
                f"number 0 {first.name} with {first.size}; all must be alike"
            )
    lengths = np.array([trace.length for trace in traces])
    longest = int(lengths.max())
    total_steps = longest if steps is None else whole("batch steps", steps, longest)
    # Time in front, then samples; what a shorter trace leaves free stays 0.
    hints = {}
    for name, probe in first.spec.hints.items():
        padded = np.zeros((total_steps, len(traces), *first.hints[name].shape[1:]), probe.dtype)
        for b, trace in enumerate(traces):
            padded[: trace.length, b] = trace.hints[name]
        hints[name] = padded
    inputs = {name: np.stack([trace.inputs[name] for trace in traces]) for name in first.inputs}
    outputs = {name: np.stack([trace.outputs[name] for trace in traces]) for name in first.outputs}
    return Batch(first.name, first.spec, first.size, inputs, hints, outputs, lengths)
