"""The way into the raw REPL, and what stands in it: said within a time limit, in plain words."""

from __future__ import annotations

import contextlib
import re
import time
from typing import NamedTuple

from firmshake import serialport
from firmshake.errors import Error
from firmshake.repl.wire import STOP, Wire

# From power-on a board is at its prompt within 2 s, and a program that stops does so within 3
LIMIT_S = 12.0

RAW_PROMPT = b"raw REPL; CTRL-B to exit\r\n>"

# Behind the banner, Ctrl-A asks for the raw REPL
_KNOCK = STOP + b"\x01"
_FIRST_KNOCK_S = 1.0
_KNOCK_S = 0.5
# This long after the beginning a board that has not stopped is reset, and asked more often
_RESET_AFTER_S = 5.0
_QUIET_S = 0.1

# "MicroPython v1.26.1 on 2025-09-11; Generic ESP32 module with ESP32", and CircuitPython's alike
_BANNER = re.compile(
    rb"(?:Adafruit )?(MicroPython|CircuitPython) (\S+) on [0-9-]{10}; ([^\r\n]*?) with ([^\r\n]+)"
)

# What an Espressif chip's ROM says when it starts: a board, whatever runs on it
_CHIP = re.compile(rb"rst:0x|ESP-ROM:|invalid header: 0x|^ets [A-Z]", re.MULTILINE)
# What ROMs print first: the ESP32's, and the later chips'
_ROM = re.compile(rb"rst:0x[0-9a-f]+ \(")
# and CircuitPython, whose own words are all that some boards print when they start
_CODE = b"\ncode.py output:"
_LOOP = 3  # one may be our own reset, and one the opening of the port

_LONGEST_SAID = 40  # enough of a line to know it by

_PRINTABLE = frozenset(range(32, 127)) | {9, 10, 13, 27}


class Banner(NamedTuple):
    """What a board says of itself before its prompt; empty where it was not heard."""

    runtime: str
    version: str
    machine: str
    chip: str


class NoRepl(Error):
    """No REPL answers on the port; another way in may.

    `says` is what speaks there all the same, in words, where that is like no board that is known.
    """

    def __init__(self, message: str, hint: str = "", says: str = "") -> None:
        super().__init__(message, hint)
        self.says = says


def enter(wire: Wire, limit_s: float = LIMIT_S, *, may_reset: bool = True) -> Banner:
    """Stop what runs on the board and enter its raw REPL.

    Raises NoRepl after `limit_s` with what was found instead, and Error where the board goes away.
    """
    heard, knocks = b"", 0
    began = time.monotonic()
    resets_at = began + min(_RESET_AFTER_S, limit_s / 2) if may_reset else None
    while time.monotonic() < began + limit_s:
        if resets_at is not None and time.monotonic() > resets_at:
            resets_at = None
            with contextlib.suppress(serialport.NoLines):
                serialport.reset(wire.port)
        wire.write(_KNOCK)
        knocks += 1
        heard += _listen(wire, heard, _KNOCK_S if knocks > 1 else _FIRST_KNOCK_S)
        if RAW_PROMPT in heard:
            if knocks > 1:
                # the answers to what was asked before may come yet
                heard += wire.drain(_QUIET_S)
            return banner(heard)
    raise NoRepl(*_diagnosis(wire.name, heard, limit_s))


def check_running(port: str, heard: bytes) -> None:
    """Raise Error where `heard`, from the middle of some work, is a board that starts anew."""
    if _ROM.search(heard) or _CODE in heard:
        raise Error(
            f"the board on {port} restarted in the middle of the work",
            hint="run the same command again; where it happens again, its power or its firmware is"
            " at fault: write it through its boot loader",
        )


def banner(heard: bytes) -> Banner:
    """The last banner among what a board printed."""
    found = _BANNER.findall(heard)
    return Banner(*(part.decode(errors="replace") for part in found[-1])) if found else UNHEARD


UNHEARD = Banner("", "", "", "")


def _listen(wire: Wire, before: bytes, limit_s: float) -> bytes:
    """What comes within `limit_s`, or until the raw prompt."""
    ends, data = time.monotonic() + limit_s, b""
    tail = before[-len(RAW_PROMPT) :]
    while RAW_PROMPT not in tail + data and (left := ends - time.monotonic()) > 0:
        data += wire.read(left)
    return data


def _diagnosis(port: str, heard: bytes, limit_s: float) -> tuple[str, ...]:
    """What to say of a port on which no raw REPL answered, as NoRepl has it."""
    within = f"within {limit_s:.0f} s"
    if holder := serialport.holder(port):
        return (
            f"no REPL answers on {port} {within}, and {holder} has it open too",
            "close that program: it takes the board's answers away",
        )
    if not heard:
        return (
            f"the board on {port} says nothing {within}",
            "press its RESET button or plug it in again; a blank board, or one that waits in its"
            " boot loader, has no REPL",
        )
    if len(_ROM.findall(heard)) >= _LOOP:
        return (
            f"the board on {port} restarts again and again",
            "its firmware, filesystem or power is at fault: write firmware and filesystem through"
            " its boot loader",
        )
    junk = sum(byte not in _PRINTABLE for byte in heard)
    if junk * 4 > len(heard):
        return (
            f"what comes from {port} is not readable",
            "check the speed: MicroPython's console is at 115200 baud",
            "what it says can't be read at 115200 baud",
        )
    if b">>> " in heard:
        return (
            f"the REPL on {port} shows its prompt and does not answer {within}",
            "unplug the board and plug it in again; or write its filesystem through its boot"
            " loader",
        )
    if b"ython" in heard or b"Traceback" in heard:
        return (
            f"the program on {port} does not stop for Ctrl-C {within}",
            "press the board's RESET button and run the same command at once; or write its"
            " filesystem through its boot loader",
        )
    return (
        f"what runs on {port} does not answer as MicroPython or CircuitPython",
        "a program that never stops, or other firmware: write MicroPython through the boot loader",
        "" if _CHIP.search(heard) else f"it says {_last_line(heard)}",
    )


def _last_line(heard: bytes) -> str:
    """The last whole line of what was heard, or what there is of one, in quotes."""
    lines = [line for line in heard.decode("ascii", "replace").splitlines() if line.strip()]
    whole = lines[-2:-1] or lines or [""]
    return ascii(whole[0].strip()[:_LONGEST_SAID])
