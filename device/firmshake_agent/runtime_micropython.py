"""What differs on MicroPython: radio, clock, sockets, TLS context, heap figures. Version 1.23 on.

Runs on ESP32 and Pico W firmware and, for trying things out, on MicroPython's Unix port.
"""

import errno
import gc
import os
import select
import socket
import sys
import time

import tls

from . import mbedtls

try:
    import network
except ImportError:  # the Unix port: the computer's network is simply there
    network = None
try:
    import machine
except ImportError:
    machine = None
try:
    import esp32
except ImportError:
    esp32 = None

# esp32 counts seconds from 2000, other ports from 1970
_EPOCH = 946684800 if time.gmtime(0)[0] == 2000 else 0

_KEEP = 4096  # of a certificate that the server shows

# esp32's status numbers (esp_wifi_types.h), and rp2's negative ones
_WIFI = {
    201: "ap_not_found",
    210: "ap_not_found",  # no AP with compatible security
    211: "ap_not_found",  # none above the authmode threshold
    212: "ap_not_found",  # none above the RSSI threshold
    202: "wrong_password",
    204: "wrong_password",  # 4-way handshake time-out: what a wrong WPA password looks like
    15: "wrong_password",
    -2: "ap_not_found",
    -3: "wrong_password",
}
_WIFI_TRIES = 2  # again, after the first
_WIFI_SURE_MS = 5000  # a refusal that lasts: the radio tries again by itself, and may succeed


class Runtime:
    """The platform as the ladder uses it."""

    POLL_ERROR = select.POLLERR | select.POLLHUP
    form = ".der"  # of the identity's files
    checks_dates = True
    needs_certificates = False  # the verify callback shows them
    extras = ()  # stock firmware has no ALPN, and its one name is SNI and the name to verify

    def __init__(self) -> None:
        version = ".".join([str(part) for part in sys.implementation.version[:3]])
        self.name = "micropython " + version
        self.machine = getattr(sys.implementation, "_machine", sys.platform)
        self.network_is_given = sys.platform in ("linux", "darwin") and network is None
        # a computer keeps its own time; a board's is ours to set
        self.clock_is_kept = not hasattr(machine, "RTC")
        self._poll = None
        self._polled = None
        self._ms = 0
        self._seen = time.ticks_ms()

    # time

    def ticks(self) -> int:
        """Milliseconds, added up: the port's own count comes round after 12 days."""
        now = time.ticks_ms()
        self._ms += time.ticks_diff(now, self._seen)
        self._seen = now
        return self._ms

    def since(self, ticks: int) -> int:
        return self.ticks() - ticks

    def sleep(self, ms: int) -> None:
        time.sleep_ms(ms)

    def now(self) -> int:
        return int(time.time()) + _EPOCH

    def set_now(self, seconds: int) -> None:
        year, month, day, hour, minute, second, weekday, _ = time.gmtime(seconds - _EPOCH)
        machine.RTC().datetime((year, month, day, weekday, hour, minute, second, 0))

    def random(self) -> int:
        """0 to 255."""
        return os.urandom(1)[0]

    def heap(self) -> "dict[str, object]":
        """Free bytes, and the largest block where the firmware can tell."""
        gc.collect()
        figures = {"free": gc.mem_free(), "used": gc.mem_alloc()}
        if esp32 is not None:  # TLS takes its memory from the IDF's heap there
            regions = esp32.idf_heap_info(esp32.HEAP_DATA)
            figures["free"] = sum([region[1] for region in regions])
            figures["largest"] = max([region[2] for region in regions])
        return figures

    def tidy(self) -> None:
        gc.collect()

    # network

    def needs_wifi(self) -> bool:
        return hasattr(network, "WLAN")

    def join(
        self, ssid: str, password: "str | None", limit_ms: int
    ) -> "tuple[str, dict[str, object]]":
        """("", evidence) once there is an address, else (cause, evidence)."""
        try:
            wlan = network.WLAN(network.STA_IF)
            wlan.active(True)
            # joined already, or joined and waiting for its address
            if not (self._associated(wlan) and self._ssid(wlan) == ssid):
                self._start(wlan, ssid, password)
        except (OSError, RuntimeError) as error:  # the radio's own refusal, and no time-out
            text = str(error)
            short = error.args[0] == errno.ENOMEM or "emory" in text or text.endswith("0x0101")
            return "out_of_memory" if short else "timeout", {"error": text}
        return self._joined(wlan, limit_ms)

    def _start(self, wlan: object, ssid: str, password: "str | None") -> None:
        try:
            wlan.disconnect()  # from another network, or from an attempt that is still going on
        except OSError:
            pass
        try:
            # esp32 tries for ever by itself, and then never says why it fails
            wlan.config(reconnects=_WIFI_TRIES)
        except (ValueError, TypeError, OSError):
            pass  # rp2 has no such setting, and no need for it
        wlan.connect(*([ssid, password] if password else [ssid]))

    def _joined(self, wlan: object, limit_ms: int) -> "tuple[str, dict[str, object]]":
        started = refused_at = self.ticks()
        refusal = None
        while self.since(started) < limit_ms:
            if wlan.isconnected():
                return "", {"addr": wlan.ifconfig()[0]}
            status = wlan.status()
            # esp32 remembers an old refusal until there is an address: associated is past it
            if status not in _WIFI or self._associated(wlan):
                refusal = None
            elif status != refusal:
                refusal, refused_at = status, self.ticks()
            elif self.since(refused_at) > _WIFI_SURE_MS:
                break
            self.sleep(50)
        evidence = {"status": wlan.status()}
        if refusal is not None:
            return _WIFI[refusal], evidence
        evidence["limit_ms"] = limit_ms
        return "no_address" if self._associated(wlan) else "timeout", evidence

    def _ssid(self, wlan: object) -> "str | None":
        try:
            return wlan.config("ssid")
        except (ValueError, OSError):
            return None

    def _associated(self, wlan: object) -> bool:
        try:
            return wlan.status("rssi") < 0
        except (ValueError, OSError, TypeError):
            return False

    def rssi(self) -> "int | None":
        """Strength of the Wi-Fi's signal in dBm, None where there is none."""
        try:
            return network.WLAN(network.STA_IF).status("rssi")
        except (AttributeError, ValueError, OSError, TypeError):
            return None

    def resolve(self, host: str, port: int) -> "list[tuple[str, object]]":
        """The host's addresses. Raises OSError with the resolver's number."""
        found = []
        try:
            answers = socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)
        except OSError as error:
            # the Unix port gives a sentence, "[addrinfo error -3]" (seen on 1.25)
            word = str(error.args[0]).rstrip("]").split(" ")[-1]
            raise OSError(int(word) if word.lstrip("-").isdigit() else 0)
        for family, _, _, _, address in answers:
            target = (_text(address), (family, address))
            if target not in found:
                found.append(target)
        return found

    def connect(self, target: "tuple[int, object]", limit_ms: int) -> object:
        sock = socket.socket(target[0], socket.SOCK_STREAM)
        try:
            sock.settimeout(limit_ms / 1000)
            sock.connect(target[1])
            sock.setblocking(False)
        except OSError:
            sock.close()
            raise
        _undelayed(sock)
        self._poll = select.poll()
        self._poll.register(sock)
        self._polled = sock
        return sock

    def close(self, sock: object) -> None:
        sock.close()

    def exchange(self, host: str, port: int, request: bytes, limit_ms: int) -> bytes:
        """One datagram there and one back. Raises OSError."""
        family, _, _, _, address = socket.getaddrinfo(host, port, 0, socket.SOCK_DGRAM)[0]
        sock = socket.socket(family, socket.SOCK_DGRAM)
        try:
            sock.settimeout(limit_ms / 1000)
            sock.sendto(request, address)
            return sock.recv(512)
        finally:
            sock.close()

    def read_some(self, sock: object, buf: bytearray) -> "int | None":
        return sock.readinto(buf)

    def write_some(self, sock: object, data: bytes) -> "int | None":
        return sock.write(data)

    def wait(self, sock: object, to_read: bool, ms: int) -> int:
        """Wait until the socket can be read or written; poll's flags, 0 at the time limit."""
        assert sock is self._polled
        # esp32 tells of a reset only where it is asked to
        wanted = select.POLLIN if to_read else select.POLLOUT
        self._poll.modify(sock, wanted | self.POLL_ERROR)
        ready = self._poll.poll(ms)
        return ready[0][1] if ready else 0

    # TLS

    def context(self, alpn: None) -> object:
        """A client context that verifies: MicroPython's `tls`, whose default is CERT_REQUIRED."""
        return tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)

    def load_anchors(self, context: object, anchors: "list[bytes]") -> None:
        for anchor in anchors:
            context.load_verify_locations(anchor)

    def load_identity(self, context: object, chain: "list[bytes]", key: bytes) -> None:
        # each call adds one certificate to the chain that is sent
        for certificate in chain:
            context.load_cert_chain(certificate, key)

    def handshake(
        self, context: object, tap: object, identity: object, chain: "dict[int, bytes]"
    ) -> object:
        """Handshake through the tap; what the server shows lands in `chain` by its depth."""

        def shown(certificate: "memoryview", depth: int) -> int:
            # called from inside mbedTLS, the topmost first: it must not raise
            try:
                if depth == 0 or not chain:
                    chain[depth] = bytes(certificate[:_KEEP])
            except MemoryError:
                pass
            return 0  # no opinion of our own: mbedTLS's verdict stands

        gc.collect()
        context.verify_callback = shown
        try:
            return context.wrap_socket(tap, server_hostname=identity.server_name)
        finally:
            context.verify_callback = None

    def forget(self, stream: object) -> None:
        """Free what TLS holds for a connection: esp32's own heap knows no collector."""
        stream.close()

    tls_words = staticmethod(mbedtls.words)


def _undelayed(sock: object) -> None:
    """Turn Nagle's algorithm off: each of a flight's five writes would wait for an ACK."""
    try:
        sock.setsockopt(6, 1, 1)  # IPPROTO_TCP, TCP_NODELAY
    except (OSError, ValueError, AttributeError):
        pass  # a firmware that cannot is a little slower


def _text(address: object) -> str:
    if isinstance(address, tuple):
        return address[0]
    family, raw = socket.sockaddr(address)[:2]  # the Unix port's opaque bytes
    return socket.inet_ntop(family, raw)
