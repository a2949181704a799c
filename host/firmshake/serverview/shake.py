"""A whole handshake through OpenSSL, to look only: nothing is verified, and nothing is sent after.

Bytes are counted, since they go through memory; keys go to OpenSSL over pipes, never over a disk.
"""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from firmshake.serverview.reach import Server, connection, wait
from firmshake.wording import ALERTS

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3

# A server that refuses a certificate under TLS 1.3 says so after our part of the handshake; one
# that accepts sends tickets, or nothing: so long is waited for either, beyond the handshake's time
_LINGER_S = 0.7
# Then we say goodbye, and it ends the connection too, behind what it had to say: so long for that
_FAREWELL_S = 2.0


@dataclass(frozen=True)
class Shake:
    """How a handshake went: `done` where it was finished and not refused after that.

    `alert` is the server's word for refusing, "" where it gave none; `ended` is "closed", "reset",
    "timeout" or "error" where it was not finished. `chain` is in DER.
    """

    done: bool
    version: str = ""
    cipher: str = ""
    chain: tuple[bytes, ...] = ()
    ms: float = 0.0
    bytes_in: int = 0
    bytes_out: int = 0
    resumed: bool = False
    alert: str = ""
    ended: str = ""
    session: ssl.SSLSession | None = field(default=None, repr=False)

    @property
    def bytes(self) -> int:
        return self.bytes_in + self.bytes_out


def context(
    version: ssl.TLSVersion, files: Mapping[str, bytes], tickets: bool = True
) -> ssl.SSLContext:
    """A context of one TLS version that looks at everything and shows the identity in `files`.

    Raises ssl.SSLError or ValueError where key and certificate cannot be used.
    """
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    # a broker with a weak certificate is to be looked at too
    made.set_ciphers("ALL:@SECLEVEL=0")
    made.minimum_version = made.maximum_version = version
    if not tickets:
        made.options |= ssl.OP_NO_TICKET
    if "cert.der" in files and "key.der" in files:
        from firmshake_agent import der
        from firmshake_agent.runtime_cpython import Runtime

        try:
            chain = der.split(files["cert.der"])
        except der.BadDer as error:
            raise ValueError(str(error)) from None
        Runtime().load_identity(made, chain, files["key.der"])
    return made


def shake(server: Server, made: ssl.SSLContext, session: ssl.SSLSession | None = None) -> Shake:
    """One handshake. Raises Unreached where there is no connection."""
    if server.alpn:
        made.set_alpn_protocols([server.alpn])
    with connection(server) as opened:
        return _Looking(server, made, session, opened).run()


class _Looking:
    """OpenSSL on one side, a socket on the other, and counters in between."""

    def __init__(
        self,
        server: Server,
        made: ssl.SSLContext,
        session: ssl.SSLSession | None,
        opened: socket.socket,
    ) -> None:
        self._inbox, self._outbox = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = made.wrap_bio(
            self._inbox, self._outbox, server_hostname=server.asked, session=session
        )
        self._tls13 = made.maximum_version == V13
        self._opened = opened
        self._in = self._out = 0
        self._ended = self._alert = ""
        self._began = time.monotonic()
        self._until = self._began + server.limit_s

    def run(self) -> Shake:
        finished = self._handshake()
        ms = (time.monotonic() - self._began) * 1000
        if finished and self._tls13:
            self._hear_on(_LINGER_S + ms / 1000)
        out = self._out
        # without a farewell, a server forgets the session (RFC 5246, 7.2.1)
        self._say_goodbye()
        cipher = self._tls.cipher()
        return Shake(
            done=finished and not self._alert and not self._ended,
            version=(self._tls.version() or "").replace("TLSv", "TLS "),
            cipher=cipher[0] if cipher else "",
            chain=_chain(self._tls),
            ms=ms,
            bytes_in=self._in,
            bytes_out=out,
            resumed=finished and bool(self._tls.session_reused),
            alert=self._alert,
            ended=self._ended,
            session=self._tls.session if finished else None,
        )

    def _handshake(self) -> bool:
        while not self._ended:
            try:
                self._tls.do_handshake()
                self._send()
                return not self._ended
            except ssl.SSLWantReadError:
                self._send()
                self._receive("timeout")
            except ssl.SSLError as error:
                self._refused(error)
                self._send()
        return False

    def _hear_on(self, quiet_s: float) -> None:
        """Wait for what comes after the handshake: tickets, a refusal, or the answer to goodbye."""
        limit = self._until
        self._until = min(limit, time.monotonic() + quiet_s)
        if self._has_spoken() or self._ended:
            return
        heard = self._in
        self._say_goodbye()
        self._until = min(limit, time.monotonic() + _FAREWELL_S)
        self._has_spoken()
        if not self._alert:
            # it was ended by us, and what came was no more than that
            self._ended, self._in = "", heard

    def _has_spoken(self) -> bool:
        """Whether more came after the handshake than its end, within the time."""
        while not self._ended:
            try:
                self._tls.read(1)
                return True
            except ssl.SSLWantReadError:
                session = self._tls.session
                if session is not None and session.has_ticket:
                    return True
                if not self._receive(""):
                    return False
            except ssl.SSLZeroReturnError:
                self._ended = "closed"
            except ssl.SSLError as error:
                self._refused(error)
        return False

    def _receive(self, at_limit: str) -> bool:
        """Take what the server sent next; False where nothing came until the time limit."""
        try:
            if not wait(self._opened, self._until):
                self._ended = at_limit
                return False
            data = self._opened.recv(16384)
        except OSError:
            self._ended = "reset"
            return False
        self._in += len(data)
        if data:
            self._inbox.write(data)
        else:
            self._ended = "closed"
        return bool(data)

    def _send(self) -> None:
        data = self._outbox.read()
        self._out += len(data)
        try:
            while data:
                if not wait(self._opened, self._until, to_write=True):
                    self._ended = "timeout"
                    return
                data = data[self._opened.send(data) :]
        except OSError:
            # a server that closed while we were writing has usually said why
            while self._receive("") and not self._said_why():
                pass
            self._ended = self._ended or "reset"

    def _said_why(self) -> bool:
        try:
            self._tls.read(1)
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLError as error:
            self._refused(error)
        return True

    def _refused(self, error: ssl.SSLError) -> None:
        self._alert = _alert(error)
        self._ended = self._ended or ("alert" if self._alert else "error")

    def _say_goodbye(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._tls.unwrap()
        with contextlib.suppress(OSError):
            self._opened.send(self._outbox.read())


def _alert(error: ssl.SSLError) -> str:
    """The name of the alert that OpenSSL reports (RFC 8446, 6), "" where it reports another error.

    Python hides the number: OpenSSL 1.1 to 3.5 name the reason as TLSV1_ALERT_UNKNOWN_CA,
    SSLV3_ALERT_BAD_CERTIFICATE, TLSV13_ALERT_CERTIFICATE_REQUIRED, TLSV1_UNRECOGNIZED_NAME.
    """
    found = re.fullmatch(r"(?:SSLV3|TLSV1|TLSV13)_(?:ALERT_)?(\w+)", error.reason or "")
    name = found[1].lower() if found else ""
    return name if name in ALERTS.values() else ""


def _chain(tls: ssl.SSLObject) -> tuple[bytes, ...]:
    """What the server sent; Python has a public name for it from 3.13 on only."""
    public = getattr(tls, "get_unverified_chain", None)
    if public is not None:
        return tuple(public() or ())
    parts = tls._sslobj.get_unverified_chain() or ()  # type: ignore[attr-defined]
    der = 2  # _ssl.ENCODING_DER
    return tuple(part.public_bytes(der) for part in parts)
