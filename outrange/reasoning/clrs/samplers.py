"""Which draw belongs to which algorithm, with the published options and defaults; and the wrapper that gives a user's sampler the same face.

A sampler checks its options once and then draws blocks: ``sampler.draw(source, first, arrays, scale, options)``, where ``source`` says where the
randomness comes from (``Sequential``: one generator for all samples, as the published package; ``PerItem``: one for every item, for datasets).
"""

import inspect
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from outrange.core.errors import BadInput, brief, unknown
from outrange.reasoning.clrs import draw, rng
from outrange.reasoning.clrs.caching import JIT_OFF
from outrange.reasoning.clrs.record import announced


def whole(field: str, value: object, low: int, high: int | None = None) -> int:
    """``value`` as an int within bounds, or a one-sentence error."""
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = None
    if number is None or isinstance(value, bool | np.bool_) or number < low or (high is not None and number > high):
        raise BadInput(
            f"{field}: {brief(value)} is not allowed; a whole number "
            + (f"from {low} up" if high is None else f"from {low} to {high}")
        )
    return number


class Sequential:
    """One legacy generator for all samples, in order: ``RandomState(seed)``."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._legacy: np.ndarray | None = None
        self._modern: np.random.Generator | None = None

    def compiled(self, first: int) -> np.ndarray:
        if self._legacy is None:
            self._legacy = rng.legacy(self.seed)
        return self._legacy

    def generator(self, item: int) -> np.random.Generator:
        if self._modern is None:
            self._modern = np.random.default_rng(self.seed)
        return self._modern


@dataclass(frozen=True)
class PerItem:
    """A generator of its own for every item of a stream, from (seed, stream, item) alone."""

    seed: int
    stream: int

    def compiled(self, first: int) -> np.ndarray:
        return rng.per_item(self.seed, self.stream, first)

    def generator(self, item: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, self.stream, item])


def _real(name: str, value: Any, low: float = -1e12, high: float = 1e12) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not low <= float(value) <= high:
        raise BadInput(f"{name}: {brief(value)} is not allowed; a number from {low:g} to {high:g}")
    return float(value)


def _probabilities(name: str, value: Any) -> np.ndarray:
    values = np.atleast_1d(np.asarray(value, dtype=object))
    if values.ndim != 1 or not 1 <= values.size <= 1000:
        raise BadInput(f"{name}: {brief(value)} is not allowed; a probability or a list of them")
    return np.array([_real(name, v, 0.0, 1.0) for v in values.tolist()])


_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "p": _probabilities,
    "eps": lambda name, v: _real(name, v, 0.0, 1.0),
    "k": lambda name, v: whole(name, v, 1),
    "chars": lambda name, v: whole(name, v, 1, 4),
    "max_deadline": lambda name, v: whole(name, v, 1, 2**31 - 1),
    "length_2": lambda name, v: whole(name, v, 1),
    "length_needle": lambda name, v: whole(name, v, -(2**31)),
    "radius": lambda name, v: _real(name, v, 1e-6),
    "attempts": lambda name, v: whole(name, v, 1, 10**6),
    "tolerance": lambda name, v: _real(name, v, 0.0),
}
_BY_LENGTH: dict[str, Callable[[int], int]] = {  # what None stands for
    "max_deadline": lambda n: n,
    "length_2": lambda n: n // 2,
    "length_needle": lambda n: 1 if n < 5 else n // 5,
}


@dataclass(frozen=True)
class Sampler:
    """A compiled draw with its published options, the smallest length it takes, and fixed last arguments."""

    function: Callable
    options: Mapping[str, Any] = field(default_factory=dict)
    minimum: int = 2
    why: str = "shorter inputs have no trace"
    fixed: tuple = ()
    maximum: int = 2**20
    size: Callable[[int], int] = lambda length: length  # the number of nodes

    def check(self, name: str, length: object, options: Mapping[str, Any]) -> tuple[int, tuple]:
        """The checked (length, arguments of the draw)."""
        n = whole(f"{name} length", length, 1, self.maximum)
        if n < self.minimum:
            raise BadInput(f"{name} length: {n} is too small; it needs at least {self.minimum} ({self.why})")
        for option in options:
            if option not in self.options:
                raise unknown(f"{name} option", option, self.options, "an option of its sampler")
        values = {}
        for option, default in self.options.items():
            value = options.get(option, default)
            if value is None and option in _BY_LENGTH:
                value = _BY_LENGTH[option](n)
            values[option] = _CHECKS.get(option, _real)(f"{name} {option}", value)
        if options.get("length_2") is not None:  # then, as published, ``length`` is that of the first string alone
            n += values["length_2"]
        self._check_together(name, n, values)
        return n, (*values.values(), *self.fixed)

    @staticmethod
    def _check_together(name: str, n: int, values: Mapping[str, Any]) -> None:
        if "low" in values and values["low"] >= values["high"]:
            raise BadInput(f"{name} low: {values['low']:g} is not below high, {values['high']:g}")
        if "p" in values and "low" in values and values["low"] < 0:
            raise BadInput(f"{name} low: {values['low']:g} is negative; edge weights are drawn from 0 up")
        if "k" in values and values["k"] > n:
            raise BadInput(
                f"{name} length: {n} is too small for k = {values['k']} communities; length must be at least k"
            )
        if "length_needle" in values:
            needle = values["length_needle"]
            if needle == 0 or n - 2 * abs(needle) < 1:
                raise BadInput(
                    f"{name} length_needle: {needle} does not fit {n} letters; the needle (1 up) must be shorter than its haystack"
                )

    def draw(
        self, source: Sequential | PerItem, first: int, arrays: tuple[np.ndarray, ...], scale: float, arguments: tuple
    ) -> None:
        """Fill ``arrays``, one an argument of the algorithm, samples first, with samples ``first``, ``first + 1``, …"""
        values = (source.compiled(first), *arrays, scale, *arguments)
        if self.function in _drawn and not JIT_OFF:
            self.function(*values)
        else:
            with (
                announced(f"the sampler of {self.function.__name__}"),
                np.errstate(over="ignore"),
            ):  # as plain Python, wrapping uint64s warn
                self.function(*values)
            _drawn.add(self.function)
        if self.function is draw.disk_points and np.isnan(arrays[0][:, 0]).any():
            points = arrays[0].shape[1]
            raise BadInput(
                f"length: {points} points on this disk always have three on a line at {scale:g} steps per unit; use fewer points or more decimals"
            )


_drawn: set[Callable] = set()  # draws that this process has used, so compiled or loaded


class UserSampler:
    """A user's ``sampler(rng, length, **options) -> dict``; its keyword parameters with defaults are its options."""

    def __init__(self, name: str, function: Callable) -> None:
        self.name, self.function = name, function
        try:
            parameters = list(inspect.signature(function).parameters.values())
        except (TypeError, ValueError):
            parameters = []
        if len(parameters) < 2:
            raise BadInput(
                f"register sampler: {brief(function)} does not take (rng, length); write sampler(rng, length, **options) -> dict of inputs"
            )
        needed = [
            p.name
            for p in parameters[2:]
            if p.default is p.empty and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY, p.POSITIONAL_ONLY)
        ]
        if needed:
            raise BadInput(
                f"register sampler: {name}'s parameter {needed[0]!r} has no default; options of a sampler need one"
            )
        self.options = {
            p.name: p.default for p in parameters[2:] if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
        }
        self.minimum = 1

    def check(self, name: str, length: object, options: Mapping[str, Any]) -> tuple[int, tuple]:
        n = whole(f"{name} length", length, 1, 2**20)
        for option in options:
            if option not in self.options:
                raise unknown(f"{name} option", option, self.options, "an option of its sampler")
        return n, (dict(options),)

    def sample(
        self, source: Sequential | PerItem, item: int, length: int, scale: float, options: Mapping[str, Any]
    ) -> dict[str, np.ndarray]:
        inputs = self.function(source.generator(item), length, **options)
        if not isinstance(inputs, Mapping):
            raise BadInput(
                f"{self.name} sampler: returned {brief(inputs)}; it must return a dict from input names to arrays"
            )
        return {name: _truncated(np.asarray(value), scale) for name, value in inputs.items()}


def _truncated(values: np.ndarray, scale: float) -> np.ndarray:
    return np.trunc(values * scale) / scale if scale and values.dtype.kind == "f" else values


_UNIT = {"low": 0.0, "high": 1.0}
_KEYS = Sampler(draw.keys, _UNIT)
_HALF, _FIFTH = {"p": (0.5,)}, {"p": (0.2,)}
_DISK = Sampler(
    draw.disk_points,
    {
        "origin_x": 0.0,
        "origin_y": 0.0,
        "radius": 2.0,
        "collinearity_resampling_attempts": 1000,
        "collineararity_eps": 1e-12,
    },
    minimum=3,
    why="a hull is a polygon",
    maximum=2000,  # every three points are tested for lying on a line
)
_CHECKS |= {
    "collinearity_resampling_attempts": _CHECKS.pop("attempts"),
    "collineararity_eps": _CHECKS.pop("tolerance"),
}  # the published names
_MATCHER = Sampler(
    draw.haystack_and_needle, {"length_needle": None, "chars": 4}, minimum=3, why="a needle and a longer haystack"
)
_PATHS = Sampler(draw.weighted_graphs_with_source, _HALF | _UNIT, fixed=(False,))

SAMPLERS: dict[str, Sampler] = {
    **dict.fromkeys(
        ("insertion_sort", "bubble_sort", "heapsort", "quicksort", "quickselect", "minimum", "matrix_chain_order"),
        _KEYS,
    ),
    "binary_search": Sampler(draw.sorted_keys, _UNIT),
    "find_maximum_subarray_kadane": Sampler(draw.keys, {"low": -1.0, "high": 1.0}),
    "activity_selector": Sampler(draw.intervals, _UNIT),
    "task_scheduling": Sampler(draw.tasks, {"max_deadline": None} | _UNIT),
    "lcs_length": Sampler(draw.two_strings, {"length_2": None, "chars": 4}, why="two strings of at least one letter"),
    "optimal_bst": Sampler(draw.key_and_gap_probabilities, minimum=1, size=lambda length: length + 1),
    "dfs": Sampler(draw.graphs, _HALF, fixed=(True, False)),
    "topological_sort": Sampler(draw.graphs, _HALF, fixed=(True, True)),
    **dict.fromkeys(("articulation_points", "bridges"), Sampler(draw.graphs, _FIFTH, fixed=(False, False))),
    "strongly_connected_components": Sampler(draw.communities, {"k": 4} | _HALF | {"eps": 0.01}, minimum=1),
    "bfs": Sampler(draw.graphs_with_source, _HALF),
    **dict.fromkeys(("mst_prim", "bellman_ford", "dijkstra"), _PATHS),
    "dag_shortest_paths": Sampler(draw.weighted_graphs_with_source, _HALF | _UNIT, fixed=(True,)),
    "mst_kruskal": Sampler(draw.weighted_graphs, _FIFTH | _UNIT),
    "floyd_warshall": Sampler(draw.weighted_graphs, _HALF | _UNIT),
    **dict.fromkeys(("naive_string_matcher", "kmp_matcher"), _MATCHER),
    "segments_intersect": Sampler(draw.segment_pairs, _UNIT, minimum=1, size=lambda length: 4),
    **dict.fromkeys(("graham_scan", "jarvis_march"), _DISK),
}
