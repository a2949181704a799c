"""`firmshake provision`: one board, from plugged in to proved."""

from __future__ import annotations

import contextlib
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from firmshake.cli import opening, parameters
from firmshake.cli.parameters import DeviceId, Seconds
from firmshake.cli.printer import Printer
from firmshake.errors import Error
from firmshake.event import Event, Output
from firmshake.ladderview import Hanging, Line
from firmshake.provision import PROOF_S, Outcome, provision
from firmshake.wording import printable

# what USB bridges of the last ten years keep up with; esptool falls back where one does not
_BAUD = 921600
_SLOWEST, _FASTEST = 9600, 6_000_000

_LONGEST_S = 86400  # of a proof: nobody waits for a board longer than a day


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
    help="MicroPython's .bin for the chip, written where the board has no MicroPython.",
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
@click.option(
    "--timeout",
    type=Seconds(min=1, max=_LONGEST_S),
    default=PROOF_S,
    show_default=True,
    metavar="SECONDS",
    help="How long the board may take to prove itself.",
)
@click.option(
    "--replace",
    is_flag=True,
    help="The board takes the place of another that has this id, whose certificate is revoked.",
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
    passphrase_fd: int | None,
    as_json: bool,
) -> None:
    """Take the board at PORT from plugged in to proved.

    PORT is a device, rfc2217://HOST:PORT or socket://HOST:PORT; left out where one board is
    plugged in. The board gets a key and a certificate of its own, and the agent that connects with
    them; its filesystem is replaced. It is proved when it has connected to the broker.
    """
    from firmshake import boardfiles, firmware, project

    _check_usage(port, virtual, firmware_file, sha256)
    fleet = project.load(folder)
    boardfiles.check(fleet)  # before anybody types a passphrase
    image = firmware.load(firmware_file, sha256=sha256) if firmware_file else None
    places, registry = opening.parts(fleet)
    opened = opening.open_loaded(fleet, places, registry, passphrase_fd)
    console = Console(stderr=True, highlight=False)
    with _board(virtual, port, fleet) as target, _Screen(console) as screen:
        outcome = provision(
            fleet,
            opened.authority,
            registry,
            target,
            screen,
            firmware=image,
            device_id=device_id,
            baud=baud,
            proof_s=timeout,
            replace=replace,
        )
    _conclude(outcome, as_json)


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
def _board(virtual: bool, port: str | None, fleet: object) -> Iterator[str]:
    """The port of the board to provision."""
    if not virtual:
        yield port or _only_port()
        return
    from firmshake.project import Project
    from firmshake.virtual import VirtualBoard, Wifi

    assert isinstance(fleet, Project)
    air = Wifi(fleet.wifi.ssid, fleet.wifi.password) if fleet.wifi else Wifi()
    with VirtualBoard(wifi=air) as board:
        yield board.url


def _only_port() -> str:
    from serial.tools import list_ports

    # a computer's own serial ports have no USB vendor, and no board
    found = sorted(info.device for info in list_ports.comports() if info.vid is not None)
    if len(found) == 1:
        return str(found[0])
    if found:
        raise Error(
            f"several boards may be meant: {', '.join(found)}", "name one of them as PORT", status=2
        )
    raise Error(
        "no board is plugged in",
        "name its port, or use --virtual to try things out without one",
        status=2,
    )


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
