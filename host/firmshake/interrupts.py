"""Ctrl-C and its like, taken so that nothing is left behind.

An interruption is an exception that may come between any two steps, also between the start of a
child process and the line that notes it, and again while the first one is being cleaned up after.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

# What a terminal sends at Ctrl-C and when it is closed, and what a polite kill sends
SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)

_Handler = Callable[[int, FrameType | None], Any]


_AGAIN_S = 0.02


class Interrupted(KeyboardInterrupt):
    """One of SIGNALS came; `number` is which."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


@contextlib.contextmanager
def taken() -> Iterator[None]:
    """In the main thread: the first of SIGNALS raises Interrupted, further ones are ignored.

    One that was ignored before (nohup, a shell's background job) still is.
    """
    is_lost = False
    again: list[threading.Timer] = []

    def come_again(number: int) -> None:
        again.append(threading.Timer(_AGAIN_S, os.kill, (os.getpid(), number)))
        again[-1].start()

    def interrupt(number: int, frame: FrameType | None) -> None:
        if is_lost:  # a slow machine is not yet out of there
            come_again(number)
            return
        # what is cleaned up now is not to be interrupted again
        _handle(_ignore)
        raise Interrupted(number)

    def lost(unraisable: sys.UnraisableHookArgs) -> None:
        # raised where Python can't raise, as in a finaliser: it comes again, a moment later
        nonlocal is_lost
        if not isinstance(unraisable.exc_value, Interrupted):
            hook(unraisable)
            return
        is_lost = True
        _handle(interrupt)
        come_again(unraisable.exc_value.number)
        is_lost = False

    before, hook = _handle(interrupt), sys.unraisablehook
    sys.unraisablehook = lost
    try:
        yield
    finally:
        try:
            # none comes when its handler is gone
            _handle(_ignore)
            for timer in again:
                timer.cancel()
                if timer.is_alive():
                    timer.join()
        finally:
            # also where one comes before it can be ignored
            sys.unraisablehook = hook
            _restore(before)


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Put SIGNALS off to the end of the context, for what must be noted once it is begun.

    Outside the main thread, which alone is ever interrupted, this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = _handle(lambda number, frame: came.append(number))
    try:
        yield
    finally:
        _restore(before)
        if came:
            signal.raise_signal(came[0])


def ignore_all() -> None:
    """From here on none of SIGNALS has an effect: the program is at its end."""
    _handle(_ignore)


def _ignore(number: int, frame: FrameType | None) -> None:
    """Do nothing. Unlike SIG_IGN, this is not passed on to child processes."""


def _handle(handler: _Handler) -> dict[int, Any]:
    """Put `handler` in place; what was there before, but for what is ignored and stays so."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number, old in before.items():
        if old is not signal.SIG_IGN:
            signal.signal(number, handler)
    return before


def _restore(before: dict[int, Any]) -> None:
    for number, old in before.items():
        # None: it was not set from Python, and cannot be put back
        if old is not None and old is not signal.SIG_IGN:
            signal.signal(number, old)
