"""One climb of the agent on CircuitPython's shape; as firmshake_agent.once takes and tells it.

The identity becomes PEM files in a folder of its own, as on a board, for as long as it runs.
`--short-of-memory` lets each TLS socket take more than there is; what follows `--before` is code
that is run before the climb.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import tempfile
import time
from base64 import b64decode
from pathlib import Path

# its parent, so that the shape is imported by itself, and nothing of the host with it
VIRTUAL = Path(__file__).resolve().parents[3] / "host/firmshake/virtual"


def main() -> None:
    """Climb once; the events on standard output say how it went."""
    bundle = json.loads(sys.stdin.readline())
    _become_circuitpython()
    from firmshake_agent.agent import Folder
    from firmshake_agent.failure import Failure
    from firmshake_agent.ladder import Climb
    from firmshake_agent.report import Report
    from firmshake_agent.runtime_circuitpython import Runtime

    if "--before" in sys.argv:
        exec(sys.argv[sys.argv.index("--before") + 1], {})
    with tempfile.TemporaryDirectory(prefix="circuitpython-") as folder:
        _write_files(Path(folder), bundle)
        runtime = Runtime(folder)
        report = Report(runtime, sys.stdout.write)
        climb = Climb(runtime, report, Folder(folder))
        try:
            climb.up()
            if bundle.get("hold"):
                climb.hold()
        except Failure as failure:
            report.fail(failure)
        finally:
            climb.close()


def _become_circuitpython() -> None:
    sys.path.insert(0, str(VIRTUAL))
    sys.stdout.reconfigure(line_buffering=True)
    # a board knows no time zones
    os.environ["TZ"] = "UTC"
    time.tzset()
    from circuitpython import rtc, socketpool, ssl, supervisor, wifi

    ssl.is_short_of_memory = "--short-of-memory" in sys.argv
    for module in (rtc, socketpool, ssl, supervisor, wifi):
        sys.modules[module.__name__.rpartition(".")[2]] = module
    # figures of a Pico 2 W
    gc.mem_free = lambda: 200_000
    gc.mem_alloc = lambda: 100_000


def _write_files(folder: Path, bundle: dict[str, object]) -> None:
    os.umask(0o077)
    (folder / "settings.json").write_text(json.dumps(bundle["settings"]))
    for name, text in bundle["files"].items():
        data = b64decode(text)
        path = folder / name.replace(".der", ".pem")
        path.write_bytes(_pem(data, path.stem))


def _pem(data: bytes, name: str) -> bytes:
    """What the host will write for such a board; bytes that are no DER, as they are."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization as form

    from firmshake_agent import der

    try:
        if name == "key":
            key = form.load_der_private_key(data, None)
            clear = form.NoEncryption()
            return key.private_bytes(
                form.Encoding.PEM, form.PrivateFormat.TraditionalOpenSSL, clear
            )
        parts = [x509.load_der_x509_certificate(part) for part in der.split(data)]
    except (ValueError, TypeError, der.BadDer):
        return data
    return b"".join(part.public_bytes(form.Encoding.PEM) for part in parts)


if __name__ == "__main__":
    main()
