"""The published splits and grids by name: CLRS-30 (train, val, test), the generalist's training distribution, and CLRS-Text (train, eval).

Sources: dm-clrs 2.0.3 and arXiv 2205.15659, 2209.11142, 2406.04229; docs/papers/clrs.md. Their samples are drawn by ``clrs.sample``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from outrange.core.errors import BadInput, unknown
from outrange.reasoning.clrs.registry import ALGORITHMS, algorithm
from outrange.reasoning.clrs.sample import sample
from outrange.reasoning.clrs.trace import Trace


@dataclass(frozen=True, slots=True)
class Cell:
    """One run of the published sampler: an algorithm at a length, from a seed."""

    algorithm: str
    length: int
    seed: int
    count: int
    truncate_decimals: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


#: How many times 32 trajectories an algorithm has in val and test: those whose output says little per trajectory have more.
MULTIPLIERS = {"find_maximum_subarray_kadane": 32} | dict.fromkeys(
    ("quickselect", "minimum", "binary_search", "naive_string_matcher", "kmp_matcher", "segments_intersect"), 64
)
_CLRS30 = {"train": (16, 1), "val": (16, 2), "test": (64, 3)}  # length, seed

GENERALIST_LENGTHS = (4, 7, 11, 13, 16)
GENERALIST_STRING_LENGTH = 20  # of both strings, with needles of 1 to 8
_PROBABILITIES = tuple(k / 10 for k in range(1, 10))
_SPARSE = ("articulation_points", "bridges", "mst_kruskal")
_STRINGS = ("naive_string_matcher", "kmp_matcher")

TEXT_SEED, TEXT_EVAL_SEEDS = 0, (3, 14, 35, 81, 94)
_TEXT_LENGTHS = (4, 5, 10, 11, 12, 15, 19, 23, 28, 31)
#: The longest training and evaluation length of each algorithm in CLRS-Text; training takes the members of ``_TEXT_LENGTHS`` up to it, evaluation all from 4.
TEXT_LONGEST: dict[str, tuple[int, int]] = {
    "activity_selector": (31, 40),
    "articulation_points": (19, 19),
    "bellman_ford": (31, 32),
    "bfs": (31, 41),
    "binary_search": (31, 64),
    "bridges": (5, 7),
    "bubble_sort": (10, 11),
    "dag_shortest_paths": (19, 19),
    "dfs": (23, 20),
    "dijkstra": (28, 25),
    "find_maximum_subarray_kadane": (31, 64),
    "floyd_warshall": (10, 11),
    "graham_scan": (31, 31),
    "heapsort": (10, 11),
    "insertion_sort": (31, 25),
    "jarvis_march": (12, 13),
    "kmp_matcher": (31, 64),
    "lcs_length": (10, 12),
    "matrix_chain_order": (10, 12),
    "minimum": (31, 64),
    "mst_kruskal": (10, 10),
    "mst_prim": (28, 26),
    "naive_string_matcher": (31, 64),
    "optimal_bst": (10, 10),
    "quickselect": (31, 64),
    "quicksort": (10, 12),
    "segments_intersect": (31, 64),
    "strongly_connected_components": (15, 16),
    "task_scheduling": (31, 41),
    "topological_sort": (23, 21),
}

SPLITS = ("train", "val", "test")
PRESETS = ("clrs30-train", "clrs30-val", "clrs30-test", "clrs-text-train", "clrs-text-eval")


def split(name: str, which: str) -> list[Trace]:
    """A published CLRS-30 split of one algorithm: train (1000 traces of length 16), val (16) or test (64), the latter two 32 times ``MULTIPLIERS``."""
    cell = _clrs30(algorithm(name).name, which)
    return sample(cell.algorithm, cell.length, cell.count, cell.seed)


def _clrs30(name: str, which: str) -> Cell:
    if which not in _CLRS30:
        raise unknown("split", which, SPLITS, "a split")
    length, seed = _CLRS30[which]
    return Cell(name, length, seed, 1000 if which == "train" else 32 * MULTIPLIERS.get(name, 1))


def generalist(name: str) -> tuple[tuple[int, ...], dict[str, Any]]:
    """The generalist's training distribution of one algorithm: its lengths, and the options of its sampler, ready for ``clrs.dataset``."""
    sampler = algorithm(name).sampler
    if name in _STRINGS:
        return (GENERALIST_STRING_LENGTH,), {"length_needle": -8}
    if name in ALGORITHMS and "p" in sampler.options:  # a registered sampler's p may mean anything
        return GENERALIST_LENGTHS, {"p": tuple(p / 2 for p in _PROBABILITIES) if name in _SPARSE else _PROBABILITIES}
    return GENERALIST_LENGTHS, {}


def text_lengths(name: str, which: str) -> tuple[int, ...]:
    """The lengths of an algorithm in the CLRS-Text ``train`` or ``eval`` grid."""
    if which not in ("train", "eval"):
        raise unknown("grid", which, ("train", "eval"), "a CLRS-Text grid")
    if algorithm(name).name not in TEXT_LONGEST:
        raise BadInput(f"grid: {name!r} is not one of the thirty, for which CLRS-Text has grids")
    longest = TEXT_LONGEST[name]
    return tuple(n for n in _TEXT_LENGTHS if n <= longest[0]) if which == "train" else tuple(range(4, longest[1] + 1))


def preset(name: str, algorithms: tuple[str, ...] = ALGORITHMS, count: int | None = None) -> list[Cell]:
    """The cells of a preset, for some of the thirty, with ``count`` instead of the published samples per cell if given."""
    for a in algorithms:
        if a not in ALGORITHMS:
            raise BadInput(f"algorithms: {a!r} is not one of the thirty, and preset {name!r} is defined for those only")
    family, _, which = name.rpartition("-")
    if name not in PRESETS:
        raise unknown("preset", name, PRESETS, "a preset")
    if family == "clrs30":
        cells = [_clrs30(a, which) for a in algorithms]
    else:
        seeds, per_cell = ((TEXT_SEED,), 10_000) if which == "train" else (TEXT_EVAL_SEEDS, 125)
        cells = [
            Cell(a, n, seed, per_cell, truncate_decimals=3)
            for a in algorithms
            for n in text_lengths(a, which)
            for seed in seeds
        ]
    if count is None:
        return cells
    return [Cell(c.algorithm, c.length, c.seed, count, c.truncate_decimals, c.options) for c in cells]
