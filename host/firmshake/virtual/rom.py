"""What the chip does when it leaves reset: what its ROM prints, and what the flash makes it start.

Does no I/O but reading the flash. The lines have the form that tools look for in a real ESP32's
output (`rst:`, `boot:`, `invalid header:`); the words are firmshake's.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from firmshake import firmware, partitions
from firmshake.errors import Error
from firmshake.virtual.models import ESP32, Model
from firmshake.virtual.nor import Flash

BAUD = 115200

# Before the clock is set the UART sends a little at another speed: no text in any encoding
JUNK = b"\x00\xfe\x9c\x8f\xff\xe0\xc1\x80"

# ESP-IDF's esp_image_header_t, and where in it the number of the chip is
_IMAGE_HEADER = 24
_CHIP_AT = 12


class Cause(Enum):
    """Why the chip starts; `models.Boot` has each chip's words for it."""

    POWER_ON = "power_on"
    SOFTWARE = "software"
    WATCHDOG = "watchdog"


@dataclass(frozen=True)
class NoImage:
    """Nothing to boot: the ROM finds this word where an image should begin."""

    word: int


@dataclass(frozen=True)
class Broken:
    """There is a bootloader, but it cannot start anything, for this reason."""

    reason: str


@dataclass(frozen=True)
class Foreign:
    """An application that is not MicroPython, which a virtual board cannot run."""

    name: str


@dataclass(frozen=True)
class Start:
    """MicroPython, and the part of the flash that is its filesystem."""

    version: str
    region: partitions.Region


def examine(flash: Flash, model: Model = ESP32) -> NoImage | Broken | Foreign | Start:
    """What this flash makes the chip do."""
    head = flash.read(model.boot_offset, _IMAGE_HEADER)
    if head[:1] != bytes([firmware.IMAGE_MAGIC]):
        return NoImage(int.from_bytes(head[:4], "little"))
    try:
        if int.from_bytes(head[_CHIP_AT : _CHIP_AT + 2], "little") != model.image_id:
            return Broken("the bootloader is for another chip")
        return _second_stage(flash, model)
    except Error as error:
        return Broken(error.message)


def _second_stage(flash: Flash, model: Model) -> Foreign | Start:
    start = model.boot_offset
    boot = flash.read(start, partitions.TABLE_OFFSET - start)
    firmware.check_image(boot, 0, "bootloader")
    table = partitions.parse(flash.read(partitions.TABLE_OFFSET, partitions.TABLE_SIZE))
    first = firmware.first_app(table)
    image = flash.seen(first.offset, first.size)
    firmware.check_image(image, 0, "application")
    app = firmware.app_of(image)
    if app is None or not app.is_micropython:
        return Foreign(f"{app.project} {app.version}" if app else "an unknown application")
    version = firmware.micropython_version(image)
    return Start(version, partitions.filesystem_region(table, flash.size))


def greeting(cause: Cause, download: bool, model: Model = ESP32) -> bytes:
    """What the ROM prints first."""
    why: str = getattr(model.boot, cause.value)
    mode = model.boot.download if download else model.boot.flash
    lines = [f"ets firmshake virtual {model.name}", "", f"rst:{why},boot:{mode}"]
    if download:
        lines.append("waiting for download")
    junk = JUNK if cause is Cause.POWER_ON else b""
    return junk + _text(*lines)


def complaint(found: NoImage | Broken | Foreign) -> bytes:
    """What a chip prints that has nothing to start; it does so again and again."""
    if isinstance(found, NoImage):
        return _text(*[f"invalid header: 0x{found.word:08x}"] * 4)
    if isinstance(found, Broken):
        return _text(f"E boot: nothing to start: {found.reason}")
    return _text(f"E boot: {found.name} does not run here: a virtual board starts only MicroPython")


def loading(start: Start) -> bytes:
    """What the second stage prints before the application."""
    where = f"0x{start.region.offset:06x}, {start.region.size >> 10} KiB"
    return _text(f"I boot: micropython {start.version}, filesystem at {where}")


def _text(*lines: str) -> bytes:
    return "".join(line + "\r\n" for line in lines).encode()
