"""Files that are either complete or not there: written beside, flushed to disk, renamed."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from outrange.core.errors import BadInput

#: What a system says when a target cannot take more, and what to say then.
_REASONS = {
    errno.ENOSPC: "no space is left on its disk",
    errno.EDQUOT: "its disk quota is used up",
    errno.EACCES: "it is not writable",
    errno.EPERM: "it is not writable",
    errno.EROFS: "its file system is read-only",
    errno.ENOENT: "its folder does not exist and cannot be made",
    errno.ENOTDIR: "a part of its path is a file, not a directory",
    errno.EISDIR: "it is a directory",
    errno.ENAMETOOLONG: "its name is too long",
    errno.EFBIG: "a file would be larger than its file system or limit allows",
    errno.EIO: "its disk failed",
}


@contextmanager
def writable(field: str, target: Path) -> Iterator[None]:
    """Turn a system's refusal to write below ``target`` into one sentence."""
    try:
        yield
    except OSError as error:
        if error.errno not in _REASONS:
            raise
        raise BadInput(f"{field}: {str(target)!r} cannot be written: {_REASONS[error.errno]}") from error


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """A path beside ``path`` to write to; it becomes ``path`` when the block ends well, and is removed when it does not."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        yield partial
        sync(partial)
        os.replace(partial, path)
        sync(path.parent)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def sync(path: Path) -> None:
    """Flush a file or a directory to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: Path, text: str) -> None:
    """Write a small file whole or not at all."""
    with replaced(path) as partial:
        partial.write_text(text, encoding="utf-8")
