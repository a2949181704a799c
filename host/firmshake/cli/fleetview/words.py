"""What the views of a run say: states in capitals, stages and spans of time in plain words.

Does no I/O.
"""

from __future__ import annotations

import math
import re
from pathlib import PurePosixPath

from rich.cells import cell_len, set_cell_size

from firmshake.fleet.row import BoardRow, BoardState, Totals
from firmshake.wording import plural, printable

STATES: dict[BoardState, str] = {
    "waiting": "WAITING",
    "working": "WORKING",
    "proved": "PROVED",
    "failed": "FAILED",
    "refused": "NOT WANTED",
    "gone": "UNPLUGGED",
}
# of the longest of them
STATE_WIDTH = max(map(len, STATES.values()))

# What is being done, while it is: firmshake's own stages, then the agent's.
STAGES = {
    "found": "found",
    "firmware": "giving it MicroPython",
    "look": "asking what it is",
    "claim": "getting a device id",
    "issue": "making a certificate",
    "write": "writing",
    "proof": "starting it",
    "identity": "reading its identity",
    "wifi": "joining Wi-Fi",
    "clock": "asking the time",
    "dns": "looking up the broker",
    "tcp": "calling the broker",
    "tls": "TLS handshake",
    "websocket": "WebSocket upgrade",
    "mqtt": "MQTT login",
    "subscribe": "subscribing",
    "ready": "ready",
}

# a year: whoever reads more has no use for it
_MOST_MINUTES = 525_600

# how a request to whoever stands there begins
_PLEASE = "please "

_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


def port(name: str) -> str:
    """The port as short as people still know it: ttyUSB0, :4001 of a port on this computer."""
    _, scheme, address = name.partition("://")
    if scheme:
        host, _, number = re.split("[/?]", address)[0].rpartition(":")
        return printable(f":{number}" if host in _LOOPBACK else f"{host}:{number}")
    return printable(PurePosixPath(name).name.removeprefix("cu.") or name)


def device(row: BoardRow) -> str:
    """The device id; until it has one, the board's unique id."""
    return printable(row.device_id or row.unique_id)


def is_plea(row: BoardRow) -> bool:
    """Whether people are asked for something."""
    return row.words.startswith(_PLEASE)


def stage(row: BoardRow) -> str:
    """What is being done to the board, with what `words` add to it, and which attempt it is."""
    said = STAGES.get(row.stage) or printable(row.stage)
    words = printable(row.words)
    if words.startswith(said) or is_plea(row):
        said = words
    # what ends so only names what stands there already
    elif words and not words.endswith((row.stage, f" on {row.port}")):
        said = f"{said}: {words}"
    return said if row.attempt == 1 else f"{said} (attempt {row.attempt})"


def outcome(row: BoardRow) -> str:
    """What is to be said of the board in one line: its stage, or how it ended."""
    if row.state == "working":
        return stage(row)
    return printable(row.words or row.verdict)


def elapsed_s(row: BoardRow, now: float) -> int | None:
    """Whole seconds since the board's work began, None where it has not."""
    if not row.began_s:
        return None
    return max(int((now if row.ended_s is None else row.ended_s) - row.began_s), 0)


def span(seconds: float) -> str:
    """Seconds as 0:42, 12:05 or 1:02:03."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def left(totals: Totals) -> str:
    """About how long the rest of the run takes at its rate; "" where that can't be told.

    It can't where nothing is done: then the run waits for boards.
    """
    if totals.wanted is None or totals.per_minute <= 0 or not totals.working:
        return ""
    minutes = (totals.wanted - totals.proved) / totals.per_minute
    if not 0 < minutes < _MOST_MINUTES:
        return ""
    if minutes < 1:
        return "under a minute left"
    if minutes < 100:
        return f"about {math.ceil(minutes)} min left"
    return f"about {math.ceil(minutes / 60)} hours left"


def pace(totals: Totals, ended: bool = False) -> list[str]:
    """The rate, where there is one yet, and the time that the run has taken."""
    rate = [f"{totals.per_minute:.1f} a minute"] if totals.per_minute else []
    took = span(totals.elapsed_s)
    return [*rate, f"after {took}" if ended else f"{took} so far"]


def summary(totals: Totals, ended: bool = False) -> str:
    """How the run stands, or how it has ended, on one line."""
    return ", ".join([progress(totals, ended), *pace(totals, ended)])


def progress(totals: Totals, ended: bool = False) -> str:
    """Proved, wanted and failed on one line; in the end with what is counted."""
    of = "" if totals.wanted is None else f" of {totals.wanted}"
    if not ended:
        return f"{totals.proved}{of} proved, {totals.failed} failed"
    devices = plural(totals.wanted or totals.proved, "device")
    boards = plural(totals.failed, "board")
    return f"{totals.proved}{of} {devices} proved, {totals.failed} {boards} failed"


def fit(text: str, width: int) -> str:
    """The text in exactly `width` columns: filled with spaces, or cut off at the end."""
    size = cell_len(text)
    if size <= width:
        return text + " " * (width - size)
    if width < 2:
        return set_cell_size(text, max(width, 0))
    return set_cell_size(text, width - 1) + "…"


def fit_middle(text: str, width: int) -> str:
    """As `fit`, but cut in the middle: the ends of names tell them apart."""
    if len(text) <= width or width < 5 or not text.isascii():
        return fit(text, width)
    head = (width - 1) // 3
    return text[:head] + "…" + text[head + 1 - width :]
