"""A new file: made exclusively, on the disk when the call returns, gone again when it fails."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from firmshake import interrupts

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


@contextlib.contextmanager
def replacing(path: Path, mode: int = PRIVATE) -> Iterator[BinaryIO]:
    """Give a stream whose content takes the place of `path`, in one step, when the context ends.

    For what is too long to be held in memory. Where the context or a write fails, the old file is
    left; raises OSError.
    """
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with open(handle, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise


def replace_all(files: Sequence[tuple[Path, bytes, int]]) -> None:
    """Put new files (path, content, mode) in the places of some that belong together.

    All are on the disk before the first takes its place, and no signal comes in between. Raises
    OSError, with all the old ones left.
    """
    with contextlib.ExitStack() as aside:
        new = [_beside(path, content, mode, aside) for path, content, mode in files]
        places = [path for path, _, _ in files]
        old = [_copy(path, aside) if os.path.lexists(path) else None for path in places]
        with interrupts.held():
            _swap(list(zip(places, new, old, strict=True)))


def _swap(changes: Sequence[tuple[Path, Path, Path | None]]) -> None:
    """Move each new file to its place, or on any failure none: (place, new, copy of the old)."""
    done: list[tuple[Path, Path | None]] = []
    try:
        for place, new, old in changes:
            new.replace(place)
            done.append((place, old))
    except BaseException:
        for place, old in done:
            with contextlib.suppress(OSError):
                _put_back(place, old)
        raise


def _put_back(place: Path, old: Path | None) -> None:
    if old is None:
        place.unlink()
    else:
        old.replace(place)


def _copy(path: Path, aside: contextlib.ExitStack) -> Path:
    return _beside(path, path.read_bytes(), path.stat().st_mode & 0o777, aside)


def _beside(path: Path, content: bytes, mode: int, aside: contextlib.ExitStack) -> Path:
    """A file in the same folder, gone at the end of `aside` if it is still there then."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    aside.callback(beside.unlink, missing_ok=True)
    create(beside, content, mode)
    return beside
