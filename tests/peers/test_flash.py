"""Probing and writing with the real esptool, against the virtual board."""

from __future__ import annotations

import functools
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import busyport

from firmshake import flash, image, memfile, partitions, serialport
from firmshake.errors import Error
from firmshake.image import Run
from firmshake.virtual import VirtualBoard, standin_firmware

MIB = 1 << 20
FILESYSTEM = 0x200000
ERASED_BLOCK = b"\xff" * 4096


@pytest.fixture(scope="module")
def shared() -> Iterator[VirtualBoard]:
    """One board for tests that leave it usable; it never leaves its bootloader."""
    with VirtualBoard(boot_held=True, faster_than_life=True) as board:
        yield board


@pytest.fixture
def board() -> Iterator[VirtualBoard]:
    """A board that may be spoilt, in its bootloader: MicroPython would format its filesystem."""
    with VirtualBoard(boot_held=True, faster_than_life=True) as board:
        yield board


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def read_until(port: Any, wanted: bytes, seconds: float = 60) -> bytes:
    """What comes from the port, up to and with `wanted`."""
    seen, deadline = b"", time.monotonic() + seconds
    while wanted not in seen:
        assert time.monotonic() < deadline, seen
        seen += port.read(4096)
    return seen


def test_a_probe_tells_what_the_board_is_and_what_it_holds(shared: VirtualBoard) -> None:
    found = flash.probe(shared.url)
    assert (found.chip, found.mac, found.flash_size) == ("ESP32", shared.mac, 4 * MIB)
    assert found.baud == 921600
    assert found.app is not None
    assert found.app.is_micropython
    assert found.table is not None
    region = partitions.filesystem_region(found.table, found.flash_size)
    assert region == (FILESYSTEM, 2 * MIB)


def test_a_blank_board_holds_nothing_that_is_known() -> None:
    with VirtualBoard(blank=True, flash_size=8 * MIB, faster_than_life=True) as board:
        found = flash.probe(board.url)
    assert (found.flash_size, found.table, found.app) == (8 * MIB, None, None)


def test_what_is_written_is_in_flash_and_nothing_else_changed(board: VirtualBoard) -> None:
    before = bytes(board.flash)
    runs = [Run(FILESYSTEM, noise(70_000)), Run(FILESYSTEM + 0x40000, b"k" * 121)]
    steps: list[tuple[int, int]] = []
    assert flash.write(board.url, runs, lambda *step: steps.append(step), chip="ESP32") == 921600
    after = bytes(board.flash)
    for offset, data in runs:
        assert after[offset : offset + len(data)] == data
    assert after[:FILESYSTEM] == before[:FILESYSTEM]
    assert after[FILESYSTEM + 0x41000 :] == before[FILESYSTEM + 0x41000 :]
    done = [number for number, _ in steps]
    assert done == sorted(set(done))
    assert steps[-1] == (70_121, 70_121)
    assert len(steps) > 3


def test_a_board_is_flashed_from_nothing_and_its_first_line_is_seen() -> None:
    """Firmware and filesystem in one run; the port is open before the board starts."""
    firmware = standin_firmware()
    made = image.build({"/main.py": b"print('hello', 'world')\n"}, 512)
    with VirtualBoard(blank=True, faster_than_life=True) as board:
        flash.write(board.url, [Run(0x1000, firmware), *made.at(FILESYSTEM)])
        with serialport.open_port(board.url) as port:
            serialport.reset(port)
            assert b"ets " in read_until(port, b"hello world")


def test_the_way_of_systems_without_memfd_writes_and_reads_the_same(
    shared: VirtualBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = flash.probe(shared.url)
    monkeypatch.setattr(memfile, "offered", functools.partial(memfile.offered, memfd=False))
    assert flash.probe(shared.url) == usual
    data = noise(9000, seed=2)
    flash.write(shared.url, [Run(FILESYSTEM, data)])
    assert bytes(shared.flash)[FILESYSTEM:][:9000] == data


def test_a_plain_socket_works_at_the_speed_that_nobody_can_change() -> None:
    data = noise(5000, seed=3)
    with VirtualBoard(raw_port=0, boot_held=True, faster_than_life=True) as board:
        found = flash.probe(board.raw_url)
        assert (found.mac, found.baud) == (board.mac, 115200)
        assert flash.write(board.raw_url, [Run(FILESYSTEM, data)], baud=921600) == 115200
        assert bytes(board.flash)[FILESYSTEM:][:5000] == data
        with serialport.open_port(board.raw_url) as port, pytest.raises(serialport.NoLines):
            serialport.reset(port)


def test_a_board_unplugged_while_it_is_written_is_told_and_can_be_written_again(
    board: VirtualBoard,
) -> None:
    runs = [Run(FILESYSTEM, noise(300_000))]

    def pull(done: int, total: int) -> None:
        if done < total:
            board.unplug()

    with pytest.raises(Error) as caught:
        flash.write(board.url, runs, pull)
    assert "went away" in caught.value.message
    assert "run the same command" in caught.value.hint
    board.replug()
    flash.write(board.url, runs)
    assert bytes(board.flash)[FILESYSTEM:][:300_000] == runs[0].data


def test_what_does_not_fit_the_flash_is_refused_before_a_byte_is_written(
    shared: VirtualBoard,
) -> None:
    before = bytes(shared.flash)
    with pytest.raises(Error, match="too small"):
        flash.write(shared.url, [Run(FILESYSTEM, b"x" * 99), Run(4 * MIB - 4096, bytes(8192))])
    assert bytes(shared.flash) == before


def test_firmware_of_another_chip_is_refused_before_a_byte_is_written(shared: VirtualBoard) -> None:
    before = bytes(shared.flash)
    with pytest.raises(Error, match="not the chip"):
        flash.write(shared.url, [Run(0x1000, standin_firmware(chip_id=9))])
    with pytest.raises(Error, match="not the chip"):
        flash.write(shared.url, [Run(FILESYSTEM, b"x")], chip="ESP32-S3")
    assert bytes(shared.flash) == before


def test_a_key_shows_in_no_argument_and_in_no_file(
    shared: VirtualBoard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = b"SECRETSECRETSECRET"
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    started = recorded(monkeypatch)
    seen = []

    def look(done: int, total: int) -> None:
        seen.append([*tmp_path.rglob("*")])

    flash.write(shared.url, [Run(FILESYSTEM, key.ljust(4096, b"\xff"))], look)
    assert seen == [[]]
    assert key.decode() not in repr([process.args for process in started])
    assert key in bytes(shared.flash)


def test_an_interruption_leaves_no_esptool_behind(
    shared: VirtualBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = recorded(monkeypatch)

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        flash.write(shared.url, [Run(FILESYSTEM, noise(99_000))], interrupt)
    assert [process.poll() is not None for process in started] == [True]


def started(command: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def test_an_esptool_that_says_nothing_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flash, "SILENCE_SECONDS", 0.1)
    sleeper = [sys.executable, "-c", "import time; time.sleep(600)"]
    with memfile.offered([]) as offer:
        status, output = flash._run(lambda: started(sleeper), offer, lambda line: None)
    assert status != 0
    assert "stopped responding" in output


@pytest.mark.parametrize(
    ("port", "message"),
    [
        ("/dev/absent", "there is no port /dev/absent"),
        ("rfc2217://127.0.0.1:1", "nothing serves a port"),
        ("foo://bar", "not a kind of port"),
    ],
)
def test_a_port_that_cannot_be_opened_is_told_in_our_words(port: str, message: str) -> None:
    with pytest.raises(Error, match=message) as caught:
        flash.probe(port)
    assert caught.value.hint
    assert "esptool" not in caught.value.message


def test_a_busy_port_names_the_program_that_has_it(tmp_path: Path) -> None:
    with busyport.held(tmp_path) as (port, holder):
        with pytest.raises(Error, match="is busy") as by_esptool:
            flash.probe(port)
        with pytest.raises(Error, match="is busy") as by_us:
            serialport.open_port(port)
    if os.path.isdir("/proc"):
        for caught in (by_esptool, by_us):
            assert f"(pid {holder}) has it open" in caught.value.message


def recorded(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """The processes that flash starts from here on."""
    started: list[subprocess.Popen[bytes]] = []
    ordinary = subprocess.Popen

    def start(*arguments: Any, **named: Any) -> subprocess.Popen[bytes]:
        process: subprocess.Popen[bytes] = ordinary(*arguments, **named)
        started.append(process)
        return process

    monkeypatch.setattr(subprocess, "Popen", start)
    return started
