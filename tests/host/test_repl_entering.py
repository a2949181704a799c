"""The way into the raw REPL, and what is said where there is none: on ports that answer by rote."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import serial
from support.rote import by_looks, wire

from firmshake.errors import Error
from firmshake.repl import entering
from firmshake.repl.rawrepl import Broken, OutOfMemory, RawRepl

PROMPT = b"raw REPL; CTRL-B to exit\r\n>"
BANNER = b"MicroPython v1.26.1 on 2025-09-11; Generic ESP32 module with ESP32\r\n"
SOON_S = 0.3
GPS = b"$GPGGA,081836,3751.65,S,14507.36,E*75\r\n"
BLANK = b"rst:0x1 (POWERON_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)\r\ninvalid header: 0xffffffff\r\n"
BLANK_S3 = b"ESP-ROM:esp32s3-20210327\r\nBuild:Mar 27 2021\r\ninvalid header: 0xffffffff\r\n"
OLD = b"ets Jun  8 2016 00:22:57\r\n\r\ninvalid header: 0xffffffff\r\n"


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A board by rote answers at once or never."""
    by_looks(monkeypatch)


def test_a_board_at_its_prompt_is_entered_and_says_what_it_is() -> None:
    assert entering.enter(wire(lambda _: BANNER + b">>> \r\n" + PROMPT)) == (
        "MicroPython",
        "v1.26.1",
        "Generic ESP32 module",
        "ESP32",
    )


def test_circuitpython_names_itself_another_way() -> None:
    said = b"Adafruit CircuitPython 9.2.1 on 2024-11-20; Raspberry Pi Pico W with rp2040\r\n"
    assert entering.enter(wire(lambda _: said + PROMPT)) == (
        "CircuitPython",
        "9.2.1",
        "Raspberry Pi Pico W",
        "rp2040",
    )


def test_a_board_that_waits_for_a_key_gets_one() -> None:
    knocks = []

    def rule(data: bytes) -> bytes:
        knocks.append(data)
        return PROMPT if len(knocks) > 1 else b"\r\nPress any key to enter the REPL.\r\n"

    entering.enter(wire(rule), 5)
    assert len(knocks) == 2


@pytest.mark.parametrize(
    ("heard", "message", "hint"),
    [
        (b"", "says nothing within", "RESET"),
        (b"rst:0x1 (POWERON_RESET),boot:0x13\r\nE (1) panic\r\n" * 3, "again and again", "boot"),
        (bytes(range(128, 256)), "is not readable", "115200"),
        (b"MicroPython v1.26.1\r\nticking\r\n", "does not stop for Ctrl-C", "RESET"),
        (b"Temperature: 21.5\r\n", "does not answer as MicroPython", "boot loader"),
    ],
)
def test_what_stands_in_the_way_is_said_in_time(heard: bytes, message: str, hint: str) -> None:
    with pytest.raises(entering.NoRepl, match=message) as caught:
        entering.enter(wire(lambda _: heard), SOON_S)
    assert "rote" in caught.value.message
    assert hint in caught.value.hint


def test_a_port_that_is_pulled_out_is_gone() -> None:
    def rule(_: bytes) -> bytes:
        raise serial.SerialException("device disconnected")

    with pytest.raises(Error, match="went away"):
        entering.enter(wire(rule), SOON_S)


# the raw REPL


def entered(rule: Callable[[bytes], bytes]) -> RawRepl:
    repl = RawRepl(wire(lambda data: PROMPT if b"\x02\x01" in data else rule(data)))
    repl.enter(SOON_S)
    return repl


def test_raw_paste_never_sends_more_than_the_board_has_room_for() -> None:
    taken, window = [0], 16

    def rule(data: bytes) -> bytes:
        if data == b"\x05A\x01":
            return b"R\x01" + bytes([window, 0]) + b"\x01"
        taken[0] += len(data)
        assert len(data) <= 2 * window
        end = b"\x04done\x04\x04>" if data.endswith(b"\x04") else b""
        return b"\x01" * (len(data) // window) + end

    repl = entered(rule)
    assert repl.execute("x = 1\n" * 50) == ("done", "")
    assert taken[0] == 301
    assert repl.window == window


def test_a_board_without_raw_paste_gets_its_programs_the_plain_way() -> None:
    def rule(data: bytes) -> bytes:
        if data == b"\x05A\x01":
            return b"R\x00>"
        return b"OK42\r\n\x04\x04>" if data == b"\x04" else b""

    repl = entered(rule)
    assert repl.run("print(42)") == "42\n"
    assert repl.run("print(42)") == "42\n"


def test_a_program_that_does_not_compile_says_so() -> None:
    def rule(data: bytes) -> bytes:
        if data == b"\x05A\x01":
            return b"R\x01\x10\x00\x01"
        if data == b"\x04":
            return b"\x04Traceback\r\nSyntaxError: invalid syntax\r\n\x04>"
        return b"\x04"

    with pytest.raises(Error, match="SyntaxError: invalid syntax"):
        entered(rule).run("x = = 1\n" * 20)


def test_too_little_memory_is_an_error_of_its_own() -> None:
    def rule(data: bytes) -> bytes:
        if data == b"\x05A\x01":
            return b"R\x01\x80\x00\x01"
        return b"\x04\x04MemoryError: memory allocation failed\r\n\x04>" if data == b"\x04" else b""

    with pytest.raises(OutOfMemory, match="too little memory"):
        entered(rule).run("x")


def test_junk_in_the_middle_is_told_apart_from_a_traceback() -> None:
    def rule(data: bytes) -> bytes:
        return b"R\x01\x10\x00Z" if data == b"\x05A\x01" else b""

    with pytest.raises(Broken):
        entered(rule).run("x = 1\n" * 20)


@pytest.mark.parametrize("heard", [BLANK, BLANK_S3, OLD, BLANK[10:]])
def test_a_chip_whose_flash_is_blank_is_a_board(heard: bytes) -> None:
    *_, says = entering._diagnosis("/dev/none-such", heard, 1.0)
    assert says == ""


def test_what_is_like_no_board_is_quoted() -> None:
    *_, says = entering._diagnosis("/dev/none-such", GPS, 1.0)
    assert "$GPGGA" in says
