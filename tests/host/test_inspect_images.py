"""`firmshake inspect` on what is written to flash: firmware, images, UF2, filesystems."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fuzz.targets import filesystems as target
from hypothesis import given
from hypothesis import strategies as st
from support import desk, uf2
from support.pki import fleet

from firmshake import image, partitions
from firmshake import uf2 as reader
from firmshake.ca.finding import WRONG
from firmshake.errors import Error
from firmshake.inspect import fat, filesystem, recognise, record, relations
from firmshake.inspect.desk import Desk
from firmshake.inspect.thing import Thing
from firmshake.virtual import standin_firmware

FLEET = fleet()
SETTINGS = {"v": 1, "device": "esp32-aabbcc", "host": "broker.example", "port": 8883}
FILES = {
    "/main.py": b"import firmshake_agent\n",
    "/firmshake/settings.json": json.dumps(SETTINGS).encode(),
    "/firmshake/key.der": FLEET.device.key_der(),
    "/firmshake/cert.der": FLEET.device.chain_der(),
    "/firmshake/ca.der": FLEET.device.anchors_der(),
    "/lib/large.mpy": bytes(range(256)) * 80,
}
BLOCKS = 64
RP2_FILESYSTEM = 0x1012C000


def filesystem_of(files: dict[str, bytes] | None = None) -> bytes:
    """A LittleFS as the product builds it, in all of its flash."""
    built = image.build(FILES if files is None else files, BLOCKS)
    return image.laid_over(b"\xff" * BLOCKS * image.BLOCK_SIZE, built.runs)


WHOLE = filesystem_of()


def look(data: bytes, name: str = "image.bin") -> Thing:
    now = datetime.now(UTC)
    desk_ = Desk(now, lambda what: None)
    return relations.related([recognise.look(data, name, desk_)], now)[0]


def causes(thing: Thing, severity: str = "") -> list[str]:
    return [found.cause for _, found in thing.said() if found.severity == severity or not severity]


def within(thing: Thing, kind: str) -> list[Thing]:
    return [one for one in thing.all() if one.kind == kind]


# filesystems


def test_a_filesystem_is_looked_into() -> None:
    found = look(WHOLE)
    assert (found.kind, causes(found)) == ("littlefs", [])
    facts = dict(found.facts)
    assert (facts["offset"], facts["size"]) == ("0x0", "256 KiB")
    assert facts["files"].startswith("6 with 2")
    (key,) = within(found, "private_key")
    assert dict(key.facts)["belongs_to"].startswith("esp32-aabbcc (image.bin:/firmshake/cert.der")
    roles = [one.role for one in within(found, "certificate")]
    assert sorted(roles) == ["ca", "ca", "device"]


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"/firmshake/key.der": FLEET.broker.key_der()}, "key_mismatch"),
        ({"/firmshake/cert.der": b"\x30\x03\x02\x01\x01"}, "unknown_kind"),
        ({"/firmshake/ca.der": None}, "file_missing"),
        ({"/firmshake/settings.json": b"{"}, "unknown_kind"),
        ({}, ""),
    ],
)
def test_each_fault_of_an_identity_in_an_image_is_told(
    changes: dict[str, bytes | None], cause: str
) -> None:
    merged: dict[str, bytes | None] = {**FILES, **changes}
    files = {path: data for path, data in merged.items() if data is not None}
    assert set(causes(look(filesystem_of(files)), WRONG)) == ({cause} if cause else set())


def test_a_filesystem_in_the_middle_of_an_image_is_found() -> None:
    found = look(b"\x00" * 0x3000 + WHOLE + b"\xff" * 0x1000)
    assert found.kind == "flash"
    (tree,) = within(found, "littlefs")
    assert dict(tree.facts)["offset"] == "0x3000"
    assert len(within(found, "private_key")) == 1


def test_a_filesystem_that_ends_too_early_is_told_and_still_read() -> None:
    used = max(run.offset + len(run.data) for run in image.build(FILES, BLOCKS).runs)
    found = look(WHOLE[:used])
    assert "cut_off" in causes(found)
    assert len(within(found, "private_key")) == 1
    assert look(WHOLE).findings == ()


def test_a_damaged_filesystem_is_told() -> None:
    # past the superblock's own entry, in both blocks of the pair
    spoilt = bytearray(WHOLE)
    for block in (0, image.BLOCK_SIZE):
        spoilt[block + 44 : block + 60] = bytes(16)
    assert causes(look(bytes(spoilt)), WRONG) == ["damaged"]


@given(st.data())
def test_a_spoilt_filesystem_gives_an_answer(data: st.DataObject) -> None:
    used = sorted(image.build(FILES, BLOCKS).blocks)
    spoilt = bytearray(WHOLE)
    for _ in range(data.draw(st.integers(1, 6))):
        block = data.draw(st.sampled_from(used))
        at = block * image.BLOCK_SIZE + data.draw(st.integers(0, 400))
        spoilt[at] = data.draw(st.integers(0, 255))
    json.dumps(record.of([look(bytes(spoilt))]))


def test_work_on_a_filesystem_is_bounded_whatever_it_claims() -> None:
    """Reads without end get zeros, which no checksum fits."""
    region = next(filesystem._littlefs(WHOLE))
    flash = filesystem._Flash(WHOLE, region)
    options: list[int] = []
    while any(flash.read(None, 0, 0, 16)):  # type: ignore[arg-type]
        options.append(1)
        assert len(options) < 100_000
    assert flash.read(None, 1 << 30, 0, 16) == bytes(16)  # type: ignore[arg-type]


# FAT: the volume is one that MicroPython made (tests/fuzz/seeds.py)


def volume() -> bytes:
    seed = Path(target.__file__).parents[1] / "corpus" / "filesystems" / "fat"
    return target.unpack(seed.read_bytes())


def test_a_fat_volume_is_looked_into() -> None:
    found = look(volume())
    assert found.kind == "fat"
    (settings,) = within(found, "settings")
    assert settings.where == "image.bin:/firmshake/settings.json"
    assert "code.py" in dict(found.facts)["files"]


def test_a_chain_of_clusters_that_bites_its_tail_ends() -> None:
    whole = bytearray(volume())
    (one,) = fat.volumes(bytes(whole))
    # every cluster's successor is the second
    size = one.clusters * (2 if one.wide else 1) + one.clusters // (1 << 30 if one.wide else 2)
    whole[one.table : one.table + size] = (b"\x02\x00" if one.wide else b"\x02\x20\x00") * (
        size // (2 if one.wide else 3)
    )
    entries = list(fat.files(bytes(whole), one, 1000, 8))
    assert all(len(fat.content(bytes(whole), one, entry)) <= entry.size for entry in entries)


# firmware


@pytest.mark.parametrize(
    ("spoil", "kind", "cause"),
    [
        (lambda good: good, "firmware", ""),
        (lambda good: good[:-100], "firmware", "damaged"),
        (lambda good: good[:0x40] + b"\0" + good[0x41:], "firmware", "damaged"),
        (lambda good: good[0xF000:], "application", ""),
        (lambda good: good[0xF000:-50], "application", "damaged"),
        (lambda good: standin_firmware("v1.22.2"), "firmware", "too_old"),
        (lambda good: standin_firmware(project="blinky"), "firmware", ""),
        (lambda good: standin_firmware(chip_id=9), "firmware", ""),
    ],
)
def test_firmware_is_told_by_chip_and_version(
    spoil: Callable[[bytes], bytes], kind: str, cause: str
) -> None:
    found = look(spoil(standin_firmware()))
    assert found.kind == kind
    assert causes(found, WRONG) == ([cause] if cause else [])


def test_the_flash_of_a_board_is_looked_into(tmp_path: Path) -> None:
    made = desk.make_project(tmp_path / "shed")
    found = look(desk.flash_of(made))
    assert (found.kind, causes(found)) == ("flash", [])
    assert dict(found.facts)["chip"] == "ESP32"
    (tree,) = within(found, "littlefs")
    assert dict(tree.facts)["offset"] == "0x200000"
    assert [one.title for one in within(found, "settings")] == ["settings of the board shed-1"]
    assert len(within(found, "private_key")) == 1


def test_a_flash_whose_firmware_is_damaged_still_shows_its_filesystem(tmp_path: Path) -> None:
    made = desk.make_project(tmp_path / "shed")
    whole = bytearray(desk.flash_of(made))
    whole[0x10100] ^= 1
    found = look(bytes(whole))
    assert causes(found, WRONG) == ["damaged"]
    assert len(within(found, "littlefs")) == 1
    assert partitions.TABLE_OFFSET < 0x10100


# UF2


def spoilt(change: Callable[[list[bytes]], list[bytes]]) -> list[str]:
    return causes(look(uf2.joined(change(uf2.blocks(bytes(2048))))))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda made: made, []),
        (lambda made: made[:3] + made[4:], ["missing_blocks"]),
        (lambda made: made[:-1], ["missing_blocks"]),
        (lambda made: [*made, made[0]], ["repeated_blocks"]),
        (lambda made: [*made, made[0][:100]], ["cut_off"]),
        (lambda made: [made[0], b"\0" * 512, *made[1:]], ["damaged"]),
        (lambda made: [*made[:3], made[3][:-1] + b"\0", *made[4:]], ["damaged", "missing_blocks"]),
        (lambda made: made + uf2.blocks(bytes(256), 0x20000000, uf2.RP2040 + 2), []),
        (lambda made: uf2.blocks(bytes(256), family=None), ["no_family"]),
        (lambda made: [uf2.block(bytes(9), 0, 0, 2, reader.ABSOLUTE), *made], []),
        (
            lambda made: [uf2.block(bytes(256), 0, 0, 2), uf2.block(bytes(256), 9, 1, 2)],
            ["overlap"],
        ),
    ],
)
def test_each_fault_of_a_uf2_is_told(
    change: Callable[[list[bytes]], list[bytes]], expected: list[str]
) -> None:
    assert sorted(spoilt(change)) == expected


def test_a_uf2_is_told_by_its_family_and_addresses() -> None:
    found = look(uf2.file(bytes(1024)))
    assert found.title == "UF2 for RP2040"
    assert dict(found.facts)["family"] == "RP2040: 4 blocks, 0x10000000 to 0x10000400"


def test_a_filesystem_in_a_uf2_is_looked_into() -> None:
    built = image.build(FILES, BLOCKS)
    made = [
        part
        for run in built.at(RP2_FILESYSTEM)
        for part in (
            (run.data[at : at + 256], run.offset + at) for at in range(0, len(run.data), 256)
        )
    ]
    data = b"".join(
        uf2.block(piece, address, number, len(made)) for number, (piece, address) in enumerate(made)
    )
    found = look(data)
    assert not found.wrong
    assert [one.title for one in within(found, "settings")] == [
        "settings of the board esp32-aabbcc"
    ]


def test_what_is_no_uf2_is_refused() -> None:
    with pytest.raises(Error, match="not UF2"):
        reader.parse(b"UF2")


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 255)), max_size=9))
def test_spoilt_blocks_give_an_answer(changes: list[tuple[int, int]]) -> None:
    data = bytearray(uf2.file(bytes(1024)))
    for at, value in changes:
        data[at + 512] = value
    found = reader.parse(bytes(data))
    assert sum(part.blocks for part in found.parts) + len(found.broken) <= 4
