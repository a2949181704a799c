"""Reads and writes the flash of an ESP32 by running esptool, one child process a board.

esptool is GPL, so it is a program that is run and never a library that is imported. A probe and a
write are one run each: esptool's command line cannot chain commands, but a read of the flash's head
also tells the chip, its MAC and the size of its flash.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from firmshake import (
    esptool_child,
    esptool_runs,
    esptool_words,
    firmware,
    inherited,
    interrupts,
    memfile,
    partitions,
    serialport,
)
from firmshake.errors import Error
from firmshake.image import Run

# Tried in this order from the one that is asked for; the last is what every ROM starts with
BAUDS = (921600, 460800, 115200)

# The partition table and the head of the application behind it, in whole sectors
HEAD_OFFSET = partitions.TABLE_OFFSET
HEAD_SIZE = firmware.FIRST_APP_OFFSET + partitions.SECTOR - HEAD_OFFSET

# esptool gives up on its own well before; this is for a hub that keeps the line open and says
# nothing, and for an esptool that hangs
SILENCE_SECONDS = 90.0

# In the words that esptool has for the same
_SILENT = "\nERROR: A fatal error occurred: The chip stopped responding.\n"

OnProgress = Callable[[int, int], None]
OnLine = Callable[[str], None]


@dataclass(frozen=True)
class Board:
    """A board in its bootloader. `flash_size` is in bytes; `mac` is lower case with colons.

    `table` and `app` say what its flash holds, None where that is nothing known. `usb` is how it
    speaks USB itself, empty where an adapter does. `baud` is a speed that worked.
    """

    port: str
    chip: str
    description: str
    mac: str
    flash_size: int
    table: partitions.Table | None
    app: firmware.App | None
    usb: str = ""
    baud: int = BAUDS[0]


def probe(port: str, baud: int = BAUDS[0]) -> Board:
    """Reset the board on `port` into its bootloader and find out what it is; it stays there.

    Raises Error where no board answers, or its flash cannot be read.
    """
    arguments = ["read-flash", "--flash-size", "detect", hex(HEAD_OFFSET), hex(HEAD_SIZE)]
    with memfile.offered([]) as offer:
        output, used = _with_slower_tries(
            lambda rate: _esptool(offer, port, rate, "auto", [*arguments, offer.outlet]),
            port,
            baud,
            "read the flash",
        )
        head = offer.received(output)
    report = esptool_words.chip_report(output)
    if report is None or not report.flash_size:
        raise Error(
            f"the flash of the board on {port} does not answer",
            hint="check that nothing is wired to the pins of its flash chip",
        )
    table, app = firmware.identify_flash(head, HEAD_OFFSET)
    return Board(port=port, table=table, app=app, baud=used, **report._asdict())


def write(
    port: str,
    runs: Sequence[Run],
    on_progress: OnProgress = lambda done, total: None,
    *,
    baud: int = BAUDS[0],
    chip: str = "auto",
    after: str = "no-reset",
) -> int:
    """Write `runs` to flash in one run of esptool, which checks each by its MD5; the speed used.

    `on_progress` gets bytes of flash written, and bytes in all. The board is left in its bootloader
    unless `after` says otherwise, so that the caller can open the port first and reset it then: the
    first lines that it prints are not lost. Raises Error where anything was not written.
    """
    progress = _Progress(runs, on_progress)
    with memfile.offered([run.data for run in runs]) as offer:
        pairs = [hex(run.offset) for run in runs], offer.names
        files = [part for pair in zip(*pairs, strict=True) for part in pair]

        def attempt(rate: int) -> tuple[int, str]:
            return _esptool(offer, port, rate, chip, ["write-flash", *files], after, progress.line)

        _, used = _with_slower_tries(attempt, port, baud, "write the flash")
    progress.finish()
    return used


class _Progress:
    """Turns the addresses that esptool has reached into bytes done; never goes back."""

    def __init__(self, runs: Sequence[Run], on_progress: OnProgress) -> None:
        self._runs = runs
        self._total = sum(len(run.data) for run in runs)
        self._done = 0
        self._on_progress = on_progress

    def line(self, text: str) -> None:
        address = esptool_words.written_up_to(text)
        if address is not None:
            self._advance(self._before(address))

    def finish(self) -> None:
        self._advance(self._total)

    def _before(self, address: int) -> int:
        return sum(min(max(address - run.offset, 0), len(run.data)) for run in self._runs)

    def _advance(self, done: int) -> None:
        if done > self._done:
            self._done = done
            self._on_progress(done, self._total)


def _with_slower_tries(
    attempt: Callable[[int], tuple[int, str]], port: str, baud: int, task: str
) -> tuple[str, int]:
    """The output of the first attempt that works, and its speed; slower where that may help."""
    rates = [baud, *(rate for rate in BAUDS if rate < baud)]
    if port.startswith("socket:"):
        # nobody can tell the far end of a plain socket to change its speed
        rates = [BAUDS[-1]]
    for rate in rates:
        status, output = attempt(rate)
        if status == 0:
            return output, rate
        if rate == rates[-1] or not esptool_words.slower_may_help(output):
            break
    raise serialport.with_holder(esptool_words.explain(output, port, task), port)


def _esptool(
    offer: memfile.Offer,
    port: str,
    baud: int,
    chip: str,
    arguments: Sequence[str],
    after: str = "no-reset",
    on_line: OnLine = lambda line: None,
) -> tuple[int, str]:
    """Run esptool; its exit status and all that it printed."""
    # default-reset also between two runs that follow each other: it costs 0.2 s, while relying on
    # the bootloader to have stayed at the speed that the run before changed to does not hold on
    # every chip. esptool itself leaves the reset out for socket://, which has no modem lines.
    options = ["--chip", chip, "--port", port, "--baud", str(baud)]
    options += ["--before", "default-reset", "--after", after]
    recall = [esptool_child.RECALL] * offer.must_recall
    with _lifeline() as line:
        begun = [esptool_child.LIFELINE, str(line), *recall, *options, *arguments]
        files = (*offer.fds, line)
        return _run(lambda: esptool_runs.start(begun, files, environment()), offer, on_line)


@contextlib.contextmanager
def _lifeline() -> Iterator[int]:
    """The end of a pipe for a child, whose other end closes when this process is gone."""
    theirs, ours = os.pipe()
    try:
        yield theirs
    finally:
        os.close(theirs)
        os.close(ours)


def _run(
    begin: Callable[[], esptool_runs.Run], offer: memfile.Offer, on_line: OnLine
) -> tuple[int, str]:
    # In our own process group, so that Ctrl-C reaches it even while we are blocked
    process = None
    try:
        with interrupts.held():
            process = begin()
        with _killed_when_silent(process) as (heard, killed):
            _feed(process, offer.stdin)
            output = "".join(_lines(process, heard, on_line))
        return process.wait(), output + (_SILENT if killed.is_set() else "")
    finally:
        if process is not None:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


def _feed(process: esptool_runs.Run, data: bytes) -> None:
    assert process.stdin is not None
    # a child that ended at once says why in its output
    with contextlib.suppress(BrokenPipeError), process.stdin as stdin:
        stdin.write(data)


def _lines(process: esptool_runs.Run, heard: threading.Event, on_line: OnLine) -> Iterator[str]:
    """The child's output by lines, each shown to `on_line`; any byte counts as a sign of life."""
    assert process.stdout is not None
    rest = b""
    while chunk := os.read(process.stdout.fileno(), 65536):
        heard.set()
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            text = line.decode("utf-8", "replace").rstrip("\r")
            on_line(text)
            yield text + "\n"
    yield rest.decode("utf-8", "replace")


@contextlib.contextmanager
def _killed_when_silent(
    process: esptool_runs.Run,
) -> Iterator[tuple[threading.Event, threading.Event]]:
    """Kill a child that prints nothing for SILENCE_SECONDS.

    Yields the event to set at every sign of life, and the one that is set once it was killed.
    """
    heard, killed, over = threading.Event(), threading.Event(), threading.Event()

    def watch() -> None:
        deadline = time.monotonic() + SILENCE_SECONDS
        while not over.wait(timeout=1.0):
            if heard.is_set():
                heard.clear()
                deadline = time.monotonic() + SILENCE_SECONDS
            elif time.monotonic() > deadline:
                killed.set()
                process.kill()
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield heard, killed
    finally:
        over.set()
        watcher.join()


def environment() -> dict[str, str]:
    """What esptool runs in: ours, without secrets or what would change its output or arguments."""
    kept = {
        name: value
        for name, value in inherited.of(os.environ).items()
        if not name.startswith(("ESPTOOL_", "ESPRESSIF_", "FORCE_COLOR", "TTY_"))
        or name == "ESPTOOL_CFGFILE"
    }
    plain = {"NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "500", "PYTHONUNBUFFERED": "1"}
    # our own package, for esptool_child, wherever it was imported from
    path = os.pathsep.join([str(Path(__file__).parents[1]), *_python_path()])
    return kept | plain | {"PYTHONIOENCODING": "utf-8", "PYTHONPATH": path}


def _python_path() -> list[str]:
    return [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
