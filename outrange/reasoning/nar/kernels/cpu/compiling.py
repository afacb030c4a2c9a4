"""How the fused kernels are compiled: kept on disk, never served stale, without the GIL.

Numba keys its cache by the file of the compiled function alone; what intrinsics emit and what other files hold does not count, though it is compiled in.
So the name under which a kernel is kept carries a hash of every source file of this package.
"""

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path

from numba import njit

from outrange.core.compiled import JIT_OFF, compiled

#: Sums may be regrouped and fused; not-a-number and infinity keep their meaning, so that they still reach the loss.
FLAGS = {"reassoc", "contract", "nsz"}


@functools.cache
def mark() -> str:
    """A hash of this package's sources."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(repr([(file.name, file.read_bytes()) for file in files]).encode()).hexdigest()[:12]


def kernel(function: Callable) -> Callable:
    """Compile at the first call and keep on disk."""
    return compiled(
        function, mark(), nogil=True, fastmath=FLAGS, boundscheck=False, error_model="numpy", no_cfunc_wrapper=True
    )


def part(function: Callable) -> Callable:
    """A function that kernels call; compiled into them."""
    return njit(
        function,
        nogil=True,
        fastmath=FLAGS,
        boundscheck=False,
        error_model="numpy",
        no_cpython_wrapper=True,
        no_cfunc_wrapper=True,
    )  # pyright: ignore[reportCallIssue]


if JIT_OFF:
    raise ImportError(
        "the cpu kernels are machine code and cannot run with NUMBA_DISABLE_JIT=1; choose the torch layer"
    )
