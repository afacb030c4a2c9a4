"""Public names that are fetched late: from their module, and never hidden by one."""

import importlib
import pkgutil
import subprocess
import sys

import pytest

import outrange


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package with the submodules ``config`` and ``train``, whose public names one gives."""
    monkeypatch.syspath_prepend(tmp_path)
    folder = tmp_path / "lazypackage"
    folder.mkdir()
    (folder / "config.py").write_text("class TrainConfig: pass\n")
    (folder / "train.py").write_text("def train(): return 'trained'\ndef resume(): return 'resumed'\n")

    def load(names: dict[str, tuple[str, ...]]):
        (folder / "__init__.py").write_text(
            f"from outrange.core.lazy import lazy_names\n__getattr__ = lazy_names(__name__, {names!r})\n"
        )
        for name in [name for name in sys.modules if name.startswith("lazypackage")]:
            del sys.modules[name]
        importlib.invalidate_caches()
        return importlib.import_module("lazypackage")

    return load


def test_a_public_name_is_fetched_from_its_module_when_it_is_used(package):
    loaded = package({"config": ("TrainConfig",), "train": ("resume",)})
    assert "lazypackage.train" not in sys.modules
    assert loaded.resume() == "resumed" and "lazypackage.config" not in sys.modules
    assert loaded.TrainConfig.__name__ == "TrainConfig"
    assert vars(loaded)["TrainConfig"] is loaded.TrainConfig, "fetched once"
    with pytest.raises(AttributeError, match="has no attribute 'other'"):
        loaded.other  # noqa: B018


def test_a_public_name_that_is_also_a_submodule_is_refused(package):
    with pytest.raises(ImportError, match="the public name 'train' is also a submodule"):
        package({"train": ("train", "resume")})


def lazy_packages() -> list[str]:
    """Every package of outrange that fetches public names late."""
    names = ["outrange"]
    for info in pkgutil.walk_packages(outrange.__path__, "outrange.", onerror=lambda name: None):
        if info.ispkg:
            names.append(info.name)
    return [name for name in names if "__getattr__" in vars(importlib.import_module(name))]


def test_some_packages_fetch_names_late():
    assert {"outrange.reasoning.nar", "outrange.exploration"} <= set(lazy_packages())


@pytest.mark.parametrize("name", lazy_packages())
def test_no_public_name_of_a_package_is_hidden_by_a_module(name):
    """In a fresh process, after every submodule that holds a public name has been imported: a module ``x`` that holds an ``x`` took its place."""
    program = f"""
import importlib, types
package = importlib.import_module({name!r})
names = package.__all__
def hidden(values):
    return [n for n in names if isinstance(values(n), types.ModuleType) and hasattr(values(n), n)]
for _ in range(2):  # the first round imports the submodules, the second would meet those that hide a name
    assert not hidden(lambda n: getattr(package, n))
imported = {{}}
exec("from {name} import " + ", ".join(names), imported)
assert not hidden(imported.__getitem__)
"""
    subprocess.run([sys.executable, "-c", program], check=True)
