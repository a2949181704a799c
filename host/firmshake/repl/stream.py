"""An upload as it travels: checked blocks of compressed bytes, of which none is Ctrl-C.

Does no I/O. A block is raw DEFLATE (RFC 1951) and stands for itself. On the line the bytes 3 in it
are zeros, and a list in front of it says where they belong: each entry is a distance plus 4 from
the place before, to be filled; 255 goes on by 251 and fills nothing. Behind it zeros fill up the
last piece. The check is the beginning of the SHA-256 of the block with its holes filled, and of
what fills the piece. As text a block is base64 in pieces, and line feeds fill the last one.
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Iterator
from typing import NamedTuple

CHECK_SIZE = 4
_LEAST_BITS = 9  # zlib makes no smaller ones
_CTRL_C = 3
_FIRST = 4
_JUMP = 255 - _FIRST


class Shape(NamedTuple):
    """What suits a board: bytes a piece and (uncompressed) a block, bits of window, its form."""

    piece: int
    block: int = 32768
    window_bits: int = 15
    is_text: bool = False


class Block(NamedTuple):
    """One block: what goes over the line, how much of it lists holes, its check, bits of window."""

    wire: bytes
    holes: int
    check: bytes
    bits: int


def blocks(contents: bytes, shape: Shape) -> Iterator[Block]:
    """`contents` as blocks."""
    for start in range(0, len(contents), shape.block):
        yield block(contents[start : start + shape.block], shape)


def block(contents: bytes, shape: Shape) -> Block:
    """One block."""
    # no window larger than the contents: it is the board's memory
    bits = max(_LEAST_BITS, min(shape.window_bits, len(contents).bit_length()))
    packer = zlib.compressobj(9, zlib.DEFLATED, -bits, 9)
    packed = packer.compress(contents) + packer.flush()
    if shape.is_text:
        return _as_text(packed, shape.piece, bits)
    return _as_bytes(packed, shape.piece, bits)


def _as_bytes(packed: bytes, piece: int, bits: int) -> Block:
    holes = bytes(_holes(packed))
    fill = -(len(holes) + len(packed)) % piece
    packed += bytes(fill)
    return Block(holes + packed.replace(b"\x03", b"\0"), len(holes), _check(packed), bits)


def _holes(packed: bytes) -> Iterator[int]:
    before = -1
    for at, byte in enumerate(packed):
        if byte == _CTRL_C:
            jumps, rest = divmod(at - before, _JUMP)
            yield from [255] * jumps
            yield _FIRST + rest
            before = at


def _as_text(packed: bytes, piece: int, bits: int) -> Block:
    assert piece % 4 == 0
    text = base64.b64encode(packed)
    return Block(text + b"\n" * (-len(text) % piece), 0, _check(packed), bits)


def _check(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()[:CHECK_SIZE]
