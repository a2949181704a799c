"""Reads and writes UF2, the form in which boards with a USB drive take firmware. Does no I/O.

A file is blocks of 512 bytes, each with up to 476 bytes for an address of one family of chips, its
number, and how many there are (github.com/microsoft/uf2). A file may hold several families.

What is written suits the boot ROMs of the RP2040 and RP2350: 256 bytes a block, numbered through
in one family, since a ROM restarts the board once it has as many blocks as the first one said. The
RP2040's finds out by a block's number, not by its address, whether the sector is erased already
(bootrom/virtual_disk.c): so a file is made of whole sectors, and each begins at a multiple of 16.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from firmshake.errors import Error
from firmshake.image import ERASED, Run

BLOCK = 512

RP2040 = 0xE48BFF56
RP2350 = 0xE48BFF59

# number of the family: name (utils/uf2families.json of microsoft/uf2)
FAMILIES = {
    RP2040: "RP2040",
    0xE48BFF57: "RP2 absolute",
    0xE48BFF58: "RP2 data",
    RP2350: "RP2350 (Arm, secure)",
    0xE48BFF5A: "RP2350 (RISC-V)",
    0xE48BFF5B: "RP2350 (Arm, non-secure)",
    0x1C5F21B0: "ESP32",
    0xBFDD4EEE: "ESP32-S2",
    0xC47E5767: "ESP32-S3",
    0xD42BA06C: "ESP32-C3",
    0x2B88D29C: "ESP32-C2",
    0x540DDF62: "ESP32-C6",
    0xF71C0343: "ESP32-C5",
    0x77D850C4: "ESP32-C61",
    0x332726F6: "ESP32-H2",
    0x3D308E94: "ESP32-P4",
    0x68ED2B88: "SAMD21",
    0x55114460: "SAMD51",
    0xADA52840: "nRF52840",
}
# A block of it opens files for the RP2350, says that it is one of two and stands alone: it is there
# for a fault of the boot ROM (RP2350 datasheet, erratum E10)
ABSOLUTE = 0xE48BFF57

_MAGIC = b"UF2\n\x57\x51\x5d\x9e"
_MAGIC_END = b"\x30\x6f\xb1\x0a"
_HEADER = struct.Struct("<8x6I")  # flags, address, size, number, count, family
_MOST_PAYLOAD = 476
_PAYLOAD = 256  # the one size that the boot ROMs take: a page of flash
_SECTOR = 4096
_TOO_MANY = 0xFFFF_FFFF  # blocks: more than any flash has
_FLASH = range(0x1000_0000, 0x1100_0000)  # where the RP2040 and RP2350 see it
_NOT_FOR_FLASH = 0x1
_HAS_FAMILY = 0x2000


class Part(NamedTuple):
    """The blocks of one family; `family` is None where the file names none.

    `runs` are the bytes by ascending address, joined where they touch; `missing` are the numbers of
    blocks that are not there, `repeated` those that are there more than once.
    """

    family: int | None
    blocks: int
    runs: tuple[Run, ...]
    missing: tuple[int, ...]
    repeated: tuple[int, ...]
    overlaps: bool

    @property
    def name(self) -> str:
        """The family in words."""
        return _family_name(self.family)


@dataclass(frozen=True)
class Uf2:
    """What a file holds; `broken` are the places of blocks that are none, `rest` bytes behind.

    `lead` is the block that stands alone in front (ABSOLUTE), byte for byte, or nothing.
    """

    parts: tuple[Part, ...]
    broken: tuple[int, ...]
    rest: int
    lead: bytes = field(default=b"", repr=False)


class _Block(NamedTuple):
    family: int | None
    address: int
    number: int
    total: int
    data: bytes


def _family_name(family: int | None) -> str:
    if family is None:
        return "no family"
    return FAMILIES.get(family, f"family {family:#010x}")


def is_one(data: bytes) -> bool:
    """Whether it begins as UF2 does."""
    return data.startswith(_MAGIC)


def parse(data: bytes) -> Uf2:
    """What the file holds. Raises Error where it is not UF2 at all."""
    if not is_one(data):
        raise Error("it is not UF2", hint="get the .uf2 for this board again")
    broken: list[int] = []
    families: dict[int | None, list[_Block]] = {}
    for place in range(len(data) // BLOCK):
        raw = data[place * BLOCK : (place + 1) * BLOCK]
        flags, address, size, number, count, family = _HEADER.unpack_from(raw)
        whole = raw.startswith(_MAGIC) and raw.endswith(_MAGIC_END) and size <= _MOST_PAYLOAD
        if not whole:
            broken.append(place)
        elif not flags & _NOT_FOR_FLASH:
            of = family if flags & _HAS_FAMILY else None
            block = _Block(of, address, number, count, raw[32 : 32 + size])
            families.setdefault(of, []).append(block)
    parts = tuple(_part(family, blocks) for family, blocks in families.items())
    return Uf2(parts, tuple(broken), len(data) % BLOCK, _lead(data[:BLOCK]))


def _lead(block: bytes) -> bytes:
    """The block, where it is the one that picotool puts in front (`--abs-block`)."""
    flags, _, size, number, count, family = _HEADER.unpack_from(block.ljust(BLOCK, b"\0"))
    says = family == ABSOLUTE and flags & _HAS_FAMILY and (size, number, count) == (_PAYLOAD, 0, 2)
    empty = block[32 : 32 + _PAYLOAD] == b"\xef" * _PAYLOAD and block.endswith(_MAGIC_END)
    return block if says and empty else b""


def _part(family: int | None, blocks: list[_Block]) -> Part:
    seen: dict[int, int] = {}
    for block in blocks:
        seen[block.number] = seen.get(block.number, 0) + 1
    # no more than the file could hold, whatever it claims
    count = min(blocks[0].total, len(blocks) * 2 + 1000)
    missing = [] if family == ABSOLUTE else [n for n in range(count) if n not in seen]
    runs, overlaps = _joined({(block.address, block.number): block.data for block in blocks})
    repeated = tuple(sorted(number for number, times in seen.items() if times > 1))
    return Part(family, len(blocks), runs, tuple(missing), repeated, overlaps)


def _joined(pieces: Mapping[tuple[int, int], bytes]) -> tuple[tuple[Run, ...], bool]:
    """The pieces by (address, number of the block) as runs, and whether any two overlap."""
    overlaps = False
    runs: list[tuple[int, bytearray]] = []
    for (address, _), data in sorted(pieces.items()):
        end = runs[-1][0] + len(runs[-1][1]) if runs else -1
        overlaps = overlaps or address < end
        if address == end:
            runs[-1][1].extend(data)
        else:
            runs.append((address, bytearray(data)))
    return tuple(Run(address, bytes(data)) for address, data in runs), overlaps


def ranges(part: Part) -> Iterator[tuple[int, int]]:
    """The addresses that are written: (first, behind the last) of each run."""
    for run in part.runs:
        yield run.offset, run.offset + len(run.data)


def write(runs: Iterable[Run], family: int) -> bytes:
    """A file that puts the runs, which hold addresses, into the flash of a `family` of chips.

    Sectors that they fill in part are filled up with erased flash. Raises Error where two overlap,
    or one lies outside the flash.
    """
    sectors = _sectors(runs)
    return b"".join(_blocks(sectors, family))


def forget(family: int) -> bytes:
    """A file of one block, of which a boot ROM writes nothing and forgets what it was given before.

    A ROM leaves out the blocks whose numbers it has, as long as their total is the same. So what
    is copied after a transfer that broke off would be mixed with it, were the two of one length.
    """
    return _block(_FLASH.start, bytes(_PAYLOAD), _TOO_MANY, _TOO_MANY, family)


def merge(firmware: Uf2, runs: Sequence[Run], family: int) -> bytes:
    """A file with the firmware and the runs, numbered through, for a `family` of chips.

    The runs are a filesystem's, and the firmware must keep out of all that they span. Raises Error
    where it doesn't, where it is damaged, or made for another family.
    """
    _check_whole(firmware)
    own = _only(firmware, family)
    _check_apart(own.runs, runs)
    return firmware.lead + write([*own.runs, *runs], family)


def _sectors(runs: Iterable[Run]) -> dict[int, bytearray]:
    """The flash's sectors by address, ascending."""
    sectors: dict[int, bytearray] = {}
    end = _FLASH.start
    for offset, data in sorted(run for run in runs if run.data):
        if offset < end and offset in _FLASH:
            raise Error(f"two parts are for the same place in flash, {offset:#x}")
        end = offset + len(data)
        if offset not in _FLASH or end > _FLASH.stop:
            raise Error(f"{offset:#x} to {end:#x} is not in the board's flash")
        at = offset
        while at < end:
            start = at - at % _SECTOR
            piece = data[at - offset : start + _SECTOR - offset]
            sector = sectors.setdefault(start, bytearray([ERASED]) * _SECTOR)
            sector[at - start : at - start + len(piece)] = piece
            at += len(piece)
    return sectors


def _blocks(sectors: Mapping[int, bytes | bytearray], family: int) -> Iterator[bytes]:
    pages = [
        (start + at, bytes(data[at : at + _PAYLOAD]))
        for start, data in sectors.items()
        for at in range(0, _SECTOR, _PAYLOAD)
    ]
    for number, (address, data) in enumerate(pages):
        yield _block(address, data, number, len(pages), family)


def _block(address: int, data: bytes, number: int, count: int, family: int) -> bytes:
    head = bytearray(_HEADER.pack(_HAS_FAMILY, address, _PAYLOAD, number, count, family))
    head[: len(_MAGIC)] = _MAGIC
    return (bytes(head) + data).ljust(BLOCK - len(_MAGIC_END), b"\0") + _MAGIC_END


def _check_whole(firmware: Uf2) -> None:
    damaged = firmware.broken or firmware.rest
    if damaged or any(part.missing or part.repeated or part.overlaps for part in firmware.parts):
        raise Error("the firmware's UF2 file is damaged", hint="get the .uf2 for this board again")


def _check_apart(firmware: Sequence[Run], filesystem: Sequence[Run]) -> None:
    """Raise Error where firmware lies within what the filesystem spans, its gaps too."""
    first = min((run.offset for run in filesystem), default=_FLASH.stop)
    end = max((run.offset + len(run.data) for run in filesystem), default=_FLASH.stop)
    for offset, data in firmware:
        if offset < end and offset + len(data) > first:
            raise Error(
                f"the firmware reaches into the board's filesystem at {first:#x}",
                hint="use firmware that is made for this very board",
            )


def _only(firmware: Uf2, family: int) -> Part:
    """The part for the family. Raises Error where there is none, or another than the lead's."""
    own = [part for part in firmware.parts if part.family == family]
    others = [part for part in firmware.parts if part.family != family]
    lead = bool(firmware.lead) and [(part.family, part.blocks) for part in others] == [
        (ABSOLUTE, 1)
    ]
    if own and (lead or not others):
        return own[0]
    names = " and ".join(part.name for part in firmware.parts) or "nothing"
    raise Error(
        f"the firmware's UF2 file is for {names}, the board is of {_family_name(family)}",
        hint="get the .uf2 for this board",
    )
