"""A time server on a port of 127.0.0.1: the little of NTP that a client asks for (RFC 5905)."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

_NTP_EPOCH = 2208988800  # seconds from 1900 to 1970


@contextlib.contextmanager
def serving() -> Iterator[str]:
    """Its address, `host:port`."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        host, port = server.getsockname()
        thread = threading.Thread(target=_serve, args=(server,))
        thread.start()
        try:
            yield f"{host}:{port}"
        finally:
            server.sendto(b"", (host, port))  # the end
            thread.join()


def _serve(server: socket.socket) -> None:
    while True:
        request, client = server.recvfrom(512)
        if not request:
            return
        seconds = int(time.time()) + _NTP_EPOCH
        # version 3, mode 4 (server), stratum 1; of the times only the last is read
        answer = b"\x1c\x01" + bytes(38) + seconds.to_bytes(4, "big") + bytes(4)
        with contextlib.suppress(OSError):
            server.sendto(answer, client)
