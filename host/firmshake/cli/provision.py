"""`firmshake provision`: one board, from plugged in to proved."""

from __future__ import annotations

import contextlib
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from firmshake.cli import opening, parameters, proving
from firmshake.cli.parameters import DeviceId
from firmshake.cli.printer import Printer
from firmshake.errors import Error
from firmshake.event import Event, Output
from firmshake.ladderview import Hanging, Line
from firmshake.provision import Outcome, provision
from firmshake.wording import printable

if TYPE_CHECKING:
    from firmshake.firmware import Firmware
    from firmshake.firmwares.identify import File

# as ways.choose has them, which is slow to load
WAYS = ("esptool", "repl", "uf2", "drive")

# what USB bridges of the last ten years keep up with; esptool falls back where one does not
_BAUD = 921600
_SLOWEST, _FASTEST = 9600, 6_000_000


@click.command()
@click.argument("port", required=False)
@parameters.project_folder
@click.option("--virtual", is_flag=True, help="Use a virtual board where there is no real one.")
@click.option(
    "--id",
    "device_id",
    type=DeviceId(),
    metavar="ID",
    help="The device's id. By itself: the fleet's prefix and the board's hardware address.",
)
@click.option(
    "--firmware",
    "firmware_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="MicroPython's .bin or .uf2 for the board, written where it has no MicroPython. By itself:"
    " what `firmshake firmware` keeps.",
)
@click.option("--sha256", metavar="HEX", help="The SHA-256 that the firmware file must have.")
@click.option(
    "--baud",
    type=click.IntRange(_SLOWEST, _FASTEST),
    default=_BAUD,
    show_default=True,
    metavar="RATE",
    help="The speed to try first.",
)
@proving.proof_time
@click.option(
    "--replace",
    is_flag=True,
    help="The board takes the place of another that has this id, whose certificate is revoked.",
)
@click.option(
    "--force",
    is_flag=True,
    help="Give a board that is provisioned already a new key and certificate all the same.",
)
@click.option(
    "--hide-drive",
    is_flag=True,
    help="CircuitPython: write a boot.py that hides the board's drive from computers.",
)
@click.option(
    "--via",
    type=click.Choice(WAYS),
    help="The way onto the board. By itself: the best for what it is.",
)
@click.option(
    "--console",
    "console_port",
    metavar="PORT",
    help="The serial port of a board whose drive is named, where it can't be told.",
)
@parameters.passphrase_fd
@click.option("--json", "as_json", is_flag=True, help="The outcome as one JSON object.")
def command(
    port: str | None,
    folder: Path,
    virtual: bool,
    device_id: str | None,
    firmware_file: Path | None,
    sha256: str | None,
    baud: int,
    timeout: float,
    replace: bool,
    force: bool,
    hide_drive: bool,
    via: str | None,
    console_port: str | None,
    passphrase_fd: int | None,
    as_json: bool,
) -> None:
    """Take the board at PORT from plugged in to proved.

    PORT is a device, rfc2217://HOST:PORT, socket://HOST:PORT, or the folder where the board's drive
    is mounted (CIRCUITPY, RPI-RP2, RP2350); left out where one board is plugged in. The board gets
    a key and a certificate of its own, and the agent that connects with them; other files of its
    filesystem are replaced where it goes through esptool or UF2, and stay where it does not. It is
    proved when it has connected to the broker. A board that has all of it already is only proved.

    Ways: esptool (an ESP32's boot loader), repl (MicroPython or CircuitPython over its serial
    line), uf2 (a Pico's boot loader's drive), drive (CIRCUITPY).
    """
    from firmshake import boardfiles, project
    from firmshake.firmwares import stored
    from firmshake.ownregistrar import OwnRegistrar
    from firmshake.ways.choose import Wish

    _check_usage(port, virtual, firmware_file, sha256)
    fleet = project.load(folder)
    boardfiles.check(fleet)  # before anybody types a passphrase
    given = _load(firmware_file, sha256) if firmware_file else None
    places, registry = opening.parts(fleet)
    opened = opening.open_loaded(fleet, places, registry, passphrase_fd)
    console = Console(stderr=True, highlight=False)
    with _board(virtual, port, fleet) as target, _Screen(console) as screen:
        outcome = provision(
            fleet,
            OwnRegistrar(fleet, opened.authority, registry, device_id, replace),
            Wish(target, via, given, stored.finder(fleet), console_port, baud),
            screen,
            proof_s=timeout,
            force=force,
            hide_drive=hide_drive,
        )
    _conclude(outcome, as_json)


def _load(path: Path, sha256: str | None) -> File | Firmware:
    """The firmware in a file: a UF2 for a drive, anything else for esptool."""
    from firmshake import firmware, uf2
    from firmshake.firmwares import identify

    try:
        with path.open("rb") as stream:
            data = stream.read(firmware.LARGEST_FILE + 1)
    except OSError:
        data = b""  # what is wrong with it is told below
    if not uf2.is_one(data) and not _is_circuitpython(data):
        return firmware.load(path, sha256=sha256)
    if sha256 is not None and not firmware.has_sha256(data, sha256):
        raise Error(
            f"firmware {path} does not have the SHA-256 that was given",
            hint="get the file again from the firmware's download page, or correct the SHA-256",
        )
    return identify.identify(data)


def _is_circuitpython(data: bytes) -> bool:
    from firmshake.boards.table import CIRCUITPYTHON
    from firmshake.firmwares import identify

    try:
        return identify.identify(data).runtime == CIRCUITPYTHON
    except Error:
        return False


def _check_usage(
    port: str | None, virtual: bool, firmware_file: Path | None, sha256: str | None
) -> None:
    if virtual and port is not None:
        raise Error("--virtual goes without a PORT", hint="leave one of them out", status=2)
    if sha256 is None:
        return
    if firmware_file is None:
        raise Error("--sha256 goes with --firmware", hint="name the file as well", status=2)
    if not re.fullmatch(r"\s*[0-9A-Fa-f]{64}\s*", sha256):
        raise Error(
            "--sha256 is no SHA-256",
            hint="give its 64 hexadecimal digits, as sha256sum prints them",
            status=2,
        )


class _Screen:
    """Shows people how far the work is."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._printer = Printer(console)
        self._bar: Progress | None = None
        self._begun = False  # the line of a piece of work that goes on is shown
        self._said: list[Output] = []

    def __enter__(self) -> _Screen:
        return self

    def __exit__(self, *error: object) -> None:
        self._clear()
        self._printer.end_line()
        if error[0] is not None:
            # the board's last words, which may say more than we made of them
            for line in "".join(output.text for output in self._said).splitlines():
                if line.strip():
                    self._console.print(Text(f"  {printable(line)}", "dim"))

    def reached(self, stage: str) -> None:
        pass

    def begin(self, text: str) -> None:
        """On a terminal, until the next thing is said."""
        self._clear()
        if self._console.is_terminal:
            self._console.print(Line(Text(f"· {text}", "dim"), end=""), end="")
            self._begun = True

    def step(self, text: str) -> None:
        self._clear()
        mark = Text("+") if self._console.options.ascii_only else Text("✓", "green")
        self._console.print(Hanging(mark, Text(text), column=2, indent=0))

    def please(self, text: str) -> None:
        self._clear()
        self._console.print(Text(f"please: {text}", "bold yellow"))

    def writing(self, done: int, total: int) -> None:
        if not self._console.is_terminal:
            return
        if self._bar is None:
            self._clear()
            columns = (
                TextColumn("  writing"),
                BarColumn(),
                DownloadColumn(binary_units=True),
                TimeRemainingColumn(),
            )
            self._bar = Progress(*columns, console=self._console, transient=True)
            self._bar.add_task("write", total=total)
            self._bar.start()
        self._bar.update(self._bar.task_ids[0], completed=done)

    def event(self, event: Event) -> None:
        if event.stage == "boot" and "agent" in event.fields:
            self._said.clear()  # the boot noise of a board that came up
        self._printer.show(event)

    def output(self, output: Output) -> None:
        self._said.append(output)
        del self._said[:-20]

    def _clear(self) -> None:
        """Take away what is shown only while it lasts."""
        if self._begun:
            self._console.file.write("\r\x1b[K")
            self._begun = False
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


@contextlib.contextmanager
def _board(virtual: bool, port: str | None, fleet: object) -> Iterator[str | None]:
    """The port or drive of the board to provision, None for the only one there is."""
    if not virtual:
        yield port
        return
    from firmshake.project import Project
    from firmshake.virtual import VirtualBoard, Wifi

    assert isinstance(fleet, Project)
    air = Wifi(fleet.wifi.ssid, fleet.wifi.password) if fleet.wifi else Wifi()
    with VirtualBoard(wifi=air) as board:
        yield board.url


def _conclude(outcome: Outcome, as_json: bool) -> None:
    verdict = outcome.verdict
    if as_json:
        fields = asdict(outcome) | {"verdict": verdict.to_dict()}
        click.echo(json.dumps(fields))
    elif verdict.ok:
        click.echo(f"{outcome.device_id} is proved: it connects to the broker with its certificate")
    else:
        click.echo(f"{outcome.device_id} is written, but does not connect: {verdict.verdict}")
    if not verdict.ok:
        sys.exit(1)
