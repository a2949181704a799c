"""Listens to what the boards of a fleet report, and keeps the last verdict of each.

One thread: it reads messages until it is time to write, writes all of them, and only then tells the
broker that it may forget them. So there is one transaction a second, and more where that much is
said that the broker waits for us.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol

from firmshake.errors import Error
from firmshake.fleet import watchlink
from firmshake.fleet.watchinbox import Inbox
from firmshake.fleet.watchmessage import READY
from firmshake.registry.fleetrecord import Diagnosis

# how long messages are waited for before the view is seen to
_TURN_S = 0.25
_WRITE_S = 1.0
# verdicts in a transaction: some tenths of a second, in which nothing is read
_BATCH = 5000
# unacknowledged messages that are written at once: half of what the broker may have under way
_MANY = watchlink.UNDER_WAY // 2
# A broker may have a limit of its own, and say no more until we acknowledge: RabbitMQ's, of 10, is
# the lowest. So after that many a pause is none of the boards'
_FEW, _QUIET_S = 10, 0.02
# transactions then, at most: a fifth of the time, as others write to the registry too
_WRITE_SHARE = 4
# the certificate is not used to its very last moment
_SPARE = timedelta(minutes=1)
# before the certificate's end, when it is told
_NOTICES = (timedelta(days=1), timedelta(hours=1))
# faults that are told; a fleet has many boards, and each may have one
_MOST_TOLD = 1000
# what counting the registry's verdicts may cost: a twentieth of the time
_SHARE = 20
# without a word from any board, the rule that lets us read is called to mind
_SILENCE_S = 60.0


@dataclass(frozen=True)
class Counts:
    """How the watching goes. `boards` are those heard since it began, `ready` those among them.

    `kept` counts verdicts that were written, `stages` the boards in the registry whose last verdict
    is a failure, by stage, the most frequent first.
    """

    listening: bool
    elapsed_s: float
    messages: int = 0
    refused: int = 0
    kept: int = 0
    unknown: int = 0
    boards: int = 0
    ready: int = 0
    stages: Mapping[str, int] = field(default_factory=dict)


class Books(Protocol):
    """What is asked of the registry."""

    def put_diagnoses(self, diagnoses: Sequence[Diagnosis]) -> set[str]:
        """Keep verdicts; return the ids of devices that are not known. Raises Error."""

    def failing_stages(self) -> Mapping[str, int]:
        """Return how many boards have failed last in each stage. Raises Error."""


class View(Protocol):
    """Who is told what is heard."""

    def heard(self, diagnoses: Sequence[Diagnosis], at: datetime) -> None:
        """Show verdicts that were kept; the last is the newest."""

    def counts(self, counts: Counts) -> None:
        """Show how it goes; called a few times a second."""

    def note(self, text: str) -> None:
        """Show words about the connection, or about a board that is not believed."""


class Line(Protocol):
    """What is asked of the connection."""

    @property
    def is_listening(self) -> bool:
        """Whether messages would come."""

    @property
    def unsettled(self) -> int:
        """How many messages the broker keeps until we acknowledge them."""

    def settle(self) -> None:
        """Acknowledge all that has come: it is kept."""

    def work(self, seconds: float) -> None:
        """Read what has come, or wait for it. Raises Error where it makes no sense to go on."""

    def close(self) -> None:
        """Leave; the broker keeps for the next watching what was not acknowledged."""


class Faults:
    """Tells what is wrong with a board's reports: a fault of a board once."""

    def __init__(self, note: Callable[[str], None]) -> None:
        self._note = note
        self._told: set[tuple[str, str]] = set()

    def tell(self, device_id: str, words: str) -> None:
        if (device_id, words) in self._told or len(self._told) >= _MOST_TOLD:
            return
        self._told.add((device_id, words))
        self._note(f"{device_id or 'somebody'}: {words}")


class Watch:
    """One watching, from `inbox` to `books` and `view`; `ends` is the certificate's end."""

    def __init__(
        self,
        line: Line,
        inbox: Inbox,
        books: Books,
        view: View,
        faults: Faults,
        ends: datetime,
        monotonic: Callable[[], float] = time.monotonic,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._line, self._inbox, self._books, self._view = line, inbox, books, view
        self._faults, self._ends = faults, ends
        self._monotonic, self._clock = monotonic, clock
        self._began = self._written = self._counted = monotonic()
        self._write_cost = 0.0
        left = ends - clock()
        self._notices = [notice for notice in _NOTICES if notice < 0.9 * left]
        self._kept = self._unknown = 0
        self._boards: dict[str, bool] = {}  # whether each that was heard is ready
        self._stages: Mapping[str, int] = {}
        self._stale, self._cost = True, 0.0
        self._trouble = ""  # what the registry last complained of
        self._was_silent = False

    def run(self, seconds: float | None = None) -> None:
        """Watch so long, or until an interruption; what was heard is kept in either case.

        Raises Error where the broker refuses us, another watcher takes our place, or the
        certificate has ended.
        """
        try:
            while seconds is None or self._elapsed() < seconds:
                self._check_certificate()
                before = self._inbox.messages
                self._line.work(_QUIET_S if self._line.unsettled >= _FEW else _TURN_S)
                if self._is_due(is_quiet=self._inbox.messages == before):
                    self._write()
                self._show()
        finally:
            self._write()
            self._line.close()
            self._stale, self._cost = True, 0.0
            self._show()

    def _is_due(self, *, is_quiet: bool) -> bool:
        """Whether it is time to write."""
        since = self._monotonic() - self._written
        if since >= _WRITE_S:
            return True
        waiting = self._line.unsettled
        if self._trouble or waiting < _FEW:
            return False
        return waiting >= _MANY or (is_quiet and since >= self._write_cost * _WRITE_SHARE)

    def _write(self) -> None:
        """Keep all that has come, and then acknowledge it; where the registry takes it not, wait.

        Interrupted anywhere, it can be done again.
        """
        self._written = self._monotonic()
        while len(self._inbox):
            batch = self._inbox.oldest(_BATCH)
            try:
                unknown = self._books.put_diagnoses(batch)
            except Error as error:  # another station may hold it, or its server be away
                self._complain(f"the registry does not take verdicts, which wait: {error.message}")
                return
            self._inbox.forget(batch)
            self._complain("")
            self._kept_now(batch, unknown)
        self._line.settle()
        self._write_cost = self._monotonic() - self._written

    def _kept_now(self, batch: Sequence[Diagnosis], unknown: set[str]) -> None:
        """Count and show what the registry has."""
        known = [one for one in batch if one.device_id not in unknown]
        for device_id in sorted(unknown):
            self._faults.tell(device_id, "the registry knows no such device: nothing is kept of it")
        self._unknown += len(unknown)
        self._kept += len(known)
        self._boards |= {one.device_id: one.verdict == READY for one in known}
        self._stale |= bool(known)
        self._view.heard(known, self._clock())

    def _show(self) -> None:
        self._count_stages()
        if not self._was_silent and not self._inbox.messages and self._elapsed() > _SILENCE_S:
            self._was_silent = True
            self._view.note(
                "no board has reported yet; each does when it connects. If some have, does the"
                " broker let the watcher read? docs/fleet.md has the lines for it"
            )
        inbox = self._inbox
        self._view.counts(
            Counts(
                listening=self._line.is_listening,
                elapsed_s=self._elapsed(),
                messages=inbox.messages,
                refused=inbox.refused,
                kept=self._kept,
                unknown=self._unknown,
                boards=len(self._boards),
                ready=sum(self._boards.values()),
                stages=self._stages,
            )
        )

    def _count_stages(self) -> None:
        """Ask the registry anew where something was written, and not too often for its size."""
        now = self._monotonic()
        if not self._stale or now - self._counted < self._cost * _SHARE:
            return
        try:
            self._stages = self._books.failing_stages()
            self._stale = False
        except Error as error:
            self._complain(f"the registry does not answer: {error.message}")
        self._counted = self._monotonic()
        self._cost = self._counted - now

    def _complain(self, words: str) -> None:
        """Say what the registry complains of, once."""
        if words and words != self._trouble:
            self._view.note(words)
        self._trouble = words

    def _check_certificate(self) -> None:
        left = self._ends - self._clock()
        if left <= _SPARE:
            self._view.note("the watcher's certificate has come to its end, and the watching too")
            raise Error(
                "the watcher's certificate has come to its end",
                hint="run the same command again: it has a new one then, and the broker has kept"
                " what boards report until then",
            )
        due = [notice for notice in self._notices if left <= notice]
        if due:
            self._notices = [notice for notice in self._notices if notice not in due]
            self._view.note(
                f"the watcher's certificate ends at {self._ends.astimezone():%Y-%m-%d %H:%M}, and"
                " the watching with it: end it before and run the same command again; what boards"
                " report in between waits at the broker"
            )

    def _elapsed(self) -> float:
        return self._monotonic() - self._began
