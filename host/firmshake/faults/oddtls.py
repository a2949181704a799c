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


def check() -> None:
    """Raise Error where tlslite-ng is not installed."""
    if importlib.util.find_spec("tlslite") is None:
        raise Error(
            "some faults are made by tlslite-ng, which is not installed",
            hint="install it with: pip install 'firmshake[faults]'",
        )


@dataclass(frozen=True)
class Odd:
    """How this server departs from others.

    `versions` are its lowest and highest; `ciphers`, `macs` and `exchanges` are tlslite's names of
    what it has; `spoil` changes the DER of its certificate, `alert` is sent once the client has
    shown its certificate; `dh` is a generator and a prime, `protocols` what ALPN may choose from.
    """

    versions: tuple[tuple[int, int], tuple[int, int]]
    ciphers: tuple[str, ...] = ("aes128gcm", "aes128")
    macs: tuple[str, ...] = ("sha", "sha256", "aead")
    exchanges: tuple[str, ...] = ("ecdhe_ecdsa",)
    spoil: Callable[[bytearray], bytearray] | None = None
    alert: int | None = None
    dh: tuple[int, int] | None = field(default=None, repr=False)
    protocols: tuple[str, ...] = ()


def serving(odd: Odd, signer: Signer, then: Callable[[Stream], None]) -> Handler:
    """A server of that kind that hands each connection to `then` once its handshake is done."""
    check()
    settings, chain, key = _settings(odd), _chain(signer, odd.spoil), _key(signer)

    def handle(connection: socket.socket) -> None:
        from tlslite.errors import BaseTLSException
        from tlslite.tlsconnection import TLSConnection

        server = TLSConnection(connection)
        # tlslite would close the socket at once where it gives up: what the client still writes
        # then has to be read, or a reset overtakes the alert
        server.closeSocket = False
        if odd.dh is not None:
            # asked first whether DH is possible, then for the group to take: no named one
            named = iter([server._groupNamesToList(settings)])
            server._groupNamesToList = lambda settings: next(named, [])
        try:
            server.handshakeServer(
                certChain=chain,
                privateKey=key,
                reqCert=True,
                settings=settings,
                alpn=[name.encode() for name in odd.protocols] or None,
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
    from tlslite import tlsconnection
    from tlslite.api import HandshakeSettings

    # MicroPython names the server by its address in SNI, which RFC 6066 forbids and brokers ignore
    tlsconnection.is_valid_hostname = lambda name: True
    made = HandshakeSettings()
    made.minVersion, made.maxVersion = odd.versions
    made.versions = [one for one in (TLS13, TLS12, TLS11, TLS10) if one <= odd.versions[1]]
    made.cipherNames, made.macNames = list(odd.ciphers), list(odd.macs)
    made.keyExchangeNames = list(odd.exchanges)
    made.ticket_count = 0
    # boards of TLS 1.2 know no other; those that can do 1.3 offer PSS and then refuse it in 1.2
    made.rsaSchemes = ["pss"] if odd.versions[0] == TLS13 else ["pkcs1"]
    if odd.dh is not None:
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
