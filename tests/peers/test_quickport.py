"""The client of RFC 2217 that esptool gets, at a virtual board's port."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import serial
from serial import rfc2217
from support.boardtools import PATIENCE_S, wait_until

from firmshake.quickport import QuickPort
from firmshake.virtual import VirtualBoard


@pytest.fixture(scope="module")
def board() -> Iterator[VirtualBoard]:
    with VirtualBoard(faster_than_life=True) as made:
        yield made


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock:
        sleep = staticmethod(QuickPort.wait)

    monkeypatch.setattr(rfc2217, "time", Clock)


@pytest.fixture
def port(board: VirtualBoard) -> Iterator[QuickPort]:
    opened = QuickPort(board.url, 115200, timeout=PATIENCE_S)
    yield opened
    opened.close()


def read_until(port: QuickPort, wanted: bytes) -> bytes:
    seen = b""
    while wanted not in seen:
        piece = port.read(1)
        assert piece, seen
        seen += piece
    return seen


def at_prompt(port: QuickPort) -> None:
    """With nothing on the way: what a board that starts is asked may be answered twice or never."""
    port.write(b"\x03")
    read_until(port, b"\r\n>>> ")
    port.write(b"'at' + ' the prompt'\r")
    read_until(port, b"'at the prompt'\r\n>>> ")


def test_bytes_arrive_as_they_are_in_both_directions(port: QuickPort) -> None:
    at_prompt(port)
    port.write(b"import sys; n = sys.stdout.buffer.write(bytes([254, 255, 255, 255, 1]))\r")
    read_until(port, b"\xfe\xff\xff\xff\x01")
    at_prompt(port)
    port.write(b"x = '\xff\xff'\r")
    read_until(port, b"\r\n>>> ")


def test_a_reading_ends_with_its_time_limit(port: QuickPort) -> None:
    at_prompt(port)
    port.timeout = 0.05
    assert port.read(10) == b""
    assert port.in_waiting == 0


def test_what_has_come_can_be_forgotten(port: QuickPort) -> None:
    at_prompt(port)
    port.write(b"print('x' * 9)\r")
    wait_until(lambda: port.in_waiting >= len("print('x' * 9)\r\nxxxxxxxxx\r\n>>> "))
    port.reset_input_buffer()
    port.timeout = 0.05
    assert port.read(1) == b""


def test_a_time_limit_is_no_business_of_the_servers(
    port: QuickPort, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[bytes] = []
    monkeypatch.setattr(QuickPort, "rfc2217_send_subnegotiation", lambda *words: told.append(words))
    port.timeout = 0.5
    assert told == []
    port._network_timeout = 0.1
    with pytest.raises(serial.SerialException):
        port.baudrate = 9600
    assert told


@pytest.mark.parametrize(("asked", "limit_s"), [("", 10), ("?timeout=2", 2)])
def test_it_is_more_patient_than_pyserial_unless_the_url_says_how_long(
    board: VirtualBoard, asked: str, limit_s: float
) -> None:
    port = QuickPort(f"{board.url}{asked}", 115200)
    assert port._network_timeout == limit_s
    port.close()


def test_a_time_limit_for_writing_is_refused_as_ever(port: QuickPort) -> None:
    with pytest.raises(NotImplementedError):
        port.write_timeout = 3


def test_a_port_that_is_lost_is_told_in_pyserials_words() -> None:
    with VirtualBoard(faster_than_life=True) as board:
        port = QuickPort(board.url, 115200, timeout=PATIENCE_S)
        board.unplug()
        with pytest.raises(serial.SerialException, match="connection failed"):
            port.read(100_000)
    port.close()
    with pytest.raises(serial.PortNotOpenError):
        port.read(1)
