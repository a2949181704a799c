"""The numbered ids that a run has claimed, and the keys that are on their way. Does no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from firmshake import deviceid
from firmshake.errors import Error

# a prefix has this many numbers: six digits, and seven from 1,000,000 on. No longer ones: a
# hardware address that has no letter would pass for one
LAST_NUMBER = 9_999_999


@dataclass(frozen=True)
class Numbers:
    """The ids of a run: a prefix, which may be empty, with the numbers from `first` to `last`."""

    prefix: str
    first: int
    last: int

    @property
    def count(self) -> int:
        return self.last - self.first + 1

    def check(self) -> None:
        """Raise Error where these can't be device ids, or are more than a prefix has."""
        if self.last > LAST_NUMBER:
            raise Error(
                f"{self.count:,} ids from {self.device_id(self.first)} on are more than a prefix"
                " has",
                hint=f"choose another prefix; each has the numbers up to {LAST_NUMBER:,}",
            )
        deviceid.check(self.device_id(self.last))

    def device_id(self, number: int) -> str:
        """Return the id with that number."""
        return f"{self.prefix}-{number:06}" if self.prefix else f"{number:06}"

    def number(self, device_id: str) -> int | None:
        """Return the number in an id of this run, None where it is none."""
        digits = device_id.removeprefix(f"{self.prefix}-" if self.prefix else "")
        number = int(digits) if digits.isascii() and digits.isdecimal() else 0
        mine = self.first <= number <= self.last and self.device_id(number) == device_id
        return number if mine else None


@dataclass(frozen=True)
class Delivery:
    """Keys that are on their way to `place`, or were when a run was broken off.

    `claim` is None for named devices.
    """

    number: int
    place: str
    began_at: datetime
    claim: Numbers | None = None
