"""Python files of the user's that register algorithms: the command line's ``--load FILE``."""

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path

from outrange.core.errors import BadInput


def load_modules(files: Sequence[str]) -> None:
    """Run each file once in this process, as a module of its own that later pickles and caches can find."""
    for file in files:
        path = Path(file).resolve()
        name = path.stem
        if getattr(sys.modules.get(name), "__file__", None) == str(path):
            continue
        if not path.is_file():
            raise BadInput(
                f"load: {file!r} is not a file; give a Python file that registers something, as clrs.register does"
            )
        if name in sys.modules:
            raise BadInput(f"load: {file!r} has the name of a module that is in use, {name!r}; rename it")
        found = importlib.util.spec_from_file_location(name, path)
        if found is None or found.loader is None:
            raise BadInput(f"load: {file!r} is not a Python file; its name must end in .py")
        module = sys.modules[name] = importlib.util.module_from_spec(found)
        try:
            found.loader.exec_module(module)
        except BadInput:
            del sys.modules[name]
            raise
        except (Exception, SystemExit) as error:
            del sys.modules[name]
            said = str(error).splitlines()[0] if str(error) else "no message"
            raise BadInput(f"load: {file!r} cannot be run: {type(error).__name__}: {said[:200]}") from error
