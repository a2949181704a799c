"""Which virtual boards of this user are plugged in: told by `firmshake virtual --boards`, and read.

Each such process keeps a file in a folder that is for this user alone, beside another that it holds
a lock on for as long as it lives: where the lock is free, the process is dead, and whoever notices
takes both files away. The folder is FIRMSHAKE_RUNTIME, or else the system's for such things.

What is told is what USB would tell. Most boards have a USB-serial chip in front of them, which says
nothing of who they are: they have to be asked.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import json
import os
import secrets
import stat
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from firmshake import newfile
from firmshake.boards import drives, table
from firmshake.boards.seen import Drive, Port, Usb
from firmshake.boards.table import Runtime
from firmshake.errors import Error

FOLDER_VARIABLE = "FIRMSHAKE_RUNTIME"
HOST = "127.0.0.1"
_LOCK, _TOLD = ".lock", ".json"
_PREFIX = "virtual-"
# 256 boards are a tenth of it
_LARGEST = 1 << 20
# CP210x, as most development boards have
_ADAPTER = (0x10C4, 0xEA60)
_LARGEST_PORT = 65535

Shows = Literal["adapter", "bootloader", "micropython", "circuitpython"]


@dataclass(frozen=True)
class Sight:
    """What can be seen of one virtual board.

    `board` is its name in the table of boards. `port` is its TCP port and `drive` the folder of its
    drive, None while there is none: without both it is unplugged. `unique_id` is what USB would
    tell; nothing where it `shows` itself as an adapter.
    """

    number: int
    board: str
    runtime: Runtime
    shows: Shows
    port: int | None = None
    drive: str | None = None
    unique_id: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return it for the file, without what USB would not tell."""
        told = vars(self).copy()
        if self.shows == "adapter":
            told["unique_id"] = ""
        return told

    @property
    def url(self) -> str | None:
        """Its port, as tools take it."""
        return None if self.port is None else f"rfc2217://{HOST}:{self.port}"

    @property
    def usb(self) -> tuple[int, int]:
        """The numbers of the USB device as which it shows itself."""
        if self.shows == "adapter":
            return _ADAPTER
        known = {usb.state: (usb.vid, usb.pid) for usb in table.by_name(self.board).usb}
        return known[self.shows]


class Announcement:
    """What one process tells of its boards, from `tell` on and until `close`.

    Raises Error where there is no place for it.
    """

    def __init__(self) -> None:
        self._folder = _made_folder()
        self._name = f"{_PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
        self._lock = self._locked()

    def tell(self, sights: Iterable[Sight]) -> None:
        """Let these be the boards that are there."""
        told = {"pid": os.getpid(), "boards": [sight.to_dict() for sight in sights]}
        try:
            newfile.replace(self._folder / f"{self._name}{_TOLD}", json.dumps(told).encode())
        except OSError as error:
            raise _refused(self._folder, error) from None

    def close(self) -> None:
        """Let none be there. Again is allowed."""
        if self._lock >= 0:
            _take_away(self._folder, self._name)
            os.close(self._lock)
            self._lock = -1

    def _locked(self) -> int:
        path = self._folder / f"{self._name}{_LOCK}"
        while True:
            try:
                handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, newfile.PRIVATE)
            except OSError as error:
                raise _refused(self._folder, error) from None
            fcntl.flock(handle, fcntl.LOCK_EX)
            # somebody may have taken it for a dead process's, and away, before it was locked
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(handle), os.stat(path)):
                    return handle
            os.close(handle)


def announced() -> list[Port]:
    """Return the ports of the virtual boards of this user that are plugged in, as of real ones."""
    return [
        Port(
            device=sight.url,
            usb=usb,
            manufacturer="firmshake",
            virtual=sight.board,
        )
        for sight, usb in _sights()
        if sight.url is not None
    ]


def announced_drives() -> list[Drive]:
    """Return their drives."""
    return [
        drives.at(Path(sight.drive), usb=usb, virtual=sight.board)
        for sight, usb in _sights()
        if sight.drive is not None
    ]


def folder() -> Path:
    """Return the folder for announcements, which need not be there."""
    named = os.environ.get(FOLDER_VARIABLE)
    return Path(named) if named else _of_the_system()


@functools.cache
def _of_the_system() -> Path:
    import platformdirs

    with warnings.catch_warnings():
        # it warns where the system has no such folder, and takes one of its own for temporary files
        warnings.simplefilter("ignore")
        return platformdirs.user_runtime_path("firmshake", appauthor=False)


def _sights() -> Iterator[tuple[Sight, Usb]]:
    place = folder()
    if not _is_ours(place):
        return
    for lock in sorted(place.glob(f"{_PREFIX}*{_LOCK}")):
        name = lock.name.removesuffix(_LOCK)
        if _is_left_behind(lock):
            _take_away(place, name)
            continue
        for sight in _read(place / f"{name}{_TOLD}"):
            vid, pid = sight.usb
            # as of a hub: a plug of its own for each, by which it is told from the others
            plug = f"{name}.{sight.number:03}"
            yield sight, Usb(vid, pid, sight.unique_id, plug)


def _is_left_behind(lock: Path) -> bool:
    """Whether the process that made the file is dead: else it holds the lock."""
    try:
        handle = os.open(lock, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(handle)
    return True


def _read(path: Path) -> list[Sight]:
    """What a process tells; nothing where it has not told yet, or what makes no sense."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        with open(handle, "rb") as stream:
            told = json.loads(stream.read(_LARGEST))
        return [_sight(row) for row in told["boards"]]
    except (OSError, ValueError, TypeError, ArithmeticError, LookupError, Error, RecursionError):
        return []


def _sight(row: dict[str, Any]) -> Sight:
    """Raises ValueError, TypeError, ArithmeticError, LookupError or Error where it is none."""
    sight = Sight(
        number=int(row["number"]),
        board=str(row["board"]),
        runtime=row["runtime"],
        shows=row["shows"],
        port=None if row["port"] is None else int(row["port"]),
        drive=None if row["drive"] is None else str(row["drive"]),
        unique_id=str(row["unique_id"]),
    )
    if sight.port is not None and not 0 < sight.port <= _LARGEST_PORT:
        raise ValueError(sight.port)
    sight.usb  # noqa: B018  that there are such numbers
    return sight


def _made_folder() -> Path:
    place = folder()
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _refused(place, error) from None
    if not _is_ours(place):
        raise Error(
            f"{place} is open to other users, so that virtual boards are not announced there",
            hint=f"make it your own (chmod 700), or name another folder in {FOLDER_VARIABLE}",
        )
    return place


def _is_ours(place: Path) -> bool:
    """Whether it is a folder that nobody else can write to."""
    try:
        found = os.lstat(place)
    except OSError:
        return False
    return (
        stat.S_ISDIR(found.st_mode)
        and found.st_uid == os.geteuid()
        and not stat.S_IMODE(found.st_mode) & 0o022
    )


def _take_away(place: Path, name: str) -> None:
    # the lock last: while it is there, the other file is looked for
    for suffix in (_TOLD, _LOCK):
        with contextlib.suppress(OSError):
            (place / f"{name}{suffix}").unlink()


def _refused(place: Path, error: OSError) -> Error:
    reason = (error.strerror or "unknown reason").lower()
    return Error(
        f"virtual boards cannot be announced in {place}: {reason}",
        hint=f"name a folder of your own in {FOLDER_VARIABLE}",
    )
