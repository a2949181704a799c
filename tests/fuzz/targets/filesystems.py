"""Filesystems in an image: LittleFS by its own code, FAT by ours."""

from __future__ import annotations

from firmshake.inspect import filesystem

WORK = 60
HARD = ((b"", b"littlefs"), (b"", b"\x55\xaa" * 256), (b"\xeb" + bytes(9), b"\x00\x02\x01\x01"))

_PAGE = 16
_PIECE = 512


def unpack(data: bytes) -> bytes:
    """The image that the data describes: pieces with a place (in 16 bytes) and a length, two each.

    What no piece covers is zero; seeds are small so.
    """
    whole = bytearray()
    while len(data) > 4:
        at = int.from_bytes(data[:2], "big") * _PAGE
        size = int.from_bytes(data[2:4], "big")
        piece = data[4 : 4 + size]
        data = data[4 + size :]
        whole.extend(bytes(max(at + len(piece) - len(whole), 0)))
        whole[at : at + len(piece)] = piece
    return bytes(whole)


def pack(whole: bytes) -> bytes:
    """The data that describes an image; erased flash becomes zero too."""
    parts = []
    for at in range(0, len(whole), _PIECE):
        piece = whole[at : at + _PIECE].rstrip(b"\xff").rstrip(b"\0")
        if piece or at + _PIECE >= len(whole):
            piece = piece or whole[at : at + _PAGE]
            parts.append((at // _PAGE).to_bytes(2, "big") + len(piece).to_bytes(2, "big") + piece)
    return b"".join(parts)


def one(data: bytes) -> None:
    """Read it as an image, and as the description of one."""
    for whole in (data, unpack(data)):
        for tree in filesystem.trees(whole):
            assert len(tree.sizes) <= filesystem.MOST_FILES
            assert set(tree.contents) <= set(tree.sizes)
            assert tree.size > 0
            for path, content in tree.contents.items():
                assert len(content) <= tree.sizes[path]
