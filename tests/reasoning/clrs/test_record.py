"""The recorder: compiled and plain Python agree, buffers grow, an edited algorithm is compiled anew."""

import importlib.util
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from outrange.core.errors import BadInput
from outrange.reasoning import clrs
from outrange.reasoning.clrs.record import Recorder
from outrange.reasoning.clrs.registry import get_algorithm


@pytest.mark.parametrize("name", clrs.ALGORITHMS)
def test_every_algorithm_keeps_the_contract(name):
    assert len(clrs.check_algorithm(name, lengths=(4, 9), count=2)) == 7


@pytest.mark.parametrize("name", ["bubble_sort", "mst_kruskal", "minimum"])
def test_a_recorder_whose_buffers_are_too_small_grows_them_and_loses_nothing(name):
    algorithm = get_algorithm(name)
    block = next(iter(clrs.sample_blocks(name, 12, 5, seed=3)))
    arguments = tuple(block.arguments.values())
    recorder = Recorder(name, algorithm.spec, algorithm.generator, steps_per_node=0)  # a buffer of one step
    outputs, hints, ends = recorder.record(arguments, 5, 12)
    assert ends.tolist() == block.step_offsets[1:]
    assert all(np.array_equal(a, b) for a, b in zip(hints, block.recorded_hints.values(), strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(outputs, block.recorded_outputs.values(), strict=True))


def test_with_the_compiler_off_everything_is_the_same():
    code = """
        import hashlib, numpy as np
        from outrange.reasoning import clrs, text
        digest = hashlib.sha256()
        for name in clrs.ALGORITHMS:
            for t in clrs.sample(name, 6, 2, seed=4, truncate_decimals=3) + clrs.dataset(name, 5, seed=1)[:2]:
                for arrays in (t.inputs, t.hints, t.outputs):
                    for array in arrays.values():
                        digest.update(np.ascontiguousarray(array).tobytes())
                digest.update(text.render(t, hints=True).text.encode())
        print(digest.hexdigest())
    """
    digests = []
    for disabled in ("0", "1"):
        environment = os.environ | {"NUMBA_DISABLE_JIT": disabled}
        process = subprocess.run(
            [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert process.returncode == 0, process.stderr
        digests.append(process.stdout.strip())
    assert digests[0] == digests[1]


ALGORITHM = """
from outrange.reasoning import clrs
SPEC = clrs.Spec("own", inputs="key node scalar", outputs="last node mask_one", hints="i node mask_one")
Hints = clrs.hints(SPEC)
def own(key, last):
    for i in range(key.size):
        yield Hints(i={step})
    last[0] = key.size - 1
def sampler(rng, length):
    return {{"key": rng.random(length)}}
clrs.register("own", SPEC, own, sampler, replace=True)
"""


def run_fresh(folder, code):
    """Run code in a new process that can import the modules of ``folder``."""
    path = f"import sys; sys.path.insert(0, {str(folder)!r}); from outrange.reasoning import clrs; "
    return subprocess.run([sys.executable, "-c", path + code], capture_output=True, text=True, check=True)


def recorded_by(module, folder):
    """The hint of the algorithm that a module registers, as a fresh process prints it."""
    code = f"import {module}; print(clrs.sample('own', 4)[0].recorded('i').tolist())"
    return run_fresh(folder, code).stdout.strip()


def test_an_edited_algorithm_is_never_served_from_an_old_cache(tmp_path):
    file = tmp_path / "own_algorithm.py"
    hints = []
    for step in ("i", "key.size - 1 - i"):
        file.write_text(ALGORITHM.format(step=step))
        hints.append(recorded_by("own_algorithm", tmp_path))
    assert hints == ["[0, 1, 2, 3]", "[3, 2, 1, 0]"]


def test_an_edited_constant_of_another_file_is_never_served_from_an_old_cache(tmp_path):
    (tmp_path / "constant_algorithm.py").write_text(
        "from step_constant import K\n" + ALGORITHM.format(step="min(i, K)")
    )
    hints = []
    for value in (1, 2):
        (tmp_path / "step_constant.py").write_text(f"K = {value}\n# {'x' * value}\n")
        hints.append(recorded_by("constant_algorithm", tmp_path))
    assert hints == ["[0, 1, 1, 1]", "[0, 1, 2, 2]"]


def test_an_edited_helper_in_another_file_is_never_served_from_an_old_cache(tmp_path):
    (tmp_path / "helped_algorithm.py").write_text("from step_helper import step\n" + ALGORITHM.format(step="step(i)"))
    hints = []
    for value in ("i", "3 - i"):
        (tmp_path / "step_helper.py").write_text(
            f"from outrange.reasoning import clrs\n@clrs.compiled\ndef step(i):\n    return {value}\n"
        )
        hints.append(recorded_by("helped_algorithm", tmp_path))
    assert hints == ["[0, 1, 2, 3]", "[3, 2, 1, 0]"]


def test_an_algorithm_that_the_compiler_refuses_is_refused_in_one_sentence(tmp_path):
    file = tmp_path / "mixed_types.py"
    file.write_text(ALGORITHM.format(step="i if i > 1 else 'none'"))
    spec = importlib.util.spec_from_file_location("mixed_types", file)
    module = importlib.util.module_from_spec(spec)
    sys.modules["mixed_types"] = module
    spec.loader.exec_module(module)
    with pytest.raises(BadInput, match="algorithm own: Numba cannot compile it") as refused:
        clrs.sample("own", 4)
    assert "\n" not in str(refused.value)


NO_HINTS = clrs.Spec("own", inputs="key node scalar", outputs="last node mask_one")
NoHints = clrs.hints(NO_HINTS)


def silent(key, last):
    for _ in range(key.size):
        yield NoHints()
    last[0] = key.size - 1


def out_of_range(key, last):
    yield NoHints()
    last[key.size] = 1


def draw(rng, length):
    return {"key": rng.random(length)}


def test_an_algorithm_without_hints_has_its_steps_counted():
    clrs.register("silent", NO_HINTS, silent, draw, replace=True)
    trace = clrs.sample("silent", 5)[0]
    assert (trace.length, trace.hints, trace.outputs["last"].tolist()) == (5, {}, [0, 0, 0, 0, 1])
    assert len(clrs.check_algorithm("silent")) == 7


def test_the_check_finds_an_index_out_of_range_before_compiled_code_can_do_harm():
    clrs.register("out_of_range", NO_HINTS, out_of_range, draw, replace=True)
    with pytest.raises(BadInput, match="out_of_range: fails as plain Python at length 4: IndexError"):
        clrs.check_algorithm("out_of_range")


def test_compiling_is_announced_once_and_a_warm_start_is_silent(tmp_path):
    file = tmp_path / "announced_algorithm.py"
    file.write_text(ALGORITHM.format(step="i"))
    code = "import announced_algorithm; clrs.sample('own', 4, 3); clrs.sample('own', 5)"
    assert run_fresh(tmp_path, code).stderr.count("compiling own (once") == 1
    assert not run_fresh(tmp_path, code).stderr
