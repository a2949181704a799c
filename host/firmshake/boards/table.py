"""The one table of boards: chip, flash, firmware, filesystems, UF2 and USB. Does no I/O.

A row's comment says where its values are from; docs/boards.md says how to add a row. What the rows
share stands above them, each with its source.

- MP: github.com/micropython/micropython, at 1.26
- CP: github.com/adafruit/circuitpython, at 10
- IDF: github.com/espressif/esp-idf; SDK: github.com/raspberrypi/pico-sdk
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from firmshake import image, partitions
from firmshake.errors import Error
from firmshake.partitions import Partition, Region

Runtime = Literal["micropython", "circuitpython"]
Family = Literal["esp", "rp2"]
# what a board is doing that shows itself on USB with certain numbers
State = Literal["bootloader", "micropython", "circuitpython", "program"]

MICROPYTHON: Runtime = "micropython"
CIRCUITPYTHON: Runtime = "circuitpython"
RUNTIMES: tuple[Runtime, ...] = (MICROPYTHON, CIRCUITPYTHON)
TITLES: Mapping[Runtime, str] = {MICROPYTHON: "MicroPython", CIRCUITPYTHON: "CircuitPython"}

KIB, MIB = 1024, 1024 * 1024
BLOCK = image.BLOCK_SIZE  # the erase sector of every NOR flash in the family


class UsbId(NamedTuple):
    """Numbers of a USB device, and what a board with them is doing.

    "program" is anything that talks through the chip's own USB, the bootloader too.
    """

    vid: int
    pid: int
    state: State


@dataclass(frozen=True, eq=False)  # a row is itself, and equal to no other
class Board:
    """One kind of board.

    `chip` is spelled as esptool and the boot ROMs spell it. `firmware_offset` is where a whole
    firmware file goes in flash, and `flash_address` where the flash lies in memory, which is what
    UF2 counts in; None where the chip takes no UF2 by itself. `image_id` is the chip's number in
    ESP-IDF's images. `littlefs` and `littlefs_region` are MicroPython's; a region of None depends
    on the partition table (`filesystem_region`). `fat_regions` are CircuitPython's, by flash size.
    `builds` are the names under which the projects publish firmware for this board. `machine` is
    how firmware for it calls it, where firmware for others with the chip does not fit.
    """

    name: str
    title: str
    chip: str
    family: Family
    flash_sizes: tuple[int, ...]
    firmware_offset: int
    littlefs: image.Parameters
    fat_regions: Mapping[int, Region]
    builds: Mapping[Runtime, str]
    usb: tuple[UsbId, ...]
    unique_id: str
    uf2_family: int
    image_id: int | None = None
    flash_address: int | None = None
    littlefs_region: Region | None = None
    bootloader_drive: str = ""
    machine: str = ""

    @property
    def firmware_suffix(self) -> str:
        """How the files end that the projects publish for it."""
        return ".uf2" if self.family == "rp2" else ".bin"


# CP ports/espressif/esp-idf-config/partitions-*.csv, chosen in ports/espressif/Makefile: chips with
# USB of their own keep room for a UF2 bootloader
_FAT_WITH_UF2 = {
    4 * MIB: Region(0x310000, 960 * KIB),
    8 * MIB: Region(0x450000, 3776 * KIB),
    16 * MIB: Region(0x450000, 11968 * KIB),
    32 * MIB: Region(0x450000, 28352 * KIB),
}
_FAT_WITHOUT_UF2 = {
    2 * MIB: Region(0x170000, 576 * KIB),
    4 * MIB: Region(0x2D0000, 1216 * KIB),
    8 * MIB: Region(0x410000, 4032 * KIB),
    16 * MIB: Region(0x410000, 12224 * KIB),
}
# CP ports/raspberrypi/mpconfigport.h: behind the firmware (CIRCUITPY_FIRMWARE_SIZE in the board's
# mpconfigboard.mk, 1536 KiB) and 4 KiB for `nvm`, up to the end of the flash
_RP2_FAT_OFFSET = 1536 * KIB + 4 * KIB

_ESPRESSIF, _RASPBERRY_PI, _ADAFRUIT = 0x303A, 0x2E8A, 0x239A
# Technical reference manuals of the S3, C3 and C6, "USB Serial/JTAG Controller": it is there in the
# bootloader and, where a program leaves it alone, after it
_USB_JTAG = UsbId(_ESPRESSIF, 0x1001, "program")
# MP ports/esp32/mpconfigport.h: 0x4000 and a bit for CDC, on every chip with USB OTG
_MP_ESP_USB = UsbId(_ESPRESSIF, 0x4001, "micropython")
# MP ports/rp2/mpconfigport.h
_MP_RP2_USB = UsbId(_RASPBERRY_PI, 0x0005, "micropython")

# machine.unique_id() is the MAC that esptool prints (IDF esp_efuse_mac_get_default)
_MAC = "base MAC address, burnt into the chip"
_ESP_SIZES = (4 * MIB, 8 * MIB, 16 * MIB)
_XIP = 0x1000_0000  # RP2040 datasheet 2.2.1, RP2350 datasheet 2.2.2

BOARDS: tuple[Board, ...] = (
    # offsets of the family: IDF CONFIG_BOOTLOADER_OFFSET_IN_FLASH; MP boards/*/board.json
    # image ids: IDF esp_app_format.h, esp_chip_id_t; UF2 families: microsoft/uf2 uf2families.json
    Board(
        name="esp32",
        title="ESP32",
        chip="ESP32",
        family="esp",
        flash_sizes=(2 * MIB, *_ESP_SIZES),
        firmware_offset=0x1000,
        littlefs=image.ESP32,
        fat_regions=_FAT_WITHOUT_UF2,
        builds={MICROPYTHON: "ESP32_GENERIC", CIRCUITPYTHON: "doit_esp32_devkit_v1"},
        usb=(),  # always behind a USB-serial chip
        unique_id=_MAC,
        uf2_family=0x1C5F21B0,
        image_id=0,
    ),
    Board(
        name="esp32-s2",
        title="ESP32-S2",
        chip="ESP32-S2",
        family="esp",
        flash_sizes=_ESP_SIZES,
        firmware_offset=0x1000,
        littlefs=image.ESP32,
        fat_regions=_FAT_WITH_UF2,
        builds={
            MICROPYTHON: "ESP32_GENERIC_S2",
            CIRCUITPYTHON: "espressif_esp32s2_devkitc_1_n4",
        },
        usb=(
            UsbId(_ESPRESSIF, 0x0002, "bootloader"),  # ROM, USB OTG as CDC
            _MP_ESP_USB,
            # CP boards/espressif_esp32s2_devkitc_1_n4/mpconfigboard.mk
            UsbId(_ESPRESSIF, 0x7009, "circuitpython"),
        ),
        unique_id=_MAC,
        uf2_family=0xBFDD4EEE,
        image_id=2,
    ),
    Board(
        name="esp32-s3",
        title="ESP32-S3",
        chip="ESP32-S3",
        family="esp",
        flash_sizes=(*_ESP_SIZES, 32 * MIB),
        firmware_offset=0x0,
        littlefs=image.ESP32,
        fat_regions=_FAT_WITH_UF2,
        builds={
            MICROPYTHON: "ESP32_GENERIC_S3",
            CIRCUITPYTHON: "espressif_esp32s3_devkitc_1_n8",
        },
        usb=(
            _USB_JTAG,
            _MP_ESP_USB,
            # CP boards/espressif_esp32s3_devkitc_1_n8/mpconfigboard.mk
            UsbId(_ESPRESSIF, 0x7003, "circuitpython"),
        ),
        unique_id=_MAC,
        uf2_family=0xC47E5767,
        image_id=9,
    ),
    Board(
        name="esp32-c3",
        title="ESP32-C3",
        chip="ESP32-C3",
        family="esp",
        flash_sizes=_ESP_SIZES,
        firmware_offset=0x0,
        littlefs=image.ESP32,
        fat_regions=_FAT_WITHOUT_UF2,
        builds={
            MICROPYTHON: "ESP32_GENERIC_C3",
            CIRCUITPYTHON: "espressif_esp32c3_devkitm_1_n4",
        },
        usb=(_USB_JTAG,),
        unique_id=_MAC,
        uf2_family=0xD42BA06C,
        image_id=5,
    ),
    Board(
        name="esp32-c6",
        title="ESP32-C6",
        chip="ESP32-C6",
        family="esp",
        flash_sizes=_ESP_SIZES,
        firmware_offset=0x0,
        littlefs=image.ESP32,
        fat_regions=_FAT_WITHOUT_UF2,
        builds={
            MICROPYTHON: "ESP32_GENERIC_C6",
            CIRCUITPYTHON: "espressif_esp32c6_devkitc_1_n8",
        },
        usb=(_USB_JTAG,),
        unique_id=_MAC,
        uf2_family=0x540DDF62,
        image_id=13,
    ),
    Board(
        name="pico-w",
        title="Raspberry Pi Pico W",
        chip="RP2040",
        family="rp2",
        flash_sizes=(2 * MIB,),
        firmware_offset=0x0,
        littlefs=image.RP2,
        # MP boards/RPI_PICO_W/mpconfigboard.cmake: 848 KiB at the end of the flash
        littlefs_region=Region(2 * MIB - 848 * KIB, 848 * KIB),
        fat_regions={2 * MIB: Region(_RP2_FAT_OFFSET, 2 * MIB - _RP2_FAT_OFFSET)},
        builds={MICROPYTHON: "RPI_PICO_W", CIRCUITPYTHON: "raspberry_pi_pico_w"},
        usb=(
            # RP2040 datasheet 2.8.5: of every RP2040 alike, and so is its serial number
            UsbId(_RASPBERRY_PI, 0x0003, "bootloader"),
            _MP_RP2_USB,
            # CP boards/raspberry_pi_pico_w/mpconfigboard.mk
            UsbId(_ADAFRUIT, 0x8120, "circuitpython"),
        ),
        unique_id="number of its flash chip (SDK pico_unique_id)",
        uf2_family=0xE48BFF56,
        flash_address=_XIP,
        bootloader_drive="RPI-RP2",
        machine="Raspberry Pi Pico W",
    ),
    Board(
        name="pico-2-w",
        title="Raspberry Pi Pico 2 W",
        chip="RP2350",
        family="rp2",
        flash_sizes=(4 * MIB,),
        firmware_offset=0x0,
        littlefs=image.RP2,
        # MP boards/RPI_PICO2_W/mpconfigboard.cmake: 2560 KiB at the end of the flash
        littlefs_region=Region(4 * MIB - 2560 * KIB, 2560 * KIB),
        fat_regions={4 * MIB: Region(_RP2_FAT_OFFSET, 4 * MIB - _RP2_FAT_OFFSET)},
        builds={MICROPYTHON: "RPI_PICO2_W", CIRCUITPYTHON: "raspberry_pi_pico2_w"},
        usb=(
            UsbId(_RASPBERRY_PI, 0x000F, "bootloader"),  # RP2350 datasheet 5.7
            _MP_RP2_USB,
            # CP boards/raspberry_pi_pico2_w/mpconfigboard.mk
            UsbId(_ADAFRUIT, 0x8162, "circuitpython"),
        ),
        unique_id="chip's number, burnt into its OTP (SDK pico_unique_id)",
        uf2_family=0xE48BFF59,  # Arm, secure: what both projects publish
        flash_address=_XIP,
        bootloader_drive="RP2350",
        machine="Raspberry Pi Pico 2 W",
    ),
)


def by_name(name: str) -> Board:
    """Return the board of that name, as in the table; raise Error where there is none."""
    wanted = name.lower().replace("_", "-").replace(" ", "-")
    for board in BOARDS:
        if wanted in (board.name, board.chip.lower()):
            return board
    known = ", ".join(board.name for board in BOARDS)
    raise Error(f"no board is called {name!r}", hint=f"known are: {known}", status=2)


def by_chip(chip: str) -> Board:
    """Return the first board with that chip, spelled as esptool does; raise Error on none."""
    for board in BOARDS:
        if board.chip == chip:
            return board
    raise Error(
        f"the chip {chip} is not known here",
        hint="see the table of boards in docs/boards.md for how to add one",
    )


def by_uf2_family(family: int) -> Board | None:
    """Return the first board whose UF2 files have that family, or None."""
    return next((board for board in BOARDS if board.uf2_family == family), None)


def by_usb(vid: int, pid: int) -> Iterator[tuple[Board, State]]:
    """Yield the boards that show themselves with these numbers, and what they are doing then."""
    for board in BOARDS:
        for known in board.usb:
            if (known.vid, known.pid) == (vid, pid):
                yield board, known.state


def filesystem_region(
    board: Board, runtime: Runtime, flash_size: int, table: Sequence[Partition] | None = None
) -> Region:
    """Return where `runtime` keeps its files in the flash of a board, in bytes from its start.

    `table` is the partition table of the firmware on an ESP32 (`partitions.parse`): MicroPython's
    is needed, and CircuitPython's goes before what is usual for that size of flash. Raises Error
    where the flash is of a size that the board does not come with, or too small.
    """
    if board.family == "esp" and table is not None and runtime == CIRCUITPYTHON:
        return partitions.fat_region(table, flash_size)
    if runtime == CIRCUITPYTHON:
        return _of_size(board, runtime, flash_size, board.fat_regions)
    if board.littlefs_region is not None:
        sizes = dict.fromkeys(board.flash_sizes, board.littlefs_region)
        return _of_size(board, runtime, flash_size, sizes)
    if table is None:
        raise Error(
            f"where MicroPython keeps its files on an {board.title} depends on its firmware",
            hint="name the firmware, or let the board's flash be read",
        )
    return partitions.filesystem_region(table, flash_size)


def _of_size(
    board: Board, runtime: Runtime, flash_size: int, regions: Mapping[int, Region]
) -> Region:
    region = regions.get(flash_size)
    if region is None:
        sizes = ", ".join(f"{size // MIB} MiB" for size in regions)
        raise Error(
            f"{TITLES[runtime]} for {board.title} is not known with {flash_size / MIB:g} MiB of"
            f" flash, only with {sizes}",
            hint="check that the board is the one that was meant",
        )
    return region
