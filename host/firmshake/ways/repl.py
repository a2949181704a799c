"""Through the REPL of a board that runs MicroPython or CircuitPython: the fast road."""

from __future__ import annotations

import base64
import contextlib
import time
from collections.abc import Iterator

from firmshake import boardfiles, bundle, circuitpython, serialport
from firmshake.boards.table import MICROPYTHON, TITLES, Runtime
from firmshake.errors import Error
from firmshake.listen import Port
from firmshake.repl import upload
from firmshake.repl.rawrepl import RawRepl, connected
from firmshake.repl.running import Running, ask
from firmshake.repl.survey import survey
from firmshake.ways.way import Files, Held, Seen, Watcher

# A board at its prompt, or whose program stops for Ctrl-C, answers within a second
ASK_S = 2.5

_CTRL_D = b"\x04"
# how long a program takes to end at Ctrl-C
_STOPPED_S = 0.3
# a piece at a time, since a board may be short of memory
_READ = """\
import binascii
try:
 with open({path!r}, "rb") as f:
  while True:
   b = f.read(192)
   if not b:
    break
   print(str(binascii.b2a_base64(b), "ascii"), end="")
except OSError:
 print("none")
"""


class Answer:
    """What a board said at its REPL: who it is and what it holds."""

    def __init__(self, running: Running, held: Held) -> None:
        self.running, self.held = running, held


def asked(port: str, limit_s: float = ASK_S) -> Answer:
    """Ask the board on `port`; what ran there is stopped.

    Raises Error where the port can't be had, NoRepl where no REPL answers.
    """
    with connected(port, limit_s=limit_s, may_reset=False) as repl:
        running = ask(repl)
        return Answer(running, _held(repl, running))


class Repl:
    """A board at its REPL."""

    name = "repl"

    def __init__(self, port: str, answer: Answer) -> None:
        self._port, self._answer = port, answer
        self._files: Files = {}
        running = answer.running
        self.runtime: Runtime = "micropython" if running.runtime == MICROPYTHON else "circuitpython"
        what = f"{TITLES[self.runtime]} {running.version}"
        unique = running.mac if running.platform == "esp32" else ""
        unique = unique or running.unique_id
        self.seen = Seen(f"{running.machine}, {unique}, {what}", running.chip, unique)

    def intends(self) -> str:
        return f"it runs {TITLES[self.runtime]}: its files are replaced over the REPL"

    def held(self) -> Held | None:
        return self._answer.held

    def prepare(self, files: Files) -> str | None:
        self._files = files
        return None

    def write(self, watcher: Watcher) -> None:
        watcher.begin("entering its REPL")
        done = upload.upload(self._port, self._files, watcher.writing)
        what = f"{len(done.written)} files in {done.sent / 1024:.0f} KiB"
        watcher.step(
            f"sent {what} at {done.baud} baud in {done.seconds:.1f} s, read back by SHA-256"
        )

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
    with serialport.open_port(port) as opened:
        # stop what runs; to the prompt for people, should it be in the raw REPL
        opened.write(b"\r\x03\x03\x02")
        time.sleep(_STOPPED_S)
        opened.reset_input_buffer()
        opened.write(_CTRL_D)
        yield opened


def _held(repl: RawRepl, running: Running) -> Held:
    if running.runtime == MICROPYTHON:
        common, entry, form = bundle.agent_files(), upload.ENTRY, "der"
    else:
        common, entry, form = circuitpython.agent_files(), upload.CIRCUITPYTHON_ENTRY, "pem"
    found = survey(repl, common, upload.OWNED, entry)
    certificates = read(repl, f"{boardfiles.FOLDER}/cert.{form}")
    settings = read(repl, f"{boardfiles.FOLDER}/settings.json")
    return Held(found.files, certificates, settings)


def read(repl: RawRepl, path: str) -> bytes | None:
    """Return a small file of the board, None where it has none. Raises Error."""
    said = repl.run(_READ.format(path=path)).split()
    if said == ["none"]:
        return None
    try:
        return b"".join(base64.b64decode(line, validate=True) for line in said)
    except ValueError:
        raise Error(
            f"what the board on {repl.wire.name} sent was garbled",
            hint="check the cable, then run the same command again",
        ) from None
