"""Listening ports: one thread accepts for all of them, and each connection gets a thread."""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
from collections.abc import Callable

Handler = Callable[[socket.socket], None]

# a client that neither speaks nor leaves is let go after this
_LIMIT_S = 120.0


class Ports:
    """Ports of one address, each with a handler; `close` ends all of them and what they serve."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._selector = selectors.DefaultSelector()
        self._lock = threading.Lock()
        self._live: set[socket.socket] = set()
        self._threads: set[threading.Thread] = set()
        self._closed = False
        self._woken, self._wake = socket.socketpair()
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def open(self, handle: Handler, *, at_once: bool = False) -> int:
        """A new port, whose connections `handle` gets. Raises OSError.

        `at_once` spares it the thread: for what must not come late, and is quick.
        """
        listener = socket.create_server((self._host, 0), family=family(self._host))
        listener.setblocking(False)
        with self._lock:
            self._selector.register(listener, selectors.EVENT_READ, (handle, at_once))
        self._wake.send(b"\0")  # a selector that is waiting need not notice a new entry
        port: int = listener.getsockname()[1]
        return port

    def close(self) -> None:
        """Close every port and every connection, and wait for their threads."""
        self._closed = True
        self._wake.send(b"\0")
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()
        self._selector.close()
        self._wake.close()
        with self._lock:
            live, threads = set(self._live), set(self._threads)
            for connection in live:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()

    def _accept(self) -> None:
        while not self._closed:
            for key, _ in self._selector.select():
                if key.fileobj is self._woken:
                    self._woken.recv(4096)
                    continue
                assert isinstance(key.fileobj, socket.socket)
                with contextlib.suppress(OSError):
                    self._begin(key.fileobj.accept()[0], *key.data)

    def _begin(self, connection: socket.socket, handle: Handler, at_once: bool) -> None:
        if at_once:
            handle(connection)
            return
        connection.settimeout(_LIMIT_S)
        thread = threading.Thread(target=self._serve, args=(connection, handle), daemon=True)
        with self._lock:
            self._live.add(connection)
            self._threads.add(thread)
        thread.start()

    def _serve(self, connection: socket.socket, handle: Handler) -> None:
        try:
            # a peer that goes away is what many of these cases are about
            with contextlib.suppress(OSError):
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                handle(connection)
        finally:
            with self._lock:
                self._live.discard(connection)
                self._threads.discard(threading.current_thread())
                connection.close()


def family(host: str) -> socket.AddressFamily:
    """What kind of socket listens there."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def hold(connection: socket.socket) -> None:
    """Say nothing until the peer leaves."""
    while connection.recv(4096):
        pass


def leave(connection: socket.socket) -> None:
    """Close with FIN, and take what still comes: what is left unread would turn it into a reset."""
    connection.shutdown(socket.SHUT_WR)
    hold(connection)


def reset(connection: socket.socket) -> None:
    """Close with RST."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
