"""CircuitPython's `rtc`: a clock that starts in 2000 at each start, and is set by its time."""

from __future__ import annotations

import calendar
import time

_START = 946684800.0 - time.monotonic()  # 2000-01-01T00:00:00Z


class RTC:
    """The one clock."""

    _offset = _START

    @property
    def datetime(self) -> time.struct_time:
        """The time, in no zone."""
        return time.gmtime(RTC._offset + time.monotonic())

    @datetime.setter
    def datetime(self, value: time.struct_time) -> None:
        RTC._offset = calendar.timegm(value) - time.monotonic()
