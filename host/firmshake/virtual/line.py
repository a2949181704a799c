"""The board's port on the network: RFC 2217 (a serial port with its modem lines), or plain bytes.

Telnet and its COM-PORT-OPTION are pyserial's server side. One client at a time has the port, as one
program has a serial port.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Iterator
from typing import Any, Protocol, cast

from serial import rfc2217

from firmshake.telnet import IAC, SB, SE, plain_start
from firmshake.virtual import rom
from firmshake.virtual.fault import NONE, Faults, Noise
from firmshake.virtual.pace import Pace, heard

# A port that is USB itself has no speed of its own: some 800 KB/s in practice, whatever is set
USB_BAUD = 8_000_000
_READ = 4096
# A client that does not read loses output, as one does that leaves a serial port's buffer full
_BACKLOG = 1 << 20
# How long a client may find the port still held by one that has just hung up
_HANDOVER_S = 2.0


class Board(Protocol):
    """What the port is attached to; `baud` is the speed of the board's own UART.

    With `is_usb` it has none, and hears any.
    """

    is_usb: bool

    @property
    def baud(self) -> int: ...

    def receive(self, data: bytes, baud: int) -> None: ...

    def set_lines(self, dtr: bool, rts: bool) -> None: ...

    def listen(self, listener: Callable[[bytes, int], None] | None) -> None: ...


class NotTelnet(Exception):
    """The client speaks something else."""


class SerialPort:
    """The serial port as pyserial's PortManager handles one, with the board at its other end."""

    def __init__(self, board: Board) -> None:
        self.baudrate = rom.BAUD
        self.bytesize, self.parity, self.stopbits = 8, "N", 1
        self.xonxoff = self.rtscts = self.break_condition = False
        # what an adapter without these lines reports
        self.cts = self.dsr = self.ri = self.cd = False
        self._board = board
        self._dtr = self._rts = False

    @property
    def dtr(self) -> bool:
        return self._dtr

    @dtr.setter
    def dtr(self, value: bool) -> None:
        self._dtr = value
        self._board.set_lines(self._dtr, self._rts)

    @property
    def rts(self) -> bool:
        return self._rts

    @rts.setter
    def rts(self, value: bool) -> None:
        self._rts = value
        self._board.set_lines(self._dtr, self._rts)

    def reset_input_buffer(self) -> None:
        """Nothing waits here: what the board sent is on its way to the client."""

    reset_output_buffer = reset_input_buffer


class Telnet:
    """One client's RFC 2217 session."""

    def __init__(self, port: SerialPort, write: Callable[[bytes], None]) -> None:
        # pyserial means objects with what these two have
        self._manager: Any = rfc2217.PortManager(cast(Any, port), cast(Any, _Connection(write)))

    def received(self, data: bytes) -> Iterator[bytes]:
        """The bytes for the board in `data`; commands take effect as they are come upon.

        Raises NotTelnet where a command makes no sense; the session cannot go on then.
        """
        while data:
            if self._is_plain():
                # far faster than byte by byte
                plain, data = plain_start(data)
                if plain:
                    yield plain
            size = _together(data)
            part, data = data[:size], data[size:]
            yield from self._filtered(part)

    def _filtered(self, part: bytes) -> list[bytes]:
        try:
            return [bytes(one) for one in self._manager.filter(part)]
        except (TypeError, ValueError, LookupError, struct.error) as error:
            # pyserial expects whole and known commands only
            raise NotTelnet from error

    def _is_plain(self) -> bool:
        return bool(self._manager.mode == rfc2217.M_NORMAL and self._manager.suboption is None)


def _together(data: bytes) -> int:
    """How many bytes of what begins with a command can be taken at once: one value's, or one."""
    end = data.find(IAC + SE) if data.startswith(IAC + SB) else -1
    return 1 if end < 0 else end + 2


class _Connection:
    """Where PortManager writes its answers."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self.write = write


class Server:
    """Serves one board on one port. `is_raw` is without RFC 2217, so at the board's own speed."""

    def __init__(
        self,
        board: Board,
        free: asyncio.Lock,
        pace: Pace,
        is_raw: bool = False,
        faults: Faults = NONE,
    ) -> None:
        self._board = board
        self._free = free
        self._pace = pace
        self._to_board = Noise(faults.noise, faults.seed)
        self._from_board = Noise(faults.noise, faults.seed + 1)
        self._is_raw = is_raw
        self._writer: asyncio.StreamWriter | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client until it goes, or is dropped; at once where the port is in use."""
        try:
            await asyncio.wait_for(self._free.acquire(), _HANDOVER_S)
        except TimeoutError:
            writer.close()
            return
        try:
            self._writer = writer
            await self._session(reader, writer)
        except (ConnectionError, NotTelnet):
            pass
        finally:
            self._board.listen(None)
            # a closed port lets go of both lines at once
            self._board.set_lines(False, False)
            self._writer = None
            self._free.release()
            writer.close()

    def drop(self) -> None:
        """Cut the client off."""
        if self._writer is not None:
            self._writer.transport.abort()

    async def _session(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        port = SerialPort(self._board)
        telnet = None if self._is_raw else Telnet(port, writer.write)

        def send(data: bytes, baud: int) -> None:
            if writer.is_closing() or writer.transport.get_write_buffer_size() > _BACKLOG:
                return
            data = self._from_board.pass_on(data)
            if telnet is not None:
                if not self._board.is_usb:
                    data = heard(data, baud, port.baudrate)
                data = data.replace(IAC, IAC + IAC)
            writer.write(data)

        self._board.listen(send)
        while data := await reader.read(_READ):
            for part in telnet.received(data) if telnet is not None else [data]:
                await self._pass_on(part, port, writer)

    async def _pass_on(self, data: bytes, port: SerialPort, writer: asyncio.StreamWriter) -> None:
        # what is on the way when the cable is pulled never arrives
        while data and not writer.is_closing():
            # a plain connection tells no speed: it has the board's
            has_none = self._is_raw or self._board.is_usb
            baud = self._board.baud if has_none else port.baudrate
            size = self._pace.piece(baud)
            piece, data = data[:size], data[size:]
            await self._pace.travel(len(piece), baud)
            self._board.receive(self._to_board.pass_on(piece), baud)
