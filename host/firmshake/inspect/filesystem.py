"""Finds filesystems in an image, and takes out the files that are worth a look.

Does no I/O. LittleFS is read by its own code (littlefs-python), whatever the image claims: reads
outside it and reads without end are answered with zeros, which no checksum of LittleFS fits.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from firmshake.inspect import fat

if TYPE_CHECKING:
    from littlefs import LittleFS
    from littlefs.lfs import LFSConfig

MOST_FILES = 1000
MOST_TREES = 16
_DEEPEST = 8
_LARGEST_FILE = 64 * 1024
_MOST_CONTENT = 2 * 1024 * 1024

# what holds identities, settings or code that tells what a drive is
WANTED = (".der", ".pem", ".crt", ".cer", ".key", ".p12", ".pfx", ".csr", ".crl", ".json", ".toml")

# a superblock: revision, tag, name, tag, version, size of a block, number of blocks
# (littlefs SPEC.md, "0x0ff LFS_TYPE_SUPERBLOCK" and "0x201 LFS_TYPE_INLINESTRUCT")
_MAGIC = b"littlefs"
_MAGIC_AT = 8
_SUPERBLOCK = struct.Struct("<HHII")
_SUPERBLOCK_AT = 20
_VERSION = 2
_BLOCK_SIZES = tuple(1 << bits for bits in range(7, 17))
_MOST_BLOCKS = 1 << 20


@dataclass
class Tree:
    """A filesystem: where it lies, how large it is, its files' sizes, and some of their contents.

    `problem` says why not all of it could be read.
    """

    kind: str
    offset: int
    size: int
    sizes: dict[str, int] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict, repr=False)
    problem: str = ""
    cut: bool = False

    def add(self, path: str, size: int, read: Callable[[], bytes]) -> None:
        """Note a file; read it where it is worth it and there is room."""
        self.sizes[path] = size
        room = _MOST_CONTENT - sum(map(len, self.contents.values()))
        if path.lower().endswith(WANTED) and size <= min(_LARGEST_FILE, room):
            self.contents[path] = read()


def trees(data: bytes) -> Iterator[Tree]:
    """The filesystems in the image, by offset, read; MOST_TREES at most."""
    at = count = 0
    regions: list[_Region | fat.Volume] = [*_littlefs(data), *fat.volumes(data)]
    for region in sorted(regions, key=lambda one: one.offset):
        if region.offset < at or count == MOST_TREES:
            continue  # a file in a filesystem may be an image itself
        kind = "fat" if isinstance(region, fat.Volume) else "littlefs"
        tree = Tree(kind, region.offset, region.size)
        if isinstance(region, fat.Volume):
            _read_fat(data, region, tree)
        else:
            _read_littlefs(data, region, tree)
        at, count = region.offset + region.size, count + 1
        yield tree


class _Region(NamedTuple):
    """Where a LittleFS lies: `unit` is the size of its block."""

    offset: int
    size: int
    unit: int


def _littlefs(data: bytes) -> Iterator[_Region]:
    """Where a superblock stands. The pair's second block is no filesystem of its own."""
    last: _Region | None = None
    at = data.find(_MAGIC)
    while at >= 0:
        region = _superblock(data, at - _MAGIC_AT)
        if region is not None:
            mate = last is not None and region.offset == last.offset + last.unit
            if not mate:
                yield region
            last = region
        at = data.find(_MAGIC, at + 1)


def _superblock(data: bytes, start: int) -> _Region | None:
    head = data[start + _SUPERBLOCK_AT : start + _SUPERBLOCK_AT + _SUPERBLOCK.size]
    if start < 0 or len(head) < _SUPERBLOCK.size:
        return None
    _, version, block, count = _SUPERBLOCK.unpack(head)
    if version != _VERSION or block not in _BLOCK_SIZES or not 2 <= count <= _MOST_BLOCKS:
        return None
    return _Region(start, block * count, block) if start % 128 == 0 else None


class _Flash:
    """LittleFS's block device: a part of the image, to be read only, and not for ever."""

    def __init__(self, data: bytes, region: _Region) -> None:
        self._data = memoryview(data)[region.offset : region.offset + region.size]
        self._block = region.unit
        # more than any real one takes, where each block is read some times over: for mounting,
        # for its folder, for each file
        self._left = min(5000 + 16 * (len(self._data) // region.unit), _MOST_READS)

    def read(self, cfg: LFSConfig, block: int, off: int, size: int) -> bytearray:
        self._left -= 1
        at = block * self._block + off
        found = self._data[at : at + size] if self._left > 0 else b""
        return bytearray(found).ljust(size, b"\0")

    def prog(self, cfg: LFSConfig, block: int, off: int, data: bytes) -> int:
        return _REFUSED

    def erase(self, cfg: LFSConfig, block: int) -> int:
        return _REFUSED

    def sync(self, cfg: LFSConfig) -> int:
        return 0


_MOST_READS = 400_000  # some 2 s
_REFUSED = -5  # LFS_ERR_IO


def _read_littlefs(data: bytes, region: _Region, tree: Tree) -> None:
    from littlefs import LittleFS, LittleFSError

    tree.cut = region.offset + region.size > len(data)
    options: dict[str, Any] = {
        "context": _Flash(data, region),
        "mount": False,
        "block_size": region.unit,
        "block_count": region.size // region.unit,
        "read_size": min(32, region.unit),
        "prog_size": min(32, region.unit),
        # a small file lies in its folder, up to the size of the cache that it was written with;
        # none is larger than this (LFS_ATTR_MAX)
        "cache_size": min(1024, region.unit),
        "lookahead_size": 32,
        # names come as they are; the ones that are not UTF-8 shall not stop anything
        "filename_encoding": "latin-1",
    }
    try:
        filesystem = LittleFS(**options)
        filesystem.mount()
        _walk(filesystem, tree)
    except (LittleFSError, OSError, ValueError) as error:
        tree.problem = str(error).partition(":")[2].strip() or type(error).__name__


def _walk(filesystem: LittleFS, tree: Tree) -> None:
    from littlefs.lfs import LFSStat

    left = ["/"]
    while left and len(tree.sizes) < MOST_FILES:
        folder = left.pop()
        for entry in filesystem.scandir(folder):
            path = f"{folder.rstrip('/')}/{entry.name}"
            if entry.type == LFSStat.TYPE_DIR:
                if path.count("/") <= _DEEPEST:
                    left.append(path)
            elif len(tree.sizes) < MOST_FILES:
                tree.add(_readable(path), entry.size, functools.partial(_file, filesystem, path))


def _file(filesystem: LittleFS, path: str) -> bytes:
    with filesystem.open(path, "rb") as file:
        return bytes(file.read(_LARGEST_FILE))


def _readable(path: str) -> str:
    return path.encode("latin-1").decode("utf-8", "replace")


def _read_fat(data: bytes, volume: fat.Volume, tree: Tree) -> None:
    tree.cut = volume.offset + volume.size > len(data)
    for entry in fat.files(data, volume, MOST_FILES, _DEEPEST):
        tree.add(entry.path, entry.size, functools.partial(fat.content, data, volume, entry))
