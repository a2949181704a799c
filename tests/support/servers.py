"""Servers on a port of 127.0.0.1 that do one thing: OpenSSL through Python's ssl, and bare TCP."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import random
import socket
import ssl
import struct
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from firmshake.ca.identity import Identity

Handler = Callable[[socket.socket], None]

VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}

CONNECT_LIMIT_S = 60.0  # for a peer that neither speaks nor leaves: only a broken test meets it

# below those that systems give to clients, and apart from those that the product takes by itself
_PORTS = range(10000, 20000)


@contextlib.contextmanager
def tcp(handle: Handler) -> Iterator[int]:
    """A port that hands each connection to `handle`, one after the other; yields its number.

    At the end, all that were made before have been handled.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as last:
        # the one whose connection is the end; those that wait before it have their turn
        last.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=_serve, args=(listener, handle, last.getsockname()))
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            last.connect(listener.getsockname())
            thread.join()


def _serve(listener: socket.socket, handle: Handler, last: tuple[str, int]) -> None:
    while True:
        connection, peer = listener.accept()
        with connection:
            if peer == last:
                return
            connection.settimeout(CONNECT_LIMIT_S)
            # a peer that goes away is what many of these tests are about
            with contextlib.suppress(OSError):
                handle(connection)


def context(
    identity: Identity,
    folder: Path,
    *,
    version: str = "1.2",
    clients: bytes | None = None,
    chain: bool = True,
) -> ssl.SSLContext:
    """A server's context of one TLS version; `clients` is PEM to check client certificates by."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = made.maximum_version = VERSIONS[version]
    pem = folder / "server.pem"
    leaf = identity.chain_pem().split(b"-----END")[0] + b"-----END CERTIFICATE-----\n"
    pem.write_bytes(identity.key_pem() + (identity.chain_pem() if chain else leaf))
    made.load_cert_chain(pem)
    if clients is not None:
        made.verify_mode = ssl.CERT_REQUIRED
        made.load_verify_locations(cadata=clients.decode())
    return made


def tls(made: ssl.SSLContext, handle: Handler) -> contextlib.AbstractContextManager[int]:
    """A TLS port; `handle` gets each connection once its handshake is done."""

    def encrypted(connection: socket.socket) -> None:
        with made.wrap_socket(connection, server_side=True) as wrapped:
            handle(wrapped)

    return tcp(encrypted)


def answer(*replies: bytes) -> Handler:
    """Read once before each reply, then hold the connection until the peer leaves."""

    def handle(connection: socket.socket) -> None:
        for reply in replies:
            connection.recv(4096)
            connection.sendall(reply)
        hold(connection)

    return handle


def hold(connection: socket.socket) -> None:
    """Say nothing until the peer leaves."""
    while connection.recv(4096):
        pass


def hang_up(connection: socket.socket) -> None:
    """Close when the peer has spoken."""
    connection.recv(4096)


def reset(connection: socket.socket) -> None:
    """Reset at once: RST instead of FIN."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def reset_after_hello(connection: socket.socket) -> None:
    """Reset when the peer has spoken."""
    connection.recv(4096)
    reset(connection)


def free_port() -> int:
    """A port that nothing listens on, and that is given to no other test while this process lives.

    So a server can be started with it later, or not at all, whatever else runs meanwhile.
    """
    while True:
        port = random.choice(_PORTS)
        # a lock by the process: who has it asks for nothing twice
        if port in _TAKEN:
            continue
        with contextlib.suppress(OSError):
            fcntl.lockf(_reservations(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
            _TAKEN.add(port)
            with socket.create_server(("127.0.0.1", port)):
                return port


_TAKEN: set[int] = set()


@functools.cache
def _reservations() -> int:
    """A file that every process that runs tests has open: its byte at a port's number is locked."""
    path = Path(tempfile.gettempdir()) / f"firmshake-tests-ports-{os.getuid()}"
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)


@contextlib.contextmanager
def full_port() -> Iterator[int]:
    """A port whose queue is full: the kernel drops further SYNs, as a silent firewall does."""
    with contextlib.ExitStack() as kept:
        listener = kept.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            waiting = kept.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]
