"""Walks DER (X.690): just enough to look inside certificates and keys on a board. Does no I/O."""

SEQUENCE = 0x30
SET = 0x31
INTEGER = 0x02
BIT_STRING = 0x03
OCTET_STRING = 0x04
OID = 0x06


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
    """The elements between start and end, each as (tag, start, end of its value)."""
    found = []
    while start < end:
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


def split(data: bytes) -> "list[bytes]":
    """The DER elements that stand one behind the other in data, each whole."""
    parts = []
    at = 0
    while at < len(data):
        stop = element(data, at, len(data))[2]
        parts.append(data[at:stop])
        at = stop
    return parts
