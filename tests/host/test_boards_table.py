"""The table of boards: every row, against the formats, the firmware's rules and each other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from firmshake import firmware, partitions, uf2
from firmshake.boards import table
from firmshake.boards.table import BLOCK, BOARDS, CIRCUITPYTHON, MIB, MICROPYTHON, RUNTIMES, Board
from firmshake.errors import Error
from firmshake.partitions import APP, DATA, FAT, Partition, Region

DOCUMENT = (Path(__file__).parents[2] / "docs" / "boards.md").read_text("utf-8")

every_board = pytest.mark.parametrize("board", BOARDS, ids=[board.name for board in BOARDS])

# as MicroPython's partitions-4MiBplus.csv: up to 1.25 with the filesystem, from 1.26 without
NVS = Partition("nvs", DATA, 2, 0x9000, 0x6000)
PHY = Partition("phy_init", DATA, 1, 0xF000, 0x1000)
FACTORY = Partition("factory", APP, 0, 0x10000, 0x1F0000)
VFS = Partition("vfs", DATA, FAT, 0x200000, 0x200000)


@every_board
def test_a_row_is_found_by_its_name_its_chip_and_its_family(board: Board) -> None:
    assert table.by_name(board.name) is board
    assert table.by_name(board.name.upper()) is board
    assert table.by_chip(board.chip).chip == board.chip
    assert table.by_uf2_family(board.uf2_family) is board


def test_names_are_words_of_a_command_and_each_is_there_once() -> None:
    names = [board.name for board in BOARDS]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name) for name in names)


@every_board
def test_chip_offset_and_number_are_those_that_firmware_is_told_by(board: Board) -> None:
    if board.family == "rp2":
        assert (board.image_id, board.firmware_offset) == (None, 0)
        return
    chip = next(chip for chip in firmware.CHIPS if chip.name == board.chip)
    assert (chip.image_id, chip.boot_offset) == (board.image_id, board.firmware_offset)


@every_board
def test_the_uf2_family_is_that_of_the_chip(board: Board) -> None:
    assert board.chip in uf2.FAMILIES[board.uf2_family]


@every_board
def test_the_filesystem_fits_the_flash_and_lies_on_blocks(board: Board) -> None:
    for runtime in RUNTIMES:
        for size in board.flash_sizes:
            region = table.filesystem_region(board, runtime, size, of_firmware(board, runtime))
            assert region.offset % BLOCK == region.size % BLOCK == 0
            assert 0x100000 <= region.offset < region.offset + region.size <= size


def of_firmware(board: Board, runtime: str) -> tuple[Partition, ...] | None:
    if board.family == "rp2" or runtime == CIRCUITPYTHON:
        return None
    # for 2 MiB MicroPython has a table of its own (partitions-2MiB.csv)
    small = Partition("factory", APP, 0, 0x10000, 0x160000)
    return (NVS, PHY, small if 2 * MIB in board.flash_sizes else FACTORY)


@every_board
def test_circuitpython_has_a_filesystem_for_every_size_of_flash(board: Board) -> None:
    assert set(board.flash_sizes) <= set(board.fat_regions)


@every_board
def test_the_littlefs_is_one_that_micropython_makes(board: Board) -> None:
    made = board.littlefs
    # extmod/vfs_lfsx.c
    assert made.cache_size == 4 * max(made.read_size, made.prog_size)
    assert made.block_size == partitions.SECTOR == BLOCK
    assert made.prog_size == (256 if board.family == "rp2" else 32)


@every_board
def test_both_projects_publish_firmware_for_it(board: Board) -> None:
    assert set(board.builds) == set(RUNTIMES)
    assert all(re.fullmatch(r"\w+", build) for build in board.builds.values())


@every_board
def test_what_has_usb_is_found_by_its_numbers(board: Board) -> None:
    for usb in board.usb:
        assert (board, usb.state) in list(table.by_usb(usb.vid, usb.pid))


@every_board
def test_its_row_and_its_firmware_are_in_the_documents(board: Board) -> None:
    rows = [line for line in DOCUMENT.splitlines() if line.startswith(f"| `{board.name}`")]
    assert len(rows) == 1
    assert board.chip in rows[0]
    assert f"{board.firmware_offset:#x}" in rows[0]


@pytest.mark.parametrize(
    ("name", "size", "region"),
    [
        ("pico-w", 2 * MIB, Region(0x12C000, 212 * BLOCK)),
        ("pico-2-w", 4 * MIB, Region(0x180000, 640 * BLOCK)),
    ],
)
def test_micropython_on_a_pico_keeps_its_files_at_the_end(
    name: str, size: int, region: Region
) -> None:
    assert table.filesystem_region(table.by_name(name), MICROPYTHON, size) == region


@pytest.mark.parametrize(
    ("name", "size", "offset", "kib"),
    [
        ("esp32-s3", 4, 0x310000, 960),
        ("esp32-s3", 8, 0x450000, 3776),
        ("esp32-s3", 16, 0x450000, 11968),
        ("esp32", 4, 0x2D0000, 1216),
        ("esp32-c3", 4, 0x2D0000, 1216),
        ("pico-w", 2, 0x181000, 508),
        ("pico-2-w", 4, 0x181000, 2556),
    ],
)
def test_circuitpythons_volume_is_where_its_sources_say(
    name: str, size: int, offset: int, kib: int
) -> None:
    region = table.filesystem_region(table.by_name(name), CIRCUITPYTHON, size * MIB)
    assert region == Region(offset, kib * 1024)


def test_the_partition_table_goes_before_the_rule() -> None:
    board = table.by_name("esp32-s3")
    listed = table.filesystem_region(board, MICROPYTHON, 8 * MIB, (NVS, PHY, FACTORY, VFS))
    assert listed == Region(0x200000, 0x200000)
    ruled = table.filesystem_region(board, MICROPYTHON, 8 * MIB, (NVS, PHY, FACTORY))
    assert ruled == Region(0x200000, 6 * MIB)
    # a board whose maker chose the larger volume for 4 MiB
    user_fs = Partition("user_fs", DATA, FAT, 0x210000, 1984 * 1024)
    found = table.filesystem_region(board, CIRCUITPYTHON, 4 * MIB, (NVS, user_fs))
    assert found == Region(0x210000, 1984 * 1024)


def test_circuitpythons_volume_is_not_looked_for_in_micropythons_table() -> None:
    board = table.by_name("esp32-s3")
    with pytest.raises(Error, match="no FAT filesystem"):
        table.filesystem_region(board, CIRCUITPYTHON, 4 * MIB, (NVS, PHY, FACTORY, VFS))


def test_without_the_partition_table_an_esp32s_region_is_not_guessed() -> None:
    with pytest.raises(Error, match="depends on its firmware"):
        table.filesystem_region(table.by_name("esp32"), MICROPYTHON, 4 * MIB)


@every_board
def test_a_flash_of_another_size_is_refused(board: Board) -> None:
    with pytest.raises(Error, match="is not known with 1 MiB"):
        table.filesystem_region(board, CIRCUITPYTHON, MIB)


def test_an_unknown_name_or_chip_is_refused_and_the_known_ones_are_named() -> None:
    with pytest.raises(Error) as caught:
        table.by_name("esp8266")
    assert all(board.name in caught.value.hint for board in BOARDS)
    with pytest.raises(Error, match="ESP32-P4"):
        table.by_chip("ESP32-P4")
    assert list(table.by_usb(0x1234, 0x5678)) == []
