"""What a disk may hold after a power-off, by the changes that a program made. See powercut.py.

- Of a file, what was written before its last fsync. What was written since may be there or not,
  each sector by itself, in any order; the length may be there without the bytes, which are zeros.
- Of a folder, the names that its last fsync found. What changed since may have come through or
  not, each change by itself: POSIX promises nothing. A renaming is one change.

An `ordered` disk is one with a journal, such as ext4 and XFS keep: names change in the order in
which they were changed, and whatever is synced takes all changes of names before it along. That is
what most machines do, and more than a program should count on.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from random import Random

# a disk writes that much whole or not at all
_SECTOR = 512

# a path below the folder, its status, and of a file the content; what is above comes first
Found = tuple[str, os.stat_result, bytes | None]


class Kind(IntEnum):
    """What a record of the log is; powercut.c has the same, but for the mark."""

    CREATE = 1
    WRITE = 2
    LENGTH = 3
    MODE = 4
    SYNC = 5
    SYNC_FOLDER = 6
    MKDIR = 7
    LINK = 8
    RENAME = 9
    REMOVE = 10
    # the program said something: see `mark`
    MARK = 100


@dataclass(frozen=True)
class Change:
    """A record of the log; what has no meaning for its kind is 0 or empty."""

    kind: Kind
    mode: int = 0
    inode: int = 0
    offset: int = 0
    path: str = ""
    other: str = ""
    data: bytes = b""


@dataclass(eq=False)
class File:
    """What the disk has of a file, and what was done to it since."""

    content: bytearray
    mode: int
    waiting: list[Change] = field(default_factory=list)

    def take(self, change: Change) -> None:
        """Have a change on the disk."""
        if change.kind == Kind.MODE:
            self.mode = change.mode
        elif change.kind == Kind.LENGTH:
            del self.content[change.offset :]
            self._lengthen(change.offset)
        else:
            self._lengthen(change.offset)
            self.content[change.offset : change.offset + len(change.data)] = change.data

    def tear(self, change: Change, made: Random) -> None:
        """Have some sectors of a write on the disk."""
        end = change.offset + len(change.data)
        for at in range(change.offset - change.offset % _SECTOR, end, _SECTOR):
            low, high = max(at, change.offset), min(at + _SECTOR, end)
            if made.random() < 0.5:
                data = change.data[low - change.offset : high - change.offset]
                self.take(Change(Kind.WRITE, offset=low, data=data))

    def lose(self, change: Change) -> None:
        """Have the length of a write on the disk, and not its bytes."""
        self._lengthen(change.offset + len(change.data))

    def _lengthen(self, length: int) -> None:
        self.content.extend(bytes(max(0, length - len(self.content))))


@dataclass(eq=False)
class Folder:
    """The names in a folder: those that the disk has, and those that there are."""

    mode: int
    kept: dict[str, File | Folder] = field(default_factory=dict)
    names: dict[str, File | Folder] = field(default_factory=dict)


# names of folders and what they name from now on, all at once
_Step = Sequence[tuple[Folder, str, File | Folder | None]]


class Disk:
    """A disk with that folder on it."""

    def __init__(
        self,
        folder: Path,
        before: Sequence[Found],
        ordered: bool = False,
    ) -> None:
        self._at, self._ordered = str(folder), ordered
        self._root = Folder(0o700)
        self._files: dict[int, File] = {}
        self._waiting: list[_Step] = []
        for path, now, content in before:
            node: File | Folder = Folder(now.st_mode & 0o7777)
            if content is not None:
                made = File(bytearray(content), now.st_mode & 0o7777)
                node = self._files.setdefault(now.st_ino, made)
            above, name = self._place(f"{self._at}/{path}")
            above.kept[name] = above.names[name] = node

    def change(self, change: Change) -> None:
        """Take up a change of a program's: in memory, and by a sync on the disk."""
        match change.kind:
            case Kind.CREATE:
                self._create(change)
            case Kind.WRITE | Kind.LENGTH | Kind.MODE:
                if file := self._files.get(change.inode):
                    file.waiting.append(change)
            case Kind.SYNC:
                self._sync_file(change)
            case Kind.SYNC_FOLDER:
                self._sync_folder(change)
            case Kind.MKDIR:
                self._step([(*self._place(change.path), Folder(change.mode))])
            case Kind.REMOVE:
                self._step([(*self._place(change.path), None)])
            case Kind.LINK | Kind.RENAME:
                self._move(change)

    def sync(self) -> None:
        """Have everything on the disk."""
        for file in self._files.values():
            _sync(file)
        self._commit(list(self._waiting))

    def settle(self, made: Random) -> None:
        """Have some of what is not synced on the disk."""
        for file in self._files.values():
            self._settle_file(file, made)
        steps, self._waiting = self._waiting, []
        if self._ordered:
            kept = steps[: made.randint(0, len(steps))]
        else:
            chance = made.choice((0.0, 0.5, 0.9, 1.0))
            kept = [step for step in steps if made.random() < chance]
        for step in kept:
            _keep(step)

    def entries(self) -> Iterator[tuple[str, int, bytes | None]]:
        """What is on the disk: paths, modes and contents; folders have none, and come first."""
        for path, node in _entries(self._root, ""):
            content = bytes(node.content) if isinstance(node, File) else None
            yield path, node.mode, content

    def put(self, folder: Path) -> None:
        """Have in `folder` what is on the disk, and nothing else."""
        for each in folder.iterdir():
            shutil.rmtree(each) if each.is_dir() else each.unlink()
        first: dict[int, Path] = {}
        for name, node in _entries(self._root, ""):
            path = folder / name
            if isinstance(node, Folder):
                path.mkdir()
            elif (there := first.setdefault(id(node), path)) != path:
                os.link(there, path)
            else:
                path.write_bytes(node.content)
            path.chmod(node.mode)

    def _create(self, change: Change) -> None:
        # an inode's number may be another file's that was removed
        made = self._files[change.inode] = File(bytearray(), change.mode)
        if change.path:
            self._step([(*self._place(change.path), made)])

    def _move(self, change: Change) -> None:
        assert change.path, f"{change.other} came from somewhere else"
        above, name = self._place(change.path)
        step: list[tuple[Folder, str, File | Folder | None]] = []
        if change.kind == Kind.RENAME:
            step.append((above, name, None))
        if change.other:
            step.append((*self._place(change.other), above.names[name]))
        self._step(step)

    def _sync_file(self, change: Change) -> None:
        if file := self._files.get(change.inode):
            _sync(file)
        if self._ordered:
            self._commit(list(self._waiting))

    def _sync_folder(self, change: Change) -> None:
        found = self._root if change.path == self._at else self._named(change.path)
        self._commit(
            [
                step
                for step in self._waiting
                if self._ordered or any(above is found for above, _, _ in step)
            ]
        )

    def _step(self, step: _Step) -> None:
        for above, name, node in step:
            _put(above.names, name, node)
        self._waiting.append(step)

    def _commit(self, steps: Sequence[_Step]) -> None:
        for step in steps:
            _keep(step)
            self._waiting.remove(step)

    def _settle_file(self, file: File, made: Random) -> None:
        chance = made.choice((0.0, 0.5, 0.9, 1.0))
        for change in file.waiting:
            if made.random() < chance:
                file.take(change)
            elif change.kind == Kind.WRITE and made.random() < 0.5:
                file.tear(change, made)
            elif change.kind == Kind.WRITE and not self._ordered and made.random() < 0.5:
                file.lose(change)
        file.waiting.clear()

    def _place(self, path: str) -> tuple[Folder, str]:
        """The folder that the path is in, and its name there."""
        *above, name = path.removeprefix(self._at).strip("/").split("/")
        found = self._root
        for each in above:
            inner = found.names[each]
            assert isinstance(inner, Folder)
            found = inner
        return found, name

    def _named(self, path: str) -> File | Folder:
        above, name = self._place(path)
        return above.names[name]


def _entries(folder: Folder, above: str) -> Iterator[tuple[str, File | Folder]]:
    for name, node in sorted(folder.kept.items()):
        yield f"{above}{name}", node
        if isinstance(node, Folder):
            yield from _entries(node, f"{above}{name}/")


def _sync(file: File) -> None:
    for change in file.waiting:
        file.take(change)
    file.waiting.clear()


def _keep(step: _Step) -> None:
    for above, name, node in step:
        _put(above.kept, name, node)


def _put(names: dict[str, File | Folder], name: str, node: File | Folder | None) -> None:
    if node is None:
        names.pop(name, None)
    else:
        names[name] = node
