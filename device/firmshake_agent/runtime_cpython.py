"""What differs on CPython: the computer's network, clock and OpenSSL. For doctor and for tests."""

import binascii
import os
import platform
import select
import socket
import ssl
import time

# OpenSSL's X509_V_ERR numbers, from its x509_vfy.h
_VERIFY = {
    2: "unknown_ca",  # unable to get issuer certificate
    9: "not_yet_valid",
    10: "expired",
    18: "self_signed",
    19: "unknown_ca",  # self-signed root in the chain, not ours
    20: "unknown_ca",  # unable to get local issuer certificate
    21: "unknown_ca",  # unable to verify the first certificate
    26: "wrong_usage",
    62: "hostname_mismatch",
    64: "hostname_mismatch",  # IP address
    66: "weak_key",
    67: "weak_key",
    68: "weak_key",
}

# OpenSSL's reason for an alert that the peer sent: the AlertDescription (RFC 8446, 6)
_ALERTS = {
    "SSLV3_ALERT_HANDSHAKE_FAILURE": 40,
    "SSLV3_ALERT_BAD_CERTIFICATE": 42,
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": 43,
    "SSLV3_ALERT_CERTIFICATE_REVOKED": 44,
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": 45,
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": 46,
    "TLSV1_ALERT_UNKNOWN_CA": 48,
    "TLSV1_ALERT_ACCESS_DENIED": 49,
    "TLSV1_ALERT_DECRYPT_ERROR": 51,
    "TLSV1_ALERT_PROTOCOL_VERSION": 70,
    "TLSV1_ALERT_INSUFFICIENT_SECURITY": 71,
    "TLSV1_ALERT_INTERNAL_ERROR": 80,
    "TLSV1_UNRECOGNIZED_NAME": 112,
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": 116,
    "TLSV1_ALERT_NO_APPLICATION_PROTOCOL": 120,
}

_REASONS = {
    "UNSUPPORTED_PROTOCOL": "version",
    "WRONG_SSL_VERSION": "version",
    "WRONG_VERSION_NUMBER": "not_tls",
    "DECRYPTION_FAILED_OR_BAD_RECORD_MAC": "bad_record",
    "RECORD_LAYER_FAILURE": "bad_record",  # the same, from OpenSSL 3.2 on
    "EE_KEY_TOO_SMALL": "weak_key",
    "CA_MD_TOO_WEAK": "weak_key",
    "DH_KEY_TOO_SMALL": "weak_key",
    "EXCESSIVE_MESSAGE_SIZE": "too_large",
}


class Stream:
    """OpenSSL over the tap, with MicroPython's stream methods."""

    def __init__(self, context: ssl.SSLContext, tap: object, server_name: str) -> None:
        self._in = ssl.MemoryBIO()
        self._out = ssl.MemoryBIO()
        self._tap = tap
        self._tls = context.wrap_bio(self._in, self._out, server_hostname=server_name)

    def handshake(self) -> None:
        """To the end. Raises ssl.SSLError or OSError."""
        self._run(self._tls.do_handshake)

    def shown(self) -> "list[bytes]":
        """The certificates that the server sent, also where they were refused."""
        if hasattr(self._tls, "get_unverified_chain"):  # public from Python 3.13
            return self._tls.get_unverified_chain()
        found = self._tls._sslobj.get_unverified_chain() or []
        return [ssl.PEM_cert_to_DER_cert(part.public_bytes()) for part in found]

    def readinto(self, buf: "bytearray | memoryview") -> "int | None":
        """Bytes read, 0 at the end, None where the tap's quiet time limit came first."""
        try:
            return self._run(self._tls.read, len(buf), buf)
        except ssl.SSLWantReadError:
            return None
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return 0

    def write(self, data: bytes) -> int:
        """Write all of data. Raises OSError."""
        return self._run(self._tls.write, data)

    def _run(self, call: object, *arguments: object) -> object:
        while True:
            try:
                result = call(*arguments)
                self._push()
                return result
            except ssl.SSLWantReadError:
                self._push()
                if not self._pull():
                    raise
            except ssl.SSLError:
                self._push()  # our alert
                raise

    def _push(self) -> None:
        data = self._out.read()
        if data:
            written = self._tap.write(data)
            if written < 0:
                raise OSError(-written, os.strerror(-written))

    def _pull(self) -> bool:
        buf = bytearray(16384)
        count = self._tap.readinto(buf)
        if count is None:
            return False
        if count < 0:
            raise OSError(-count, os.strerror(-count))
        if count == 0:
            self._in.write_eof()
        else:
            self._in.write(buf[:count])
        return True


class Runtime:
    """The platform as the ladder uses it."""

    POLL_ERROR = select.POLLERR | select.POLLHUP
    extras = ("alpn", "sni")
    form = ".der"  # of the identity's files
    checks_dates = True
    needs_certificates = True  # OpenSSL tells only of those that it refused

    def __init__(self) -> None:
        self.name = "cpython " + platform.python_version()
        self.machine = platform.system() + " " + ssl.OPENSSL_VERSION
        self.network_is_given = True
        self.clock_is_kept = True

    # time

    def ticks(self) -> int:
        return int(time.monotonic() * 1000)

    def since(self, ticks: int) -> int:
        return self.ticks() - ticks

    def sleep(self, ms: int) -> None:
        time.sleep(ms / 1000)

    def now(self) -> int:
        return int(time.time())

    def random(self) -> int:
        """0 to 255."""
        return os.urandom(1)[0]

    def heap(self) -> "dict[str, object]":
        return {}

    def tidy(self) -> None:
        """A computer has memory to spare."""

    # network

    def needs_wifi(self) -> bool:
        return False

    def rssi(self) -> None:
        """There is no radio."""
        return

    def resolve(self, host: str, port: int) -> "list[tuple[str, object]]":
        found = []
        for family, _, _, _, address in socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM):
            target = (str(address[0]), (family, address))
            if target not in found:
                found.append(target)
        return found

    def connect(self, target: "tuple[int, object]", limit_ms: int) -> socket.socket:
        sock = socket.socket(target[0], socket.SOCK_STREAM)
        try:
            sock.settimeout(limit_ms / 1000)
            sock.connect(target[1])
            # TLS writes a flight in pieces, and with Nagle's algorithm each would wait for an ACK
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setblocking(False)
        except OSError as error:
            sock.close()
            if not error.args or not isinstance(error.args[0], int):  # socket's own time-out
                raise TimeoutError(110, "timed out") from None
            raise
        return sock

    def close(self, sock: socket.socket) -> None:
        sock.close()

    def read_some(self, sock: socket.socket, buf: bytearray) -> "int | None":
        try:
            return sock.recv_into(buf)
        except BlockingIOError:
            return None

    def write_some(self, sock: socket.socket, data: bytes) -> "int | None":
        try:
            return sock.send(data)
        except BlockingIOError:
            return None

    def wait(self, sock: socket.socket, to_read: bool, ms: int) -> int:
        """Wait until the socket can be read or written; poll's flags, 0 at the time limit."""
        poller = select.poll()
        poller.register(sock, select.POLLIN if to_read else select.POLLOUT)
        ready = poller.poll(ms)
        return ready[0][1] if ready else 0

    # TLS

    def context(self, alpn: "str | None") -> ssl.SSLContext:
        """A client context that verifies chain, dates and name."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if alpn:
            context.set_alpn_protocols([alpn])
        return context

    def load_anchors(self, context: ssl.SSLContext, anchors: "list[bytes]") -> None:
        for anchor in anchors:
            context.load_verify_locations(cadata=anchor)

    def load_identity(self, context: ssl.SSLContext, chain: "list[bytes]", key: bytes) -> None:
        # OpenSSL wants names of files; a pipe has one, and nothing reaches a disk
        pem = "".join([_pem("CERTIFICATE", part) for part in chain])
        with _Pipe(pem.encode()) as chain_name, _Pipe(_key_pem(key)) as key_name:
            context.load_cert_chain(chain_name, key_name, password=_no_passphrase)

    def handshake(
        self, context: ssl.SSLContext, tap: object, identity: object, chain: "dict[int, bytes]"
    ) -> Stream:
        """Handshake through the tap; what the server shows and OpenSSL refuses lands in `chain`."""
        # OpenSSL checks the name that it sends; another one to verify is checked on its own
        context.check_hostname = not identity.sni
        stream = Stream(context, tap, identity.sni or identity.server_name)
        try:
            stream.handshake()
            if identity.sni:
                _check_name(stream.shown(), identity)
        except ssl.SSLCertVerificationError:
            chain.update(enumerate(stream.shown()))
            raise
        return stream

    def forget(self, stream: object) -> None:
        """The runtime lets go of it by itself."""

    def tls_words(self, error: Exception, tap: object) -> "tuple[str, ...]":
        """What the error means, in the words that tlscause judges by."""
        if isinstance(error, MemoryError):
            return ("memory",)
        words = []
        if isinstance(error, ssl.SSLCertVerificationError):
            words.append(_VERIFY.get(error.verify_code, "unknown_ca"))
        elif isinstance(error, ssl.SSLError) and error.reason in _ALERTS:
            words.extend(("alert", "alert:%d" % _ALERTS[error.reason]))
        elif isinstance(error, ssl.SSLError) and error.reason in _REASONS:
            words.append(_REASONS[error.reason])
        elif isinstance(error, ssl.SSLError) and "ASN1 lib" in str(error):
            words.append("malformed")  # OpenSSL 3 has no name for it
        if tap.late:
            words.append("timeout")
        if tap.errno:
            words.append("reset")
        if tap.ended or isinstance(error, ssl.SSLEOFError):
            words.append("eof")
        return tuple(words)


def _check_name(chain: "list[bytes]", identity: object) -> None:
    """Raises SSLCertVerificationError where the chain is not one for identity.server_name."""
    from ipaddress import ip_address

    from cryptography import x509
    from cryptography.x509 import verification

    certificates = [x509.load_der_x509_certificate(part) for part in chain]
    anchors = [x509.load_der_x509_certificate(part) for part in identity.anchors]
    try:
        name = x509.IPAddress(ip_address(identity.server_name))
    except ValueError:
        name = x509.DNSName(identity.server_name)
    builder = verification.PolicyBuilder().store(verification.Store(anchors))
    try:
        builder.build_server_verifier(name).verify(certificates[0], certificates[1:])
    except verification.VerificationError as reason:
        error = ssl.SSLCertVerificationError(1, str(reason))
        error.verify_code = 62  # OpenSSL has verified the rest
        raise error from None


class _Pipe:
    """Bytes that can be opened by a name, once, without a file."""

    def __init__(self, data: bytes) -> None:
        self._read, write = os.pipe()
        os.set_blocking(write, False)
        try:
            os.write(write, data)  # a chain and a key are far below a pipe's 64 KiB
        finally:
            os.close(write)

    def __enter__(self) -> str:
        return "/dev/fd/%d" % self._read

    def __exit__(self, *error: object) -> None:
        os.close(self._read)


def _pem(label: str, data: bytes) -> str:
    text = binascii.b2a_base64(data, newline=False).decode()
    lines = [text[i : i + 64] for i in range(0, len(text), 64)]
    return "-----BEGIN %s-----\n%s\n-----END %s-----\n" % (label, "\n".join(lines), label)


def _key_pem(key: bytes) -> bytes:
    from . import der

    if key[:5] == b"-----":
        return key
    start, end = der.expect(key, 0, len(key), der.SEQUENCE)
    second = der.children(key, start, end)[1][0]
    label = {der.SEQUENCE: "PRIVATE KEY", der.INTEGER: "RSA PRIVATE KEY"}
    return _pem(label.get(second, "EC PRIVATE KEY"), key).encode()


def _no_passphrase() -> str:
    raise ValueError("the private key is encrypted")
