"""A CircuitPython board's FAT volume, and the parts of it that must travel to the board.

Does no I/O: FatFs, the code that the board runs itself, makes the volume in memory (fatfs-ng). It
comes out as CircuitPython formats its own drive, so that a board takes it for one that it made.

Only what was written travels: the boot sector, the FAT, the root directory and the clusters in
use. FatFs clears a cluster before it makes a folder of it, and reads no further into a file than
its size, so what a free cluster held before can't show through.
"""

from __future__ import annotations

import re
import secrets
import struct
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from firmshake.errors import Error
from firmshake.image import BLOCK_SIZE, ERASED, Image
from firmshake.inspect import fat

if TYPE_CHECKING:
    from fatfs.wrapper import Partition

SECTOR = 512
LABEL = "CIRCUITPY"

# What CircuitPython puts on a drive that it formats, so that computers leave no index and no trash
# on it, and `/sd` can be mounted on (supervisor/shared/filesystem.c)
KEPT_CLEAN: Mapping[str, bytes] = {
    "/.fseventsd/no_log": b"",
    "/.metadata_never_index": b"",
    "/.Trashes": b"",
    "/.Trash-1000": b"",
    "/sd/placeholder.txt": b"SD cards mounted at /sd will hide this file from Python.\n",
}

# f_mkfs of oofatfs, with the 1 that its block device says for its erase unit
_TABLES, _ALIGNMENT, _ROOT_ENTRIES = 1, 1, 512
# the drive that CircuitPython shows has a made-up partition table in front (supervisor/shared/
# flash.c): the volume is one sector further in
_HIDDEN_SECTORS_AT, _HIDDEN_SECTORS = 28, 1
_SERIAL_AT = 39

_ENTRY = 32
_LABEL, _FOLDER, _LONG = 0x08, 0x10, 0x0F
_LONG_NAME_CHARACTERS = 13
_LONGEST_NAME = 255
# Microsoft's "FAT: General Overview of On-Disk Format": not in a long name. Beyond ASCII, boards
# and computers agree only where both were built for the same characters.
_FORBIDDEN = re.compile(r'[^ -~]|["*:<>?|\\]|^ |^\.{1,2}$|[. ]$')

_WRITE, _CREATE_NEW = 0x02, 0x04
_OK, _DENIED = 0, 7  # FRESULT (ff.h); no room is "denied"

# FatFs's drives are few and belong to the process; to make a volume takes milliseconds
_ONE_AT_A_TIME = threading.Lock()


def build(
    files: Mapping[str, bytes],
    size: int,
    *,
    label: str = LABEL,
    serial: int | None = None,
    modified: datetime | None = None,
) -> Image:
    """Make a volume of `size` bytes that holds `files` (absolute path: contents).

    `serial` is the volume's number, which tells computers two volumes of one label apart (random
    by default); `modified` is the time that all files show (now by default). Raises Error where
    the files do not fit, or a name is not one that a volume can hold.
    """
    assert size % BLOCK_SIZE == 0
    folders = _folders(files)
    disk = _Disk(size)
    with _ONE_AT_A_TIME, _Filesystem(disk, label) as filesystem:
        try:
            for folder in folders:
                filesystem.make_folder(folder)
            for path, data in sorted(files.items()):
                filesystem.write(path, data)
        except _NoRoomError:
            raise _too_small(files, folders, filesystem.volume) from None
    disk.put(_SERIAL_AT, struct.pack("<I", secrets.randbits(32) if serial is None else serial))
    _stamp(disk, filesystem.volume, modified or datetime.now(UTC).astimezone())
    _check(disk, filesystem.volume, files)
    return Image(size // BLOCK_SIZE, {block: disk.block(block) for block in sorted(disk.touched)})


class _Disk:
    """FatFs's block device: memory that remembers which of the flash's blocks were written.

    Offers the methods that fatfs-ng calls on a disk.
    """

    def __init__(self, size: int) -> None:
        self.data = bytearray([ERASED]) * size
        self.touched: set[int] = set()

    def put(self, at: int, data: bytes) -> None:
        self.data[at : at + len(data)] = data
        self.touched.update(range(at // BLOCK_SIZE, (at + len(data) - 1) // BLOCK_SIZE + 1))

    def block(self, number: int) -> bytes:
        return bytes(self.data[number * BLOCK_SIZE : (number + 1) * BLOCK_SIZE])

    def read(self, sector: int, size: int) -> bytes:
        return bytes(self.data[sector * SECTOR : sector * SECTOR + size])

    def write(self, sector: int, size: int, data: bytes) -> None:
        assert len(data) == size
        assert sector * SECTOR + size <= len(self.data)
        self.put(sector * SECTOR, data)

    def ioctl_get_sector_count(self) -> int:
        return len(self.data) // SECTOR

    def ioctl_get_sector_size(self) -> int:
        return SECTOR

    def ioctl_get_block_size(self) -> int:
        return _ALIGNMENT

    def ioctl_sync(self) -> None:
        pass


class _NoRoomError(Exception):
    pass


class _Filesystem:
    """A new volume, mounted by FatFs while the context lasts."""

    def __init__(self, disk: _Disk, label: str) -> None:
        from fatfs import wrapper

        self._library = wrapper
        self._drive: Partition = wrapper.Partition(disk)
        made = wrapper.pyf_mkfs(
            self._drive.pname, n_fat=_TABLES, align=_ALIGNMENT, n_root=_ROOT_ENTRIES
        )
        if made != _OK:
            self._drive.unmount()
            raise Error(f"no FAT volume can be made in {len(disk.data) // 1024} KiB")
        self.volume = next(fat.volumes(bytes(disk.data)))
        disk.put(_HIDDEN_SECTORS_AT, struct.pack("<I", _HIDDEN_SECTORS))
        # f_setlabel is no part of fatfs-ng: an entry of the root directory, which FatFs steps over
        disk.put(self.volume.root, label.encode("ascii").ljust(11) + bytes([_LABEL]))

    def __enter__(self) -> _Filesystem:
        self._drive.mount()
        return self

    def __exit__(self, *error: object) -> None:
        self._drive.unmount()

    def make_folder(self, path: str) -> None:
        self._done(self._library.pyf_mkdir(self._at(path)), path)

    def write(self, path: str, data: bytes) -> None:
        file = self._library.FIL_Handle()
        self._done(self._library.pyf_open(file, self._at(path), _WRITE | _CREATE_NEW), path)
        try:
            _, written = self._library.pyf_write(file, data)
        except self._library.FatFSException:
            # its text has the file's bytes, which may be a key
            raise _failed(path) from None
        self._done(self._library.pyf_close(file), path)
        if written < len(data):
            raise _NoRoomError

    def _at(self, path: str) -> bytes:
        where: bytes = self._drive.pname
        return where + path.encode("ascii")

    def _done(self, result: int, path: str) -> None:
        if result == _DENIED:
            raise _NoRoomError
        if result != _OK:
            raise _failed(path)


def _folders(files: Mapping[str, bytes]) -> list[str]:
    """The folders that the files lie in, parents first. Raises Error on a name that won't do."""
    names: dict[str, str] = {}
    folders: set[str] = set()
    for path in files:
        front, *parts = path.split("/")
        if front or not all(map(_is_name, parts)):
            raise Error(
                f"{path!r} cannot be the name of a file on a FAT volume",
                hint="use letters, digits, '-' and '_', 255 at most",
            )
        for depth in range(1, len(parts) + 1):
            above = "/" + "/".join(parts[:depth])
            known = names.setdefault(above.lower(), above)
            if known != above:
                raise Error(f"{known!r} and {above!r} are the same name on a FAT volume")
            if depth < len(parts):
                folders.add(above)
    for folder in folders & files.keys():
        raise Error(f"{folder!r} would be a file and a folder")
    return sorted(folders)


def _is_name(name: str) -> bool:
    return 0 < len(name) <= _LONGEST_NAME and not _FORBIDDEN.search(name)


def _stamp(disk: _Disk, volume: fat.Volume, when: datetime) -> None:
    """Give all entries one time: fatfs-ng takes the clock's, and without its hours."""
    day = max(when.year - 1980, 0) << 9 | when.month << 5 | when.day
    time = when.hour << 11 | when.minute << 5 | when.second // 2
    for at in _entries(bytes(disk.data), volume):
        disk.put(at + 14, struct.pack("<HHH", time, day, day))
        disk.put(at + 22, struct.pack("<HH", time, day))


def _entries(data: bytes, volume: fat.Volume) -> Iterator[int]:
    """Where each entry of every directory lies, but for those that hold long names."""
    left = [[*range(volume.root, volume.data, _ENTRY)]]
    while left:
        for at in left.pop():
            if not data[at]:
                break
            kind, first = data[at + 11], int.from_bytes(data[at + 26 : at + 28], "little")
            if kind & 0x3F == _LONG:
                continue
            yield at
            if kind & _FOLDER and data[at : at + 1] != b".":
                spans = fat.clusters(data, volume, first)
                left.append([n for one in spans for n in range(one, one + volume.cluster, _ENTRY)])


def _check(disk: _Disk, volume: fat.Volume, files: Mapping[str, bytes]) -> None:
    """Read everything back, with our own reader."""
    data = bytes(disk.data)
    found = {
        entry.path: fat.content(data, volume, entry)
        for entry in fat.files(data, volume, len(data), len(data))
    }
    assert found == dict(files)


def _too_small(files: Mapping[str, bytes], folders: list[str], volume: fat.Volume) -> Error:
    size = volume.clusters * volume.cluster
    needs = _needs(files, folders, volume)
    if needs <= size:
        return Error("the files do not fit in the root directory of the FAT volume")
    return Error(
        f"the {len(files):,} files need {-(-needs // 1024):,} KiB in clusters of {volume.cluster}"
        f" bytes, and the FAT volume has {size // 1024:,} KiB",
        hint="leave files out, or use a board with more flash",
    )


def _needs(files: Mapping[str, bytes], folders: list[str], volume: fat.Volume) -> int:
    """Bytes of the clusters for all files and folders."""
    rows = dict.fromkeys(folders, 2)  # "." and ".."
    for path in [*folders, *files]:
        folder, _, name = path.rpartition("/")
        if folder:
            rows[folder] += 1 + -(-len(name) // _LONG_NAME_CHARACTERS)
    sizes = [*map(len, files.values()), *(count * _ENTRY for count in rows.values())]
    return sum(-(-size // volume.cluster) for size in sizes) * volume.cluster


def _failed(path: str) -> Error:
    return Error(f"{path!r} cannot be written to a FAT volume")
