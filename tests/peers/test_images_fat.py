"""The sparse FAT volume, mounted by the FatFs of the real MicroPython, which CircuitPython has."""

from __future__ import annotations

import struct
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.mounted import WRITTEN, aged, expected, formatted, look, noise

from firmshake import fatimage, image

KIB = 1024
SIZES = (508, 576, 960, 1216, 1984, 2556, 3776, 4032, 11968, 12224, 28352)
# as it lies in flash, and as CircuitPython shows it
WAYS = ("fat", "circuitpython")
FILES = {
    "/code.py": b"import firmshake_agent\n",
    "/settings.toml": b"",
    "/lib/firmshake_agent/__init__.mpy": noise(9000, 1),
    "/firmshake/key.pem": noise(240, 2),
    "/A name that is long and has Big letters.txt": noise(513, 3),
    "/a/b/c/d/e": b"deep",
    **fatimage.KEPT_CLEAN,
    **{f"/many/file number {n}.txt": bytes(n) for n in range(60)},
}

NAMES = st.sampled_from(["a", "B.TXT", "lib", "key.pem", "n" * 100, "Settings.json", "two words"])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))


@st.composite
def trees(draw: st.DrawFn) -> dict[str, bytes]:
    """Files in folders; what would be both is left out."""
    made: dict[str, bytes] = {}
    for path, size in draw(st.dictionaries(PATHS, st.integers(0, 5000), max_size=12)).items():
        if not any(path.startswith(f"{one}/") or one.startswith(f"{path}/") for one in made):
            made[path] = noise(size, size)
    return made


def laid(tree: dict[str, bytes], flash: bytes) -> bytes:
    """The flash after the tree's volume was written."""
    return image.laid_over(flash, fatimage.build(tree, len(flash)).runs)


def geometry(flash: bytes) -> tuple[bytes, bytes, bytes]:
    """All of the boot sector but for the sectors in front and the volume's number."""
    return flash[:28], flash[32:39], flash[43:512]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("size", SIZES)
def test_every_file_is_read_and_more_are_written(size: int, way: str, tmp_path: Path) -> None:
    seen = look(laid(FILES, noise(size * KIB, size)), tmp_path, way)
    assert seen.found == expected(FILES)
    assert seen.again == expected(FILES | WRITTEN)


@pytest.mark.parametrize("size", SIZES)
def test_the_volume_is_laid_out_as_the_board_would(size: int, tmp_path: Path) -> None:
    """oofatfs formats its own, with CircuitPython's one sector in front of it."""
    ours = laid({}, b"\xff" * size * KIB)
    theirs = formatted(b"\xff" * size * KIB, tmp_path)
    assert geometry(ours) == geometry(theirs)
    assert struct.unpack_from("<I", ours, 28) == (1,)
    (_, _, _, sectors) = struct.unpack_from("<HBHB", ours, 11)
    assert sectors == 1
    table = struct.unpack_from("<H", ours, 22)[0] * 512
    assert ours[512 : 512 + table] == theirs[512 : 512 + table]


@pytest.mark.parametrize("newer", [FILES, {}, {"/code.py": b"x"}], ids=["more", "none", "fewer"])
def test_an_older_volume_never_shows_through(newer: dict[str, bytes], tmp_path: Path) -> None:
    flash = noise(508 * KIB, 5)
    for generation in range(3):
        older = {f"/old{n}/file.txt": noise(3000, n) for n in range(generation * 20 + 1)}
        flash = aged(laid(older, flash), tmp_path, "fat")
    seen = look(laid(newer, flash), tmp_path, "circuitpython")
    assert seen.found == expected(newer)
    assert seen.again == expected(newer | WRITTEN)


@settings(max_examples=30)
@given(trees(), trees(), st.sampled_from([508, 2556, 11968]), st.sampled_from(WAYS))
def test_any_tree_replaces_any_other(
    older: dict[str, bytes], newer: dict[str, bytes], size: int, way: str
) -> None:
    with tempfile.TemporaryDirectory() as name:
        flash = aged(laid(older, noise(size * KIB, 3)), Path(name), "fat")
        seen = look(laid(newer, flash), Path(name), way)
        assert seen.found == expected(newer)
        assert seen.again == expected(newer | WRITTEN)
