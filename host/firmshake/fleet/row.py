"""How far each board of a run has come, as values for those who show it. Does no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# "working": it has a process. "refused": it is not wanted here, such as one that no line of the
# manifest names; it got no identity, at most stock firmware to be asked who it is. "gone": it was
# unplugged before it was done.
BoardState = Literal["waiting", "working", "proved", "failed", "refused", "gone"]

# what a board is in before there is any work on it
FOUND = "found"


@dataclass(frozen=True)
class BoardRow:
    """One board that is, or was, plugged in.

    `key` tells it apart from the others for as long as it is plugged in. `stage` is FOUND, one of
    `firmshake.ways.way.STAGES`, or during the proof a stage of the agent's ladder. `done` goes from
    0 to 1 over all the work. `words` say what is being done, or how it ended. `verdict` is "ready",
    the agent's verdict such as "tls.server_certificate/expired", or "" where there is none; `fix`
    is what to do. `began_s` and `ended_s` are moments of time.monotonic().
    """

    key: str
    port: str
    state: BoardState
    stage: str = FOUND
    done: float = 0.0
    words: str = ""
    unique_id: str = ""
    device_id: str = ""
    chip: str = ""
    serial_number: str = ""
    verdict: str = ""
    fix: str = ""
    attempt: int = 1
    began_s: float = 0.0
    ended_s: float | None = None


@dataclass(frozen=True)
class Totals:
    """The whole run. `wanted` is None where it has no end.

    `proved` counts devices of the run, also those of earlier and of other stations; `here` those
    that this process has proved. `per_minute` is over the last minutes of this process.
    """

    wanted: int | None
    proved: int
    failed: int
    working: int
    here: int = 0
    per_minute: float = 0.0
    elapsed_s: float = 0.0
