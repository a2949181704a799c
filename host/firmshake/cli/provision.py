"""`firmshake provision`: one board, from plugged in to proved."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from firmshake.cli import passphrase
from firmshake.cli.printer import Printer
from firmshake.errors import Error
from firmshake.event import Event, Output
from firmshake.provision import PROOF_S, Outcome, provision

# what USB bridges of the last ten years keep up with; esptool falls back where one does not
_BAUD = 921600


@click.command()
@click.argument("port", required=False)
@click.option(
    "--project",
    "folder",
    default=".",
    type=click.Path(path_type=Path),
    help="The project folder, this folder by itself.",
)
@click.option("--virtual", is_flag=True, help="Use a virtual board where there is no real one.")
@click.option("--id", "device_id", help="The device id. By itself: the fleet's prefix and the MAC.")
@click.option(
    "--firmware",
    "firmware_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="MicroPython's .bin for the chip, written where the board has no MicroPython.",
)
@click.option("--sha256", metavar="HEX", help="The SHA-256 that the firmware file must have.")
@click.option("--baud", type=click.IntRange(min=9600), default=_BAUD, show_default=True)
@click.option(
    "--timeout",
    type=click.FloatRange(min=1),
    default=PROOF_S,
    show_default=True,
    metavar="SECONDS",
    help="How long the board may take to prove itself.",
)
@click.option(
    "--passphrase-fd",
    type=int,
    metavar="N",
    help="Read the CA's passphrase from file descriptor N, and do not ask for it.",
)
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
    passphrase_fd: int | None,
    as_json: bool,
) -> None:
    """Take the board at PORT from plugged in to proved.

    PORT is a device, rfc2217://HOST:PORT or socket://HOST:PORT; left out where one board is
    plugged in. The board gets a key and a certificate of its own, and the agent that connects with
    them; its filesystem is replaced. It is proved when it has connected to the broker.
    """
    from firmshake import deviceid, firmware, project
    from firmshake.registry import Registry

    if sha256 is not None and firmware_file is None:
        raise Error("--sha256 goes with --firmware", status=2)
    if virtual and port is not None:
        raise Error("--virtual goes without a PORT", status=2)
    if device_id is not None:
        deviceid.check(device_id)
    fleet = project.load(folder)
    image = firmware.load(firmware_file, sha256=sha256) if firmware_file else None
    registry = Registry.open(fleet.registry_path)
    authority = project.open_authority(fleet, passphrase.ask(passphrase_fd))
    console = Console(stderr=True, highlight=False)
    with _board(virtual, port, fleet) as target, _Screen(console) as screen:
        outcome = provision(
            fleet,
            authority,
            registry,
            target,
            screen,
            firmware=image,
            device_id=device_id,
            baud=baud,
            proof_s=timeout,
        )
    _conclude(outcome, as_json)


class _Screen:
    """Shows people how far the work is."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._printer = Printer(console)
        self._bar: Progress | None = None
        self._said: list[Output] = []

    def __enter__(self) -> _Screen:
        return self

    def __exit__(self, *error: object) -> None:
        self._stop_bar()
        self._printer.end_line()
        if error[0] is not None:
            for output in self._said:
                self._console.print(output.text, style="dim", markup=False, end="")

    def step(self, text: str) -> None:
        self._stop_bar()
        self._console.print(f"[green]✓[/] {text}" if self._fancy else f"- {text}")

    def please(self, text: str) -> None:
        self._console.print(f"please: {text}", style="bold yellow")

    def writing(self, done: int, total: int) -> None:
        if self._bar is None:
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

    @property
    def _fancy(self) -> bool:
        return not self._console.options.ascii_only

    def _stop_bar(self) -> None:
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
