"""Compiled functions kept on disk, never served stale.

Numba keys its cache by a function's file, name and the file's time stamp; what the function calls in other files does not count, though its code is compiled
in. So the name under which a function is kept carries a hash of every source file that it reaches. With NUMBA_DISABLE_JIT=1 nothing is compiled.
"""

import functools
import hashlib
import inspect
import os
import sys
import types
from collections.abc import Callable
from pathlib import Path

from numba import config, njit

#: NUMBA_DISABLE_JIT=1: everything runs as plain Python.
JIT_OFF = bool(getattr(config, "DISABLE_JIT", 0))


def compiled(function: Callable, name: str | None = None) -> Callable:
    """Compile a function at its first call and keep it on disk, under ``name`` or its own."""
    if JIT_OFF:
        return function
    mark = fingerprint(function)
    own = function.__qualname__
    function.__qualname__ = f"{name or own}_{mark}"  # Numba reads it here and now
    try:
        return njit(function, cache=mark is not None, no_cfunc_wrapper=True)  # pyright: ignore[reportCallIssue]
    except RuntimeError:  # no folder to keep it in: neither beside the source nor in the user's cache
        _say_once(
            "outrange: compiled code cannot be kept on disk, every start will compile anew; set NUMBA_CACHE_DIR to a writable folder"
        )
        return njit(function, no_cfunc_wrapper=True)  # pyright: ignore[reportCallIssue]
    finally:
        function.__qualname__ = own


@functools.cache
def _say_once(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def fingerprint(function: Callable) -> str | None:
    """A hash of the sources that a function reaches, of where it lives, and of its name; None when they cannot be read, and nothing can be kept."""
    plain = getattr(function, "py_func", function)
    files: set[str] = set()
    constants: set[str] = set()
    _reach(plain, files, constants, set())
    try:
        content = [_content(file, os.stat(file).st_mtime_ns) for file in sorted(files)]
    except OSError:
        return None
    return hashlib.sha256(repr((content, sorted(constants), plain.__module__, sorted(files))).encode()).hexdigest()[:12]


@functools.cache
def _content(file: str, changed: int) -> str:
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()


def _reach(function: Callable, files: set[str], constants: set[str], seen: set[Callable]) -> None:
    """Collect the source files of a function and of all functions it names, also through modules, and the constants among the names, which are compiled in."""
    plain = getattr(function, "py_func", function)
    if plain in seen or not isinstance(plain, types.FunctionType):
        return
    seen.add(plain)
    files.add(inspect.getsourcefile(plain) or plain.__code__.co_filename)
    names, codes = set(), [plain.__code__]
    while codes:
        code = codes.pop()
        names |= set(code.co_names)
        codes += [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
    reached = [(name, plain.__globals__.get(name)) for name in names]
    modules: set[str] = set()
    for name, value in reached:  # grows while modules lead to modules
        if isinstance(value, types.ModuleType):
            if _is_ours(value.__name__) and value.__name__ not in modules:
                modules.add(value.__name__)
                reached += [(f"{name}.{n}", vars(value)[n]) for n in names if n in vars(value)]
        elif callable(value):
            if _is_ours(getattr(getattr(value, "py_func", value), "__module__", None)):
                _reach(value, files, constants, seen)
        elif value is not None:
            constants.add(f"{name}={value!r}")


def _is_ours(module: str | None) -> bool:
    """Not of a library, whose version changes with its folder anyway."""
    return (module or "").split(".")[0] not in ("builtins", "numpy", "numba", "math", "collections")
