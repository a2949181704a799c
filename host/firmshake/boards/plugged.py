"""What is plugged in, real and virtual: ports, drives, and the boards that they are."""

from __future__ import annotations

from firmshake.boards import bench, discover
from firmshake.boards import drives as real_drives
from firmshake.boards import ports as real_ports
from firmshake.boards.row import Row
from firmshake.boards.seen import Drive, Port


def ports() -> list[Port]:
    """Return the USB serial ports, and those of the virtual boards of this user."""
    return [*real_ports.attached(), *bench.announced()]


def drives() -> list[Drive]:
    """Return the drives that may be a board's, and those of the virtual boards of this user."""
    return [*real_drives.attached(), *bench.announced_drives()]


def rows() -> list[Row]:
    """Return a row for every board among them."""
    return discover.rows(ports(), drives())


def real_rows() -> list[Row]:
    """Return a row for every board that is no virtual one."""
    return discover.rows(real_ports.attached(), real_drives.attached())
