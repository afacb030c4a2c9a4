"""Other seeds, sizes and options, compared with dm-clrs 2.0.3 itself, in the environment whose Python OUTRANGE_REFERENCE_PYTHON names. Run by `make test-all`.

No exception is made for ties: where keys tie, NumPy's own order is asked for on both sides, so the two agree as long as both run on one type of processor.
"""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from outrange.reasoning import clrs, text
from outrange.reasoning.clrs.registry import get_algorithm

pytestmark = pytest.mark.reference
PYTHON = os.environ.get("OUTRANGE_REFERENCE_PYTHON")
STRINGS = ("naive_string_matcher", "kmp_matcher")


def grid(name):
    """(length, seed, decimals, options, count) of the cases of an algorithm."""
    yield from ((4, 101, None, {}, 5), (7, 5, 3, {}, 5), (20, 11, 3, {}, 6), (33, 2, 3, {}, 3), (40, 9, None, {}, 2))
    if name != "matrix_chain_order":  # a second a trace
        yield 64, 4, 3, {}, 1
    options = get_algorithm(name).sampler.options
    if "p" in options:
        yield 12, 3, None, {"p": [0.1, 0.5, 0.9]}, 6
    if "low" in options:
        yield 9, 8, 3, {"low": 0.25, "high": 4.0}, 4
    if name in STRINGS:
        yield 20, 6, None, {"length_needle": -8}, 8
        yield 15, 6, None, {"length_needle": 3, "chars": 2}, 4
    if name == "task_scheduling":
        yield 9, 2, 3, {"max_deadline": 4}, 4
    if name == "lcs_length":
        yield 10, 2, None, {"length_2": 3, "chars": 2}, 4
    if name == "strongly_connected_components":
        yield 13, 2, None, {"k": 3, "eps": 0.2}, 4


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    if not PYTHON or not Path(PYTHON).exists():
        pytest.skip("OUTRANGE_REFERENCE_PYTHON does not name a Python with dm-clrs 2.0.3; `make reference` builds one")
    folder = tmp_path_factory.mktemp("reference")
    plan = {
        name: [(n, seed, d, options, count) for n, seed, d, options, count in grid(name)] for name in clrs.ALGORITHMS
    }
    (folder / "plan.json").write_text(json.dumps(plan))
    script = Path(__file__).with_name("dump_dm_clrs.py")
    subprocess.run([Path(PYTHON).absolute(), script.absolute(), folder], check=True, cwd=folder, capture_output=True)
    return folder


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", clrs.ALGORITHMS)
def test_samples_and_texts_equal_the_package(reference, name):
    compared = 0
    with np.load(reference / f"{name}.npz") as data, open(reference / f"{name}.json") as file:
        texts = json.load(file)
        for case, (n, seed, decimals, options, count) in enumerate(grid(name)):
            for k, trace in enumerate(clrs.sample(name, n, count, seed, truncate_decimals=decimals, **options)):
                where = (n, seed, decimals, options, k)
                assert trace.length == data[f"{case}/{k}/length"], where
                for stage, arrays in (("input", trace.inputs), ("hint", trace.hints), ("output", trace.outputs)):
                    for probe, array in arrays.items():
                        assert np.array_equal(array, data[f"{case}/{k}/{stage}/{probe}"]), (*where, stage, probe)
                        compared += 1
                for hints in (False, True):
                    item = text.render(trace, hints)
                    assert [item.question, item.answer] == texts[f"{case}/{k}/{hints}"], (*where, hints)
    assert compared
