"""Gets to a server within a time limit, and says in plain words why not."""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass


class Unreached(Exception):
    """The server could not be asked: `cause` is the vocabulary's, `said` is for people."""

    def __init__(self, cause: str, said: str) -> None:
        super().__init__(said)
        self.cause = cause
        self.said = said


@dataclass(frozen=True)
class Server:
    """Where the server is, under which name it has to show itself, and how long to wait for it.

    `sni` is the name to ask for where that is another one; `alpn` the protocol, if any.
    """

    host: str
    port: int
    name: str
    limit_s: float = 10.0
    sni: str = ""
    alpn: str = ""

    @property
    def asked(self) -> str:
        """The name that a hello asks for."""
        return self.sni or self.name

    @property
    def where(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@contextlib.contextmanager
def connection(server: Server) -> Iterator[socket.socket]:
    """A TCP connection to the server, non-blocking. Raises Unreached, also inside the context."""
    try:
        opened = _open(_addresses(server), server)
    except OSError as error:
        raise _unreached(error, server) from None
    with opened:
        opened.setblocking(False)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield opened


def wait(opened: socket.socket, until: float, to_write: bool = False) -> bool:
    """Wait until the socket can be read (or written); False at the time `until` (monotonic)."""
    left = until - time.monotonic()
    if left <= 0:
        return False
    ready = select.select([] if to_write else [opened], [opened] if to_write else [], [], left)
    return any(ready)


def _addresses(server: Server) -> list[str]:
    """The server's addresses. The resolver has no time limit of its own."""
    found: list[str] = []
    failed: list[OSError] = []

    def look_up() -> None:
        try:
            answers = socket.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM)
            found.extend(str(answer[4][0]) for answer in answers)
        except OSError as error:
            failed.append(error)
        except UnicodeError:  # a label that cannot be one
            failed.append(socket.gaierror(socket.EAI_NONAME, "no such name"))

    thread = threading.Thread(target=look_up, daemon=True)
    thread.start()
    thread.join(server.limit_s)
    if failed:
        raise failed[0]
    if not found:
        raise Unreached("dns/timeout", f"no DNS server answered about {server.host}")
    return found


def _open(addresses: list[str], server: Server) -> socket.socket:
    """A connection to the first address that takes one, in the order that the system gives."""
    until = time.monotonic() + server.limit_s
    for number, address in enumerate(addresses):
        try:
            # its share of the time: the first ones may lead nowhere from here
            share = (until - time.monotonic()) / (len(addresses) - number)
            return socket.create_connection((address, server.port), max(share, 0.1))
        except OSError:
            if number + 1 == len(addresses):
                raise
    raise AssertionError("an answer without addresses is an error of the resolver's")


# errno: the vocabulary's cause, and words
_REASONS = {
    errno.ECONNREFUSED: ("tcp/refused", "{} refuses the connection"),
    errno.ECONNRESET: ("tcp/reset", "{} resets the connection at once"),
    errno.ENETUNREACH: ("tcp/unreachable", "there is no route to {}"),
    errno.EHOSTUNREACH: ("tcp/unreachable", "there is no route to {}"),
    errno.ETIMEDOUT: ("tcp/timeout", "{} does not answer"),
}


def _unreached(error: OSError, server: Server) -> Unreached:
    if isinstance(error, socket.gaierror):
        if error.errno == socket.EAI_AGAIN:
            return Unreached("dns/timeout", f"no DNS server answered about {server.host}")
        return Unreached("dns/not_found", f"the name {server.host} does not exist")
    if isinstance(error, TimeoutError):
        error.errno = errno.ETIMEDOUT
    cause, said = _REASONS.get(error.errno or 0, ("tcp/unreachable", "{} cannot be reached"))
    return Unreached(cause, said.format(server.where))
