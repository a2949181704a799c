"""TLS that OpenSSL refuses to speak: old versions, old ciphers, raw alerts, broken messages.

By tlslite-ng, a TLS stack in Python, which is an optional dependency: `firmshake[faults]`.
"""

from __future__ import annotations

import contextlib
import importlib.util
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from firmshake.errors import Error
from firmshake.faults.pki import Signer
from firmshake.faults.ports import Handler, hold, leave
from firmshake.faults.tls import Stream

SSL3, TLS10, TLS11, TLS12, TLS13 = (3, 0), (3, 1), (3, 2), (3, 3), (3, 4)
FATAL, WARNING = 2, 1


def available() -> bool:
    """Whether tlslite-ng is installed."""
    return importlib.util.find_spec("tlslite") is not None


@dataclass(frozen=True)
class Odd:
    """How this server departs from others.

    `versions` are its lowest and highest; `ciphers`, `macs` and `exchanges` are tlslite's names of
    what it has; `spoil` changes the DER of its certificate, `alert` is sent once the client has
    shown its certificate; `dh` is a generator and a prime.
    """

    versions: tuple[tuple[int, int], tuple[int, int]]
    ciphers: tuple[str, ...] = ("aes128gcm", "aes128")
    macs: tuple[str, ...] = ("sha", "sha256", "aead")
    exchanges: tuple[str, ...] = ("ecdhe_ecdsa",)
    spoil: Callable[[bytearray], bytearray] | None = None
    alert: int | None = None
    dh: tuple[int, int] | None = field(default=None, repr=False)
    key_size: int = 1023


def serving(odd: Odd, signer: Signer, then: Callable[[Stream], None]) -> Handler:
    """A server of that kind that hands each connection to `then` once its handshake is done."""
    if not available():
        raise Error(
            "some faults are made by tlslite-ng, which is not installed",
            hint="install it with: pip install 'firmshake[faults]'",
        )
    settings, chain, key = _settings(odd), _chain(signer, odd.spoil), _key(signer)

    def handle(connection: socket.socket) -> None:
        from tlslite.api import TLSConnection
        from tlslite.errors import BaseTLSException

        server = TLSConnection(connection)
        # tlslite would close the socket at once where it gives up: what the client still writes
        # then has to be read, or a reset overtakes the alert
        server.closeSocket = False
        try:
            server.handshakeServer(
                certChain=chain, privateKey=key, reqCert=True, settings=settings
            )
            if odd.alert is not None:
                send_alert(server, odd.alert)
            else:
                then(_Stream(server))
        except BaseTLSException:
            pass  # its alert is sent
        with contextlib.suppress(OSError):
            leave(connection)

    return handle


def send_alert(server: Any, description: int) -> None:
    """A fatal alert in a record of its own, encrypted where the connection is."""
    from tlslite.messages import Alert

    for _ in server._sendMsg(Alert().create(description, FATAL)):
        pass


@dataclass(frozen=True)
class _Stream:
    server: Any

    def recv(self, size: int) -> bytes:
        return bytes(self.server.recv(size))

    def sendall(self, data: bytes) -> None:
        self.server.sendall(data)


def _settings(odd: Odd) -> Any:
    from tlslite.api import HandshakeSettings

    made = HandshakeSettings()
    made.minVersion, made.maxVersion = odd.versions
    made.versions = [version for version in (TLS13, TLS12, TLS11, TLS10) if version <= odd.versions[1]]
    made.cipherNames, made.macNames = list(odd.ciphers), list(odd.macs)
    made.keyExchangeNames = list(odd.exchanges)
    made.ticket_count = 0
    made.minKeySize = min(odd.key_size, 1023)
    made.dhParams = odd.dh
    return made


def _chain(signer: Signer, spoil: Callable[[bytearray], bytearray] | None) -> Any:
    from tlslite.api import X509CertChain

    chain = X509CertChain()
    chain.parsePemList(signer.chain_pem().decode())
    if spoil is not None:
        chain.x509List[0].bytes = spoil(chain.x509List[0].bytes)
    return chain


def _key(signer: Signer) -> Any:
    from tlslite.api import parsePEMKey

    return parsePEMKey(signer.key_pem().decode(), private=True, implementations=["python"])


def alert_record(description: int, level: int = FATAL) -> bytes:
    """An alert in clear, as a record of TLS 1.2 (RFC 5246, 6.2.1 and 7.2)."""
    return bytes([21, 3, 3, 0, 2, level, description])


def alert_at_hello(description: int) -> Handler:
    """Answer the ClientHello by a fatal alert, and close."""

    def handle(connection: socket.socket) -> None:
        connection.recv(16384)
        connection.sendall(alert_record(description))
        leave(connection)

    return handle


def raw(*replies: bytes, end: Handler = hold) -> Handler:
    """Read once before each reply, then end by `end`."""

    def handle(connection: socket.socket) -> None:
        for reply in replies:
            connection.recv(16384)
            connection.sendall(reply)
        end(connection)

    return handle
