"""One board that is plugged in, as a value; and what became of the rows since. Does no I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, NamedTuple

from firmshake.boards import uniqueid

# "program" is whatever talks through the chip's own USB: the bootloader or what it started.
# "uf2" is a bootloader's drive, and "adapter" a USB-serial chip with anything behind it.
RowState = Literal[
    "bootloader", "uf2", "micropython", "circuitpython", "program", "adapter", "unknown"
]


@dataclass(frozen=True)
class Row:
    """One board, by whatever of it can be told without asking it.

    `chips` and `boards` are what it may be, names of the table; exactly one where that is certain.
    `board_id` is what CircuitPython or the UF2 bootloader calls it. `ports` are its serial ports
    and `drive` where its drive is mounted; `block_device` is a drive that is not. `busy_by` is who
    has the port open. `device_id` is who it is in the project's registry. `location` is where on
    USB it is plugged in. `virtual` are boards of `firmshake virtual`.
    """

    state: RowState
    unique_id: str | None = None
    chips: tuple[str, ...] = ()
    boards: tuple[str, ...] = ()
    title: str = ""
    board_id: str = ""
    version: str = ""
    ports: tuple[str, ...] = ()
    drive: str = ""
    block_device: str = ""
    writable: bool = True
    busy_by: str = ""
    device_id: str | None = None
    location: str = ""
    adapter: str = ""
    note: str = ""
    virtual: bool = False

    @property
    def key(self) -> str:
        """What stays while the board changes what it runs; where it has no id, the plug."""
        if self.unique_id:
            return self.unique_id
        return self.location or next(iter(self.ports), self.drive or self.block_device)

    def to_dict(self) -> dict[str, Any]:
        """Return the row for JSON."""
        return asdict(self) | {"key": self.key}


class Change(NamedTuple):
    """What became of a board: `row` is how it is now, or was last."""

    event: Literal["appeared", "changed", "gone"]
    row: Row


def changes(before: Sequence[Row], after: Sequence[Row]) -> Iterator[Change]:
    """Yield what happened between two lists of rows: who is gone first, then the others."""
    old = {row.key: row for row in before}
    new = {row.key: row for row in after}
    for key, row in old.items():
        if key not in new:
            yield Change("gone", row)
    for key, row in new.items():
        if key not in old:
            yield Change("appeared", row)
        elif old[key] != row:
            yield Change("changed", row)


def merged(rows: Sequence[Row]) -> list[Row]:
    """Return the rows with those of one unique id made one: a board with two USB sockets in use."""
    found: dict[str, Row] = {}
    for number, row in enumerate(rows):
        first = found.get(row.unique_id or "")
        if first is None:
            found[row.unique_id or f"row {number}"] = row
        else:
            found[first.key] = replace(
                first,
                ports=(*first.ports, *(port for port in row.ports if port not in first.ports)),
                drive=first.drive or row.drive,
                busy_by=first.busy_by or row.busy_by,
                note=first.note or row.note,
            )
    return list(found.values())


def named(rows: Sequence[Row], devices: Mapping[str, str]) -> list[Row]:
    """Return the rows with their device ids, given as unique id: device id."""
    by_digits = {uniqueid.digits(unique_id): name for unique_id, name in devices.items()}
    return [
        replace(row, device_id=by_digits.get(uniqueid.digits(row.unique_id)))
        if row.unique_id
        else row
        for row in rows
    ]
