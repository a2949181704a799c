"""The ESP32's serial bootloader: the ROM's, and the flasher stub that esptool uploads over it.

Does no I/O but on the flash that it is given: received bytes in, what to do in order out. The
protocol is Espressif's, documented with esptool as "Serial Protocol": SLIP frames of a header
(direction, command, size, checksum) and a body; an answer ends in status bytes.

Not imitated: a processor. What is uploaded into RAM is accepted and forgotten; once it is told to
run, the board says OHAI, as the stub's first word is, and from then on answers the stub's commands
itself. A program of another kind, loaded into RAM, does not run here.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from firmshake.virtual import slip
from firmshake.virtual.nor import SECTOR, Flash
from firmshake.virtual.registers import Registers

_HEADER = struct.Struct("<BBHI")
_REQUEST, _RESPONSE = 0, 1
_CHECKSUM_SEED = 0xEF

SYNC = 0x08
# The ROM answers a SYNC, and what it does not know, eight times
_REPEATS = 8
_SYNC_VALUE = 0x20120707


class Send(NamedTuple):
    """Bytes for the line."""

    data: bytes


class SetBaud(NamedTuple):
    """From here on, once all before is sent, the line has this speed."""

    baud: int


class Leave(NamedTuple):
    """The bootloader ends: in the application, or in a restart by the latched strapping pins."""

    to_app: bool


Action = Send | SetBaud | Leave


class Refused(Exception):
    """A command that cannot be carried out; the code of each loader for the reason."""

    def __init__(self, rom: int, stub: int) -> None:
        super().__init__(rom, stub)
        self.rom = rom
        self.stub = stub


# Codes as esptool prints them: of the ROM, of the stub
UNKNOWN = (0x05, 0xC3)
BAD_LENGTH = (0x05, 0xC0)
BAD_CHECKSUM = (0x07, 0xC1)
NOT_WRITING = (0x06, 0xC6)
BAD_DEFLATE = (0x0B, 0xC7)
TOO_LITTLE = (0x06, 0xC8)
TOO_MUCH = (0x06, 0xC9)
NOT_ALIGNED = (0x06, 0xC2)


@dataclass
class Writing:
    """One region being written: erased up to `erased`, written up to `next`, ending at `end`."""

    next: int
    end: int
    erased: int
    inflate: object = None


@dataclass
class Reading:
    """One region being sent: sent up to `sent`, acknowledged up to `acked`, both from `start`."""

    start: int
    size: int
    block: int
    window: int
    sent: int = 0
    acked: int = 0


class Loader:
    """Speaks to one tool from reset to reset."""

    def __init__(self, flash: Flash, registers: Registers) -> None:
        self.synced = False
        self.is_stub = False
        self._flash = flash
        self._registers = registers
        self._slip = slip.SlipReader()
        self._writing: Writing | None = None
        self._reading: Reading | None = None
        self._actions: list[Action] = []

    def receive(self, data: bytes) -> list[Action]:
        """What to do about these bytes, in this order."""
        for payload in self._slip.feed(data):
            if self._reading is not None:
                self._acknowledged(payload)
            else:
                self._request(payload)
        actions, self._actions = self._actions, []
        return actions

    # requests and answers

    def _request(self, payload: bytes) -> None:
        if len(payload) < _HEADER.size:
            return
        direction, command, size, checksum = _HEADER.unpack_from(payload)
        body = payload[_HEADER.size :]
        if direction != _REQUEST or size != len(body):
            return
        if command == SYNC:
            self._sync()
        elif self.synced:
            self._perform(command, body, checksum)

    def _sync(self) -> None:
        self.synced = True
        # by a value of 0 the stub tells tools that it is no ROM
        for _ in range(_REPEATS):
            self._answer(SYNC, value=0 if self.is_stub else _SYNC_VALUE)

    def _perform(self, command: int, body: bytes, checksum: int) -> None:
        known = _STUB if self.is_stub else _ROM
        if command not in known:
            self._unknown(command)
            return
        size, method = known[command]
        try:
            if len(body) < size:
                raise Refused(*BAD_LENGTH)
            method(self, command, body, checksum)
        except Refused as refused:
            self._answer(command, error=refused.stub if self.is_stub else refused.rom)

    def _unknown(self, command: int) -> None:
        if self.is_stub:
            self._answer(command, error=UNKNOWN[1])
            return
        for _ in range(_REPEATS):
            self._answer(0, error=UNKNOWN[0])

    def _answer(self, command: int, data: bytes = b"", value: int = 0, error: int = 0) -> None:
        status = bytes([1, error]) if error and not self.is_stub else bytes([error, 0])
        # the ROM's status has two more bytes, reserved
        body = data + status + (b"" if self.is_stub else b"\0\0")
        self._send(_HEADER.pack(_RESPONSE, command, len(body), value) + body)

    def _send(self, payload: bytes) -> None:
        self._actions.append(Send(slip.frame(payload)))

    # registers and RAM

    def _read_register(self, command: int, body: bytes, _: int) -> None:
        self._answer(command, value=self._registers.read(struct.unpack_from("<I", body)[0]))

    def _write_register(self, command: int, body: bytes, _: int) -> None:
        for at in range(0, len(body) - 15, 16):
            address, value, mask, _delay_us = struct.unpack_from("<IIII", body, at)
            self._registers.write(address, value, mask)
        self._answer(command)

    def _accept(self, command: int, _body: bytes, _: int) -> None:
        self._answer(command)

    def _memory_data(self, command: int, body: bytes, checksum: int) -> None:
        _block(body, checksum)
        self._answer(command)

    def _memory_end(self, command: int, body: bytes, _: int) -> None:
        stay, _entry = struct.unpack_from("<II", body)
        self._answer(command)
        if not stay:
            self.is_stub = True
            self._send(b"OHAI")

    def _change_baud(self, command: int, body: bytes, _: int) -> None:
        baud = struct.unpack_from("<I", body)[0]
        if not baud:
            raise Refused(*BAD_LENGTH)
        self._answer(command)
        self._actions.append(SetBaud(baud))

    # writing

    def _flash_begin(self, command: int, body: bytes, _: int) -> None:
        size, _blocks, _block_size, offset = struct.unpack_from("<IIII", body)
        self._begin(offset, size)
        self._answer(command)

    def _deflate_begin(self, command: int, body: bytes, _: int) -> None:
        size, _blocks, _block_size, offset = struct.unpack_from("<IIII", body)
        self._begin(offset, size)
        assert self._writing is not None
        self._writing.inflate = zlib.decompressobj()
        self._answer(command)

    def _begin(self, offset: int, size: int) -> None:
        if offset + size > self._flash.size:
            raise Refused(*TOO_MUCH)
        self._writing = Writing(offset, offset + size, offset // SECTOR * SECTOR)
        # the ROM erases all of it now, the stub each sector when it comes to it
        if not self.is_stub:
            self._erase_to(offset + size)

    def _erase_to(self, end: int) -> None:
        assert self._writing is not None
        if end > self._writing.erased:
            self._flash.erase(self._writing.erased, end - self._writing.erased)
            self._writing.erased = -(-end // SECTOR) * SECTOR

    def _flash_data(self, command: int, body: bytes, checksum: int) -> None:
        if self._writing is None:
            raise Refused(*NOT_WRITING)
        data = _block(body, checksum)
        # the last block is filled up to its full size: what is too much is not written
        self._program(data[: self._writing.end - self._writing.next])
        self._answer(command)

    def _deflate_data(self, command: int, body: bytes, checksum: int) -> None:
        if self._writing is None or self._writing.inflate is None:
            raise Refused(*NOT_WRITING)
        data = _inflated(self._writing, _block(body, checksum))
        if len(data) > self._writing.end - self._writing.next:
            raise Refused(*TOO_MUCH)
        self._program(data)
        self._answer(command)

    def _program(self, data: bytes) -> None:
        assert self._writing is not None
        self._erase_to(min(self._writing.next + len(data), self._writing.end))
        self._flash.program(self._writing.next, data)
        self._writing.next += len(data)

    def _flash_end(self, command: int, body: bytes, _: int) -> None:
        if self._writing is None:
            raise Refused(*NOT_WRITING)
        if self.is_stub and self._writing.next < self._writing.end:
            raise Refused(*TOO_LITTLE)
        self._writing = None
        stay = struct.unpack_from("<I", body)[0]
        self._answer(command)
        if not stay:
            self._actions.append(Leave(to_app=False))
        elif not self.is_stub:
            self._actions.append(Leave(to_app=True))

    # erasing, reading

    def _erase_flash(self, command: int, _body: bytes, _: int) -> None:
        self._flash.erase(0, self._flash.size)
        self._answer(command)

    def _erase_region(self, command: int, body: bytes, _: int) -> None:
        offset, size = struct.unpack_from("<II", body)
        if offset % SECTOR or size % SECTOR:
            raise Refused(*NOT_ALIGNED)
        self._flash.erase(offset, size)
        self._answer(command)

    def _md5(self, command: int, body: bytes, _: int) -> None:
        offset, size = struct.unpack_from("<II", body)
        digest = self._flash.md5(offset, size)
        self._answer(command, data=digest if self.is_stub else digest.hex().encode())

    def _read_slow(self, command: int, body: bytes, _: int) -> None:
        offset, size = struct.unpack_from("<II", body)
        # always 64 bytes, whatever was asked for
        self._answer(command, data=self._flash.read(offset, min(size, 64)).ljust(64, b"\0"))

    def _read(self, command: int, body: bytes, _: int) -> None:
        offset, size, block, window = struct.unpack_from("<IIII", body)
        if not block or not window or offset + size > self._flash.size:
            raise Refused(*BAD_LENGTH)
        self._answer(command)
        self._reading = Reading(offset, size, block, window)
        self._send_more()

    def _acknowledged(self, payload: bytes) -> None:
        assert self._reading is not None
        if len(payload) != 4:
            # not an acknowledgement: the tool has given up reading
            self._reading = None
            self._request(payload)
            return
        self._reading.acked = struct.unpack("<I", payload)[0]
        self._send_more()

    def _send_more(self) -> None:
        reading = self._reading
        assert reading is not None
        limit = min(reading.acked + reading.block * reading.window, reading.size)
        while reading.sent < limit:
            size = min(reading.block, reading.size - reading.sent)
            self._send(self._flash.read(reading.start + reading.sent, size))
            reading.sent += size
        if reading.acked >= reading.size:
            self._reading = None
            self._send(self._flash.md5(reading.start, reading.size))

    def _run_user_code(self, _command: int, _body: bytes, _: int) -> None:
        self._actions.append(Leave(to_app=True))


def _block(body: bytes, checksum: int) -> bytes:
    """The data of a block, which its size and its checksum guard. Raises Refused."""
    size = struct.unpack_from("<I", body)[0]
    data = body[16:]
    if len(data) != size:
        raise Refused(*BAD_LENGTH)
    if _xor(data) ^ _CHECKSUM_SEED != checksum & 0xFF:
        raise Refused(*BAD_CHECKSUM)
    return data


def _xor(data: bytes) -> int:
    """All bytes xored together, by folding in halves: a loop over 16 KiB would cost 1 ms."""
    width = 1 << max(len(data) - 1, 0).bit_length()
    number = int.from_bytes(data, "little")
    while width > 1:
        width //= 2
        number = number >> 8 * width ^ number & (1 << 8 * width) - 1
    return number


def _inflated(writing: Writing, data: bytes) -> bytes:
    try:
        return writing.inflate.decompress(data)  # type: ignore[attr-defined]
    except zlib.error:
        raise Refused(*BAD_DEFLATE) from None


Method = Callable[[Loader, int, bytes, int], None]

# command: the least bytes of its body, and what carries it out
_BOTH: dict[int, tuple[int, Method]] = {
    0x02: (16, Loader._flash_begin),
    0x03: (16, Loader._flash_data),
    0x04: (4, Loader._flash_end),
    0x05: (16, Loader._accept),
    0x06: (8, Loader._memory_end),
    0x07: (16, Loader._memory_data),
    0x09: (16, Loader._write_register),
    0x0A: (4, Loader._read_register),
    0x0B: (24, Loader._accept),
    0x0D: (4, Loader._accept),
    0x0F: (8, Loader._change_baud),
    0x10: (16, Loader._deflate_begin),
    0x11: (16, Loader._deflate_data),
    0x12: (4, Loader._flash_end),
    0x13: (8, Loader._md5),
}
_ROM = _BOTH | {0x0E: (8, Loader._read_slow)}
_STUB = _BOTH | {
    0xD0: (0, Loader._erase_flash),
    0xD1: (8, Loader._erase_region),
    0xD2: (16, Loader._read),
    0xD3: (0, Loader._run_user_code),
}
