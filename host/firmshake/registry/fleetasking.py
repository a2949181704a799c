"""What a station asks when it claims, and how the answer can fail to come. Does no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from firmshake.registry.fleetrecord import Refusal


class Taken(Exception):
    """Another was quicker: what it did can be seen now, and the rules be gone through anew."""


class Unordered(Exception):
    """What comes next needs WRITE's lock, which is taken before all others."""


class Refused(Exception):
    """That nothing of this transaction is to stay, for that reason."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.words)
        self.refusal = refusal


@dataclass(frozen=True)
class Asking:
    """Who asks for what. `boards` are the names of the table of boards that this one may be.

    `seconds` is the database's time, in seconds since 1970. `ordered`: WRITE's lock was taken.
    """

    run: int
    unique_id: str
    boards: Sequence[str]
    station: str
    session: str
    lease_s: float
    now: datetime
    seconds: float
    ordered: bool
