"""A NOR flash chip in a file: erasing sets whole sectors to ones, programming only clears bits.

The file is one open descriptor, so that the board's MicroPython, which inherits it, and the
bootloader see the same bytes. It needs no name: by default it is memory, and gone with the process.

What is large is done in pieces, or where it lies: of many boards in one process, each on a thread,
the C library would keep a buffer of that size.
"""

from __future__ import annotations

import fcntl
import hashlib
import mmap
import os
import tempfile
from pathlib import Path

from firmshake.errors import Error

SECTOR = 4096
ERASED = 0xFF
_ERASED_PIECE = memoryview(bytes([ERASED]) * (1 << 16))

SIZES = {f"{mib}MB": mib << 20 for mib in (1, 2, 4, 8, 16)}


class Flash:
    """Flash of `size` bytes behind a descriptor that belongs to it until `close`."""

    def __init__(self, descriptor: int, size: int) -> None:
        self.descriptor = descriptor
        self.size = size

    def close(self) -> None:
        """Give up the descriptor; nothing of an unnamed flash remains."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def __bytes__(self) -> bytes:
        return self.read(0, self.size)

    def read(self, offset: int, size: int) -> bytes:
        """The bytes from `offset`; fewer than `size` at the end of the chip."""
        size = max(0, min(size, self.size - offset))
        data = bytearray()
        while len(data) < size:
            data += os.pread(self.descriptor, size - len(data), offset + len(data))
        return bytes(data)

    def program(self, offset: int, data: bytes) -> None:
        """Clear the bits that `data` has clear; what lies beyond the chip is lost."""
        old = self.read(offset, len(data))
        data = data[: len(old)]
        if old.count(ERASED) < len(old):
            both = int.from_bytes(old, "little") & int.from_bytes(data, "little")
            data = both.to_bytes(len(old), "little")
        self._write(offset, data)

    def erase(self, offset: int, size: int) -> None:
        """Erase every sector that [offset, offset + size) touches."""
        start = offset // SECTOR * SECTOR
        end = min(-(-(offset + size) // SECTOR) * SECTOR, self.size)
        while size > 0 and start < end:
            piece = min(end - start, len(_ERASED_PIECE))
            self._write(start, _ERASED_PIECE[:piece])
            start += piece

    def md5(self, offset: int, size: int) -> bytes:
        """The MD5 of a region, as the bootloader answers it; 16 bytes."""
        return hashlib.md5(self.seen(offset, size), usedforsecurity=False).digest()

    def seen(self, offset: int, size: int) -> memoryview:
        """The bytes from `offset` where they lie; fewer than `size` at the end of the chip."""
        whole = mmap.mmap(self.descriptor, self.size, access=mmap.ACCESS_READ)
        # the mapping goes with the last view of it
        return memoryview(whole)[offset : offset + size]

    def _write(self, offset: int, data: bytes | memoryview) -> None:
        view = memoryview(data)
        while view:
            done = os.pwrite(self.descriptor, view, offset)
            view, offset = view[done:], offset + done


def in_memory(size: int) -> Flash:
    """An erased flash without a name on any disk where the system has such files (Linux)."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("firmshake-flash")
    else:
        descriptor, name = tempfile.mkstemp(prefix="firmshake-")
        os.unlink(name)
    flash = Flash(descriptor, size)
    flash.erase(0, size)
    return flash


def in_file(path: Path, size: int) -> tuple[Flash, bool]:
    """The flash kept in `path`, and whether the file is new, that is: erased and of mode 0600.

    Raises Error where it cannot be opened, is no flash of that size, or another board has it.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        reason = (error.strerror or "unknown reason").lower()
        raise Error(f"flash file {path} cannot be opened: {reason}") from None
    flash = Flash(descriptor, size)
    try:
        is_new = _claim(path, flash)
        if is_new:
            flash.erase(0, size)
    except OSError as error:
        flash.close()
        raise Error(
            f"flash file {path} cannot be written: {(error.strerror or '').lower()}"
        ) from None
    except Error:
        flash.close()
        raise
    return flash, is_new


def _claim(path: Path, flash: Flash) -> bool:
    try:
        fcntl.flock(flash.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Error(
            f"flash file {path} is in use by another virtual board",
            hint="stop that board, or give this one a file of its own",
        ) from None
    found = os.fstat(flash.descriptor).st_size
    if found not in (0, flash.size):
        raise Error(
            f"flash file {path} holds {found} bytes, not {flash.size}",
            hint="name its size with --flash-size, or give another file",
        )
    return found == 0
