"""CircuitPython's `storage`: who may write the filesystem, the computer or Python.

With a drive it is the computer, unless boot.py decides otherwise. Not imitated: that the drive then
goes away, or is read-only for the computer.
"""

from __future__ import annotations

import json

from . import board, files

is_booting = False


class VfsFat:
    """The one filesystem."""

    @property
    def readonly(self) -> bool:
        """Whether Python may not write."""
        return not files.is_writable

    label = "CIRCUITPY"


def getmount(path: str) -> VfsFat:
    """The filesystem at a path. Raises OSError where there is none."""
    if path != "/":
        raise OSError(22, "Invalid argument")
    return VfsFat()


def remount(
    path: str, readonly: bool = False, *, disable_concurrent_write_protection: bool = False
) -> None:
    """Raises RuntimeError where the computer has the drive."""
    if board.settings["has_drive"] and not is_booting and not files.is_writable:
        raise RuntimeError("Cannot remount path when visible via USB.")
    files.is_writable = not readonly


def disable_usb_drive() -> None:
    """For boot.py only. Raises RuntimeError elsewhere."""
    _in_boot()
    files.is_writable = True


def enable_usb_drive() -> None:
    """For boot.py only. Raises RuntimeError elsewhere."""
    _in_boot()
    files.is_writable = not board.settings["has_drive"]


def remember() -> None:
    """Keep what boot.py decided until the next reset."""
    with files.real_open(board.settings["state"], "w") as file:
        json.dump(files.is_writable, file)


def recall() -> None:
    """What boot.py decided."""
    with files.real_open(board.settings["state"]) as file:
        files.is_writable = json.load(file)


def _in_boot() -> None:
    if not is_booting:
        raise RuntimeError("Cannot change USB devices now")
