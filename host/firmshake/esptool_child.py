"""The main program of a child process that is about to become esptool.

It sets up what esptool itself has no option for, and starts it as the main program that it is.
Before its arguments may stand `--lifeline N`, a descriptor at whose end it ends, and then
`--recall`: the files to write come through standard input.
"""

from __future__ import annotations

import importlib
import runpy
import sys

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
        # slow to load
        from firmshake import quickport

        quickport.use()
    _spare_traces()
    sys.argv = ["esptool", *arguments]
    runpy.run_module("esptool", run_name="__main__", alter_sys=True)


def _spare_traces() -> None:
    """Let it spell out no packet for a trace that nobody asked for.

    esptool 5.6 makes the text of a trace first and looks then whether there is to be one: that was
    most of what a run cost.
    """
    formatter = getattr(importlib.import_module("esptool.loader"), "HexFormatter", None)
    if formatter is not None:
        formatter.__str__ = lambda self: ""


if __name__ == "__main__":
    main()
