"""What the system says of serial ports and drives, as values. Does no I/O."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Usb:
    """A USB device: its numbers, and where it is plugged in, such as "1-2.3"."""

    vid: int
    pid: int
    serial_number: str = ""
    location: str = ""


@dataclass(frozen=True)
class Port:
    """A serial port; `usb` is None where it is none of USB's, or was named by the user.

    The texts are the USB device's own. `holder` is the program that has the port open. `virtual` is
    the board that it stands for, empty for a real one.
    """

    device: str
    usb: Usb | None = None
    manufacturer: str = ""
    product: str = ""
    interface: str = ""
    holder: str = ""
    virtual: str = ""


@dataclass(frozen=True)
class Drive:
    """A drive that may be a board's: `path` is empty where it is not mounted.

    `info_uf2` and `boot_out` are the contents of those files, empty where there are none. `virtual`
    is as in Port.
    """

    path: str
    device: str = ""
    label: str = ""
    usb: Usb | None = None
    info_uf2: str = ""
    boot_out: str = ""
    writable: bool = True
    virtual: str = ""
