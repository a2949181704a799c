"""One board, from plugged in to proved: probe, issue, build, write, reset, follow until ready."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from firmshake import boardfiles, bundle, deviceid, flash, image, partitions, proof, serialport
from firmshake.ca import certificate
from firmshake.ca.authority import Authority
from firmshake.errors import Error
from firmshake.event import Event, Output
from firmshake.firmware import Firmware
from firmshake.image import Run
from firmshake.listen import Port, listen
from firmshake.project import Project
from firmshake.reader import Reader
from firmshake.registry import Registry
from firmshake.verdict import Verdict

# Association, DHCP and a DNS server that does not answer take most of a minute on a real board,
# and a fault that may pass is given three climbs
PROOF_S = 120.0

# For somebody who has to find the board and its buttons first
PERSON_S = 120.0

# The last words of every chip's ROM before it listens to esptool
_WAITS = "waiting for download"


class Watcher(Protocol):
    """Is told how far the work is."""

    def begin(self, text: str) -> None:
        """A piece of work that takes a while begins."""

    def step(self, text: str) -> None:
        """One more piece of work is done."""

    def writing(self, done: int, total: int) -> None:
        """So many bytes of flash are written."""

    def please(self, text: str) -> None:
        """The person has to do something."""

    def event(self, event: Event) -> None:
        """The board reports."""

    def output(self, output: Output) -> None:
        """The board says something else."""


@dataclass(frozen=True)
class Outcome:
    """What came of one board; `verdict.ok` is the proof."""

    device_id: str
    mac: str
    chip: str
    serial_number: str
    verdict: Verdict


def provision(
    project: Project,
    authority: Authority,
    registry: Registry,
    port: str,
    watcher: Watcher,
    *,
    firmware: Firmware | None = None,
    device_id: str | None = None,
    baud: int = flash.BAUDS[0],
    proof_s: float = PROOF_S,
    replace: bool = False,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Outcome:
    """Give the board on `port` an identity of its own, write it, and follow it until it is proved.

    `firmware` is written where the board has no MicroPython, and left alone where it has. The
    board's filesystem is replaced. A device id that another board has is taken over only with
    `replace`. Once the board is written, earlier certificates of its id are revoked.

    Raises Error where the work could not be done; a board that was written but does not connect is
    an Outcome whose verdict says why.
    """
    files = bundle.agent_files()  # what is wrong with our own installation is said first
    boardfiles.check(project)
    board = _probe(port, baud, watcher)
    watcher.step(f"found {board.description}, {board.mac}, {board.flash_size >> 20} MB of flash")
    with _started_again(port):
        write_firmware, region = _plan(board, firmware)
        if firmware is not None and write_firmware is None:
            watcher.step("it runs MicroPython already: the firmware file is left aside")
        device_id = device_id or deviceid.default_id(project.prefix, board.mac)
        if not replace:
            _check_owner(registry, device_id, board.mac)
        made = now()
        identity = authority.issue(device_id, now=made)
        files |= boardfiles.of(project, identity, device_id, made)
        built = image.build(files, region.block_count)
        registry.record_issued(
            device_id,
            identity.certificate,
            unique_id=board.mac,
            chip=board.chip,
            firmware=write_firmware.micropython if write_firmware else None,
        )
    watcher.step(f"issued a key and a certificate for {device_id}")
    runs = built.at(region.offset)
    watcher.step(
        f"built its filesystem: {len(files)} files, {_kib(runs)} of {built.size >> 10} KiB"
        " have to travel"
    )
    try:
        _write(board, [*_firmware_runs(write_firmware), *runs], watcher)
        _supersede(registry, device_id, watcher)
        verdict = _prove(port, proof_s, watcher)
    except BaseException:
        # its certificate is known, and so is that no board was proved with it; why it failed is
        # what matters, also where this cannot be noted
        with contextlib.suppress(Error):
            registry.set_state(device_id, "failed")
        raise
    registry.set_state(device_id, "proved" if verdict.ok else "failed", verdict.verdict)
    serial = certificate.serial(identity.certificate)
    return Outcome(device_id, board.mac, board.chip, serial, verdict)


def _check_owner(registry: Registry, device_id: str, mac: str) -> None:
    """Raise Error where the id is another board's: two of one id would drive each other out."""
    known = registry.device(device_id)
    if known is not None and known.unique_id not in (None, mac):
        raise Error(
            f"{device_id!r} is the device id of the board {known.unique_id}, and this is {mac}",
            hint="give another --id; or --replace, where this board takes the other's place:"
            " the other's certificate is revoked then",
        )


def _supersede(registry: Registry, device_id: str, watcher: Watcher) -> None:
    """Note that the board is written; what it held before opens nothing any more."""
    for serial in registry.set_state(device_id, "written"):
        watcher.step(
            f"revoked its earlier certificate {serial}: `firmshake ca crl` tells the broker"
        )


def _probe(port: str, baud: int, watcher: Watcher) -> flash.Board:
    """The board on `port`; with a person's help where the port has no lines to reset it with."""
    watcher.begin(f"looking at the board on {port}")
    try:
        return flash.probe(port, baud)
    except Error:
        if not port.startswith(serialport.LINELESS):
            raise
        with serialport.open_port(port) as opened:  # raises its own Error where nothing is there
            watcher.please("hold the board's BOOT button, press RESET, and let go of both")
            if not _waits_for_download(opened):
                raise
    watcher.begin(f"looking at the board on {port}")
    return flash.probe(port, baud)


def _waits_for_download(port: Port) -> bool:
    """Whether the board says within PERSON_S that it is in its boot loader."""
    ends = time.monotonic() + PERSON_S
    for items in listen(port, Reader()):
        if any(isinstance(item, Output) and _WAITS in item.text for item in items):
            return True
        if time.monotonic() > ends:
            break
    return False


@contextlib.contextmanager
def _started_again(port: str) -> Iterator[None]:
    """Where this fails, nothing was written: let the board run what it ran before."""
    try:
        yield
    except Error:
        with contextlib.suppress(Error, OSError), serialport.open_port(port) as opened:
            serialport.reset(opened)
        raise


def _plan(
    board: flash.Board, firmware: Firmware | None
) -> tuple[Firmware | None, partitions.Region]:
    """The firmware to write, if any, and where the filesystem lies. Raises Error before a write."""
    if firmware is not None and firmware.chip != board.chip:
        raise Error(
            f"the firmware is for {firmware.chip}, the board on {board.port} is {board.chip}",
            hint=f"get the firmware for {board.chip}; nothing was written",
        )
    if board.table is not None and board.app is not None and board.app.is_micropython:
        return None, partitions.filesystem_region(board.table, board.flash_size)
    if firmware is None:
        what = "runs something else" if board.app is not None else "has no firmware"
        raise Error(
            f"the board on {board.port} {what}, not MicroPython",
            hint=f"get MicroPython 1.23 or later for {board.chip} and add --firmware FILE",
        )
    return firmware, partitions.filesystem_region(firmware.table, board.flash_size)


def _firmware_runs(firmware: Firmware | None) -> list[Run]:
    return [Run(firmware.offset, firmware.data)] if firmware else []


def _write(board: flash.Board, runs: list[Run], watcher: Watcher) -> None:
    started = time.monotonic()
    watcher.begin("connecting to its boot loader")
    used = flash.write(board.port, runs, watcher.writing, baud=board.baud, chip=board.chip)
    took = time.monotonic() - started
    watcher.step(f"wrote {_kib(runs)} at {used} baud in {took:.1f} s, read back by its MD5")


def _prove(port: str, proof_s: float, watcher: Watcher) -> Verdict:
    # the port is open before the reset, so that the board's first line is not lost
    with serialport.open_port(port) as opened:
        try:
            serialport.reset(opened)
            watcher.step("reset it; following its serial line")
        except serialport.NoLines as error:
            watcher.please(error.hint)
        return proof.follow(opened, proof_s, watcher.event, watcher.output)


def _kib(runs: list[Run]) -> str:
    return f"{sum(len(run.data) for run in runs) >> 10} KiB"
