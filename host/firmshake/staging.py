"""A folder that appears complete or not at all: its content is made aside and moved into place."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from firmshake.errors import Error
from firmshake.newfile import sync_folder


@contextlib.contextmanager
def staged(target: Path) -> Iterator[Path]:
    """Give a new, empty folder whose content is in `target` once the block has ended well.

    `target` may exist, and may hold other things, but nothing of a name that the block makes.
    Raises Error, with everything as it was before, where the disk won't have it; and whatever the
    block raises, likewise.
    """
    exists = os.path.isdir(target)  # answers, where Path.is_dir raises
    stage = (target if exists else target.parent) / f".firmshake-{secrets.token_hex(4)}"
    try:
        stage.mkdir(0o755)  # whatever the umask lets through
        yield stage
        _sync(stage)
        if exists:
            _move_entries(stage, target)
        else:
            # one step; it is refused where somebody made and filled the folder meanwhile
            stage.rename(target)
        sync_folder(target.parent)
    except OSError as error:
        raise Error(f"can't make {target}: {error.strerror}", hint=_hint(error)) from None
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _move_entries(stage: Path, target: Path) -> None:
    """Move what is in `stage` to `target`, or on any failure nothing.

    Not one step: a folder that exists may be where the user's shell stands, or a mount point, so it
    can't be replaced. Folders go first: a folder never replaces one that is filled, so of two runs
    at once the second fails before it has touched a file.
    """
    moved: list[Path] = []
    try:
        for entry in sorted(stage.iterdir(), key=lambda path: (not path.is_dir(), path.name)):
            place = target / entry.name
            if place.exists() or place.is_symlink():
                raise FileExistsError(errno.EEXIST, f"{entry.name} is there already")
            moved.append(entry)
            entry.rename(place)
        sync_folder(target)
    except BaseException:
        for entry in moved:
            with contextlib.suppress(OSError):
                (target / entry.name).rename(entry)
        raise


def _sync(folder: Path) -> None:
    for path, _, _ in os.walk(folder):
        sync_folder(Path(path))


def _hint(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return "choose a folder that this user may write"
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return "make the folder above it first"
    return "nothing was changed; mend that and run the command again"
