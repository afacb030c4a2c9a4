"""A user's Python files that register algorithms: ``load`` in a configuration, ``--load FILE`` on the command line."""

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path

from outrange.core.errors import BadInput


def load_modules(files: Sequence[str]) -> None:
    """Run each file once in this process, as a module that pickles and caches can find later.

    Raises:
        BadInput: a file that is absent, is not Python, has the name of another module, or fails.
    """
    for file in files:
        path = Path(file).resolve()
        name = path.stem
        if getattr(sys.modules.get(name), "__file__", None) == str(path):
            continue  # it has run already
        if not path.is_file():
            raise BadInput(
                f"load: {file!r} is not a file; give a Python file that registers something, as clrs.register does"
            )
        if name in sys.modules:
            raise BadInput(f"load: {file!r} has the name of a module that is in use, {name!r}; rename it")
        module_spec = importlib.util.spec_from_file_location(name, path)
        if module_spec is None or module_spec.loader is None:
            raise BadInput(f"load: {file!r} is not a Python file; its name must end in .py")
        # In sys.modules before it runs, as an import has it: what it registers is looked up there.
        module = sys.modules[name] = importlib.util.module_from_spec(module_spec)
        try:
            module_spec.loader.exec_module(module)
        except BadInput:
            del sys.modules[name]
            raise
        except (Exception, SystemExit) as error:
            del sys.modules[name]
            message = str(error).splitlines()[0] if str(error) else "no message"
            raise BadInput(f"load: {file!r} cannot be run: {type(error).__name__}: {message[:200]}") from error
