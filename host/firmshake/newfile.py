"""A new file: made exclusively, on the disk when the call returns, gone again when it fails."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

# what holds a key or a password: for its owner only
PRIVATE = 0o600

# what a filesystem says that has no hard links
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


def create(path: Path, content: bytes, mode: int = PRIVATE) -> None:
    """Write `content` to the new file `path`. Raises OSError, with nothing left of the file.

    A file or link that is there already is an error (O_EXCL): nobody can prepare one that they
    can read. The mode stands from the first moment.
    """
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with open(handle, "wb") as stream:
            stream.write(content)
            sync(stream)
    except BaseException:
        with contextlib.suppress(OSError):
            path.unlink()
        raise


def create_whole(path: Path, content: bytes, mode: int = PRIVATE) -> None:
    """As `create`; a kill too leaves the new file whole, or no file of that name. Raises OSError.

    What a kill may leave is a file whose name begins with a dot, of the same mode.
    """
    with creating(path, mode) as stream:
        stream.write(content)


@contextlib.contextmanager
def creating(path: Path, mode: int = PRIVATE) -> Iterator[BinaryIO]:
    """Give a stream whose content becomes the new file `path` when the context ends.

    As `create_whole`, for what is too long to be held in memory.
    """
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with open(handle, "wb") as stream:
            yield stream
            sync(stream)
        _link(beside, path)
        sync_folder(path.parent)
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()


def replace(path: Path, content: bytes, mode: int = PRIVATE) -> None:
    """Put a new file in the place of `path`, in one step. Raises OSError, with the old one left."""
    with replacing(path, mode) as stream:
        stream.write(content)


@contextlib.contextmanager
def replacing(path: Path, mode: int = PRIVATE) -> Iterator[BinaryIO]:
    """Give a stream whose content takes the place of `path`, in one step, when the context ends.

    For what is too long to be held in memory. Where the context or a write fails, the old file is
    left; raises OSError. The new file belongs to whom the old one belonged, where that can be had.
    """
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with open(handle, "wb") as stream:
            yield stream
            _give(stream.fileno(), path)
            sync(stream)
        beside.replace(path)
        sync_folder(path.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise


def sync(stream: BinaryIO) -> None:
    """Have what was written to `stream` on the disk. Raises OSError."""
    stream.flush()
    os.fsync(stream.fileno())


def sync_folder(folder: Path) -> None:
    """Have the names in `folder` on the disk. Raises OSError where there is no such folder."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # some network disks can't; the files themselves were written for certain
        with contextlib.suppress(OSError):
            os.fsync(handle)
    finally:
        os.close(handle)


def _link(beside: Path, path: Path) -> None:
    """Give a file its name, which nothing may have."""
    try:
        os.link(beside, path)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # a USB stick's filesystem: between the question and the renaming somebody could come
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        beside.rename(path)


def _give(handle: int, old: Path) -> None:
    """Give a file to the owner of `old`: root renews what a broker's own user has to read."""
    with contextlib.suppress(OSError):
        owner = old.stat()
        os.fchown(handle, owner.st_uid, owner.st_gid)
