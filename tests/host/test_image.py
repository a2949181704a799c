"""The board's filesystem as runs of blocks. Mounting it is tests/peers/test_images_littlefs.py."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmshake import image
from firmshake.errors import Error
from firmshake.image import BLOCK_SIZE, Run

FILES = {"/main.py": b"import firmshake_agent\n", "/lib/a/b.mpy": bytes(range(256)) * 40}


def test_only_blocks_that_matter_travel() -> None:
    made = image.build(FILES, 512)
    assert made.size == 512 * BLOCK_SIZE
    assert made.travel_size == sum(len(run.data) for run in made.runs)
    assert made.travel_size < 20 * BLOCK_SIZE


def test_the_same_files_make_the_same_image() -> None:
    backwards = dict(reversed(FILES.items()))
    assert image.build(FILES, 512).blocks == image.build(backwards, 512).blocks


def test_both_blocks_of_each_metadata_pair_travel() -> None:
    """The second is never written, only read: what an older filesystem left there must go."""
    made = image.build({f"/d{n}/f": b"x" for n in range(8)}, 512)
    blank = [data for data in made.blocks.values() if data == b"\xff" * BLOCK_SIZE]
    assert len(blank) >= 8


def test_runs_are_placed_by_the_start_of_the_filesystem() -> None:
    made = image.build(FILES, 512)
    assert [run.offset for run in made.at(0x200000)] == [run.offset + 0x200000 for run in made.runs]


@pytest.mark.parametrize("block_count", [0, 1, 3, 5])
def test_a_filesystem_that_is_too_small_is_refused(block_count: int) -> None:
    with pytest.raises(Error, match="do not fit"):
        image.build(FILES, block_count)


def test_a_full_filesystem_is_refused_and_the_one_that_just_fits_is_not() -> None:
    files = {"/big": random.Random(1).randbytes(30 * BLOCK_SIZE)}
    with pytest.raises(Error, match="do not fit"):
        image.build(files, 30)
    assert image.build(files, 40)


def test_what_does_not_fit_is_told_with_what_is_there() -> None:
    with pytest.raises(
        Error, match="250 KiB in 2 files do not fit in the board's filesystem of 200"
    ):
        image.build({"/a": bytes(200 * 1024), "/b": bytes(50 * 1024)}, 50)


def test_small_files_lie_in_their_folder_as_far_as_the_ports_cache_goes() -> None:
    """The board reads them through it: what is inline for one port is too large for another."""
    for parameters, inline in ((image.ESP32, 128), (image.RP2, 512)):
        small = image.build({"/f": b"x" * inline}, 64, parameters)
        large = image.build({"/f": b"x" * (inline + 1)}, 64, parameters)
        assert len(large.blocks) == len(small.blocks) + 1


def test_a_name_that_littlefs_cannot_hold_is_refused() -> None:
    with pytest.raises(Error, match="cannot be built"):
        image.build({"/" + "n" * 300: b""}, 512)


def test_the_bytes_of_a_run_are_not_shown() -> None:
    made = image.build({"/firmshake/key.der": b"SECRETSECRET"}, 512)
    assert "SECRET" not in repr(made) + repr(made.runs) + repr(made.at(0))
    assert any(b"SECRETSECRET" in run.data for run in made.runs)


@given(st.dictionaries(st.integers(0, 60), st.binary(min_size=1, max_size=1), max_size=30))
def test_runs_hold_every_block_and_nothing_else_but_erased_flash(marks: dict[int, bytes]) -> None:
    blocks = {number: mark * BLOCK_SIZE for number, mark in marks.items()}
    found = image.runs(blocks)
    flash = image.laid_over(b"\xff" * 64 * BLOCK_SIZE, found)
    for number in range(64):
        wanted = blocks.get(number, b"\xff" * BLOCK_SIZE)
        assert flash[number * BLOCK_SIZE : (number + 1) * BLOCK_SIZE] == wanted


@given(st.sets(st.integers(0, 60), min_size=1))
def test_runs_are_apart_and_in_order(numbers: set[int]) -> None:
    found = image.runs(dict.fromkeys(numbers, b"x" * BLOCK_SIZE))
    for before, after in itertools.pairwise(found):
        gap = after.offset - before.offset - len(before.data)
        assert gap > image.MERGE_GAP_BLOCKS * BLOCK_SIZE
    assert isinstance(found[0], Run)
