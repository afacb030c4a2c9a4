"""Scores equal the reference package's, exactly. Every case found in the folder is run."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from outrange.reasoning.nar.score import hint_scores, score
from outrange.reasoning.nar.spec import TaskProbe

FILE = Path(os.environ.get("OUTRANGE_ORACLE", Path(__file__).parent / "data")) / "nar" / "metrics.npz"
ARRAYS = {}
if FILE.exists():
    with np.load(FILE) as data:
        ARRAYS = {key: data[key] for key in data.files}
CASES = json.loads(str(ARRAYS.pop("scores"))) if ARRAYS else {}


def part(case, which):
    """The arrays of a case that stand below ``which``, by probe."""
    start = f"{case}/{which}/"
    return {key.removeprefix(start): array for key, array in ARRAYS.items() if key.startswith(start)}


def test_there_are_reference_scores_of_outputs_and_of_hints():
    assert any("score" in case for case in CASES.values()) and any("algorithm" in case for case in CASES.values()), (
        f"no reference scores in {FILE}"
    )


@pytest.mark.parametrize("case", [case for case, entry in CASES.items() if "score" in entry])
def test_scores_of_outputs_equal_the_reference(case):
    spec = {name: TaskProbe("output", *types) for name, types in CASES[case]["types"].items()}
    assert score(spec, part(case, "truth"), part(case, "pred")) == CASES[case]["score"]


@pytest.mark.parametrize("case", [case for case, entry in CASES.items() if "score" not in entry])
def test_scores_of_hints_equal_the_reference(case):
    spec = {name: TaskProbe("hint", *types) for name, types in CASES[case]["types"].items()}
    ours, theirs = (
        hint_scores(spec, part(case, "truth"), part(case, "pred"), ARRAYS[f"{case}/lengths"]),
        part(case, "score"),
    )
    assert set(ours) == set(theirs)
    assert [name for name in ours if not np.array_equal(ours[name], theirs[name])] == []
