"""A serial port whose bytes are also appended to a log as they come, for `firmshake explain`."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firmshake.errors import Error
from firmshake.newfile import PRIVATE

if TYPE_CHECKING:
    from firmshake.console import OpenPort

_HINT = "name another file with --log, or make room and check the folder's permissions"


class NotSaved(Error):
    """The log cannot be written: the port is not at fault."""

    def __init__(self, path: Path, error: OSError) -> None:
        reason = (error.strerror or str(error)).lower()
        super().__init__(f"cannot write the log {path}: {reason}", hint=_HINT)


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


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, PRIVATE)
