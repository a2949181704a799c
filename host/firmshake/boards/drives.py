"""The drives of this computer that may be a board's, mounted or not, as values.

On Linux by /proc/self/mounts and /sys; on macOS by what is below /Volumes, where nothing tells
which USB device a drive is, so that a board's own files have to.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from firmshake.boards.drivefiles import BOOT_OUT, INFO_UF2
from firmshake.boards.seen import Drive, Usb

# boards show nothing else (MSC with FAT12 or FAT16)
_FAT = ("vfat", "msdos", "fuseblk")
# either file has a few lines; more is none of a board's
_LARGEST = 4096


def attached(root: Path = Path("/")) -> list[Drive]:
    """Return the drives that may be a board's. `root` is where the system's own folders are."""
    if sys.platform == "darwin":
        return [at(path) for path in _children(root / "Volumes")]
    return list(_linux(root))


def at(
    folder: Path, device: str = "", usb: Usb | None = None, label: str = "", virtual: str = ""
) -> Drive:
    """Return the drive that is mounted at `folder`, or is stood for by it."""
    return Drive(
        path=str(folder),
        device=device,
        label=label or folder.name,
        usb=usb,
        info_uf2=_text(folder / INFO_UF2),
        boot_out=_text(folder / BOOT_OUT),
        writable=_is_writable(folder),
        virtual=virtual,
    )


def _linux(root: Path) -> Iterator[Drive]:
    mounted = set()
    for device, folder in _mounts(root):
        usb = _usb_of(root, device)
        mounted.add(os.path.basename(os.path.realpath(device)))
        yield at(folder, device, usb, folder.name)
    # a Pico in BOOTSEL on a computer without a desktop is not mounted by anybody
    for path in _children(root / "sys/class/block"):
        name = path.name
        whole = not (path / "partition").exists()
        parted = whole and any(child.name.startswith(name) for child in _children(path))
        if name not in mounted and not parted and (usb := _usb_of(root, name)) is not None:
            yield Drive(path="", device=f"/dev/{name}", usb=usb)


def _mounts(root: Path) -> Iterator[tuple[str, Path]]:
    """Device and folder of each FAT that is mounted (proc(5): blanks are octal there)."""
    for line in _text(root / "proc/self/mounts", 1 << 20).splitlines():
        words = [
            re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), word)
            for word in line.split(" ")
        ]
        if len(words) > 2 and words[2] in _FAT:
            yield words[0], Path(words[1])


def _usb_of(root: Path, device: str) -> Usb | None:
    """The USB device that a block device belongs to; None where it is none of USB's."""
    path = root / "sys/class/block" / os.path.basename(os.path.realpath(device))
    with contextlib.suppress(OSError, ValueError):
        for folder in (path.resolve(strict=True), *path.resolve(strict=True).parents):
            if (folder / "idVendor").exists():
                return Usb(
                    vid=int(_text(folder / "idVendor"), 16),
                    pid=int(_text(folder / "idProduct"), 16),
                    serial_number=_text(folder / "serial").strip(),
                    location=folder.name,
                )
    return None


def _children(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _text(path: Path, most: int = _LARGEST) -> str:
    try:
        with path.open("rb") as stream:
            return stream.read(most).decode("utf-8", "replace")
    except OSError:
        return ""


def _is_writable(folder: Path) -> bool:
    """Whether the filesystem is not read-only: what else is forbidden, root may do."""
    try:
        return not os.statvfs(folder).f_flag & os.ST_RDONLY
    except OSError:
        return False
