"""A folder that stands for a board's USB drive: shown, watched, hidden.

It is looked at a few times a second, and goes with the board; a process that is killed leaves it
behind, and what is mounted on it. That the drive is full or read-only is the system's doing: where
a folder's mode does not suffice, a filesystem of its own is mounted on it, which takes the right to
do so. Not imitated: a FAT filesystem, and errors for a program that is still writing when the cable
is pulled: what it writes goes nowhere, silently.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from firmshake.errors import Error
from firmshake.virtual.fault import NONE, Faults

POLL_S = 0.1
# A file is taken when it has not changed for so many looks
_SETTLED = 3
# Who sees one of these takes the folder for a drive: the other files are there before
_KNOWN_BY = ("INFO_UF2.TXT", "boot_out.txt")
_FULL_BYTES = 16 * 1024
# Linux only, where a lease to read is given on a file that nobody has open for writing
_SETLEASE, _GETS_LEASE = getattr(fcntl, "F_SETLEASE", None), fcntl.F_RDLCK
# by which who has it is told that somebody opens the file: by itself one that ends the process
_SETSIG, _NOTHING = getattr(fcntl, "F_SETSIG", None), signal.SIGURG

Sight = tuple[int, int]


class Drive:
    """The drive at `folder`, which must be absent or empty at first. Raises Error where it is not.

    `files` are what the board itself shows on it, by name; they come with `show`.
    """

    def __init__(self, folder: Path, faults: Faults = NONE) -> None:
        self.folder = folder.absolute()
        self.is_shown = False
        # called when it has appeared or disappeared
        self.on_change: Callable[[], None] = lambda: None
        self._faults = faults
        self._is_mounted = False
        self._own: frozenset[str] = frozenset()
        self._sights: dict[str, tuple[Sight, int]] = {}
        self._check()

    def show(self, files: Mapping[str, bytes]) -> None:
        """Let it appear with these files on it. Raises Error where that cannot be."""
        self.is_shown = True
        self._sights.clear()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if self._faults.drive_is_full or self._must_mount_read_only():
                self._mount()
            for name in sorted(files, key=_KNOWN_BY.__contains__):
                (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
                _put(self.folder / name, files[name])
        except OSError as error:
            raise self._refused(error) from None
        self._own = frozenset(files)
        if self._faults.drive_is_full:
            self._fill()
        if self._faults.drive_is_read_only:
            self._lock()
        self.on_change()

    def hide(self) -> None:
        """Let it disappear, with all that is on it. Again is allowed."""
        if not self.is_shown:
            return
        self.is_shown = False
        if self._is_mounted:
            self._is_mounted = False
            _system("umount", "-l", str(self.folder))
        with contextlib.suppress(OSError):
            self.folder.chmod(0o755)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.on_change()

    def new_files(self) -> list[Path]:
        """Files that others put there, whole and closed, and not told of before. To be polled."""
        found = []
        for path in self._others():
            sight = _sight(path)
            if sight is None:
                continue
            name = str(path)
            last, looks = self._sights.get(name, (None, 0))
            looks = looks + 1 if sight == last else 0
            if looks == _SETTLED and _is_open_for_writing(path):
                looks -= 1
            self._sights[name] = (sight, looks)
            if looks == _SETTLED:
                found.append(path)
        return found

    def _others(self) -> list[Path]:
        try:
            return sorted(path for path in self.folder.iterdir() if path.name not in self._own)
        except OSError:
            return []

    def _check(self) -> None:
        try:
            is_free = not self.folder.exists() or not any(self.folder.iterdir())
        except OSError as error:
            raise self._refused(error) from None
        if not is_free:
            raise Error(
                f"{self.folder} is not empty, and cannot stand for a drive",
                hint="name a folder that does not exist: the board makes it, and removes it",
            )

    def _must_mount_read_only(self) -> bool:
        # a folder's mode means nothing to root
        return self._faults.drive_is_read_only and os.geteuid() == 0

    def _mount(self) -> None:
        size = f"size={_FULL_BYTES},mode=755"
        if not _system("mount", "-t", "tmpfs", "-o", size, "tmpfs", str(self.folder)):
            raise Error(
                "the drive cannot be made full or read-only: this user may mount nothing here",
                hint="run it as root, or within `unshare --user --map-root-user --mount`",
            )
        self._is_mounted = True

    def _fill(self) -> None:
        """Leave no room, in a file that a drive has from macOS."""
        path = self.folder / ".Trashes"
        self._own |= {path.name}
        with path.open("wb", buffering=0) as file:
            for size in (4096, 1):
                with contextlib.suppress(OSError):
                    while True:
                        file.write(bytes(size))

    def _lock(self) -> None:
        if self._is_mounted:
            _system("mount", "-o", "remount,ro", str(self.folder))
        else:
            self.folder.chmod(0o555)

    def _refused(self, error: OSError) -> Error:
        reason = (error.strerror or "unknown reason").lower()
        return Error(f"the drive cannot be at {self.folder}: {reason}")


def _put(path: Path, data: bytes) -> None:
    """Let a file be there, with all that is in it at once."""
    coming = path.with_name(f".{path.name}.new")
    coming.write_bytes(data)
    coming.rename(path)


def _sight(path: Path) -> Sight | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return (status.st_size, status.st_mtime_ns) if path.is_file() else None


def _is_open_for_writing(path: Path) -> bool:
    """Whether a program has it open still, where the system can tell."""
    if _SETLEASE is None:
        return False
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        if _SETSIG is not None:
            fcntl.fcntl(descriptor, _SETSIG, _NOTHING)
        fcntl.fcntl(descriptor, _SETLEASE, _GETS_LEASE)
        fcntl.fcntl(descriptor, _SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        # not every filesystem has leases
        return error.errno == errno.EAGAIN
    finally:
        os.close(descriptor)
    return False


def _system(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False
