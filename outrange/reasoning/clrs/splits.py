"""The published splits and grids by name: of CLRS-30, of the generalist's training, and of CLRS-Text.

Sources: dm-clrs 2.0.3 and arXiv 2205.15659, 2209.11142, 2406.04229; docs/papers/clrs.md. Their samples are drawn by
``clrs.sample``.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from outrange.core.errors import BadInput, unknown
from outrange.reasoning.clrs.registry import ALGORITHMS, get_algorithm
from outrange.reasoning.clrs.sampling import sample
from outrange.reasoning.clrs.traces import Trace


@dataclass(frozen=True, slots=True)
class Cell:
    """One run of the published sampler: an algorithm at a length, from a seed."""

    algorithm: str
    length: int
    seed: int
    count: int
    truncate_decimals: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


#: How many times 32 traces an algorithm has in val and test: more where an output says little.
MULTIPLIERS = {"find_maximum_subarray_kadane": 32} | dict.fromkeys(
    ("quickselect", "minimum", "binary_search", "naive_string_matcher", "kmp_matcher", "segments_intersect"), 64
)
_CLRS30_SPLITS = {"train": (16, 1), "val": (16, 2), "test": (64, 3)}  # length, seed

GENERALIST_LENGTHS = (4, 7, 11, 13, 16)
GENERALIST_STRING_LENGTH = 20  # of both strings, with needles of 1 to 8
_EDGE_PROBABILITIES = tuple(k / 10 for k in range(1, 10))
_SPARSE = ("articulation_points", "bridges", "mst_kruskal")
_STRINGS = ("naive_string_matcher", "kmp_matcher")

TEXT_SEED, TEXT_EVAL_SEEDS = 0, (3, 14, 35, 81, 94)
TEXT_TRAIN_COUNT, TEXT_EVAL_COUNT = 10_000, 125  # samples of an algorithm at a length, from each seed
_TEXT_LENGTHS = (4, 5, 10, 11, 12, 15, 19, 23, 28, 31)
#: The longest training and evaluation length of each algorithm in CLRS-Text; training takes the members of
#: ``_TEXT_LENGTHS`` up to it, evaluation all from 4.
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


def split(name: str, split_name: str) -> list[Trace]:
    """A published CLRS-30 split of one algorithm.

    ``train`` has 1000 traces of length 16; ``val`` (length 16) and ``test`` (length 64) have 32 times ``MULTIPLIERS``.
    """
    cell = _clrs30_cell(get_algorithm(name).name, split_name)
    return sample(cell.algorithm, cell.length, cell.count, cell.seed)


def _clrs30_cell(name: str, split_name: str) -> Cell:
    if split_name not in _CLRS30_SPLITS:
        raise unknown("split", split_name, SPLITS, "a split")
    length, seed = _CLRS30_SPLITS[split_name]
    return Cell(name, length, seed, 1000 if split_name == "train" else 32 * MULTIPLIERS.get(name, 1))


def generalist(name: str) -> tuple[tuple[int, ...], dict[str, Any]]:
    """The generalist's training distribution of one algorithm: its lengths and sampler options, ready for
    ``clrs.dataset``.
    """
    sampler = get_algorithm(name).sampler
    if name in _STRINGS:
        return (GENERALIST_STRING_LENGTH,), {"length_needle": -8}
    if name in ALGORITHMS and "p" in sampler.options:  # a registered sampler's p may mean anything
        is_sparse = name in _SPARSE
        return GENERALIST_LENGTHS, {"p": tuple(p / 2 if is_sparse else p for p in _EDGE_PROBABILITIES)}
    return GENERALIST_LENGTHS, {}


def text_lengths(name: str, grid: str) -> tuple[int, ...]:
    """The lengths of an algorithm in the CLRS-Text ``train`` or ``eval`` grid."""
    if grid not in ("train", "eval"):
        raise unknown("grid", grid, ("train", "eval"), "a CLRS-Text grid")
    if get_algorithm(name).name not in TEXT_LONGEST:
        raise BadInput(f"grid: {name!r} is not one of the thirty, for which CLRS-Text has grids")
    longest_train, longest_eval = TEXT_LONGEST[name]
    if grid == "train":
        return tuple(length for length in _TEXT_LENGTHS if length <= longest_train)
    return tuple(range(4, longest_eval + 1))


def preset(name: str, algorithms: tuple[str, ...] = ALGORITHMS, count: int | None = None) -> list[Cell]:
    """The cells of a preset.

    Args:
        name: one of ``PRESETS``.
        algorithms: some of the thirty.
        count: samples per cell instead of the published number.

    Raises:
        BadInput: an unknown preset, or an algorithm that is not one of the thirty.
    """
    for algorithm in algorithms:
        if algorithm not in ALGORITHMS:
            raise BadInput(
                f"algorithms: {algorithm!r} is not one of the thirty, and preset {name!r} is defined for those only"
            )
    if name not in PRESETS:
        raise unknown("preset", name, PRESETS, "a preset")
    family, _, split_name = name.rpartition("-")
    if family == "clrs30":
        cells = [_clrs30_cell(algorithm, split_name) for algorithm in algorithms]
    else:
        cells = [cell for algorithm in algorithms for cell in _text_cells(algorithm, split_name)]
    return cells if count is None else [dataclasses.replace(cell, count=count) for cell in cells]


def _text_cells(name: str, grid: str) -> list[Cell]:
    """CLRS-Text's cells of one algorithm; floats are cut to three decimals."""
    seeds, count = ((TEXT_SEED,), TEXT_TRAIN_COUNT) if grid == "train" else (TEXT_EVAL_SEEDS, TEXT_EVAL_COUNT)
    return [
        Cell(name, length, seed, count, truncate_decimals=3) for length in text_lengths(name, grid) for seed in seeds
    ]
