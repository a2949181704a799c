"""What has come from boards and was not kept yet: the last of each, however often it speaks.

So a board that never stops talking costs the others nothing: it has one place here, and after some
messages in a second only the last of them is read. Does no I/O.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from itertools import islice

from firmshake.fleet import watchmessage
from firmshake.fleet.watchmessage import BadReport
from firmshake.registry.fleetrecord import Diagnosis

# of one board in a second. A board reports once a session, in a few messages
MOST_A_SECOND = 10
# boards in one batch; those of the largest fleet, all at once, wait for a few of them
MOST_BOARDS = 100_000


def _now() -> datetime:
    return datetime.now(UTC)


class Inbox:
    """Takes messages and gives back verdicts. `source` is where they are heard.

    `told` is called with a device id and words, once for a device and a fault.
    """

    def __init__(
        self,
        source: str,
        told: Callable[[str, str], None],
        clock: Callable[[], datetime] = _now,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.messages = self.refused = 0
        self._source, self._told = source, told
        self._clock, self._monotonic = clock, monotonic
        self._waiting: dict[str, Diagnosis | bytes] = {}  # bytes were not read yet
        self._second = 0
        self._heard: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, topic: str, payload: bytes) -> None:
        """Take a message; what is no report is counted and told."""
        self.messages += 1
        device_id = ""
        try:
            device_id = watchmessage.device_of(topic)
            if len(self._waiting) >= MOST_BOARDS and device_id not in self._waiting:
                raise BadReport("too many boards at once: not kept")
            found = payload if self._is_loud(device_id) else self._read(device_id, payload)
            # at the end: in the order in which the boards spoke last
            self._waiting.pop(device_id, None)
            self._waiting[device_id] = found
        except BadReport as error:
            self._refuse(device_id, error)

    def oldest(self, most: int) -> list[Diagnosis]:
        """Return the verdicts that have waited longest; they wait on until they are forgotten."""
        found = []
        for device_id, waiting in list(islice(self._waiting.items(), most)):
            try:
                one = self._read(device_id, waiting) if isinstance(waiting, bytes) else waiting
            except BadReport as error:
                del self._waiting[device_id]
                self._refuse(device_id, error)
                continue
            self._waiting[device_id] = one
            found.append(one)
        return found

    def forget(self, kept: Iterable[Diagnosis]) -> None:
        """Let go of what `oldest` has returned, with nothing put in since."""
        for one in kept:
            del self._waiting[one.device_id]

    def _read(self, device_id: str, payload: bytes) -> Diagnosis:
        return watchmessage.parse(device_id, payload, self._clock(), self._source)

    def _refuse(self, device_id: str, error: BadReport) -> None:
        self.refused += 1
        self._told(device_id, error.message)

    def _is_loud(self, device_id: str) -> bool:
        """Whether a board has said enough in this second; a broker's queue may hold much of one."""
        second = int(self._monotonic())
        if second != self._second:
            self._second = second
            self._heard.clear()
        self._heard[device_id] += 1
        if self._heard[device_id] <= MOST_A_SECOND:
            return False
        words = f"more than {MOST_A_SECOND} reports within a second: only the last is read"
        self._told(device_id, words)
        return True
