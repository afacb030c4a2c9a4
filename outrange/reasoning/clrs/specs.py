"""What each algorithm takes, records and returns: the probes of CLRS-30 (arXiv 2205.15659, section 3).

A probe has a stage (input, output, hint), a location (node, edge, graph) and a type:

    scalar                  a real number; with ``int``, one that the samplers draw as an integer (no decimal point)
    mask                    0 or 1; -1 hides a cell from losses and metrics
    mask_one                one-hot over the nodes
    categorical K           one of K classes; a hidden cell holds -1
    pointer                 the index of a node
    should_be_permutation   pointers that form a predecessor chain

Shapes, dtypes, recording, padding, text and scoring are all derived from this table. N nodes give these shapes:

    ============= ============ =================== ==========================================
    location      public array recorded while running (mask_one and categorical as an index)
    ============= ============ =================== ==========================================
    node          (N,)         (N,), or () for a mask_one
    edge          (N, N)       (N, N), or (N,) for a mask_one
    graph         ()           ()
    ============= ============ =================== ==========================================

with one more axis of size K (N for a node mask_one) on the public array of a categorical.
"""

import keyword
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from outrange.core.errors import BadInput, unknown

STAGES = ("input", "output", "hint")
LOCATIONS = {"node": 1, "edge": 2, "graph": 0}  # number of node axes
TYPES = ("scalar", "mask", "mask_one", "categorical", "pointer", "should_be_permutation")
CATEGORIES = (
    "sorting",
    "searching",
    "divide and conquer",
    "greedy",
    "dynamic programming",
    "graphs",
    "strings",
    "geometry",
)


@dataclass(frozen=True, slots=True)
class Probe:
    """One named quantity of an algorithm. ``classes`` counts the classes of a categorical, else 0."""

    stage: str
    location: str
    type: str
    classes: int = 0
    integer: bool = False

    def __post_init__(self) -> None:
        for field, allowed in (("stage", STAGES), ("location", tuple(LOCATIONS)), ("type", TYPES)):
            value = getattr(self, field)
            if value not in allowed:
                raise unknown(f"probe {field}", value, allowed, f"a probe {field}")
        if (self.type == "categorical") != (self.classes > 0):
            raise BadInput(
                f"probe classes: {self.classes} for type {self.type!r}; a categorical needs its number of classes, no "
                "other type has any"
            )
        if self.type in ("mask_one", "pointer", "should_be_permutation") and self.location == "graph":
            raise BadInput(f"probe type: {self.type!r} at location 'graph'; it needs nodes, so 'node' or 'edge'")

    @property
    def is_one_hot(self) -> bool:
        """Whether the public array is one-hot over one more axis; while running, only the index is recorded."""
        return self.type in ("mask_one", "categorical")

    @property
    def dtype(self) -> np.dtype:
        """The dtype of the public array."""
        if self.type == "scalar":
            return np.dtype(np.int64 if self.integer else np.float64)
        if self.type in ("pointer", "should_be_permutation"):
            return np.dtype(np.int32)
        return np.dtype(np.int8)

    @property
    def recorded_dtype(self) -> np.dtype:
        """The dtype while running: that of the public array, but int64 for the one index of a mask_one."""
        return np.dtype(np.int64) if self.type == "mask_one" else self.dtype

    def recorded_shape(self, size: int) -> tuple[int, ...]:
        """The shape while running, with ``size`` nodes: an index takes the place of a mask_one's node axis."""
        return (size,) * (LOCATIONS[self.location] - (self.type == "mask_one"))

    def shape(self, size: int) -> tuple[int, ...]:
        """The shape of the public array of one step, with ``size`` nodes."""
        class_axis = (self.classes,) if self.type == "categorical" else ()
        return (size,) * LOCATIONS[self.location] + class_axis


class Spec(Mapping[str, Probe]):
    """An ordered mapping from probe names to probes, built from three lines of text.

    Each line lists ``name location type`` separated by commas:
    ``Spec("graphs", inputs="A edge scalar, s node mask_one", …)``. ``pos`` (each node's place, i / N) is added in
    front when it is left out; ``adj`` is derived from ``A`` when it is listed.
    """

    def __init__(self, category: str, *, inputs: str, outputs: str, hints: str = "") -> None:
        self.category = category
        self.description = dict(category=category, inputs=inputs, outputs=outputs, hints=hints)
        probes: dict[str, Probe] = {}
        for stage, text in (("input", inputs), ("output", outputs), ("hint", hints)):
            for name, probe in _parse(stage, text):
                if name in probes:
                    raise BadInput(f"spec {stage}s: {name!r} is listed twice; every probe needs a name of its own")
                probes[name] = probe
        # Where ``pos`` stands among the inputs is part of the published specs, so it may be listed.
        if "pos" not in probes:
            probes = {"pos": Probe("input", "node", "scalar"), **probes}
        if "adj" in probes and "A" not in probes:
            raise BadInput("spec inputs: 'adj' without 'A'; adj is derived from the matrix A")
        self._probes = probes
        by_stage = {stage: {n: p for n, p in probes.items() if p.stage == stage} for stage in STAGES}
        self.inputs, self.outputs, self.hints = by_stage["input"], by_stage["output"], by_stage["hint"]
        if not self.outputs:
            raise BadInput("spec outputs: none listed; an algorithm needs at least one")
        # What the generator takes: pos and adj are for models, no algorithm reads them.
        self.arguments = {n: p for n, p in self.inputs.items() if n not in ("pos", "adj")}
        if not self.arguments:
            raise BadInput("spec inputs: none listed besides pos and adj; an algorithm needs at least one")

    @classmethod
    def from_probes(cls, probes: Mapping[str, Probe], category: str = "own") -> "Spec":
        """A spec from a mapping of probes."""
        lines: dict[str, str] = dict.fromkeys(STAGES, "")
        for name, probe in probes.items():
            if not isinstance(probe, Probe):
                raise BadInput(f"spec {name}: {probe!r} is not a Probe; write Probe(stage, location, type, classes)")
            fourth_word = f" {probe.classes}" if probe.classes else " int" if probe.integer else ""
            lines[probe.stage] += f"{name} {probe.location} {probe.type}{fourth_word}, "
        return cls(category, inputs=lines["input"], outputs=lines["output"], hints=lines["hint"])

    def __getitem__(self, name: str) -> Probe:
        return self._probes[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._probes)

    def __len__(self) -> int:
        return len(self._probes)

    def __repr__(self) -> str:
        return "Spec(" + ", ".join(f"{field}={value!r}" for field, value in self.description.items()) + ")"


def _parse(stage: str, text: str) -> Iterator[tuple[str, Probe]]:
    """The probes of one line of a spec, ``name location type [classes | int]`` separated by commas."""
    for entry in filter(None, (part.strip() for part in text.split(","))):
        words = entry.split()
        if (
            not 3 <= len(words) <= 4
            or not words[0].isidentifier()
            or words[0].startswith("_")
            or (stage == "hint" and keyword.iskeyword(words[0]))  # hints are the fields of a named tuple
        ):
            raise BadInput(
                f"spec {stage}s: {entry!r}; write 'name location type', e.g. 'key node scalar' or "
                "'phase graph categorical 3'"
            )
        name, location, probe_type = words[:3]
        fourth_word = words[3] if len(words) == 4 else ""
        integer = fourth_word == "int"
        is_class_count = fourth_word.isascii() and fourth_word.isdigit() and int(fourth_word) <= 100
        if fourth_word and not integer and not is_class_count:
            raise BadInput(
                f"spec {stage}s: {entry!r} ends in {fourth_word!r}; only 'categorical K' (K up to 100) and 'scalar "
                "int' take a fourth word"
            )
        yield name, Probe(stage, location, probe_type, int(fourth_word) if is_class_count else 0, integer)


def _sorting_spec(hints: str = "pred_h node pointer, i node mask_one, j node mask_one") -> Spec:
    return Spec("sorting", inputs="key node scalar", outputs="pred node should_be_permutation", hints=hints)


# Hints that several algorithms share: of a depth-first search, with ``low`` added, and of a search with a priority
# queue.
_SEARCH_HINTS = (
    "color node categorical 3, d node scalar, f node scalar, s_prev node pointer, s node mask_one, "
    "u node mask_one, v node mask_one, s_last node mask_one, time graph scalar"
)
_LOWPOINT_HINTS = (
    "color node categorical 3, d node scalar, f node scalar, low node scalar, "
    "{child_count}s_prev node pointer, s node mask_one, u node mask_one, v node mask_one, "
    "s_last node mask_one, time graph scalar"
)
_QUEUE_HINTS = "pi_h node pointer, {key} node scalar, mark node mask, in_queue node mask, u node mask_one"

#: The thirty algorithms, in the order of the textbook.
CLRS30: dict[str, Spec] = {
    "insertion_sort": _sorting_spec(),
    "bubble_sort": _sorting_spec(),
    "heapsort": _sorting_spec(
        "pred_h node pointer, parent node pointer, i node mask_one, j node mask_one, largest node mask_one, "
        "heap_size node mask_one, phase graph categorical 3"
    ),
    "quicksort": _sorting_spec(
        "pred_h node pointer, p node mask_one, r node mask_one, i node mask_one, j node mask_one"
    ),
    "minimum": Spec(
        "searching",
        inputs="key node scalar",
        outputs="min node mask_one",
        hints="pred_h node pointer, min_h node mask_one, i node mask_one",
    ),
    "binary_search": Spec(
        "searching",
        inputs="key node scalar, target graph scalar",
        outputs="return node mask_one",
        hints="pred_h node pointer, low node mask_one, high node mask_one, mid node mask_one",
    ),
    "quickselect": Spec(
        "searching",
        inputs="key node scalar",
        outputs="median node mask_one",
        hints=(
            "pred_h node pointer, p node mask_one, r node mask_one, i node mask_one, j node mask_one, "
            "i_rank graph scalar, target graph scalar, pivot node mask_one"
        ),
    ),
    "find_maximum_subarray_kadane": Spec(
        "divide and conquer",
        inputs="key node scalar",
        outputs="start node mask_one, end node mask_one",
        hints=(
            "pred_h node pointer, best_low node mask_one, best_high node mask_one, best_sum graph scalar, "
            "i node mask_one, j node mask_one, sum graph scalar"
        ),
    ),
    "activity_selector": Spec(
        "greedy",
        inputs="s node scalar, f node scalar",
        outputs="selected node mask",
        hints="pred_h node pointer, selected_h node mask, m node mask_one, k node mask_one",
    ),
    "task_scheduling": Spec(
        "greedy",
        inputs="d node scalar int, w node scalar",
        outputs="selected node mask",
        hints="pred_h node pointer, selected_h node mask, i node mask_one, t graph scalar",
    ),
    "matrix_chain_order": Spec(
        "dynamic programming",
        inputs="p node scalar",
        outputs="s edge pointer",
        hints="pred_h node pointer, m edge scalar, s_h edge pointer, msk edge mask",
    ),
    "lcs_length": Spec(
        "dynamic programming",
        inputs="string node mask, pos node scalar, key node categorical 4",
        outputs="b edge categorical 4",
        hints="pred_h node pointer, b_h edge categorical 4, c edge scalar",
    ),
    "optimal_bst": Spec(
        "dynamic programming",
        inputs="p node scalar, q node scalar",
        outputs="root edge pointer",
        hints="pred_h node pointer, root_h edge pointer, e edge scalar, w edge scalar, msk edge mask",
    ),
    "dfs": Spec(
        "graphs",
        inputs="A edge scalar int, adj edge mask",
        outputs="pi node pointer",
        hints=f"pi_h node pointer, {_SEARCH_HINTS}",
    ),
    "bfs": Spec(
        "graphs",
        inputs="pos node scalar, s node mask_one, A edge scalar int, adj edge mask",
        outputs="pi node pointer",
        hints="reach_h node mask, pi_h node pointer",
    ),
    "topological_sort": Spec(
        "graphs",
        inputs="A edge scalar int, adj edge mask",
        outputs="topo node pointer, topo_head node mask_one",
        hints=(
            "topo_h node pointer, topo_head_h node mask_one, color node categorical 3, s_prev node pointer, "
            "s node mask_one, u node mask_one, v node mask_one, s_last node mask_one"
        ),
    ),
    "articulation_points": Spec(
        "graphs",
        inputs="A edge scalar int, adj edge mask",
        outputs="is_cut node mask",
        hints="is_cut_h node mask, pi_h node pointer, " + _LOWPOINT_HINTS.format(child_count="child_cnt node scalar, "),
    ),
    "bridges": Spec(
        "graphs",
        inputs="A edge scalar int, adj edge mask",
        outputs="is_bridge edge mask",
        hints="is_bridge_h edge mask, pi_h node pointer, " + _LOWPOINT_HINTS.format(child_count=""),
    ),
    "strongly_connected_components": Spec(
        "graphs",
        inputs="A edge scalar, adj edge mask",
        outputs="scc_id node pointer",
        hints=f"scc_id_h node pointer, A_t edge mask, {_SEARCH_HINTS}, phase graph mask",
    ),
    "mst_kruskal": Spec(
        "graphs",
        inputs="A edge scalar, adj edge mask",
        outputs="in_mst edge mask",
        hints=(
            "in_mst_h edge mask, pi node pointer, u node mask_one, v node mask_one, root_u node mask_one, "
            "root_v node mask_one, mask_u node mask, mask_v node mask, phase graph categorical 3"
        ),
    ),
    "mst_prim": Spec(
        "graphs",
        inputs="pos node scalar, s node mask_one, A edge scalar, adj edge mask",
        outputs="pi node pointer",
        hints=_QUEUE_HINTS.format(key="key"),
    ),
    "bellman_ford": Spec(
        "graphs",
        inputs="pos node scalar, s node mask_one, A edge scalar, adj edge mask",
        outputs="pi node pointer",
        hints="pi_h node pointer, d node scalar, msk node mask",
    ),
    "dijkstra": Spec(
        "graphs",
        inputs="pos node scalar, s node mask_one, A edge scalar, adj edge mask",
        outputs="pi node pointer",
        hints=_QUEUE_HINTS.format(key="d"),
    ),
    "dag_shortest_paths": Spec(
        "graphs",
        inputs="pos node scalar, s node mask_one, A edge scalar, adj edge mask",
        outputs="pi node pointer",
        hints=(
            "pi_h node pointer, d node scalar, mark node mask, topo_h node pointer, topo_head_h node mask_one, "
            "color node categorical 3, s_prev node pointer, u node mask_one, v node mask_one, "
            "s_last node mask_one, phase graph mask"
        ),
    ),
    "floyd_warshall": Spec(
        "graphs",
        inputs="A edge scalar, adj edge mask",
        outputs="Pi edge pointer",
        hints="Pi_h edge pointer, D edge scalar, msk edge mask, k node mask_one",
    ),
    "naive_string_matcher": Spec(
        "strings",
        inputs="string node mask, pos node scalar, key node categorical 4",
        outputs="match node mask_one",
        hints="pred_h node pointer, s node mask_one, i node mask_one, j node mask_one",
    ),
    "kmp_matcher": Spec(
        "strings",
        inputs="string node mask, pos node scalar, key node categorical 4",
        outputs="match node mask_one",
        hints=(
            "pred_h node pointer, pi node pointer, is_reset node mask, k node mask_one, k_reset graph mask, "
            "q node mask_one, q_reset graph mask, s node mask_one, i node mask_one, phase graph mask"
        ),
    ),
    "segments_intersect": Spec(
        "geometry",
        inputs="x node scalar, y node scalar",
        outputs="intersect graph mask",
        hints="i node mask_one, j node mask_one, k node mask_one, dir node scalar, on_seg node mask",
    ),
    "graham_scan": Spec(
        "geometry",
        inputs="x node scalar, y node scalar",
        outputs="in_hull node mask",
        hints=(
            "best node mask_one, atans node scalar, in_hull_h node mask, stack_prev node pointer, "
            "last_stack node mask_one, i node mask_one, phase graph categorical 5"
        ),
    ),
    "jarvis_march": Spec(
        "geometry",
        inputs="x node scalar, y node scalar",
        outputs="in_hull node mask",
        hints=(
            "pred_h node pointer, in_hull_h node mask, best node mask_one, last_point node mask_one, "
            "endpoint node mask_one, i node mask_one, phase graph categorical 2"
        ),
    ),
}
