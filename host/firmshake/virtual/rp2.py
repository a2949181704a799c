"""Picos with a radio: what their boot ROM takes and shows, and where MicroPython has its files.

Does no I/O but reading the flash. Sources: the datasheets of RP2040 (2.7, 2.8) and RP2350 (5.5),
and MicroPython's ports/rp2 (board definitions, memory maps).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from firmshake import firmware, partitions
from firmshake.virtual.nor import SECTOR, Flash

# Where the flash lies in the chips' address space
FLASH_BASE = 0x10000000

RP2040 = 0xE48BFF56
ABSOLUTE = 0xE48BFF57
DATA = 0xE48BFF58
RP2350_ARM_S = 0xE48BFF59
RP2350_RISCV = 0xE48BFF5A

# The second stage at the flash's start is 252 bytes and their sum, which the ROM checks
_STAGE_2 = 252
_CRC = struct.Struct("<I")
_CRC_POLYNOMIAL = 0x04C11DB7
# The RP2350 looks for a block of metadata in the first 4 KiB, which starts and ends with these
_META_START = struct.pack("<I", 0xFFFFDED3)
_META_END = struct.pack("<I", 0xAB123579)
_META_WITHIN = 4096
# An image definition: executable, Arm, secure, RP2350; then the item that ends the list, and a link
# to itself
_IMAGE_DEF = struct.pack("<IIi", 0x10210142, 0x000001FF, 0)

_REMARK = b"This is firmshake's stand-in for MicroPython's firmware. It holds no program.\0"


class Pico(NamedTuple):
    """A board by firmshake's name for it; sizes and offsets in bytes of flash.

    `volume` is the drive's name, `info` what stands in its INFO_UF2.TXT; `families` of UF2 are what
    its ROM writes.
    """

    name: str
    chip: str
    machine: str
    volume: str
    info: str
    families: tuple[int, ...]
    flash_size: int
    region: partitions.Region
    heap: str


def _info(version: str, model: str, board: str) -> str:
    return f"UF2 Bootloader {version}\r\nModel: {model}\r\nBoard-ID: {board}\r\n"


# The heap is twice a board's, for objects that are twice as large on a 64-bit MicroPython
PICOS = (
    Pico(
        "pico-w",
        "RP2040",
        "Raspberry Pi Pico W with RP2040",
        "RPI-RP2",
        _info("v3.0", "Raspberry Pi RP2", "RPI-RP2"),
        (RP2040,),
        2 << 20,
        partitions.Region(0x12C000, 212 * SECTOR),
        "384k",
    ),
    Pico(
        "pico-2-w",
        "RP2350",
        "Raspberry Pi Pico 2 W with RP2350",
        "RP2350",
        _info("v1.0", "Raspberry Pi RP2350", "RP2350"),
        (RP2350_ARM_S, RP2350_RISCV, DATA, ABSOLUTE),
        4 << 20,
        partitions.Region(0x180000, 640 * SECTOR),
        "900k",
    ),
)


def pico(name: str) -> Pico:
    """The board of this name. Raises LookupError."""
    for found in PICOS:
        if found.name == name:
            return found
    raise LookupError(name)


def starts(board: Pico, flash: Flash) -> bool:
    """Whether the ROM finds a program in the flash; else it shows the drive."""
    if board.chip == "RP2040":
        head = flash.read(0, _STAGE_2 + _CRC.size)
        return head[_STAGE_2:] == _CRC.pack(_crc32(head[:_STAGE_2]))
    head = flash.read(0, _META_WITHIN)
    start = head.find(_META_START)
    return start >= 0 and _META_END in head[start:]


def micropython_version(board: Pico, flash: Flash) -> str:
    """The version of the MicroPython in the flash, empty where it is something else."""
    return firmware.micropython_version(flash.seen(0, board.region.offset))


def standin(board: Pico, version: str = "v1.26.1") -> bytes:
    """What stands for MicroPython at the start of the flash: its form and banner, no program.

    As UF2 it is for the family `board.families[0]`.
    """
    if board.chip == "RP2040":
        head = _REMARK.ljust(_STAGE_2, b"\0")
        head += _CRC.pack(_crc32(head))
    else:
        head = (_META_START + _IMAGE_DEF + _META_END + _REMARK).ljust(256, b"\0")
    # a string of its own: what stands before may end in letters
    banner = f"\0MicroPython {version} on 2025-01-01; {board.machine}\0".encode()
    return (head + banner).ljust(SECTOR, b"\0")


def _crc32(data: bytes) -> int:
    """CRC-32/MPEG-2, which is not zlib's."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ (_CRC_POLYNOMIAL if crc & 0x80000000 else 0)) & 0xFFFFFFFF
    return crc
