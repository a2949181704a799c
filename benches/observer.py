"""The observer's share of a TLS 1.2 handshake's time, on MicroPython (goal: under 3 %).

Handshakes with the observer and without it take turns in one run, so that the machine's moods hit
both; its own time, measured around each call, is given beside that. A board's processor slows
bytecode and mbedTLS down alike, though not by exactly the same factor.
"""

from __future__ import annotations

import statistics
import subprocess
import tempfile
from pathlib import Path

from support import pki, servers

from firmshake import bundle, tools

ROUNDS = 100


def measure() -> dict[str, str]:
    """The figures by name."""
    fleet = pki.fleet("bench")
    with tempfile.TemporaryDirectory() as folder:
        made = servers.context(
            fleet.broker, Path(folder), clients=fleet.device.anchors_pem(), version="1.2"
        )
        library = Path(folder) / "lib"
        for path, data in bundle.agent_files().items():
            target = library / path.removeprefix("/lib/").lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        with servers.tls(made, servers.hold) as port:
            lines = _run(library, port, fleet)
    seen, blind, own = (statistics.median(column) for column in zip(*lines, strict=True))
    return {
        "handshake with the observer, median": f"{seen / 1000:.2f} ms",
        "handshake without it, median": f"{blind / 1000:.2f} ms",
        "observer's own time, median": f"{own / 1000:.3f} ms",
        "observer's share of the handshake (goal: under 3 %)": f"{100 * own / seen:.1f} %",
    }


def _run(library: Path, port: int, fleet: pki.Fleet) -> list[tuple[int, ...]]:
    device = fleet.device
    done = subprocess.run(
        [
            *tools.micropython(),
            str(Path(__file__).parent / "observer_board.py"),
            str(port),
            str(ROUNDS),
        ],
        env={"MICROPYPATH": str(library)},
        input="\n".join(
            data.hex() for data in (device.key_der(), device.chain_der(), device.anchors_der())
        )
        + "\n",
        capture_output=True,
        text=True,
        check=True,
    )
    return [tuple(int(part) for part in line.split()) for line in done.stdout.splitlines()]
