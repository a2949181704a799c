"""What the boot ROMs of the RP2 chips make of the blocks that are copied to their drive.

By raspberrypi/pico-bootrom-rp2040, bootrom/virtual_disk.c, and pico-bootrom-rp2350,
src/nsboot/usb_virtual_disk.c: which blocks they take, what they erase, and when they restart.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from firmshake import uf2

FLASH = 0x10000000
PAGE, SECTOR = 256, 4096
MOST_BLOCKS = 0x20000  # the RP2350; the RP2040 takes 6 in 100 fewer
NOT_MAIN_FLASH, FAMILY = 0x1, 0x2000
FAMILIES = {
    "RP2040": {uf2.RP2040},
    "RP2350": {uf2.ABSOLUTE, uf2.ABSOLUTE + 1, uf2.RP2350, uf2.RP2350 + 1},
}


class BootRom:
    """A board in its bootloader, with `flash`; `restarted` tells when it has all of a file."""

    def __init__(self, chip: str, flash: bytes) -> None:
        self.chip = chip
        self.flash = bytearray(flash)
        self.restarted = False
        self._transfer: tuple[int, int] = (0, 0)
        self._taken: set[int] = set()
        self._erased: set[int] = set()

    def copy(self, blocks: Iterable[bytes]) -> None:
        for block in blocks:
            self.take(block)

    def take(self, block: bytes) -> None:
        head = struct.unpack("<8I", block[:32])
        flags, address, size, number, count, family = head[2:]
        ours = flags & FAMILY and family in FAMILIES[self.chip] and not flags & NOT_MAIN_FLASH
        if head[:2] != (0x0A324655, 0x9E5D5157) or not ours or size != PAGE:
            return
        transfer = (count, family if self.chip == "RP2350" else 0)
        if transfer != self._transfer:
            self._transfer, self._taken, self._erased = transfer, set(), set()
            if count > MOST_BLOCKS:
                self._transfer = (0, 0)
                return
        at = address - FLASH
        if number >= count or at % PAGE or not 0 <= at < len(self.flash) or number in self._taken:
            return
        self._taken.add(number)
        self._write(at, number, block[32 : 32 + PAGE])
        self.restarted = len(self._taken) == count

    def _write(self, at: int, number: int, data: bytes) -> None:
        sector = at // SECTOR
        # the older ROM goes by the number of the block
        mark = number * PAGE // SECTOR if self.chip == "RP2040" else sector
        if mark not in self._erased:
            self._erased.add(mark)
            self.flash[sector * SECTOR : (sector + 1) * SECTOR] = b"\xff" * SECTOR
        # flash is programmed by clearing bits
        old = self.flash[at : at + PAGE]
        self.flash[at : at + PAGE] = bytes(a & b for a, b in zip(old, data, strict=True))
