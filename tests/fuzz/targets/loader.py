"""The virtual board's bootloader, spoken to by anybody."""

from __future__ import annotations

import struct
from functools import reduce

from firmshake.virtual import nor, slip
from firmshake.virtual.download import Leave, Loader, Send, SetBaud
from firmshake.virtual.registers import Registers
from fuzz import wire

WORK = 400
HARD = (
    (b"\x80", b"\x09\x10" + bytes(16)),  # registers
    (b"\xc0", b"\x13\x08" + bytes(8)),  # sums
    (b"\x02", b"\xc0\xdb\xdd"),
)
SIZE = 1 << 16
_SIZES = (0, 1, 7, 64)
# the first byte: how it is cut, that requests are to be made of it, and that the stub hears them
_REQUESTS, _STUB = 0x80, 0x40
SYNC = struct.pack("<BBHI", 0, 0x08, 36, 0) + bytes.fromhex("07071220") + b"\x55" * 32
_RUN_STUB = struct.pack("<BBHIII", 0, 0x06, 8, 0, 0, 0x40080000)


def one(data: bytes) -> None:
    """Feed it, cut as the first byte says; it answers, and nothing else.

    An answer may be the whole flash, and there may be one for each frame.
    """
    how = data[0] if data else 0
    flash = nor.in_memory(SIZE)
    try:
        loader = Loader(flash, Registers(bytes(6), SIZE))
        for piece in wire.cut(_sent(data[1:], how), _SIZES[how & 3]):
            for action in loader.receive(piece):
                assert isinstance(action, Send | SetBaud | Leave)
        assert len(bytes(flash)) == SIZE
    finally:
        flash.close()


def _sent(data: bytes, how: int) -> bytes:
    """The bytes as they are, or whole requests of them: command, size of the body, body."""
    if not how & _REQUESTS:
        return data
    sent = slip.frame(SYNC) + (slip.frame(_RUN_STUB) if how & _STUB else b"")
    while len(data) > 1:
        command, size = data[:2]
        body, data = data[2 : 2 + size], data[2 + size :]
        checksum = reduce(lambda a, b: a ^ b, body[16:], 0xEF)
        sent += slip.frame(struct.pack("<BBHI", 0, command, len(body), checksum) + body)
    return sent


def pack(requests: list[tuple[int, bytes]], stub: bool) -> bytes:
    """The data that describes these requests."""
    parts = (bytes([command, len(body)]) + body for command, body in requests)
    return bytes([_REQUESTS | (_STUB if stub else 0)]) + b"".join(parts)
