"""What every virtual board has: a thread of its own, a port on the network, a cable, its mishaps.

It lives on a thread with an event loop; every method that is for callers may be called from any
thread. A kind of board fills in what its chip does.
"""

from __future__ import annotations

import asyncio
import selectors
import socket
import sys
import threading
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, Self, TypeVar

from firmshake.errors import Error
from firmshake.virtual import line
from firmshake.virtual.fault import NONE, Faults
from firmshake.virtual.pace import Pace

LOOPBACK = "127.0.0.1"

_T = TypeVar("_T")


class Body:
    """A board that has power and a cable from `start` to `close`; a context manager does both.

    `raw_port` serves plain TCP too (`socket://`), 0 for any free port. After the fault `unplug-at`
    the cable is back by itself `replug_after_s` later, or with None by `replug` only. Raises Error
    where a port cannot be had.
    """

    def __init__(
        self,
        port: int,
        raw_port: int | None,
        pace: Callable[[], Pace],
        faults: Faults = NONE,
        replug_after_s: float | None = None,
    ) -> None:
        self.is_usb = False
        self.faults = faults
        # called on the board's own thread when it can be seen, or not any more
        self.on_change: Callable[[], None] = lambda: None
        self._pace = pace
        self._replug_after_s = replug_after_s
        self._wanted = (port, raw_port)
        self._cut = faults.unplug_at
        self._received = 0
        self._servers: list[line.Server] = []
        self._sockets: list[socket.socket] = []
        self._listening: list[asyncio.Server] = []
        self._powered = False
        self._failure: BaseException | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # what others see

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
    def received(self) -> int:
        """Bytes that have come down the line since the board was made; resets do not count."""
        return self._received

    @property
    def is_shown(self) -> bool:
        """Whether its serial port is there: a board that is USB itself takes it along."""
        return bool(self._listening)

    @property
    def is_plugged(self) -> bool:
        """Whether it has power and its cable."""
        return self._powered

    # what hands do

    def start(self) -> None:
        """Give the board power and its cable. Raises Error where a port cannot be had."""
        assert self._loop is None
        try:
            self._sockets = [_bound(port) for port in self._wanted if port is not None]
            # epoll counts in whole milliseconds, which at 921600 baud are 92 bytes each
            self._loop = asyncio.SelectorEventLoop(selectors.SelectSelector())
            self._thread = threading.Thread(target=self._live, args=[self._loop], daemon=True)
            self._thread.start()
            self._run(self._assembled())
            self.replug()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Take power and cable away for good. Nothing stays behind but what the user keeps."""
        if self._loop is not None:
            assert self._thread is not None
            if self._powered:
                self.unplug()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop = None
        for bound in self._sockets:
            bound.close()
        self._put_away()
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    def unplug(self) -> None:
        """Pull the cable: the connection drops, new ones are refused, and the power is gone."""
        self._do(self._pull)

    def replug(self) -> None:
        """Put it back: the same port answers, and the board starts from power-on."""
        self._run(self._push())

    def break_again(self) -> None:
        """Let the fault `unplug-at` happen once more, counted from now."""
        self._do(self._arm)

    # what a kind of board fills in, all of it on the board's thread

    def _assemble(self) -> None:
        """Make the chip."""

    async def _power_on(self) -> None:
        """Start it."""

    def _power_off(self) -> None:
        """Stop it at once, in whatever state it is."""

    def _put_away(self) -> None:
        """Let go of what is held, at the very end."""

    @property
    def baud(self) -> int:
        """The speed of its UART, now."""
        raise AssertionError

    def _take(self, data: bytes, baud: int) -> None:
        """Bytes from the line."""

    def listen(self, listener: Callable[[bytes, int], None] | None) -> None:
        """Who gets the board's output; of the port, not for callers."""

    def set_lines(self, dtr: bool, rts: bool) -> None:
        """The modem lines; of the port, not for callers."""

    # on the board's own thread

    def receive(self, data: bytes, baud: int) -> None:
        """Bytes from the line; of the port, not for callers."""
        limit = None if self._cut is None else self._cut.count
        left = len(data) if limit is None else limit - self._received
        self._received += min(len(data), left)
        self._take(data[:left], baud)
        if left < len(data) or limit == self._received:
            self._lose_power()

    def _lose_power(self) -> None:
        """The fault `unplug-at`, which happens once."""
        self._cut = None
        self._pull()
        if self._replug_after_s is not None:
            loop = asyncio.get_running_loop()
            loop.call_later(self._replug_after_s, lambda: loop.create_task(self._push()))

    def _arm(self) -> None:
        cut = self.faults.unplug_at
        if cut is not None and cut.count is not None:
            cut = replace(cut, count=cut.count + self._received)
        self._cut = cut

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

    async def _assembled(self) -> None:
        self._assemble()
        free = asyncio.Lock()
        if self.faults.busy:
            await free.acquire()
        for number, _ in enumerate(self._sockets):
            self._servers.append(
                line.Server(self, free, self._pace(), is_raw=number == 1, faults=self.faults)
            )

    def _pull(self) -> None:
        try:
            self._hide_port()
            self._power_off()
        finally:
            # last: whoever sees that it is unplugged finds nothing of it any more
            self._powered = False

    async def _push(self) -> None:
        if not self._powered:
            self._powered = True
            await self._power_on()

    async def _show_port(self) -> None:
        """Let programs open the port."""
        if self._listening:
            return
        for server, bound in zip(self._servers, self._sockets, strict=True):
            listener = _bound(bound.getsockname()[1])
            self._listening.append(await asyncio.start_server(server.serve, sock=listener))
        self.on_change()

    def _hide_port(self) -> None:
        """Let the port refuse, and cut off who has it."""
        for listening in self._listening:
            listening.close()
        self._listening = []
        for server in self._servers:
            server.drop()
        self.on_change()

    # across threads

    def _do(self, what: Callable[[], _T]) -> _T:
        async def call() -> _T:
            return what()

        return self._run(call())

    def _run(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()


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
