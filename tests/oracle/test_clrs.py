"""Traces equal the published package's, bit for bit: inputs redrawn from the seed, hints, outputs, lengths. Every case found in the folder is run."""

import os
import re
from pathlib import Path

import numpy as np
import pytest

from outrange.reasoning import clrs

FOLDER = Path(os.environ.get("OUTRANGE_ORACLE", Path(__file__).parent / "data")) / "clrs"
FILES = sorted(FOLDER.glob("*.npz"))


def cases(file):
    """(case, length, seed, decimals, arrays by part/probe) of every case in a file; its name says n, seed and decimals."""
    with np.load(file) as data:
        grouped = {}
        for key in data.files:
            case, part = key.split("/", 1)
            grouped.setdefault(case, {})[part] = data[key]
    for case, arrays in grouped.items():
        length, seed, decimals = re.fullmatch(r"n(\d+)_s(\d+)_(?:full|dec(\d+))", case).groups()
        yield case, int(length), int(seed), None if decimals is None else int(decimals), arrays


def differences(trace, arrays):
    """What of a trace is not the reference's: a sentence about the length or the probes, or a stage and probe each."""
    if trace.length != int(arrays["length"]):
        return [f"length {trace.length}, reference {int(arrays['length'])}"]
    mismatches = []
    for stage, ours in (("input", trace.inputs), ("hint", trace.hints), ("output", trace.outputs)):
        theirs = {part.split("/")[1] for part in arrays if part.startswith(stage + "/")}
        if set(ours) != theirs:
            mismatches.append(f"{stage}s {sorted(set(ours) ^ theirs)} are on one side only")
        mismatches += [
            f"{stage} {name}"
            for name in set(ours) & theirs
            if not np.array_equal(ours[name], arrays[f"{stage}/{name}"])
        ]
    return mismatches


def test_there_are_reference_traces():
    assert FILES, f"no reference traces in {FOLDER}"


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_sampled_traces_equal_the_reference(file):
    checked = 0
    for case, length, seed, decimals, arrays in cases(file):
        trace = clrs.sample(file.stem, length=length, count=1, seed=seed, truncate_decimals=decimals)[0]
        assert not differences(trace, arrays), case
        checked += 1
    assert checked


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_traces_of_the_reference_s_inputs_equal_its_traces(file):
    checked = 0
    for case, _, _, _, arrays in cases(file):
        inputs = {part.split("/")[1]: array for part, array in arrays.items() if part.startswith("input/")}
        assert not differences(clrs.trace(file.stem, inputs), arrays), case
        derived = {name: array for name, array in inputs.items() if name not in ("pos", "adj")}
        assert not differences(clrs.trace(file.stem, derived), arrays), f"{case}, pos and adj left out"
        checked += 1
    assert checked


def test_every_algorithm_has_reference_traces():
    assert {file.stem for file in FILES} == set(clrs.ALGORITHMS) or "OUTRANGE_ORACLE" in os.environ
