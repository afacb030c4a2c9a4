"""What the generalist sees of an algorithm: its CLRS spec after the two changes of the generalist's set-up (arXiv
2209.11142, section 3; dm-clrs 2.0.3).

    pred as input    A hint ``pred_h`` that never changes is not worth predicting: it becomes the input ``pred``, in the same place of the spec.
    permutations     Each output ``x`` that is a predecessor chain becomes two: ``x``, a permutation matrix of cyclic predecessors (the first node's is the
                     last), and ``x_mask``, one-hot at the first node. Elsewhere, and without this change, a chain is a plain pointer.

The published list for the first change has twelve names; one of them, the divide-and-conquer find_maximum_subarray, is
not among the thirty.
"""

from collections.abc import Mapping
from typing import NamedTuple

from outrange.core.errors import BadInput, brief
from outrange.reasoning.clrs import specs

TYPES = ("scalar", "mask", "mask_one", "categorical", "pointer", "permutation_pointer")

#: Those of the thirty whose hint ``pred_h`` is the same at every step. In the sorts and in quickselect it changes.
CONSTANT_PRED = (
    "activity_selector",
    "binary_search",
    "find_maximum_subarray_kadane",
    "jarvis_march",
    "kmp_matcher",
    "lcs_length",
    "matrix_chain_order",
    "minimum",
    "naive_string_matcher",
    "optimal_bst",
    "task_scheduling",
)


class TaskProbe(NamedTuple):
    """One named quantity as the model sees it, after the two changes (``clrs.Probe`` is that of the traces).

    ``classes`` counts the classes of a categorical, else 0.
    """

    stage: str
    location: str
    type: str
    classes: int = 0


def moves_pred(clrs_spec: Mapping[str, specs.Probe], pred_as_input: bool | str) -> bool:
    """Whether the hint ``pred_h`` becomes the input ``pred``; see ``task_spec``."""
    if pred_as_input not in (True, False, "always"):
        raise BadInput(f"pred_as_input: {brief(pred_as_input)} is not allowed; True, False or 'always'")
    # the published code goes by the algorithm; here by its spec, so that a copy of one of the thirty is treated alike
    hint = clrs_spec.get("pred_h")
    if not pred_as_input or hint is None or (hint.stage, hint.location, hint.type) != ("hint", "node", "pointer"):
        return False
    return pred_as_input == "always" or any(clrs_spec == specs.CLRS30[name] for name in CONSTANT_PRED)


def is_permutation(probe: specs.Probe, permutations: bool) -> bool:
    """Whether a probe of a CLRS spec becomes a permutation matrix and its mask."""
    return permutations and (probe.stage, probe.location, probe.type) == ("output", "node", "should_be_permutation")


def task_spec(
    clrs_spec: Mapping[str, specs.Probe], *, pred_as_input: bool | str = True, permutations: bool = True
) -> dict[str, TaskProbe]:
    """The generalist's spec of an algorithm, in the order of the CLRS spec.

    Args:
        clrs_spec: as ``clrs.spec(name)`` gives it.
        pred_as_input: True moves ``pred_h`` for those of the thirty where it is constant, and leaves a registered
            algorithm's alone; "always" moves every ``pred_h`` that is a node pointer hint, for registered algorithms
            whose chain is constant (``samples.prepare`` checks that it is); False moves none.
        permutations: whether predecessor chains among the outputs become permutations.

    Raises:
        BadInput: a new probe would take a name that the spec has already.
    """
    moves = moves_pred(clrs_spec, pred_as_input)
    result: dict[str, TaskProbe] = {}
    for name, probe in clrs_spec.items():
        # in place, so that the order of probes, and with it of parameters, stays
        if name == "pred_h" and moves:
            _add(result, clrs_spec, "pred", TaskProbe("input", "node", "pointer"))
        elif is_permutation(probe, permutations):
            result[name] = TaskProbe("output", "node", "permutation_pointer")
            _add(result, clrs_spec, f"{name}_mask", TaskProbe("output", "node", "mask_one"))
        else:
            probe_type = "pointer" if probe.type == "should_be_permutation" else probe.type
            result[name] = TaskProbe(probe.stage, probe.location, probe_type, probe.classes)
    return result


def _add(result: dict[str, TaskProbe], clrs_spec: Mapping[str, specs.Probe], name: str, probe: TaskProbe) -> None:
    if name in clrs_spec:
        raise BadInput(
            f"spec {name}: the name is taken by another probe, the generalist's set-up needs it; rename that one, or turn this change off"
        )
    result[name] = probe
