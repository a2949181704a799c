"""pyserial's ports over the network, without the pauses between two looks for an answer.

pyserial looks every 50 ms whether a change was acknowledged, and each change of a time limit counts
as one; a board next door answers within 1 ms. And it waits for 3 s, for which a busy machine may
let a board stand still: here it waits for long, but not for a port that is gone. All else is
pyserial's own.

As a program, `python -m support.polling MODULE ARGUMENTS...` runs a tool that way.
"""

from __future__ import annotations

import runpy
import sys
import time
import types

from serial import rfc2217
from serial.serialutil import Timeout

_PYSERIALS_S, _PAUSE_S = 0.05, 0.002
# of acknowledgements: pyserial's own limit, and ours
_LIMIT_S, _PATIENCE_S = 3, 60.0


def hasten() -> None:
    """Have pyserial look every 2 ms from now on, and be patient, in this process."""

    def sleep(seconds: float) -> None:
        # how long a closed port rests is another matter, and stays
        time.sleep(_PAUSE_S if seconds == _PYSERIALS_S else seconds)

    hurried = types.SimpleNamespace(**vars(time))
    hurried.sleep = sleep
    rfc2217.time = hurried
    rfc2217.Timeout = _Until
    rfc2217.Serial._network_timeout = property(_patience, _limit)


class _Patience(float):
    """Seconds to wait for what a port acknowledges."""

    port: rfc2217.Serial


class _Until(Timeout):  # type: ignore[misc]
    """pyserial's time limit; one for an acknowledgement is over, too, when nobody can send it."""

    def __init__(self, duration: float | None) -> None:
        super().__init__(duration)
        self._reader = getattr(getattr(duration, "port", None), "_thread", None)

    def expired(self) -> bool:
        return bool(super().expired()) or (self._reader is not None and not self._reader.is_alive())


def _patience(port: rfc2217.Serial) -> float:
    seconds: float = vars(port).get("limit_s", _LIMIT_S)
    if seconds != _LIMIT_S or type(port)._telnet_read_loop is not _READ_LOOP:
        return seconds
    patience = _Patience(_PATIENCE_S)
    patience.port = port
    return patience


_READ_LOOP = rfc2217.Serial._telnet_read_loop


def _limit(port: rfc2217.Serial, seconds: float) -> None:
    # what a URL or a test asks for is kept
    vars(port)["limit_s"] = seconds


if __name__ == "__main__":
    hasten()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
