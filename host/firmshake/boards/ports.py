"""The serial ports of this computer, as values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from firmshake.boards import bench, holders
from firmshake.boards.seen import Port, Usb


def attached() -> list[Port]:
    """Return the USB serial ports, and who has them open. None of them is opened."""
    from serial.tools import list_ports

    # a computer's own serial ports have no USB vendor, and no board
    found = [info for info in list_ports.comports() if info.vid is not None]
    open_by = holders.of([str(info.device) for info in found])
    return [_port(info, open_by.get(str(info.device), "")) for info in found]


def named(devices: Sequence[str]) -> list[Port]:
    """Return the ports that a user names: those that are attached as they are, others bare."""
    known = {port.device: port for port in [*attached(), *bench.announced()]}
    open_by = holders.of(devices)
    return [known.get(device) or Port(device, holder=open_by.get(device, "")) for device in devices]


def _port(info: Any, holder: str) -> Port:
    usb = Usb(info.vid, info.pid or 0, info.serial_number or "", info.location or "")
    return Port(
        device=str(info.device),
        usb=usb,
        manufacturer=info.manufacturer or "",
        product=info.product or "",
        interface=info.interface or "",
        holder=holder,
    )
