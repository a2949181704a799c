"""The reader of an ESP32's partition table."""

from __future__ import annotations

from firmshake import partitions
from firmshake.errors import Error

WORK = 10
HARD = ((b"", b"\xaa\x50" + bytes(30)), (b"", b"\xeb\xeb" + b"\xff" * 30))


def one(data: bytes) -> None:
    """Parse it, and look for the filesystem on every size of flash."""
    try:
        table = partitions.parse(data)
    except Error:
        return
    assert 0 < len(table) <= partitions.TABLE_SIZE // 32
    assert min(row.offset for row in table) > partitions.TABLE_OFFSET
    for size in (1 << 20, 4 << 20, 16 << 20):
        try:
            region = partitions.filesystem_region(table, size)
        except Error:
            continue
        assert partitions.TABLE_OFFSET < region.offset < region.offset + region.size <= size
