"""The few registers of an ESP32 that esptool reads: identity, efuses, clocks and the SPI flash.

Does no I/O. Addresses and fields are those of the ESP32 Technical Reference Manual (chapters eFuse
Controller, SPI, UART, RTC). Whatever is not here reads as 0 and keeps what is written to it.
"""

from __future__ import annotations

from firmshake.virtual import nor

CRYSTAL_HZ = 40_000_000

# A word of the ROM that differs on every kind of chip: tools tell an ESP32 by it
CHIP_MAGIC = 0x40001000
ESP32_MAGIC = 0x00F01D83

UART_CLKDIV = 0x3FF40014
SPI_CMD = 0x3FF42000
SPI_ADDR = SPI_CMD + 0x04
SPI_USR2 = SPI_CMD + 0x24
SPI_MISO_DLEN = SPI_CMD + 0x2C
SPI_W0 = SPI_CMD + 0x80
SPI_CMD_USR = 1 << 18
EFUSE = 0x3FF5A000
RTC_CALIBRATION = 0x3FF5F06C
APB_CTL_DATE = 0x3FF6607C

# Flash commands of JEDEC: read identification, read discoverable parameters (JESD216)
READ_ID = 0x9F
READ_SFDP = 0x5A
# Winbond W25Q..JV: manufacturer, memory type; the capacity is a power of two
MANUFACTURER = 0xEF
MEMORY_TYPE = 0x40
SFDP_HEADER = b"SFDP\x06\x01\x00\xff"

# The slow clock's calibration and the 8 MHz oscillator's efuse, of which tools work out the crystal
_CK8M_EFUSE = 100
_CALIBRATION = CRYSTAL_HZ * 40 // (15625 * _CK8M_EFUSE)


class Registers:
    """The address space of an ESP32-D0WD-V3, revision 3.1, with `flash` and base address `mac`."""

    def __init__(self, mac: bytes, flash_size: int) -> None:
        self.baud = 115200
        self._flash_size = flash_size
        self._words = {CHIP_MAGIC: ESP32_MAGIC, APB_CTL_DATE: 1 << 31}
        self._words[RTC_CALIBRATION] = _CALIBRATION << 7
        self._words |= {EFUSE + 4 * n: word for n, word in _efuses(mac).items()}

    def read(self, address: int) -> int:
        """The word at an address."""
        if address == UART_CLKDIV:
            return CRYSTAL_HZ // self.baud
        return self._words.get(address, 0)

    def write(self, address: int, value: int, mask: int = 0xFFFFFFFF) -> None:
        """Set the bits of `mask`; writing the SPI command register runs a flash command."""
        self._words[address] = (self.read(address) & ~mask) | (value & mask)
        if address == SPI_CMD and value & SPI_CMD_USR:
            self._words[SPI_W0] = self._flash_answer()
            self._words[SPI_CMD] &= ~SPI_CMD_USR

    def _flash_answer(self) -> int:
        command = self.read(SPI_USR2) & 0xFF
        bits = self.read(SPI_MISO_DLEN) + 1
        if command == READ_ID:
            capacity = self._flash_size.bit_length() - 1
            answer = MANUFACTURER | MEMORY_TYPE << 8 | capacity << 16
        elif command == READ_SFDP:
            # the address lies in the register's topmost 24 bits
            at = self.read(SPI_ADDR) >> 8
            answer = int.from_bytes(SFDP_HEADER[at : at + 4], "little")
        else:
            answer = 0
        return answer & ((1 << min(bits, 32)) - 1)


def _efuses(mac: bytes) -> dict[int, int]:
    """Words of efuse block 0: address and its CRC, package and revision, oscillator."""
    assert len(mac) == 6
    return {
        1: int.from_bytes(mac[2:], "big"),
        2: int.from_bytes(mac[:2], "big") | _crc8(mac) << 16,
        # package 1 (D0WD), revision bit 0, rated for 240 MHz
        3: 1 << 9 | 1 << 15 | 1 << 13,
        4: _CK8M_EFUSE,
        # revision bit 1 and minor revision 1
        5: 1 << 20 | 1 << 24,
    }


def _crc8(data: bytes) -> int:
    """CRC-8/MAXIM, which guards the address in the efuses."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x8C if crc & 1 else 0)
    return crc


assert all(size & (size - 1) == 0 for size in nor.SIZES.values())
