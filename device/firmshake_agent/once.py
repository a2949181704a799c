"""One climb, for doctor: settings and identity as one JSON line on standard input, events out.

`{"settings": {...}, "files": {"key.der": BASE64, ...}, "hold": false}`; with `hold` the session is
held until it fails. Runs as `-m firmshake_agent.once` on
MicroPython's Unix port and on CPython. Nothing is read from or written to a disk.
"""

import binascii
import json
import sys

from .failure import Failure
from .ladder import Climb
from .report import Report


class Bundle:
    """The files that came in, by name."""

    def __init__(self, line: str) -> None:
        bundle = json.loads(line)
        self.hold = bundle.get("hold")
        self._files = {"settings.json": json.dumps(bundle["settings"]).encode()}
        for name, text in bundle["files"].items():
            self._files[name] = binascii.a2b_base64(text)

    def read(self, name: str) -> bytes:
        """The file's bytes. Raises OSError."""
        if name not in self._files:
            raise OSError(2)
        return self._files[name]


def main() -> None:
    """Climb once; the events on standard output say how it went."""
    if sys.implementation.name == "micropython":
        from .runtime_micropython import Runtime
    else:
        from .runtime_cpython import Runtime
    runtime = Runtime()
    report = Report(runtime, sys.stdout.write)
    bundle = Bundle(sys.stdin.readline())
    climb = Climb(runtime, report, bundle)
    try:
        climb.up()
        if bundle.hold:
            climb.hold()
    except Failure as failure:
        report.fail(failure)
    finally:
        climb.close()


if __name__ == "__main__":
    main()
