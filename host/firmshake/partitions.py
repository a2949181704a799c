"""An ESP32's partition table, and where MicroPython puts its filesystem by it.

Does no I/O. The format is ESP-IDF's: rows of 32 bytes from flash offset 0x8000, after them a row
with the MD5 of all before, then erased flash.
"""

from __future__ import annotations

import hashlib
import itertools
import struct
from collections.abc import Sequence
from typing import NamedTuple

from firmshake.errors import Error

TABLE_OFFSET = 0x8000
# The largest table; a sector less the room for its signature
TABLE_SIZE = 0xC00

APP = 0x00
DATA = 0x01
FAT = 0x81  # subtype of DATA

SECTOR = 4096

_ROW = struct.Struct("<2sBBII16sI")
_ROW_MAGIC = b"\xaa\x50"
_MD5_MAGIC = b"\xeb\xeb" + b"\xff" * 14
_END = b"\xff" * _ROW.size


class Partition(NamedTuple):
    """One row: `kind` is APP, DATA or a number of the user's own; offset and size in bytes."""

    label: str
    kind: int
    subtype: int
    offset: int
    size: int

    @property
    def end(self) -> int:
        return self.offset + self.size


Table = tuple[Partition, ...]


class Region(NamedTuple):
    """A part of flash, in bytes."""

    offset: int
    size: int

    @property
    def block_count(self) -> int:
        return self.size // SECTOR


def parse(data: bytes) -> Table:
    """The partitions of the table that starts `data`, in the table's order; never empty.

    Raises Error where there is no table, it is cut off or damaged, or partitions overlap.
    """
    rows: list[Partition] = []
    for start in range(0, min(len(data), TABLE_SIZE), _ROW.size):
        row = data[start : start + _ROW.size]
        if len(row) < _ROW.size:
            break
        if row == _END:
            return _checked(rows)
        if row.startswith(_MD5_MAGIC):
            if row[16:] != hashlib.md5(data[:start], usedforsecurity=False).digest():
                raise Error("the partition table is damaged: its checksum is wrong")
        elif row.startswith(_ROW_MAGIC):
            rows.append(_partition(row))
        else:
            raise Error("there is no partition table" if not rows else _DAMAGED)
    raise Error("the partition table is cut off")


def filesystem_region(table: Sequence[Partition], flash_size: int) -> Region:
    """Where MicroPython mounts its filesystem on a board with `flash_size` bytes of flash.

    Up to 1.25 the table lists it as `vfs`. From 1.26 it does not, and the firmware takes what lies
    between the end of the last partition and the end of the physical flash (boardctrl_startup in
    ports/esp32/main.c). Raises Error where there is none, or it lies beyond the flash.
    """
    for partition in table:
        if partition.label == "vfs" and partition.kind == DATA:
            return _within(partition, flash_size)
    if any(partition.label == "ffat" for partition in table):
        raise Error(
            "the firmware keeps a FAT filesystem, not MicroPython's LittleFS",
            hint="write MicroPython in the same run: --firmware FILE",
        )
    end = max((partition.end for partition in table), default=0)
    if end % SECTOR:
        raise Error(f"{_DAMAGED}: its last partition does not end with a sector")
    if not table or end + SECTOR > flash_size:
        raise _beyond(end, flash_size)
    return Region(end, (flash_size - end) // SECTOR * SECTOR)


def fat_region(table: Sequence[Partition], flash_size: int) -> Region:
    """Where CircuitPython mounts its filesystem on a board with `flash_size` bytes of flash.

    It is the table's partition of data and subtype FAT (ports/espressif/esp-idf-config, named
    `user_fs` or `ffat`). Raises Error where there is none, or it lies beyond the flash.
    """
    for partition in table:
        if partition.kind == DATA and partition.subtype == FAT and partition.label in _FAT_LABELS:
            return _within(partition, flash_size)
    raise Error(
        "the firmware keeps no FAT filesystem, which CircuitPython has",
        hint="write CircuitPython in the same run: --firmware FILE",
    )


_FAT_LABELS = ("user_fs", "ffat")
_DAMAGED = "the partition table is damaged"


def _partition(row: bytes) -> Partition:
    _, kind, subtype, offset, size, label, _ = _ROW.unpack(row)
    name = label.partition(b"\0")[0].decode("utf-8", "replace")
    return Partition(name, kind, subtype, offset, size)


def _checked(rows: list[Partition]) -> Table:
    if not rows:
        raise Error("there is no partition table")
    by_offset = sorted(rows, key=lambda row: row.offset)
    for before, after in itertools.pairwise(by_offset):
        if before.end > after.offset:
            raise Error(f"{_DAMAGED}: {before.label} overlaps {after.label}")
    if by_offset[0].offset <= TABLE_OFFSET:
        raise Error(f"{_DAMAGED}: {by_offset[0].label} overlaps the table")
    return tuple(rows)


def _within(partition: Partition, flash_size: int) -> Region:
    if partition.end > flash_size:
        raise _beyond(partition.end, flash_size)
    if partition.offset % SECTOR or partition.size < SECTOR:
        raise Error(f"{_DAMAGED}: {partition.label} does not lie on sectors")
    return Region(partition.offset, partition.size // SECTOR * SECTOR)


def _beyond(end: int, flash_size: int) -> Error:
    return Error(
        f"the board's flash is too small: the firmware needs more than {_kib(end)} KiB,"
        f" the board has {_kib(flash_size)} KiB",
        hint="use the firmware that is made for this size of flash",
    )


def _kib(size: int) -> int:
    return size // 1024
