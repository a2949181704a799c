"""A new file: made exclusively, on the disk when the call returns, gone again when it fails."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

# what holds a key or a password: for its owner only
PRIVATE = 0o600


def create(path: Path, content: bytes, mode: int = PRIVATE) -> None:
    """Write `content` to the new file `path`. Raises OSError, with nothing left of the file.

    A file or link that is there already is an error (O_EXCL): nobody can prepare one that they
    can read. The mode stands from the first moment.
    """
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with open(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
    except BaseException:
        with contextlib.suppress(OSError):
            path.unlink()
        raise


def replace(path: Path, content: bytes, mode: int = PRIVATE) -> None:
    """Put a new file in the place of `path`, in one step. Raises OSError, with the old one left."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    create(beside, content, mode)
    try:
        beside.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise
