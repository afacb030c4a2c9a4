"""Which draw belongs to which algorithm, with the published options and defaults; and the wrapper that gives a user's
sampler the same face.

A sampler checks its options once (``check``) and then draws blocks (``draw``) from a source of randomness:
``SequentialSource``, one generator for all samples, as in the published package; or ``PerItemSource``, one for every
item, for datasets.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from outrange.core.checks import require, whole, within
from outrange.core.compiled import JIT_OFF
from outrange.core.errors import BadInput, brief, unknown
from outrange.reasoning.clrs import draw, rng
from outrange.reasoning.clrs.record import announce_compiling

MAX_LENGTH = 2**20


class SequentialSource:
    """One generator for all samples, in order: ``RandomState(seed)``, for a user's sampler ``default_rng(seed)``."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._legacy_state: np.ndarray | None = None
        self._generator: np.random.Generator | None = None

    def compiled_state(self, first_item: int) -> np.ndarray:
        """The state that compiled draws read and advance; it goes on from where the draw before has left it."""
        if self._legacy_state is None:
            self._legacy_state = rng.legacy_state(self.seed)
        return self._legacy_state

    def generator(self, item: int) -> np.random.Generator:
        """The generator for a user's sampler."""
        if self._generator is None:
            self._generator = np.random.default_rng(self.seed)
        return self._generator


@dataclass(frozen=True)
class PerItemSource:
    """A generator of its own for every item of a stream, from (seed, stream, item) alone."""

    seed: int
    stream: int

    def compiled_state(self, first_item: int) -> np.ndarray:
        """The state for a block of items that begins with ``first_item``."""
        return rng.per_item_state(self.seed, self.stream, first_item)

    def generator(self, item: int) -> np.random.Generator:
        """The generator for a user's sampler."""
        return np.random.default_rng([self.seed, self.stream, item])


Source = SequentialSource | PerItemSource


# ---- the published options: what each may be, and what a default that depends on the length is


def _real(name: str, value: Any, low: float = -1e12, high: float = 1e12) -> float:
    within(name, value, low, high, f"a number from {low:g} to {high:g}")
    return float(value)


def _probabilities(name: str, value: Any) -> np.ndarray:
    values = np.atleast_1d(np.asarray(value, dtype=object))
    is_list = values.ndim == 1 and 1 <= values.size <= 1000
    require(is_list, name, value, "a probability or a list of up to 1,000")
    return np.array([_real(name, probability, 0.0, 1.0) for probability in values.tolist()])


_OPTION_CHECKS: dict[str, Callable[[str, Any], Any]] = {  # other options are real numbers
    "p": _probabilities,
    "eps": lambda name, value: _real(name, value, 0.0, 1.0),
    "k": lambda name, value: whole(name, value, 1),
    "chars": lambda name, value: whole(name, value, 1, 4),
    "max_deadline": lambda name, value: whole(name, value, 1, 2**31 - 1),
    "length_2": lambda name, value: whole(name, value, 1),
    "length_needle": lambda name, value: whole(name, value, -(2**31)),
    "radius": lambda name, value: _real(name, value, 1e-6),
    "collinearity_resampling_attempts": lambda name, value: whole(name, value, 1, 10**6),
    "collineararity_eps": lambda name, value: _real(name, value, 0.0),  # the published spelling
}
_DEFAULTS_BY_LENGTH: dict[str, Callable[[int], int]] = {  # what None stands for
    "max_deadline": lambda length: length,
    "length_2": lambda length: length // 2,
    "length_needle": lambda length: 1 if length < 5 else length // 5,
}


@dataclass(frozen=True)
class Sampler:
    """A compiled draw with its published options, the lengths it takes, and fixed last arguments.

    ``size`` maps a length to the number of nodes; ``minimum_reason`` completes the error for a shorter length.
    """

    function: Callable
    options: Mapping[str, Any] = field(default_factory=dict)
    minimum: int = 2
    minimum_reason: str = "shorter inputs have no trace"
    fixed_arguments: tuple = ()
    maximum: int = MAX_LENGTH
    size: Callable[[int], int] = lambda length: length

    def check(self, name: str, length: object, options: Mapping[str, Any]) -> tuple[int, tuple]:
        """The checked (length, arguments of the draw) of the algorithm ``name``.

        Raises:
            BadInput: the length, an option, or their combination is not allowed.
        """
        checked_length = whole(f"{name} length", length, 1, self.maximum)
        if checked_length < self.minimum:
            raise BadInput(
                f"{name} length: {checked_length} is too small; "
                f"it needs at least {self.minimum} ({self.minimum_reason})"
            )
        for option in options:
            if option not in self.options:
                raise unknown(f"{name} option", option, self.options, "an option of its sampler")
        values = {}
        for option, default in self.options.items():
            value = options.get(option, default)
            if value is None and option in _DEFAULTS_BY_LENGTH:
                value = _DEFAULTS_BY_LENGTH[option](checked_length)
            values[option] = _OPTION_CHECKS.get(option, _real)(f"{name} {option}", value)
        if options.get("length_2") is not None:  # then, as published, ``length`` is that of the first string alone
            checked_length += values["length_2"]
        self._check_together(name, checked_length, values)
        return checked_length, (*values.values(), *self.fixed_arguments)

    @staticmethod
    def _check_together(name: str, length: int, values: Mapping[str, Any]) -> None:
        """What options require of each other and of the length."""
        if "low" in values and values["low"] >= values["high"]:
            raise BadInput(f"{name} low: {values['low']:g} is not below high, {values['high']:g}")
        if "p" in values and "low" in values and values["low"] < 0:
            raise BadInput(f"{name} low: {values['low']:g} is negative; edge weights are drawn from 0 up")
        if "k" in values and values["k"] > length:
            raise BadInput(
                f"{name} length: {length} is too small for k = {values['k']} communities; length must be at least k"
            )
        if "length_needle" in values:
            needle_length = values["length_needle"]
            if needle_length == 0 or length - 2 * abs(needle_length) < 1:
                raise BadInput(
                    f"{name} length_needle: {needle_length} does not fit {length} letters; "
                    "the needle (1 up) must be shorter than its haystack"
                )

    def draw(
        self, source: Source, first_item: int, arrays: tuple[np.ndarray, ...], decimal_scale: float, arguments: tuple
    ) -> None:
        """Fill ``arrays``, one an argument of the algorithm, samples first, with samples ``first_item``, ``first_item +
        1``, …

        Args:
            source: where the randomness comes from.
            first_item: the number of the block's first sample.
            arrays: to be filled.
            decimal_scale: 10**k to cut floats to k decimals, or 0.
            arguments: of the draw, from ``check``.
        """
        values = (source.compiled_state(first_item), *arrays, decimal_scale, *arguments)
        if self.function in _ready_draws and not JIT_OFF:
            self.function(*values)
        else:
            ignore_overflow = np.errstate(over="ignore")  # as plain Python, wrapping uint64s warn
            with announce_compiling(f"the sampler of {self.function.__name__}"), ignore_overflow:
                self.function(*values)
            _ready_draws.add(self.function)
        if self.function is draw.disk_points and np.isnan(arrays[0][:, 0]).any():
            points = arrays[0].shape[1]
            raise BadInput(
                f"length: {points} points on this disk always have three on a line "
                f"at {decimal_scale:g} steps per unit; use fewer points or more decimals"
            )


_ready_draws: set[Callable] = set()  # those that this process has used, so compiled or loaded


class UserSampler:
    """A user's ``sampler(rng, length, **options) -> dict``; its keyword parameters with defaults are its options."""

    minimum = 1

    def __init__(self, name: str, function: Callable) -> None:
        self.name, self.function = name, function
        try:
            parameters = list(inspect.signature(function).parameters.values())
        except (TypeError, ValueError):
            parameters = []
        if len(parameters) < 2:
            raise BadInput(
                f"register sampler: {brief(function)} does not take (rng, length); "
                "write sampler(rng, length, **options) -> dict of inputs"
            )
        by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        self.options = {p.name: p.default for p in parameters[2:] if p.kind in by_name}
        for parameter in parameters[2:]:
            takes_one_value = parameter.kind in (*by_name, inspect.Parameter.POSITIONAL_ONLY)
            if takes_one_value and parameter.default is parameter.empty:
                raise BadInput(
                    f"register sampler: {name}'s parameter {parameter.name!r} has no default; "
                    "options of a sampler need one"
                )

    def check(self, name: str, length: object, options: Mapping[str, Any]) -> tuple[int, tuple]:
        """The checked (length, arguments of ``sample``); the options' values are the user's own business."""
        checked_length = whole(f"{name} length", length, 1, MAX_LENGTH)
        for option in options:
            if option not in self.options:
                raise unknown(f"{name} option", option, self.options, "an option of its sampler")
        return checked_length, (dict(options),)

    def sample(
        self, source: Source, item: int, length: int, decimal_scale: float, options: Mapping[str, Any]
    ) -> dict[str, np.ndarray]:
        """The inputs of one item, floats cut to decimals as those of the thirty."""
        inputs = self.function(source.generator(item), length, **options)
        if not isinstance(inputs, Mapping):
            raise BadInput(
                f"{self.name} sampler: returned {brief(inputs)}; it must return a dict from input names to arrays"
            )
        return {name: _truncate(np.asarray(value), decimal_scale) for name, value in inputs.items()}


def _truncate(values: np.ndarray, decimal_scale: float) -> np.ndarray:
    if decimal_scale == 0 or values.dtype.kind != "f":
        return values
    return np.trunc(values * decimal_scale) / decimal_scale


# ---- the thirty

_UNIT_INTERVAL = {"low": 0.0, "high": 1.0}
_HALF, _FIFTH = {"p": (0.5,)}, {"p": (0.2,)}
_KEYS = Sampler(draw.keys, _UNIT_INTERVAL)
_MATCHER = Sampler(
    draw.haystack_and_needle,
    {"length_needle": None, "chars": 4},
    minimum=3,
    minimum_reason="a needle and a longer haystack",
)
_WEIGHTED = Sampler(draw.weighted_graphs_with_source, _HALF | _UNIT_INTERVAL, fixed_arguments=(False,))
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
    minimum_reason="a hull is a polygon",
    maximum=2000,  # every three points are tested for lying on a line
)

SAMPLERS: dict[str, Sampler] = {
    **dict.fromkeys(
        ("insertion_sort", "bubble_sort", "heapsort", "quicksort", "quickselect", "minimum", "matrix_chain_order"),
        _KEYS,
    ),
    "binary_search": Sampler(draw.sorted_keys, _UNIT_INTERVAL),
    "find_maximum_subarray_kadane": Sampler(draw.keys, {"low": -1.0, "high": 1.0}),
    "activity_selector": Sampler(draw.intervals, _UNIT_INTERVAL),
    "task_scheduling": Sampler(draw.tasks, {"max_deadline": None} | _UNIT_INTERVAL),
    "lcs_length": Sampler(
        draw.two_strings, {"length_2": None, "chars": 4}, minimum_reason="two strings of at least one letter"
    ),
    "optimal_bst": Sampler(draw.key_and_gap_probabilities, minimum=1, size=lambda length: length + 1),
    # fixed arguments of draw.graphs: directed, acyclic
    "dfs": Sampler(draw.graphs, _HALF, fixed_arguments=(True, False)),
    "topological_sort": Sampler(draw.graphs, _HALF, fixed_arguments=(True, True)),
    **dict.fromkeys(("articulation_points", "bridges"), Sampler(draw.graphs, _FIFTH, fixed_arguments=(False, False))),
    "strongly_connected_components": Sampler(draw.communities, {"k": 4} | _HALF | {"eps": 0.01}, minimum=1),
    "bfs": Sampler(draw.graphs_with_source, _HALF),
    **dict.fromkeys(("mst_prim", "bellman_ford", "dijkstra"), _WEIGHTED),
    "dag_shortest_paths": Sampler(
        draw.weighted_graphs_with_source, _HALF | _UNIT_INTERVAL, fixed_arguments=(True,)
    ),  # directed
    "mst_kruskal": Sampler(draw.weighted_graphs, _FIFTH | _UNIT_INTERVAL),
    "floyd_warshall": Sampler(draw.weighted_graphs, _HALF | _UNIT_INTERVAL),
    **dict.fromkeys(("naive_string_matcher", "kmp_matcher"), _MATCHER),
    "segments_intersect": Sampler(draw.segment_pairs, _UNIT_INTERVAL, minimum=1, size=lambda length: 4),
    **dict.fromkeys(("graham_scan", "jarvis_march"), _DISK),
}
