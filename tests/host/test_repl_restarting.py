"""Starting a board's program anew, on ports that answer by rote."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import serial
from support.rote import by_looks, wire

from firmshake.errors import Error
from firmshake.repl.restarting import Restarted, restart

CTRL_D = b"\x04"
PROMPT = b"\r\n>>> "
STARTS = b"MPY: soft reboot\r\n"


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A board by rote answers at once or never."""
    by_looks(monkeypatch)


def restarted(rule: Callable[[bytes], bytes]) -> tuple[bytes, bytes]:
    """What was written to the board, and what is there to be read then."""
    port = wire(rule).port
    opened = restart(port)
    return port.written, rest(opened)


def rest(opened: Restarted) -> bytes:
    """All that is there to be read, as it is read."""
    heard = b""
    while data := opened.read(max(1, opened.in_waiting)):
        heard += data
    return heard


def board(*deaf_to: int) -> Callable[[bytes], bytes]:
    """One that does not hear the pieces of these numbers."""
    pieces: list[bytes] = []

    def rule(data: bytes) -> bytes:
        pieces.append(data)
        if len(pieces) - 1 in deaf_to:
            return b""
        return b"ready of before" + PROMPT if data != CTRL_D else PROMPT + STARTS + b"new\r\n"

    return rule


def test_what_was_said_before_the_start_is_not_given() -> None:
    written, heard = restarted(board())
    assert heard == STARTS + b"new\r\n"
    assert written.count(CTRL_D) == 1


@pytest.mark.parametrize("deaf_to", [(0,), (0, 1), (1,)])
def test_a_board_that_missed_it_is_told_again(deaf_to: tuple[int, ...]) -> None:
    _, heard = restarted(board(*deaf_to))
    assert heard == STARTS + b"new\r\n"


def test_ctrl_d_is_for_a_board_at_its_prompt() -> None:
    """A program that runs would find it among what it reads."""
    knocks = []

    def rule(data: bytes) -> bytes:
        knocks.append(data)
        return PROMPT if len(knocks) == 3 else STARTS if data == CTRL_D else b"Press any key\r\n"

    restarted(rule)
    assert [piece == CTRL_D for piece in knocks] == [False, False, False, True]


def test_a_deaf_board_that_started_by_itself_is_heard_from_its_last_start() -> None:
    said = iter([b"old\r\n", b"\ncode.py output:\r\n1\r\n", b"\ncode.py output:\r\n2\r\n"])
    written, heard = restarted(lambda _: next(said, b"more "))
    assert heard.startswith(b"code.py output:\r\n2\r\nmore ")
    assert written.endswith(CTRL_D)


def test_a_deaf_board_is_sent_ctrl_d_all_the_same_and_nothing_old_is_given() -> None:
    written, heard = restarted(lambda data: b"old " if data != CTRL_D else b"new")
    assert written.endswith(CTRL_D)
    assert heard == b"new"


def test_what_was_kept_is_read_in_pieces_and_then_the_port() -> None:
    port = wire(lambda _: b"later").port
    opened = Restarted(port, b"first ")
    port.write(b"")
    assert [opened.read(2), opened.read(), opened.in_waiting] == [b"fi", b"r", 3]
    assert rest(opened) == b"st later"
    opened.timeout = 0.5
    assert (port.timeout, opened.timeout, opened.port) == (0.5, 0.5, "rote")


def test_a_port_that_is_pulled_out_is_gone() -> None:
    def rule(_: bytes) -> bytes:
        raise serial.SerialException("device disconnected")

    with pytest.raises(Error, match="went away"):
        restarted(rule)
