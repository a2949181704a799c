"""The agent: climbs, holds the session, and climbs again when it ends, without end."""

import gc
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


def run(runtime: object, source: object, write: object, recorder: object = None) -> None:
    """Climb, hold, report and retry, without end."""
    report = Report(runtime, write)
    report.event(
        "boot", "info", {"agent": VERSION, "runtime": runtime.name, "machine": runtime.machine}
    )
    failures = 0
    while True:
        climb = Climb(runtime, report, source)
        failure = None
        begun = held = runtime.ticks()
        try:
            climb.up()
            held = runtime.ticks()
            if recorder is not None:
                recorder.reached(climb, held - begun)
            climb.hold()
        except Failure as ended:
            failure = ended
        finally:
            climb.close()
        clock = climb.clock
        climb = None  # its memory is wanted by the report, and by the next
        runtime.tidy()
        report.fail(failure)
        if recorder is not None:
            recorder.fail(failure, clock)
        if failure.stage == "ready" and runtime.since(held) > _GOOD_MS:
            failures = 0
        failures += 1
        ms = backoff.wait_ms(failures, runtime.random())
        report.event("boot", "info", {"retry_ms": ms})
        runtime.tidy()
        runtime.sleep(ms)


def main(folder: str = "/firmshake") -> None:
    """The board's entry: its files in `folder`, events to serial, failures to the recorder."""
    gc.collect()  # loading leaves much behind, and what stays must not lie in between
    if sys.implementation.name == "circuitpython":
        from .runtime_circuitpython import Runtime
    else:
        from .runtime_micropython import Runtime
    gc.collect()
    from .recorder import FILE, Recorder

    runtime = Runtime()
    recorder = Recorder(runtime, folder + "/" + FILE)
    gc.collect()
    sys.stdout.write("\n")  # boot noise may have left half a line
    run(runtime, Folder(folder), sys.stdout.write, recorder)
