"""Opening ports and resetting boards; real modem lines are in tests/peers/test_flash.py."""

from __future__ import annotations

import os
import pty
from collections.abc import Iterator

import pytest

from firmshake import serialport
from firmshake.errors import Error


@pytest.fixture
def terminal() -> Iterator[str]:
    """A pseudo-terminal: a port that a program may hold, without modem lines."""
    ours, theirs = pty.openpty()
    yield os.ttyname(theirs)
    os.close(ours)
    os.close(theirs)


def test_a_url_is_opened_as_a_device_is() -> None:
    with serialport.open_port("loop://") as port:
        port.write(b"hello")
        assert port.read(5) == b"hello"


def test_a_read_ends_when_nothing_comes() -> None:
    with serialport.open_port("loop://") as port:
        assert port.timeout == serialport.READ_SECONDS
        assert port.read(1) == b""


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("/dev/absent", "there is no port"),
        ("/dev/null", "is not a serial port"),
        ("socket://127.0.0.1:1", "nothing serves"),
        ("rfc2217://127.0.0.1:1", "nothing serves"),
        ("foo://bar", "not a kind of port"),
        ("rfc2217://", "cannot be opened"),
    ],
)
def test_a_port_that_cannot_be_opened_is_an_error_with_a_hint(url: str, message: str) -> None:
    with pytest.raises(Error, match=message) as caught:
        serialport.open_port(url)
    assert caught.value.hint


def test_a_port_is_opened_by_one_at_a_time(terminal: str) -> None:
    with serialport.open_port(terminal), pytest.raises(Error, match="is busy"):
        serialport.open_port(terminal)
    serialport.open_port(terminal).close()


def test_a_port_without_lines_asks_for_the_button(terminal: str) -> None:
    with serialport.open_port(terminal) as port:
        with pytest.raises(serialport.NoLines) as caught:
            serialport.reset(port)
        assert "RESET button" in caught.value.hint


def test_lines_are_moved_so_that_the_board_starts_its_application() -> None:
    moves: list[tuple[str, bool]] = []

    class Lines:
        port = "/dev/board"

        def __setattr__(self, name: str, value: bool) -> None:
            moves.append((name, value))
            object.__setattr__(self, name, value)

    serialport.reset(Lines())  # type: ignore[arg-type]
    # IO0 is high (DTR off) before EN goes low (RTS on), and stays so when EN rises
    assert moves[0] == ("dtr", False)
    assert [value for name, value in moves if name == "rts"] == [True, False]
    assert ("dtr", True) not in moves
