"""What a board's other output says when no agent speaks: boot loops, tracebacks, prompts.

Does no I/O.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from firmshake.event import Output
from firmshake.wording import printable

_LONGEST = 300  # of a line is looked at, and may be repeated in a message


@dataclass(frozen=True)
class Symptom:
    """What is wrong with a board, and what to do; `final` where waiting changes nothing."""

    message: str
    hint: str
    final: bool


# What to look for in a line; how often until it is final (0: never); message; hint. The texts are
# those of the ESP32 family's boot ROM and second-stage bootloader, and of MicroPython 1.20 to 1.29.
_TABLE = (
    (
        r"invalid header: 0x",
        3,
        "the board has no firmware: its boot loader finds none",
        "write MicroPython to it: firmshake provision --firmware FILE",
    ),
    (
        r"No bootable app partitions|flash read err|csum err|Failed to verify partition table",
        3,
        "the board's firmware is damaged or made for another board",
        "write MicroPython for this chip again: firmshake provision --firmware FILE",
    ),
    (
        # not final: these may be the last words before the reset that the caller made
        r"waiting for download|\bDOWNLOAD(?:_BOOT)?\(",
        0,
        "the board waits in its boot loader instead of starting its firmware",
        "let go of its BOOT button and press RESET; unplug it and plug it in again if that fails",
    ),
    (
        r"[Bb]rownout detector was triggered",
        3,
        "the board's supply voltage breaks down (brownout)",
        "use a shorter cable, another port or a stronger supply",
    ),
    (
        r"Guru Meditation Error: *(?P<what>[^\r\n.]*)",
        3,
        "the board's firmware crashed: {what}",
        "note the firmware's version, and try another one",
    ),
    (
        r"filesystem appears to be corrupted",
        1,
        "the board's firmware cannot read its filesystem",
        "provision the board again; if it stays, erase its flash first",
    ),
)
_TRACEBACK = "Traceback (most recent call last):"
_PLACE = re.compile(r'\s+File "(?P<file>[^"]*)", line (?P<line>\d+)')
_PROMPT = re.compile(r">>> *$|^>>> ")
_BANNER = re.compile(r"^MicroPython v|^Adafruit CircuitPython \d|^Type \"help\(\)\" for more")


class Symptoms:
    """Watches a board's output line by line for signs that no agent will report."""

    def __init__(self) -> None:
        self.seen: Symptom | None = None  # the last one
        self._counts = [0] * len(_TABLE)
        self._traceback = False
        self._place = ""
        self._error = ""
        self._text = 0
        self._strange = 0

    def see(self, output: Output) -> Symptom | None:
        """The symptom that this output shows, if it shows one."""
        text = output.text
        self._text += len(text)
        self._strange += sum(not (char.isprintable() or char.isspace()) for char in text)
        self._strange += text.count("\ufffd")
        line = printable(text.rstrip("\r\n"))[:_LONGEST]
        found = self._boot(line) or self._python(line)
        self.seen = found or self.seen
        return found

    def silence(self) -> Symptom:
        """What it means that the board reported nothing, by all that was seen."""
        if self.seen:
            return self.seen
        if self._strange * 3 > self._text:
            return Symptom(
                "what the board sends is unreadable",
                "check the baud rate: MicroPython and CircuitPython talk at 115200",
                False,
            )
        if self._text:
            return Symptom(
                "the board talks, but no firmshake agent reports",
                "look at it with firmshake console; provision it if the agent is not on it",
                False,
            )
        return Symptom(
            "the board is silent",
            "check cable and port, and press its RESET button; provision it if it is new",
            False,
        )

    def _boot(self, line: str) -> Symptom | None:
        for number, (pattern, often, message, hint) in enumerate(_TABLE):
            if match := re.search(pattern, line):
                self._counts[number] += 1
                final = 0 < often <= self._counts[number]
                return Symptom(message.format(**match.groupdict()), hint, final)
        return None

    def _python(self, line: str) -> Symptom | None:
        """A traceback alone may be survived; a prompt means that main.py has ended."""
        if _TRACEBACK in line:
            self._traceback, self._place, self._error = True, "", ""
        elif self._traceback:
            if place := _PLACE.match(line):
                self._place = f" at {place['file']} line {place['line']}"
            elif line and not line.startswith(" "):
                self._traceback, self._error = False, line
                return self._ended(final=False)
        if _PROMPT.search(line) or _BANNER.search(line):
            return self._ended(final=True)
        return None

    def _ended(self, final: bool) -> Symptom:
        if "'tls'" in self._error and "module" in self._error:
            return Symptom(
                "the board's MicroPython is older than 1.23, and the agent needs 1.23 or later",
                "erase its flash with `esptool --port PORT erase-flash`, then provision it with"
                " --firmware FILE",
                final,
            )
        if self._error:
            return Symptom(
                f"main.py failed{self._place}: {self._error}",
                "provision the board again; report this line if it comes back",
                final,
            )
        return Symptom(
            "the board is at its prompt: no main.py runs on it, or it was interrupted",
            "press its RESET button; provision it if the agent is not on it",
            final,
        )
