"""Compiling with Numba: at the first call, and kept on disk where there is a folder to keep it in."""

from collections.abc import Callable
from typing import Any

from numba import njit


def compiled(function: Callable, mark: str = "", **options: Any) -> Callable:
    """``njit`` of a function, kept on disk; only compiled anew in each process where neither its folder nor the user's cache can be written to.

    Args:
        function: what to compile.
        mark: goes into the name under which it is kept. Numba notices changes of the function's own file only, so what else it is made of must be in here.
        options: of ``njit``.
    """
    own = function.__qualname__
    function.__qualname__ = f"{own}_{mark}" if mark else own  # Numba reads it here and now
    try:
        return njit(function, cache=True, **options)  # pyright: ignore[reportCallIssue]
    except RuntimeError:  # no folder to keep it in
        return njit(function, **options)  # pyright: ignore[reportCallIssue]
    finally:
        function.__qualname__ = own
