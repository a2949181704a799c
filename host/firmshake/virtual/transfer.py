"""The two long works of the bootloader: a region of flash written block by block, and one read out.

Does no I/O but on the flash.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from firmshake.virtual.nor import SECTOR, Flash
from firmshake.virtual.protocol import BAD_DEFLATE, BAD_LENGTH, TOO_MUCH, Refused


class PowerLost(Exception):
    """The cable was pulled at the byte that a fault names: nothing more is written or answered."""


class Writing:
    """A region being written, from its begin to its end.

    `erase_first` is the ROM's way; the stub erases each sector when it comes to it. At a share of
    `cut` of the region, the power goes. Raises Refused where the region leaves the flash.
    """

    def __init__(
        self,
        flash: Flash,
        offset: int,
        size: int,
        is_deflated: bool,
        erase_first: bool,
        cut: float | None = None,
    ) -> None:
        if offset + size > flash.size:
            raise Refused(TOO_MUCH)
        self._flash = flash
        self._next = offset
        self._end = offset + size
        self._cut = None if cut is None else offset + int(size * cut)
        self._erased = offset // SECTOR * SECTOR
        self._inflate = zlib.decompressobj() if is_deflated else None
        if erase_first:
            self._erase_to(self._end)

    @property
    def is_deflated(self) -> bool:
        return self._inflate is not None

    @property
    def is_complete(self) -> bool:
        return self._next >= self._end

    def write(self, data: bytes) -> None:
        """Write the next block.

        Raises Refused where it is no deflated data, or too much of it, and PowerLost in its middle.
        """
        room = self._end - self._next
        if self._inflate is not None:
            try:
                # one byte more tells that it is too much; a bomb unfolds no further
                data = self._inflate.decompress(data, room + 1)
            except zlib.error:
                raise Refused(BAD_DEFLATE) from None
            if len(data) > room:
                raise Refused(TOO_MUCH)
        # a plain block is filled up to its full size: what is too much is not written
        data = data[:room]
        is_cut = self._cut is not None and self._next + len(data) >= self._cut
        if is_cut:
            assert self._cut is not None
            data = data[: self._cut - self._next]
        self._erase_to(self._next + len(data))
        self._flash.program(self._next, data)
        self._next += len(data)
        if is_cut:
            raise PowerLost

    def _erase_to(self, end: int) -> None:
        if end > self._erased:
            self._flash.erase(self._erased, end - self._erased)
            self._erased = -(-end // SECTOR) * SECTOR


class Reading:
    """A region being sent in `block`s, at most `window` of them ahead of the acknowledgements.

    Raises Refused where the region leaves the flash.
    """

    def __init__(self, flash: Flash, offset: int, size: int, block: int, window: int) -> None:
        if not block or not window or offset + size > flash.size:
            raise Refused(BAD_LENGTH)
        self._flash = flash
        self._start = offset
        self._size = size
        self._block = block
        self._window = block * window
        self._sent = 0
        self.is_complete = False

    def payloads(self, acknowledged: int) -> Iterator[bytes]:
        """What to send once so many bytes have arrived; the region's MD5 is the last."""
        limit = min(acknowledged + self._window, self._size)
        while self._sent < limit:
            size = min(self._block, self._size - self._sent)
            yield self._flash.read(self._start + self._sent, size)
            self._sent += size
        if acknowledged >= self._size:
            self.is_complete = True
            yield self._flash.md5(self._start, self._size)
