"""The link under MiniMQTT: packets whole however they are cut, and how a broker may end."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import handshake, pki, servers, smallbroker
from support.source import Source

from firmshake_agent.failure import Failure
from firmshake_agent.ladder import Climb
from firmshake_agent.link import FIRST, Ended, Link, get_connection_manager
from firmshake_agent.runtime_cpython import Runtime

CONNACK, PINGREQ = smallbroker.CONNACK, smallbroker.PINGREQ


class Line:
    """Runtime, TLS stream and tap in one: what comes in each turn, and a clock of its own.

    A step is bytes that come, or a number of milliseconds in which nothing does.
    """

    def __init__(self, *script: bytes | int | OSError | None) -> None:
        self.time = 0
        self.ended = False
        self.quiet = False
        self.written: list[bytes] = []
        self._script = list(script)
        self._until = 0

    def ticks(self) -> int:
        return self.time

    def since(self, ticks: int) -> int:
        return self.time - ticks

    def deadline(self, ms: int) -> None:
        self._until = self.time + ms

    def left(self) -> int:
        return max(0, self._until - self.time)

    def write(self, data: bytes) -> int:
        self.written.append(data)
        return len(data)

    def readinto(self, buf: memoryview) -> int | None:
        while self._script and isinstance(step := self._script[0], int):
            pause = min(step, self._until - self.time)
            self.time += pause
            self._script[0] = step - pause
            if self.time == self._until:
                return None
            self._script.pop(0)
        if not self._script:
            self.time = self._until
            return None
        step = self._script.pop(0)
        if isinstance(step, OSError):
            raise step
        if step is None:
            return 0
        assert isinstance(step, bytes)
        count = min(len(step), len(buf))
        buf[:count] = step[:count]
        if step[count:]:
            self._script.insert(0, step[count:])
        return count


def link(line: Line) -> Link:
    made = Link(line, line, line)
    made.settimeout(0.05)
    made.expect(5000)
    return made


def packet(kind: int, body: bytes) -> bytes:
    """MQTT 3.1.1, 2.2."""
    size, head = len(body), bytes([kind << 4])
    while size > 127:
        head += bytes([size & 127 | 128])
        size >>= 7
    return head + bytes([size]) + body


def exactly(made: Link, size: int) -> bytes:
    """So many bytes, as MiniMQTT reads them inside a packet."""
    buf = bytearray(size)
    done = 0
    while done < size:
        done += made.recv_into(memoryview(buf)[done:], size - done)
    return bytes(buf)


def next_packet(made: Link) -> bytes:
    """A packet as MiniMQTT reads it: only in front of one may a turn bring nothing."""
    while True:
        try:
            data = exactly(made, 1)
            break
        except OSError as error:
            if error.errno != errno.ETIMEDOUT:
                raise
    size = shift = 0
    while True:
        byte = exactly(made, 1)
        data += byte
        size |= (byte[0] & 127) << shift
        shift += 7
        if byte[0] < 128:
            return data + (exactly(made, size) if size else b"")


def cut(data: bytes, sizes: Iterable[int]) -> list[bytes | int]:
    steps: list[bytes | int] = []
    for size in sizes:
        steps += [data[:size], 300]
        data = data[size:]
    return [*steps, data] if data else steps


@given(
    st.lists(st.binary(min_size=3, max_size=300), max_size=4),
    st.lists(st.integers(1, 200), max_size=12),
)
def test_packets_are_whole_however_slowly_their_parts_come(
    bodies: list[bytes], sizes: list[int]
) -> None:
    """The pauses are longer than a turn, in which MiniMQTT would lose what it has read."""
    packets = [CONNACK, *(packet(3, body) for body in bodies)]
    made = link(Line(*cut(b"".join(packets), sizes)))
    made.expect(None)
    assert [next_packet(made) for _ in packets] == packets


def test_a_turn_without_a_packet_says_so() -> None:
    line = Line(200, CONNACK)
    made = link(line)
    with pytest.raises(OSError, match="nothing yet"):
        made.recv_into(bytearray(1), 1)
    assert line.time == 50
    assert next_packet(made) == CONNACK


def test_a_packet_that_is_never_finished_is_silence() -> None:
    line = Line(CONNACK, b"\x30")
    made = link(line)
    made.expect(None)
    assert next_packet(made) == CONNACK
    with pytest.raises(Ended, match="silent"):
        next_packet(made)
    assert not made.closed
    assert line.time <= 20000


def test_a_broker_without_an_answer_is_silent_at_the_limit() -> None:
    line = Line()
    made = link(line)
    with pytest.raises(Ended, match="silent"):
        next_packet(made)
    assert 5000 <= line.time <= 5100


def test_a_session_may_be_silent_for_ever() -> None:
    made = link(Line(CONNACK, 10**6, b"\xd0\x00"))
    made.expect(None)
    assert [next_packet(made), next_packet(made)] == [CONNACK, b"\xd0\x00"]


MESSAGE = b"\x30\x05\x00\x01abc"


def held(*script: bytes | int | None) -> tuple[Line, Link]:
    """A session that has just sent its PINGREQ, and allows 5 s for the answer."""
    line = Line(CONNACK, *script)
    made = link(line)
    assert next_packet(made) == CONNACK
    made.expect(None)
    made.pong_ms = 5000
    made.send(b"\xc0\x00")  # PINGREQ
    return line, made


def test_a_ping_without_an_answer_is_silence_whatever_else_comes() -> None:
    line, made = held(3000, MESSAGE, 1900, MESSAGE, 10**5, None)
    assert [next_packet(made), next_packet(made)] == [MESSAGE, MESSAGE]
    with pytest.raises(Ended, match="silent"):
        next_packet(made)
    assert 5000 <= line.time <= 5100


def test_behind_the_answer_to_a_ping_a_session_may_be_silent_again() -> None:
    _, made = held(4000, smallbroker.PINGRESP, 10**6, MESSAGE)
    assert [next_packet(made), next_packet(made)] == [smallbroker.PINGRESP, MESSAGE]


@pytest.mark.parametrize("end", [None, OSError(errno.ECONNRESET, "reset")])
def test_an_end_is_told_at_once(end: OSError | None) -> None:
    made = link(Line(CONNACK, end))
    assert next_packet(made) == CONNACK
    with pytest.raises(Ended, match="closed"):
        next_packet(made)
    assert made.closed
    assert made.error is end


@pytest.mark.parametrize(
    "answer",
    [
        b"\x20\x02\x00\x05",
        b"\x20\x02\x01\x01",
        b"\x20\x03\x00\x84\x00",
        b"\x20\x03\x00\x00\x00",
        b"HTTP/1.1 400 Bad Request",
        b"\x00",
        b"\x30\x02",
    ],
)
def test_what_is_no_good_connack_ends_it(answer: bytes) -> None:
    for size in (1, 2, 99):
        made = link(Line(*cut(answer, [size] * 6)))
        with pytest.raises(Ended, match="refused"):
            exactly(made, len(answer))
        assert answer.startswith(made.first)
        assert len(made.first) <= FIRST


def test_a_packet_is_sent_as_one_when_its_answer_is_awaited() -> None:
    line = Line(CONNACK)
    made = link(line)
    for part in (b"\x10\x0c", b"\x00\x04MQTT", b"\x04\x02\x00\x0a\x00\x00"):
        assert made.send(part) == len(part)
    assert line.written == []
    assert next_packet(made) == CONNACK
    assert line.written == [b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x0a\x00\x00"]


PUBACK = b"\x40\x02\x00\x01"
SECOND = b"\x40\x02\x00\x02"  # the first number was SUBSCRIBE's


def test_an_acknowledgement_that_is_owed_is_taken_once() -> None:
    made = link(Line(CONNACK, PUBACK, PUBACK))
    made.unacknowledged = 1
    assert [next_packet(made), next_packet(made)] == [CONNACK, PUBACK]
    with pytest.raises(Ended, match="broken"):
        next_packet(made)


def test_an_acknowledgement_of_another_size_is_none() -> None:
    made = link(Line(CONNACK, b"\x40\x03\x00\x01\x00"))
    made.unacknowledged = 1
    assert next_packet(made) == CONNACK
    with pytest.raises(Ended, match="broken"):
        next_packet(made)


def test_a_large_piece_is_sent_behind_what_waits_and_is_not_kept() -> None:
    line = Line()
    made = link(line)
    large = bytes(500)
    made.send(b"\x32\x05")
    made.send(b"topic")
    assert line.written == []
    assert made.send(memoryview(large)) == 500
    assert line.written == [b"\x32\x05topic", large]
    assert made.forget(), "no packet is torn"


def test_where_memory_ends_in_the_middle_of_a_packet_it_is_torn() -> None:
    line = Line()
    made = link(line)
    made.send(b"\x32\x05")
    assert made.forget(), "nothing of it was sent"

    def poor(data: bytes) -> int:
        raise MemoryError

    line.write = poor  # type: ignore[method-assign]
    with pytest.raises(MemoryError):
        made.send(bytes(500))
    assert not made.forget()


def test_closing_sends_the_goodbye_and_never_raises() -> None:
    line = Line()
    made = link(line)
    made.send(b"\xe0\x00")
    get_connection_manager(made).close_socket(made)
    assert line.written == [b"\xe0\x00"]

    def broken(data: bytes) -> int:
        raise OSError(errno.EPIPE, "gone")

    line.write = broken  # type: ignore[method-assign]
    made.send(b"\xe0\x00")
    made.close()
    assert made.closed


class Piecewise:
    """A connection that sends byte by byte, each later than a turn after the one before."""

    def __init__(self, connection: socket.socket) -> None:
        self.recv = connection.recv
        self._connection = connection

    def sendall(self, data: bytes) -> None:
        for byte in data:
            self._connection.send(bytes([byte]))
            time.sleep(0.06)  # the pause is what is tested


class Quiet:
    """A report that nobody reads."""

    def start(self, stage: str) -> None:
        pass

    def ok(self, stage: str, evidence: object = None) -> None:
        pass


def test_a_real_broker_that_answers_byte_by_byte_is_understood() -> None:
    """As one does that writes in pieces, each of which waits for an acknowledgement."""

    def slowly(connection: socket.socket) -> None:
        smallbroker.broker()(Piecewise(connection))  # type: ignore[arg-type]

    made = handshake.server_context("1.2", clients=handshake.fleet())
    with servers.tls(made, slowly) as port:
        climb = Climb(Runtime(), Quiet(), Source(pki.settings(port)))
        climb.up()
        assert climb.session is not None
        climb.close()


def said(*answers: bytes) -> servers.Handler:
    """A broker with these answers to what it hears, one after the other."""

    def handle(connection: socket.socket) -> None:
        for answer in answers:
            connection.recv(1024)
            connection.sendall(answer)
        servers.hold(connection)

    return handle


def ended(handle: servers.Handler) -> Failure:
    made = handshake.server_context("1.2", clients=handshake.fleet())
    with servers.tls(made, handle) as port:
        climb = Climb(Runtime(), Quiet(), Source(pki.settings(port, keepalive=1)))
        try:
            climb.up()
            climb.hold()
        except Failure as failure:
            return failure
        finally:
            climb.close()
    raise AssertionError("it neither ends nor fails")


@pytest.mark.parametrize(
    "answer",
    [
        b"\x30\xff\xff\xff\x7f\x00\x01a",
        b"\x90\x03\x00\x09\x00",
        b"\x90\x05\x00\x01\x00\x00\x80",
        b"\x30\x05\x00\x02\xff\xffx",
        b"\x30\x05\x00\x09abc",
        b"\xd0\x00",
        b"HTTP/1.1 400 Bad Request\r\n",
    ],
)
def test_what_no_broker_sends_is_named_while_the_board_subscribes(answer: bytes) -> None:
    failure = ended(said(CONNACK, answer))
    assert (failure.stage, failure.cause) == ("subscribe", "not_mqtt")


def test_a_refusal_to_subscribe_is_still_named_so() -> None:
    """The control."""
    failure = ended(said(CONNACK, b"\x90\x03\x00\x01\x80"))
    assert (failure.stage, failure.cause) == ("subscribe", "denied")


@pytest.mark.parametrize(
    "answer", [b"\x40\x02\x00\x01", b"\x30\x05\x00\x02\xff\xffx", b"\x30\x05\x00\x09abc"]
)
def test_what_no_broker_sends_is_named_in_the_session(answer: bytes) -> None:
    def handle(connection: socket.socket) -> None:
        smallbroker.broker(heard=lambda kind: kind == PINGREQ and connection.sendall(answer))(
            connection
        )

    failure = ended(handle)
    assert (failure.stage, failure.cause) == ("ready", "not_mqtt")


def test_a_message_that_is_no_text_or_empty_ends_no_session() -> None:
    """The control: anybody may send such to a board's topic."""

    def handle(connection: socket.socket) -> None:
        heard: list[int] = []

        def more(kind: int) -> None:
            heard.append(kind)
            if kind == PINGREQ:
                connection.sendall(b"\x30\x04\x00\x01a\xff" + b"\x30\x03\x00\x01a")

        smallbroker.broker(pings=1, heard=more)(connection)
        assert heard.count(PINGREQ) == 2

    failure = ended(handle)
    assert (failure.stage, failure.cause) == ("ready", "closed")


def told(answer: bytes, rest: bytes = b"") -> tuple[bool | Failure, Failure | None]:
    """What `tell` gives where a broker answers so, and how a session after it ends.

    `rest` comes before the answer to the next ping, which never comes.
    """

    def handle(connection: socket.socket) -> None:
        small = smallbroker.broker()
        relay = Answering(connection, answer, rest)
        small(relay)  # type: ignore[arg-type]

    made = handshake.server_context("1.2", clients=handshake.fleet())
    with servers.tls(made, handle) as port:
        settings = pki.settings(port, keepalive=1, limit_ms=500)
        climb = Climb(Runtime(), Quiet(), Source(settings))
        climb.up()
        try:
            assert climb.session is not None
            given = climb.session.tell("diag", b"x")
        except Failure as failure:
            climb.close()
            return failure, None
        try:
            climb.hold()
        except Failure as failure:
            return given, failure
        finally:
            climb.close()
    raise AssertionError("it does not end")


class Answering:
    """A connection to a board whose message with QoS 1 gets an answer of its own."""

    def __init__(self, connection: socket.socket, answer: bytes, rest: bytes) -> None:
        self._connection = connection
        self._answer = answer
        self._rest = rest

    def recv(self, size: int) -> bytes:
        return self._connection.recv(size)

    def sendall(self, data: bytes) -> None:
        if data[:1] == b"\x32":
            data = self._answer
            if data == b"close":
                self._connection.close()
                raise OSError
        elif data == smallbroker.PINGRESP:
            data = self._rest
        if data:
            self._connection.sendall(data)


def test_a_message_that_is_acknowledged_is_told() -> None:
    given, failure = told(SECOND)
    assert given is True
    assert failure is not None
    assert (failure.stage, failure.cause) == ("ready", "keepalive_timeout"), "nothing else is wrong"


def test_a_message_that_is_not_acknowledged_costs_nothing_and_may_be_later() -> None:
    given, failure = told(b"", rest=SECOND)
    assert given is False
    assert failure is not None
    assert (failure.stage, failure.cause) == ("ready", "keepalive_timeout")


def test_a_broker_that_closes_at_the_message_ends_the_session() -> None:
    given, _ = told(b"close")
    assert isinstance(given, Failure)
    assert (given.stage, given.cause) == ("ready", "closed")
