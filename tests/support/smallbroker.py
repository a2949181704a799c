"""The little of MQTT 3.1.1 that the agent's ladder needs, in a thread: no child process."""

from __future__ import annotations

import socket
from collections.abc import Callable

from support.servers import Handler

CONNECT, PUBLISH, SUBSCRIBE, PINGREQ, DISCONNECT = 1, 3, 8, 12, 14
CONNACK = b"\x20\x02\x00\x00"
PINGRESP = b"\xd0\x00"


def broker(
    pings: int | None = None, silent: int = 0, heard: Callable[[int], None] = lambda kind: None
) -> Handler:
    """Grants everything and echoes what is published.

    It closes at the ping after `pings` ones, where that is given; after `silent` packets, where
    that is not 0, it says nothing more. `heard` is told the type of each packet that came.
    """

    def handle(connection: socket.socket) -> None:
        count = answered = 0
        while packet := _packet(connection):
            kind = packet[0] >> 4
            heard(kind)
            count += 1
            answered += kind == PINGREQ
            if kind == DISCONNECT or (pings is not None and answered > pings):
                return
            if not silent or count <= silent:
                connection.sendall(_answer(kind, packet))

    return handle


def _answer(kind: int, packet: bytes) -> bytes:
    if kind == CONNECT:
        return CONNACK
    if kind == SUBSCRIBE:
        return b"\x90\x03" + packet[2:4] + b"\x00"
    if kind == PINGREQ:
        return PINGRESP
    return packet if kind == PUBLISH else b""


def _packet(connection: socket.socket) -> bytes:
    """The next packet, b"" at the end; all of the agent's are shorter than 128 bytes."""
    head = _exactly(connection, 2)
    return head + _exactly(connection, head[1]) if head else b""


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            return b""
        data += part
    return data
