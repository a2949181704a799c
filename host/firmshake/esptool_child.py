"""The main program of a child process that is about to become esptool.

It sets up what esptool itself has no option for, and starts it, unchanged, as the main program that
it is. Before its arguments may stand `--lifeline N`, a descriptor at whose end it ends, and then
`--recall`: the files to write come through standard input.
"""

from __future__ import annotations

import runpy
import sys
import time
import types

from firmshake import lifeline, memfile

LIFELINE = "--lifeline"
RECALL = "--recall"


def main() -> None:
    """Become esptool, with the arguments of this program."""
    arguments = sys.argv[1:]
    if arguments[:1] == [LIFELINE]:
        lifeline.hang_on(int(arguments[1]))
        arguments = arguments[2:]
    if arguments[:1] == [RECALL]:
        memfile.recall(sys.stdin.buffer)
        arguments = arguments[1:]
    if any(argument.startswith("rfc2217:") for argument in arguments):
        _hurry_pyserial()
    sys.argv = ["esptool", *arguments]
    runpy.run_module("esptool", run_name="__main__", alter_sys=True)


def _hurry_pyserial() -> None:
    """Let it wait for an answer, and no longer.

    pyserial sleeps 50 ms before it looks whether a change was acknowledged, and esptool changes a
    time limit twice a command, each of which counts as a change of all settings. A board next door
    answers within 1 ms: over loopback this took a probe from 23 s to 1.8 s.
    """
    import serial.rfc2217
    import serial.urlhandler.protocol_rfc2217

    from firmshake.quickport import QuickPort

    hurried = types.SimpleNamespace(**vars(time))
    hurried.sleep = QuickPort.wait
    serial.rfc2217.time = hurried
    serial.urlhandler.protocol_rfc2217.Serial = QuickPort


if __name__ == "__main__":
    main()
