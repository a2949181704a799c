"""Which program has a serial port open, as far as the system tells (Linux, by /proc)."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

_PROC = Path("/proc")


def of(devices: Iterable[str], proc: Path = _PROC) -> Mapping[str, str]:
    """Return the holder of each device that somebody else has open, as "name (pid 12)".

    Another user's process is only seen where it has locked the port, as pyserial and esptool do.
    """
    known: dict[_Identity, str] = {}
    files: dict[_Identity, str] = {}
    for device in devices:
        with contextlib.suppress(OSError):
            status = os.stat(device)
            known[_identity(status)] = device
            files[status.st_dev, status.st_ino] = device
    if not known:
        return {}
    return dict(_by_locks(files, proc)) | dict(_by_descriptors(known, proc))


_Identity = tuple[int, int]


def _identity(status: os.stat_result) -> _Identity:
    """What two names of one device have in common: its number, also where /dev is there twice."""
    if stat.S_ISCHR(status.st_mode):
        return -1, status.st_rdev
    return status.st_dev, status.st_ino


def _by_descriptors(known: Mapping[_Identity, str], proc: Path) -> Iterator[tuple[str, str]]:
    for pid in _others(proc):
        with contextlib.suppress(OSError):
            for entry in os.listdir(proc / str(pid) / "fd"):
                with contextlib.suppress(OSError):
                    opened = _identity(os.stat(proc / str(pid) / "fd" / entry))
                    if opened in known:
                        yield known[opened], _named(pid, proc)


def _by_locks(files: Mapping[_Identity, str], proc: Path) -> Iterator[tuple[str, str]]:
    """Locks are there for everybody to read (proc(5), /proc/locks): number, kind, ..., pid, file.

    The file is major and minor of its filesystem, in hexadecimal, and its inode.
    """
    try:
        lines = (proc / "locks").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        words = [word for word in line.split() if word != "->"]
        with contextlib.suppress(ValueError, IndexError):
            pid, (major, minor, inode) = int(words[4]), words[5].split(":")
            where = os.makedev(int(major, 16), int(minor, 16)), int(inode)
            if where in files and pid > 0 and pid != os.getpid():
                yield files[where], _named(pid, proc)


def _others(proc: Path) -> Iterator[int]:
    with contextlib.suppress(OSError):
        for entry in os.listdir(proc):
            if entry.isdecimal() and int(entry) != os.getpid():
                yield int(entry)


def _named(pid: int, proc: Path) -> str:
    name = ""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        name = (proc / str(pid) / "comm").read_text(encoding="utf-8").strip()
    return f"{name or 'a program'} (pid {pid})"
