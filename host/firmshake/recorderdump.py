"""Fetches a board's flight recorder over its serial line, and lets its program go on."""

from __future__ import annotations

import contextlib
import time

from firmshake import recorder, serialport
from firmshake.errors import Error
from firmshake.recorder import Recording
from firmshake.repl.rawrepl import RawRepl
from firmshake.repl.reading import read
from firmshake.repl.wire import Wire

_CTRL_D = b"\x04"
# What MicroPython and CircuitPython say at a soft reset, and how long that may take
_RESTARTS = b"soft reboot"
_RESTARTS_S = 5.0


def fetch(port: str, baud: int = serialport.CONSOLE_BAUD) -> Recording:
    """Read the recorder of the board on `port`, an empty one where it has none.

    What runs there is stopped for that, and begins anew by a soft reset: counts that it had in
    memory alone are lost. Raises Error where the port cannot be had, entering.NoRepl where no REPL
    answers.
    """
    with serialport.open_port(port, baud) as opened:
        repl = RawRepl(Wire(opened))
        try:
            repl.enter()
            return recorder.parse(read(repl, recorder.PATH) or b"")
        finally:
            with contextlib.suppress(Error):
                _restart(repl)


def _restart(repl: RawRepl) -> None:
    repl.leave()
    repl.wire.write(_CTRL_D)
    # until it has: a port that is closed may drop what was not sent yet
    heard, ends = b"", time.monotonic() + _RESTARTS_S
    while _RESTARTS not in heard and time.monotonic() < ends:
        heard += repl.wire.read(ends - time.monotonic())
