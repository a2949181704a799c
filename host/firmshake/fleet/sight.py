"""What a station looks at: every board that is plugged in, or the ports that were named."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from firmshake.boards import bench, discover, plugged, ports
from firmshake.boards.row import Row
from firmshake.boards.seen import Port
from firmshake.endpoint import is_loopback
from firmshake.project import Project


def of(project: Project, named: Sequence[str]) -> Callable[[], Sequence[Row]]:
    """Return what looks for boards; with `named` at these ports alone.

    Virtual boards are for trials: they count where the project's broker is this computer, or where
    they are named, so that no real fleet is given certificates for them.
    """
    if named:
        return _at(named)
    return plugged.rows if is_loopback(project.broker.host) else plugged.real_rows


def _at(named: Sequence[str]) -> Callable[[], Sequence[Row]]:
    announced: set[str] = set()

    def look() -> Sequence[Row]:
        announced.update(port.device for port in bench.announced())
        return discover.rows(filter(is_there, ports.named(named)), [])

    def is_there(port: Port) -> bool:
        if port.usb is not None:
            return True
        if "://" in port.device:
            return port.device not in announced  # else it is unplugged
        return os.path.exists(port.device)

    return look
