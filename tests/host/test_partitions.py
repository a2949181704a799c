"""Partition tables: what is read of good ones, and what is refused."""

from __future__ import annotations

import hashlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmshake import partitions
from firmshake.errors import Error
from firmshake.partitions import APP, DATA, Partition, Region

MIB = 1024 * 1024

# MicroPython's tables for 4 MiB: up to 1.25 with the filesystem in it, from 1.26 without
NVS = Partition("nvs", DATA, 2, 0x9000, 0x6000)
PHY = Partition("phy_init", DATA, 1, 0xF000, 0x1000)
FACTORY = Partition("factory", APP, 0, 0x10000, 0x1F0000)
VFS = Partition("vfs", DATA, 0x81, 0x200000, 0x200000)
WITH_VFS = (NVS, PHY, FACTORY, VFS)
WITHOUT_VFS = (NVS, PHY, FACTORY)
OTA_0 = Partition("ota_0", APP, 0x10, 0x10000, 0x180000)
OTA_1 = Partition("ota_1", APP, 0x11, 0x190000, 0x180000)
OTA = (NVS, OTA_0, OTA_1)


def packed(rows: tuple[Partition, ...], md5: bool = True, end: bool = True) -> bytes:
    """A table as ESP-IDF's gen_esp32part.py writes it."""
    data = b"".join(
        b"\xaa\x50"
        + struct.pack("<BBII", row.kind, row.subtype, row.offset, row.size)
        + row.label.encode().ljust(16, b"\0")
        + bytes(4)
        for row in rows
    )
    if md5:
        data += b"\xeb\xeb" + b"\xff" * 14 + hashlib.md5(data).digest()
    return data.ljust(partitions.TABLE_SIZE, b"\xff") if end else data


@pytest.mark.parametrize("rows", [WITH_VFS, WITHOUT_VFS, OTA])
@pytest.mark.parametrize("md5", [True, False])
def test_a_table_is_read_as_it_was_written(rows: tuple[Partition, ...], md5: bool) -> None:
    assert partitions.parse(packed(rows, md5)) == rows


@pytest.mark.parametrize(
    ("rows", "flash_size", "region"),
    [
        (WITH_VFS, 4 * MIB, Region(0x200000, 0x200000)),
        # more flash than the table knows stays unused up to 1.25 …
        (WITH_VFS, 16 * MIB, Region(0x200000, 0x200000)),
        # … and is all taken from 1.26
        (WITHOUT_VFS, 4 * MIB, Region(0x200000, 0x200000)),
        (WITHOUT_VFS, 16 * MIB, Region(0x200000, 0xE00000)),
        (OTA, 4 * MIB, Region(0x310000, 0xF0000)),
    ],
)
def test_the_filesystem_lies_where_micropython_mounts_it(
    rows: tuple[Partition, ...], flash_size: int, region: Region
) -> None:
    assert partitions.filesystem_region(rows, flash_size) == region


def test_a_filesystem_is_counted_in_blocks_of_4_kib() -> None:
    assert Region(0x200000, 2 * MIB).block_count == 512


@pytest.mark.parametrize("rows", [WITH_VFS, WITHOUT_VFS])
def test_flash_that_is_too_small_for_the_table_is_refused(rows: tuple[Partition, ...]) -> None:
    with pytest.raises(Error, match="flash is too small"):
        partitions.filesystem_region(rows, 2 * MIB)


def test_a_fat_filesystem_is_not_taken_for_ours() -> None:
    ffat = Partition("ffat", DATA, 0x81, 0x200000, 0x200000)
    with pytest.raises(Error, match="FAT"):
        partitions.filesystem_region((*WITHOUT_VFS, ffat), 4 * MIB)


def test_a_damaged_table_is_refused() -> None:
    data = bytearray(packed(WITH_VFS))
    data[40] ^= 1
    with pytest.raises(Error, match="checksum"):
        partitions.parse(bytes(data))


@pytest.mark.parametrize("size", [0, 16, 32, 100, 32 * 4])
def test_a_table_that_is_cut_off_is_refused(size: int) -> None:
    with pytest.raises(Error, match="cut off"):
        partitions.parse(packed(WITH_VFS)[:size])


@pytest.mark.parametrize("data", [b"\xff" * 4096, bytes(4096), b"import machine\n" * 300])
def test_flash_without_a_table_is_told_apart(data: bytes) -> None:
    with pytest.raises(Error, match="no partition table"):
        partitions.parse(data)


def test_overlapping_partitions_are_refused() -> None:
    overlapping = Partition("ota_1", APP, 0x11, 0x18F000, 0x1000)
    with pytest.raises(Error, match="factory overlaps ota_1|ota_1 overlaps factory"):
        partitions.parse(packed((NVS, FACTORY, overlapping)))


def test_a_partition_over_the_table_itself_is_refused() -> None:
    with pytest.raises(Error, match="overlaps the table"):
        partitions.parse(packed((NVS._replace(offset=0x8000, size=0x1000),)))


@given(st.binary(max_size=4096))
def test_any_bytes_are_a_table_or_an_error(data: bytes) -> None:
    try:
        rows = partitions.parse(data)
    except Error:
        return
    assert rows


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 64)), min_size=1, max_size=20),
    st.integers(0x9, 0x40),
)
def test_any_table_in_order_is_read_back(sizes: list[tuple[int, int]], first: int) -> None:
    rows, sector = [], first
    for number, (gap, size) in enumerate(sizes):
        offset = (sector + gap) * partitions.SECTOR
        rows.append(Partition(f"p{number}", DATA, 0x40, offset, size * partitions.SECTOR))
        sector += gap + size
    assert partitions.parse(packed(tuple(rows))) == tuple(rows)
