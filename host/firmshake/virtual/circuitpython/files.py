"""The board's files: paths below the drive's root for `open`, `os` and `ssl`, and who may write.

The root of the board is a folder of the computer's; no path leads out of it.
"""

from __future__ import annotations

import builtins
import errno
import os
import posixpath
import types
from collections.abc import Callable
from typing import Any

from . import board

# The computer's own, for what is not the board's
real_open = builtins.open

_WRITES = frozenset("wax+")
_BLOCK = 512
# CircuitPython's own (py/mperrno.h, supervisor/shared/translate)
_WORDS = {errno.ENOENT: "No such file/directory", errno.EEXIST: "File exists"}

is_writable = False
_folder = "/"


def where(path: str) -> str:
    """The computer's name of a board's file."""
    inside = posixpath.normpath(posixpath.join("/", _folder, path)).lstrip("/")
    found: str = posixpath.join(board.settings["root"], inside)
    return found


def shown(path: str) -> str:
    """The board's name of a file of the computer's, as tracebacks have it."""
    root: str = board.settings["root"]
    inside = path.removeprefix(root)
    return path if inside == path else inside.removeprefix("/") if "/lib" not in inside else inside


def check_writable() -> None:
    """Raises OSError where Python may not write, or there is no room."""
    if not is_writable:
        raise OSError(errno.EROFS, "Read-only filesystem")
    if board.settings["is_full"]:
        raise OSError(errno.ENOSPC, "No space left on device")


def board_open(path: Any, mode: str = "r", *arguments: Any, **named: Any) -> Any:
    """`open` of a board's file."""
    if isinstance(path, int):
        return real_open(path, mode, *arguments, **named)
    if _WRITES & set(mode):
        check_writable()
    if "b" not in mode:
        named.setdefault("encoding", "utf-8")
    return _told(real_open)(where(str(path)), mode, *arguments, **named)


def _told(call: Callable[..., Any]) -> Callable[..., Any]:
    """The same, with errors that name no file of the computer's."""

    def told(*arguments: Any, **named: Any) -> Any:
        try:
            return call(*arguments, **named)
        except OSError as error:
            text = _WORDS.get(error.errno or 0, error.strerror)
            raise OSError(error.errno, text) from None

    return told


def statvfs(path: str) -> tuple[int, ...]:
    """Of the whole filesystem, in blocks of 512 bytes."""
    total = board.settings["capacity"] // _BLOCK
    used = sum(-(-size // _BLOCK) for size in _sizes(board.settings["root"]))
    free = 0 if board.settings["is_full"] else max(total - used, 0)
    return (_BLOCK, _BLOCK, total, free, free, 0, 0, 0, 0, 255)


def _sizes(folder: str) -> list[int]:
    return [
        _real_stat(_join(top, name)).st_size for top, _, names in _walk(folder) for name in names
    ]


_real_stat, _walk, _join = os.stat, os.walk, os.path.join


def _changes(call: Callable[..., Any]) -> Callable[..., Any]:
    def changed(*paths: str) -> Any:
        check_writable()
        return _told(call)(*(where(path) for path in paths))

    return changed


def _reads(call: Callable[..., Any]) -> Callable[..., Any]:
    def read(path: str = "") -> Any:
        return _told(call)(where(path))

    return read


def _chdir(path: str) -> None:
    global _folder
    if not os.path.isdir(where(path)):
        raise OSError(errno.ENOENT, "No such file/directory")
    _folder = posixpath.normpath(posixpath.join(_folder, path))


def board_os(getenv: Callable[..., Any], uname: object) -> types.ModuleType:
    """CircuitPython's `os`: what it has, and no more."""
    made = types.ModuleType("os")
    vars(made).update(
        listdir=_reads(os.listdir),
        stat=_reads(lambda path: tuple(os.stat(path))[:10]),
        mkdir=_changes(os.mkdir),
        rmdir=_changes(os.rmdir),
        remove=_changes(os.remove),
        unlink=_changes(os.remove),
        rename=_changes(os.rename),
        chdir=_chdir,
        getcwd=lambda: _folder,
        statvfs=statvfs,
        sync=lambda: None,
        urandom=os.urandom,
        uname=lambda: uname,
        getenv=getenv,
        sep="/",
    )
    return made
