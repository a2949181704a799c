"""The sparse LittleFS image, mounted by the real MicroPython over flash that was not blank."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.mounted import WRITTEN, aged, expected, look, noise

from firmshake import image
from firmshake.image import BLOCK_SIZE, Parameters

PARAMETERS = {"esp32": image.ESP32, "rp2": image.RP2}
# blocks of: a small one, 2 MB less OTA, Pico W, ESP32 of 4 MB, Pico 2 W, S3 of 16 MB
BLOCK_COUNTS = (64, 368, 212, 512, 640, 3584)
EACH = pytest.mark.parametrize("parameters", PARAMETERS.values(), ids=list(PARAMETERS))

# sizes around what lies in a folder, a block, and a chain of blocks
SIZES = st.one_of(st.integers(0, 1100), st.integers(4000, 4200), st.integers(0, 20000))
NAMES = st.sampled_from(["a", "B", "lib", "key.der", "n" * 64, "settings.json", "é"])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))


@st.composite
def trees(draw: st.DrawFn) -> dict[str, bytes]:
    """Files in folders; what would be both is left out."""
    made: dict[str, bytes] = {}
    for path, size in draw(st.dictionaries(PATHS, SIZES, max_size=12)).items():
        if not any(path.startswith(f"{one}/") or one.startswith(f"{path}/") for one in made):
            made[path] = noise(size, size)
    return made


def files(seed: int) -> dict[str, bytes]:
    """A tree of a board's shape: small files inside directories, larger ones in blocks."""
    source = random.Random(seed)
    made = {"/main.py": b"import x\n", "/firmshake/key.der": source.randbytes(121)}
    made |= {f"/lib/agent/m{n}.mpy": source.randbytes(source.randrange(6000)) for n in range(12)}
    return made | {f"/lib/deep/{n}/er/f": source.randbytes(n * 300) for n in range(5)}


MORE = files(100) | {f"/x{n}": b"x" for n in range(40)}


def laid(tree: dict[str, bytes], flash: bytes, parameters: Parameters) -> bytes:
    """The flash after the tree's image was written."""
    return image.laid_over(flash, image.build(tree, len(flash) // BLOCK_SIZE, parameters).runs)


def check(flash: bytes, tree: dict[str, bytes], folder: Path, parameters: Parameters) -> None:
    seen = look(flash, folder, prog_size=parameters.prog_size)
    assert seen.found == expected(tree)
    assert seen.again == expected(tree | WRITTEN)
    assert seen.blocks == len(flash) // BLOCK_SIZE


@EACH
@pytest.mark.parametrize("block_count", BLOCK_COUNTS)
@pytest.mark.parametrize("before", ["erased", "random"])
def test_micropython_reads_every_file_whatever_the_flash_held(
    block_count: int, before: str, parameters: Parameters, tmp_path: Path
) -> None:
    size = block_count * BLOCK_SIZE
    flash = b"\xff" * size if before == "erased" else noise(size, block_count)
    tree = files(block_count)
    check(laid(tree, flash, parameters), tree, tmp_path, parameters)


@EACH
@pytest.mark.parametrize("generations", range(4))
@pytest.mark.parametrize(
    "newer", [files(100), {}, files(100) | {f"/x{n}": b"x" for n in range(40)}]
)
def test_an_older_filesystem_never_shows_through(
    generations: int, newer: dict[str, bytes], parameters: Parameters, tmp_path: Path
) -> None:
    """The older images lie alike, and their folders have been written to many times."""
    flash = noise(256 * BLOCK_SIZE, generations)
    for generation in range(generations + 1):
        flash = laid(files(generation), flash, parameters)
        flash = aged(flash, tmp_path, prog_size=parameters.prog_size)
    check(laid(newer, flash, parameters), newer, tmp_path, parameters)


def test_without_the_blocks_that_are_only_read_an_older_filesystem_shows_through(
    tmp_path: Path,
) -> None:
    """The control: the second block of each pair, which is erased and no more."""
    older = laid(files(1), noise(256 * BLOCK_SIZE, 1), image.ESP32)
    flash = aged(aged(older, tmp_path), tmp_path)
    tree = files(100)
    blank = b"\xff" * BLOCK_SIZE
    built = image.build(tree, 256).blocks
    written = {block: data for block, data in built.items() if data != blank}
    without = image.laid_over(
        flash, [image.Run(block * BLOCK_SIZE, data) for block, data in written.items()]
    )
    with pytest.raises(AssertionError):
        check(without, tree, tmp_path, image.ESP32)
    check(laid(tree, flash, image.ESP32), tree, tmp_path, image.ESP32)


@settings(max_examples=40)
@given(trees(), trees(), st.sampled_from(list(PARAMETERS.values())), st.integers(0, 9))
def test_any_tree_replaces_any_other(
    older: dict[str, bytes], newer: dict[str, bytes], parameters: Parameters, seed: int
) -> None:
    with tempfile.TemporaryDirectory() as name:
        flash = laid(older, noise(128 * BLOCK_SIZE, seed), parameters)
        if seed % 2:
            flash = aged(flash, Path(name), prog_size=parameters.prog_size)
        check(laid(newer, flash, parameters), newer, Path(name), parameters)
