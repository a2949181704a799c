"""Firmware of the ESP32 family: what a file holds, whether it is whole, and where it goes.

Works on values; only `load` reads a file. The formats are ESP-IDF's: an image of segments that ends
in a checksum and, mostly, a SHA-256 (bootloader_support, esp_app_format.h); a file of MicroPython
is such an image (the bootloader), the partition table and another (the application), laid out as
they lie in flash.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from firmshake import partitions
from firmshake.errors import Error


class Chip(NamedTuple):
    """A chip by the name that esptool prints, its number in images, and where its flash boots."""

    name: str
    image_id: int
    boot_offset: int


# From ESP-IDF's esp_chip_id_t and each chip's BOOTLOADER_OFFSET_IN_FLASH
CHIPS = (
    Chip("ESP32", 0, 0x1000),
    Chip("ESP32-S2", 2, 0x1000),
    Chip("ESP32-C3", 5, 0x0),
    Chip("ESP32-S3", 9, 0x0),
    Chip("ESP32-C2", 12, 0x0),
    Chip("ESP32-C6", 13, 0x0),
    Chip("ESP32-H2", 16, 0x0),
    Chip("ESP32-P4", 18, 0x2000),
    Chip("ESP32-C5", 23, 0x2000),
)

IMAGE_MAGIC = 0xE9
APP_MAGIC = 0xABCD5432

# `tls`, the module with the verify callback that the agent stands on, is new in 1.23
OLDEST_MICROPYTHON = (1, 23)

# Far above any flash that the family has; a larger file is not firmware
LARGEST_FILE = 64 * 1024 * 1024

# magic, segments, two bytes of flash settings, entry; then pins, chip, revisions, hash appended
_HEADER = struct.Struct("<BBBBI4xH9xB")
_SEGMENT = struct.Struct("<II")
_CHECKSUM_SEED = 0xEF
_DIGEST_SIZE = 32
# esp_app_desc_t opens the first segment of an application
_APP_AT = _HEADER.size + _SEGMENT.size
# Bounded: it is searched for in megabytes that anybody may have written
_BANNER = rb"MicroPython (v\d{1,4}\.\d{1,4}[\w.+-]{0,60}) on \d{4}-\d\d-\d\d"
_APP = struct.Struct("<I12x32s32s16s16s32s")
# Where an application starts on every table of MicroPython
FIRST_APP_OFFSET = 0x10000


class App(NamedTuple):
    """What an application says of itself: project, its version, and that of ESP-IDF."""

    project: str
    version: str
    idf: str

    @property
    def is_micropython(self) -> bool:
        """Whether it looks like MicroPython.

        It is built with its name and version left out (CONFIG_APP_EXCLUDE_PROJECT_NAME_VAR and
        _VER_VAR in ports/esp32/boards/sdkconfig.base), which hardly anything else is. Where the
        application as a whole is at hand, `micropython_version` knows for sure.
        """
        return self.project in ("", "micropython")


@dataclass(frozen=True)
class Firmware:
    """A whole firmware file: `data` goes to `offset` in the flash of a `chip`.

    `micropython` is its version as in "v1.26.1", empty where it is not MicroPython.
    """

    chip: str
    offset: int
    table: partitions.Table
    app: App
    micropython: str
    data: bytes = field(repr=False)


def load(path: Path, chip: str | None = None, sha256: str | None = None) -> Firmware:
    """Read a firmware file and check that it is whole, for `chip`, and has this SHA-256 (hex).

    Raises Error where it cannot be read, or is not what it should be.
    """
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_FILE + 1)
    except OSError as error:
        reason = (error.strerror or "unreadable").lower()
        raise Error(
            f"firmware {path} cannot be read: {reason}", hint="check the path given to --firmware"
        ) from None
    if sha256 is not None and not has_sha256(data, sha256):
        raise Error(
            f"firmware {path} does not have the SHA-256 that was given",
            hint="get the file again from the firmware's download page, or correct the SHA-256",
        )
    try:
        firmware = identify(data)
    except Error as error:
        raise Error(
            f"firmware {path} cannot be used: {error.message}", error.hint or _GET_BIN
        ) from None
    if version_of(firmware.micropython) < OLDEST_MICROPYTHON:
        found = f"MicroPython {firmware.micropython}" if firmware.micropython else "something else"
        raise Error(
            f"firmware {path} is {found}, but the agent needs MicroPython 1.23 or later",
            hint=_GET_BIN,
        )
    if chip is not None and firmware.chip != chip:
        raise Error(
            f"firmware {path} is for {firmware.chip}, the board is {chip}",
            hint=f"get the firmware for {chip}",
        )
    return firmware


def has_sha256(data: bytes, sha256: str) -> bool:
    """Whether `data` has this SHA-256, given in hexadecimal of either case."""
    wanted = sha256.strip().lower().encode()
    return hmac.compare_digest(hashlib.sha256(data).hexdigest().encode(), wanted)


def identify(data: bytes) -> Firmware:
    """What a firmware file holds.

    Raises Error where it is not firmware, is cut off or damaged, is for an unknown chip, or holds
    an application alone.
    """
    data, padding = _without_padding(data)
    if len(data) > LARGEST_FILE or data[:1] != bytes([IMAGE_MAGIC]):
        raise Error("it is not ESP32 firmware", hint=_GET_BIN)
    chip = _chip(data)
    if padding not in (0, chip.boot_offset):
        raise Error("its bootloader is at the wrong place", hint=_GET_BIN)
    if app_of(data) is not None:
        raise Error(
            "it holds only an application, for an update over the air",
            hint="get the .bin for installation, which holds bootloader and partition table too",
        )
    check_image(data, 0, "bootloader")
    table = partitions.parse(data[partitions.TABLE_OFFSET - chip.boot_offset :])
    start = first_app(table).offset - chip.boot_offset
    check_image(data, start, "application")
    app = app_of(data[start:])
    if app is None:
        raise Error("its application does not say what it is", hint=_GET_BIN)
    version = micropython_version(data[start:])
    return Firmware(chip.name, chip.boot_offset, table, app, version, data)


def identify_flash(head: bytes, start: int) -> tuple[partitions.Table | None, App | None]:
    """What the flash of a board holds, by its bytes from offset `start`; None where not told."""
    try:
        table = partitions.parse(head[partitions.TABLE_OFFSET - start :])
        offset = first_app(table).offset
    except Error:
        return None, None
    return table, app_of(head[offset - start :])


def micropython_version(application: bytes | memoryview) -> str:
    """The version in the banner that MicroPython prints at its prompt; empty where there is none.

    An application that names itself in its descriptor is believed too.
    """
    banner = re.search(_BANNER, application)
    if banner:
        return banner[1].decode("ascii")
    app = app_of(application)
    return app.version if app is not None and app.project == "micropython" else ""


def first_app(table: partitions.Table) -> partitions.Partition:
    """The application that a fresh board starts: the first in the table. Raises Error on none."""
    for partition in table:
        if partition.kind == partitions.APP:
            return partition
    raise Error("its partition table has no application", hint=_GET_BIN)


def app_of(image: bytes | memoryview) -> App | None:
    """The descriptor of the application whose image starts `image`, if it is one."""
    descriptor = image[_APP_AT : _APP_AT + _APP.size]
    if image[:1] != bytes([IMAGE_MAGIC]) or len(descriptor) < _APP.size:
        return None
    magic, version, project, _time, _date, idf = _APP.unpack(descriptor)
    if magic != APP_MAGIC:
        return None
    return App(_text(project), _text(version), _text(idf))


def check_image(data: bytes | memoryview, start: int, what: str) -> None:
    """Raises Error where the image at `start` is not one, is cut off, or its sums are wrong."""
    header = data[start : start + _HEADER.size]
    if len(header) < _HEADER.size:
        raise _cut_off(what)
    magic, segments, _, _, _, _, hash_appended = _HEADER.unpack(header)
    if magic != IMAGE_MAGIC:
        raise Error(f"its {what} is missing", hint=_GET_BIN)
    at, checksum = start + _HEADER.size, _CHECKSUM_SEED
    for _ in range(segments):
        if at + _SEGMENT.size > len(data):
            raise _cut_off(what)
        size = _SEGMENT.unpack_from(data, at)[1]
        at += _SEGMENT.size + size
        if at > len(data):
            raise _cut_off(what)
        checksum ^= _xor(data[at - size : at])
    # the checksum is the last byte of the next full 16, counted from the image's start
    at += 16 - (at - start) % 16
    end = at + (_DIGEST_SIZE if hash_appended else 0)
    if end > len(data):
        raise _cut_off(what)
    digest_right = hashlib.sha256(data[start:at]).digest() == data[at : at + _DIGEST_SIZE]
    if data[at - 1] != checksum or (hash_appended and not digest_right):
        raise Error(f"its {what} is damaged: the checksum is wrong", hint=_GET_BIN)


_GET_BIN = "get the .bin for this board from micropython.org/download"


def version_of(text: str) -> tuple[int, int]:
    """MicroPython's version as numbers, (0, 0) where the text is none."""
    found = re.match(r"v?(\d{1,4})\.(\d{1,4})", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _chip(data: bytes) -> Chip:
    if len(data) < _HEADER.size:
        raise _cut_off("bootloader")
    number = _HEADER.unpack_from(data)[5]
    for chip in CHIPS:
        if chip.image_id == number:
            return chip
    raise Error(f"it is for a chip that is not known here (number {number})", hint=_GET_BIN)


def _without_padding(data: bytes) -> tuple[bytes, int]:
    """The data from its bootloader on, and how much erased flash stands before that.

    CircuitPython's files begin with the flash, also where the chip boots from further on.
    """
    most = max(chip.boot_offset for chip in CHIPS)
    kept = data[:most].lstrip(b"\xff") + data[most:]
    return kept, len(data) - len(kept)


def _cut_off(what: str) -> Error:
    return Error(f"it is cut off inside its {what}", hint=_GET_BIN)


def _xor(data: bytes | memoryview) -> int:
    """All bytes xored together: fold the number in halves, since a loop over 1 MB takes 50 ms."""
    width = 1 << max(len(data) - 1, 0).bit_length()
    number = int.from_bytes(data, "little")
    while width > 1:
        width //= 2
        number = (number >> (8 * width)) ^ (number & ((1 << (8 * width)) - 1))
    return number


def _text(field: bytes) -> str:
    """A C string of a descriptor; what is not printable ASCII is shown as a question mark."""
    text = field.partition(b"\0")[0].decode("ascii", "replace")
    return "".join(
        character if character.isprintable() and character.isascii() else "?" for character in text
    )
