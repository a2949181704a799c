"""Every chip of the family in its bootloader, with the real esptool, and the real MicroPython then.

The ESP32 itself is in test_virtual_esptool.py.
"""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
import serial
from support.boardtools import ESPTOOL_PATIENCE_S, done, esptool, read_until

from firmshake import firmware
from firmshake.virtual import VirtualBoard, standin_firmware

MIB = 1 << 20
# no line of the product's is that slow: only a hang gets here

CHIPS = [
    ("ESP32-S2", "ESP32-S2 (revision v1.0)", "0x1000"),
    ("ESP32-S3", "ESP32-S3 (QFN56) (revision v0.2)", "0x0"),
    ("ESP32-C3", "ESP32-C3 (QFN32) (revision v0.4)", "0x0"),
    ("ESP32-C6", "ESP32-C6 (QFN40) (revision v0.1)", "0x0"),
]


@pytest.mark.parametrize(("chip", "described", "offset"), CHIPS)
def test_esptool_knows_the_chip_its_address_and_its_flash(
    chip: str, described: str, offset: str
) -> None:
    mac = bytes.fromhex("f412fa010203")
    with VirtualBoard(chip=chip, mac=mac, flash_size=8 * MIB, boot_held=True, raw_port=0) as board:
        told = done(board.raw_url, "--after", "no-reset", "flash-id")
        assert re.search(rf"Chip type: +{re.escape(described)}\n", told)
        assert re.search(r"MAC: +f4:12:fa:01:02:03\n", told)
        assert "Stub flasher running" in told
        assert "Detected flash size: 8MB" in told
        board.press_reset()
        told = done(board.raw_url, "--no-stub", "--chip", chip.lower(), "chip-id")
        assert described in told


@pytest.mark.parametrize("stub", [[], ["--no-stub"]], ids=["stub", "rom"])
@pytest.mark.parametrize(("chip", "described", "offset"), CHIPS)
def test_firmware_is_written_where_the_chip_boots_and_read_back(
    tmp_path: Path, chip: str, described: str, offset: str, stub: list[str]
) -> None:
    image, back = tmp_path / "firmware.bin", tmp_path / "back.bin"
    image.write_bytes(standin_firmware(chip=chip) + random.Random(1).randbytes(3000))
    options = ["--chip", chip.lower().replace("-", ""), "--baud", "921600", *stub]
    with VirtualBoard(chip=chip, blank=True, boot_held=True, raw_port=0) as board:
        told = done(board.raw_url, *options, "write-flash", "-fs", "keep", offset, str(image))
        assert "Hash of data verified" in told
        assert firmware.identify(board.flash.read(int(offset, 16), 0x20000)).chip == chip
        board.press_reset()
        done(board.raw_url, *options, "verify-flash", offset, str(image))
        board.press_reset()
        done(board.raw_url, *options, "read-flash", "0x10000", "2000", str(back))
        assert back.read_bytes() == board.flash.read(0x10000, 2000)


@pytest.mark.parametrize("chip", ["ESP32-S3", "ESP32-C3"])
def test_a_blank_board_is_flashed_and_runs_the_real_micropython(tmp_path: Path, chip: str) -> None:
    """By its reset lines, as with a cable: from its bootloader's endless complaint to a prompt."""
    image = tmp_path / "firmware.bin"
    image.write_bytes(standin_firmware(chip=chip))
    with VirtualBoard(chip=chip, blank=True) as board:
        told = done(board.url, "--baud", "921600", "write-flash", "0x0", str(image))
        assert f"Connected to {chip}" in told
        port = serial.serial_for_url(board.url, 115200, timeout=0.2)
        try:
            port.write(b"\r\x03import sys, os\r")
            port.write(b"sys.platform, sys.implementation._machine, os.uname()[0]\r")
            called = chip.replace("-", "")
            machine = f"Generic {called} module with {called}"
            read_until(port, f"('esp32', '{machine}', 'esp32')".encode(), ESPTOOL_PATIENCE_S)
        finally:
            port.close()


def test_firmware_of_another_chip_is_refused_by_esptool_and_does_not_start(tmp_path: Path) -> None:
    image = tmp_path / "firmware.bin"
    image.write_bytes(standin_firmware(chip="ESP32-C3"))
    command = ["write-flash", "0x0", str(image)]
    with VirtualBoard(chip="ESP32-S3", blank=True, boot_held=True, raw_port=0) as board:
        refused = esptool(board.raw_url, *command)
        assert refused.returncode != 0
        assert "not an ESP32-S3 image" in refused.stdout
        board.press_reset()
        done(board.raw_url, "--after", "no-reset", *command, "--force")
        board.hold_boot(False)
        port = serial.serial_for_url(board.url, 115200, timeout=0.2)
        try:
            board.press_reset()
            read_until(
                port, b"nothing to start: the bootloader is for another chip", ESPTOOL_PATIENCE_S
            )
        finally:
            port.close()
