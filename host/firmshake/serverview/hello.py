"""A ClientHello that offers what we say, as any board would send it. Does no I/O.

It asks what no TLS library lets one ask: suites of TLS 1.3 one by one, static ECDH, ARIA, TLS 1.0.
"""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass

from firmshake.serverview.firmwares import TLS12, TLS13

# every scheme that there is: a probe must not fail over the signature
ALL_SIGNATURES = (
    *(0x0403, 0x0503, 0x0603, 0x0804, 0x0805, 0x0806, 0x0807, 0x0808, 0x0809, 0x080A, 0x080B),
    *(0x0401, 0x0501, 0x0601, 0x0303, 0x0301, 0x0203, 0x0201),
)
ALL_GROUPS = (0x001D, 0x0017, 0x0018, 0x0019, 0x001E, 0x0016, 0x001A, 0x001B, 0x001C, 0x0015)


@dataclass(frozen=True)
class Offer:
    """What the hello offers: one version (0x0303 is TLS 1.2), suites, groups, signature schemes.

    `name` goes into the server name extension, unless it is an address or empty; `alpn`
    into that of the application's protocol, unless it is empty.
    """

    version: int
    suites: tuple[int, ...]
    groups: tuple[int, ...] = ALL_GROUPS
    signatures: tuple[int, ...] = ALL_SIGNATURES
    name: str = ""
    alpn: str = ""


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
    if offer.alpn:
        name = offer.alpn.encode("ascii", "ignore")
        parts.append((16, _block(bytes([len(name)]) + name)))  # RFC 7301, 3.1
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
