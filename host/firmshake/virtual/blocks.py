"""UF2 as a Pico's boot ROM takes it: block by block, in any order, until all of one file have come.

Does no I/O but on the flash. Rules that hold here (bootrom of RP2040 and RP2350, virtual_disk.c): a
block that is broken, not for flash, of no family or of another one, not of 256 bytes, or that lies
outside the flash or across its pages is passed over; one that tells of another number of blocks or
another family begins anew; a sector is erased when its first block comes; a block that came before
is not written again. The RP2350 writes a file of one family among others, too: the lone block of
the family `absolute` that opens many files is passed over (erratum E10).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from firmshake.virtual.nor import SECTOR, Flash
from firmshake.virtual.rp2 import ABSOLUTE, FLASH_BASE

BLOCK = 512
PAYLOAD = 256

_MAGIC = b"UF2\n\x57\x51\x5d\x9e"
_MAGIC_END = b"\x30\x6f\xb1\x0a"
_HEADER = struct.Struct("<8x6I")  # flags, address, size, number, count, family
_NOT_FOR_FLASH = 0x1
_HAS_FAMILY = 0x2000
# The block of erratum E10 says that it is one of two, and stands alone
_LONE = 2


@dataclass(frozen=True)
class Block:
    """One block that is for the flash of some family."""

    offset: int
    number: int
    count: int
    family: int
    data: bytes


def read(raw: bytes) -> Block | None:
    """The block in these 512 bytes; None where the ROM passes over them."""
    if not raw.startswith(_MAGIC) or not raw.endswith(_MAGIC_END):
        return None
    flags, address, size, number, count, family = _HEADER.unpack_from(raw)
    if flags & _NOT_FOR_FLASH or not flags & _HAS_FAMILY or size != PAYLOAD or number >= count:
        return None
    return Block(address - FLASH_BASE, number, count, family, raw[32 : 32 + size])


class Taking:
    """What has come since the drive appeared, and what is missing."""

    def __init__(self, flash: Flash, families: tuple[int, ...]) -> None:
        self._flash = flash
        self._families = families
        self._file: tuple[int, int] | None = None
        self._seen: set[int] = set()
        self._erased: set[int] = set()

    @property
    def written(self) -> int:
        """How many blocks of the file have been written."""
        return len(self._seen)

    def take(self, raw: bytes) -> bool:
        """Write the block, if it is one for here: whether it is the last that was missing."""
        block = read(raw)
        if block is None or block.family not in self._families or not self._fits(block):
            return False
        if block.family == ABSOLUTE and block.count == _LONE:
            return False
        if self._file != (block.family, block.count):
            self._file = (block.family, block.count)
            self._seen.clear()
            self._erased.clear()
        if block.number not in self._seen:
            self._write(block)
        return len(self._seen) == block.count

    def _fits(self, block: Block) -> bool:
        return 0 <= block.offset <= self._flash.size - PAYLOAD and not block.offset % PAYLOAD

    def _write(self, block: Block) -> None:
        sector = block.offset // SECTOR
        if sector not in self._erased:
            self._flash.erase(block.offset, PAYLOAD)
            self._erased.add(sector)
        self._flash.program(block.offset, block.data)
        self._seen.add(block.number)
