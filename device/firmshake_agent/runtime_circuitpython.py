"""What differs on CircuitPython: radio, clock, sockets, TLS context, heap figures. Version 9 on.

Its TLS never looks at a certificate's dates (the agent does), and has one number for every refused
certificate. Read in the source of 9 and 10; not run on a board yet.
"""

import errno
import gc
import os
import ssl
import sys
import time

import rtc
import socketpool
import supervisor
import wifi

from . import mbedtls, x509

try:
    import espidf
except ImportError:  # not an ESP32: TLS lives in the one heap
    espidf = None

_TICKS = 1 << 29  # supervisor.ticks_ms comes round
_TURN_MS = 5  # between two looks at a socket: what the firmware's own handshake takes is 1

# Part of ConnectionError's text (shared-bindings/wifi/Radio.c), in firmware in English
_WIFI = (
    ("No network with that ssid", "ap_not_found"),
    ("Authentication failure", "wrong_password"),
)


class Socket:
    """The tap as CircuitPython's TLS wants it: a socket, called through Python methods.

    They run inside mbedTLS, which understands an OSError and nothing else.
    """

    def __init__(self, tap: object, kind: int) -> None:
        self.type = kind
        self._tap = tap

    def connect(self, address: object) -> None:
        """Connected already."""

    def recv_into(self, buf: memoryview) -> int:
        return self._moved(self._tap.readinto, buf)

    def send(self, data: memoryview) -> int:
        return self._moved(self._tap.write, data)

    def _moved(self, call: object, data: memoryview) -> int:
        try:
            count = call(data)
        except (MemoryError, RuntimeError):  # the latter: "pystack exhausted"
            raise OSError(errno.ENOMEM)
        if count is None:
            raise OSError(errno.EAGAIN)
        if count < 0:
            raise OSError(-count)
        return count

    def close(self) -> None:
        """The socket belongs to who opened it."""

    def settimeout(self, seconds: object) -> None:
        """The tap keeps the time."""

    # it looks for these too, and never calls them here
    accept = bind = listen = setsockopt = settimeout


class Stream:
    """CircuitPython's TLS socket with MicroPython's stream methods."""

    def __init__(self, sock: object) -> None:
        self._sock = sock

    def readinto(self, buf: "bytearray | memoryview") -> "int | None":
        """Bytes read, 0 at the end, None where the tap's quiet time limit came first."""
        try:
            return self._sock.recv_into(buf)
        except OSError as error:
            if error.args and error.args[0] == errno.EAGAIN:
                return None
            raise

    def write(self, data: bytes) -> int:
        """Write all of data. Raises OSError."""
        done = 0
        while done < len(data):
            done += self._sock.send(memoryview(data)[done:])
        return done


class Runtime:
    """The platform as the ladder uses it; `folder` holds the identity, which TLS reads itself."""

    POLL_ERROR = 8
    form = ".pem"  # of the identity's files
    needs_certificates = False  # chain.Chain takes them
    checks_dates = False
    clock_is_kept = False
    extras = ()  # no ALPN, and its one name is SNI and the name to verify

    def forget(self, stream: object) -> None:
        """The runtime lets go of it by itself."""

    tls_words = staticmethod(mbedtls.words)

    def __init__(self, folder: str = "/firmshake") -> None:
        version = ".".join([str(part) for part in sys.implementation.version[:3]])
        self.name = "circuitpython " + version
        self.machine = os.uname().machine
        # the firmware joins the network itself where settings.toml names it
        self.network_is_given = wifi.radio.connected
        self._folder = folder
        self._pool = socketpool.SocketPool(wifi.radio)
        self._clock = rtc.RTC()
        self._one = bytearray(1)
        self._ahead = None  # a byte, or the end, that was read to see whether there is one
        self._fault = None
        self._ms = 0
        self._seen = supervisor.ticks_ms()

    # time

    def ticks(self) -> int:
        """Milliseconds, added up: the firmware's own count comes round after 6 days."""
        now = supervisor.ticks_ms()
        self._ms += (now - self._seen) % _TICKS
        self._seen = now
        return self._ms

    def since(self, ticks: int) -> int:
        return self.ticks() - ticks

    def sleep(self, ms: int) -> None:
        time.sleep(ms / 1000)

    def now(self) -> int:
        at = self._clock.datetime
        return x509.seconds(at.tm_year, at.tm_mon, at.tm_mday, at.tm_hour, at.tm_min, at.tm_sec)

    def set_now(self, seconds: int) -> None:
        self._clock.datetime = time.localtime(seconds)  # there are no time zones

    def random(self) -> int:
        """0 to 255."""
        return os.urandom(1)[0]

    def heap(self) -> "dict[str, object]":
        """Free bytes, and the largest block where the firmware can tell."""
        gc.collect()
        free, used = gc.mem_free(), gc.mem_alloc()  # type: ignore[attr-defined]  # not in CPython's
        figures = {"free": free, "used": used}
        if espidf is not None:  # TLS takes its memory from the IDF's heap there
            figures["free"] = espidf.heap_caps_get_free_size()
            figures["largest"] = espidf.heap_caps_get_largest_free_block()
        return figures

    def tidy(self) -> None:
        gc.collect()

    # network

    def needs_wifi(self) -> bool:
        return True

    def join(
        self, ssid: str, password: "str | None", limit_ms: int
    ) -> "tuple[str, dict[str, object]]":
        """("", evidence) once there is an address, else (cause, evidence)."""
        try:
            wifi.radio.enabled = True
            wifi.radio.connect(ssid, password or "", timeout=limit_ms / 1000)
        except ValueError as error:  # no password has that length
            return "wrong_password", {"error": str(error)}
        except (OSError, RuntimeError) as error:
            text = str(error)
            for part, cause in _WIFI:
                if part in text:
                    return cause, {"error": text}
            return "timeout", {"error": text}
        address = wifi.radio.ipv4_address
        return ("", {"addr": str(address)}) if address else ("no_address", {})

    def rssi(self) -> "int | None":
        """Strength of the Wi-Fi's signal in dBm, None where there is none."""
        point = getattr(wifi.radio, "ap_info", None)  # not every radio tells
        return point.rssi if point else None

    def resolve(self, host: str, port: int) -> "list[tuple[str, object]]":
        """The host's addresses. Raises OSError with the resolver's number."""
        pool = self._pool
        found = []
        # the published stub takes the answer for one address; it is a list of them
        answers = pool.getaddrinfo(host, port, 0, pool.SOCK_STREAM)
        for family, _, _, _, address in answers:  # type: ignore[misc, str-unpack]
            target = (str(address[0]), (family, address))
            if target not in found:
                found.append(target)
        return found

    def connect(self, target: "tuple[int, object]", limit_ms: int) -> object:
        pool = self._pool
        sock = pool.socket(target[0], pool.SOCK_STREAM)
        try:
            sock.settimeout(limit_ms / 1000)  # type: ignore[arg-type]  # it takes a float
            sock.connect(target[1])
            sock.settimeout(0)
        except OSError:
            sock.close()
            raise
        try:
            sock.setsockopt(pool.IPPROTO_TCP, pool.TCP_NODELAY, 1)
        except (OSError, AttributeError):
            pass  # a firmware that cannot is a little slower
        self._ahead = self._fault = None
        return sock

    def close(self, sock: object) -> None:
        sock.close()

    def exchange(self, host: str, port: int, request: bytes, limit_ms: int) -> bytes:
        """One datagram there and one back. Raises OSError."""
        sock = self._pool.socket(self._pool.AF_INET, self._pool.SOCK_DGRAM)
        try:
            sock.settimeout(limit_ms / 1000)  # type: ignore[arg-type]  # it takes a float
            sock.sendto(request, (host, port))
            buf = bytearray(64)
            return bytes(buf[: sock.recv_into(buf, 64)])
        finally:
            sock.close()

    def read_some(self, sock: object, buf: bytearray) -> "int | None":
        if self._fault is not None:
            raise self._fault
        done = 0
        if self._ahead is not None:
            done = len(self._ahead)
            buf[:done] = self._ahead
            self._ahead = None
            if done == 0 or done == len(buf):
                return done
        try:
            return done + sock.recv_into(memoryview(buf)[done:])
        except OSError as error:
            if error.args[0] == errno.EAGAIN:
                return done or None
            if error.args[0] == errno.ENOTCONN:  # ESP32's word for the end, where nothing blocks
                return done
            if not done:
                raise
            self._fault = error  # after the byte that came before it
            return done

    def write_some(self, sock: object, data: bytes) -> "int | None":
        try:
            return sock.send(data)
        except OSError as error:
            if error.args[0] == errno.EAGAIN:
                return None
            raise

    def wait(self, sock: object, to_read: bool, ms: int) -> int:
        """Wait until the socket can be read or written: 1, POLL_ERROR, or 0 at the time limit.

        By reading a byte ahead: not every firmware has `select`, and none of it tells of a reset.
        """
        started = self.ticks()
        if not to_read:
            self.sleep(min(ms, _TURN_MS))
            return 1
        while True:
            try:
                count = self.read_some(sock, self._one)
            except OSError as error:
                self._fault = error
                return self.POLL_ERROR
            if count is not None:
                self._ahead = bytes(self._one[:count])
                return 1
            left = ms - self.since(started)
            if left <= 0:
                return 0
            self.sleep(min(left, _TURN_MS))

    # TLS

    def context(self, alpn: None) -> object:
        """A client context that verifies chain and name, and no dates."""
        return ssl.create_default_context()

    def load_anchors(self, context: object, anchors: "list[bytes]") -> None:
        with open(self._folder + "/ca.pem") as file:
            context.load_verify_locations(cadata=file.read())
        self._try_out(context)

    def load_identity(self, context: object, chain: "list[bytes]", key: bytes) -> None:
        context.load_cert_chain(self._folder + "/cert.pem", self._folder + "/key.pem")
        self._try_out(context)

    def _try_out(self, context: object) -> None:
        # what was loaded is only read when a socket is wrapped
        context.wrap_socket(Socket(None, self._pool.SOCK_STREAM)).close()
        gc.collect()

    def handshake(
        self, context: object, tap: object, identity: object, chain: "dict[int, bytes]"
    ) -> Stream:
        """Handshake through the tap."""
        gc.collect()
        sock = context.wrap_socket(
            Socket(tap, self._pool.SOCK_STREAM), server_hostname=identity.server_name
        )
        sock.connect((identity.host, identity.port))  # it is: this does the handshake
        return Stream(sock)
