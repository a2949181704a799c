"""What has come from boards and was not kept yet: the last of each, however often it speaks.

So a board that never stops talking costs the others nothing: it has one place here, and after some
messages in a second no more of them are read. Does no I/O.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

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
        self._waiting: dict[str, Diagnosis] = {}
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
            self._check_room(device_id)
            found = watchmessage.parse(device_id, payload, self._clock(), self._source)
            # at the end: in the order in which the boards spoke last
            self._waiting.pop(device_id, None)
            self._waiting[device_id] = found
        except BadReport as error:
            self.refused += 1
            self._told(device_id, error.message)

    def take(self, most: int) -> list[Diagnosis]:
        """Take out the verdicts that have waited longest."""
        ids = [device_id for _, device_id in zip(range(most), self._waiting, strict=False)]
        return [self._waiting.pop(device_id) for device_id in ids]

    def put_back(self, taken: Iterable[Diagnosis]) -> None:
        """Have verdicts wait again that could not be kept; one that came since then stays."""
        before = {one.device_id: one for one in taken}
        self._waiting = before | self._waiting

    def _check_room(self, device_id: str) -> None:
        second = int(self._monotonic())
        if second != self._second:
            self._second = second
            self._heard.clear()
        self._heard[device_id] += 1
        if self._heard[device_id] > MOST_A_SECOND:
            raise BadReport(f"more than {MOST_A_SECOND} reports a second: the rest is not read")
        if len(self._waiting) >= MOST_BOARDS and device_id not in self._waiting:
            raise BadReport("too many boards at once: not kept")
