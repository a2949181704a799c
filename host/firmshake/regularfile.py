"""Opens files that somebody else may have put there: regular ones, and nothing that makes us wait.

A FIFO without a writer, a terminal or a device under the name of a key would stop a command for
good.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

# the second look, at what was opened, is at the very file; O_NONBLOCK is for what took its place
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def opened(path: Path) -> BinaryIO:
    """Return the regular file `path`, or the one that it leads to, open for reading.

    Raises OSError, also where there is something else.
    """
    _check(os.stat(path).st_mode, path)
    handle = os.open(path, _FLAGS)
    try:
        _check(os.fstat(handle).st_mode, path)
        return open(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def read(path: Path, most: int) -> bytes | None:
    """Return the file's content, None where it has more than `most` bytes. Raises as `opened`."""
    with opened(path) as stream:
        content = stream.read(most + 1)
    return content if len(content) <= most else None


def _check(mode: int, path: Path) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "Not a regular file", str(path))
