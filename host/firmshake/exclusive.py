"""A file or a folder that one process at a time writes to; a second one is told so at once."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from firmshake.errors import Error
from firmshake.newfile import PRIVATE, sync_folder


@contextlib.contextmanager
def folder(path: Path) -> Iterator[None]:
    """Hold `path`, made where it is missing, for its owner only; raise Error where another does.

    Raises OSError where it can't be made.
    """
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
        sync_folder(path.parent)
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _lock(handle, path)
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def private_file(path: Path) -> Iterator[tuple[BinaryIO, bool]]:
    """Hold the file `path` and give it with whether it is new; for its owner only in any case.

    Raises Error where another process holds it, or where it is none that could have been made
    here: a link, somebody else's, or one that others may read. Raises OSError too.
    """
    handle, new = _open(path)
    with open(handle, "r+b") as stream:
        if not new:
            _check_own(path, handle)
        _lock(handle, path)
        yield stream, new


def _open(path: Path) -> tuple[int, bool]:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, PRIVATE), True
    except FileExistsError:
        if path.is_symlink() or not path.is_file():
            raise in_the_way(path) from None
        return os.open(path, os.O_RDWR | os.O_NOFOLLOW), False


def _check_own(path: Path, handle: int) -> None:
    found = os.fstat(handle)
    regular = stat.S_ISREG(found.st_mode) and found.st_nlink == 1
    if not regular or found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise in_the_way(path)


def in_the_way(path: Path) -> Error:
    """Return the Error of a file that is in the way of a new one."""
    return Error(
        f"{path} is there already", hint="move it away, or name another; nothing was changed"
    )


def _lock(handle: int, path: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Error(
            f"another firmshake writes to {path}", hint="wait until that command is done"
        ) from None
