"""A board's LittleFS filesystem, and the parts of it that must travel to the board.

Does no I/O: the filesystem is made in memory and handed back as runs of bytes.

Only blocks that matter travel. LittleFS allocates a metadata pair as two blocks and writes one of
them at first; the other is read at the next mount, and what an older filesystem left there can win
over the new one. So a run holds every block that was programmed, erased, or read, both while the
tree was written and while all of it was read back after a fresh mount.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from firmshake.errors import Error

if TYPE_CHECKING:
    from littlefs import LittleFS
    from littlefs.lfs import LFSConfig

BLOCK_SIZE = 4096

# The smallest that LittleFS can hold a superblock and one directory in
_SMALLEST_BLOCK_COUNT = 4

# Two runs with a gap of at most so many blocks travel as one. A further region costs esptool a
# begin, an end and an MD5 check, 50 ms on a virtual board; blank blocks compress to nothing, but
# each costs the board a sector erase, 45 ms on common NOR flash.
MERGE_GAP_BLOCKS = 1

ERASED = 0xFF
_BLANK = bytes([ERASED]) * BLOCK_SIZE


@dataclass(frozen=True)
class Parameters:
    """What a port of MicroPython mounts LittleFS with, in bytes.

    The cache is four times what is programmed at once (extmod/vfs_lfsx.c). It is memory of the
    board, but it shows on flash: a small file lies inside its folder up to the cache's size, so an
    image made with a larger one would hold files that the board cannot open.
    """

    prog_size: int
    cache_size: int
    block_size: int = BLOCK_SIZE
    read_size: int = 32
    lookahead_size: int = 32
    # 2.0 mounts on every MicroPython; 2.1 does not on those with LittleFS before 2.6
    disk_version: int = 0x0002_0000


ESP32 = Parameters(prog_size=32, cache_size=128)
# flash of the RP2 boards is programmed by pages of 256 (ports/rp2/modules/_boot.py)
RP2 = Parameters(prog_size=256, cache_size=1024)


class Run(NamedTuple):
    """Bytes that belong at an offset in flash. The bytes may hold a private key: never print."""

    offset: int
    data: bytes

    def __repr__(self) -> str:
        return f"Run(offset={self.offset:#x}, size={len(self.data)})"


@dataclass(frozen=True, repr=False)
class Image:
    """A filesystem of `block_count` blocks; `blocks` holds those that must reach the board."""

    block_count: int
    blocks: Mapping[int, bytes]

    @property
    def size(self) -> int:
        """Bytes of the whole filesystem."""
        return self.block_count * BLOCK_SIZE

    @cached_property
    def runs(self) -> list[Run]:
        """The bytes that must travel, by offset from the start of the filesystem, ascending."""
        return runs(self.blocks)

    @property
    def travel_size(self) -> int:
        """Bytes of all runs."""
        return sum(len(run.data) for run in self.runs)

    def at(self, offset: int) -> list[Run]:
        """The runs of a filesystem that starts at `offset` in flash."""
        return [Run(offset + run.offset, run.data) for run in self.runs]

    def __repr__(self) -> str:
        return f"Image(block_count={self.block_count}, blocks={len(self.blocks)})"


def build(files: Mapping[str, bytes], block_count: int, parameters: Parameters = ESP32) -> Image:
    """Make a filesystem of `block_count` blocks that holds `files` (absolute path: contents).

    `parameters` are those that the board's port mounts with. Raises Error where the files do not
    fit, or a name is not one that LittleFS can hold.
    """
    from littlefs import LittleFS, LittleFSError

    if block_count < _SMALLEST_BLOCK_COUNT:
        raise _too_small(files, block_count)
    flash = _Flash()
    context: dict[str, Any] = {
        "context": flash,
        "block_count": block_count,
        "mount": False,
        **asdict(parameters),
    }
    try:
        filesystem = LittleFS(**context)
        filesystem.format()
        filesystem.mount()
        for path, data in sorted(files.items()):
            _write(filesystem, path, data)
        filesystem.unmount()
        again = LittleFS(**context)
        again.mount()
        _check(again, files)
    except LittleFSError as error:
        if error.code == LittleFSError.Error.LFS_ERR_NOSPC:
            raise _too_small(files, block_count) from None
        raise Error(f"the board's filesystem cannot be built: {error}") from None
    return Image(block_count, {block: bytes(data) for block, data in sorted(flash.touched.items())})


def runs(blocks: Mapping[int, bytes]) -> list[Run]:
    """Join blocks into runs; gaps of up to MERGE_GAP_BLOCKS are filled with erased flash."""
    found: list[tuple[int, bytearray]] = []
    for block, data in sorted(blocks.items()):
        start = block * BLOCK_SIZE
        if found:
            offset, last = found[-1]
            gap = start - offset - len(last)
            if gap <= MERGE_GAP_BLOCKS * BLOCK_SIZE:
                last += bytes([ERASED]) * gap + data
                continue
        found.append((start, bytearray(data)))
    return [Run(offset, bytes(data)) for offset, data in found]


def laid_over(flash: bytes, parts: Iterable[Run]) -> bytes:
    """What a flash that held `flash` holds once `parts` are written."""
    after = bytearray(flash)
    for offset, data in parts:
        after[offset : offset + len(data)] = data
    return bytes(after)


class _Flash:
    """LittleFS's block device: memory of those blocks that were touched.

    Offers the four methods that littlefs-python calls on a context.
    """

    def __init__(self) -> None:
        self.touched: dict[int, bytearray] = {}

    def _block(self, number: int) -> bytearray:
        found = self.touched.get(number)
        if found is None:
            found = self.touched[number] = bytearray(_BLANK)
        return found

    def read(self, cfg: LFSConfig, block: int, off: int, size: int) -> bytearray:
        return self._block(block)[off : off + size]

    def prog(self, cfg: LFSConfig, block: int, off: int, data: bytes) -> int:
        self._block(block)[off : off + len(data)] = data
        return 0

    def erase(self, cfg: LFSConfig, block: int) -> int:
        self.touched[block] = bytearray(_BLANK)
        return 0

    def sync(self, cfg: LFSConfig) -> int:
        return 0


def _write(filesystem: LittleFS, path: str, data: bytes) -> None:
    folder = path.rpartition("/")[0]
    if folder:
        filesystem.makedirs(folder, exist_ok=True)
    with filesystem.open(path, "wb") as file:
        file.write(data)


def _check(filesystem: LittleFS, files: Mapping[str, bytes]) -> None:
    """Read everything back, as a board would: it proves the image and records the blocks read."""
    found = {}
    for folder, _, names in filesystem.walk("/"):
        for name in names:
            path = f"{folder.rstrip('/')}/{name}"
            with filesystem.open(path, "rb") as file:
                found[path] = file.read()
    assert found == {f"/{path.lstrip('/')}": data for path, data in files.items()}


def _too_small(files: Mapping[str, bytes], block_count: int) -> Error:
    size = sum(map(len, files.values()))
    return Error(
        f"{size / 1024:,.0f} KiB in {len(files)} files do not fit in the board's filesystem"
        f" of {block_count * BLOCK_SIZE // 1024:,} KiB",
        hint="use a board with more flash, or firmware that leaves more of it to the filesystem",
    )
