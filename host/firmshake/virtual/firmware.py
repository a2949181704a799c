"""A stand-in for MicroPython's firmware file: its form, and none of its program.

Does no I/O. Header, segment, checksum and digest of both images, the partition table with its MD5
row and the application's descriptor are as ESP-IDF defines them (esp_app_format.h,
esp_flash_partitions.h), so that tools and the board read it as the real file. A segment that would
hold code holds a sentence that says so.
"""

from __future__ import annotations

import hashlib
import struct
from typing import NamedTuple

from firmshake import partitions
from firmshake.firmware import CHIPS
from firmshake.partitions import APP, DATA, Partition

BOOT_OFFSET = 0x1000
APP_OFFSET = 0x10000

_HEADER = struct.Struct("<BBBBIB3sHBHH4sB")
_SEGMENT = struct.Struct("<II")
_APP = struct.Struct("<I4x8x32s32s16s16s32s32s80x")
_ROW = struct.Struct("<2sBBII16sI")

_IMAGE_MAGIC = 0xE9
_APP_MAGIC = 0xABCD5432
_CHECKSUM_SEED = 0xEF
_DIO = 2
_SIZE_4MB_40MHZ = 0x20
_ANY_REVISION = 0xFFFF
_NO_WP_PIN = 0xEE
_NVS, _PHY, _FACTORY, _FAT = 0x02, 0x01, 0x00, 0x81

_REMARK = b"This is firmshake's stand-in for MicroPython's firmware. It holds no program.\0"
# As large as what a real application needs would be slow to flash, and show nothing more
_FILLER = 4096


class _Part(NamedTuple):
    address: int
    data: bytes


def standin_firmware(
    version: str = "v1.26.1",
    vfs_partition: bool = False,
    chip_id: int = 0,
    project: str = "",
    app_size: int = 0x1F0000,
    chip: str = "",
    circuitpython: str = "",
) -> bytes:
    """A combined image: bootloader, partition table, application, as they lie in flash.

    It goes to 0x1000 of an ESP32's flash, or to where another chip boots (S3, C3 and C6: 0x0):
    that of `chip` (as esptool prints it, "ESP32-S3"), or else of `chip_id`, its number in images.

    As MicroPython's own, it leaves name and version out of the application's descriptor, and shows
    its version in the banner of its prompt; another `project` names itself there, and is none.
    `vfs_partition` lists the filesystem at 0x200000, as MicroPython did up to 1.25; `app_size` is
    that of the application's partition. With `circuitpython`, a version such as "9.2.1", it stands
    for that, with its FAT filesystem behind the application in 4 MB of flash.
    """
    if circuitpython:
        version, project, app_size = circuitpython, "circuitpython", 0x2C0000
    if chip:
        chip_id = next(row.image_id for row in CHIPS if row.name == chip)
    boot = _image(chip_id, 0x3FFF0030, _Part(0x3FFF0030, _REMARK))
    descriptor = _descriptor(version if project else "", project)
    banner = b"" if project else b"MicroPython %s on 2025-01-01\0" % version.encode()
    if circuitpython:
        named = (circuitpython, chip or "ESP32")
        text = "Adafruit CircuitPython {} on 2024-11-20; Stand-in with {}\0".format(*named)
        banner = text.encode()
    content = descriptor + banner + _REMARK * (_FILLER // 80)
    app = _image(chip_id, 0x40081000, _Part(0x3F400020, content))
    rows = _partitions(vfs_partition, app_size)
    if circuitpython:
        rows.append(Partition("user_fs", DATA, _FAT, APP_OFFSET + app_size, 0x130000))
    table = _table(rows)
    start = next(row.boot_offset for row in CHIPS if row.image_id == chip_id)
    firmware = boot.ljust(partitions.TABLE_OFFSET - start, b"\xff") + table
    return firmware.ljust(APP_OFFSET - start, b"\xff") + app


def _partitions(vfs_partition: bool, app_size: int) -> list[Partition]:
    rows = [
        Partition("nvs", DATA, _NVS, 0x9000, 0x6000),
        Partition("phy_init", DATA, _PHY, 0xF000, 0x1000),
        Partition("factory", APP, _FACTORY, APP_OFFSET, app_size),
    ]
    if vfs_partition:
        rows.append(Partition("vfs", DATA, _FAT, 0x200000, 0x200000))
    return rows


def _table(rows: list[Partition]) -> bytes:
    data = b"".join(
        _ROW.pack(b"\xaa\x50", row.kind, row.subtype, row.offset, row.size, row.label.encode(), 0)
        for row in rows
    )
    digest = hashlib.md5(data, usedforsecurity=False).digest()
    return (data + b"\xeb\xeb" + b"\xff" * 14 + digest).ljust(partitions.TABLE_SIZE, b"\xff")


def _descriptor(version: str, project: str) -> bytes:
    texts = [version, project, "00:00:00", "Jan  1 2000", "v5.4.2"]
    sizes = [32, 32, 16, 16, 32]
    for text, size in zip(texts, sizes, strict=True):
        assert len(text.encode()) < size, text
    return _APP.pack(_APP_MAGIC, *(text.encode() for text in texts), b"\0" * 32)


def _image(chip_id: int, entry: int, part: _Part) -> bytes:
    data = part.data.ljust(-(-len(part.data) // 4) * 4, b"\0")
    # no write-protect pin, no drive strengths, any revision, nothing reserved, digest appended
    settings = (_NO_WP_PIN, b"\0" * 3, chip_id, 0, 0, _ANY_REVISION, b"\0" * 4, 1)
    header = _HEADER.pack(_IMAGE_MAGIC, 1, _DIO, _SIZE_4MB_40MHZ, entry, *settings)
    image = header + _SEGMENT.pack(part.address, len(data)) + data
    checksum = _CHECKSUM_SEED
    for byte in data:
        checksum ^= byte
    # the checksum is the last byte of the next full 16
    image = image.ljust(len(image) + 15 - len(image) % 16, b"\0") + bytes([checksum])
    return image + hashlib.sha256(image).digest()
