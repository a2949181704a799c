"""`firmshake demo`: the whole road on a virtual board, by the commands that a user would type."""

from __future__ import annotations

import contextlib
import os
import secrets
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click
from rich.console import Console

from firmshake.cli.printer import Printer
from firmshake.errors import Error

if TYPE_CHECKING:
    from firmshake.console import OpenPort
    from firmshake.localbroker import LocalBroker
    from firmshake.project import Project

_SSID = "demo-network"
_EXPECTED = "tls.server_certificate/expired"
# The board notices that its broker went away, waits a moment and climbs again
_SEEN_S = 60.0


@click.command()
def command() -> None:
    """Show the whole road on a virtual board, with nothing to plug in.

    A private CA, a real broker and a virtual ESP32; the board is provisioned and proved. Then the
    broker gets an expired certificate, and the board says so. All of it is gone afterwards.
    """
    from firmshake import localbroker, project, tools
    from firmshake.virtual import VirtualBoard, Wifi

    console = Console(highlight=False, soft_wrap=True)
    tools.micropython(), tools.mosquitto()  # said now, rather than half way
    passphrase = secrets.token_urlsafe(16).encode()
    with tempfile.TemporaryDirectory(prefix="firmshake-demo-") as scratch:
        folder = Path(scratch) / "fleet"
        port = localbroker.free_port()
        _title(console, 1, "A project: settings, a private CA, a broker's certificate")
        wifi = ["--wifi-ssid", _SSID, "--wifi-password-fd", "0", "--no-ntp"]
        _run(console, scratch, passphrase, "init", "fleet", "--broker", f"127.0.0.1:{port}", *wifi)
        fleet = project.load(folder)
        _title(console, 2, "A real broker that wants client certificates, and a virtual ESP32")
        broker = localbroker.LocalBroker(fleet.broker_folder, "127.0.0.1", port)
        with broker, VirtualBoard(wifi=Wifi(_SSID)) as board:
            console.print(f"  mosquitto listens on 127.0.0.1:{port}")
            console.print(f"  the board answers on {board.url}")
            _title(console, 3, "The board: from its boot loader to a proved mutual-TLS connection")
            _run(console, str(folder), passphrase, "provision", board.url)
            _title(console, 4, "The broker's certificate expires: what does the board say?")
            _expire(console, board.url, fleet, broker, passphrase)
    console.print("\n[bold]That was all of it[/]: keys, board and broker of this demo are gone.")
    console.print("With a board of your own: README.md, From here to a real board.")


def _title(console: Console, number: int, text: str) -> None:
    console.print(f"\n[bold]{number}. {text}[/]")


def _run(console: Console, folder: str, passphrase: bytes, *arguments: str) -> None:
    """Run one command of ours as a user would, the passphrase through a pipe."""
    console.print(f"[bold cyan]$ firmshake {shlex.join(arguments)}[/]")
    console.file.flush()
    with _readable(passphrase) as fd:
        done = subprocess.run(
            [sys.executable, "-m", "firmshake", *arguments, "--passphrase-fd", str(fd)],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            pass_fds=[fd],
        )
    if done.returncode:
        raise Error(
            f"firmshake {arguments[0]} failed in the demo",
            hint="run `firmshake demo` again; if it fails again, please report it with this output",
        )


@contextlib.contextmanager
def _readable(secret: bytes) -> Iterator[int]:
    """A descriptor to read the secret from, as a line."""
    read, write = os.pipe()
    try:
        os.write(write, secret + b"\n")
        os.close(write)
        yield read
    finally:
        os.close(read)


def _expire(
    console: Console, url: str, fleet: Project, broker: LocalBroker, passphrase: bytes
) -> None:
    """Give the broker a certificate that expired yesterday, and show what the board makes of it."""
    from firmshake import project, serialport
    from firmshake.newproject import write_broker_certificate

    now = datetime.now(UTC)
    valid = now - timedelta(days=398), now - timedelta(days=1)
    authority = project.open_authority(fleet, passphrase)
    expired = authority.issue_broker([fleet.broker.server_name], now=now, valid=valid)
    with serialport.open_port(url) as opened:
        broker.stop()
        write_broker_certificate(fleet.broker_folder, expired)
        broker.start()
        console.print("  the broker was restarted with a certificate that expired yesterday")
        console.print(f"[bold cyan]$ firmshake console {url}[/]")
        _watch(console, cast("OpenPort", opened))


def _watch(console: Console, port: OpenPort) -> None:
    """Print what the board reports until it has named the fault."""
    import time

    from firmshake.event import Event
    from firmshake.listen import listen
    from firmshake.reader import Reader

    printer = Printer(console)
    ends = time.monotonic() + _SEEN_S
    for items in listen(port, Reader()):
        for item in items:
            printer.show(item)
            if isinstance(item, Event) and item.verdict == _EXPECTED:
                printer.end_line()
                return
        if time.monotonic() > ends:
            raise Error("the board did not name the expired certificate in time")
