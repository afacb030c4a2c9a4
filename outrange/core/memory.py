"""How much memory is free: what the system has, or what a container may still take."""

import contextlib
import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")
_MEMINFO = Path("/proc/meminfo")


def free() -> int:
    """Bytes that can still be taken without swapping: what the system has, or what a container may still take."""
    free = _system()
    with contextlib.suppress(OSError, ValueError):  # "max" is no limit
        free = min(free, int((_CGROUP / "memory.max").read_text()) - int((_CGROUP / "memory.current").read_text()))
    return free


def _system() -> int:
    with contextlib.suppress(OSError, ValueError), open(_MEMINFO, encoding="ascii") as file:
        for line in file:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    # elsewhere than on Linux: all the memory there is
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
