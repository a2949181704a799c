"""The agent's size, its heap at `ready`, and the time from reset to `ready`."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

from support import pki
from support.broker import mosquitto

from firmshake import boardfiles, bundle, climb, image, proof, serialport
from firmshake.errors import Error
from firmshake.event import Event
from firmshake.partitions import Region
from firmshake.verdict import Verdict
from firmshake.virtual import VirtualBoard, Wifi

STEP_KIB = 4
MOST_KIB = 160


def measure() -> dict[str, str]:
    """The figures by name."""
    fleet = pki.fleet("bench")
    with (
        tempfile.TemporaryDirectory() as folder,
        mosquitto(Path(folder), fleet.broker, fleet.device.anchors_pem()) as port,
    ):
        return _size() | _heap(fleet, port) | _reset_to_ready(fleet, port)


def _size() -> dict[str, str]:
    files = bundle.agent_files()
    return {
        "agent and MiniMQTT as .mpy": f"{bundle.mpy_size(files)} bytes",
        "the same with causes.txt and main.py": f"{sum(map(len, files.values()))} bytes",
    }


def _heap(fleet: pki.Fleet, port: int) -> dict[str, str]:
    """On the 32-bit MicroPython, whose objects are as large as a board's."""

    def climbs(kib: int) -> Verdict | None:
        try:
            verdict = climb.run(pki.settings(port), fleet.files(), bits=32, heap=f"{kib}k")
        except Error:  # too small to start at all
            return None
        return verdict if verdict.ok else None

    roomy = climbs(MOST_KIB)
    assert roomy is not None
    smallest = MOST_KIB
    while climbs(smallest - STEP_KIB):
        smallest -= STEP_KIB
    return {
        "heap used at ready, 32-bit": f"{roomy.evidence['used']} bytes",
        "smallest heap that reaches ready, 32-bit": f"{smallest} KiB",
    }


def _reset_to_ready(fleet: pki.Fleet, port: int) -> dict[str, str]:
    """A virtual board, from its reset to the line that says ready, Wi-Fi imitated in 0.3 s."""
    settings = pki.settings(port, wifi={"ssid": "bench", "password": None})
    files = bundle.agent_files()
    files |= {f"{boardfiles.FOLDER}/{n}": data for n, data in fleet.files().items()}
    files[f"{boardfiles.FOLDER}/settings.json"] = json.dumps(settings).encode()
    region = Region(0x200000, 0x200000)
    runs = image.build(files, region.block_count).at(region.offset)
    times = []
    with VirtualBoard(wifi=Wifi("bench")) as board:
        for run in runs:
            board.flash.program(run.offset, run.data)
        for _ in range(5):
            with serialport.open_port(board.url) as opened:
                started = time.monotonic()
                serialport.reset(opened)  # EN is held low for 0.1 s
                last: list[Event] = []
                assert proof.follow(opened, 30, last.append).ok
                times.append((time.monotonic() - started, last[-1].ms))
    wall, own = sorted(times)[len(times) // 2]
    return {
        "reset to ready, virtual board": f"{wall:.2f} s",
        "of which the agent's own climb": f"{own} ms",
    }
