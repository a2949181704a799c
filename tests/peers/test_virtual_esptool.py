"""The virtual board's bootloader, with the real esptool at the other end.

Through RFC 2217 a run of esptool takes seconds, which pyserial spends waiting for acknowledgements:
what resets the board goes that way, and what only reads and writes goes through plain TCP.
"""

from __future__ import annotations

import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import serial
from support.boardtools import (
    ESPTOOL_PATIENCE_S,
    at_prompt,
    console,
    done,
    esptool,
    impatient,
    read_until,
    settled,
)

from firmshake.virtual import VirtualBoard, standin_firmware

MIB = 1 << 20
# no line of the product's is that slow: only a hang gets here
PATIENCE_S = 120


@pytest.fixture
def loader() -> Iterator[VirtualBoard]:
    """A board in download mode, on plain TCP too."""
    with VirtualBoard(boot_held=True, raw_port=0) as board:
        yield board


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def test_esptool_resets_the_board_into_its_bootloader_and_back() -> None:
    with VirtualBoard(mac=bytes.fromhex("7c9ebd010203")) as board:
        told = done(board.url, "read-mac")
        assert re.search(r"MAC: +7c:9e:bd:01:02:03\n", told)
        assert "ESP32-D0WD-V3 (revision v3.1)" in told
        assert "Crystal frequency:  40MHz" in told
        # the tool reset it, and MicroPython runs; neither closing nor opening a port resets
        settled(board.url)
        with console(board.url) as port:
            assert b"rst:" not in at_prompt(port)


def test_esptool_tells_the_size_of_the_flash_without_its_stub() -> None:
    with VirtualBoard(flash_size=8 * MIB, boot_held=True, raw_port=0) as board:
        told = done(board.raw_url, "--no-stub", "flash-id")
    assert "Detected flash size: 8MB" in told
    assert "Manufacturer: ef" in told


@pytest.mark.parametrize("baud", ["115200", "921600"])
@pytest.mark.parametrize("stub", [[], ["--no-stub"]], ids=["stub", "rom"])
def test_esptool_writes_verifies_and_reads_sparse_regions(
    loader: VirtualBoard, tmp_path: Path, baud: str, stub: list[str]
) -> None:
    plain, packed = tmp_path / "plain", tmp_path / "packed"
    plain.write_bytes(noise(3000))
    packed.write_bytes(b"firmshake\xc0\xdb\xff" * 1500)
    before = bytes(loader.flash)
    regions = ["0x204000", str(packed), "0x200000", str(plain)]
    options = ["--chip", "esp32", "--baud", baud, *stub]
    told = done(loader.raw_url, *options, "write-flash", "-z", "-fs", "keep", *regions)
    assert told.count("Hash of data verified") == 2
    assert "compressed" in told
    assert loader.flash.read(0x200000, 3000) == plain.read_bytes()
    assert loader.flash.read(0x204000, 18000) == packed.read_bytes()
    assert bytes(loader.flash)[:0x200000] == before[:0x200000]
    assert loader.flash.read(0x201000, 0x3000) == b"\xff" * 0x3000

    # esptool leaves the stub running: without it the board has to start anew
    if stub:
        loader.press_reset()
    told = done(loader.raw_url, *options, "verify-flash", *regions)
    assert told.count("Verification successful") == 2
    back = tmp_path / "back"
    done(loader.raw_url, *options, "read-flash", "0x203f00", "1000", str(back))
    assert back.read_bytes() == loader.flash.read(0x203F00, 1000)


def test_esptool_erases_regions_and_all(loader: VirtualBoard) -> None:
    done(loader.raw_url, "--chip", "esp32", "erase-region", "0x10000", "0x1000")
    assert loader.flash.read(0x10000, 0x1000) == b"\xff" * 0x1000
    assert loader.flash.read(0x1000, 1) == b"\xe9"
    done(loader.raw_url, "--chip", "esp32", "erase-flash")
    assert bytes(loader.flash) == b"\xff" * loader.flash.size


def test_esptool_takes_the_standin_for_firmware(tmp_path: Path) -> None:
    image = tmp_path / "firmware.bin"
    image.write_bytes(standin_firmware()[0xF000:])
    told = subprocess.run(
        [sys.executable, "-m", "esptool", "image-info", str(image)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "Validation hash" in told
    assert "(valid)" in told
    assert "Application Information" in told
    assert not re.search(r"Project name: +\w", told)  # MicroPython's own leaves it out


def test_a_blank_board_prints_that_its_header_is_invalid() -> None:
    with VirtualBoard(blank=True) as board:
        port = serial.serial_for_url(board.url, 115200, timeout=0.2)
        try:
            seen = read_until(port, b"rst:0x10 (RTCWDT_RTC_RESET)", ESPTOOL_PATIENCE_S)
            seen += read_until(port, b"invalid header: 0xffffffff\r\n", ESPTOOL_PATIENCE_S)
        finally:
            port.close()
    assert b"MicroPython" not in seen


def test_bytes_take_their_time_on_the_line(loader: VirtualBoard, tmp_path: Path) -> None:
    """Not how fast the board is: that it is no faster than the line."""
    data = tmp_path / "data"
    data.write_bytes(noise(40_000))
    started = time.monotonic()
    done(loader.raw_url, "--chip", "esp32", "write-flash", "-fs", "keep", "0x200000", str(data))
    assert time.monotonic() - started > 40_000 * 10 / 115200


def test_pulled_while_it_is_written_the_board_fails_esptool_and_then_takes_a_second_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ESPTOOL_CFGFILE", impatient(tmp_path))
    data = tmp_path / "data"
    data.write_bytes(noise(100_000))
    options = ["--chip", "esp32", "--baud", "460800"]
    command = [*options, "write-flash", "-fs", "keep", "0x200000", str(data)]
    with VirtualBoard(boot_held=True, raw_port=0) as board:
        with subprocess.Popen(
            [
                *(sys.executable, "-m", "esptool", "--connect-attempts", "7"),
                *("--port", board.raw_url, *command),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as run:
            try:
                deadline = time.monotonic() + PATIENCE_S
                while board.flash.read(0x200000, 16) == b"\xff" * 16:
                    assert time.monotonic() < deadline
                    time.sleep(0.01)
                board.unplug()
                run.communicate(timeout=PATIENCE_S)
                assert run.returncode != 0
            finally:
                run.kill()
        written = board.flash.read(0x200000, 100_000)
        assert written != data.read_bytes()
        assert written.startswith(data.read_bytes()[:16])
        refused = esptool(board.raw_url, *command)
        assert refused.returncode != 0
        assert "Connection refused" in refused.stdout
        board.replug()
        done(board.raw_url, *command)
        assert board.flash.read(0x200000, 100_000) == data.read_bytes()
