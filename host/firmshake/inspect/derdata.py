"""Tells what a DER structure is by its shape, and has it read. Does no I/O."""

from __future__ import annotations

from firmshake.ca.finding import WRONG, Finding
from firmshake.inspect import keys, papers, pkcs12
from firmshake.inspect.desk import Desk
from firmshake.inspect.thing import Thing
from firmshake_agent import der

_OID, _BITS, _INTEGER = 0x06, der.BIT_STRING, der.INTEGER
_SIGNED_DATA = bytes.fromhex("2a864886f70d010702")
# id-data and id-signedData, the two that a PKCS#12 file wraps (RFC 7292 section 4)
_PKCS7 = bytes.fromhex("2a864886f70d0107")

_MOST = 1000  # structures behind one another in a file


def look(data: bytes, where: str, desk: Desk) -> list[Thing]:
    """What the DER holds: one thing, or several that stand behind one another."""
    whole, rest = split(data)
    if not whole:
        size = _claimed(data)
        what = f"It is cut off: {len(data):,} bytes are there, of {size:,}."
        fix = "Copy the file again, in binary mode if it went over FTP or a serial line."
        return [Thing(where, "unknown", "DER that ends too early", (), (_cut(what, fix),))]
    made = []
    for number, part in enumerate(whole[:_MOST], 1):
        place = where if len(whole) == 1 else f"{where}, part {number}"
        made.append(one(part, place, desk, "DER"))
    if rest.strip(b"\0\r\n"):
        what = f"{len(rest):,} bytes stand behind it that do not belong to it."
        found = Finding(WRONG, "trailing_bytes", what, "Get the file again: it was changed.")
        made[-1] = made[-1].with_findings(found)
    return made


def split(data: bytes) -> tuple[list[bytes], bytes]:
    """The SEQUENCEs that stand behind one another, and what is left behind the last."""
    whole: list[bytes] = []
    at = 0
    while at < len(data) and data[at] == der.SEQUENCE and len(whole) < _MOST:
        size = _claimed(data[at : at + 8])
        if size <= 2 or at + size > len(data):
            break
        whole.append(data[at : at + size])
        at += size
    return whole, data[at:]


def _claimed(data: bytes) -> int:
    """The length that a DER element says it has, its own head included; 0 where it says none."""
    if len(data) < 2:
        return 0
    if data[1] < 0x80:
        return 2 + data[1]
    count = data[1] & 0x7F
    # 4 octets hold more than any file that is read
    if not 1 <= count <= 4 or len(data) < 2 + count:
        return 0
    return 2 + count + int.from_bytes(data[2 : 2 + count], "big")


def _cut(what: str, fix: str) -> Finding:
    return Finding(WRONG, "cut_off", what, fix)


def one(data: bytes, where: str, desk: Desk, packed: str) -> Thing:
    """One DER structure; `packed` says whether it came as "DER" or "PEM"."""
    kind = shape(data)
    if kind == "private_key":
        return keys.private(data, where, packed)
    if kind == "encrypted_key":
        return keys.sealed(data, where, desk, packed)
    if kind == "public_key":
        return keys.public(data, where, packed)
    if kind == "pkcs12":
        return pkcs12.look(data, where, desk)
    if kind == "pkcs7":
        return papers.pkcs7(data, where, desk)
    if kind == "csr":
        return papers.request(data, where)
    if kind == "crl":
        return papers.crl(data, where, desk)
    if kind == "certificate":
        return papers.certificate(data, where, desk)
    what = "It is DER, but no key, certificate, request, CRL or PKCS#12."
    return Thing(where, "unknown", "DER of an unknown kind", (), (_odd(what),))


def _odd(what: str) -> Finding:
    return Finding(WRONG, "unknown_kind", what, "openssl asn1parse shows what it holds.")


def shape(data: bytes) -> str:
    """What a structure is by the kinds of its first elements; "" where it is none of those.

    Certificates, requests and CRLs are all a body, an algorithm and a signature; the body's own
    elements tell them apart (RFC 5280 sections 4.1 and 5.1, RFC 2986 section 4.1).
    """
    parts = _heads(data, 0)
    tags = [tag for tag, _ in parts]
    if tags == [der.SEQUENCE, der.SEQUENCE, _BITS]:
        return _of_body(data, parts[0][1])
    if tags == [der.SEQUENCE, der.OCTET_STRING]:
        return "encrypted_key"
    if tags == [der.SEQUENCE, _BITS] or tags == [_INTEGER, _INTEGER]:
        return "public_key"
    if tags[:2] == [_INTEGER, der.SEQUENCE]:
        within = _heads(data, parts[1][1])
        wraps = within and data[within[0][1] + 2 :].startswith(_PKCS7)
        return "pkcs12" if wraps else "private_key"
    if tags[:1] == [_INTEGER] and len(tags) > 1:
        return "private_key"
    if tags[:1] == [_OID] and data[parts[0][1] + 2 :].startswith(_SIGNED_DATA):
        return "pkcs7"
    return ""


def _of_body(data: bytes, at: int) -> str:
    tags = [tag for tag, _ in _heads(data, at)]
    if 0xA0 in tags[:1]:  # [0] version: only certificates write it so
        return "certificate"
    if tags[:4] == [_INTEGER, der.SEQUENCE, der.SEQUENCE, 0xA0]:
        return "csr"
    times = (0x17, 0x18)
    if any(tag in times for tag in tags[2:4]):
        return "crl"
    # version 1: the version is left out, and the serial number comes first
    return "certificate" if tags[:2] == [_INTEGER, der.SEQUENCE] else ""


def _heads(data: bytes, at: int) -> list[tuple[int, int]]:
    """The first elements of the SEQUENCE at `at`: (tag, where it begins), few and not checked."""
    start = _inside(data, at)
    end = min(at + _claimed(data[at : at + 8]), len(data))
    heads: list[tuple[int, int]] = []
    while 0 < start < end and len(heads) < 12:
        heads.append((data[start], start))
        size = _claimed(data[start : start + 8])
        if size < 2:
            break
        start += size
    return heads


def _inside(data: bytes, at: int) -> int:
    head = data[at : at + 2]
    if len(head) < 2:
        return 0
    return at + 2 + (head[1] & 0x7F if head[1] >= 0x80 else 0)
