"""The parts of a virtual board that need no process: flash, reset circuit, firmware, ROM, port."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from serial import rfc2217

from firmshake import firmware, partitions
from firmshake.errors import Error
from firmshake.virtual import nor, rom, standin_firmware
from firmshake.virtual.circuit import Edge, ResetCircuit
from firmshake.virtual.firmware import BOOT_OFFSET
from firmshake.virtual.line import NotTelnet, SerialPort, Telnet
from firmshake.virtual.models import EFUSE, ESP32
from firmshake.virtual.pace import heard
from firmshake.virtual.registers import Registers

MIB = 1 << 20


@pytest.fixture
def flash() -> Iterator[nor.Flash]:
    flash = nor.in_memory(4 * MIB)
    yield flash
    flash.close()


# flash


@given(
    st.lists(st.tuples(st.integers(0, 9000), st.binary(min_size=1, max_size=300)), max_size=6),
    st.integers(0, 9000),
    st.integers(0, 5000),
)
def test_programming_only_clears_bits_and_erasing_sets_whole_sectors(
    writes: list[tuple[int, bytes]], offset: int, size: int
) -> None:
    flash = nor.in_memory(3 * nor.SECTOR)
    model = bytearray(b"\xff" * 3 * nor.SECTOR)
    try:
        for at, data in writes:
            flash.program(at, data)
            for n, byte in enumerate(data):
                model[at + n] &= byte
        assert bytes(flash) == model
        flash.erase(offset, size)
        for sector in range(3):
            start = sector * nor.SECTOR
            if size and offset < start + nor.SECTOR and start < offset + size:
                model[start : start + nor.SECTOR] = b"\xff" * nor.SECTOR
        assert bytes(flash) == model
    finally:
        flash.close()


def test_a_flash_file_is_private_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "flash.bin"
    flash, is_new = nor.in_file(path, MIB)
    assert is_new
    assert path.stat().st_mode & 0o777 == 0o600
    flash.program(10, b"kept")
    flash.close()
    flash, is_new = nor.in_file(path, MIB)
    assert not is_new
    assert flash.read(10, 4) == b"kept"
    flash.close()


def test_two_boards_cannot_have_one_flash_file(tmp_path: Path) -> None:
    first, _ = nor.in_file(tmp_path / "flash.bin", MIB)
    with pytest.raises(Error, match="in use by another virtual board"):
        nor.in_file(tmp_path / "flash.bin", MIB)
    first.close()
    nor.in_file(tmp_path / "flash.bin", MIB)[0].close()


def test_a_file_of_another_size_is_no_flash(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(Error, match="holds 5 bytes"):
        nor.in_file(tmp_path / "notes.txt", MIB)
    assert (tmp_path / "notes.txt").read_text() == "hello"


# reset circuit: DTR and RTS as a tool asserts them, and what comes of each change


@pytest.mark.parametrize(
    ("steps", "edges"),
    [
        # a tool opens the port: DTR, then RTS; and closes it: both at once
        (["DTR", "DTR RTS", ""], [Edge.NOTHING, Edge.NOTHING, Edge.NOTHING]),
        # reset alone
        (["RTS", ""], [Edge.RESET, Edge.BOOT]),
        # into the bootloader, one line after the other, with both asserted in between
        (["RTS", "DTR RTS", "DTR", ""], [Edge.RESET, Edge.HELD, Edge.DOWNLOAD, Edge.NOTHING]),
        # the same with both lines changed at once
        (["RTS", "DTR", ""], [Edge.RESET, Edge.DOWNLOAD, Edge.NOTHING]),
        # closed while in reset
        (["RTS", "RTS", ""], [Edge.RESET, Edge.NOTHING, Edge.BOOT]),
        # DTR alone never resets
        (["DTR", "", "DTR"], [Edge.NOTHING, Edge.NOTHING, Edge.NOTHING]),
    ],
)
def test_the_circuit_follows_its_truth_table(steps: list[str], edges: list[Edge]) -> None:
    circuit = ResetCircuit()
    assert [circuit.set("DTR" in step, "RTS" in step) for step in steps] == edges


def test_a_chip_with_both_lines_asserted_starts_after_a_while() -> None:
    circuit = ResetCircuit()
    circuit.set(dtr=False, rts=True)
    assert circuit.set(dtr=True, rts=True) is Edge.HELD
    assert circuit.held_long_enough() is Edge.BOOT
    assert circuit.held_long_enough() is Edge.NOTHING


# firmware


@pytest.mark.parametrize(
    ("version", "listed", "size", "offset"),
    [("v1.25.0", True, 4 * MIB, 0x200000), ("v1.26.1", False, 4 * MIB, 0x200000)],
)
def test_the_standin_reads_as_micropythons_firmware(
    version: str, listed: bool, size: int, offset: int
) -> None:
    found = firmware.identify(standin_firmware(version, vfs_partition=listed))
    assert (found.chip, found.offset) == ("ESP32", 0x1000)
    assert (found.micropython, found.app.is_micropython) == (version, True)
    assert (found.app.project, found.app.version) == ("", "")  # MicroPython leaves them out
    assert any(row.label == "vfs" for row in found.table) is listed
    assert partitions.filesystem_region(found.table, size) == (offset, size - offset)


def test_the_standin_may_be_of_another_chip_or_project() -> None:
    assert firmware.identify(standin_firmware(chip_id=9)).chip == "ESP32-S3"
    assert firmware.identify(standin_firmware(project="blink")).app.project == "blink"


# what the ROM finds


def test_an_erased_flash_has_no_image(flash: nor.Flash) -> None:
    found = rom.examine(flash)
    assert found == rom.NoImage(0xFFFFFFFF)
    assert b"invalid header: 0xffffffff\r\n" in rom.complaint(found)


def test_micropython_is_started_with_the_filesystem_that_its_table_gives(flash: nor.Flash) -> None:
    flash.program(BOOT_OFFSET, standin_firmware("v1.26.1"))
    assert rom.examine(flash) == rom.Start("v1.26.1", partitions.Region(0x200000, 2 * MIB))


@pytest.mark.parametrize(
    ("start", "size"), [(0x1010, 0x100), (0x8000, 0x1000), (0x10000, 0x1000), (0x10150, 0x10)]
)
def test_half_written_firmware_does_not_start(flash: nor.Flash, start: int, size: int) -> None:
    flash.program(BOOT_OFFSET, standin_firmware())
    flash.program(start, b"\0" * size)
    assert isinstance(rom.examine(flash), rom.Broken)


def test_an_application_that_is_not_micropython_is_named(flash: nor.Flash) -> None:
    flash.program(BOOT_OFFSET, standin_firmware("v7", project="blink"))
    found = rom.examine(flash)
    assert found == rom.Foreign("blink v7")
    assert b"blink v7 does not run here" in rom.complaint(found)


def test_tools_can_read_the_boot_mode() -> None:
    assert b"boot:0x13 " in rom.greeting(rom.Cause.POWER_ON, download=False)
    assert b"waiting for download\r\n" in rom.greeting(rom.Cause.POWER_ON, download=True)


# registers, line


@pytest.mark.parametrize("baud", [9600, 115200, 460800, 921600])
def test_the_crystal_is_worked_out_of_the_line_speed(baud: int) -> None:
    registers = Registers(bytes(6), MIB)
    registers.baud = baud
    assert registers.read(ESP32.uart_clkdiv) * baud == pytest.approx(40e6, rel=0.02)


@given(st.binary(min_size=6, max_size=6))
def test_the_address_is_in_the_efuses(mac: bytes) -> None:
    registers = Registers(mac, MIB)
    words = registers.read(EFUSE + 8), registers.read(EFUSE + 4)
    assert b"".join(word.to_bytes(4, "big") for word in words)[2:] == mac


@given(st.binary(min_size=1, max_size=50))
def test_at_another_speed_bytes_are_junk(data: bytes) -> None:
    assert heard(data, 115200, 115200) == data
    assert heard(data, 115200, 117000) == data
    junk = heard(data, 115200, 921600)
    assert len(junk) == len(data)
    assert all(a != b for a, b in zip(data, junk, strict=True))


class Bench:
    """What hangs on the port: keeps what reaches it."""

    baud = 115200

    def __init__(self) -> None:
        self.lines: list[tuple[bool, bool]] = []

    def receive(self, data: bytes, baud: int) -> None:
        raise AssertionError

    def set_lines(self, dtr: bool, rts: bool) -> None:
        self.lines.append((dtr, rts))

    def listen(self, listener: object) -> None:
        raise AssertionError


DTR_ON = rfc2217.IAC + rfc2217.SB + rfc2217.COM_PORT_OPTION + rfc2217.SET_CONTROL
DTR_ON += rfc2217.SET_CONTROL_DTR_ON + rfc2217.IAC + rfc2217.SE


@given(st.lists(st.one_of(st.binary(max_size=60), st.just(None)), max_size=8), st.integers(1, 40))
def test_telnet_gives_data_whole_and_obeys_commands_between_however_it_is_cut(
    parts: list[bytes | None], size: int
) -> None:
    bench = Bench()
    telnet = Telnet(SerialPort(bench), lambda answer: None)
    stream = b"".join(
        DTR_ON if part is None else part.replace(b"\xff", b"\xff\xff") for part in parts
    )
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
    got = b"".join(data for piece in pieces for data in telnet.received(piece))
    assert got == b"".join(part for part in parts if part is not None)
    assert bench.lines == [(True, False)] * parts.count(None)


@given(st.lists(st.binary(max_size=40), max_size=5))
def test_no_telnet_upsets_it(pieces: list[bytes]) -> None:
    telnet = Telnet(SerialPort(Bench()), lambda answer: None)
    with contextlib.suppress(NotTelnet):
        for piece in pieces:
            list(telnet.received(b"\xff" + piece))
