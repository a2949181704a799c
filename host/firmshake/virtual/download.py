"""The serial bootloader of the ESP32 family: the ROM's, and the flasher stub of esptool over it.

Does no I/O but on the flash that it is given: received bytes in, what to do in order out.

Not imitated: a processor. What is uploaded into RAM is accepted and forgotten; once it is told to
run, the board says OHAI, as the stub's first word is, and from then on answers the stub's commands
itself. A program of another kind, loaded into RAM, does not run here. Erasing and programming take
no time of their own: on the line they are hidden behind the bytes, mostly.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

from firmshake.virtual import protocol, slip
from firmshake.virtual.nor import SECTOR, Flash
from firmshake.virtual.protocol import Fault, Refused, Request
from firmshake.virtual.registers import Registers
from firmshake.virtual.transfer import PowerLost, Reading, Writing

SYNC = 0x08
# Later chips tell of their security; an ESP32 does not know the command
SECURITY = 0x14
# The ROM answers a SYNC, and what it does not know, eight times
_REPEATS = 8
# Any but 0, by which the stub tells tools that it is no ROM
_ROM_SYNC_VALUE = 0x20120707
_SLOW_READ = 64


class Send(NamedTuple):
    """Bytes for the line."""

    data: bytes


class SetBaud(NamedTuple):
    """From here on, once all before is sent, the line has this speed."""

    baud: int


class Leave(NamedTuple):
    """The bootloader ends: in the application, or in a restart by the latched strapping pins."""

    to_app: bool


class Die(NamedTuple):
    """The power is gone, by a fault: nothing that comes after counts."""


Action = Send | SetBaud | Leave | Die


class Loader:
    """Speaks to one tool from reset to reset. `cut` is where in a region the power goes, if so."""

    def __init__(self, flash: Flash, registers: Registers, cut: float | None = None) -> None:
        self.synced = False
        self.is_stub = False
        self._flash = flash
        self._registers = registers
        self._cut = cut
        self._slip = slip.SlipReader()
        self._writing: Writing | None = None
        self._reading: Reading | None = None
        self._actions: list[Action] = []

    def receive(self, data: bytes) -> list[Action]:
        """What to do about these bytes, in this order."""
        for payload in self._slip.feed(data):
            # an acknowledgement is a bare word; anything else is a tool that gave up reading
            if self._reading is not None and len(payload) == 4:
                self._send_block(struct.unpack("<I", payload)[0])
            elif request := protocol.request(payload):
                self._reading = None
                self._perform(request)
        actions, self._actions = self._actions, []
        return actions

    def _perform(self, request: Request) -> None:
        if request.command == SYNC:
            self._sync()
            return
        if not self.synced:
            return
        method = (_STUB if self.is_stub else _ROM).get(request.command)
        if request.command == SECURITY and self._registers.model.security:
            method = Loader.security_info
        if method is None:
            self._unknown(request.command)
            return
        try:
            method(self, request)
        except Refused as refused:
            self._answer(request, fault=refused.fault)
        except PowerLost:
            self._actions.append(Die())

    def _sync(self) -> None:
        self.synced = True
        value = 0 if self.is_stub else _ROM_SYNC_VALUE
        for _ in range(_REPEATS):
            self._send(protocol.answer(SYNC, b"", value, None, self.is_stub))

    def _unknown(self, command: int) -> None:
        # the ROM does not even say which command it means
        for _ in range(1 if self.is_stub else _REPEATS):
            named = command if self.is_stub else 0
            self._send(protocol.answer(named, b"", 0, protocol.UNKNOWN, self.is_stub))

    def _answer(
        self, request: Request, data: bytes = b"", value: int = 0, fault: Fault | None = None
    ) -> None:
        self._send(protocol.answer(request.command, data, value, fault, self.is_stub))

    def _send(self, payload: bytes) -> None:
        self._actions.append(Send(slip.frame(payload)))

    # registers, RAM, line

    def security_info(self, request: Request) -> None:
        """What is locked (nothing), and on later chips which chip it is."""
        self._answer(request, data=self._registers.security())

    def accept(self, request: Request) -> None:
        """Say yes to what needs nothing done here."""
        self._answer(request)

    def read_register(self, request: Request) -> None:
        """One word of the address space."""
        self._answer(request, value=self._registers.read(request.words(1)[0]))

    def write_register(self, request: Request) -> None:
        """One or more: address, value, mask, and a delay that nobody needs here."""
        request.words(4)
        if len(request.body) % 16:
            raise Refused(protocol.BAD_LENGTH)
        for address, value, mask, _ in struct.iter_unpack("<4I", request.body):
            self._registers.write(address, value, mask)
        self._answer(request)

    def memory_data(self, request: Request) -> None:
        """A block for RAM."""
        request.block()
        self._answer(request)

    def memory_end(self, request: Request) -> None:
        """All is in RAM: stay, or run it."""
        stay, _entry = request.words(2)
        self._answer(request)
        if not stay:
            self.is_stub = True
            self._send(b"OHAI")

    def change_baud(self, request: Request) -> None:
        """Another speed, once the answer has left at this one."""
        baud = request.words(2)[0]
        if not baud:
            raise Refused(protocol.BAD_LENGTH)
        self._answer(request)
        self._actions.append(SetBaud(baud))

    # flash

    def flash_begin(self, request: Request) -> None:
        """A region to come: its size, blocks, their size, offset."""
        self._begin(request, is_deflated=False)

    def deflate_begin(self, request: Request) -> None:
        """The same, deflated; its size is that of the plain data."""
        self._begin(request, is_deflated=True)

    def _begin(self, request: Request, is_deflated: bool) -> None:
        size, _blocks, _block_size, offset = request.words(4)
        self._writing = Writing(self._flash, offset, size, is_deflated, not self.is_stub, self._cut)
        self._answer(request)

    def flash_data(self, request: Request) -> None:
        """The region's next block."""
        self._write(request, is_deflated=False)

    def deflate_data(self, request: Request) -> None:
        """The region's next block, deflated."""
        self._write(request, is_deflated=True)

    def _write(self, request: Request, is_deflated: bool) -> None:
        if self._writing is None or self._writing.is_deflated != is_deflated:
            raise Refused(protocol.NOT_WRITING)
        self._writing.write(request.block())
        self._answer(request)

    def flash_end(self, request: Request) -> None:
        """The region is done: start anew, or stay; the ROM's way to stay is the application."""
        stay = request.words(1)[0]
        if self._writing is None:
            raise Refused(protocol.NOT_WRITING)
        if self.is_stub and not self._writing.is_complete:
            raise Refused(protocol.TOO_LITTLE)
        self._writing = None
        self._answer(request)
        if not stay or not self.is_stub:
            self._actions.append(Leave(to_app=bool(stay)))

    def erase_flash(self, request: Request) -> None:
        """All of it."""
        self._flash.erase(0, self._flash.size)
        self._answer(request)

    def erase_region(self, request: Request) -> None:
        """Whole sectors."""
        offset, size = request.words(2)
        if offset % SECTOR or size % SECTOR:
            raise Refused(protocol.NOT_ALIGNED)
        self._flash.erase(offset, size)
        self._answer(request)

    def md5(self, request: Request) -> None:
        """Of a region: in hexadecimal from the ROM, as bytes from the stub."""
        offset, size = request.words(2)
        digest = self._flash.md5(offset, size)
        self._answer(request, data=digest if self.is_stub else digest.hex().encode())

    def read_slow(self, request: Request) -> None:
        """The ROM's way: always 64 bytes, whatever was asked for."""
        offset, size = request.words(2)
        data = self._flash.read(offset, min(size, _SLOW_READ))
        self._answer(request, data=data.ljust(_SLOW_READ, b"\0"))

    def read(self, request: Request) -> None:
        """The stub's way: blocks without end, acknowledged by the bytes received so far."""
        self._reading = Reading(self._flash, *request.words(4))
        self._answer(request)
        self._send_block(0)

    def _send_block(self, acknowledged: int) -> None:
        assert self._reading is not None
        for payload in self._reading.payloads(acknowledged):
            self._send(payload)
        if self._reading.is_complete:
            self._reading = None

    def run_user_code(self, _: Request) -> None:
        """Leave at once; there is no answer."""
        self._actions.append(Leave(to_app=True))


Method = Callable[[Loader, Request], None]

_BOTH: dict[int, Method] = {
    0x02: Loader.flash_begin,
    0x03: Loader.flash_data,
    0x04: Loader.flash_end,
    0x05: Loader.accept,  # a region of RAM to come
    0x06: Loader.memory_end,
    0x07: Loader.memory_data,
    0x09: Loader.write_register,
    0x0A: Loader.read_register,
    0x0B: Loader.accept,  # the flash chip's size and geometry
    0x0D: Loader.accept,  # the flash chip's pins
    0x0F: Loader.change_baud,
    0x10: Loader.deflate_begin,
    0x11: Loader.deflate_data,
    0x12: Loader.flash_end,
    0x13: Loader.md5,
}
_ROM: dict[int, Method] = {**_BOTH, 0x0E: Loader.read_slow}
_STUB: dict[int, Method] = {
    **_BOTH,
    0xD0: Loader.erase_flash,
    0xD1: Loader.erase_region,
    0xD2: Loader.read,
    0xD3: Loader.run_user_code,
}
