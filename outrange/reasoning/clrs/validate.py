"""From what a user gives to what an algorithm is run on: names, shapes, values, and what each algorithm requires of its inputs.

Every refusal is one sentence: the input, the value, what is allowed.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from outrange.core.errors import BadInput, brief, unknown
from outrange.reasoning.clrs.specs import LOCATIONS, Probe, Spec

UNQUEUED = 1e9  # what the published queue adds to the keys of nodes that are not in it
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


def arguments(
    name: str, spec: Spec, inputs: Mapping[str, Any]
) -> tuple[tuple[np.ndarray, ...], int, np.ndarray | None]:
    """The arrays to run on, each with a samples axis of one in front, the number of nodes, and ``pos`` if it was given."""
    if not isinstance(inputs, Mapping):
        raise BadInput(
            f"{name} inputs: {brief(inputs)} is not a mapping; give {{{', '.join(repr(n) for n in spec.arguments)}}} with an array each"
        )
    for given in inputs:
        if given not in spec.inputs:
            raise unknown(f"{name} input", given, spec.inputs, "an input of this algorithm")
    for wanted in spec.arguments:
        if wanted not in inputs:
            raise BadInput(f"{name} inputs: {wanted!r} is missing; it needs {', '.join(spec.arguments)}")
    arrays = {n: _numbers(f"{name} {n}", inputs[n]) for n in spec.inputs if n in inputs}
    if name == "optimal_bst":
        arrays = _pad_keys(arrays)
    size = _size(name, spec, arrays)
    values = {n: _converted(f"{name} {n}", spec[n], arrays[n], size) for n in spec.arguments}
    _check_algorithm(name, values, size)
    if "adj" in arrays:
        derived = (values["A"] != 0) | np.eye(size, dtype=bool)
        if arrays["adj"].shape != derived.shape or (arrays["adj"] != derived).any():
            raise BadInput(
                f"{name} adj: differs from A; it must be 1 where A is not 0 and on the diagonal, or be left out"
            )
    positions = _converted(f"{name} pos", spec["pos"], arrays["pos"], size)[None] if "pos" in arrays else None
    return tuple(np.array(value)[None] for value in values.values()), size, positions


def _numbers(field: str, value: Any) -> np.ndarray:
    try:
        array = np.asarray(value)
    except ValueError:
        array = np.asarray(None)
    if array.dtype.kind not in "biuf":
        raise BadInput(f"{field}: {brief(value)} is not an array of numbers; give numbers in rows of equal length")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise BadInput(
            f"{field}: holds {array[~np.isfinite(array)][0] if array.ndim else array}; only finite numbers are allowed"
        )
    return array


def _size(name: str, spec: Spec, arrays: Mapping[str, np.ndarray]) -> int:
    """The number of nodes, by the first input that has one value or more for each."""
    sized = [n for n, p in spec.arguments.items() if LOCATIONS[p.location] - (p.type == "mask_one") > 0] or list(
        spec.arguments
    )
    first = sized[0]
    array, axes = arrays[first], LOCATIONS[spec[first].location]
    if array.ndim >= axes and array.size:
        if array.shape[0] < 2:
            raise BadInput(f"{name} {first}: has 1 node; at least 2 are needed")
        return array.shape[0]
    kind = "a vector with one number per node" if spec[first].location == "node" else "a square matrix"
    raise BadInput(f"{name} {first}: has shape {arrays[first].shape}; it must be {kind}, of at least 2 nodes")


def _converted(field: str, probe: Probe, array: np.ndarray, size: int) -> np.ndarray:
    shape, recorded = (*probe.shape(size),), probe.recorded_shape(size)
    if probe.by_index and array.shape == (*recorded, probe.classes or size) and array.shape != recorded:
        if not ((array == 0) | (array == 1)).all() or not (array.sum(-1) == 1).all():
            raise BadInput(f"{field}: is not one-hot; exactly one 1 and otherwise 0 in every row, or give indices")
        array = array.argmax(-1)
    if array.shape != recorded:
        wanted = (
            f"{recorded}"
            if not probe.by_index
            else f"{recorded} (indices) or {(*recorded, probe.classes or size)} (one-hot)"
        )
        raise BadInput(
            f"{field}: has shape {array.shape}; with {size} nodes it must have shape {wanted if probe.by_index else shape}"
        )
    if probe.type == "scalar":
        fractional = array != np.trunc(array)
        if probe.integer and fractional.any():
            advice = " (edges here carry no weight: 1 or 0)" if probe.location == "edge" else ""
            raise BadInput(f"{field}: holds {array[fractional][0]:g}; only whole numbers are allowed{advice}")
        if probe.integer and (np.abs(array.astype(np.float64)) >= 2.0**53).any():
            raise BadInput(
                f"{field}: holds {brief(array.astype(np.float64).max())}; only whole numbers below 2**53 are allowed"
            )
        return array.astype(probe.recorded_dtype)
    top = {"mask": 1, "categorical": probe.classes - 1}.get(probe.type, size - 1)
    wrong = (array < 0) | (array > top) | (array != np.trunc(array))
    if wrong.any():
        what = {"mask": "0 and 1", "categorical": f"classes 0 to {top}"}.get(probe.type, f"nodes 0 to {top}")
        raise BadInput(f"{field}: holds {array[wrong][0] if array.ndim else array}; only {what} are allowed")
    return array.astype(probe.recorded_dtype)


def _pad_keys(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    p, q = arrays["p"], arrays["q"]
    if p.ndim == q.ndim == 1 and p.size == q.size - 1:
        return arrays | {"p": np.append(p, 0.0)}
    if p.ndim == q.ndim == 1 and p.size == q.size and p.size and p[-1] != 0:
        raise BadInput(
            f"optimal_bst p: ends in {p[-1]}; n keys need n + 1 gaps in q, so p has one entry less than q, or a 0 as padding at its end"
        )
    return arrays


def _check_algorithm(name: str, values: Mapping[str, np.ndarray], size: int) -> None:
    """What the algorithm itself takes for granted; without it the trace would be meaningless or endless."""
    A = values.get("A")
    if A is not None and name in NOT_NEGATIVE and (A < 0).any():
        raise BadInput(f"{name} A: holds {A[A < 0][0]:g}; negative weights are not allowed")
    if A is not None and name in SYMMETRIC and (A != A.T).any():
        i, j = np.argwhere(A != A.T)[0]
        raise BadInput(
            f"{name} A: {A[i, j]:g} at ({i}, {j}) but {A[j, i]:g} at ({j}, {i}); its graphs are undirected, so A must be symmetric"
        )
    if A is not None and name in ACYCLIC and _has_cycle(A):
        raise BadInput(f"{name} A: has a cycle; its graphs must be acyclic, without self loops")
    if name in ("bellman_ford", "floyd_warshall") and A is not None and (A < 0).any() and _has_negative_cycle(A):
        raise BadInput(
            f"{name} A: has a cycle of negative weight (an undirected negative edge is one); no shortest path exists"
        )
    if name == "binary_search" and (np.diff(values["key"]) < 0).any():
        raise BadInput("binary_search key: is not sorted; give it in ascending order")
    if name == "activity_selector" and (values["s"] > values["f"]).any():
        i = int(np.argmax(values["s"] > values["f"]))
        raise BadInput(
            f"activity_selector s: activity {i} starts at {values['s'][i]:g}, after its finish {values['f'][i]:g}; s must not exceed f"
        )
    if name == "task_scheduling" and (values["d"] < 1).any():
        raise BadInput("task_scheduling d: deadlines must be whole numbers from 1 up")
    for k in "pq" if name == "optimal_bst" else "":
        wrong = values[k][(values[k] < 0) | (values[k] > 1)]
        if wrong.size:
            raise BadInput(
                f"optimal_bst {k}: {wrong[0]:g} is {'negative' if wrong[0] < 0 else 'above 1'}; probabilities lie between 0 and 1"
            )
    if name in ("mst_prim", "dijkstra") and A is not None and np.abs(A).max() * size >= UNQUEUED:
        raise BadInput(
            f"{name} A: holds {np.abs(A).max():g}; weights must stay below {UNQUEUED:g} / nodes, which marks nodes that are not queued"
        )
    if "string" in values:
        string = values["string"]
        needle = int(string.sum())
        if needle in (0, size) or (np.diff(string) < 0).any():
            raise BadInput(
                f"{name} string: must be 0 over the first string and then 1 over the second, each of at least one letter"
            )
        if name.endswith("matcher") and needle > size - needle:
            raise BadInput(
                f"{name} string: the needle has {needle} letters, the haystack {size - needle}; the needle must not be longer"
            )
    if name == "segments_intersect" and size != 4:
        raise BadInput(f"segments_intersect x: {size} points; it takes 4, two for each segment")


def _has_cycle(A: np.ndarray) -> bool:
    remaining = A != 0
    alive = np.ones(len(A), bool)
    while True:
        leaves = alive & ~remaining[:, alive].any(1)
        if not leaves.any():
            return bool(alive.any())
        alive &= ~leaves


def _has_negative_cycle(A: np.ndarray) -> bool:
    weights = np.where(A != 0, A, np.inf)
    distance = np.zeros(len(A))
    for _ in range(len(A)):
        shorter = np.minimum(distance, (distance[:, None] + weights).min(0))
        if (shorter == distance).all():
            return False
        distance = shorter
    return True
