"""What only hardware can show: ROM loader, the USB bridge's reset lines, radio and heap."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from firmshake import flash, serialport
from firmshake.event import Event
from firmshake.listen import listen
from firmshake.reader import Reader

CONSOLE_S = 60.0


def provision(port: str, project: Path, passphrase: Path) -> dict[str, object]:
    """The JSON outcome of `firmshake provision`."""
    with passphrase.open("rb") as secret:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "firmshake", "provision", port, "--json"),
                *("--project", str(project), "--passphrase-fd", str(secret.fileno())),
            ],
            pass_fds=[secret.fileno()],
            stdout=subprocess.PIPE,
        )
    outcome: dict[str, object] = json.loads(done.stdout)
    return outcome


def test_the_board_is_recognised(port: str) -> None:
    """Reset lines, ROM loader, stub, flash size: the real ones."""
    board = flash.probe(port)
    assert board.chip.startswith("ESP32")
    assert board.flash_size >= 2 << 20


def test_the_board_is_proved_twice(port: str, project: Path, passphrase: Path) -> None:
    """Over whatever filesystem it holds, and again over the one that we wrote."""
    for _ in range(2):
        outcome = provision(port, project, passphrase)
        verdict = outcome["verdict"]
        assert isinstance(verdict, dict)
        assert verdict["verdict"] == "ready", verdict


def test_a_reset_shows_the_climb_from_its_first_line(port: str) -> None:
    """The port is open before the reset, so nothing is lost, boot noise or not."""
    with serialport.open_port(port) as opened:
        serialport.reset(opened)
        events: list[Event] = []
        deadline = time.monotonic() + CONSOLE_S
        for items in listen(opened, Reader()):
            events += [item for item in items if isinstance(item, Event)]
            if any(event.verdict for event in events) or time.monotonic() > deadline:
                break
    assert [event.seq for event in events] == list(range(len(events)))
    assert events[-1].verdict == "ready"
    assert "largest" in events[-1].fields, "an ESP32 tells its largest free block"
