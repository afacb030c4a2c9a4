"""The generalist's spec of an algorithm: the constant chain becomes an input, permutations become two outputs; equal to the reference's, order included."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from outrange.core.errors import BadInput
from outrange.reasoning import clrs
from outrange.reasoning.nar.spec import CONSTANT_PRED, TaskProbe, task_spec

FOLDER = Path(os.environ.get("OUTRANGE_ORACLE", Path(__file__).parents[2] / "oracle" / "data")) / "nar"
FILES = [file for file in sorted(FOLDER.glob("*.npz")) if file.stem != "metrics"]


def test_the_folder_holds_reference_specs():
    assert FILES, f"no reference specs in {FOLDER}"


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_specs_equal_the_reference_probe_by_probe_and_in_order(file):
    with np.load(file) as data:
        meta = json.loads(str(data["meta"]))
    ours = [
        [name, probe.stage, probe.location, probe.type]
        for name, probe in task_spec(clrs.spec(meta["algorithm"])).items()
    ]
    assert ours == [list(probe) for probe in meta["spec"]]


def test_a_sort_gets_a_permutation_and_its_mask():
    assert task_spec(clrs.spec("insertion_sort")) == {
        "pos": TaskProbe("input", "node", "scalar"),
        "key": TaskProbe("input", "node", "scalar"),
        "pred": TaskProbe("output", "node", "permutation_pointer"),
        "pred_mask": TaskProbe("output", "node", "mask_one"),
        "pred_h": TaskProbe("hint", "node", "pointer"),
        "i": TaskProbe("hint", "node", "mask_one"),
        "j": TaskProbe("hint", "node", "mask_one"),
    }


def test_without_permutations_a_chain_is_a_pointer():
    spec = task_spec(clrs.spec("insertion_sort"), permutations=False)
    assert spec["pred"].type == "pointer" and "pred_mask" not in spec


def test_a_categorical_keeps_its_number_of_classes():
    assert task_spec(clrs.spec("graham_scan"))["phase"] == TaskProbe("hint", "graph", "categorical", 5)


def test_eleven_of_the_thirty_take_the_chain_as_an_input_in_place_of_the_hint():
    moved = []
    for name in clrs.ALGORITHMS:
        before, after = clrs.spec(name), task_spec(clrs.spec(name), permutations=False)
        if list(after) != list(before):
            assert list(after) == ["pred" if probe == "pred_h" else probe for probe in before]
            assert after["pred"] == TaskProbe("input", "node", "pointer")
            moved.append(name)
    assert tuple(moved) == CONSTANT_PRED and len(moved) == 11


def test_the_chain_is_constant_in_exactly_those_algorithms():
    for name in clrs.ALGORITHMS:
        if "pred_h" in clrs.spec(name):
            chains = [trace.hints["pred_h"] for trace in clrs.sample(name, length=9, count=8, seed=1)]
            assert all((chain == chain[0]).all() for chain in chains) == (name in CONSTANT_PRED), name


def test_pred_as_input_can_be_turned_off():
    assert list(task_spec(clrs.spec("minimum"), pred_as_input=False)) == list(clrs.spec("minimum"))


def test_an_algorithm_of_ones_own_keeps_its_chain_unless_asked():
    own = clrs.Spec(
        "own", inputs="key node scalar", outputs="best node mask_one", hints="pred_h node pointer, i node mask_one"
    )
    assert task_spec(own)["pred_h"].stage == "hint"
    assert list(task_spec(own, pred_as_input="always")) == ["pos", "key", "best", "pred", "i"]


@pytest.mark.parametrize("hint", ["pred_h edge pointer", "pred_h node mask"])
def test_only_a_node_pointer_is_moved(hint):
    own = clrs.Spec("own", inputs="key node scalar", outputs="best node mask_one", hints=hint)
    assert "pred" not in task_spec(own, pred_as_input="always")


def test_a_chain_that_is_no_node_output_is_a_pointer():
    own = clrs.Spec(
        "own",
        inputs="key node should_be_permutation",
        outputs="rows edge should_be_permutation",
        hints="h node should_be_permutation",
    )
    assert [task_spec(own)[name].type for name in ("key", "rows", "h")] == ["pointer"] * 3


def test_a_taken_name_is_refused():
    own = clrs.Spec("own", inputs="key node scalar, order_mask node mask", outputs="order node should_be_permutation")
    with pytest.raises(BadInput, match="order_mask: the name is taken"):
        task_spec(own)
    with pytest.raises(BadInput, match="pred: the name is taken"):
        task_spec(clrs.spec("quicksort"), pred_as_input="always")


def test_an_unknown_way_to_move_the_chain_is_refused():
    with pytest.raises(BadInput, match="pred_as_input: 'never' is not allowed"):
        task_spec(clrs.spec("minimum"), pred_as_input="never")
