"""Compiled functions kept on disk, never served stale.

Numba keys its cache by a function's file, name and the file's time stamp; what the function calls in other files does not count, though its code is compiled
in. So the name under which a function is kept carries a hash of every source file that it reaches. With NUMBA_DISABLE_JIT=1 nothing is compiled.
"""

import functools
import hashlib
import inspect
import types
from collections.abc import Callable, Iterator
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
    finally:
        function.__qualname__ = own


def fingerprint(function: Callable) -> str | None:
    """A hash of the sources that a function reaches, of where it lives, and of its name; None when they cannot be read, and nothing can be kept."""
    plain = getattr(function, "py_func", function)
    try:
        sources = sorted(_files(plain, set()))
        content = "".join(_content(file) for file in sources)
    except OSError:
        return None
    return hashlib.sha256(f"{content} {plain.__module__} {sources}".encode()).hexdigest()[:12]


@functools.cache
def _content(file: str) -> str:
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()


def _files(function: Callable, seen: set[Callable]) -> set[str]:
    """The source files of a function and of all functions it names, its own and those of modules it names, outside of installed libraries."""
    plain = getattr(function, "py_func", function)
    if plain in seen or not isinstance(plain, types.FunctionType):
        return set()
    seen.add(plain)
    found = {inspect.getsourcefile(plain) or plain.__code__.co_filename}
    for called in _named(plain):
        if _is_ours(called):
            found |= _files(called, seen)
    return found


def _named(function: types.FunctionType) -> Iterator[Callable]:
    names, codes = set(), [function.__code__]
    while codes:
        code = codes.pop()
        names |= set(code.co_names)
        codes += [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
    for name in names:
        value = function.__globals__.get(name)
        if isinstance(value, types.ModuleType):
            yield from (member for n in names if callable(member := getattr(value, n, None)))
        elif callable(value):
            yield value


def _is_ours(function: Callable) -> bool:
    """Not of a library, whose version changes with its folder anyway."""
    module = getattr(getattr(function, "py_func", function), "__module__", None) or ""
    return module.split(".")[0] not in ("builtins", "numpy", "numba", "math", "collections")
