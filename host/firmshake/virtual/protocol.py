"""Requests and answers of the ESP32's serial bootloader, and the ways that it refuses one.

Does no I/O. A packet is a header (direction, command, size of the body, checksum or value) and a
body; an answer's body ends in status bytes, four from the ROM and two from the flasher stub
(Espressif, "Serial Protocol", in esptool's documentation).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

_HEADER = struct.Struct("<BBHI")
_REQUEST, _RESPONSE = 0, 1
_CHECKSUM_SEED = 0xEF
# size, sequence number and two words of nothing go before a block's data
_BLOCK_HEADER = 16


class Fault(NamedTuple):
    """The number of a reason, by the ROM and by the stub; esptool has words for them."""

    rom: int
    stub: int


UNKNOWN = Fault(0x05, 0xC3)
BAD_LENGTH = Fault(0x05, 0xC0)
BAD_CHECKSUM = Fault(0x07, 0xC1)
NOT_ALIGNED = Fault(0x06, 0xC2)
NOT_WRITING = Fault(0x06, 0xC6)
BAD_DEFLATE = Fault(0x0B, 0xC7)
TOO_LITTLE = Fault(0x06, 0xC8)
TOO_MUCH = Fault(0x06, 0xC9)


class Refused(Exception):
    """A command that cannot be carried out."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault)
        self.fault = fault


class Request(NamedTuple):
    """One command with its body."""

    command: int
    body: bytes
    checksum: int

    def words(self, count: int) -> tuple[int, ...]:
        """The first words of the body. Raises Refused where it is shorter."""
        if len(self.body) < 4 * count:
            raise Refused(BAD_LENGTH)
        return struct.unpack_from(f"<{count}I", self.body)

    def block(self) -> bytes:
        """The data that the body carries. Raises Refused where size or checksum are wrong."""
        size = self.words(4)[0]
        data = self.body[_BLOCK_HEADER:]
        if len(data) != size:
            raise Refused(BAD_LENGTH)
        if _xor(data) ^ _CHECKSUM_SEED != self.checksum & 0xFF:
            raise Refused(BAD_CHECKSUM)
        return data


def request(payload: bytes) -> Request | None:
    """The request in a frame; None where it holds something else."""
    if len(payload) < _HEADER.size:
        return None
    direction, command, size, checksum = _HEADER.unpack_from(payload)
    body = payload[_HEADER.size :]
    if direction != _REQUEST or size != len(body):
        return None
    return Request(command, body, checksum)


def answer(command: int, data: bytes, value: int, fault: Fault | None, is_stub: bool) -> bytes:
    """The payload of an answer: success where there is no fault."""
    if is_stub:
        status = bytes([fault.stub if fault else 0, 0])
    else:
        # two more are reserved
        status = bytes([1, fault.rom, 0, 0]) if fault else bytes(4)
    return _HEADER.pack(_RESPONSE, command, len(data + status), value) + data + status


def _xor(data: bytes) -> int:
    """All bytes xored together, by folding in halves: a loop over 16 KiB would cost 1 ms."""
    width = 1 << max(len(data) - 1, 0).bit_length()
    number = int.from_bytes(data, "little")
    while width > 1:
        width //= 2
        number = number >> 8 * width ^ number & (1 << 8 * width) - 1
    return number
