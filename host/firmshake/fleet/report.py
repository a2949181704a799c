"""What became of a run, device by device, as values; and the tally of them. Does no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from firmshake.registry.fleetrecord import RunDevice, RunRecord, SlotRecord
from firmshake.registry.record import Change

# of a device that is wanted: "open" while it is neither
Outcome = Literal["proved", "failed", "open"]
# the state whose verdict goes with it: what was tried and is not done has failed before
_SAID: dict[Outcome, str] = {"proved": "proved", "failed": "failed", "open": "failed"}

# of a device's history, the last ones; a board with a loose cable can have thousands
_MOST_STEPS = 20
# of the ids of devices that failed alike; the table of all devices has the rest
_MOST_NAMED = 50


@dataclass(frozen=True)
class DeviceRow:
    """One device as a run has left it. What is unknown is "" or None.

    `device_id` is the rule for one where no board has come yet. `steps` are the states that it went
    through until the run was done with it, with when and the verdict of each, the last ones.
    `attempts` counts proofs of this run that were come to an end, good or bad. `since` says what
    has become of it since then; chip, firmware and certificate are its last ones. Everything here
    may have come from strangers.
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
    since: str = ""


@dataclass(frozen=True)
class RunFacts:
    """The run that a report is about, and when it was made. `stations` are those at work now."""

    project: str
    run: RunRecord
    stations: Sequence[str]
    made_at: datetime


def row_of(found: RunDevice, run: RunRecord) -> DeviceRow:
    """Return the report's row of what the registry knows of a device of that run."""
    slot, device = found.slot, found.device
    if device is None:
        return _open_row(slot)
    certificate, outcome, end = device.certificate, _outcome(slot), _end(found)
    until = found.history[:end]
    steps = tuple((change.at, change.state, change.verdict or "") for change in until)
    return DeviceRow(
        device_id=device.device_id,
        outcome=outcome,
        state=until[-1].state if until else "",
        verdict=_verdict(outcome, until, run),
        unique_id=slot.unique_id or device.unique_id or slot.wanted_unique_id or "",
        chip=device.chip or "",
        firmware=device.firmware or "",
        board=slot.board or "",
        serial_number=certificate.serial_number if certificate else "",
        fingerprint_sha256=certificate.fingerprint_sha256 if certificate else "",
        not_after=certificate.not_after if certificate else None,
        revoked=(certificate.reason or "revoked") if certificate and certificate.revoked_at else "",
        steps=steps[-_MOST_STEPS:],
        attempts=sum(s in ("proved", "failed") for at, s, _ in steps if at >= run.created_at),
        since=_since(found.history[end:]),
    )


def _open_row(slot: SlotRecord) -> DeviceRow:
    return DeviceRow(
        device_id=slot.device_id or slot.id_rule,
        outcome="open",
        unique_id=slot.wanted_unique_id or "",
        board=slot.board or "",
    )


def _end(found: RunDevice) -> int:
    """How many of the device's changes there were when the run was done with it."""
    slot, history = found.slot, found.history
    if slot.status == "held":
        return len(history)
    # the registry knows seconds: a later run's first changes may stand in the same one
    same = [
        number
        for number, change in enumerate(history, 1)
        if change.at == slot.changed_at and change.state == slot.status
    ]
    return same[-1] if same else sum(change.at <= slot.changed_at for change in history)


def _verdict(outcome: Outcome, until: Sequence[Change], run: RunRecord) -> str:
    """The verdict that goes with the outcome; a failure before the run is none of it."""
    if not until or until[-1].state != _SAID[outcome]:
        return ""
    # what was proved before a run began is proved in it without a step
    is_its_own = outcome == "proved" or until[-1].at >= run.created_at
    return until[-1].verdict or "" if is_its_own else ""


def _since(later: Sequence[Change]) -> str:
    """What changed after that, in words: how it stands now, and whether by a new certificate."""
    if not later:
        return ""
    last = later[-1]
    verdict = f", {last.verdict}" if last.verdict and last.state == "failed" else ""
    renewed = any(change.state == "issued" for change in later)
    return f"{last.state}{verdict}{', with a new certificate' if renewed else ''}"


def _outcome(slot: SlotRecord) -> Outcome:
    return slot.status if slot.status in ("proved", "failed") else "open"


@dataclass
class Failures:
    """The devices that failed with one verdict: how many, and the ids of the first of them."""

    count: int = 0
    named: list[str] = field(default_factory=list)


class Tally:
    """Counts the rows of a report, one after the other, in little memory.

    What was before the run, which `began` then, has no part in its rate.
    """

    def __init__(self, began: datetime) -> None:
        self._began = began
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
        steps = [(at, state) for at, state, _ in row.steps if at >= self._began]
        began = [at for at, state in steps if state == "issued"][-1:]
        proved = [at for at, state in steps if state == "proved"][-1:]
        self._first = min(filter(None, [self._first, *began]), default=None)
        self._last = max(filter(None, [self._last, *proved]), default=None)
