"""The chips that a virtual board can have: where their registers lie, and what tells them apart.

Does no I/O. Adding a chip is adding a row to MODELS. Addresses and fields are those of each chip's
Technical Reference Manual (chapters eFuse Controller, SPI Controller, UART Controller, Chip Boot
Control); ESP-IDF's `soc` headers have the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from firmshake.firmware import CHIPS

CRYSTAL_HZ = 40_000_000
# A word of the ROM that differs on every older kind of chip: tools tell an ESP32 or an S2 by it
CHIP_MAGIC = 0x40001000

Words = dict[int, int]


class Spi(NamedTuple):
    """Registers of the controller that the flash is at."""

    base: int
    usr2: int
    miso_dlen: int
    w0: int
    # where in its register a 24-bit address lies
    address_shift: int


class Boot(NamedTuple):
    """What the ROM says at its start: names of the causes, and values of the strapping pins."""

    power_on: str
    software: str
    watchdog: str
    flash: str
    download: str


class Model(NamedTuple):
    """A chip by the name that esptool prints.

    `security` is the length of its answer to GET_SECURITY_INFO in bytes, 0 where it has none.
    `words` is what its registers read as at first, by the board's base address.
    """

    name: str
    image_id: int
    boot_offset: int
    spi: Spi
    uart_clkdiv: int
    security: int
    words: Callable[[bytes], Words]
    boot: Boot

    @property
    def machine(self) -> str:
        """What MicroPython calls the board, as its generic firmware does."""
        chip = self.name.replace("-", "")
        return f"Generic {chip} module with {chip}"


def model(name: str) -> Model:
    """The model of this name, in either spelling ("ESP32-S3", "esp32s3"). Raises LookupError."""
    for found in MODELS:
        if _plain(found.name) == _plain(name):
            return found
    raise LookupError(name)


def _plain(name: str) -> str:
    return name.replace("-", "").upper()


EFUSE = 0x3FF5A000
RTC_CALIBRATION = 0x3FF5F06C
APB_CTL_DATE = 0x3FF6607C
ESP32_MAGIC = 0x00F01D83
ESP32_S2_MAGIC = 0x000007C6

# The slow clock's calibration and the 8 MHz oscillator's efuse, of which tools work out the crystal
_CK8M_EFUSE = 100
_CALIBRATION = CRYSTAL_HZ * 40 // (15625 * _CK8M_EFUSE)


def _esp32(mac: bytes) -> Words:
    """An ESP32-D0WD-V3, revision 3.1. Of efuse block 0: address and its CRC, package, revision."""
    efuses = {
        1: int.from_bytes(mac[2:], "big"),
        2: int.from_bytes(mac[:2], "big") | _crc8(mac) << 16,
        # package 1 (D0WD), revision bit 0, rated for 240 MHz
        3: 1 << 9 | 1 << 15 | 1 << 13,
        4: _CK8M_EFUSE,
        # revision bit 1 and minor revision 1
        5: 1 << 20 | 1 << 24,
    }
    words = {CHIP_MAGIC: ESP32_MAGIC, APB_CTL_DATE: 1 << 31, RTC_CALIBRATION: _CALIBRATION << 7}
    return words | {EFUSE + 4 * n: word for n, word in efuses.items()}


def _crc8(data: bytes) -> int:
    """CRC-8/MAXIM, which guards the address in the efuses."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x8C if crc & 1 else 0)
    return crc


def _with_block_1(base: int, words: Words, more: Words | None = None) -> Callable[[bytes], Words]:
    """Efuses of the later chips: block 1 begins with the base address, low word first."""

    def made(mac: bytes) -> Words:
        block = {0: int.from_bytes(mac[2:], "big"), 1: int.from_bytes(mac[:2], "big"), **words}
        return {base + 4 * n: word for n, word in block.items()} | (more or {})

    return made


_ESP32_BOOT = Boot(
    "0x1 (POWERON_RESET)",
    "0xc (SW_CPU_RESET)",
    "0x10 (RTCWDT_RTC_RESET)",
    "0x13 (SPI_FAST_FLASH_BOOT)",
    "0x3 (DOWNLOAD_BOOT(UART0))",
)


def _boot(flash: int, download: int) -> Boot:
    return Boot(
        "0x1 (POWERON)",
        "0xc (RTC_SW_CPU_RST)",
        "0x10 (RTCWDT_RTC_RST)",
        f"{flash:#x} (SPI_FAST_FLASH_BOOT)",
        f"{download:#x} (DOWNLOAD(UART0))",
    )


def _later_spi(base: int) -> Spi:
    return Spi(base, 0x20, 0x28, 0x58, address_shift=0)


def _row(
    name: str,
    spi: Spi,
    uart_clkdiv: int,
    security: int,
    words: Callable[[bytes], Words],
    boot: Boot,
) -> Model:
    chip = next(chip for chip in CHIPS if chip.name == name)
    return Model(name, chip.image_id, chip.boot_offset, spi, uart_clkdiv, security, words, boot)


# Block 1, words 3 to 5: package in bits 21 to 23 of word 3, minor revision in 18 to 20 (and bit 23
# of word 5), major revision in bits 24 and 25 of word 5. The S2's major is in 18 and 19 of word 3,
# the C6's in 22 and 23, its minor in 18 to 21 and its package in 24 to 26.
ESP32 = _row(
    "ESP32",
    Spi(0x3FF42000, 0x24, 0x2C, 0x80, address_shift=8),
    0x3FF40014,
    0,
    _esp32,
    _ESP32_BOOT,
)
MODELS = (
    ESP32,
    _row(
        "ESP32-S2",  # revision v1.0
        _later_spi(0x3F402000),
        0x3F400014,
        12,
        _with_block_1(0x3F41A044, {3: 1 << 18}, {CHIP_MAGIC: ESP32_S2_MAGIC}),
        _boot(0x8, 0x0),
    ),
    _row(
        "ESP32-S3",  # QFN56, revision v0.2
        _later_spi(0x60002000),
        0x60000014,
        20,
        _with_block_1(0x60007044, {3: 2 << 18}),
        _boot(0x8, 0x0),
    ),
    _row(
        "ESP32-C3",  # QFN32, revision v0.4
        _later_spi(0x60002000),
        0x60000014,
        20,
        _with_block_1(0x60008844, {3: 4 << 18}),
        _boot(0xC, 0x4),
    ),
    _row(
        "ESP32-C6",  # QFN40, revision v0.1
        _later_spi(0x60003000),
        0x60000014,
        20,
        _with_block_1(0x600B0844, {3: 1 << 18}),
        _boot(0xC, 0x4),
    ),
)
