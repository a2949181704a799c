"""What the options of `firmshake virtual` say, as values; refused as usage if they are none."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from firmshake.errors import Error

if TYPE_CHECKING:
    from firmshake.project import Project
    from firmshake.virtual import Wifi

# Below the least, the board's own modules do not fit
_LEAST_HEAP, _MOST_HEAP = 80 << 10, 1 << 30
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20}


def mac(text: str) -> bytes:
    """The six bytes of a board's address."""
    try:
        address = bytes.fromhex(text.replace(":", "").replace("-", ""))
    except ValueError:
        address = b""
    if len(address) != 6 or address[0] & 1:
        raise click.BadParameter("six bytes such as 24:0a:c4:12:34:56", param_hint="--mac")
    return address


def unique_id(text: str | None, size: int) -> bytes | None:
    """The `size` bytes of a chip's number."""
    if text is None:
        return None
    try:
        number = bytes.fromhex(text.replace(":", ""))
    except ValueError:
        number = b""
    if len(number) != size:
        raise click.BadParameter(f"{size} bytes in hexadecimal", param_hint="--unique-id")
    return number


def heap(text: str) -> str:
    """As MicroPython takes it: bytes, or KiB with k, or MiB with m."""
    found = re.fullmatch(r"(\d{1,10})([km]?)", text.lower(), re.ASCII)
    size = int(found[1]) * _UNITS[found[2]] if found else 0
    if not _LEAST_HEAP <= size <= _MOST_HEAP:
        raise click.BadParameter("a size such as 352k, from 80k to 1024m", param_hint="--heap")
    return text.lower()


def clock(text: str | None) -> dict[str, datetime | None]:
    """The argument `clock` of a board; nothing where its own is wanted."""
    if text is None:
        return {}
    if text == "now":
        return {"clock": None}
    try:
        start = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(
            "a time such as 2000-01-01T00:00:00Z, or now", param_hint="--clock"
        ) from None
    return {"clock": start if start.tzinfo else start.replace(tzinfo=UTC)}


def wifi(ssid: str | None, password: Path | None, project: Project | None) -> Wifi:
    """The Wi-Fi in a board's air: that which is named, or the project's, or an open one."""
    from firmshake.virtual import Wifi

    air = Wifi() if ssid is None else Wifi(ssid)
    if ssid is None and project is not None and project.wifi is not None:
        air = Wifi(project.wifi.ssid, project.wifi.password)
    if password is None:
        return air
    try:
        text = password.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError):
        raise Error(f"the Wi-Fi password cannot be read from {password}", status=2) from None
    return Wifi(air.ssid, text)
