"""A virtual development board with an ESP32: chip, flash, reset circuit and a port on the network.

It lives on a thread with an event loop of its own; every method here may be called from any thread.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Self, TypeVar

from firmshake import tools
from firmshake.errors import Error
from firmshake.virtual import line, nor
from firmshake.virtual.child import Program
from firmshake.virtual.chip import Chip
from firmshake.virtual.circuit import HOLD_S, Edge, ResetCircuit
from firmshake.virtual.clock import ESP32_EPOCH, Clock
from firmshake.virtual.firmware import BOOT_OFFSET, standin_firmware
from firmshake.virtual.pace import Pace

LOOPBACK = "127.0.0.1"
DEFAULT_MAC = bytes.fromhex("24 0a c4 12 34 56")
DEFAULT_SIZE = 4 << 20
# An ESP32 without PSRAM has 160 to 180 KiB for MicroPython's heap and TLS together. Objects are
# twice as large on a 64-bit MicroPython, and so is this.
DEFAULT_HEAP = "352k"
# Up to this size of flash, MicroPython's table has a smaller application (partitions-2MiB)
_SMALL = 2 << 20
_SMALL_APP = 0x160000

_T = TypeVar("_T")


@dataclass(frozen=True)
class Wifi:
    """The one access point in the board's air; `password` None means that it is open."""

    ssid: str = "firmshake"
    password: str | None = field(default=None, repr=False)


class VirtualBoard:
    """A board that has power and a cable from `start` to `close`; a context manager does both.

    `flash` is a file to keep its flash in, made if absent; without one the flash is memory.
    `firmware` (default: a stand-in) and `filesystem`, bytes for where the filesystem lies, are what
    a new flash holds; none of it if `blank`. `clock` is where the board's clock stands at power-on:
    2000-01-01 as on an ESP32, or None for the computer's; where there is no libfaketime it is the
    computer's in any case, see `has_own_clock`. `raw_port` serves plain TCP too (`socket://`), 0
    for any free port. With `boot_held` the button BOOT is held from the start. Raises Error where
    the flash, a port or MicroPython cannot be had.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        raw_port: int | None = None,
        flash: Path | None = None,
        blank: bool = False,
        firmware: bytes | None = None,
        mac: bytes = DEFAULT_MAC,
        flash_size: int = DEFAULT_SIZE,
        wifi: Wifi | None = None,
        clock: datetime | None = ESP32_EPOCH,
        heap: str = DEFAULT_HEAP,
        boot_held: bool = False,
        faster_than_life: bool = False,
    ) -> None:
        self._command = tools.micropython()
        self._heap = heap
        self._wifi = wifi or Wifi()
        self._mac = mac
        self._wanted = (port, raw_port)
        self._boot_held = boot_held
        self._faster = faster_than_life
        self._lines = ResetCircuit()
        self._servers: list[line.Server] = []
        self._sockets: list[socket.socket] = []
        self._listening: list[asyncio.Server] = []
        self._holding: asyncio.TimerHandle | None = None
        self._powered = False
        self._failure: BaseException | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        library = tools.faketime() if clock is not None else None
        self.has_own_clock = library is not None
        self.flash = _flash(flash, flash_size, blank, firmware)
        self._clock = Clock(clock, library)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # what others see

    @property
    def mac(self) -> str:
        """The base address, as esptool prints it."""
        return self._mac.hex(":")

    @property
    def port(self) -> int:
        """The TCP port of RFC 2217."""
        return int(self._sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        """What the tools take as port."""
        return f"rfc2217://{LOOPBACK}:{self.port}"

    @property
    def raw_url(self) -> str:
        """The same for plain TCP; only with `raw_port`."""
        return f"socket://{LOOPBACK}:{self._sockets[1].getsockname()[1]}"

    @property
    def baud(self) -> int:
        """The speed of its UART, now."""
        return self._chip.uart.baud

    # what hands do

    def start(self) -> None:
        """Give the board power and its cable. Raises Error where a port cannot be had."""
        assert self._loop is None
        try:
            self._sockets = [_bound(port) for port in self._wanted if port is not None]
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._live, args=[self._loop], daemon=True)
            self._thread.start()
            self._do(self._assemble)
            self.replug()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Take power and cable away for good. Nothing stays behind but a flash file."""
        if self._loop is not None:
            assert self._thread is not None
            if self._powered:
                self.unplug()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop = None
        for bound in self._sockets:
            bound.close()
        self.flash.close()
        self._clock.close()
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    def press_reset(self) -> None:
        """Press the button EN and let it go."""
        self._do(lambda: self._start_chip(self._lines.gpio0_is_low))

    def hold_boot(self, held: bool = True) -> None:
        """Hold the button BOOT, or let it go: while it is held, every reset is into download."""
        self._boot_held = held

    def unplug(self) -> None:
        """Pull the cable: the connection drops, new ones are refused, and the power is gone."""
        self._do(self._pull)

    def replug(self) -> None:
        """Put it back: the same port answers, and the board starts from power-on."""
        self._run(self._push())

    # on the board's own thread

    def _live(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        loop.set_exception_handler(self._failed)
        loop.run_forever()
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.close()

    def _failed(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        failure = context.get("exception") or RuntimeError(context["message"])
        # up to 3.11, asyncio's streams ask a session that `close` cancelled for its exception
        if not isinstance(failure, asyncio.CancelledError):
            self._failure = failure

    def _assemble(self) -> None:
        self._chip = Chip(self.flash, self._mac, self._clock, self._program, Pace(self._faster))
        self._sending = asyncio.get_running_loop().create_task(self._chip.uart.run())
        free = asyncio.Lock()
        for number, _ in enumerate(self._sockets):
            self._servers.append(line.Server(self, free, Pace(self._faster), is_raw=number == 1))

    def _program(self, settings: dict[str, Any]) -> Program:
        wifi = {"ssid": self._wifi.ssid, "password": self._wifi.password}
        return Program(self._command, self._heap, {**settings, "wifi": wifi})

    def _pull(self) -> None:
        self._powered = False
        for listening in self._listening:
            listening.close()
        self._listening = []
        for server in self._servers:
            server.drop()
        self._chip.halt()
        self._stop_holding()
        self._lines = ResetCircuit()

    async def _push(self) -> None:
        if self._powered:
            return
        self._powered = True
        for server, bound in zip(self._servers, self._sockets, strict=True):
            listener = _bound(bound.getsockname()[1])
            self._listening.append(await asyncio.start_server(server.serve, sock=listener))
        self._start_chip(gpio0_is_low=False)

    def receive(self, data: bytes, baud: int) -> None:
        """Bytes from the line; of the port, not for callers."""
        self._chip.receive(data, baud)

    def listen(self, listener: Callable[[bytes, int], None] | None) -> None:
        """Who gets the board's output; of the port, not for callers."""
        self._chip.uart.listener = listener

    def set_lines(self, dtr: bool, rts: bool) -> None:
        """The modem lines; of the port, not for callers."""
        if self._powered:
            self._stop_holding()
            self._act_on(self._lines.set(dtr, rts))

    def _act_on(self, edge: Edge) -> None:
        if edge is Edge.RESET:
            self._chip.halt()
        elif edge is Edge.HELD:
            loop = asyncio.get_running_loop()
            self._holding = loop.call_later(
                HOLD_S, lambda: self._act_on(self._lines.held_long_enough())
            )
        elif edge in (Edge.BOOT, Edge.DOWNLOAD):
            self._start_chip(edge is Edge.DOWNLOAD)

    def _stop_holding(self) -> None:
        if self._holding is not None:
            self._holding.cancel()
            self._holding = None

    def _start_chip(self, gpio0_is_low: bool) -> None:
        self._chip.start(download=gpio0_is_low or self._boot_held)

    # across threads

    def _do(self, what: Callable[[], _T]) -> _T:
        async def call() -> _T:
            return what()

        return self._run(call())

    def _run(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()


def _flash(path: Path | None, size: int, blank: bool, firmware: bytes | None) -> nor.Flash:
    flash, is_new = (nor.in_memory(size), True) if path is None else nor.in_file(path, size)
    if is_new and not blank:
        if firmware is None:
            firmware = (
                standin_firmware(app_size=_SMALL_APP) if size <= _SMALL else standin_firmware()
            )
        flash.program(BOOT_OFFSET, firmware)
    return flash


def _bound(port: int) -> socket.socket:
    """A socket with this port, 0 for any free one.

    The board keeps one that never listens: so the port stays its own, and refuses connections,
    while the board is unplugged.
    """
    # asyncio sets TCP_NODELAY only on sockets that say they are TCP; without it each answer of
    # RFC 2217 waits 40 ms for the client's delayed acknowledgement
    bound = socket.socket(proto=socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if sys.platform == "darwin":
        # there the other option does not let two of our sockets have one port
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        bound.bind((LOOPBACK, port))
    except OSError as error:
        bound.close()
        reason = (error.strerror or "").lower()
        raise Error(
            f"port {port} of {LOOPBACK} cannot be had: {reason}",
            hint="choose another with --port, or leave it out for any free one",
        ) from None
    return bound
