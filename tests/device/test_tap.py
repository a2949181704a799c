"""The tap between TLS and the socket: limits of time, errors as numbers, and what it shows on."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmshake_agent.observer import Observer
from firmshake_agent.tap import LAST_WORD_MS, Tap


class Wire:
    """A runtime and a socket in one: a script of what each call does, and a clock of its own.

    A step is bytes that come, None for nothing now, an error that is raised, or, when writing, how
    many bytes are taken. Each wait takes the time that it was given; each call takes one ms.
    """

    def __init__(self, *script: object, forever: object = None) -> None:
        self.time = 0
        self.waits: list[tuple[bool, int]] = []
        self.written = b""
        self._script = list(script)
        self._forever = forever

    def ticks(self) -> int:
        return self.time

    def since(self, ticks: int) -> int:
        return self.time - ticks

    def wait(self, sock: object, to_read: bool, ms: int) -> int:
        assert sock is self
        assert ms > 0, "a wait for nothing is a busy loop"
        self.waits.append((to_read, ms))
        self.time += ms
        return 0

    def _step(self) -> object:
        self.time += 1
        step = self._script.pop(0) if self._script else self._forever
        if isinstance(step, BaseException):
            raise step
        return step

    def read_some(self, sock: object, buf: bytearray) -> int | None:
        step = self._step()
        if step is None:
            return None
        assert isinstance(step, bytes)
        buf[: len(step)] = step
        return len(step)

    def write_some(self, sock: object, data: bytes) -> int | None:
        step = self._step()
        if step is None:
            return None
        assert isinstance(step, int)
        part = bytes(data[:step])
        self.written += part
        return len(part)


def tap(wire: Wire, ms: int = 1000) -> tuple[Tap, Observer]:
    seen = Observer()
    made = Tap(wire, wire, seen)
    made.deadline(ms)
    return made, seen


def test_what_is_read_is_shown_to_the_observer() -> None:
    made, seen = tap(Wire(b"HTTP/1.1"))
    buf = bytearray(20)
    assert made.readinto(buf) == 8
    assert buf[:8] == b"HTTP/1.1"
    assert (seen.first, seen.bytes_in) == (b"HTTP/1.1", 8)


def test_a_read_waits_and_goes_on() -> None:
    wire = Wire(None, None, b"x")
    made, _ = tap(wire, ms=5000)
    wire.wait = lambda *arguments: wire.waits.append((True, arguments[2]))  # type: ignore
    assert made.readinto(bytearray(1)) == 1
    assert [to_read for to_read, _ in wire.waits] == [True, True]
    assert not made.late


@pytest.mark.parametrize(("quiet", "answer"), [(False, -errno.ETIMEDOUT), (True, None)])
def test_at_the_time_limit_a_read_ends(quiet: bool, answer: int | None) -> None:
    wire = Wire()
    made, _ = tap(wire, ms=700)
    made.quiet = quiet
    assert made.readinto(bytearray(1)) == answer
    assert made.late
    assert 700 <= wire.time < 710
    made.deadline(5)
    assert not made.late


def test_a_time_limit_of_nothing_still_reads_what_has_come() -> None:
    wire = Wire(b"ab", None)
    made, _ = tap(wire, ms=0)
    assert made.readinto(bytearray(2)) == 2
    assert made.readinto(bytearray(2)) == -errno.ETIMEDOUT
    assert wire.waits == []


def test_the_servers_end_is_an_end() -> None:
    made, _ = tap(Wire(b""))
    assert made.readinto(bytearray(2)) == 0
    assert made.ended


def test_an_error_becomes_its_number_and_the_first_one_is_remembered() -> None:
    made, _ = tap(Wire(OSError(errno.ECONNRESET, "reset"), OSError(errno.ENOTCONN, "gone")))
    assert made.readinto(bytearray(2)) == -errno.ECONNRESET
    assert made.readinto(bytearray(2)) == -errno.ENOTCONN
    assert made.errno == errno.ECONNRESET


def test_an_error_without_a_number_is_an_error_all_the_same() -> None:
    made, _ = tap(Wire(OSError()))
    assert made.readinto(bytearray(2)) < 0


@given(st.binary(min_size=1, max_size=50), st.lists(st.one_of(st.none(), st.integers(1, 9))))
def test_a_write_writes_it_all_once(data: bytes, steps: list[int | None]) -> None:
    wire = Wire(*steps, forever=7)
    made, seen = tap(wire, ms=10**6)
    wire.wait = lambda *arguments: None  # type: ignore[assignment,method-assign,return-value]
    assert made.write(data) == len(data)
    assert wire.written == data
    assert seen.bytes_out == len(data)


def test_a_write_that_gets_nowhere_ends_at_the_time_limit() -> None:
    wire = Wire(2)
    made, seen = tap(wire, ms=700)
    assert made.write(b"hello") == -errno.ETIMEDOUT
    assert made.late
    assert seen.bytes_out == 2


def test_a_failed_write_listens_for_why() -> None:
    """The server has refused us and closed: its alert lies in our receive buffer."""
    wire = Wire(OSError(errno.EPIPE, "broken pipe"), b"\x15\x03\x03\0\x02\x02\x30", b"")
    made, seen = tap(wire)
    assert made.write(b"hello") == -errno.EPIPE
    assert seen.alert_in == 48
    assert made.ended


@pytest.mark.parametrize("ms", [0, 300])
def test_listening_ends_when_the_server_falls_silent(ms: int) -> None:
    wire = Wire(b"abc", b"def")
    made, seen = tap(wire)
    made.listen(ms)
    assert seen.bytes_in == 6
    assert wire.time <= ms + 10
    assert not made.late


@pytest.mark.parametrize("ms", [0, 300])
def test_listening_ends_where_the_server_never_falls_silent(ms: int) -> None:
    wire = Wire(forever=bytes(64))
    made, _ = tap(wire)
    made.listen(ms)
    assert wire.time <= ms + LAST_WORD_MS + 10


def test_listening_ends_at_an_error() -> None:
    made, seen = tap(Wire(b"ab", OSError(errno.ECONNRESET, "reset")))
    made.listen(300)
    assert (seen.bytes_in, made.errno) == (2, errno.ECONNRESET)


# the real thing


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair()
    with one, other:
        one.setblocking(False)
        yield one, other


def test_a_real_socket_is_read_to_its_end(pair: tuple[socket.socket, socket.socket]) -> None:
    from firmshake_agent.runtime_cpython import Runtime

    seen = Observer()
    made = Tap(Runtime(), pair[0], seen)
    made.deadline(5000)
    pair[1].sendall(b"SSH-2.0")
    assert made.readinto(bytearray(7)) == 7
    assert made.write(b"bye") == 3
    assert pair[1].recv(3) == b"bye"
    pair[1].close()
    assert made.readinto(bytearray(7)) == 0
    assert (made.ended, seen.bytes_in, seen.bytes_out) == (True, 7, 3)
