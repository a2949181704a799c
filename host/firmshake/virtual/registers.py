"""The few registers of a chip that esptool reads: identity, efuses, clocks and the SPI flash.

Does no I/O. Which they are is in `models`. Whatever is not there reads as 0 and keeps what is
written to it.
"""

from __future__ import annotations

import struct

from firmshake.virtual import nor
from firmshake.virtual.models import CRYSTAL_HZ, ESP32, Model

# Of the SPI controller, as everywhere in the family: the command and its address
_CMD = 0x00
_ADDR = 0x04
SPI_CMD_USR = 1 << 18

# Flash commands of JEDEC: read identification, read discoverable parameters (JESD216)
READ_ID = 0x9F
READ_SFDP = 0x5A
# Winbond W25Q..JV: manufacturer, memory type; the capacity is a power of two
MANUFACTURER = 0xEF
MEMORY_TYPE = 0x40
SFDP_HEADER = b"SFDP\x06\x01\x00\xff"

# flags (none: nothing is locked), count of flash encryption, purposes of seven keys
_SECURITY = struct.Struct("<IB7B")


class Registers:
    """The address space of a `model` with base address `mac`; its flash tells `flash_size`."""

    def __init__(self, mac: bytes, flash_size: int, model: Model = ESP32) -> None:
        assert len(mac) == 6
        self.baud = 115200
        self.model = model
        self._flash_size = flash_size
        self._words = dict(model.words(mac))

    def read(self, address: int) -> int:
        """The word at an address."""
        if address == self.model.uart_clkdiv:
            return CRYSTAL_HZ // self.baud
        return self._words.get(address, 0)

    def write(self, address: int, value: int, mask: int = 0xFFFFFFFF) -> None:
        """Set the bits of `mask`; writing the SPI command register runs a flash command."""
        self._words[address] = (self.read(address) & ~mask) | (value & mask)
        spi = self.model.spi
        if address == spi.base + _CMD and value & SPI_CMD_USR:
            self._words[spi.base + spi.w0] = self._flash_answer()
            self._words[spi.base + _CMD] &= ~SPI_CMD_USR

    def security(self) -> bytes:
        """The answer to GET_SECURITY_INFO: of the S2 without the chip's number and the version."""
        told = _SECURITY.pack(0, 0, *bytes(7)) + struct.pack("<II", self.model.image_id, 0)
        return told[: self.model.security]

    def _flash_answer(self) -> int:
        spi = self.model.spi
        command = self.read(spi.base + spi.usr2) & 0xFF
        bits = self.read(spi.base + spi.miso_dlen) + 1
        if command == READ_ID:
            capacity = self._flash_size.bit_length() - 1
            answer = MANUFACTURER | MEMORY_TYPE << 8 | capacity << 16
        elif command == READ_SFDP:
            at = self.read(spi.base + _ADDR) >> spi.address_shift
            answer = int.from_bytes(SFDP_HEADER[at : at + 4], "little")
        else:
            answer = 0
        return answer & ((1 << min(bits, 32)) - 1)


assert all(size & (size - 1) == 0 for size in nor.SIZES.values())
