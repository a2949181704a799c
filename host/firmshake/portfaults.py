"""What pyserial's words mean when a port cannot be opened, or goes away.

Does no I/O. pyserial raises one exception with a sentence, often around the system's own; the
sentence is the only thing there is to go by, here and in what esptool prints of it. The phrases
were read in pyserial 3.5 and seen on Linux; those of macOS and Windows are from its source.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from firmshake.errors import Error


class Fault(NamedTuple):
    """A phrase, what it means, and whether a slower line may help; {port} stands for the port."""

    pattern: str
    message: str
    hint: str
    slower_may_help: bool = False


CHOOSE_PORT = "check the cable and the port's name"
REPLUG = "plug the board in again and run the same command: it starts over"

# The first that matches wins
OPENING = (
    Fault(
        r"Permission denied|\[Errno 13\]",
        "no permission to open {port}",
        "add yourself to the group that owns the port (mostly dialout or uucp) and log in again",
    ),
    Fault(
        r"exclusively lock|\[Errno 11\]|\[Errno 16\]|Access is denied|Resource busy|EBUSY",
        "{port} is busy",
        "close the program that has it open: a serial monitor, an IDE, another firmshake",
    ),
    Fault(
        r"invalid URL|protocol .{0,40} not known|unknown option|in the form",
        "{port} is not a kind of port that is known",
        "give a device (/dev/ttyUSB0, COM3) or a URL (rfc2217://HOST:PORT, socket://HOST:PORT)",
    ),
    Fault(
        r"Inappropriate ioctl|Not a typewriter|Is a directory",
        "{port} is not a serial port",
        CHOOSE_PORT,
    ),
    Fault(
        # what a hub or a virtual board does too whose port is taken: it hangs up
        r"seem to support RFC2217",
        "what serves {port} does not answer as a serial port",
        "close the program that has it open; check the address: another service may live there",
    ),
    Fault(
        r"Connection refused|timed out|Name or service not known|nodename nor servname"
        r"|No route to host|Network is unreachable|not known"
        r"|getaddrinfo|No address associated|name resolution",
        "nothing serves a port at {port}",
        "check the address, and that the hub or the virtual board is running",
    ),
    Fault(
        r"\[Errno 2\]|\[Errno 6\]|\[Errno 19\]|No such file|FileNotFoundError|cannot find the file",
        "there is no port {port}",
        CHOOSE_PORT,
    ),
    Fault(r"[Cc]ould not (open|configure)", "{port} cannot be opened", CHOOSE_PORT),
)

GONE = Fault(
    r"device disconnected|device reports readiness|ClearCommError|Input/output error"
    r"|Device not configured|write failed|read failed|[Ss]ocket disconnected|Broken pipe"
    r"|Connection reset|connection failed|Lost connection|port that is not open"
    r"|only operate on open ports|waiting for option|does not accept parameter change"
    r"|[Ss]erial exception|SerialException",
    "the board on {port} went away",
    REPLUG,
)


class CannotOpen(Error):
    """There is no such port, or it can't be had now."""


class Gone(Error):
    """A port was taken away while it was open: the cable was pulled, or the board restarted."""


def gone(port: str) -> Gone:
    """The error for that."""
    return Gone(GONE.message.format(port=port), hint=REPLUG)


def find(faults: Iterable[Fault], words: str) -> Fault | None:
    """The first fault whose phrase is among `words`."""
    for fault in faults:
        if re.search(fault.pattern, words):
            return fault
    return None


def cannot_open(port: str, words: str) -> CannotOpen:
    """The error for a port that pyserial did not open, saying so in `words`."""
    fault = find(OPENING, words) or OPENING[-1]
    return CannotOpen(fault.message.format(port=port), hint=fault.hint)
