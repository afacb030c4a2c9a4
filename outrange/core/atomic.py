"""Files that are either complete or not there: written beside, flushed to disk, renamed.

Every step that changes the disk goes through a function of this file and is announced to ``watchers``, so that tests
can end the process, or fill the disk, before and after each of them.
"""

import errno
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
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
    errno.EEXIST: "a part of its path is a file, not a directory",
    errno.ENOTDIR: "a part of its path is a file, not a directory",
    errno.EISDIR: "it is a directory",
    errno.ENAMETOOLONG: "its name is too long",
    errno.EFBIG: "a file would be larger than its file system or limit allows",
    errno.EIO: "its disk failed",
}
_PIECE = 1 << 26  # bytes of one write

#: Called with "before write", "after write", "before rename", … and the path. Empty except in tests.
watchers: list[Callable[[str, Path], None]] = []


class Unwritable(BadInput):
    """A place that cannot be written to, now."""


@contextmanager
def writable(field: str, target: Path) -> Iterator[None]:
    """Turn a system's refusal to write below ``target`` into one sentence."""
    try:
        yield
    except OSError as error:
        if error.errno not in _REASONS:
            raise
        raise Unwritable(f"{field}: {str(target)!r} cannot be written: {_REASONS[error.errno]}") from error


def make_way(field: str, target: Path) -> None:
    """Make the folder that a file is to be written into, before the work whose result it will hold.

    Raises:
        Unwritable: the file could not be written there.
    """
    with writable(field, target):
        target.parent.mkdir(parents=True, exist_ok=True)
        # the errors that writing would meet, raised before there is anything to lose
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, "is a directory")
        if not os.access(target.parent, os.W_OK):
            raise PermissionError(errno.EACCES, "is not writable")


@contextmanager
def _announced(step: str, path: Path) -> Iterator[None]:
    for watcher in watchers:
        watcher(f"before {step}", path)
    yield
    for watcher in watchers:
        watcher(f"after {step}", path)


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """A path beside ``path`` to write to; it becomes ``path`` when the block ends well, and is removed when it does
    not.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        yield partial
        sync(partial)  # the content first: a name that points to nothing would outlive a power cut
        rename(partial, path)
        sync(path.parent)  # and then the name
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def sync(path: Path) -> None:
    """Flush a file or a directory to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        with _announced("sync", path):
            os.fsync(handle)
    finally:
        os.close(handle)


def rename(old: Path, new: Path) -> None:
    """Give a file or a folder its name, in one step."""
    with _announced("rename", new):
        os.replace(old, new)


def make_folder(path: Path) -> None:
    """Make a folder that must not be there yet."""
    with _announced("make", path):
        path.mkdir()


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it; follows no link."""
    if path.is_dir() and not path.is_symlink():
        for inner in path.iterdir():  # one by one, so that a test can end the process between any two
            remove(inner)
        with _announced("remove", path):
            path.rmdir()
    else:
        with _announced("remove", path):
            path.unlink()


def write(handle: int, data: bytes | memoryview, path: Path) -> None:
    """Write all bytes of ``data`` to an open file: in one call where the system takes it whole, in more where it does
    not.
    """
    rest = memoryview(data)
    while len(rest):
        with _announced("write", path):
            rest = rest[os.write(handle, rest[:_PIECE]) :]


def write_file(path: Path, pieces: Iterable[bytes | memoryview]) -> tuple[int, str]:
    """Write a file, flush it to disk; returns its size and SHA-256 as they were meant, whatever the disk made of them."""
    size, sha256 = 0, hashlib.sha256()
    with _announced("open", path):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    try:
        for piece in pieces:
            write(handle, piece, path)
            sha256.update(piece)  # of what was meant to be written, so that a disk that changes it is found out
            size += len(piece)
        with _announced("sync", path):
            os.fsync(handle)
    finally:
        os.close(handle)
    return size, sha256.hexdigest()


def write_text(path: Path, text: str) -> None:
    """Write a small file whole or not at all."""
    with replaced(path) as partial:
        write_file(partial, [text.encode()])
