"""CircuitPython's FAT volume, read back by our own reader. Mounting: peers/test_images_fat.py."""

from __future__ import annotations

import random
import string
import struct
from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmshake import fatimage, image
from firmshake.errors import Error
from firmshake.image import BLOCK_SIZE
from firmshake.inspect import fat, filesystem

KIB = 1024
# every size that CircuitPython has on these boards
SIZES = (508, 576, 960, 1216, 1984, 2556, 3776, 4032, 11968, 12224, 28352)
FILES = {
    "/code.py": b"import firmshake_agent\n",
    "/settings.toml": b"",
    "/lib/firmshake_agent/__init__.mpy": bytes(range(256)) * 9,
    "/firmshake/key.pem": b"KEY",
    "/A name that is long and has Big letters.txt": b"x" * 513,
}
WHEN = datetime(2026, 11, 20, 15, 42, 30)  # noqa: DTZ001 - FAT has no zones

CHARACTERS = string.ascii_letters + string.digits + "!#$%&'()-@^_`{}~+,;=[]. "
NAMES = st.text(CHARACTERS, min_size=1, max_size=30).filter(
    lambda name: name[0] not in " ." and name[-1] not in " ."
)
PATHS = st.lists(NAMES, min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))


def volume(files: dict[str, bytes], size: int = 508 * KIB, flash: bytes = b"") -> bytes:
    """The volume in a flash that held something else."""
    flash = flash or random.Random(size).randbytes(size)
    return image.laid_over(flash, fatimage.build(files, size).runs)


def read(data: bytes) -> dict[str, bytes]:
    (found,) = fat.volumes(data)
    entries = fat.files(data, found, 10_000, 50)
    return {entry.path: fat.content(data, found, entry) for entry in entries}


def entries(data: bytes) -> list[bytes]:
    (found,) = fat.volumes(data)
    return [data[at : at + 32] for at in fatimage._entries(data, found)]


@pytest.mark.parametrize("size", SIZES)
def test_every_size_of_circuitpythons_volumes_is_made_and_read_back(size: int) -> None:
    data = volume(FILES, size * KIB)
    assert read(data) == FILES
    (found,) = fat.volumes(data)
    assert found.size == size * KIB
    assert found.wide == (found.clusters >= 4085)


@settings(max_examples=100)
@given(st.dictionaries(PATHS, st.integers(0, 3000), max_size=12))
def test_any_tree_is_read_back_or_refused(sizes: dict[str, int]) -> None:
    files = {path: b"x" * size for path, size in sizes.items()}
    folders = {path[:at] for path in files for at in range(1, len(path)) if path[at] == "/"}
    names = {path.lower() for path in files}, {path.lower() for path in folders}
    clash = len(names[0]) < len(files) or len(names[1]) < len(folders) or names[0] & names[1]
    if clash:
        with pytest.raises(Error):
            fatimage.build(files, 508 * KIB)
    else:
        assert read(volume(files)) == files


def test_only_what_is_in_use_travels() -> None:
    built = fatimage.build({"/code.py": b"x"}, 11968 * KIB)
    assert built.size == 11968 * KIB
    # boot sector, 24 sectors of FAT, 32 of root directory, one cluster
    assert built.travel_size <= 8 * BLOCK_SIZE
    assert built.at(0x450000)[0].offset == 0x450000


def test_the_same_files_make_the_same_image() -> None:
    first, second = (
        fatimage.build(files, 508 * KIB, serial=7, modified=WHEN)
        for files in (FILES, dict(reversed(FILES.items())))
    )
    assert first.blocks == second.blocks


def test_two_volumes_have_numbers_of_their_own() -> None:
    numbers = {volume(FILES)[39:43] for _ in range(3)}
    assert len(numbers) == 3


def test_every_entry_has_the_time_that_was_given() -> None:
    built = fatimage.build(FILES, 508 * KIB, modified=WHEN)
    data = image.laid_over(bytes(508 * KIB), built.runs)
    # "FAT: General Overview of On-Disk Format": two seconds a unit, years from 1980
    time, day = 15 << 11 | 42 << 5 | 15, 46 << 9 | 11 << 5 | 20
    found = entries(data)
    # the label, five files, three folders with "." and ".." each
    assert len(found) == 1 + 5 + 3 * 3
    assert {struct.unpack("<HH", entry[22:26]) for entry in found} == {(time, day)}
    assert {struct.unpack("<HHH", entry[14:20]) for entry in found} == {(time, day, day)}


def test_a_drive_shows_circuitpythons_name() -> None:
    label = entries(volume(FILES))[0]
    assert (label[:11], label[11]) == (b"CIRCUITPY  ", 0x08)


def test_what_circuitpython_puts_on_its_own_drive_fits_in() -> None:
    assert read(volume(FILES | fatimage.KEPT_CLEAN)) == FILES | fatimage.KEPT_CLEAN


def test_an_empty_volume_is_made() -> None:
    assert read(volume({})) == {}


@pytest.mark.parametrize("size", [508, 2556, 11968])
def test_a_volume_can_be_filled_to_its_last_cluster_and_no_further(size: int) -> None:
    (empty,) = fat.volumes(volume({}, size * KIB))
    room = empty.clusters * empty.cluster
    full = {"/f": b"x" * (room - empty.cluster), "/g": b"y"}
    assert read(volume(full, size * KIB)) == full
    more = full | {"/h": b"z"}
    needs = -(-(room + empty.cluster) // KIB)
    with pytest.raises(Error, match=f"the 3 files need {needs:,} KiB .* has {room // KIB:,} KiB"):
        fatimage.build(more, size * KIB)


def test_folders_count_towards_what_is_needed() -> None:
    (empty,) = fat.volumes(volume({}))
    files = {f"/d{n}/f": b"" for n in range(300)}
    files["/large"] = bytes((empty.clusters - 299) * empty.cluster)
    with pytest.raises(Error, match="the 301 files need 491 KiB .* has 490 KiB"):
        fatimage.build(files, 508 * KIB)


def test_a_root_directory_that_is_full_is_told() -> None:
    with pytest.raises(Error, match="do not fit in the root directory"):
        fatimage.build({f"/A file {n}.txt": b"" for n in range(300)}, 508 * KIB)
    assert fatimage.build({f"/d/A file {n}.txt": b"" for n in range(300)}, 508 * KIB)


FORBIDDEN = ["a:b", "a*", "a?", '"', "<", ">", "|", "a\\b", "a/", "/a", ".", "a/../b", "a."]
FORBIDDEN += ["\u00e9", "a\0", "a\x7f"]


@pytest.mark.parametrize("path", [*(f"/{name}" for name in FORBIDDEN), "/", "/a ", "/ a", "a"])
def test_a_name_that_a_volume_cannot_hold_is_refused(path: str) -> None:
    for name in (path, "/" + "n" * 256):
        with pytest.raises(Error, match="cannot be the name of a file"):
            fatimage.build({name: b""}, 508 * KIB)
    assert fatimage.build({"/" + "n" * 255: b""}, 508 * KIB)


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"/a": b"", "/A": b""}, "are the same name"),
        ({"/lib/a": b"", "/Lib/b": b""}, "are the same name"),
        ({"/a": b"", "/a/b": b""}, "would be a file and a folder"),
    ],
)
def test_names_that_would_be_one_are_refused(files: dict[str, bytes], why: str) -> None:
    with pytest.raises(Error, match=why):
        fatimage.build(files, 508 * KIB)


def test_after_a_failure_more_volumes_can_be_made() -> None:
    """The library has ten drives, and gives them back."""
    for _ in range(12):
        with pytest.raises(Error):
            fatimage.build({"/f": bytes(600 * KIB)}, 508 * KIB)
        with pytest.raises(Error, match="no FAT volume can be made in 8 KiB"):
            fatimage.build({}, 8 * KIB)
    assert fatimage.build(FILES, 508 * KIB)


def test_no_bytes_are_shown() -> None:
    built = fatimage.build({"/firmshake/key.pem": b"SECRETSECRET"}, 508 * KIB)
    assert "SECRET" not in repr(built) + repr(built.runs)
    assert any(b"SECRETSECRET" in run.data for run in built.runs)


def test_inspect_looks_into_a_volume() -> None:
    (tree,) = filesystem.trees(volume(FILES))
    assert (tree.kind, tree.sizes["/code.py"]) == ("fat", len(FILES["/code.py"]))
    assert tree.contents["/firmshake/key.pem"] == b"KEY"
