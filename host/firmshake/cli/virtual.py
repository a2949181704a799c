"""`firmshake virtual`: a virtual ESP32 board on this computer, until Ctrl-C."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from firmshake.cli import waiting
from firmshake.errors import Error

if TYPE_CHECKING:
    from firmshake.virtual import Wifi

_SIZES = ["1MB", "2MB", "4MB", "8MB", "16MB"]
_LARGEST_PORT = 65535


@click.command("virtual")
@click.option(
    "--port", type=click.IntRange(0, _LARGEST_PORT), default=0, help="TCP port; 0 for any."
)
@click.option(
    "--raw-port",
    type=click.IntRange(0, _LARGEST_PORT),
    help="Serve plain TCP too (socket://HOST:PORT), without the lines that reset the board.",
)
@click.option(
    "--flash",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Keep the flash in this file; without it, it is gone with the board.",
)
@click.option("--blank", is_flag=True, help="A board fresh from the factory: all flash erased.")
@click.option("--mac", default="24:0a:c4:12:34:56", show_default=True, help="Its base address.")
@click.option("--flash-size", type=click.Choice(_SIZES), default="4MB", show_default=True)
@click.option("--ssid", default="firmshake", show_default=True, help="The Wi-Fi in its reach.")
@click.option(
    "--wifi-password",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="A file (or /dev/fd/N) with the Wi-Fi's password; without it the Wi-Fi is open.",
)
@click.option(
    "--clock",
    default="2000-01-01T00:00:00Z",
    show_default=True,
    help="Where its clock starts, or `now` for this computer's.",
)
@click.option("--heap", default="352k", show_default=True, help="MicroPython's heap.")
@click.option("--boot-held", is_flag=True, help="Start in download mode.")
@click.option("--faster-than-life", is_flag=True, help="Do not pace bytes at the line's speed.")
def command(
    port: int,
    raw_port: int | None,
    flash: Path | None,
    blank: bool,
    mac: str,
    flash_size: str,
    ssid: str,
    wifi_password: Path | None,
    clock: str,
    heap: str,
    boot_held: bool,
    faster_than_life: bool,
) -> None:
    """Run a virtual board on this computer.

    Prints the port to give to esptool, mpremote and firmshake, and runs until Ctrl-C.
    """
    from firmshake.virtual import VirtualBoard, nor

    board = VirtualBoard(
        port=port,
        raw_port=raw_port,
        flash=flash,
        blank=blank,
        mac=_mac(mac),
        flash_size=nor.SIZES[flash_size],
        wifi=_wifi(ssid, wifi_password),
        clock=_clock(clock),
        heap=heap,
        boot_held=boot_held,
        faster_than_life=faster_than_life,
    )
    with board:
        if clock != "now" and not board.has_own_clock:
            click.echo("no libfaketime found: the board has this computer's clock", err=True)
        if raw_port is not None:
            click.echo(f"plain TCP at {board.raw_url}", err=True)
        click.echo(board.url)
        waiting.for_a_signal()


def _mac(text: str) -> bytes:
    try:
        mac = bytes.fromhex(text.replace(":", "").replace("-", ""))
    except ValueError:
        mac = b""
    if len(mac) != 6 or mac[0] & 1:
        raise click.BadParameter("six bytes such as 24:0a:c4:12:34:56", param_hint="--mac")
    return mac


def _clock(text: str) -> datetime | None:
    if text == "now":
        return None
    try:
        start = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(
            "a time such as 2000-01-01T00:00:00Z, or now", param_hint="--clock"
        ) from None
    return start if start.tzinfo else start.replace(tzinfo=UTC)


def _wifi(ssid: str, password: Path | None) -> Wifi:
    from firmshake.virtual import Wifi

    if password is None:
        return Wifi(ssid)
    try:
        text = password.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError):
        raise Error(f"the Wi-Fi password cannot be read from {password}", status=2) from None
    return Wifi(ssid, text)
