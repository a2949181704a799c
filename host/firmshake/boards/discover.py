"""From serial ports and drives to boards: one row for each. Does no I/O.

Nothing is asked of a board here, since asking interrupts what it runs: it is told by its USB
numbers, the texts of its USB descriptors, and the files of its drive.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from firmshake.boards import adapters, drivefiles, uniqueid
from firmshake.boards.drivefiles import BootOut, Info
from firmshake.boards.row import Row, RowState
from firmshake.boards.seen import Drive, Port, Usb
from firmshake.boards.table import (
    BOARDS,
    CIRCUITPYTHON,
    MICROPYTHON,
    Board,
    Family,
    State,
    by_name,
    by_usb,
)

# who may stand in front of a board of the table under numbers that are not in it: Espressif,
# Raspberry Pi, and Adafruit, whose numbers many boards with CircuitPython have
_VENDORS = {0x303A: "esp", 0x2E8A: "rp2", 0x239A: ""}


def rows(ports: Iterable[Port], drives: Iterable[Drive]) -> list[Row]:
    """Return a row for every board among these, by location and port.

    What is no board, as far as can be told, is left out, unless it has no USB at all: such a port
    was named by the user.
    """
    things = _grouped([port for port in ports if _may_be_board(port)], drives)
    found = [_row(thing) for thing in things]
    kept = [row for row in found if row is not None]
    return sorted(kept, key=lambda row: (row.location, row.ports, row.drive, row.block_device))


@dataclass
class _Thing:
    """What seems to be one USB device: its serial ports and its drive."""

    ports: list[Port] = field(default_factory=list)
    drives: list[Drive] = field(default_factory=list)

    @property
    def usb(self) -> Usb | None:
        every = [port.usb for port in self.ports] + [drive.usb for drive in self.drives]
        return next((usb for usb in every if usb is not None), None)

    @property
    def virtual(self) -> str:
        """The board of the table that it stands for, empty for a real one."""
        every = [port.virtual for port in self.ports] + [drive.virtual for drive in self.drives]
        return next((board for board in every if board), "")


def _grouped(ports: Iterable[Port], drives: Iterable[Drive]) -> list[_Thing]:
    things: list[_Thing] = []
    for port in ports:
        same = [thing for thing in things if _same_device(thing.usb, port.usb)]
        _first(same, things).ports.append(port)
    for drive in drives:
        same = [thing for thing in things if _is_of(drive, thing)]
        _first(same, things).drives.append(drive)
    return things


def _first(found: list[_Thing], things: list[_Thing]) -> _Thing:
    """The thing that was found, or else a new one among all."""
    if not found:
        found = [_Thing()]
        things += found
    return found[0]


def _same_device(one: Usb | None, other: Usb | None) -> bool:
    if one is None or other is None or (one.vid, one.pid) != (other.vid, other.pid):
        return False
    if one.location and other.location:
        return _plug(one) == _plug(other)
    # two boards of one kind without a number of their own must stay two
    return bool(one.serial_number) and one.serial_number == other.serial_number


def _is_of(drive: Drive, thing: _Thing) -> bool:
    """Whether a drive and the ports of a thing are one board; by its number where USB is silent."""
    if drive.usb is not None:
        return _same_device(drive.usb, thing.usb)
    if thing.usb is None or thing.drives:
        return False
    boot = drivefiles.parse_boot_out(drive.boot_out)
    uid = uniqueid.digits(boot.uid) if boot else None
    return uid is not None and uid == uniqueid.digits(thing.usb.serial_number)


def _plug(usb: Usb) -> str:
    """Where the device is plugged in, without the number of one of its interfaces."""
    return usb.location.partition(":")[0]


def _may_be_board(port: Port) -> bool:
    usb = port.usb
    if usb is None:
        return True
    known = any(by_usb(usb.vid, usb.pid)) or usb.vid in _VENDORS
    return known or bool(adapters.name(usb.vid, usb.pid)) or _says(port) is not None


def _says(port: Port) -> State | None:
    """The runtime that a port's own texts name."""
    texts = f"{port.manufacturer} {port.product} {port.interface}".lower()
    for runtime in (CIRCUITPYTHON, MICROPYTHON):
        if runtime in texts:
            return runtime
    return None


def _row(thing: _Thing) -> Row | None:
    drive = thing.drives[0] if thing.drives else None
    info = drivefiles.parse_info(drive.info_uf2) if drive else None
    boot = drivefiles.parse_boot_out(drive.boot_out) if drive else None
    if not thing.ports and not (info or boot or _is_known(thing.usb)):
        return None
    state = _state(thing, info, boot)
    boards = _boards(thing, info, boot)
    usb = thing.usb
    family = _family(usb, boards)
    unique_id = None
    if family and boot:
        unique_id = uniqueid.of_boot_out(boot.uid, boot.mac, family)
    if family and usb and unique_id is None and state != "adapter":
        unique_id = uniqueid.of_usb(usb.serial_number, family, _usb_state(state))
    chips = tuple(dict.fromkeys(board.chip for board in boards))
    return Row(
        state=state,
        unique_id=unique_id,
        chips=chips,
        boards=tuple(board.name for board in boards),
        title=_virtual_title(thing) or _title(boards, chips, info, boot, state),
        board_id=(boot.board_id if boot else "") or (info.board_id if info else ""),
        version=boot.version if boot else "",
        ports=tuple(sorted(port.device for port in thing.ports)),
        drive=drive.path if drive else "",
        block_device=drive.device if drive and not drive.path else "",
        writable=drive.writable if drive else True,
        busy_by=next((port.holder for port in thing.ports if port.holder), ""),
        location=_plug(usb) if usb else "",
        adapter=adapters.name(usb.vid, usb.pid) if usb else "",
        note=_note(state, drive),
        virtual=bool(thing.virtual),
    )


def _is_known(usb: Usb | None) -> bool:
    """Whether a drive that is not mounted is a board's, by its numbers."""
    return usb is not None and any(by_usb(usb.vid, usb.pid))


def _state(thing: _Thing, info: Info | None, boot: BootOut | None) -> RowState:
    usb = thing.usb
    if info is not None:
        return "uf2"
    if boot is not None:
        return "circuitpython"
    said = next((said for port in thing.ports if (said := _says(port))), None)
    if said is not None:
        return said
    if usb is None:
        return "unknown"
    if adapters.name(usb.vid, usb.pid):
        return "adapter"
    known = next((state for _, state in by_usb(usb.vid, usb.pid)), None)
    if known == "bootloader" and not thing.ports:
        return "uf2"
    return known or "unknown"


def _usb_state(state: RowState) -> State:
    return "circuitpython" if state == "circuitpython" else "program"


def _boards(thing: _Thing, info: Info | None, boot: BootOut | None) -> tuple[Board, ...]:
    """The boards of the table that it may be; none where it says that it is none of them."""
    if boot is not None:
        exact = drivefiles.board_called(boot.board_id, boot.machine)
        if exact is not None:
            return (exact,)
        # "... with ESP32S3": a board of its own, with a chip that is known
        return _with_chip(drivefiles.chip_in(boot.machine.rpartition(" with ")[2]))
    if info is not None:
        for board in BOARDS:
            if board.bootloader_drive and board.bootloader_drive == info.board_id:
                return (board,)
        return _with_chip(drivefiles.chip_in(info.board_id, info.model))
    usb = thing.usb
    if usb is None:
        return ()
    found = tuple(dict.fromkeys(board for board, _ in by_usb(usb.vid, usb.pid)))
    if found:
        return found
    said = drivefiles.chip_in(*(port.product for port in thing.ports))
    return _with_chip(said) if said else ()


def _with_chip(chip: str | None) -> tuple[Board, ...]:
    return tuple(board for board in BOARDS if board.chip == chip)


def _family(usb: Usb | None, boards: Sequence[Board]) -> Family | None:
    families = {board.family for board in boards}
    if len(families) == 1:
        return families.pop()
    vendor = _VENDORS.get(usb.vid, "") if usb else ""
    return "esp" if vendor == "esp" else "rp2" if vendor == "rp2" else None


def _title(
    boards: Sequence[Board],
    chips: Sequence[str],
    info: Info | None,
    boot: BootOut | None,
    state: RowState,
) -> str:
    if boot is not None:
        return boot.machine.rpartition(" with ")[0] or boot.board_id
    if state == "adapter":
        return "an ESP32 family board, perhaps"
    if chips:
        return f"{', '.join(chips[:-1])} or {chips[-1]}" if len(chips) > 1 else chips[0]
    return info.model if info else ""


def _virtual_title(thing: _Thing) -> str:
    return f"virtual {by_name(thing.virtual).title}" if thing.virtual else ""


def _note(state: RowState, drive: Drive | None) -> str:
    if drive is not None and not drive.path:
        return "not mounted" if state == "uf2" else "its drive is not mounted"
    if drive is not None and not drive.writable:
        return "its drive is read-only"
    return ""
