"""UF2 as a Pico's ROM takes it, and what it then finds in the flash."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import uf2

from firmshake.boards import table
from firmshake.virtual import models, nor, rp2
from firmshake.virtual.blocks import Taking

BASE = rp2.FLASH_BASE
RP2040 = (rp2.RP2040,)
RP2350 = rp2.pico("pico-2-w").families


@pytest.fixture
def flash() -> Iterator[nor.Flash]:
    flash = nor.in_memory(1 << 20)
    yield flash
    flash.close()


def taken(taking: Taking, blocks: list[bytes]) -> list[int]:
    """The places of the blocks that completed a file."""
    return [place for place, block in enumerate(blocks) if taking.take(block)]


def test_all_blocks_in_any_order_are_a_file(flash: nor.Flash) -> None:
    data = random.Random(1).randbytes(10 * 256)
    blocks = uf2.blocks(data, BASE + 0x1000)
    random.Random(2).shuffle(blocks)
    assert taken(Taking(flash, RP2040), blocks) == [9]
    assert flash.read(0x1000, len(data)) == data


def test_a_missing_block_is_waited_for(flash: nor.Flash) -> None:
    blocks = uf2.blocks(bytes(10 * 256))
    taking = Taking(flash, RP2040)
    assert taken(taking, blocks[:4] + blocks[5:]) == []
    assert taken(taking, [blocks[4]]) == [0]


@pytest.mark.parametrize(
    "spoilt",
    [
        uf2.block(bytes(256), BASE, 0, 1, family=rp2.RP2350_ARM_S),
        uf2.block(bytes(256), BASE, 0, 1, family=None),
        uf2.block(bytes(255), BASE, 0, 1),
        uf2.block(bytes(256), BASE, 0, 1, flags=0x1),
        uf2.block(bytes(256), BASE, 1, 1),
        uf2.block(bytes(256), BASE + 128, 0, 1),
        uf2.block(bytes(256), BASE + (1 << 20), 0, 1),
        uf2.block(bytes(256), 0x20000000, 0, 1),
        uf2.block(bytes(256), 0, 0, 1),
        b"x" + uf2.block(bytes(256), BASE, 0, 1)[1:],
        uf2.block(bytes(256), BASE, 0, 1)[:-1] + b"x",
    ],
)
def test_a_block_that_is_not_for_it_is_passed_over(flash: nor.Flash, spoilt: bytes) -> None:
    taking = Taking(flash, RP2040)
    assert not taking.take(spoilt)
    assert bytes(flash) == b"\xff" * flash.size
    assert taking.take(uf2.block(bytes(256), BASE, 0, 1))


def test_two_files_one_behind_the_other_are_not_one(flash: nor.Flash) -> None:
    """What a file of two parts that keep their numbers comes to: a restart after the first."""
    first, second = uf2.blocks(bytes(512)), uf2.blocks(bytes(1024), BASE + 0x1000)
    assert taken(Taking(flash, RP2040), first + second)[0] == 1


def test_a_sector_that_comes_in_two_parts_is_erased_once(flash: nor.Flash) -> None:
    flash.program(0, bytes(8192))
    blocks = uf2.blocks(b"\xa5" * 4096)
    taken(Taking(flash, RP2040), blocks[8:] + blocks[:8])
    assert flash.read(0, 8192) == b"\xa5" * 4096 + bytes(4096)


def test_a_pico_2_takes_its_own_families_and_passes_over_the_block_for_its_fault(
    flash: nor.Flash,
) -> None:
    lone = uf2.block(bytes(256), BASE + 0xFFF00, 0, 2, family=rp2.ABSOLUTE)
    blocks = uf2.blocks(b"\x5a" * 1024, family=rp2.RP2350_ARM_S)
    assert taken(Taking(flash, RP2350), [lone, *blocks]) == [4]
    assert flash.read(0, 1024) == b"\x5a" * 1024
    assert flash.read(0xFFF00, 256) == b"\xff" * 256
    assert taken(Taking(flash, RP2350), uf2.blocks(bytes(512))) == []


@given(st.binary(max_size=2000))
def test_anything_may_lie_on_the_drive(data: bytes) -> None:
    flash = nor.in_memory(8192)
    try:
        taking = Taking(flash, RP2040)
        for at in range(0, len(data), 512):
            assert not taking.take(data[at : at + 512])
    finally:
        flash.close()


@pytest.mark.parametrize("name", ["pico-w", "pico-2-w"])
def test_the_rom_starts_what_has_its_mark(flash: nor.Flash, name: str) -> None:
    board = rp2.pico(name)
    assert not rp2.starts(board, flash)
    flash.program(0, rp2.standin(board, "v1.27.0"))
    assert rp2.starts(board, flash)
    assert rp2.micropython_version(board, flash) == "v1.27.0"
    flash.program(0, bytes(16))
    assert not rp2.starts(board, flash)


@pytest.mark.parametrize("board", rp2.PICOS, ids=lambda board: board.name)
def test_a_virtual_pico_is_as_the_table_of_boards_has_it(board: rp2.Pico) -> None:
    row = table.by_name(board.name)
    assert (board.chip, board.volume) == (row.chip, row.bootloader_drive)
    assert (board.flash_size,) == row.flash_sizes
    assert board.region == row.littlefs_region
    assert board.families[0] == row.uf2_family
    assert board.machine.startswith(row.machine)


@pytest.mark.parametrize("model", models.MODELS, ids=lambda model: model.name)
def test_a_virtual_chip_is_as_the_table_of_boards_has_it(model: models.Model) -> None:
    row = table.by_chip(model.name)
    assert (model.boot_offset, model.image_id) == (row.firmware_offset, row.image_id)
    assert models.model(row.name) is model
