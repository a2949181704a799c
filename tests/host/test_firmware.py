"""Firmware files: what is told of good ones, and how bad ones are refused."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmshake import firmware, partitions
from firmshake.errors import Error
from firmshake.firmware import App

# MicroPython leaves its name and version out of the descriptor
APP = App("", "", "v5.4.2")
BANNER = b"\0MicroPython v1.26.1 on 2025-09-11; Generic ESP32 module with ESP32\0"
CHIPS = [(chip.name, chip.image_id, chip.boot_offset) for chip in firmware.CHIPS]


def image(payload: bytes, chip: int = 0, hashed: bool = True) -> bytes:
    """An image of one segment, as ESP-IDF's bootloader reads it."""
    header = struct.pack("<BBBBI", 0xE9, 1, 2, 0x20, 0x40080000)
    header += struct.pack("<4sHBHH4sB", bytes(4), chip, 0, 0, 0xFFFF, bytes(4), hashed)
    data = header + struct.pack("<II", 0x3F400020, len(payload)) + payload
    checksum = 0xEF
    for byte in payload:
        checksum ^= byte
    data += bytes(15 - len(data) % 16) + bytes([checksum])
    return data + hashlib.sha256(data).digest() if hashed else data


def descriptor(app: App = APP) -> bytes:
    """An esp_app_desc_t."""
    texts = struct.pack(
        "<32s32s16s16s32s", app.version.encode(), app.project.encode(), b"", b"", app.idf.encode()
    )
    return struct.pack("<I12x", 0xABCD5432) + texts.ljust(240, b"\0")


def table() -> bytes:
    rows = ((1, 2, 0x9000, 0x6000, b"nvs"), (0, 0, 0x10000, 0x1F0000, b"factory"))
    data = b"".join(
        struct.pack("<2sBBII16sI", b"\xaa\x50", kind, sub, offset, size, label, 0)
        for kind, sub, offset, size, label in rows
    )
    data += b"\xeb\xeb" + b"\xff" * 14 + hashlib.md5(data).digest()
    return data.ljust(0xC00, b"\xff")


def combined(chip: int = 0, boot_offset: int = 0x1000, app: bytes | None = None) -> bytes:
    """A file as MicroPython's makeimg.py lays it out."""
    data = image(b"\x01boot" * 99, chip).ljust(0x8000 - boot_offset, b"\xff") + table()
    application = image(descriptor() + b"code" * 5000 + BANNER, chip) if app is None else app
    return data.ljust(0x10000 - boot_offset, b"\xff") + application


@pytest.mark.parametrize(("name", "image_id", "boot_offset"), CHIPS)
def test_a_whole_file_says_its_chip_version_and_place(
    name: str, image_id: int, boot_offset: int
) -> None:
    found = firmware.identify(combined(image_id, boot_offset))
    assert (found.chip, found.offset, found.app) == (name, boot_offset, APP)
    assert [row.label for row in found.table] == ["nvs", "factory"]
    assert found.app.is_micropython
    assert found.micropython == "v1.26.1"


def test_an_image_without_a_hash_stands_by_its_checksum() -> None:
    app = image(descriptor(), hashed=False)
    assert firmware.identify(combined(app=app)).app == APP
    damaged = app[:200] + bytes([app[200] ^ 1]) + app[201:]
    with pytest.raises(Error, match="application is damaged"):
        firmware.identify(combined(app=damaged))


@pytest.mark.parametrize("at", [0x30, 0xF000 + 400, -1])
def test_one_flipped_bit_is_noticed(at: int) -> None:
    data = bytearray(combined())
    data[at] ^= 1
    with pytest.raises(Error, match="damaged"):
        firmware.identify(bytes(data))


@pytest.mark.parametrize("size", [1, 20, 30, 300, 0x7000, 0x7010, 0xF000, 0xF010, 0xF100, -33, -1])
def test_a_file_that_is_cut_off_is_refused(size: int) -> None:
    with pytest.raises(Error, match="cut off"):
        firmware.identify(combined()[:size])


def test_an_update_over_the_air_is_not_a_whole_firmware() -> None:
    with pytest.raises(Error, match="only an application") as caught:
        firmware.identify(image(descriptor()))
    assert "for installation" in caught.value.hint


def test_a_chip_that_is_not_known_is_refused_by_number() -> None:
    with pytest.raises(Error, match="number 77"):
        firmware.identify(combined(77))


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"\xffhello", b":10010000"])
def test_what_is_no_firmware_is_said_to_be_none(data: bytes) -> None:
    with pytest.raises(Error, match="not ESP32 firmware"):
        firmware.identify(data)


def test_firmware_for_another_chip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "firmware.bin"
    path.write_bytes(combined(9, 0))
    assert firmware.load(path, "ESP32-S3").chip == "ESP32-S3"
    with pytest.raises(Error, match="is for ESP32-S3, the board is ESP32"):
        firmware.load(path, "ESP32")


@pytest.mark.parametrize(
    ("app", "banner", "message"),
    [
        (
            App("", "", "v4.2"),
            b"MicroPython v1.18-127-gf46 on 2022-03-11",
            "is MicroPython v1.18-127",
        ),
        (App("", "", "v5.4"), b"", "is something else"),
        (App("circuitpython", "9.2.1", "v5.3"), b"", "is something else"),
    ],
)
def test_what_the_agent_cannot_run_on_is_refused(
    app: App, banner: bytes, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "firmware.bin"
    path.write_bytes(combined(app=image(descriptor(app) + banner)))
    with pytest.raises(Error, match=message) as caught:
        firmware.load(path)
    assert "1.23 or later" in caught.value.message
    for good in (
        b"MicroPython v1.23.0 on 2024-06-02",
        b"MicroPython v1.30.0-preview.1.gabc on 2026-01-01",
    ):
        path.write_bytes(combined(app=image(descriptor(APP) + good)))
        assert firmware.load(path).micropython == good.split()[1].decode()


def test_an_application_that_names_itself_micropython_is_believed() -> None:
    named = image(descriptor(App("micropython", "v1.25.0", "v5.4")))
    assert firmware.micropython_version(named) == "v1.25.0"
    other = image(descriptor(App("blink", "v1.25.0", "v5.4")))
    assert firmware.micropython_version(other) == ""


def test_a_wrong_sha256_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "firmware.bin"
    path.write_bytes(combined())
    right = hashlib.sha256(combined()).hexdigest()
    assert firmware.load(path, sha256=right.upper()).app == APP
    for wrong in (right[:-1], right[:-1] + "x", "", "0" * 64):
        with pytest.raises(Error, match="does not have the SHA-256"):
            firmware.load(path, sha256=wrong)


def test_a_file_that_is_absent_or_a_folder_is_an_error_of_one_line(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.bin", tmp_path):
        with pytest.raises(Error, match="cannot be read") as caught:
            firmware.load(path)
        assert "\n" not in caught.value.message


def test_a_flash_is_known_by_its_table_and_application() -> None:
    flash = bytes([0xFF] * 0x1000) + combined()
    start = partitions.TABLE_OFFSET
    rows, app = firmware.identify_flash(flash[start : start + 0x9000], start)
    assert app == APP
    assert rows is not None
    assert len(rows) == 2


def test_a_blank_flash_holds_nothing() -> None:
    assert firmware.identify_flash(b"\xff" * 0x9000, 0x8000) == (None, None)


def test_a_flash_with_another_application_has_a_table_only() -> None:
    flash = (table().ljust(0x8000, b"\xff") + image(b"\0" * 400)).ljust(0x9000, b"\xff")
    rows, app = firmware.identify_flash(flash, 0x8000)
    assert rows is not None
    assert app is None


def test_a_descriptor_cannot_smuggle_control_characters() -> None:
    hostile = App("micropython", "v1\x1b[2J\n", "v5")
    found = firmware.app_of(image(descriptor(hostile)))
    assert found is not None
    assert found.version == "v1?[2J?"


@given(st.binary(max_size=2000))
def test_any_bytes_are_firmware_or_an_error(data: bytes) -> None:
    for start in (b"", b"\xe9\x01", image(b"")[:32]):
        with pytest.raises(Error):
            firmware.identify(start + data)


@given(st.binary(max_size=300))
def test_the_checksum_is_the_bytes_xored(data: bytes) -> None:
    firmware.check_image(image(data, hashed=False), 0, "image")
