"""The raw REPL of MicroPython and CircuitPython: run programs on a board and get what they print.

The protocol is that of MicroPython's documentation (reference/repl, "Raw mode" and "Raw-paste
mode"), which both runtimes share; where a board refuses raw-paste, the plain raw mode is used.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator
from typing import NamedTuple

from firmshake import serialport
from firmshake.errors import Error
from firmshake.repl import entering
from firmshake.repl.entering import Banner
from firmshake.repl.wire import Wire

_CTRL_A, _CTRL_B, _CTRL_C, _CTRL_D = b"\x01", b"\x02", b"\x03", b"\x04"
_RAW_PASTE = b"\x05A\x01"
_MORE = 0x01
_END = 0x04

# How long a program may print nothing, unless its caller knows better
LIMIT_S = 10.0
# A program that prints on and on is given so many times as long
_TALKATIVE = 6
# A soft reset runs boot.py too
SOFT_RESET_S = 15.0

# Half of what MicroPython promises to take unread; for boards that have no raw-paste to tell
_PLAIN_WINDOW = 128
_PLAIN_PAUSE_S = 0.01
# What is looked at again for words that came in two parts
_TAIL = 64
# A board that starts anew says so in one go
_QUIET_S = 0.2


class Output(NamedTuple):
    """What a program printed, and the traceback that it ended with (empty where it did not)."""

    out: str
    err: str


class Broken(Error):
    """The conversation with the REPL went astray: noise, or somebody else reads or types there."""

    def __init__(self, port: str, detail: str) -> None:
        super().__init__(
            f"the REPL on {port} is not understood: {detail}",
            hint="check the cable, and that no other program reads this port; then run it again",
        )


class OutOfMemory(Error):
    """The board's heap is too small, or too broken up, for what it was to do."""


class RawRepl:
    """A board in its raw REPL, from `enter` to `leave`.

    `window` is what the board can take unread, in bytes, as raw-paste told it.
    """

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.banner = entering.UNHEARD
        self.window = _PLAIN_WINDOW
        self._paste = True

    def enter(self, limit_s: float = entering.LIMIT_S, *, may_reset: bool = True) -> Banner:
        """Stop what runs and enter the raw REPL; what the board calls itself.

        Where a board does not stop for Ctrl-C it is reset, once, if the port has the lines for it
        and `may_reset`. Raises entering.NoRepl after `limit_s`, with what was found instead.
        """
        self.banner = entering.enter(self.wire, limit_s, may_reset=may_reset)
        return self.banner

    def leave(self) -> None:
        """Go back to the prompt for people."""
        self.wire.write(b"\r" + _CTRL_B)

    def execute(self, code: str, limit_s: float = LIMIT_S) -> Output:
        """Run a program to its end. Raises Error where it is silent for longer than `limit_s`."""
        self.start(code)
        out = self._until(_CTRL_D, limit_s)
        err = self._until(_CTRL_D, LIMIT_S)
        self._until(b">", LIMIT_S)
        return Output(_text(out), _text(err))

    def run(self, code: str, limit_s: float = LIMIT_S) -> str:
        """The same, for a program that should not fail: what it printed. Raises Error if it did."""
        output = self.execute(code, limit_s)
        if output.err:
            raise failed(self.wire.name, output.err)
        return output.out

    def start(self, code: str) -> None:
        """Send a program and let it run: all that it prints is still to be read."""
        data = code.encode()
        if self._paste:
            self.wire.write(_RAW_PASTE)
            answer = self._answer()
            if answer == b"R\x01":
                self._paste_in(data)
                return
            self._paste = False
        self._type_in(data)

    def soft_reset(self, limit_s: float = SOFT_RESET_S) -> None:
        """Start the interpreter anew: boot.py runs, main.py does not, memory is as after power-on.

        The board stays in its raw REPL.
        """
        self.wire.write(_CTRL_D)
        self._until(entering.RAW_PROMPT, limit_s)

    def hard_reset(self) -> None:
        """Restart the board as its RESET button does; a port that is its own goes away with it."""
        self.start(
            "try:\n import machine\nexcept ImportError:\n"
            " import microcontroller as machine\nmachine.reset()\n"
        )

    # raw-paste

    def _answer(self) -> bytes:
        """What the board says to raw-paste: R 1 yes, R 0 not now, or a new prompt: never heard."""
        heard = b""
        ends = time.monotonic() + LIMIT_S
        while time.monotonic() < ends:
            heard += self.wire.read(LIMIT_S)
            if found := re.search(rb"R[\x00\x01]", heard):
                self._held = heard[found.end() :]
                return found[0]
            if heard.endswith(entering.RAW_PROMPT):
                return b""
        entering.check_running(self.wire.name, heard)
        raise Broken(self.wire.name, "no answer to a program")

    def _paste_in(self, data: bytes) -> None:
        while len(self._held) < 2:
            self._held += self._some()
        self.window = int.from_bytes(self._held[:2], "little") or _PLAIN_WINDOW
        heard, room, self._held = self._held[2:], self.window, b""
        while data:
            for byte in heard:
                if byte == _END:
                    # it does not compile: the board wants no more, and says why afterwards
                    self.wire.write(_CTRL_D)
                    return
                if byte != _MORE:
                    entering.check_running(self.wire.name, heard + self.wire.drain(_QUIET_S))
                    raise Broken(self.wire.name, "junk while a program was sent")
                room += self.window
            piece, data = data[:room], data[room:]
            self.wire.write(piece)
            room -= len(piece)
            heard = self._some() if data and not room else b""
        self.wire.write(_CTRL_D)
        self._until(_CTRL_D, LIMIT_S)

    def _type_in(self, data: bytes) -> None:
        for start in range(0, len(data), _PLAIN_WINDOW):
            self.wire.write(data[start : start + _PLAIN_WINDOW])
            time.sleep(_PLAIN_PAUSE_S)
        self.wire.write(_CTRL_D)
        self._until(b"OK", LIMIT_S)

    # reading

    _held = b""  # read, and not yet asked for

    def _some(self) -> bytes:
        data = self.wire.read(LIMIT_S)
        if not data:
            raise Broken(self.wire.name, "it fell silent")
        return data

    def _until(self, ending: bytes, limit_s: float) -> bytes:
        """What comes before `ending`; what comes after it is kept."""
        heard = self._held
        ends = time.monotonic() + _TALKATIVE * limit_s
        while ending not in heard:
            data = self.wire.read(limit_s)
            entering.check_running(self.wire.name, heard[-_TAIL:] + data)
            if not data or time.monotonic() > ends:
                raise Error(
                    f"the program on {self.wire.name} did not end within {limit_s:.0f} s",
                    hint="press the board's RESET button and run the same command again",
                )
            heard += data
        before, _, self._held = heard.partition(ending)
        return before

    def take_held(self) -> bytes:
        """What was read beyond the last thing asked for, for who goes on reading the wire."""
        held, self._held = self._held, b""
        return held


@contextlib.contextmanager
def connected(
    port: str,
    baud: int = serialport.CONSOLE_BAUD,
    *,
    limit_s: float = entering.LIMIT_S,
    may_reset: bool = True,
) -> Iterator[RawRepl]:
    """The board on `port` in its raw REPL; afterwards it is at the prompt for people.

    Raises Error where the port cannot be had, and entering.NoRepl where no REPL answers.
    """
    with serialport.open_port(port, baud) as opened:
        repl = RawRepl(Wire(opened))
        repl.enter(limit_s, may_reset=may_reset)
        try:
            yield repl
        finally:
            with contextlib.suppress(Error):
                repl.leave()


def failed(port: str, traceback: str) -> Error:
    """The error for a program of ours that ended in a traceback."""
    last = traceback.strip().rpartition("\n")[2].strip() or "it ended"
    if last.startswith("MemoryError"):
        return OutOfMemory(
            f"the board on {port} has too little memory free: {last}",
            hint="press its RESET button and run the same command again; a boot.py may hold it",
        )
    return Error(
        f"the board on {port} could not do its part: {last}",
        hint="check the cable and run the same command again; report this line if it comes back",
    )


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace").replace("\r\n", "\n")
