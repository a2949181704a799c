"""One UF2 file for a Pico in its bootloader, and the filesystem as its Python then finds it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import NamedTuple

import pytest
from support import uf2 as raw
from support.bootrom import BootRom
from support.mounted import WRITTEN, expected, look, noise

from firmshake import fatimage, image, uf2
from firmshake.image import BLOCK_SIZE, Image

FLASH = 0x10000000
MIB = 1024 * 1024


class Place(NamedTuple):
    """Where a filesystem lies: the chip, its flash, address and blocks."""

    chip: str
    family: int
    flash: int
    address: int
    blocks: int
    kind: str


# ports/rp2/boards/RPI_PICO_W and RPI_PICO2_W; CircuitPython's behind its 1540 KiB
PLACES = {
    "pico-w": Place("RP2040", uf2.RP2040, 2 * MIB, 0x1012C000, 212, "littlefs"),
    "pico-2-w": Place("RP2350", uf2.RP2350, 4 * MIB, 0x10180000, 640, "littlefs"),
    "pico-w-circuitpython": Place("RP2040", uf2.RP2040, 2 * MIB, 0x10181000, 127, "circuitpython"),
    "pico-2-w-circuitpython": Place(
        "RP2350", uf2.RP2350, 4 * MIB, 0x10181000, 639, "circuitpython"
    ),
}
EACH = pytest.mark.parametrize("place", PLACES.values(), ids=list(PLACES))


def files(seed: int) -> dict[str, bytes]:
    made = {f"/lib/agent/m{n}.mpy": noise(n * 700, seed + n) for n in range(seed % 5 + 6)}
    return made | {"/main.py": b"import x\n", "/firmshake/key.der": noise(121, seed)}


def built(place: Place, tree: dict[str, bytes]) -> Image:
    if place.kind == "littlefs":
        return image.build(tree, place.blocks, image.RP2)
    return fatimage.build(tree, place.blocks * BLOCK_SIZE)


@EACH
def test_a_board_that_held_others_has_exactly_the_new_files(place: Place, tmp_path: Path) -> None:
    rom = BootRom(place.chip, noise(place.flash, 1))
    start = place.address - FLASH
    for generation in (1, 2, 3):
        firmware = noise(999 * 256, generation)
        tree = files(generation)
        made = uf2.merge(
            uf2.parse(raw.file(firmware, FLASH, place.family)),
            built(place, tree).at(place.address),
            place.family,
        )
        blocks = [made[at : at + uf2.BLOCK] for at in range(0, len(made), uf2.BLOCK)]
        random.Random(generation).shuffle(blocks)
        rom.restarted = False
        rom.copy([uf2.forget(place.family), *blocks])
        assert rom.restarted
        assert rom.flash[: len(firmware)] == firmware
        lies = slice(start, start + place.blocks * BLOCK_SIZE)
        seen = look(bytes(rom.flash[lies]), tmp_path, place.kind, prog_size=256)
        assert seen.found == expected(tree)
        assert seen.again == expected(tree | WRITTEN)
        rom.flash[lies] = (tmp_path / "flash.bin").read_bytes()
