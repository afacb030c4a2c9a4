"""How the fused kernels are compiled: kept on disk (core/compiled.py), without the GIL, with sums that may be
regrouped.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from outrange.core import compiled
from outrange.core.compiled import JIT_OFF

_OPTIONS: dict[str, Any] = {
    "nogil": True,
    # sums may be regrouped and fused; not-a-number and infinity keep their meaning, so that they still reach the loss
    "fastmath": {"reassoc", "contract", "nsz"},
    "boundscheck": False,
    "error_model": "numpy",
    "no_cfunc_wrapper": True,
}


def kernel(function: Callable) -> Callable:
    """Compile at the first call and keep on disk.

    The code that intrinsics emit is in no function that a kernel calls, so all files of this folder count.
    """
    return compiled.kernel(function, sources=Path(__file__).parent, **_OPTIONS)


def part(function: Callable) -> Callable:
    """A function that kernels call; compiled into them."""
    return compiled.part(function, no_cpython_wrapper=True, **_OPTIONS)


if JIT_OFF:
    raise ImportError(
        "the cpu kernels are machine code and cannot run with NUMBA_DISABLE_JIT=1; choose the torch kernels"
    )
