"""The board's clock: libfaketime shifts the child's, and the board moves it by rewriting a file.

The file has no name (Linux) or none for long; both sides have it open. Where there is no
libfaketime, or no other time is wanted, the board simply has the computer's clock.
"""

from __future__ import annotations

import os
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

# Where an ESP32's clock stands when it gets power
ESP32_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)

PRELOAD = "DYLD_INSERT_LIBRARIES" if os.uname().sysname == "Darwin" else "LD_PRELOAD"


class Clock:
    """A clock that shows `start` whenever the board gets power; None for the computer's own."""

    def __init__(self, start: datetime | None, library: Path | None) -> None:
        self._start = start
        self._library = library
        self._file = _nameless() if start is not None and library is not None else None

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def start(self) -> None:
        """Set it back to its start."""
        if self._file is not None:
            assert self._start is not None
            offset = int(self._start.timestamp()) - int(time.time())
            os.pwrite(self._file, f"{offset:+021d}\n".encode(), 0)

    def offset(self) -> int:
        """Seconds that the board's clock is ahead of the computer's."""
        return int(os.pread(self._file, 64, 0)) if self._file is not None else 0

    def descriptors(self) -> list[int]:
        """What the child inherits."""
        return [] if self._file is None else [self._file]

    def environment(self) -> dict[str, str]:
        """What makes the child's clock this one."""
        if self._file is None:
            return {}
        return {
            PRELOAD: str(self._library),
            "FAKETIME_TIMESTAMP_FILE": f"/dev/fd/{self._file}",
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            # else a child that is killed leaves a semaphore behind, for ever
            "FAKETIME_DISABLE_SHM": "1",
        }

    def settings(self) -> dict[str, Any]:
        """What the board's program has to know."""
        return {"clock": self._file, "offset": self.offset()}


def _nameless() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("firmshake-clock")
    descriptor, name = tempfile.mkstemp(prefix="firmshake-")
    os.unlink(name)
    return descriptor
