"""Compiling with Numba: at the first call, kept on disk, never served stale.

The only place of the package that does so.

Numba looks for kept code by a function's file, name and the file's time stamp. What the function calls in other files
is compiled into it but does not count, so that a change there would leave old machine code in use. Therefore the name
under which a function is kept carries a hash of every source file that it reaches (``fingerprint``), and of further
files that one names.

With ``NUMBA_DISABLE_JIT=1`` nothing is compiled: the same text runs as plain Python, under a debugger.

    @part                                    compiled into the kernels that call it
    def mix(x): …

    @kernel(nogil=True)                      compiled at its first call and kept on disk; options are those of ``numba.njit``
    def fill(array): …
"""

import functools
import hashlib
import inspect
import os
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import config, njit

#: Whether NUMBA_DISABLE_JIT=1 is set: everything runs as plain Python.
JIT_OFF = bool(getattr(config, "DISABLE_JIT", 0))
_LIBRARIES = ("builtins", "collections", "ctypes", "llvmlite", "math", "numba", "numpy")


def kernel(
    function: Callable | None = None, *, name: str | None = None, sources: Path | None = None, **options: Any
) -> Callable:
    """Compile a function at its first call and keep it on disk; in each process anew only where no folder can be
    written to.

    Decorates with and without options: ``@kernel`` and ``@kernel(nogil=True)``.

    Args:
        function: what to compile. What it calls must be defined before it, to be seen; all of its own file counts
            anyway.
        name: under which it is kept; None for its own.
        sources: a folder whose Python files count as well: for what a function reaches in ways that its names do not
            show, as intrinsics.
        options: of ``numba.njit``.

    Returns:
        Numba's dispatcher, or the function itself with ``NUMBA_DISABLE_JIT=1``.
    """
    if function is None:
        return functools.partial(kernel, name=name, sources=sources, **options)
    if JIT_OFF:
        return function
    mark = fingerprint(function, sources)
    own_name = function.__qualname__
    function.__qualname__ = f"{name or own_name}_{mark}"  # Numba reads the name here and now, and never again
    try:
        return njit(function, cache=mark is not None, **options)  # pyright: ignore[reportCallIssue]
    except RuntimeError:  # no folder to keep it in: neither beside the source nor in the user's cache
        _print_once(
            "outrange: compiled code cannot be kept on disk, every start will compile anew; "
            "set NUMBA_CACHE_DIR to a writable folder"
        )
        return njit(function, **options)  # pyright: ignore[reportCallIssue]
    finally:
        function.__qualname__ = own_name


def part(function: Callable | None = None, **options: Any) -> Callable:
    """Compile a function into the kernels that call it.

    It is kept on disk with them only, and their fingerprints cover its source.

    Decorates with and without options, which are those of ``numba.njit``.
    """
    if function is None:
        return functools.partial(part, **options)
    return function if JIT_OFF else njit(function, **options)  # pyright: ignore[reportCallIssue]


def fingerprint(function: Callable, sources: Path | None = None) -> str | None:
    """A hash of the sources that a function reaches, of where it lives, and of the constants compiled into it.

    Args:
        function: a Python function, or Numba's dispatcher of one.
        sources: a folder whose Python files count as well.

    Returns:
        twelve hexadecimal digits; None when a source cannot be read, and nothing can be kept.
    """
    python_function = _python_function(function)
    files: set[str] = set()
    constants: set[str] = set()
    _reach(python_function, files, constants, set())
    if sources is not None:
        files |= {str(path) for path in sources.glob("*.py")}
    try:
        contents = [_content_hash(file, os.stat(file).st_mtime_ns) for file in sorted(files)]
    except OSError:
        return None
    # paths count too: two copies of the package may share one cache folder
    identity = (contents, sorted(constants), python_function.__module__, sorted(files))
    return hashlib.sha256(repr(identity).encode()).hexdigest()[:12]


@functools.cache
def _content_hash(file: str, modified_ns: int) -> str:
    """SHA-256 of a file; the time stamp is there so that a changed file is read again."""
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()


def _reach(function: Callable, files: set[str], constants: set[str], seen: set[Callable]) -> None:
    """Collect the source files of a function and of all functions it names, also through modules, and the constants
    among the names.
    """
    python_function = _python_function(function)
    if python_function in seen or not isinstance(python_function, types.FunctionType):
        return
    seen.add(python_function)
    files.add(inspect.getsourcefile(python_function) or python_function.__code__.co_filename)

    # the names that the function and the functions within it look up
    names: set[str] = set()
    codes = [python_function.__code__]
    while codes:
        code = codes.pop()
        names |= set(code.co_names)
        codes += [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
    reached = [(name, python_function.__globals__.get(name)) for name in names]
    reached += _closure(python_function)

    modules: set[str] = set()
    for name, value in reached:  # the list grows while modules lead to further names
        if isinstance(value, types.ModuleType):
            if _is_covered(value.__name__) and value.__name__ not in modules:
                modules.add(value.__name__)
                reached += [(f"{name}.{inner}", vars(value)[inner]) for inner in names if inner in vars(value)]
        elif callable(value):
            if _is_covered(getattr(_python_function(value), "__module__", None)):
                _reach(value, files, constants, seen)
        elif value is not None:
            constants.add(f"{name}={value!r}")  # its value is compiled in


def _closure(function: types.FunctionType) -> list[tuple[str, Any]]:
    """The values, by name, that a function has from the function in which it was defined."""
    values = []
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            values.append((name, cell.cell_contents))
        except ValueError:  # not assigned yet, as the name of a function that is just being made
            continue
    return values


def _python_function(function: Any) -> Any:
    """The Python function of a dispatcher (``py_func``) or of an intrinsic (``__wrapped__``); a plain function itself."""
    function = getattr(function, "py_func", function)
    if isinstance(function, types.FunctionType):
        return function
    return getattr(function, "__wrapped__", function)


def _is_covered(module: str | None) -> bool:
    """Whether changes in a module must be noticed: not in a library's, whose version changes with its folder anyway."""
    return (module or "").split(".")[0] not in _LIBRARIES


@functools.cache
def _print_once(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
