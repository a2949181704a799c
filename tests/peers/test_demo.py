"""`firmshake demo`: what it shows, and that an interruption at any moment leaves nothing behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support import desk, reaper

LIMIT_S = 300.0  # only a broken demo takes so long
DEMO = [sys.executable, "-P", "-m", "firmshake", "demo"]


class Demo:
    """A running demo whose standard output and error are one pipe, and its temporary folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said = ""
        self._process = subprocess.Popen(
            [sys.executable, reaper.__file__, *DEMO],
            env={**os.environ, "TMPDIR": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self._process.stdout is not None
        self._output = self._process.stdout
        self.pid = int(self._output.readline())

    def begun(self) -> None:
        """Wait until our own first lines run: before, it is Python's to answer a signal."""
        caught = 0
        while not caught >> (signal.SIGTERM - 1) & 1:
            status = Path(f"/proc/{self.pid}/status").read_text()
            caught = int(status.partition("SigCgt:")[2].split()[0], 16)
            time.sleep(0.005)

    def until(self, words: str) -> None:
        """Wait until it has said a line with these words."""
        for line in self._output:
            self.said += line
            if words in line:
                return
        raise AssertionError(self.said)

    def end(self) -> int:
        """Its exit status; nothing of it is left."""
        rest, _ = self._process.communicate(timeout=LIMIT_S)
        said, _, last = rest.rstrip("\n").rpartition("\n")
        self.said += said
        told = json.loads(last)
        assert told["left"] == {}, self.said
        assert os.listdir(self.folder) == [], self.said
        assert "Traceback" not in self.said
        assert "Exception ignored" not in self.said
        status = told["status"]
        assert isinstance(status, int)
        return status


@pytest.fixture
def demo(tmp_path: Path) -> Demo:
    return Demo(tmp_path)


def test_it_shows_the_whole_road_in_order(demo: Demo) -> None:
    assert demo.end() == 0, demo.said
    milestones = [
        "\n1. ",
        "$ firmshake init",
        "root CA SHA-256",
        "\n2. ",
        "mosquitto listens on",
        "\n3. ",
        "$ firmshake provision rfc2217://",
        "✓ found ESP32",
        "✓ wrote ",
        "✓ identity ",
        "✓ subscribe ",
        "✓ ready ",
        "is proved",
        "\n4. ",
        "restarted with a certificate that expired",
        "$ firmshake console",
        "tls.server_certificate/expired",
        "why  The broker's certificate for 127.0.0.1 expired",
        "fix  Renew the broker's certificate",
        "That was all of it",
    ]
    places = [demo.said.find(milestone) for milestone in milestones]
    assert -1 not in places, demo.said
    assert places == sorted(places), demo.said
    assert "\x1b" not in demo.said


def test_what_outlives_its_command_would_be_seen() -> None:
    """The control of the tests below."""
    command = [sys.executable, reaper.__file__, "sh", "-c", "setsid sleep 60 & exit 3"]
    hurried = {**os.environ, "REAPER_GRACE_S": "0.5"}
    done = subprocess.run(command, env=hurried, capture_output=True, text=True, check=True)
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["status"] == 3
    assert [*told["left"].values()] == ["sleep 60 "]


# What a terminal does at Ctrl-C, what a stranger does with kill, what closing the terminal does
WAYS: dict[str, Callable[[int], None]] = {
    "ctrl-c": lambda pid: os.killpg(pid, signal.SIGINT),
    "sigint": lambda pid: os.kill(pid, signal.SIGINT),
    "sigterm": lambda pid: os.kill(pid, signal.SIGTERM),
    "all-sigterm": lambda pid: os.killpg(pid, signal.SIGTERM),
    "hang-up": lambda pid: os.killpg(pid, signal.SIGHUP),
}
STATUS = {"ctrl-c": 130, "sigint": 130, "sigterm": 143, "all-sigterm": 143, "hang-up": 129}


@pytest.mark.parametrize(
    ("words", "way"),
    [
        ("1. A project", "ctrl-c"),
        ("2. A real broker", "ctrl-c"),
        ("$ firmshake provision", "ctrl-c"),  # esptool starts
        ("✓ built its filesystem", "ctrl-c"),  # esptool writes
        ("✓ reset it", "ctrl-c"),
        ("1. A project", "sigint"),
        ("✓ built its filesystem", "sigint"),
        ("$ firmshake init", "sigterm"),
        ("the board answers", "sigterm"),
        ("✓ built its filesystem", "sigterm"),
        ("✓ built its filesystem", "all-sigterm"),
        ("3. The board", "hang-up"),
    ],
)
def test_an_interruption_leaves_nothing_behind(demo: Demo, words: str, way: str) -> None:
    demo.until(words)
    WAYS[way](demo.pid)
    assert demo.end() == STATUS[way], demo.said
    assert "interrupted" in demo.said


@pytest.mark.parametrize(("words", "way"), [("✗ ready", "sigint"), ("4. The broker's", "hang-up")])
def test_an_interruption_near_the_end_leaves_nothing_behind(
    demo: Demo, words: str, way: str
) -> None:
    """Where it comes too late, because we were slow, the demo has come to its end."""
    demo.until(words)
    with contextlib.suppress(ProcessLookupError):
        WAYS[way](demo.pid)
    status = demo.end()
    assert (status == STATUS[way]) == ("interrupted" in demo.said), demo.said
    assert status == STATUS[way] or (status == 0 and "That was all of it" in demo.said), demo.said


@pytest.mark.parametrize("seconds", [0, 0.1, 0.2, 0.3, 0.5, 0.8, 1.5])
@pytest.mark.parametrize("way", ["ctrl-c", "sigterm"])
def test_an_interruption_at_any_moment(demo: Demo, seconds: float, way: str) -> None:
    demo.begun()
    time.sleep(seconds)
    WAYS[way](demo.pid)
    assert demo.end() == STATUS[way], demo.said


_AT_ONCE = """
import os, signal
from firmshake import cli, interrupts

plain = interrupts._handle

def handle(handler):
    before = plain(handler)
    os.kill(os.getpid(), signal.SIGTERM)
    return before

interrupts._handle = handle
cli.main()
"""


def test_an_interruption_before_the_work_begins() -> None:
    """It comes as soon as it is taken, and before there is anything to interrupt."""
    done = subprocess.run(
        [sys.executable, "-c", _AT_ONCE], capture_output=True, text=True, check=False
    )
    assert done.stderr == "firmshake: interrupted\n"
    assert done.returncode == STATUS["sigterm"]


def test_impatience_does_not_disturb_the_cleaning_up(demo: Demo) -> None:
    demo.until("✓ built its filesystem")
    with contextlib.suppress(ProcessLookupError):  # it may be gone before the last
        for _ in range(5):
            WAYS["ctrl-c"](demo.pid)
            time.sleep(0.01)
    assert demo.end() == 130, demo.said


def test_without_micropython_it_says_so_before_anything_else(tmp_path: Path) -> None:
    nothing = {"FIRMSHAKE_TOOLS": str(tmp_path), "PATH": str(tmp_path)}
    done = desk.firmshake("demo", cwd=tmp_path, passphrase=None, environment=nothing)
    what, hint = desk.complaint(done)
    assert what == "cannot find micropython"
    assert "make setup" in hint


def test_a_reader_that_goes_away_ends_it(tmp_path: Path) -> None:
    """`firmshake demo | head -3`."""
    command = [sys.executable, reaper.__file__, "sh", "-c", '"$@" 2>&1 | head -3', "sh", *DEMO]
    done = subprocess.run(
        command,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    told = json.loads(done.stdout.rstrip("\n").rpartition("\n")[2])
    assert told["left"] == {}
    assert os.listdir(tmp_path) == []
    assert "Traceback" not in done.stdout + done.stderr
