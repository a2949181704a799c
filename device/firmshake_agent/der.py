"""Walks DER (X.690): just enough to look inside certificates and keys on a board. Does no I/O."""

import binascii

SEQUENCE = 0x30
INTEGER = 0x02
BIT_STRING = 0x03
OCTET_STRING = 0x04

# of elements side by side: a key has nine, a certificate's extensions are two dozen at most, and a
# list of thousands would take all of a board's heap
MOST = 64


class BadDer(Exception):
    """The bytes are not the DER that they should be."""


def element(data: bytes, at: int, end: int) -> "tuple[int, int, int]":
    """The element at `at` as (tag, start of its value, end of its value).

    Raises BadDer where it does not fit in front of `end`, or has no definite short form.
    """
    if at + 2 > end:
        raise BadDer("cut short")
    tag = data[at]
    size = data[at + 1]
    at += 2
    if size > 0x80:
        count = size & 0x7F
        if count > 3 or at + count > end:
            raise BadDer("length")
        size = 0
        for i in range(at, at + count):
            size = size << 8 | data[i]
        at += count
    elif size == 0x80:
        raise BadDer("indefinite length")
    if at + size > end:
        raise BadDer("cut short")
    return tag, at, at + size


def children(data: bytes, start: int, end: int) -> "list[tuple[int, int, int]]":
    """The elements between start and end, each as (tag, start, end of its value).

    Raises BadDer where there are more than MOST.
    """
    found = []
    while start < end:
        if len(found) == MOST:
            raise BadDer("too many elements")
        item = element(data, start, end)
        found.append(item)
        start = item[2]
    return found


def expect(data: bytes, at: int, end: int, tag: int) -> "tuple[int, int]":
    """(start, end) of the value of the element at `at`, which has to carry `tag`."""
    found, start, stop = element(data, at, end)
    if found != tag:
        raise BadDer("tag %02x, wanted %02x" % (found, tag))
    return start, stop


def unarmoured(data: bytes, label: bytes) -> bytes:
    """The DER in the PEM blocks (RFC 7468) whose label ends so, one behind the other.

    DER is returned as it is. Raises BadDer where there is no such block, or no base64 in it.
    """
    if data[:1] == b"\x30" or data.find(b"-----BEGIN ") < 0:
        return data
    found = b""
    block = None
    for line in data.split(b"\n"):
        line = line.strip()
        if line.startswith(b"-----BEGIN "):
            block = b"" if line.endswith(label + b"-----") else None
        elif block is not None and line.startswith(b"-----END "):
            try:
                found += binascii.a2b_base64(block)
            except ValueError:
                raise BadDer("base64")
            block = None
        elif block is not None:
            block += line
    if not found:
        raise BadDer("no PEM of it")
    return found


def split(data: bytes) -> "list[bytes]":
    """The DER elements that stand one behind the other in data, each whole."""
    parts = []
    at = 0
    while at < len(data):
        stop = element(data, at, len(data))[2]
        parts.append(data[at:stop])
        at = stop
    return parts
