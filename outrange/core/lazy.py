"""Public names of a package, each fetched from its module when it is first used, so that importing the package loads no
library.

A package whose name ``x`` is fetched late must have no submodule ``x``: importing that submodule, from anywhere, puts
it under the package's attribute ``x``, and from then on one would get the module instead. Such a name is refused here,
when the package is imported.
"""

import importlib
import pkgutil
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def lazy_names(package: str, names_by_module: Mapping[str, Sequence[str]]) -> Callable[[str], Any]:
    """The ``__getattr__`` of a package.

        __getattr__ = lazy_names(__name__, {"config": ("TrainConfig", "preset"), "training": ("train",)})

    Args:
        package: its ``__name__``.
        names_by_module: for each submodule, the public names that it holds.

    Raises:
        ImportError: a public name is also a submodule.
    """
    module_of = {name: module for module, names in names_by_module.items() for name in names}
    # a look into the folder, which imports none of them
    submodules = {info.name for info in pkgutil.iter_modules(sys.modules[package].__path__)}
    for name in sorted(module_of.keys() & submodules):
        raise ImportError(f"{package}: the public name {name!r} is also a submodule, which would take its place")

    def fetch(name: str) -> Any:
        if name not in module_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f"{package}.{module_of[name]}"), name)
        setattr(sys.modules[package], name, value)  # from now on it is found without asking here
        return value

    return fetch
