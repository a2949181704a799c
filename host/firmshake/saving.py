"""Serial ports whose bytes are also appended to logs as they come, for `firmshake explain`."""

from __future__ import annotations

import io
import os
import re
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from firmshake.errors import Error
from firmshake.newfile import PRIVATE

if TYPE_CHECKING:
    from serial import SerialBase

    from firmshake.console import OpenPort

_HINT = "name another file with --log, or make room and check the folder's permissions"
_FOLDER_HINT = "of several boards, --log names a folder, with a file for each: name another one"


class NotSaved(Error):
    """The log cannot be written: the port is not at fault."""

    def __init__(self, path: Path, error: OSError, hint: str = _HINT) -> None:
        reason = (error.strerror or str(error)).lower()
        super().__init__(f"cannot write the log {path}: {reason}", hint=hint)


class Log:
    """A file that bytes are appended to, each at once; made with mode 0600 where there is none."""

    def __init__(self, path: Path) -> None:
        """Open the file. Raises NotSaved."""
        self._path = path
        try:
            self._file = io.FileIO(path, "ab", opener=_private)
        except OSError as error:
            raise NotSaved(path, error) from error

    def append(self, data: bytes) -> None:
        """Write all of `data`. Raises NotSaved, with a part of it written at the most."""
        try:
            while data:
                data = data[self._file.write(data) :]
        except OSError as error:
            raise NotSaved(self._path, error) from error

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class LogFolder:
    """A folder with a log for each board, by the short name of its port."""

    def __init__(self, path: Path) -> None:
        """Make the folder, where there is none. Raises NotSaved."""
        self._path = path
        self._lock = threading.Lock()
        self._ports: dict[str, str] = {}  # name of the file: the port whose log it is
        try:
            path.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise NotSaved(path, error, _FOLDER_HINT) from error

    def log(self, port: str) -> Log:
        """Open the log of what is behind this port, from any thread. Raises NotSaved."""
        name = re.sub(r"[^A-Za-z0-9._-]", "-", short_name(port)).lstrip(".") or "port"
        with self._lock:
            names = (name, *(f"{name}-{number}" for number in range(2, 1000)))
            free = next(one for one in names if self._ports.setdefault(one, port) == port)
        return Log(self._path / f"{free}.log")


def short_name(port: str) -> str:
    """The port's name without its folder or its scheme: "ttyUSB0", "127.0.0.1:4000"."""
    scheme, separator, rest = port.partition("://")
    if separator:
        return rest.partition("?")[0].strip("/") or scheme
    return port.rstrip("/").rpartition("/")[2] or port


class SavedPort:
    """An open port that `log` hears too; all but `read` is the port's own."""

    def __init__(self, port: OpenPort, log: Log) -> None:
        self.inner = port
        self._log = log

    @property
    def timeout(self) -> float | None:
        """The port's limit for a read, in seconds."""
        return self.inner.timeout

    @timeout.setter
    def timeout(self, seconds: float | None) -> None:
        self.inner.timeout = seconds

    def read(self, size: int = 1, /) -> bytes | None:
        """What the port gives, saved first. Raises what the port raises, and NotSaved."""
        data = self.inner.read(size)
        if data:
            self._log.append(data)
        return data

    def close(self) -> None:
        """Close the port; the log stays open for when it is back."""
        self.inner.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def open_saved(port: str, baud: int, log: Log | None) -> OpenPort:
    """Open a port that a log hears too, where there is one. Raises Error."""
    from firmshake import serialport

    opened = cast("OpenPort", serialport.open_port(port, baud))
    return SavedPort(opened, log) if log else opened


def reset(opened: OpenPort) -> None:
    """Restart the board behind such a port. Raises Error."""
    from firmshake import serialport

    bare = opened.inner if isinstance(opened, SavedPort) else opened
    serialport.reset(cast("SerialBase", bare))


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, PRIVATE)
