"""The live view on a real terminal: it is restored however the program ends."""

import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios

import pytest

# shows a run on the terminal that it is started in, until it is told how to end
SHOWS = """
import sys
from firmshake import interrupts
from firmshake.cli.fleetview import view
from firmshake.fleet.row import BoardRow, Totals
row = BoardRow("a", "/dev/ttyUSB7", "failed", words="why \\x1b[2J", fix="fix-words")
with interrupts.taken(), view(bell=True) as shown:
    shown.totals(Totals(2, 1, 1, 0))
    shown.board(row)
    assert sys.stdin.readline() == "end\\n"
"""
ENTER, LEAVE = "\x1b[?1049h", "\x1b[?1049l"
HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"


def shown(end: bytes | signal.Signals = b"end\n", **environment: str) -> str:
    """What the program writes on its terminal, when it is told to end by what is typed there."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    kept = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    kept |= {"TERM": "xterm-256color", "LC_ALL": "C.UTF-8"} | environment
    process = subprocess.Popen(
        [sys.executable, "-c", SHOWS],
        stdin=slave,
        stdout=slave,
        stderr=subprocess.DEVNULL,
        env=kept,
    )
    os.close(slave)
    written = b""
    while b"fix-words" not in written:
        written += os.read(master, 65536)
    if ENTER.encode() in written:
        process.send_signal(signal.SIGTSTP)  # has no effect
    if isinstance(end, signal.Signals):
        process.send_signal(end)
    else:
        os.write(master, end)
    while part := _read(master):
        written += part
    process.wait()
    os.close(master)
    return written.decode()


def _read(master: int) -> bytes:
    try:
        return os.read(master, 65536)
    except OSError:  # Linux, when nobody has the other end
        return b""


@pytest.mark.parametrize("end", [b"end\n", b"wrong\n", signal.SIGINT, signal.SIGTERM])
def test_the_terminal_is_as_before_in_every_case(end: bytes | signal.Signals) -> None:
    written = shown(end)
    during, after = written.split(LEAVE)
    assert during.startswith(ENTER)
    assert HIDE in during
    assert during.endswith(SHOW)
    assert "\x1b[1;97;41m FAILED " in during
    assert during.count("\a") == 1
    assert "\x1b[2J" not in written
    assert "FAILED" in after
    assert "fix-words" in after


def test_without_colours_what_failed_is_reversed() -> None:
    written = shown(NO_COLOR="1")
    assert "\x1b[1;7m FAILED " in written
    assert ";41m" not in written


def test_a_terminal_that_can_nothing_gets_lines() -> None:
    written = shown(TERM="dumb")
    assert " FAILED     ttyUSB7 - why \\x1b[2J fix: fix-words" in written
    assert written.replace("\r\n", "").isprintable()


def test_a_terminal_without_unicode_gets_ascii() -> None:
    written = shown(LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert " ##  " in written
    assert written.isascii()
