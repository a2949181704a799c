"""What became of a run, device by device, as values; and the tally of them. Does no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from firmshake.registry.fleetrecord import RunDevice, RunRecord, SlotRecord

# of a device that is wanted: "open" while it is neither
Outcome = Literal["proved", "failed", "open"]

# of a device's history, the last ones; a board with a loose cable can have thousands
_MOST_STEPS = 20
# of the ids of devices that failed alike; the table of all devices has the rest
_MOST_NAMED = 50


@dataclass(frozen=True)
class DeviceRow:
    """One device of a run. What is unknown is "" or None.

    `device_id` is the rule for one where no board has come yet. `steps` are the states that it went
    through, with when and the verdict of each, the last ones. `attempts` counts proofs that were
    come to an end, good or bad. Everything here may have come from strangers.
    """

    device_id: str
    outcome: Outcome
    state: str = ""
    verdict: str = ""
    unique_id: str = ""
    chip: str = ""
    firmware: str = ""
    board: str = ""
    serial_number: str = ""
    fingerprint_sha256: str = ""
    not_after: datetime | None = None
    revoked: str = ""
    steps: tuple[tuple[datetime, str, str], ...] = ()
    attempts: int = 0


@dataclass(frozen=True)
class RunFacts:
    """The run that a report is about, and when it was made. `stations` are those at work now."""

    project: str
    run: RunRecord
    stations: Sequence[str]
    made_at: datetime


def row_of(found: RunDevice) -> DeviceRow:
    """Return the report's row of what the registry knows of a device of a run."""
    slot, device = found.slot, found.device
    if device is None:
        return _open_row(slot)
    certificate = device.certificate
    steps = tuple((change.at, change.state, change.verdict or "") for change in found.history)
    return DeviceRow(
        device_id=device.device_id,
        outcome=_outcome(slot),
        state=device.state,
        verdict=device.verdict or "",
        unique_id=device.unique_id or slot.wanted_unique_id or "",
        chip=device.chip or "",
        firmware=device.firmware or "",
        board=slot.board or "",
        serial_number=certificate.serial_number if certificate else "",
        fingerprint_sha256=certificate.fingerprint_sha256 if certificate else "",
        not_after=certificate.not_after if certificate else None,
        revoked=(certificate.reason or "revoked") if certificate and certificate.revoked_at else "",
        steps=steps[-_MOST_STEPS:],
        attempts=sum(state in ("proved", "failed") for _, state, _ in steps),
    )


def _open_row(slot: SlotRecord) -> DeviceRow:
    return DeviceRow(
        device_id=slot.device_id or slot.id_rule,
        outcome="open",
        unique_id=slot.wanted_unique_id or "",
        board=slot.board or "",
    )


def _outcome(slot: SlotRecord) -> Outcome:
    return slot.status if slot.status in ("proved", "failed") else "open"


@dataclass
class Failures:
    """The devices that failed with one verdict: how many, and the ids of the first of them."""

    count: int = 0
    named: list[str] = field(default_factory=list)


class Tally:
    """Counts the rows of a report, one after the other, in little memory."""

    def __init__(self) -> None:
        self.counts: dict[Outcome, int] = {"proved": 0, "failed": 0, "open": 0}
        self._failures: dict[str, Failures] = {}
        self._first: datetime | None = None  # step of a board's, and proof
        self._last: datetime | None = None

    def add(self, row: DeviceRow) -> None:
        """Count one device."""
        self.counts[row.outcome] += 1
        if row.outcome == "failed":
            group = self._failures.setdefault(row.verdict, Failures())
            group.count += 1
            if len(group.named) < _MOST_NAMED:
                group.named.append(row.device_id)
        if row.outcome == "proved":
            self._time(row)

    def failures(self) -> list[tuple[str, Failures]]:
        """Return the failures by verdict, the most frequent first."""
        return sorted(self._failures.items(), key=lambda item: (-item[1].count, item[0]))

    @property
    def span_s(self) -> float:
        """Seconds from the first certificate that was made to the last proof; 0 without."""
        if self._first is None or self._last is None:
            return 0.0
        return max((self._last - self._first).total_seconds(), 0.0)

    @property
    def per_minute(self) -> float:
        """How many devices were proved a minute over that time; 0 where that can't be told."""
        return self.counts["proved"] / self.span_s * 60 if self.span_s else 0.0

    def _time(self, row: DeviceRow) -> None:
        began = [at for at, state, _ in row.steps if state == "issued"][-1:]
        proved = [at for at, state, _ in row.steps if state == "proved"][-1:]
        self._first = min(filter(None, [self._first, *began]), default=None)
        self._last = max(filter(None, [self._last, *proved]), default=None)
