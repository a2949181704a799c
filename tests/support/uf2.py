"""Writes UF2 by its specification (github.com/microsoft/uf2), whole or spoilt."""

from __future__ import annotations

import struct
from collections.abc import Sequence

RP2040 = 0xE48BFF56


def block(
    data: bytes, address: int, number: int, count: int, family: int | None = RP2040, flags: int = 0
) -> bytes:
    """One block of 512 bytes."""
    flags |= 0x2000 if family is not None else 0
    head = struct.pack(
        "<8I",
        0x0A324655,
        0x9E5D5157,
        flags,
        address,
        len(data),
        number,
        count,
        family or 0,
    )
    return (head + data).ljust(508, b"\0") + struct.pack("<I", 0x0AB16F30)


def blocks(data: bytes, address: int = 0x10000000, family: int | None = RP2040) -> list[bytes]:
    """The blocks of a file that puts `data` at `address`."""
    pieces = [data[at : at + 256] for at in range(0, len(data), 256)]
    return [
        block(piece, address + 256 * number, number, len(pieces), family)
        for number, piece in enumerate(pieces)
    ]


def file(data: bytes, address: int = 0x10000000, family: int | None = RP2040) -> bytes:
    """A whole file."""
    return b"".join(blocks(data, address, family))


def joined(made: Sequence[bytes]) -> bytes:
    """Blocks as a file."""
    return b"".join(made)
