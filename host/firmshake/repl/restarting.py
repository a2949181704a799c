"""Starting a board's program anew by a soft reset, so that all it says from then on is heard.

Ctrl-D does that at the prompt for people and nowhere else. Ctrl-C leads there, but not always: a
board that is just starting takes it for an ordinary byte, which nobody reads while its program
runs. CircuitPython starts by itself 0.75 s after its drive was last written, and an ESP32 may when
its port is opened. So the prompt is waited for, and then the words with which a board starts.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import serial

from firmshake.repl.wire import STOP, Wire

_CTRL_D = b"\x04"
_PROMPT = b">>> "
# MicroPython's word for a soft reset and CircuitPython's, and what the latter says at each start
_ANEW = re.compile(rb"(?:[A-Z]+: )?soft reboot\r\n|code\.py output:\r\n")

# A program ends within a moment at Ctrl-C, and a board says at once that it starts anew
_KNOCK_S = 0.5
_SAYS_S = 1.0
# From a soft reset until Ctrl-C has a meaning again: less, but for a firmware that joins a network
_LIMIT_S = 5.0


class Restarted:
    """An open port, from the words with which its board started on."""

    def __init__(self, port: serial.SerialBase, heard: bytes) -> None:
        self._port, self._heard = port, heard

    @property
    def port(self) -> str:
        """Its name."""
        return str(self._port.port)

    @property
    def timeout(self) -> float | None:
        """How long a read may take, in seconds."""
        limit: float | None = self._port.timeout
        return limit

    @timeout.setter
    def timeout(self, value: float | None) -> None:
        self._port.timeout = value

    @property
    def in_waiting(self) -> int:
        """How many bytes can be read at once; one where the port can't tell."""
        return len(self._heard) or getattr(self._port, "in_waiting", 1)

    def read(self, size: int = 1, /) -> bytes:
        """As the port's own: up to `size` bytes."""
        if not self._heard:
            return self._port.read(size) or b""
        data, self._heard = self._heard[:size], self._heard[size:]
        return data


def restart(port: serial.SerialBase) -> Restarted:
    """Start the board's program anew; its port, from there on.

    A board that does not come to its prompt within 5 s, but started by itself meanwhile, is heard
    from that start. One that did neither is sent Ctrl-D all the same, and heard from then on.
    Raises Error where the board goes away.
    """
    wire, heard = Wire(port), b""
    ends = time.monotonic() + _LIMIT_S
    while time.monotonic() < ends:
        wire.write(STOP)
        heard += (said := _listen(wire, _is_at_prompt, _KNOCK_S))
        if not _is_at_prompt(said):
            continue
        wire.write(_CTRL_D)
        said = _listen(wire, _ANEW.search, _SAYS_S)
        if found := _ANEW.search(said):
            return Restarted(port, said[found.start() :])
        heard += said
    wire.write(_CTRL_D)
    starts = [found.start() for found in _ANEW.finditer(heard)]
    return Restarted(port, heard[starts[-1] :] if starts else b"")


def _is_at_prompt(said: bytes) -> bool:
    return said.endswith(_PROMPT)


def _listen(wire: Wire, is_enough: Callable[[bytes], object], limit_s: float) -> bytes:
    """What comes within `limit_s`, or until it is enough."""
    ends, said = time.monotonic() + limit_s, b""
    while not is_enough(said) and (left := ends - time.monotonic()) > 0:
        said += wire.read(left)
    return said
