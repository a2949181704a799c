"""The reader of firmware files."""

from __future__ import annotations

import io
from pathlib import Path

from firmshake import firmware
from firmshake.errors import Error

WORK = 10
HARD = ((b"MicroPython v1.1", b"1"), (b"", b"MicroPython v1."), (b"\xe9\xff" + bytes(22), bytes(8)))
# Where a file's parts lie are 64 KiB: two bytes and a piece say what lies where
_PAGE = 16


class File:
    """A file in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def open(self, mode: str) -> io.BytesIO:
        return io.BytesIO(self._data)


def unpack(data: bytes) -> bytes:
    """The file that the data describes: pieces with a place (in 16 bytes) and a length, two each.

    What no piece covers is erased flash; seeds are small so.
    """
    whole = bytearray()
    while len(data) > 4:
        at = int.from_bytes(data[:2], "big") * _PAGE
        size = int.from_bytes(data[2:4], "big")
        piece = data[4 : 4 + size]
        data = data[4 + size :]
        whole.extend(b"\xff" * (at - len(whole)))
        whole[at : at + len(piece)] = piece
    return bytes(whole)


def pack(whole: bytes) -> bytes:
    """The data that describes a file."""
    parts = []
    for at in range(0, len(whole), 4096):
        piece = whole[at : at + 4096].rstrip(b"\xff")
        if piece:
            parts.append((at // _PAGE).to_bytes(2, "big") + len(piece).to_bytes(2, "big") + piece)
    last = len(whole) - 1
    end = (last // _PAGE).to_bytes(2, "big")
    tail = whole[last // _PAGE * _PAGE :]
    return b"".join(parts) + end + len(tail).to_bytes(2, "big") + tail


def one(data: bytes) -> None:
    """Load it as a file, and look at it as at a board's flash."""
    _load(data)
    whole = unpack(data)
    _load(whole)
    for start in (0, 0x1000):
        table, app = firmware.identify_flash(whole, start)
        assert app is None or table is not None


def _load(data: bytes) -> None:
    path: Path = File(data)  # type: ignore[assignment]
    try:
        made = firmware.load(path)
    except Error:
        return
    assert made.data == data
    for text in made.app:
        assert text.isascii()
        assert text.isprintable() or not text
    assert made.micropython.isprintable()
