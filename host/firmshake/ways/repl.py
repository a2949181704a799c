"""Through the REPL of a board that runs MicroPython or CircuitPython: the fast road."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass

from firmshake import boardfiles, bundle, circuitpython, serialport
from firmshake.boards import drivefiles, uniqueid
from firmshake.boards.table import BOARDS, CIRCUITPYTHON, MICROPYTHON, TITLES, Runtime
from firmshake.errors import Error
from firmshake.listen import Port
from firmshake.portfaults import CannotOpen, Gone
from firmshake.repl import upload
from firmshake.repl.entering import NoRepl
from firmshake.repl.rawrepl import RawRepl
from firmshake.repl.reading import read
from firmshake.repl.restarting import restart
from firmshake.repl.running import Running, ask
from firmshake.repl.survey import survey
from firmshake.repl.wire import Wire
from firmshake.ways.way import Files, HasChip, Held, Seen, Watcher, left_aside

# A board at its prompt, or whose program stops for Ctrl-C, answers within a second
ASK_S = 2.5

# from a restart until a computer has the port of a board that is USB itself
_BACK_S = 3.0
_POLL_S = 0.1
_AWAY = (Gone, CannotOpen)

# what is the user's on a board with CircuitPython
_USERS = (circuitpython.SETTINGS_FILE, circuitpython.BOOT_FILE)

# who may write: the board's own programs, or the computer that has its drive
_READ_ONLY = 'import storage\nprint(storage.getmount("/").readonly)\n'


@dataclass(frozen=True)
class Answer:
    """What a board said at its REPL: who it is and what it holds.

    `is_read_only` where the computer has its filesystem as a drive. `settings` and `boot` are
    CircuitPython's settings.toml and boot.py, None where there are none.
    """

    running: Running
    held: Held
    is_read_only: bool
    settings: bytes | None = None
    boot: bytes | None = None


def asked(port: str, limit_s: float = ASK_S) -> Answer:
    """Ask the board on `port`; what ran there is stopped.

    Raises Error where the port can't be had, NoRepl where no REPL answers as it should.
    """
    with _restarts_told(port), serialport.open_port(port) as opened:
        repl = RawRepl(Wire(opened))
        try:
            repl.enter(limit_s, may_reset=False)
            running = ask(repl)
            users: list[bytes | None] = [None, None]
            if running.runtime != MICROPYTHON:
                users = [read(repl, path) for path in _USERS]
            held, locked = _held(repl, running), _is_read_only(repl, running)
            answer = Answer(running, held, locked, *users)
            repl.leave()
        except (NoRepl, Gone):
            raise
        except Error as error:
            # a noisy line, or a board that starts again and again: another way in may do
            raise NoRepl(error.message, error.hint) from None
        return answer


class Repl:
    """A board at its REPL."""

    name = "repl"

    def __init__(self, port: str, answer: Answer, file: HasChip | None = None) -> None:
        self._port, self._answer, self._file = port, answer, file
        self._files: Files = {}
        running = answer.running
        self.runtime: Runtime = MICROPYTHON if running.runtime == MICROPYTHON else CIRCUITPYTHON
        what = f"{TITLES[self.runtime]} {running.version}"
        chip = drivefiles.chip_in(running.chip, running.machine) or running.chip
        unique = _unique_id(running, chip)
        self.seen = Seen(f"{running.machine}, {unique}, {what}", chip, unique)

    def intends(self) -> str:
        """Raises Error where its own programs may not write, or firmware is for another board."""
        if self._answer.is_read_only:
            raise Error(
                f"the board on {self._port} may not write its files: this computer has them as a"
                " drive",
                hint="name the folder where that drive is mounted instead of the port",
            )
        aside = left_aside(self._file, self.seen.chip)
        return f"it runs {TITLES[self.runtime]}: its files will be replaced over the REPL{aside}"

    def held(self) -> Held | None:
        return self._answer.held

    def prepare(self, files: Files) -> str | None:
        if self.runtime == CIRCUITPYTHON:
            answer = self._answer
            files = circuitpython.beside_users(files, answer.settings, answer.boot)
        self._files = files
        return None

    def write(self, watcher: Watcher) -> None:
        watcher.begin("entering its REPL")
        with _restarts_told(self._port, _AWAY):
            done = upload.upload(self._port, self._files, watcher.writing)
        what = f"{len(done.written)} files in {done.sent / 1024:.0f} KiB"
        # USB has no such speed, whatever is set
        speed = f" at {done.baud} baud" if done.baud != serialport.CONSOLE_BAUD else ""
        watcher.step(f"sent {what}{speed} in {done.seconds:.1f} s, read back by SHA-256")

    @contextlib.contextmanager
    def heard(self, watcher: Watcher) -> Iterator[Port]:
        with restarted(self._port) as opened:
            watcher.step("started it; following its serial line")
            yield opened

    def left_alone(self) -> None:
        with contextlib.suppress(Error, OSError), restarted(self._port):
            pass


@contextlib.contextmanager
def restarted(port: str) -> Iterator[Port]:
    """Give the open port of a board whose program begins anew: a soft reset, which all have."""
    with _restarts_told(port, _AWAY), serialport.open_port(port) as opened:
        yield restart(opened)


class Restarts(NoRepl):
    """The board starts again by itself, so that no REPL lasts."""

    def __init__(self, port: str) -> None:
        super().__init__(
            f"the board on {port} restarts by itself",
            hint="its power, its firmware or a program on it is at fault: use a shorter cable or"
            " another USB port; then an ESP32 with --via esptool, a Pico by the drive that it shows"
            " if BOOTSEL is held while it is plugged in",
        )


@contextlib.contextmanager
def _restarts_told(port: str, faults: tuple[type[Error], ...] = (Gone,)) -> Iterator[None]:
    """Tell a board that restarts from a cable that was pulled: it comes back by itself."""
    try:
        yield
    except faults as error:
        try:
            _wait_for(port)
        except Error:
            raise error from None
        raise Restarts(port) from None


def _wait_for(port: str) -> None:
    """Wait until the port can be had; one that is USB itself goes away when the board restarts."""
    ends = time.monotonic() + _BACK_S
    while True:
        try:
            serialport.open_port(port).close()
            return
        except Error:
            if time.monotonic() > ends:
                raise
            time.sleep(_POLL_S)


def _unique_id(running: Running, chip: str) -> str:
    """As the board's drive and its boot loader have it too."""
    family = next((board.family for board in BOARDS if board.chip == chip), None)
    found = None
    if family is not None and running.runtime == MICROPYTHON:
        found = uniqueid.of_usb(running.unique_id, family, MICROPYTHON)
    elif family is not None:
        found = uniqueid.of_boot_out(running.unique_id, "", family)
    return found or running.unique_id


def _is_read_only(repl: RawRepl, running: Running) -> bool:
    return running.runtime != MICROPYTHON and repl.run(_READ_ONLY).strip() == "True"


def _held(repl: RawRepl, running: Running) -> Held:
    if running.runtime == MICROPYTHON:
        common, entry, form = bundle.agent_files(), upload.ENTRY, "der"
    else:
        common, entry, form = circuitpython.agent_files(), upload.CIRCUITPYTHON_ENTRY, "pem"
    found = survey(repl, common, upload.OWNED, entry)
    certificates = read(repl, f"{boardfiles.FOLDER}/cert.{form}")
    settings = read(repl, f"{boardfiles.FOLDER}/settings.json")
    return Held(found.files, certificates, settings)
