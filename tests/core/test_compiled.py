"""Compiled functions are kept under a name that changes with everything they reach, and run as plain Python where the compiler is off."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from outrange.core import compiled
from outrange.core.compiled import JIT_OFF, fingerprint, kernel, part

FACTOR = "FACTOR = 2\n"
HELPERS = "from outrange.core.compiled import part\n\n@part\ndef double(x):\n    return 2 * x\n"
KERNELS = """
import helpers
from constants import FACTOR
from helpers import double
from outrange.core.compiled import kernel

def direct(x):
    return double(x)

def through_a_module(x):
    return helpers.double(x)

def by_a_constant(x):
    return FACTOR * x

def in_a_loop(x):
    def inner(y):
        return double(y)
    return inner(x)

def closed_over():
    helper = double
    def calls(x):
        return helper(x)
    return calls

def alone(x):
    return x

@kernel
def compiled(x):
    return double(x)

@kernel(nogil=True, name="other")
def compiled_with_options(x):
    return double(x)
"""


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """Load the three files anew, with changes to their text."""
    monkeypatch.syspath_prepend(tmp_path)

    def load(helpers: str = HELPERS, constants: str = FACTOR, kernels: str = KERNELS):
        for name, text in {"helpers": helpers, "constants": constants, "kernels": kernels}.items():
            (tmp_path / f"{name}.py").write_text(text)
        loaded = {}
        for name in ("helpers", "constants", "kernels"):
            spec = importlib.util.spec_from_file_location(name, tmp_path / f"{name}.py")
            assert spec and spec.loader
            loaded[name] = importlib.util.module_from_spec(spec)
            monkeypatch.setitem(sys.modules, name, loaded[name])
            sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
            spec.loader.exec_module(loaded[name])
            sys.dont_write_bytecode = before
        return loaded["kernels"]

    return load


REACHING = ("direct", "through_a_module", "in_a_loop")


def test_a_change_in_another_file_changes_the_fingerprint_of_all_that_reaches_it(modules):
    before = modules()
    names = {name: fingerprint(getattr(before, name)) for name in REACHING}
    closure = fingerprint(before.closed_over())
    after = modules(helpers=HELPERS.replace("2 * x", "x + x"))
    assert all(fingerprint(getattr(after, name)) != names[name] for name in REACHING)
    assert fingerprint(after.closed_over()) != closure
    again = modules()
    assert {name: fingerprint(getattr(again, name)) for name in REACHING} == names
    assert fingerprint(again.closed_over()) == closure


def test_a_change_elsewhere_leaves_the_fingerprint_of_what_does_not_reach_it(modules):
    before = fingerprint(modules().alone)
    assert before and len(before) == 12
    assert fingerprint(modules(helpers=HELPERS.replace("2 * x", "x + x"), constants="FACTOR = 3\n").alone) == before


def test_a_constant_of_another_file_counts_by_its_value(modules):
    before = fingerprint(modules().by_a_constant)
    assert fingerprint(modules(constants="FACTOR = 3\n").by_a_constant) != before
    assert fingerprint(modules(constants="FACTOR = 1 + 1\n").by_a_constant) == before


def test_further_sources_count_although_no_name_leads_to_them(modules, tmp_path):
    folder = tmp_path / "intrinsics"
    folder.mkdir()
    (folder / "vectors.py").write_text("LANES = 8\n")
    alone = modules().alone
    before = fingerprint(alone, folder)
    assert before != fingerprint(alone)
    (folder / "vectors.py").write_text("LANES = 16\n")
    os.utime(folder / "vectors.py", ns=(1, 1))
    assert fingerprint(alone, folder) != before


def test_a_function_whose_source_cannot_be_read_has_no_fingerprint_and_runs():
    names: dict = {}
    exec(compile("def double(x):\n    return 2 * x\n", "<nowhere>", "exec"), names)
    assert fingerprint(names["double"]) is None
    assert kernel(names["double"])(4) == 8


def test_kernels_and_parts_are_made_with_and_without_options_and_keep_their_own_name(modules):
    loaded = modules()
    assert loaded.compiled(4) == 8 and loaded.compiled_with_options(4) == 8
    assert loaded.compiled.__name__ == "compiled"

    @part(inline="always")
    def half(x):
        return x / 2

    assert half(3.0) == 1.5
    if not JIT_OFF:
        assert loaded.compiled.py_func.__qualname__ == "compiled"
        assert loaded.compiled_with_options.targetoptions["nogil"]


def test_without_the_compiler_kernels_and_parts_are_the_functions_themselves():
    program = (
        "from outrange.core.compiled import JIT_OFF, kernel, part\n"
        "def f(x): return x\n"
        "assert JIT_OFF and kernel(f) is f and kernel(nogil=True)(f) is f and part(inline='always')(f) is f"
    )
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)


@pytest.mark.skipif(JIT_OFF, reason="nothing is kept on disk")
def test_where_nothing_can_be_kept_it_is_compiled_anew_and_said_once(monkeypatch, capsys):
    def refuse(function, cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return lambda *arguments: function(*arguments)

    monkeypatch.setattr(compiled, "njit", refuse)
    compiled._print_once.cache_clear()

    def double(x):
        return 2 * x

    assert kernel(double)(np.int64(3)) == 6 and kernel(double)(2) == 4
    assert capsys.readouterr().err.count("cannot be kept on disk") == 1


def test_reading_the_rest_of_the_ground_floor_loads_no_compiler():
    core = Path(compiled.__file__).parent
    names = [f"outrange.core.{path.stem}" for path in core.glob("*.py") if path.stem not in ("compiled", "optim")]
    program = f"import sys, importlib\nfor name in {names!r}: importlib.import_module(name)\n" + (
        "assert not {'numba', 'torch'} & sys.modules.keys(), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
