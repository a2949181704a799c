"""Reads single keys from the terminal, and leaves it as it was, however the program ends or stops.

Keys come without Enter and are not shown; Ctrl-C and Ctrl-Z stay what they are (termios(3), ICANON
and ECHO off, ISIG on).
"""

from __future__ import annotations

import codecs
import contextlib
import os
import re
import signal
import sys
import termios
import tty
from collections.abc import Callable
from types import FrameType
from typing import Any

from firmshake.cli.controls import BACKSPACE, CLEAR, ENTER, ESCAPE

_MOST = 1024
# cursor and function keys (ECMA-48, 5.4; SS3 as of a VT100), which have no meaning here
_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|O.)")
_NAMES = {
    "\r": ENTER,
    "\n": ENTER,
    "\x1b": ESCAPE,
    "\x7f": BACKSPACE,
    "\x08": BACKSPACE,
    "\x15": CLEAR,  # Ctrl-U
}


class Keyboard:
    """The keys of the terminal on standard input, between `begin` and `end`.

    Stopped by Ctrl-Z, the program gives the terminal back; in the foreground again it takes it.
    In the background it leaves it alone, and there are no keys.
    """

    def __init__(self, leaving: Callable[[], None], taken: Callable[[], None]) -> None:
        """`leaving` and `taken` are called when the terminal is left and taken again.

        Between any two steps of the program, as signals come. Raises OSError where standard input
        is no terminal.
        """
        self._leaving = leaving
        self._taken = taken
        self._terminal = sys.stdin.fileno()
        try:
            self._before = termios.tcgetattr(self._terminal)
        except termios.error as error:
            raise OSError(*error.args) from None
        self._handlers: dict[int, Any] = {}
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._has_begun = False
        self._is_open = True
        self.is_taken = False

    def begin(self) -> None:
        """Take the terminal, once this program is in its foreground."""
        self._has_begun = True
        for number, handler in ((signal.SIGTSTP, self._stop), (signal.SIGCONT, self._go_on)):
            before = signal.getsignal(number)
            if before is not signal.SIG_IGN:
                self._handlers[number] = before
                signal.signal(number, handler)
        self._take()

    def end(self) -> None:
        """Give the terminal back. Again is allowed, and so is without `begin`."""
        self._has_begun = False
        while self._handlers:
            signal.signal(*self._handlers.popitem())
        self._give_back()

    @property
    def descriptors(self) -> list[int]:
        """What to wait for: there may be a key where it can be read."""
        if self._has_begun and not self.is_taken:
            # a shell may move a program to the foreground without a word
            self._take()
        return [self._terminal] if self.is_taken and self._is_open else []

    def read(self) -> list[str]:
        """The keys that were pressed: characters, or names of controls.py."""
        if not self.descriptors:
            return []
        try:
            data = os.read(self._terminal, _MOST)
        except OSError:  # the terminal is gone
            data = b""
        self._is_open = bool(data)
        return keys(self._decoder.decode(data))

    def _take(self) -> None:
        if not self._is_ours():
            return
        with contextlib.suppress(termios.error):
            # at once: a terminal that Ctrl-S has halted would be waited for
            tty.setcbreak(self._terminal, termios.TCSANOW)
            self.is_taken = True
            self._taken()

    def _give_back(self) -> None:
        if self.is_taken and self._is_ours():
            with contextlib.suppress(termios.error):
                termios.tcsetattr(self._terminal, termios.TCSANOW, self._before)
        self.is_taken = False

    def _is_ours(self) -> bool:
        """Whether this program is in the foreground: in the background, it would be stopped."""
        try:
            return os.tcgetpgrp(self._terminal) == os.getpgrp()
        except OSError:
            return False

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._leaving()
        self._give_back()
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        # to this very thread: it stops here, and goes on here
        signal.raise_signal(signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, self._stop)
        self._take()

    def _go_on(self, number: int, frame: FrameType | None) -> None:
        # stopped by SIGSTOP, which can't be noticed: the shell has changed the modes
        self._take()


def keys(text: str) -> list[str]:
    """The keys whose characters these are; those without a meaning are left out."""
    plain = _SEQUENCE.sub("", text)
    return [_NAMES.get(char, char) for char in plain if char in _NAMES or char.isprintable()]
