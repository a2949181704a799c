"""Power-off, imitated on Linux: what was not synced is lost, or came to the disk in part.

A program runs with the library that powercut.c makes, which writes down in a log what it changes
below a folder. `Journal.drop` puts into that folder what a disk may hold that loses its power at
any moment of the log (powerdisk.py).
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

from support.powerdisk import Change, Disk, Found, Kind

SOURCE = Path(__file__).with_suffix(".c")
_FOLDER, _LOG = "FIRMSHAKE_POWERCUT_FOLDER", "FIRMSHAKE_POWERCUT_LOG"
_AT = "FIRMSHAKE_POWERCUT_AT"

# kind, mode, inode, offset, and the lengths of path, other path and data
_HEAD = struct.Struct("=IIQqIII")


class Journal:
    """What a program changes below `folder`, in the file `log` outside of it."""

    def __init__(self, folder: Path, log: Path) -> None:
        self.folder, self.log = folder.resolve(), log
        self._before: list[Found] = []

    def environment(self, library: Path, at: int = 0) -> dict[str, str]:
        """What a program needs that is to be watched; what it starts is watched too.

        After change number `at` of a process its process group is killed.
        """
        own = {"LD_PRELOAD": str(library), _FOLDER: str(self.folder), _LOG: str(self.log)}
        return own | {_AT: str(at)}

    def begin(self) -> None:
        """Have the disk hold all that is there now, and forget what came before."""
        self._before = list(_walked(self.folder))
        self.log.write_bytes(b"")

    def changes(self) -> list[Change]:
        """What was changed since `begin`, the oldest first."""
        return list(_read(self.log.read_bytes()))

    def disk(self, changes: Sequence[Change], ordered: bool = False) -> Disk:
        """The disk after these changes."""
        disk = Disk(self.folder, self._before, ordered)
        for change in changes:
            disk.change(change)
        return disk

    def unseen(self) -> list[str]:
        """The paths of what differs from what the log says: changes that it missed."""
        disk = self.disk(self.changes())
        disk.sync()
        return self._differing(disk)

    def unsynced(self) -> list[str]:
        """The paths of what a power-off now may take back, or give back."""
        return self._differing(self.disk(self.changes()))

    def _differing(self, disk: Disk) -> list[str]:
        logged = {path: (mode, content) for path, mode, content in disk.entries()}
        there = {path: (now.st_mode & 0o7777, data) for path, now, data in _walked(self.folder)}
        paths = logged.keys() | there.keys()
        return sorted(path for path in paths if logged.get(path) != there.get(path))

    def drop(
        self, seed: int, changes: Sequence[Change] | None = None, *, ordered: bool = False
    ) -> None:
        """Cut the power after these changes, or after all that the log has.

        An even seed loses all that was not synced, an odd one what chance chooses.
        """
        disk = self.disk(self.changes() if changes is None else changes, ordered)
        if seed % 2:
            disk.settle(Random(seed))
        disk.put(self.folder)


def library(into: Path) -> Path:
    """Compile the library that watches programs. Raises AssertionError where that can't be."""
    compiler = shutil.which("cc")
    assert compiler, "there is no C compiler on this machine (Debian's packages gcc and libc6-dev)"
    made = into / "powercut.so"
    options = ("-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror")
    command = [compiler, *options, "-o", str(made), str(SOURCE), "-ldl", "-lpthread"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return made


def watching() -> Journal:
    """The journal of this program, which runs with the library."""
    return Journal(Path(os.environ[_FOLDER]), Path(os.environ[_LOG]))


def mark(said: str) -> None:
    """Note in the log that this program has just promised something."""
    handle = os.open(os.environ[_LOG], os.O_WRONLY | os.O_APPEND)
    os.write(handle, marked(said))
    os.close(handle)


def marked(said: str) -> bytes:
    """The record of a promise, for a program to write to the log at once."""
    data = said.encode()
    return _HEAD.pack(Kind.MARK, 0, 0, 0, 0, 0, len(data)) + data


def marks(changes: Sequence[Change]) -> list[str]:
    """What was promised, the oldest first."""
    return [change.data.decode() for change in changes if change.kind == Kind.MARK]


def _read(log: bytes) -> Iterator[Change]:
    at = 0
    while at + _HEAD.size <= len(log):
        kind, mode, inode, offset, *lengths = _HEAD.unpack_from(log, at)
        at += _HEAD.size
        if at + sum(lengths) > len(log):
            return  # killed while it wrote that
        parts = []
        for length in lengths:
            parts.append(log[at : at + length])
            at += length
        path, other, data = parts
        yield Change(Kind(kind), mode, inode, offset, os.fsdecode(path), os.fsdecode(other), data)


def _walked(folder: Path) -> Iterator[Found]:
    for path in sorted(folder.rglob("*")):
        assert not path.is_symlink(), path
        content = None if path.is_dir() else path.read_bytes()
        yield str(path.relative_to(folder)), path.stat(), content
