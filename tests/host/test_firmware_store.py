"""Firmware files by their own bytes, and the store that keeps them."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import firmwares, uf2

from firmshake.boards.table import BOARDS, CIRCUITPYTHON, MICROPYTHON, by_name
from firmshake.errors import Error
from firmshake.firmwares import identify, version
from firmshake.firmwares.store import Store, wanted

PICO_W, PICO_2_W, ESP32, S3 = map(by_name, ("pico-w", "pico-2-w", "esp32", "esp32-s3"))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "not" / "there" / "yet")


# what a file is


@pytest.mark.parametrize("board", [b for b in BOARDS if b.family == "esp"], ids=lambda b: b.name)
def test_micropython_is_told_for_every_chip_of_the_esp32_family(board: object) -> None:
    chip_id = board.image_id  # type: ignore[attr-defined]
    file = identify.identify(firmwares.micropython_bin("v1.27.0", chip_id))
    assert (file.chip, file.runtime) == (board.chip, MICROPYTHON)  # type: ignore[attr-defined]
    assert (file.version, file.form) == ("v1.27.0", ".bin")
    assert identify.fits(file, board)  # type: ignore[arg-type]


def test_circuitpythons_file_begins_with_the_flash_and_is_told_all_the_same() -> None:
    data = firmwares.circuitpython_bin()
    file = identify.identify(data)
    assert (file.chip, file.runtime, file.version) == ("ESP32", CIRCUITPYTHON, "9.2.1")
    assert file.machine == "DOIT ESP32 Development Board with ESP32"
    # a control: at another place it would not boot
    with pytest.raises(Error, match="wrong place"):
        identify.identify(b"\xff" * 0x1000 + data)


def test_micropython_for_a_pico_says_for_which() -> None:
    file = identify.identify(firmwares.micropython_uf2())
    assert (file.chip, file.runtime, file.version) == ("RP2040", MICROPYTHON, "v1.26.1")
    assert (file.machine, file.form) == ("Raspberry Pi Pico W with RP2040", ".uf2")


def test_circuitpython_is_not_taken_for_the_micropython_that_it_is_made_from() -> None:
    file = identify.identify(firmwares.circuitpython_uf2())
    assert (file.runtime, file.version) == (CIRCUITPYTHON, "9.2.1")
    assert file.machine == "Raspberry Pi Pico W with rp2040"
    assert file.title == "CircuitPython 9.2.1"


def test_firmware_for_another_chip_is_refused() -> None:
    file = identify.identify(firmwares.micropython_uf2())
    identify.check_board(file, PICO_W)
    with pytest.raises(Error, match="is for RP2040, and Raspberry Pi Pico 2 W has RP2350"):
        identify.check_board(file, PICO_2_W)
    esp32 = identify.identify(firmwares.micropython_bin())
    identify.check_board(esp32, ESP32)
    with pytest.raises(Error, match="is for ESP32, and ESP32-S3") as caught:
        identify.check_board(esp32, S3)
    assert "firmshake firmware fetch esp32-s3" in caught.value.hint


def test_firmware_of_a_plain_pico_is_refused_for_a_pico_w() -> None:
    file = identify.identify(firmwares.micropython_uf2(machine="Raspberry Pi Pico with RP2040"))
    with pytest.raises(Error, match="not for Raspberry Pi Pico W"):
        identify.check_board(file, PICO_W)


def test_a_uf2_for_an_esp32_is_no_whole_firmware_of_it() -> None:
    file = identify.identify(
        firmwares.circuitpython_uf2(machine="FeatherS3 with ESP32S3", family=S3.uf2_family)
    )
    assert (file.chip, identify.fits(file, S3)) == ("ESP32-S3", False)
    with pytest.raises(Error, match=r"is there as \.uf2, and ESP32-S3 takes \.bin"):
        identify.check_board(file, S3)


def test_the_block_that_opens_files_for_the_rp2350_is_no_chip_of_its_own() -> None:
    data = firmwares.micropython_uf2(machine=PICO_2_W.machine + " with RP2350", family=0xE48BFF59)
    # erratum E10: for the highest address, one of two, of the family "absolute"
    opening = uf2.block(b"\xef" * 256, 0x10FFFF00, 0, 2, 0xE48BFF57)
    identify.check_board(identify.identify(opening + data), PICO_2_W)


def test_the_image_of_a_whole_flash_is_not_kept_since_it_may_hold_a_key() -> None:
    data = firmwares.micropython_bin(chip_id=9)
    identify.identify(data)
    with pytest.raises(Error, match="may hold its key"):
        identify.identify(data.ljust(0x200000 + 1, b"\xff"))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "not ESP32 firmware"),
        (b"#!/bin/sh\n", "not ESP32 firmware"),
        (firmwares.micropython_bin()[:-50], "cut off|damaged"),
        (firmwares.micropython_uf2()[:-512], "damaged"),
        (firmwares.micropython_uf2()[:-1], "damaged or cut off"),
        (firmwares.micropython_uf2() + firmwares.micropython_uf2(), "twice"),
        (uf2.file(b"x" * 5000), "neither MicroPython nor CircuitPython"),
        (uf2.file(b"x" * 500, family=0x68ED2B88), "SAMD21"),
        (uf2.file(b"x" * 500, family=None), "not known here"),
        (uf2.file(b"x" * 500) + uf2.file(b"x" * 500, family=0xE48BFF59), "several chips"),
    ],
)
def test_what_is_no_whole_firmware_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(Error, match=said):
        identify.identify(data)


@given(st.binary(max_size=2000), st.integers(0, 4000))
def test_a_file_may_hold_anything(junk: bytes, at: int) -> None:
    good = firmwares.micropython_uf2()
    for data in (junk, good[:at] + junk + good[at:], good[: at + len(junk)] + junk):
        try:
            file = identify.identify(data)
        except Error:
            continue
        assert version.parse(file.version)


# versions


def test_versions_sort_as_they_were_published() -> None:
    published = ["v1.9", "v1.26.0-preview.9", "v1.26.0-preview.10.gabc", "v1.26.0", "v1.26.1"]
    made = [version.parse(text) for text in published]
    assert all(made)
    assert sorted(set(made), key=lambda each: each.order) == made
    beta, candidate = map(version.parse, ("10.0.0-beta.3", "10.0.0-rc.0"))
    assert beta.order < candidate.order < version.parse("10.0.0").order


@given(st.text(max_size=30), st.text(max_size=30))
def test_any_two_versions_can_be_compared(one: str, other: str) -> None:
    for text in (one, other, "v1.2-" + one):
        made, base = version.parse(text), version.parse("1.2.3-beta.1")
        if made:
            assert made.order == made.order
            assert (made.order < base.order) != (made.order >= base.order)


def test_with_a_v_or_without_it_is_the_same_version() -> None:
    assert version.same("v1.26.0", "1.26")
    assert not version.same("v1.26.0", "1.26.1")
    assert not version.same("nonsense", "nonsense")


# the store


def test_a_file_is_kept_under_its_sha256_once(store: Store) -> None:
    data = firmwares.micropython_uf2()
    assert store.files() == []
    file, is_new = store.add(data)
    assert is_new
    path = store.path(file)
    assert path.name == hashlib.sha256(data).hexdigest() + ".uf2"
    assert path.read_bytes() == data
    assert not stat.S_IMODE(path.stat().st_mode) & 0o022
    assert store.add(data) == (file, False)
    assert len(list(store.folder.iterdir())) == 1


def test_nothing_is_kept_of_what_is_refused(store: Store) -> None:
    with pytest.raises(Error):
        store.add(b"junk")
    assert not store.folder.exists()


def test_the_newest_release_for_a_board_is_found(store: Store) -> None:
    for text in ("v1.26.1", "v1.9.4", "v1.28.0-preview.3", "v1.27.0"):
        store.add(firmwares.micropython_uf2(text))
    store.add(firmwares.circuitpython_uf2("10.0.0"))
    store.add(firmwares.micropython_uf2("v1.99.0", "Raspberry Pi Pico with RP2040"))
    found = store.find(PICO_W, MICROPYTHON)
    assert found
    assert found.version == "v1.27.0"
    older = store.find(PICO_W, MICROPYTHON, version="1.26.1")
    assert older
    assert older.version == "v1.26.1"
    assert store.find(PICO_W, MICROPYTHON, sha256=older.sha256.upper()) == older
    other = store.find(PICO_W, CIRCUITPYTHON)
    assert other
    assert other.version == "10.0.0"
    assert store.find(PICO_2_W, MICROPYTHON) is None


def test_a_preview_is_found_where_there_is_nothing_else(store: Store) -> None:
    store.add(firmwares.micropython_uf2("v1.28.0-preview.3"))
    found = store.find(PICO_W, MICROPYTHON)
    assert found
    assert found.version == "v1.28.0-preview.3"


def test_they_are_listed_by_chip_the_newest_first(store: Store) -> None:
    for text in ("v1.26.1", "v1.27.0", "v1.9.4"):
        store.add(firmwares.micropython_uf2(text))
    store.add(firmwares.micropython_bin("v1.26.1"))
    listed = [(file.chip, file.version) for file in store.files()]
    assert listed[0] == ("ESP32", "v1.26.1")
    assert [number for _, number in listed[1:]] == ["v1.27.0", "v1.26.1", "v1.9.4"]


def test_a_file_that_was_changed_is_left_out_and_told(store: Store) -> None:
    good, _ = store.add(firmwares.micropython_uf2())
    bad, _ = store.add(firmwares.micropython_uf2("v1.27.0"))
    path = store.path(bad)
    # whole, but not what it was
    path.write_bytes(firmwares.micropython_uf2("v1.28.0"))
    said: list[str] = []
    assert store.files(said.append) == [good]
    assert "its SHA-256 is not" in said[0]
    assert store.find(PICO_W, MICROPYTHON) == good


def test_what_a_board_needs_is_there_or_it_is_said_how_to_get_it(store: Store) -> None:
    with pytest.raises(Error, match="no MicroPython for ESP32 is kept") as caught:
        wanted(store, ESP32, MICROPYTHON)
    assert "firmshake firmware fetch esp32`" in caught.value.hint
    with pytest.raises(Error) as caught:
        wanted(store, PICO_W, CIRCUITPYTHON)
    assert "--runtime circuitpython" in caught.value.hint
    file, _ = store.add(firmwares.micropython_bin())
    assert wanted(store, ESP32, MICROPYTHON) == file
    with pytest.raises(Error, match="pinned in fleet.toml, is not kept"):
        wanted(store, ESP32, MICROPYTHON, "00" * 32)
    assert wanted(store, ESP32, MICROPYTHON, file.sha256) == file


def test_a_folder_that_cannot_be_had_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = Store(tmp_path / "file")
    with pytest.raises(Error, match="cannot be listed"):
        store.files()
    with pytest.raises(Error, match="cannot be kept"):
        store.add(firmwares.micropython_uf2())
    with pytest.raises(Error, match="cannot be read"):
        store.add_file(tmp_path / "missing.bin")
