"""From what a user gives to what an algorithm is run on: names, shapes, values, and what each algorithm requires of its
inputs.

Every refusal is one sentence: the input, the value, what is allowed.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from outrange.core.errors import BadInput, brief, unknown
from outrange.reasoning.clrs.algorithms.common import UNQUEUED_PENALTY
from outrange.reasoning.clrs.specs import LOCATIONS, Probe, Spec

SYMMETRIC = ("articulation_points", "bridges", "mst_kruskal", "mst_prim")
ACYCLIC = ("topological_sort", "dag_shortest_paths")
NOT_NEGATIVE = (
    "bfs",
    "dfs",
    "dijkstra",
    "mst_kruskal",
    "articulation_points",
    "bridges",
    "strongly_connected_components",
    "topological_sort",
)


def check_inputs(
    name: str, spec: Spec, inputs: Mapping[str, Any]
) -> tuple[tuple[np.ndarray, ...], int, np.ndarray | None]:
    """The inputs of an algorithm as the arrays to run on.

    Args:
        name: the algorithm's.
        spec: its probes.
        inputs: probe names to arrays or numbers.

    Returns:
        (arrays, size, positions): the arrays in the order of ``spec.arguments``, each with a samples axis of one in
            front; the number of nodes; and ``pos`` (1, size) if it is among the inputs.

    Raises:
        BadInput: the first input that is not allowed.
    """
    # Names
    if not isinstance(inputs, Mapping):
        expected = ", ".join(repr(n) for n in spec.arguments)
        raise BadInput(f"{name} inputs: {brief(inputs)} is not a mapping; give {{{expected}}} with an array each")
    for input_name in inputs:
        if input_name not in spec.inputs:
            raise unknown(f"{name} input", input_name, spec.inputs, "an input of this algorithm")
    for input_name in spec.arguments:
        if input_name not in inputs:
            raise BadInput(f"{name} inputs: {input_name!r} is missing; it needs {', '.join(spec.arguments)}")

    # Shapes and values
    arrays = {n: _numbers(f"{name} {n}", inputs[n]) for n in spec.inputs if n in inputs}
    if name == "optimal_bst":
        arrays = _pad_keys(arrays)
    size = _node_count(name, spec, arrays)
    values = {n: _convert(f"{name} {n}", spec[n], arrays[n], size) for n in spec.arguments}

    # What the algorithm takes for granted; without it the trace would be meaningless or endless
    if "A" in values:
        _check_graph(name, values["A"], size)
    if "string" in values:
        _check_strings(name, values["string"], size)
    _check_values(name, values, size)

    # Derived inputs, if given after all
    if "adj" in arrays:
        derived = (values["A"] != 0) | np.eye(size, dtype=bool)
        if arrays["adj"].shape != derived.shape or (arrays["adj"] != derived).any():
            raise BadInput(
                f"{name} adj: differs from A; it must be 1 where A is not 0 and on the diagonal, or be left out"
            )
    positions = _convert(f"{name} pos", spec["pos"], arrays["pos"], size)[None] if "pos" in arrays else None
    return tuple(np.array(value)[None] for value in values.values()), size, positions


def _numbers(field: str, value: Any) -> np.ndarray:
    """A value as an array of finite numbers."""
    try:
        array = np.asarray(value)
    except ValueError:  # rows of unequal length
        array = np.asarray(None)
    if array.dtype.kind not in "biuf":
        raise BadInput(f"{field}: {brief(value)} is not an array of numbers; give numbers in rows of equal length")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        number = array[~np.isfinite(array)][0] if array.ndim else array
        raise BadInput(f"{field}: holds {number}; only finite numbers are allowed")
    return array


def _node_count(name: str, spec: Spec, arrays: Mapping[str, np.ndarray]) -> int:
    """The number of nodes, by the first input that has one value or more for each."""
    with_node_axis = [n for n, probe in spec.arguments.items() if probe.recorded_shape(1)]
    first = next(iter(with_node_axis or spec.arguments))
    array, axes = arrays[first], LOCATIONS[spec[first].location]
    if array.ndim >= axes and array.size:
        if array.shape[0] < 2:
            raise BadInput(f"{name} {first}: has 1 node; at least 2 are needed")
        return array.shape[0]
    allowed = "a vector with one number per node" if spec[first].location == "node" else "a square matrix"
    raise BadInput(f"{name} {first}: has shape {array.shape}; it must be {allowed}, of at least 2 nodes")


def _convert(field: str, probe: Probe, array: np.ndarray, size: int) -> np.ndarray:
    """An input as recorded: the shape and dtype of its probe, its values within the probe's range."""
    # A mask_one or categorical may come as indices or one-hot.
    shape = probe.recorded_shape(size)
    one_hot_shape = (*shape, probe.classes or size)
    if probe.is_one_hot and array.shape == one_hot_shape and array.shape != shape:
        is_binary = ((array == 0) | (array == 1)).all()
        if not is_binary or not (array.sum(-1) == 1).all():
            raise BadInput(f"{field}: is not one-hot; exactly one 1 and otherwise 0 in every row, or give indices")
        array = array.argmax(-1)
    if array.shape != shape:
        allowed = f"{shape} (indices) or {one_hot_shape} (one-hot)" if probe.is_one_hot else f"{shape}"
        raise BadInput(f"{field}: has shape {array.shape}; with {size} nodes it must have shape {allowed}")
    if probe.type == "scalar":
        if probe.integer:
            _check_integers(field, probe, array)
        return array.astype(probe.recorded_dtype)
    # All other types are small whole numbers: 0 and 1, classes, or nodes.
    largest = {"mask": 1, "categorical": probe.classes - 1}.get(probe.type, size - 1)
    outside = (array < 0) | (array > largest) | (array != np.trunc(array))
    if outside.any():
        allowed = {"mask": "0 and 1", "categorical": f"classes 0 to {largest}"}.get(probe.type, f"nodes 0 to {largest}")
        value = array[outside][0] if array.ndim else array
        raise BadInput(f"{field}: holds {value}; only {allowed} are allowed")
    return array.astype(probe.recorded_dtype)


def _check_integers(field: str, probe: Probe, array: np.ndarray) -> None:
    """Whole numbers that a float64 holds exactly."""
    is_fractional = array != np.trunc(array)
    if is_fractional.any():
        advice = " (edges here carry no weight: 1 or 0)" if probe.location == "edge" else ""
        raise BadInput(f"{field}: holds {array[is_fractional][0]:g}; only whole numbers are allowed{advice}")
    if (np.abs(array.astype(np.float64)) >= 2.0**53).any():
        raise BadInput(
            f"{field}: holds {brief(array.astype(np.float64).max())}; only whole numbers below 2**53 are allowed"
        )


def _pad_keys(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The n key probabilities of an optimal search tree as n + 1, the last a 0, to match the n + 1 gaps."""
    p, q = arrays["p"], arrays["q"]  # their shapes are checked later, with those of all inputs
    if p.ndim == q.ndim == 1 and p.size == q.size - 1:
        return arrays | {"p": np.append(p, 0.0)}
    if p.ndim == q.ndim == 1 and p.size == q.size and p.size and p[-1] != 0:
        raise BadInput(
            f"optimal_bst p: ends in {p[-1]}; n keys need n + 1 gaps in q, so p has one entry less than q, "
            "or a 0 as padding at its end"
        )
    return arrays


def _check_graph(name: str, A: np.ndarray, size: int) -> None:
    """What an algorithm requires of its graph: signs, symmetry, no cycles, weights that its queue can tell apart."""
    if name in NOT_NEGATIVE and (A < 0).any():
        raise BadInput(f"{name} A: holds {A[A < 0][0]:g}; negative weights are not allowed")
    if name in SYMMETRIC and (A != A.T).any():
        i, j = np.argwhere(A != A.T)[0]
        raise BadInput(
            f"{name} A: {A[i, j]:g} at ({i}, {j}) but {A[j, i]:g} at ({j}, {i}); "
            "its graphs are undirected, so A must be symmetric"
        )
    if name in ACYCLIC and _has_cycle(A):
        raise BadInput(f"{name} A: has a cycle; its graphs must be acyclic, without self loops")
    if name in ("bellman_ford", "floyd_warshall") and (A < 0).any() and _has_negative_cycle(A):
        raise BadInput(
            f"{name} A: has a cycle of negative weight (an undirected negative edge is one); no shortest path exists"
        )
    if name in ("mst_prim", "dijkstra") and np.abs(A).max() * size >= UNQUEUED_PENALTY:
        raise BadInput(
            f"{name} A: holds {np.abs(A).max():g}; weights must stay below {UNQUEUED_PENALTY:g} / nodes, "
            "which marks nodes that are not queued"
        )


def _check_strings(name: str, string: np.ndarray, size: int) -> None:
    """Two strings laid end to end, neither empty; for the matchers, the second no longer than the first."""
    second_length = int(string.sum())
    if second_length in (0, size) or (np.diff(string) < 0).any():
        raise BadInput(
            f"{name} string: must be 0 over the first string and then 1 over the second, each of at least one letter"
        )
    if name.endswith("matcher") and second_length > size - second_length:
        raise BadInput(
            f"{name} string: the needle has {second_length} letters, the haystack {size - second_length}; "
            "the needle must not be longer"
        )


def _check_values(name: str, values: Mapping[str, np.ndarray], size: int) -> None:
    """What the other algorithms require of their numbers."""
    if name == "binary_search" and (np.diff(values["key"]) < 0).any():
        raise BadInput("binary_search key: is not sorted; give it in ascending order")
    if name == "activity_selector" and (values["s"] > values["f"]).any():
        i = int(np.argmax(values["s"] > values["f"]))
        raise BadInput(
            f"activity_selector s: activity {i} starts at {values['s'][i]:g}, after its finish {values['f'][i]:g}; "
            "s must not exceed f"
        )
    if name == "task_scheduling" and (values["d"] < 1).any():
        raise BadInput("task_scheduling d: deadlines must be whole numbers from 1 up")
    if name == "optimal_bst":
        for input_name in ("p", "q"):
            probabilities = values[input_name]
            outside = probabilities[(probabilities < 0) | (probabilities > 1)]
            if outside.size:
                side = "negative" if outside[0] < 0 else "above 1"
                raise BadInput(f"optimal_bst {input_name}: {outside[0]:g} is {side}; probabilities lie between 0 and 1")
    if name == "segments_intersect" and size != 4:
        raise BadInput(f"segments_intersect x: {size} points; it takes 4, two for each segment")


def _has_cycle(A: np.ndarray) -> bool:
    """Take away nodes without an edge to another remaining node until none is left, or none can be taken."""
    edges = A != 0
    remaining = np.ones(len(A), bool)
    while True:
        # Nodes whose edges all lead to nodes already taken away.
        leaves = remaining & ~edges[:, remaining].any(1)
        if not leaves.any():
            return bool(remaining.any())
        remaining &= ~leaves


def _has_negative_cycle(A: np.ndarray) -> bool:
    """Bellman-Ford from all nodes at once: distances still fall after n sweeps."""
    weights = np.where(A != 0, A, np.inf)
    distance = np.zeros(len(A))
    for _ in range(len(A)):
        # d[v] = min(d[v], min over u of d[u] + A[u, v])
        shorter = np.minimum(distance, (distance[:, None] + weights).min(0))
        if (shorter == distance).all():
            return False
        distance = shorter
    return True
