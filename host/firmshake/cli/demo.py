"""`firmshake demo`: the whole road on a virtual board, by the commands that a user would type."""

from __future__ import annotations

import contextlib
import os
import secrets
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click
from rich.console import Console
from rich.markup import escape

from firmshake import interrupts
from firmshake.cli.printer import Printer
from firmshake.errors import Error

if TYPE_CHECKING:
    from firmshake.console import OpenPort
    from firmshake.localbroker import LocalBroker
    from firmshake.project import Project
    from firmshake.virtual import VirtualBoard

_SSID = "demo-network"
_EXPECTED = "tls.server_certificate/expired"
# The board notices that its broker went away, waits a moment and climbs again
_SEEN_S = 60.0
_CLEAN_UP_S = 10.0  # for a command that is interrupted


@click.command()
def command() -> None:
    """Show the whole road on a virtual board, with nothing to plug in.

    A private CA, a real broker and a virtual ESP32; the board is provisioned and proved. Then the
    broker gets an expired certificate, and the board says so. All of it is gone afterwards.
    """
    from firmshake import localbroker, project, tools
    from firmshake.virtual import VirtualBoard, Wifi

    console = _Live(highlight=False, soft_wrap=True)
    tools.micropython(), tools.mosquitto()  # said now, rather than half way
    passphrase = secrets.token_urlsafe(16).encode()
    with _scratch() as scratch:
        port = localbroker.free_port()
        console.title(1, "A project: settings, a private CA, a broker's certificate")
        wifi = ["--wifi-ssid", _SSID, "--wifi-password-fd", "0", "--no-ntp"]
        _run(console, scratch, passphrase, "init", "fleet", "--broker", f"127.0.0.1:{port}", *wifi)
        folder = scratch / "fleet"
        fleet = project.load(folder)
        console.title(2, "A real broker that wants client certificates, and a virtual ESP32")
        broker = localbroker.LocalBroker(fleet.broker_folder, "127.0.0.1", port)
        with broker, _powered(VirtualBoard(wifi=Wifi(_SSID))) as board:
            console.say(f"  mosquitto listens on 127.0.0.1:{port}")
            console.say(f"  the board answers on {board.url}")
            console.title(3, "The board: from its boot loader to a proved mutual-TLS connection")
            _run(console, folder, passphrase, "provision", board.url)
            console.title(4, "The broker's certificate expires: what does the board say?")
            _expire(console, board.url, fleet, broker, passphrase)
    console.say("\n[bold]That was all of it[/]: keys, board and broker of this demo are gone.")
    console.say("With a board of your own: README.md, From here to a real board.")


class _Live(Console):
    """A console whose lines come at once, and in order with what other processes write."""

    def say(self, text: str) -> None:
        self.print(text)
        self.file.flush()

    def title(self, number: int, text: str) -> None:
        self.say(f"\n[bold]{number}. {text}[/]")

    def command(self, line: str) -> None:
        self.say(f"[bold cyan]$ {escape(line)}[/]")


@contextlib.contextmanager
def _powered(board: VirtualBoard) -> Iterator[VirtualBoard]:
    """The board while it has power."""
    with interrupts.held():
        board.start()
    with contextlib.closing(board):
        yield board


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    """A folder that is gone afterwards."""
    with interrupts.held():
        folder = tempfile.TemporaryDirectory(prefix="firmshake-demo-")
    with folder as path:
        yield Path(path)


def _run(console: _Live, folder: Path, passphrase: bytes, *arguments: str) -> None:
    """Run one command of ours as a user would, the passphrase through a pipe."""
    console.command(f"firmshake {shlex.join(arguments)}")
    with _readable(passphrase) as fd:
        command = [sys.executable, "-P", "-m", "firmshake", *arguments, "--passphrase-fd", str(fd)]
        with _running(command, folder, fd) as process:
            status = process.wait()
    if status:
        raise Error(
            f"firmshake {arguments[0]} failed in the demo",
            hint="run `firmshake demo` again; if it fails again, please report it with this output",
        )


@contextlib.contextmanager
def _running(command: list[str], folder: Path, fd: int) -> Iterator[subprocess.Popen[bytes]]:
    """The process of a command; it is ended with the context, and may clean up before.

    It has a process group of its own: a terminal's Ctrl-C is for us alone, since a Python that is
    just starting would answer with a traceback. We pass it on.
    """
    process = None
    try:
        with interrupts.held():
            process = subprocess.Popen(
                command, cwd=folder, stdin=subprocess.DEVNULL, pass_fds=[fd], process_group=0
            )
        yield process
    finally:
        if process is not None and process.poll() is None:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and what it started, politely at first."""
    # it may be gone, or not have its group yet, between our look and the signal
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(_CLEAN_UP_S)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.wait()


@contextlib.contextmanager
def _readable(secret: bytes) -> Iterator[int]:
    """A descriptor to read the secret from, as a line."""
    read, write = os.pipe()
    try:
        with os.fdopen(write, "wb") as file:
            file.write(secret + b"\n")
        yield read
    finally:
        os.close(read)


def _expire(
    console: _Live, url: str, fleet: Project, broker: LocalBroker, passphrase: bytes
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
        console.say("  the broker was restarted with a certificate that expired yesterday")
        console.command(f"firmshake console {url}")
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
            raise Error(
                "the board did not name the expired certificate in time",
                hint="run `firmshake demo` again; a computer under heavy load may be too slow",
            )
