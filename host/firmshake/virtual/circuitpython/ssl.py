"""CircuitPython's `ssl` by OpenSSL: TLS 1.2, no dates, one number for every refused certificate.

The handshake is done by `connect` of the wrapped socket, which calls the socket beneath through its
Python methods, and understands nothing from them but an OSError.
"""

from __future__ import annotations

import errno
import ssl
import time
from collections.abc import Callable
from typing import Any, Protocol

is_short_of_memory = False


def path_of(path: str) -> str:
    """The computer's name of a board's file; on a board with a root of its own another one."""
    return path


_NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME, which Python has no name for
_SOCK_STREAM = 1
# RFC 5246, 6.2.1: bytes of a record's head, and what may stand in its first
_HEAD = 5
_CONTENT_TYPES = range(20, 24)
_LARGEST = 16384 + 2048  # of a record's body

# mbedTLS's numbers
_VERIFY_FAILED = -0x2700
_BAD_CERTIFICATE = -0x7A00
_FATAL_ALERT = -0x7780
_CONN_EOF = -0x7280
_KEY_FORMAT = -0x3D00
_CERTIFICATE_FORMAT = -0x2180
_DECODE_ERROR = -0x7300
_NUMBERS = {
    "UNSUPPORTED_PROTOCOL": -0x6E80,
    "WRONG_SSL_VERSION": -0x6E80,
    "WRONG_VERSION_NUMBER": -0x7200,
    "DECRYPTION_FAILED_OR_BAD_RECORD_MAC": -0x7180,
}

# X509_V_ERR of OpenSSL by the alert that mbedTLS sends for the same (ssl_tls.c); 48 for any other
_ALERTS = {62: 42, 64: 42, 26: 43, 66: 43, 67: 43, 68: 46}
_WRONG_PURPOSE = 26


class Beneath(Protocol):
    """What a socket must have to be wrapped."""

    type: int
    accept: Any
    bind: Any
    listen: Any
    setsockopt: Any
    settimeout: Any

    def connect(self, address: object) -> None: ...
    def recv_into(self, buf: memoryview) -> int: ...
    def send(self, data: memoryview) -> int: ...
    def close(self) -> None: ...


class SSLContext:
    """Verifies by the anchors that are loaded; without any it would not verify at all."""

    def __init__(self) -> None:
        self._anchors = ""
        self._files: tuple[str, str] | None = None

    def load_verify_locations(
        self, cafile: None = None, capath: None = None, cadata: str = ""
    ) -> None:
        """PEM text, kept and not read."""
        assert cafile is None
        assert capath is None
        self._anchors = cadata

    def load_cert_chain(self, certfile: str, keyfile: str) -> None:
        """PEM files, taken and not read into. Raises OSError where there is none."""
        for name in (certfile, keyfile):
            with open(name, "rb"):
                pass
        self._files = path_of(certfile), path_of(keyfile)

    def wrap_socket(self, sock: Beneath, *, server_hostname: str | None = None) -> SSLSocket:
        """A socket that is not connected yet. Raises MemoryError, or OSError for bad material."""
        assert sock.type == _SOCK_STREAM
        for name in ("accept", "bind", "close", "connect", "listen", "recv_into", "send"):
            getattr(sock, name)
        assert sock.settimeout
        assert sock.setsockopt
        if is_short_of_memory:
            raise MemoryError
        return SSLSocket(self._made(server_hostname), sock, server_hostname)

    def _made(self, server_hostname: str | None) -> ssl.SSLContext:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        made.minimum_version = made.maximum_version = ssl.TLSVersion.TLSv1_2
        made.set_ciphers("ECDHE+AES:ECDHE+CHACHA20")  # its key exchanges, and older ciphers too
        made.check_hostname = server_hostname is not None
        made.verify_flags |= _NO_CHECK_TIME | ssl.VERIFY_X509_PARTIAL_CHAIN
        if not self._anchors:
            made.check_hostname = False
            made.verify_mode = ssl.CERT_NONE
        try:
            if self._anchors:
                made.load_verify_locations(cadata=self._anchors)
        except ssl.SSLError:
            raise OSError(_CERTIFICATE_FORMAT) from None
        try:
            if self._files:
                made.load_cert_chain(*self._files, password=_no_passphrase)
        except (ssl.SSLError, ValueError):
            raise OSError(_KEY_FORMAT) from None
        return made


def create_default_context() -> SSLContext:
    """A new context."""
    return SSLContext()


class SSLSocket:
    """TLS over a socket that it calls."""

    def __init__(self, made: ssl.SSLContext, sock: Beneath, server_hostname: str | None) -> None:
        self._sock = sock
        self._record = b""  # that is being read
        self._missing = _HEAD
        self._in = ssl.MemoryBIO()
        self._out = ssl.MemoryBIO()
        self._tls = made.wrap_bio(self._in, self._out, server_hostname=server_hostname)

    def connect(self, address: object) -> None:
        """Connect the socket beneath, then do the handshake. Raises OSError."""
        self._sock.connect(address)
        while True:
            try:
                self._run(self._tls.do_handshake)
                return
            except OSError as error:
                if error.args[0] != errno.EAGAIN:
                    raise
            time.sleep(0.001)

    def recv_into(self, buf: bytearray | memoryview, size: int = 0) -> int:
        """0 at close_notify. Raises OSError, with EAGAIN where the socket beneath had nothing."""
        try:
            return int(self._run(self._tls.read, size or len(buf), buf))
        except ssl.SSLZeroReturnError:
            return 0

    def send(self, data: bytes | memoryview) -> int:
        """Raises OSError."""
        return int(self._run(self._tls.write, data))

    def close(self) -> None:
        """And the socket beneath."""
        self._sock.close()

    def _run(self, call: Callable[..., Any], *arguments: object) -> Any:
        while True:
            try:
                result = call(*arguments)
                self._push(self._out.read())
                return result
            except ssl.SSLWantReadError:
                self._push(self._out.read())
                self._pull()
            except ssl.SSLZeroReturnError:
                raise
            except ssl.SSLError as error:
                raise self._meant(error) from None

    def _meant(self, error: ssl.SSLError) -> OSError:
        """mbedTLS's error, its alert sent."""
        alert = self._out.read()
        if isinstance(error, ssl.SSLCertVerificationError):
            code = error.verify_code
            assert len(alert) == 7  # one record, its last byte the AlertDescription
            self._push(alert[:-1] + bytes([_ALERTS.get(code, 48)]))
            return OSError(_BAD_CERTIFICATE if code == _WRONG_PURPOSE else _VERIFY_FAILED)
        self._push(alert)
        if isinstance(error, ssl.SSLEOFError):
            return OSError(_CONN_EOF)
        if "ALERT" in (error.reason or "") or error.reason == "TLSV1_UNRECOGNIZED_NAME":
            return OSError(_FATAL_ALERT)
        if "ASN1" in str(error):  # a certificate that is none
            return OSError(_CERTIFICATE_FORMAT)
        return OSError(_NUMBERS.get(error.reason or "", _DECODE_ERROR))

    def _push(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self._called(self._sock.send, view) :]

    def _pull(self) -> None:
        """As mbedTLS asks: for a record's head, then for its body, and for nothing beyond."""
        buf = bytearray(self._missing)
        count = self._called(self._sock.recv_into, memoryview(buf))
        self._record += buf[:count]
        self._missing -= count
        if count and not self._missing and len(self._record) == _HEAD and self._is_tls():
            self._missing = int.from_bytes(self._record[3:], "big")
        if count and self._missing:
            return
        if not self._is_mere_warning():
            self._in.write(self._record)
        self._record, self._missing = b"", _HEAD
        if not count:
            self._in.write_eof()

    def _is_tls(self) -> bool:
        size = int.from_bytes(self._record[3:], "big")
        return self._record[0] in _CONTENT_TYPES and self._record[1] == 3 and size <= _LARGEST

    def _is_mere_warning(self) -> bool:
        # mbedTLS passes over any number of them, OpenSSL over five; close_notify (0) is none
        return self._record[:1] == b"\x15" and self._record[5:6] == b"\x01" and self._record[6] != 0

    def _called(self, method: Callable[[memoryview], int], data: memoryview) -> int:
        try:
            return method(data)
        except OSError as error:
            raise OSError(error.errno if error.errno is not None else error.args[0]) from None
        except Exception:  # noqa: BLE001  C cannot tell it from any other
            raise OSError(errno.EINVAL) from None


def _no_passphrase() -> str:
    raise ValueError("encrypted")
