"""What the registry knows of a fleet's runs, as values. Does no I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from firmshake.errors import Error
from firmshake.registry.record import Change, DeviceRecord

# "open": nobody works on it; "held": a claim on it lives; "proved" and "failed": how it ended
SlotStatus = Literal["open", "held", "proved", "failed"]
SLOT_STATUSES: tuple[SlotStatus, ...] = ("open", "held", "proved", "failed")

# why a board gets nothing to be. "busy": it, or the device that it is, is being worked on. "full":
# all that is wanted is taken. "not_wanted": the manifest names other boards. "wrong_board": what is
# left is for other kinds of boards. "other_board": another one is that device already.
# "other_device": the board is another device already
RefusalReason = Literal["busy", "full", "not_wanted", "wrong_board", "other_board", "other_device"]


@dataclass(frozen=True)
class RunRecord:
    """One run of the fleet, which several stations may share.

    A run of a manifest has its `digest` and `manifest` (a file's name); another has the `rule` for
    device ids. `wanted` is how many devices there are to be, None where there is no end.
    """

    id: int
    name: str
    digest: str | None
    manifest: str | None
    wanted: int | None
    rule: str | None
    created_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True)
class Claim:
    """What a board is to become, for as long as the lease is renewed.

    `token` is what nobody else has: every change of state is made with it. `line` is the
    manifest's, 0 where there is none. `profile` None is the usual one. `known_state` is the
    device's in the registry: "planned" where nothing was done for it yet.
    """

    device_id: str
    unique_id: str
    token: str
    slot: int
    line: int
    profile: str | None
    known_state: str


@dataclass(frozen=True)
class Refusal:
    """That a board gets no claim: why, and in words for its operator."""

    reason: RefusalReason
    words: str


class ClaimLost(Error):
    """A claim that has expired and was given to another, or was released."""


@dataclass(frozen=True)
class SlotRecord:
    """One device that a run wants. What is not bound yet is None."""

    id: int
    run: int
    line: int
    id_rule: str
    device_id: str | None
    wanted_unique_id: str | None
    board: str | None
    profile: str | None
    unique_id: str | None
    status: SlotStatus
    changed_at: datetime


@dataclass(frozen=True)
class RunDevice:
    """A slot beside the device in it, None where there is none yet, and what became of that."""

    slot: SlotRecord
    device: DeviceRecord | None
    history: Sequence[Change]


@dataclass(frozen=True)
class Status:
    """How far the fleet has come.

    `devices` counts those of the registry by state, `slots` those of the run, or of all, by status.
    `verdicts` counts the failed devices (of the run, or of all) by verdict, the most frequent
    first, with "" for those without one. `stations` counts the claims that live, by station.
    `changes` are the last ones of the registry, the newest first.
    """

    devices: Mapping[str, int]
    slots: Mapping[str, int]
    verdicts: Mapping[str, int]
    stations: Mapping[str, int]
    changes: Sequence[Change]

    @property
    def open_slots(self) -> int:
        return self.slots.get("open", 0)


@dataclass(frozen=True)
class Diagnosis:
    """The last verdict that a board has published. `evidence` is JSON.

    `at` is when it happened, None where the board had no clock; `count` how often in a row.
    `source` says where it was heard.
    """

    device_id: str
    at: datetime | None
    stage: str
    verdict: str
    evidence: str
    count: int
    source: str
