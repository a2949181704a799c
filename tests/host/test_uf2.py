"""UF2 files as the boot ROMs of the RP2 boards take them (support/bootrom.py)."""

from __future__ import annotations

import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import uf2 as raw
from support.bootrom import BootRom

from firmshake import image, uf2
from firmshake.errors import Error
from firmshake.image import Run

FLASH = 0x10000000
FAMILIES = {"RP2040": uf2.RP2040, "RP2350": uf2.RP2350}
CHIPS = pytest.mark.parametrize("chip", FAMILIES)
FILESYSTEM = 0x10040000
# `picotool uf2 convert --abs-block`: RP2350, erratum E10
LEAD = raw.block(b"\xef" * 256 + struct.pack("<I", 0x9957E304), 0x10FFFF00, 0, 2, uf2.ABSOLUTE)
LEAD = LEAD[:8] + struct.pack("<I", 0xA000) + LEAD[12:16] + struct.pack("<I", 256) + LEAD[20:]

RUNS = st.dictionaries(st.integers(0, 900), st.integers(1, 900), min_size=1, max_size=8)


def blocks(file: bytes) -> list[bytes]:
    return [file[at : at + uf2.BLOCK] for at in range(0, len(file), uf2.BLOCK)]


def numbers(file: bytes) -> list[tuple[int, int, int]]:
    """Number, count and family of each block."""
    return [struct.unpack_from("<3I", block, 20) for block in blocks(file)]


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def firmware(chip: str, size: int = 100 * 256) -> bytes:
    """MicroPython's kind of file; 100 pages end in the middle of a sector."""
    file = raw.file(noise(size), FLASH, FAMILIES[chip])
    return LEAD + file if chip == "RP2350" else file


def filesystem() -> list[Run]:
    files = {
        "/main.py": b"import x\n",
        "/lib/a.mpy": noise(9000),
        "/firmshake/key.der": b"KEY" * 40,
    }
    return image.build(files, 64, image.RP2).at(FILESYSTEM)


def expected(runs: list[Run], size: int = 0x80000) -> bytes:
    """Flash with the runs, erased where a sector is filled up, as it was where none is written."""
    flash = bytearray(noise(size, 2))
    for offset, data in runs:
        first, last = (offset - FLASH) // 4096, (offset - FLASH + len(data) - 1) // 4096
        for sector in range(first, last + 1):
            if not any(run.offset < offset and _touches(run, sector) for run in runs):
                flash[sector * 4096 : (sector + 1) * 4096] = b"\xff" * 4096
        flash[offset - FLASH : offset - FLASH + len(data)] = data
    return bytes(flash)


def _touches(run: Run, sector: int) -> bool:
    first, last = run.offset - FLASH, run.offset - FLASH + len(run.data) - 1
    return first // 4096 <= sector <= last // 4096


@st.composite
def apart(draw: st.DrawFn) -> list[Run]:
    """Runs that do not overlap, anywhere, of any length."""
    made, end = [], FLASH
    for gap, size in draw(RUNS).items():
        start = end + gap * 7
        made.append(Run(start, noise(size * 9, start)))
        end = start + size * 9
    return made


@given(apart(), st.sampled_from(list(FAMILIES)))
def test_what_is_written_is_read_back(runs: list[Run], chip: str) -> None:
    (part,) = uf2.parse(uf2.write(runs, FAMILIES[chip])).parts
    assert part.family == FAMILIES[chip]
    assert (part.missing, part.repeated, part.overlaps) == ((), (), False)
    found = {run.offset: run.data for run in part.runs}
    for offset, data in runs:
        start, held = next((o, d) for o, d in found.items() if o <= offset < o + len(d))
        assert held[offset - start : offset - start + len(data)] == data


@settings(max_examples=50)
@given(apart(), st.sampled_from(list(FAMILIES)), st.randoms(use_true_random=False))
def test_a_board_has_what_was_written_in_whatever_order_the_computer_copies(
    runs: list[Run], chip: str, order: random.Random
) -> None:
    file = blocks(uf2.write(runs, FAMILIES[chip]))
    order.shuffle(file)
    rom = BootRom(chip, noise(0x80000, 2))
    rom.copy(file[:-1])
    assert not rom.restarted
    rom.copy(file[-1:])
    assert rom.restarted
    assert rom.flash == expected(runs)


@CHIPS
def test_blocks_are_numbered_through_as_one_family(chip: str) -> None:
    made = uf2.merge(uf2.parse(firmware(chip)), filesystem(), FAMILIES[chip])
    own = numbers(made)[1:] if chip == "RP2350" else numbers(made)
    assert own == [(number, len(own), FAMILIES[chip]) for number in range(len(own))]
    addresses = [struct.unpack_from("<I", block, 12)[0] for block in blocks(made)][-len(own) :]
    assert addresses == sorted(addresses)
    assert all(address % 4096 == number % 16 * 256 for number, address in enumerate(addresses))


def test_the_block_for_the_rp2350s_erratum_stays_in_front_as_it_is() -> None:
    made = uf2.merge(uf2.parse(firmware("RP2350")), filesystem(), uf2.RP2350)
    assert made.startswith(LEAD)
    assert made.count(LEAD) == 1
    assert uf2.parse(made).lead == LEAD
    assert uf2.parse(firmware("RP2040")).lead == b""


@CHIPS
def test_a_board_gets_firmware_and_filesystem_from_one_file(chip: str) -> None:
    made = uf2.merge(uf2.parse(firmware(chip)), filesystem(), FAMILIES[chip])
    rom = BootRom(chip, noise(0x80000, 2))
    rom.copy(blocks(made))
    assert rom.restarted
    assert rom.flash == expected([Run(FLASH, noise(25600)), *filesystem()])


@CHIPS
@pytest.mark.parametrize("forgotten", [True, False])
def test_after_a_transfer_broke_off_another_file_is_copied_whole(
    chip: str, forgotten: bool
) -> None:
    """The control, without `forget`: of two files of one length, the first one's blocks stay."""
    first, second = (uf2.write([Run(FLASH, noise(40960, seed))], FAMILIES[chip]) for seed in (1, 2))
    rom = BootRom(chip, noise(0x80000, 2))
    rom.copy(blocks(first)[:50])
    if forgotten:
        before = bytes(rom.flash)
        rom.copy(blocks(uf2.forget(FAMILIES[chip])))
        assert rom.flash == before
    rom.copy(blocks(second))
    assert rom.restarted
    assert (rom.flash == expected([Run(FLASH, noise(40960, 2))])) == forgotten


def test_files_that_are_only_renumbered_would_lose_parts_of_sectors_on_an_rp2040() -> None:
    """The control: its ROM erases by the blocks' numbers, and the firmware's end in a sector."""
    pieces = [
        (run.offset + at, run.data[at : at + 256])
        for run in [Run(FLASH, noise(25600)), *filesystem()]
        for at in range(0, len(run.data), 256)
    ]
    file = [raw.block(data, at, n, len(pieces)) for n, (at, data) in enumerate(pieces)]
    rom = BootRom("RP2040", noise(0x80000, 2))
    rom.copy(file)
    assert rom.restarted
    assert rom.flash != expected([Run(FLASH, noise(25600)), *filesystem()])


@CHIPS
def test_two_files_one_behind_the_other_would_restart_the_board_too_early(chip: str) -> None:
    """The control: what `copy /b` makes of them."""
    rom = BootRom(chip, noise(0x80000, 2))
    rom.copy(blocks(firmware(chip)))
    assert rom.restarted
    assert rom.flash != expected([Run(FLASH, noise(25600)), *filesystem()])


@pytest.mark.parametrize(
    ("file", "family", "why"),
    [
        (raw.file(noise(512), FLASH, uf2.RP2040), uf2.RP2350, "for RP2040, the board is of RP2350"),
        (raw.file(noise(512), FLASH, None), uf2.RP2040, "for no family"),
        (raw.file(noise(512), FLASH, 0xC47E5767), uf2.RP2040, "for ESP32-S3"),
        (raw.file(noise(512), FLASH, 0x12345678), uf2.RP2040, "for family 0x12345678"),
        (raw.file(noise(512), FLASH, uf2.ABSOLUTE), uf2.RP2350, "for RP2 absolute"),
        (LEAD, uf2.RP2350, "for RP2 absolute"),
        (
            LEAD + raw.file(noise(512), FLASH, uf2.RP2350) + raw.file(noise(512), FLASH),
            uf2.RP2350,
            "and RP2040",
        ),
        (raw.block(b"", 0, 0, 1, flags=1), uf2.RP2040, "for nothing"),
    ],
)
def test_firmware_of_another_family_is_refused(file: bytes, family: int, why: str) -> None:
    with pytest.raises(Error, match=why):
        uf2.merge(uf2.parse(file), [], family)


@pytest.mark.parametrize(
    "file",
    [
        firmware("RP2040")[:-512],
        firmware("RP2040")[:-1],
        firmware("RP2040")[:512] + firmware("RP2040"),
        firmware("RP2040")[:512] + b"\0" * 512 + firmware("RP2040")[1024:],
        raw.block(bytes(256), FLASH, 0, 2) + raw.block(bytes(256), FLASH + 9, 1, 2),
    ],
    ids=["missing", "cut", "repeated", "broken", "overlap"],
)
def test_damaged_firmware_is_refused(file: bytes) -> None:
    with pytest.raises(Error, match="damaged"):
        uf2.merge(uf2.parse(file), [], uf2.RP2040)
    assert uf2.merge(uf2.parse(firmware("RP2040")), [], uf2.RP2040)


@pytest.mark.parametrize("size", [FILESYSTEM - FLASH + 1, FILESYSTEM - FLASH + 0x8000])
def test_firmware_that_reaches_into_the_filesystem_is_refused(size: int) -> None:
    """Also where it hits a block that does not travel."""
    fits = uf2.parse(firmware("RP2040", FILESYSTEM - FLASH))
    assert uf2.merge(fits, filesystem(), uf2.RP2040)
    large = uf2.parse(firmware("RP2040", size))
    with pytest.raises(Error, match="reaches into the board's filesystem at 0x10040000"):
        uf2.merge(large, filesystem(), uf2.RP2040)


def test_firmware_in_a_gap_of_the_filesystem_is_refused() -> None:
    runs = [Run(FILESYSTEM, bytes(8192)), Run(FILESYSTEM + 0x8000, bytes(4096))]
    inside = uf2.parse(raw.file(bytes(256), FILESYSTEM + 0x4000))
    with pytest.raises(Error, match="reaches into"):
        uf2.merge(inside, runs, uf2.RP2040)


@pytest.mark.parametrize(
    ("runs", "why"),
    [
        ([Run(FLASH, bytes(10)), Run(FLASH + 9, b"x")], "two parts are for the same place"),
        ([Run(FLASH, b"x"), Run(FLASH, b"y")], "two parts are for the same place"),
        ([Run(FLASH - 1, b"xx")], "not in the board's flash"),
        ([Run(0x10FFFFFF, b"xx")], "not in the board's flash"),
        ([Run(0x20000000, b"xx")], "not in the board's flash"),
    ],
)
def test_runs_that_a_board_cannot_hold_are_refused(runs: list[Run], why: str) -> None:
    with pytest.raises(Error, match=why):
        uf2.write(runs, uf2.RP2040)


def test_no_bytes_are_shown() -> None:
    found = uf2.parse(uf2.write([Run(FLASH, b"SECRET" * 10)], uf2.RP2040))
    assert "SECRET" not in repr(found)
    assert any(b"SECRET" in run.data for run in found.parts[0].runs)
