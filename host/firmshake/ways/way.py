"""What every way onto a board can do, and what it tells of itself. Does no I/O."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from firmshake.boards.table import Runtime
from firmshake.errors import Error
from firmshake.event import Event, Output
from firmshake.listen import Port

Files = Mapping[str, bytes]

# of the work on a board: the first where only firmware can tell who it is; during the last the
# board's own agent reports
STAGES = ("firmware", "look", "claim", "issue", "write", "proof")


class Watcher(Protocol):
    """Is told how far the work is."""

    def reached(self, stage: str) -> None:
        """One of STAGES begins."""

    def begin(self, text: str) -> None:
        """A piece of work that takes a while begins."""

    def step(self, text: str) -> None:
        """One more piece of work is done."""

    def writing(self, done: int, total: int) -> None:
        """So many bytes are written."""

    def please(self, text: str) -> None:
        """The person has to do something."""

    def event(self, event: Event) -> None:
        """The board reports."""

    def output(self, output: Output) -> None:
        """The board says something else."""


@dataclass(frozen=True)
class Seen:
    """The board at the other end.

    `title` says in words what it is. `unique_id` is lower-case hexadecimal, with colons where it is
    a MAC address; None where it can't be told before the board runs. `firmware` is the version that
    it will run, None where it keeps what it has.
    """

    title: str
    chip: str
    unique_id: str | None
    firmware: str | None = None


@dataclass(frozen=True)
class Held:
    """What a board holds of what it would be given; never its key.

    `digests` are the SHA-256 of its files by path. `certificates` and `settings` are as the board
    has them, None where there are none.
    """

    digests: Mapping[str, bytes]
    certificates: bytes | None = field(repr=False)
    settings: bytes | None = field(repr=False)


class HasChip(Protocol):
    """Firmware: `chip` is the one that it is for."""

    @property
    def chip(self) -> str: ...


def left_aside(file: HasChip | None, chip: str) -> str:
    """What to say of firmware that was named for a board which keeps the one it has.

    Raises Error where it is for another chip: then it may be the wrong board.
    """
    if file is None:
        return ""
    if file.chip != chip:
        raise Error(
            f"the firmware is for {file.chip}, and the board is {chip}",
            hint=f"check which board it is, or get firmware for {chip}; nothing was written",
        )
    return "; the firmware file is left aside"


class Way(Protocol):
    """One way onto one board, found and looked at. `runtime` says which files it wants."""

    name: str
    runtime: Runtime
    seen: Seen

    def intends(self) -> str:
        """What it will do, in words; raises Error where that can't be done to this board."""

    def held(self) -> Held | None:
        """What the board holds already, None where that can't be told."""

    def prepare(self, files: Files) -> str | None:
        """Make ready what will travel; what there is to say of it. Raises Error if it won't fit."""

    def write(self, watcher: Watcher) -> None:
        """Bring it onto the board and read it back. Raises Error."""

    def heard(self, watcher: Watcher) -> contextlib.AbstractContextManager[Port]:
        """Start the board and give the port on which it reports."""

    def left_alone(self) -> None:
        """Nothing was written: let the board run what it ran before."""
