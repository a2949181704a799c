"""The agent: climbs, holds the session, and climbs again when it ends, without end."""

import sys

from . import VERSION, backoff
from .failure import Failure
from .ladder import Climb
from .report import Report

# A session that held this long was a good one: the next climb starts without the long waits.
_GOOD_MS = 60000


class Folder:
    """The board's files, by name."""

    def __init__(self, path: str) -> None:
        self._path = path

    def read(self, name: str) -> bytes:
        """The file's bytes. Raises OSError."""
        with open(self._path + "/" + name, "rb") as file:
            return file.read()


def run(runtime: object, source: object, write: object) -> None:
    """Climb, hold, report and retry, without end."""
    report = Report(runtime, write)
    report.event(
        "boot", "info", {"agent": VERSION, "runtime": runtime.name, "machine": runtime.machine}
    )
    failures = 0
    while True:
        climb = Climb(runtime, report, source)
        failure = None
        held = runtime.ticks()
        try:
            climb.up()
            held = runtime.ticks()
            climb.hold()
        except Failure as ended:
            failure = ended
        finally:
            climb.close()
        climb = None  # its memory is wanted by the report, and by the next
        runtime.tidy()
        report.fail(failure)
        if failure.stage == "ready" and runtime.since(held) > _GOOD_MS:
            failures = 0
        failures += 1
        ms = backoff.wait_ms(failures, runtime.random())
        report.event("boot", "info", {"retry_ms": ms})
        runtime.tidy()
        runtime.sleep(ms)


def main() -> None:
    """The board's entry: files from /firmshake, events to serial."""
    if sys.implementation.name == "circuitpython":
        from .runtime_circuitpython import Runtime
    else:
        from .runtime_micropython import Runtime
    sys.stdout.write("\n")  # boot noise may have left half a line
    run(Runtime(), Folder("/firmshake"), sys.stdout.write)
