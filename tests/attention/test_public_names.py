"""What the packages of attention say is public: it is there, loads late, and no submodule hides it."""

import importlib
import pkgutil
import subprocess
import sys

import pytest

PACKAGES = ("outrange.attention", "outrange.attention.rope", "outrange.attention.glasses")


@pytest.mark.parametrize("name", PACKAGES)
def test_every_public_name_is_there(name):
    package = importlib.import_module(name)
    assert sorted(package.__all__) == sorted(set(package.__all__))
    for public in package.__all__:
        assert getattr(package, public) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = package.nonsense


@pytest.mark.parametrize("name", PACKAGES)
def test_no_submodule_hides_a_function_or_class_of_the_same_name(name):
    """Importing a submodule sets it as an attribute of its package, in place of a lazy name that is spelled the same."""
    package = importlib.import_module(name)
    submodules = {module.name for module in pkgutil.iter_modules(package.__path__)}
    folders = {"rope", "glasses"}  # these are public as the packages that they are
    assert submodules.isdisjoint(set(package.__all__) - folders)


def test_importing_the_packages_loads_neither_torch_nor_transformers():
    code = f"import sys, {', '.join(PACKAGES)}; print(sorted({{'torch', 'transformers', 'numba'}} & set(sys.modules)))"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout.strip() == "[]"
