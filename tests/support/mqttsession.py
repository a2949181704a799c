"""As much of an MQTT 3.1.1 client over TLS as shows whom a broker lets do what."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from types import TracebackType
from typing import Self

from firmshake.ca.identity import Identity

WAIT_S = 60.0  # for a reply that comes within milliseconds, unless something is wrong
ACCEPTED = b"\x20\x02\x00\x00"


def context(folder: Path, root: bytes, identity: Identity | None) -> ssl.SSLContext:
    """What a device trusts (PEM), and what it shows."""
    made = ssl.create_default_context(cadata=root.decode())
    if identity is not None:
        own = folder / "own.pem"
        own.write_bytes(identity.key_pem() + identity.chain_pem())
        made.load_cert_chain(own)
    return made


class Session:
    """A connection to a broker on 127.0.0.1, over which nothing was sent yet."""

    def __init__(
        self, port: int, tls: ssl.SSLContext, resumed: ssl.SSLSession | None = None
    ) -> None:
        raw = socket.create_connection(("127.0.0.1", port), WAIT_S)
        try:
            self.line = tls.wrap_socket(raw, server_hostname="127.0.0.1", session=resumed)
        except BaseException:
            raw.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.line.close()

    def connect(self, client_id: str, login: tuple[str, str] | None = None) -> bytes:
        """The broker's answer to CONNECT."""
        flags = b"\xc2" if login else b"\x02"
        words = b"".join(map(_text, (client_id, *(login or ()))))
        self._send(0x10, _text("MQTT") + b"\x04" + flags + b"\x00\x3c" + words)
        return self.line.recv(100)

    def granted(self, topic: str, own: str) -> bool:
        """Whether what is published on `topic` comes back; `own` is a topic where it surely does.

        A message on `own` follows behind it, so that nothing has to be waited for. RabbitMQ 3 ends
        the connection of who asks for what it may not have.
        """
        try:
            self._send(0x82, b"\x00\x01" + b"".join(_text(t) + b"\x00" for t in (topic, own)))
            self._send(0x30, _text(topic) + b"hello")
            self._send(0x30, _text(own) + b"the end")
            seen = b""
            while b"the end" not in seen:
                got = self.line.recv(1000)
                if not got:
                    return False
                seen += got
        except (ssl.SSLError, ConnectionError):
            return False
        return b"hello" in seen

    def subscribed(self, topic: str) -> bool:
        """Whether the broker grants a subscription; it may end the connection instead."""
        try:
            self._send(0x82, b"\x00\x01" + _text(topic) + b"\x00")
            return self.line.recv(100) == b"\x90\x03\x00\x01\x00"
        except (ssl.SSLError, ConnectionError):
            return False

    def publish(self, topic: str, payload: bytes) -> None:
        """Publish with QoS 0."""
        self._send(0x30, _text(topic) + payload)

    def _send(self, kind: int, body: bytes) -> None:
        self.line.sendall(bytes((kind, len(body))) + body)


def is_refused(
    port: int, tls: ssl.SSLContext, client_id: str, resumed: ssl.SSLSession | None = None
) -> bool:
    """Whether the broker ends the connection: in TLS 1.3 only after the handshake."""
    try:
        with Session(port, tls, resumed) as session:
            return session.connect(client_id) != ACCEPTED
    except (ssl.SSLError, ConnectionError):
        return True


def _text(value: str) -> bytes:
    return len(value).to_bytes(2, "big") + value.encode()
