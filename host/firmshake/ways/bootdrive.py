"""The drive of a Pico's boot loader: a file is copied there, and the board comes back as a port.

Many may do so at once. Where the system tells which plug a drive is at, the board is looked for at
that plug alone; where it does not, it is the one serial port that is new.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path

from firmshake import uf2
from firmshake.boards import discover, plugged
from firmshake.boards.drivefiles import INFO_UF2
from firmshake.boards.row import Row
from firmshake.errors import Error
from firmshake.ways import repl
from firmshake.ways.way import Watcher

# The ROM writes a megabyte in some seconds, then the drive goes and the serial port comes
_GONE_S = 20.0
_BACK_S = 30.0
# a look at all ports and who has them takes a while, and many boards may restart at once
_POLL_S = 0.25
_CHUNK = 64 << 10
_NAME = "firmshake.uf2"
_FORGET = "forget.uf2"


class BootDrive:
    """The drive in `folder`, as it is now. `plug` is where on USB it is, "" where nobody tells."""

    def __init__(self, folder: Path, family: int) -> None:
        self._folder, self._family = folder, family
        self.plug = _plug(folder)
        self._before = self._consoles()

    def take(self, content: bytes, watcher: Watcher) -> None:
        """Copy a UF2 file, and wait until the board has left its boot loader. Raises Error."""
        watcher.begin("copying to its drive")
        # what is left of a copy that broke off must not be taken for a part of this one
        _copy(self._folder / _FORGET, uf2.forget(self._family), lambda done, total: None)
        _copy(self._folder / _NAME, content, watcher.writing)
        watcher.begin("waiting for it to restart")
        self._wait_until_gone()

    def port(self) -> str:
        """Wait for the board, and return its serial port. Raises Error where it does not come."""
        # a port that is not at the drive's plug is this board's only if there is no other
        return self._wait_for(lambda found: bool(self.plug) or len(found) == 1)[0]

    def wait_until_back(self) -> None:
        """Wait until there is a port that may be the board's. Raises Error as `port` does."""
        self._wait_for(lambda found: True)

    def _wait_for(self, is_enough: Callable[[list[str]], bool]) -> list[str]:
        ends = time.monotonic() + _BACK_S
        while True:
            self._check_taken()
            found = sorted(self._consoles() - self._before)
            if found and is_enough(found):
                return found
            if time.monotonic() > ends:
                raise Error(
                    "the board was written, and does not come back as a serial port",
                    hint="unplug it and plug it in again, then name its port: firmshake provision"
                    " PORT",
                )
            time.sleep(_POLL_S)

    def answer(self, port: str) -> repl.Answer:
        """Ask a board that is starting: its port may come a moment before its prompt."""
        ends = time.monotonic() + _BACK_S
        while True:
            try:
                return repl.asked(port)
            except Error as error:
                self._check_taken()
                if time.monotonic() > ends:
                    raise Error(
                        f"the board was written, and does not answer: {error.message}",
                        hint="plug it in again: if its drive comes back, run the same command"
                        " again; if not, name its serial port: firmshake provision PORT",
                    ) from None
                time.sleep(_POLL_S)

    def _consoles(self) -> set[str]:
        """The serial ports that are known to be MicroPython's, at that plug if it is known."""
        rows = discover.rows(plugged.ports(), [])
        found = [r for r in rows if r.state == "micropython" and self.plug in ("", r.location)]
        return {port for row in found for port in row.ports}

    def _is_there(self) -> bool:
        """Whether the board is in its boot loader: another's drive may have its folder by now."""
        if self.plug:
            return any(row.state == "uf2" and row.location == self.plug for row in _drives())
        return any((self._folder / name).exists() for name in (INFO_UF2, _NAME))

    def _wait_until_gone(self) -> None:
        ends = time.monotonic() + _GONE_S
        while self._is_there():
            if time.monotonic() > ends:
                raise Error(
                    f"the board did not take the file on {self._folder}",
                    hint="unplug it, hold BOOTSEL while you plug it in, and run the same command"
                    " again",
                )
            time.sleep(_POLL_S)

    def _check_taken(self) -> None:
        """Raise Error where the board is in its boot loader: it has no firmware that starts."""
        if self._is_there():
            raise Error(
                f"the board came back as the drive {self._folder}: it does not start what it was"
                " sent",
                hint="run the same command again; if that stays so, try other firmware or another"
                " cable",
            )


def _drives() -> list[Row]:
    return discover.rows([], plugged.drives())


def _plug(folder: Path) -> str:
    """Where on USB the drive is plugged in, empty where that can't be told."""
    mine = os.path.realpath(folder)
    known = (row.location for row in _drives() if row.drive and os.path.realpath(row.drive) == mine)
    return next(known, "")


def _copy(path: Path, content: bytes, progress: Callable[[int, int], None]) -> None:
    """Write a file to the drive, which goes away as soon as it has the last block."""
    done = 0
    try:
        with path.open("wb", buffering=0) as stream:
            while done < len(content):
                done += stream.write(content[done : done + _CHUNK])
                progress(done, len(content))
                if done < len(content) and not path.exists():
                    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            os.fsync(stream.fileno())
    except OSError as error:
        if done < len(content) or path.parent.exists():
            if not path.parent.exists():
                raise _gone(path.parent) from None
            raise Error(
                f"can't write to the drive {path.parent}: {(error.strerror or '').lower()}",
                hint="hold BOOTSEL while you plug the board in, then run the same command again",
            ) from None


def _gone(drive: Path) -> Error:
    return Error(
        f"the drive {drive} went away",
        hint="hold BOOTSEL while you plug the board in again, then run the same command again: it"
        " starts over",
    )
