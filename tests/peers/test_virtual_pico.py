"""The virtual Pico: a drive that takes UF2, then the real MicroPython with the real mpremote."""

from __future__ import annotations

import time
from pathlib import Path

import littlefs
import pytest
import serial
from support import uf2
from support.boardtools import mpremote, send_away, wait_until

from firmshake.errors import Error
from firmshake.virtual import Cut, Faults, VirtualPico, rp2


def firmware(board: str = "pico-w") -> bytes:
    """MicroPython's stand-in as UF2."""
    made = rp2.pico(board)
    return uf2.file(rp2.standin(made), rp2.FLASH_BASE, made.families[0])


def with_files(board: str, files: dict[str, bytes]) -> bytes:
    """One UF2 with firmware and a filesystem, blocks numbered through."""
    made = rp2.pico(board)
    filesystem = littlefs.LittleFS(
        block_size=4096,
        block_count=made.region.block_count,
        read_size=32,
        prog_size=256,
        cache_size=1024,
        lookahead_size=32,
        disk_version=0x00020000,
    )
    for name, data in files.items():
        with filesystem.open(name, "wb") as file:
            file.write(data)
    image = bytes(filesystem.context.buffer)
    pieces = [(rp2.FLASH_BASE + at, rp2.standin(made)[at : at + 256]) for at in range(0, 4096, 256)]
    start = rp2.FLASH_BASE + made.region.offset
    for at in range(0, len(image), 4096):
        if image[at : at + 4096].strip(b"\xff"):
            pieces += [(start + n, image[n : n + 256]) for n in range(at, at + 4096, 256)]
    return b"".join(
        uf2.block(data, address, number, len(pieces), made.families[0])
        for number, (address, data) in enumerate(pieces)
    )


def port_is_open(board: VirtualPico) -> bool:
    try:
        serial.serial_for_url(board.url).close()
    except OSError:  # refused, or hung up in the middle
        return False
    return True


@pytest.mark.parametrize("name", ["pico-w", "pico-2-w"])
def test_a_blank_pico_is_a_drive_until_it_has_a_whole_file(tmp_path: Path, name: str) -> None:
    drive = tmp_path / "drive"
    main = b"import sys\nprint('up', sys.platform)\n"
    with VirtualPico(board=name, drive=drive) as board:
        assert board.is_drive
        assert (
            f"Board-ID: {rp2.pico(name).volume}\r\n".encode()
            in (drive / "INFO_UF2.TXT").read_bytes()
        )
        assert not port_is_open(board)
        (drive / "firmware.uf2").write_bytes(with_files(name, {"main.py": main}))
        wait_until(lambda: not drive.exists())
        wait_until(lambda: port_is_open(board))
        assert mpremote(board.url, "exec", "import os; print(os.listdir('/'))") == "['main.py']\n"
        code = "import machine, sys; print(machine.unique_id().hex(), sys.implementation._machine)"
        told = mpremote(board.url, "exec", code)
        assert told == f"{board.unique_id} {rp2.pico(name).machine}\n"
        # 256 bytes at a time, on all of its blocks, since 1970
        code = "import os, time; print(os.statvfs('/')[2], time.gmtime(0)[0], time.gmtime()[0])"
        assert (
            mpremote(board.url, "exec", code) == f"{rp2.pico(name).region.block_count} 1970 2021\n"
        )
    assert not drive.exists()


def test_a_flash_without_files_is_formatted_and_what_is_copied_stays(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(bytes(range(256)) * 5)
    with VirtualPico(drive=tmp_path / "drive", blank=False) as board:
        board.flash.program(0x12C000, bytes(8192))  # not erased: it is formatted all the same
        mpremote(board.url, "fs", "cp", str(source), ":/copied")
        board.unplug()
        board.replug()
        assert "1280 copied" in mpremote(board.url, "fs", "ls", ":/")


def test_the_program_brings_the_drive_back(tmp_path: Path) -> None:
    drive = tmp_path / "drive"
    with VirtualPico(drive=drive, blank=False) as board:
        assert not board.is_drive
        send_away(board.url)
        wait_until(lambda: (drive / "INDEX.HTM").exists())
        wait_until(lambda: not port_is_open(board))
        (drive / "again.uf2").write_bytes(firmware())
        wait_until(lambda: port_is_open(board))


def test_a_file_that_is_still_open_is_not_taken(tmp_path: Path) -> None:
    drive = tmp_path / "drive"
    with VirtualPico(drive=drive) as board:
        with (drive / "firmware.uf2").open("wb") as file:
            file.write(firmware())
            file.flush()
            time.sleep(1)
            assert board.is_drive
        wait_until(lambda: not board.is_drive)


def test_a_file_for_another_chip_leaves_the_drive_there(tmp_path: Path) -> None:
    drive = tmp_path / "drive"
    with VirtualPico(board="pico-2-w", drive=drive) as board:
        wrong = firmware("pico-w")
        (drive / "wrong.uf2").write_bytes(wrong)
        wait_until(lambda: board.received == len(wrong))
        assert board.is_drive
        assert board.flash.read(0, 4096) == b"\xff" * 4096
        (drive / "right.uf2").write_bytes(firmware("pico-2-w"))
        wait_until(lambda: port_is_open(board))


def test_a_held_button_shows_the_drive(tmp_path: Path) -> None:
    with VirtualPico(drive=tmp_path / "drive", blank=False, held=True) as board:
        assert board.is_drive
        board.hold_bootsel(False)
        board.unplug()
        assert not (tmp_path / "drive").exists()
        board.replug()
        assert not board.is_drive
        assert port_is_open(board)


def test_a_folder_with_something_in_it_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    with pytest.raises(Error, match="is not empty"):
        VirtualPico(drive=tmp_path)
    assert (tmp_path / "precious").read_text() == "mine"


@pytest.mark.parametrize("percent", [0, 1, 50, 99])
def test_unplugged_in_the_middle_of_a_file_it_takes_the_file_again(
    tmp_path: Path, percent: int
) -> None:
    drive = tmp_path / "drive"
    faults = Faults(unplug_at=Cut(share=percent / 100))
    with VirtualPico(drive=drive, faults=faults) as board:
        (drive / "firmware.uf2").write_bytes(firmware())
        wait_until(lambda: not board.is_plugged)
        assert not drive.exists()
        assert not port_is_open(board)
        board.replug()
        assert board.is_drive
        (drive / "firmware.uf2").write_bytes(firmware())
        wait_until(lambda: port_is_open(board))
        assert mpremote(board.url, "exec", "print(6 * 7)") == "42\n"


def test_it_is_unplugged_only_once_its_drive_is_gone(tmp_path: Path) -> None:
    drive = tmp_path / "drive"
    with VirtualPico(drive=drive) as board:
        told: list[tuple[bool, bool]] = []
        board.drive.on_change = lambda: told.append((drive.exists(), board.is_plugged))
        board.unplug()
        assert told == [(False, True)]
        assert not board.is_plugged
