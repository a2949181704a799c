"""Reads FAT12 and FAT16, which CircuitPython and some MicroPython boards keep their files in.

Does no I/O, and never writes. No library that is kept, free enough and light reads them from
memory; what is needed of it is little (Microsoft's "FAT: General Overview of On-Disk Format").
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

_SIGNATURE = b"\x55\xaa"
_SIGNATURE_AT = 510
# bytes a sector, sectors a cluster, reserved sectors, FATs, root entries, sectors, media, FAT size
_BPB = struct.Struct("<HBHBHHBH")
_BPB_AT = 11
_SECTORS_32 = struct.Struct("<I")
_SECTORS_32_AT = 32
_STEP = 4096  # filesystems begin at a sector of the flash

_ENTRY = 32
_FOLDER, _LABEL, _LONG = 0x10, 0x08, 0x0F
_DELETED, _LAST = 0xE5, 0x00
_LOWER_BASE, _LOWER_END = 0x08, 0x10
_FAT16_FROM = 4085  # clusters: the one rule that tells FAT12 from FAT16
_FAT32_FROM = 65525


class Volume(NamedTuple):
    """A FAT volume; all in bytes from the start of the image, but for `clusters` and `wide`."""

    offset: int
    size: int
    cluster: int
    table: int
    root: int
    data: int
    clusters: int
    wide: bool


class Entry(NamedTuple):
    """A file: `start` is its first cluster."""

    path: str
    size: int
    start: int


def volumes(data: bytes) -> Iterator[Volume]:
    """The volumes in an image."""
    for offset in range(0, len(data), _STEP):
        if data[offset + _SIGNATURE_AT : offset + _SIGNATURE_AT + 2] == _SIGNATURE:
            found = _volume(data, offset)
            if found is not None:
                yield found


def _volume(data: bytes, at: int) -> Volume | None:
    sector, per_cluster, reserved, tables, entries, sectors, media, table = _BPB.unpack_from(
        data, at + _BPB_AT
    )
    sectors = sectors or _SECTORS_32.unpack_from(data, at + _SECTORS_32_AT)[0]
    powers = sector in (512, 1024, 2048, 4096) and per_cluster and not per_cluster & per_cluster - 1
    # a FAT32 has neither root entries nor this size of its table
    if not (powers and reserved and tables in (1, 2) and entries and table and media >= 0xF0):
        return None
    root = at + (reserved + tables * table) * sector
    start = root + -(-entries * _ENTRY // sector) * sector
    clusters = (sectors - (start - at) // sector) // per_cluster
    if not 0 < clusters < _FAT32_FROM:
        return None
    wide = clusters >= _FAT16_FROM
    return Volume(
        at,
        sectors * sector,
        sector * per_cluster,
        at + reserved * sector,
        root,
        start,
        clusters,
        wide,
    )


def files(data: bytes, volume: Volume, most: int, deepest: int) -> Iterator[Entry]:
    """The files of a volume, `most` at most, no deeper than `deepest` folders."""
    left = [("", data[volume.root : volume.data])]
    count = 0
    while left:
        folder, raw = left.pop()
        for entry, is_folder in _entries(raw, folder):
            count += 1
            if count > most:
                return
            if not is_folder:
                yield entry
            elif entry.path.count("/") < deepest:
                left.append((entry.path, _chain(data, volume, entry.start, 64 * 1024)))


def content(data: bytes, volume: Volume, entry: Entry) -> bytes:
    """A file's bytes, as far as they are there."""
    return _chain(data, volume, entry.start, entry.size)[: entry.size]


def _entries(raw: bytes, folder: str) -> Iterator[tuple[Entry, bool]]:
    long = ""
    for at in range(0, len(raw) - _ENTRY + 1, _ENTRY):
        row = raw[at : at + _ENTRY]
        if row[0] == _LAST:
            return
        if row[0] == _DELETED:
            long = ""
        elif row[11] & 0x3F == _LONG:
            long = _long(row) + (long if not row[0] & 0x40 else "")
        else:
            name, long = long or _short(row), ""
            if row[11] & _LABEL or name in (".", ".."):
                continue
            start, size = struct.unpack_from("<HI", row, 26)
            yield Entry(f"{folder}/{name}", size, start), bool(row[11] & _FOLDER)


def _long(row: bytes) -> str:
    """The 13 characters of one entry of a long name."""
    text = (row[1:11] + row[14:26] + row[28:32]).decode("utf-16-le", "replace")
    return text.partition("\0")[0].rstrip("\uffff")


def _short(row: bytes) -> str:
    base, end = (part.decode("ascii", "replace").rstrip() for part in (row[:8], row[8:11]))
    base = base.lower() if row[12] & _LOWER_BASE else base
    end = end.lower() if row[12] & _LOWER_END else end
    return f"{base}.{end}" if end else base


def clusters(data: bytes, volume: Volume, first: int) -> Iterator[int]:
    """Where the clusters of a chain lie in the image, none twice, from the one numbered `first`."""
    seen: set[int] = set()
    cluster = first
    while 2 <= cluster < volume.clusters + 2 and cluster not in seen:
        seen.add(cluster)
        yield volume.data + (cluster - 2) * volume.cluster
        cluster = _next(data, volume, cluster)


def _chain(data: bytes, volume: Volume, cluster: int, most: int) -> bytes:
    """The bytes of a chain of clusters, up to `most` of them."""
    found = bytearray()
    for at in clusters(data, volume, cluster):
        if len(found) >= most:
            break
        found += data[at : at + volume.cluster]
    return bytes(found)


def _next(data: bytes, volume: Volume, cluster: int) -> int:
    at = volume.table + (cluster * 2 if volume.wide else cluster + cluster // 2)
    pair = int.from_bytes(data[at : at + 2], "little")
    if volume.wide:
        return pair
    return pair >> 4 if cluster % 2 else pair & 0xFFF
