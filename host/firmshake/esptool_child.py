"""The main program of a child process that is about to become esptool.

It sets up what esptool itself has no option for, and starts it, unchanged, as the main program that
it is. With `--recall` as first argument the files to write come through standard input.
"""

from __future__ import annotations

import runpy
import sys
import time
import types

from firmshake import memfile

RECALL = "--recall"

# pyserial's client of RFC 2217 sleeps 50 ms before it looks whether a change was acknowledged, and
# esptool changes a time limit twice a command, each of which counts as a change of all settings.
# A board next door answers within 1 ms: over loopback this took a probe from 23 s to 2.5 s.
LOOK_EVERY_SECONDS = 0.001


def main() -> None:
    """Become esptool, with the arguments of this program."""
    arguments = sys.argv[1:]
    if arguments[:1] == [RECALL]:
        memfile.recall(sys.stdin.buffer)
        arguments = arguments[1:]
    if any(argument.startswith("rfc2217:") for argument in arguments):
        _hurry_pyserial()
    sys.argv = ["esptool", *arguments]
    runpy.run_module("esptool", run_name="__main__", alter_sys=True)


def _hurry_pyserial() -> None:
    import serial.rfc2217

    hurried = types.SimpleNamespace(**vars(time))
    hurried.sleep = lambda seconds: time.sleep(min(seconds, LOOK_EVERY_SECONDS))
    serial.rfc2217.time = hurried


if __name__ == "__main__":
    main()
