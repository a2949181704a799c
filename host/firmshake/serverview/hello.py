"""A ClientHello as any board would send it, and what a server answers to it in clear.

Does no I/O. This asks questions that no TLS library lets one ask (which suites of TLS 1.3, static
ECDH, ARIA, TLS 1.0), and no answer goes any further than the server's first flight.
"""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass, field

from firmshake.serverview.firmwares import TLS12, TLS13

# ContentType and HandshakeType (RFC 8446, 5.1 and 4; RFC 5246, 7.4)
_ALERT, _HANDSHAKE = 21, 22
_SERVER_HELLO, _CERTIFICATE, _SERVER_KEY_EXCHANGE, _CERTIFICATE_REQUEST, _HELLO_DONE = 2, 11, 12, 13, 14

_LONGEST_RECORD = (1 << 14) + 2048  # RFC 5246, 6.2.3
_MOST = 1 << 18  # of a first flight: a chain of any sense is far below

# every scheme that there is: a probe must not fail over the signature
ALL_SIGNATURES = (
    *(0x0403, 0x0503, 0x0603, 0x0804, 0x0805, 0x0806, 0x0807, 0x0808, 0x0809, 0x080A, 0x080B),
    *(0x0401, 0x0501, 0x0601, 0x0303, 0x0301, 0x0203, 0x0201),
)
ALL_GROUPS = (0x001D, 0x0017, 0x0018, 0x0019, 0x001E, 0x0016, 0x001A, 0x001B, 0x001C, 0x0015)


@dataclass(frozen=True)
class Offer:
    """What the hello offers: one version (0x0303 is TLS 1.2), suites, groups, signature schemes.

    `name` goes into the server name extension, unless it is an address or empty.
    """

    version: int
    suites: tuple[int, ...]
    groups: tuple[int, ...] = ALL_GROUPS
    signatures: tuple[int, ...] = ALL_SIGNATURES
    name: str = ""


@dataclass(frozen=True)
class Answer:
    """What the server said: `version` 0 where it sent no ServerHello; `alert` is its number.

    `certificates` are DER, the server's own first; `asks` is whether it wants the client's, from
    one of the `authorities` (DER names). `is_tls` is False where the bytes were none of TLS.
    """

    version: int = 0
    suite: int = 0
    group: int = 0
    session_id: bool = False
    ticket: bool = False
    certificates: tuple[bytes, ...] = ()
    asks: bool = False
    authorities: tuple[bytes, ...] = ()
    alert: int | None = None
    is_tls: bool = True
    first: bytes = b""


def client_hello(offer: Offer, random: bytes, share: bytes) -> bytes:
    """The record of a ClientHello. `random` is 32 bytes, `share` a point on P-256 for TLS 1.3."""
    assert len(random) == 32
    legacy = min(offer.version, TLS12)
    suites = b"".join(struct.pack("!H", suite) for suite in offer.suites)
    body = struct.pack("!H", legacy) + random + b"\0"
    body += _block(suites) + b"\x01\0" + _block(_extensions(offer, share))
    message = b"\x01" + len(body).to_bytes(3, "big") + body
    # servers that are old fall over a newer version in the record (RFC 5246, E.1)
    return b"\x16\x03\x01" + _block(message)


def _extensions(offer: Offer, share: bytes) -> bytes:
    parts = []
    if offer.name and not _is_address(offer.name):
        parts.append((0, _block(b"\0" + _block(offer.name.encode("ascii", "ignore")))))
    parts.append((10, _block(b"".join(struct.pack("!H", one) for one in offer.groups))))
    parts.append((11, b"\x01\0"))
    if offer.version >= TLS12:
        parts.append((13, _block(b"".join(struct.pack("!H", one) for one in offer.signatures))))
    if offer.version >= TLS13:
        parts.append((43, b"\x02" + struct.pack("!H", offer.version)))
        parts.append((51, _block(struct.pack("!H", 0x0017) + _block(share))))
    return b"".join(struct.pack("!H", kind) + _block(data) for kind, data in parts)


def _block(data: bytes) -> bytes:
    """The data behind its length in two bytes."""
    return struct.pack("!H", len(data)) + data


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


@dataclass
class Reader:
    """Reads a server's answer, in pieces of any size; never fails, and holds at most 256 KiB.

    `done` is true as soon as nothing more is to be learned.
    """

    done: bool = False
    has_hello: bool = False
    _answer: dict[str, object] = field(default_factory=dict)
    _records: bytearray = field(default_factory=bytearray)
    _messages: bytearray = field(default_factory=bytearray)
    _fed: int = 0

    def feed(self, data: bytes) -> None:
        """Take what came from the server."""
        if self.done:
            return
        self._fed += len(data)
        self._answer["first"] = (bytes(self._answer.get("first") or b"") + data)[:16]  # type: ignore[arg-type]
        self._records += data
        while not self.done and len(self._records) >= 5:
            kind, major, _, length = struct.unpack("!BBBH", self._records[:5])
            if kind not in (_ALERT, _HANDSHAKE, 20, 23) or major != 3 or length > _LONGEST_RECORD:
                self._give_up()
            elif len(self._records) < 5 + length:
                break
            else:
                self._record(kind, bytes(self._records[5 : 5 + length]))
                del self._records[: 5 + length]
        self.done = self.done or self._fed > _MOST
