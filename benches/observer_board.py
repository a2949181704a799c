"""Runs on MicroPython: handshakes with and without the observer, in turn; prints each one's µs.

`PORT ROUNDS` on the command line; key, chain and anchors as hexadecimal lines on standard input.
"""

import sys
import time

from firmshake_agent import der
from firmshake_agent.observer import Observer
from firmshake_agent.runtime_micropython import Runtime
from firmshake_agent.tap import Tap


class Blind:
    """Stands where the observer stands, and looks at nothing."""

    def received(self, data: object) -> None:
        pass

    def sent(self, data: object) -> None:
        pass


class Named:
    """What a handshake wants to know of an identity."""

    server_name = "127.0.0.1"


class Timed:
    """An observer whose own time is added up."""

    def __init__(self) -> None:
        self.us = 0
        self._observer = Observer()

    def received(self, data: object) -> None:
        started = time.ticks_us()
        self._observer.received(data)
        self.us += time.ticks_diff(time.ticks_us(), started)

    def sent(self, data: object) -> None:
        started = time.ticks_us()
        self._observer.sent(data)
        self.us += time.ticks_diff(time.ticks_us(), started)


def handshake(runtime: object, context: object, target: object, observer: object) -> int:
    """One handshake through a tap with this observer; its microseconds."""
    sock = runtime.connect(target, 5000)
    tap = Tap(runtime, sock, observer)
    tap.deadline(5000)
    runtime.tidy()
    started = time.ticks_us()
    runtime.handshake(context, tap, Named, {})
    took = time.ticks_diff(time.ticks_us(), started)
    runtime.close(sock)
    return took


def main() -> None:
    """Measure so many rounds of both, in turn."""
    port, rounds = int(sys.argv[1]), int(sys.argv[2])
    key, chain, anchors = [bytes.fromhex(sys.stdin.readline().strip()) for _ in range(3)]
    runtime = Runtime()
    context = runtime.context(None)
    runtime.load_anchors(context, der.split(anchors))
    runtime.load_identity(context, der.split(chain), key)
    target = runtime.resolve("127.0.0.1", port)[0][1]
    for _ in range(rounds):
        timed = Timed()
        seen = handshake(runtime, context, target, timed)
        blind = handshake(runtime, context, target, Blind())
        print(seen, blind, timed.us)


main()
