"""Through the CIRCUITPY drive of a board that runs CircuitPython."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from firmshake import boardfiles, circuitpython, newfile, serialport
from firmshake.boards import uniqueid
from firmshake.boards.drivefiles import BOOT_OUT, BootOut, board_called, chip_in
from firmshake.boards.table import CIRCUITPYTHON, Runtime
from firmshake.errors import Error
from firmshake.listen import Port
from firmshake.repl.upload import OWNED
from firmshake.ways import repl
from firmshake.ways.way import Files, HasChip, Held, Seen, Watcher, left_aside

# A cluster of the largest volumes that CircuitPython makes; a file takes whole ones
_CLUSTER = 4096
_MODE = 0o644  # FAT has no modes
_LARGEST = 1024 * 1024
_FULL = (errno.ENOSPC, errno.EDQUOT)
_GONE = (errno.ENOENT, errno.ENODEV, errno.ENXIO, errno.ENOTCONN, errno.ESTALE)


class Drive:
    """A board whose drive is mounted in `folder`; `console` is its serial port."""

    name = "drive"
    runtime: Runtime = CIRCUITPYTHON

    def __init__(
        self, folder: Path, boot: BootOut, console: str | None, file: HasChip | None = None
    ) -> None:
        self._folder, self._console, self._file = folder, console, file
        self._files: Files = {}
        with _on(folder):
            self._mark = _mark(folder)
        board = board_called(boot.board_id, boot.machine)
        named = boot.machine.rpartition(" with ")[2]
        chip = board.chip if board else chip_in(named) or named
        family = board.family if board else "rp2"
        unique = uniqueid.of_boot_out(boot.uid, boot.mac, family)
        title = f"{boot.machine}, {unique or boot.board_id}, CircuitPython {boot.version}"
        self.seen = Seen(title, chip, unique)

    def intends(self) -> str:
        """Raises Error where its files can't be written, or nobody would hear it afterwards."""
        if not os.access(self._folder, os.W_OK):
            raise Error(
                f"the drive {self._folder} can't be written",
                hint="a boot.py may keep it for the board's own program: hold the button while the"
                " board starts (safe mode), or use its serial port: --via repl",
            )
        if self._console is None:
            raise Error(
                f"which serial port the board of {self._folder} has can't be told",
                hint="name it with --console PORT: there the board says whether it connects",
            )
        with serialport.open_port(self._console):
            pass  # one that is not there, or that somebody else has, is told before the work
        aside = left_aside(self._file, self.seen.chip)
        return f"it runs CircuitPython: its files will be replaced on its drive{aside}"

    def held(self) -> Held | None:
        with _on(self._folder):
            return self._held()

    def _held(self) -> Held:
        common = [path for path in circuitpython.agent_files() if self._place(path).is_file()]
        paths = {*common, *self._own()}
        digests = {path: hashlib.sha256(_read(self._place(path))).digest() for path in paths}
        certificates = self._content(f"{boardfiles.FOLDER}/cert.pem")
        return Held(digests, certificates, self._content(f"{boardfiles.FOLDER}/settings.json"))

    def prepare(self, files: Files) -> str:
        with _on(self._folder):
            return self._prepare(files)

    def _prepare(self, files: Files) -> str:
        users = [self._content(circuitpython.SETTINGS_FILE), self._content(circuitpython.BOOT_FILE)]
        self._files = circuitpython.beside_users(files, *users)
        new = {path: data for path, data in self._files.items() if self._content(path) != data}
        self._check_room(new)
        size = sum(map(len, new.values())) >> 10
        return f"{len(new)} of {len(self._files)} files differ: {size} KiB have to travel"

    def write(self, watcher: Watcher) -> None:
        watcher.begin("copying to its drive")
        with _on(self._folder):
            count, total = self._write(watcher)
            self._read_back()
        watcher.step(f"wrote {count} files, {total >> 10} KiB, and read them back")

    def _write(self, watcher: Watcher) -> tuple[int, int]:
        # the first program last: it runs anew with each change, and finds the rest there
        first = circuitpython.CODE_FILE
        order = sorted(self._files, key=lambda path: (path == first, path))
        new = [path for path in order if self._content(path) != self._files[path]]
        total = sum(len(self._files[path]) for path in new)
        done = 0
        for path in new:
            self._put(path, self._files[path])
            done += len(self._files[path])
            watcher.writing(done, total)
        for path in self._own():
            if path not in self._files:
                self._place(path).unlink()
        newfile.sync_folder(self._folder)
        return len(new), total

    @contextlib.contextmanager
    def heard(self, watcher: Watcher) -> Iterator[Port]:
        assert self._console is not None
        with repl.restarted(self._console) as opened:
            watcher.step("started it; following its serial line")
            yield opened

    def left_alone(self) -> None:
        """Nothing was stopped."""

    def _check_room(self, new: Files) -> None:
        free = shutil.disk_usage(self._folder).free
        # each is written beside the old one, which goes only then
        largest = max((_clusters(data) for data in new.values()), default=0)
        more = largest
        for path, data in new.items():
            old = self._content(path)
            more += _clusters(data) - (_clusters(old) if old is not None else 0)
        if more > free:
            raise Error(
                f"the drive {self._folder} has {free >> 10} KiB free, and {more >> 10} KiB are"
                " needed",
                hint="delete what the board does not need, then run the same command again",
            )

    def _put(self, path: str, data: bytes) -> None:
        place = self._place(path)
        # a key must not end up on this computer, in the folder where the drive was mounted
        if _mark(self._folder) != self._mark:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
        for parent in reversed(place.relative_to(self._folder).parents[:-1]):
            (self._folder / parent).mkdir(exist_ok=True)
        newfile.replace(place, data, _MODE)

    def _read_back(self) -> None:
        for path, data in self._files.items():
            if _read(self._place(path), fresh=True) != data:
                raise Error(
                    f"{path} on the drive is not what was written",
                    hint="eject the drive, plug the board in again, run the same command again",
                )

    def _own(self) -> list[str]:
        """The files on the drive that are ours, and what a copy that broke off left beside them."""
        places = [self._place(circuitpython.CODE_FILE)]
        for path in (circuitpython.CODE_FILE, circuitpython.SETTINGS_FILE):
            places += sorted(self._folder.glob(f".{self._place(path).name}.????????"))
        for folder in OWNED:
            places += sorted(self._place(folder).rglob("*"))
        names = (place.relative_to(self._folder) for place in places if place.is_file())
        return [f"/{name.as_posix()}" for name in names]

    def _content(self, path: str) -> bytes | None:
        place = self._place(path)
        return _read(place) if place.is_file() else None

    def _place(self, path: str) -> Path:
        return self._folder / PurePosixPath(path).relative_to("/")


def _read(path: Path, fresh: bool = False) -> bytes:
    """A file's content; `fresh` asks the system to have it from the drive, and not from memory."""
    with path.open("rb") as stream:
        if fresh and hasattr(os, "posix_fadvise"):
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        content = stream.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        raise Error(f"{path} is too large to be one of the agent's files", hint="delete it")
    return content


def _clusters(data: bytes) -> int:
    return -(-len(data) // _CLUSTER) * _CLUSTER


def _mark(folder: Path) -> tuple[int, int]:
    """What is another once the drive was taken away, or put back."""
    status = folder.stat()
    return status.st_dev, status.st_ino


@contextlib.contextmanager
def _on(folder: Path) -> Iterator[None]:
    """What the system says of a drive, in words that help."""
    try:
        yield
    except OSError as error:
        raise _refused(folder, error) from None


def _refused(folder: Path, error: OSError) -> Error:
    if error.errno in _FULL:
        return Error(
            f"the drive {folder} is full",
            hint="delete what the board does not need, then run the same command again: it goes on"
            " where it stopped",
        )
    if error.errno in _GONE or not (folder / BOOT_OUT).exists():
        return Error(
            f"the drive {folder} went away",
            hint="plug the board in again and run the same command again: it goes on where it"
            " stopped",
        )
    return Error(
        f"the drive {folder} does not take what is written: {(error.strerror or '').lower()}",
        hint="eject it, plug the board in again and run the same command again; if that stays so,"
        " repair the drive",
    )
