"""pyserial's ports over the network, without the pauses between two looks for an answer.

pyserial looks every 50 ms whether a change was acknowledged, and each change of a time limit counts
as one; a board next door answers within 1 ms. All else is pyserial's own, and no time limit is
another: such a pause stands in a loop that looks at the clock.

As a program, `python -m support.polling MODULE ARGUMENTS...` runs a tool that way.
"""

from __future__ import annotations

import runpy
import sys
import time
import types

from serial import rfc2217

_PYSERIALS_S, _PAUSE_S = 0.05, 0.002


def hasten() -> None:
    """Have pyserial look every 2 ms from now on, in this process."""

    def sleep(seconds: float) -> None:
        # how long a closed port rests is another matter, and stays
        time.sleep(_PAUSE_S if seconds == _PYSERIALS_S else seconds)

    hurried = types.SimpleNamespace(**vars(time))
    hurried.sleep = sleep
    rfc2217.time = hurried


if __name__ == "__main__":
    hasten()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
