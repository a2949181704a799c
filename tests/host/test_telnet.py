"""Telnet's commands in a stream of bytes, whatever its pieces."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from firmshake.telnet import IAC, Filter, plain_start

PIECE = st.one_of(
    st.binary(max_size=8),
    st.sampled_from([b"\xff\xff", b"\xff", b"\xff\xfa", b"\xff\xf0", b"\xff\xfb\x2c", b"\xff\xfd"]),
)


class Told:
    def __init__(self) -> None:
        self.commands: list[tuple[bytes, ...]] = []

    def negotiated(self, command: bytes, option: bytes) -> None:
        self.commands.append((command, option))

    def subnegotiated(self, value: bytes) -> None:
        self.commands.append((value,))


def test_doubled_bytes_are_plain_and_the_rest_begins_with_a_command() -> None:
    assert plain_start(b"a\xff\xff\xff\xffb\xff\xfb\x2c") == (b"a\xff\xffb", b"\xff\xfb\x2c")
    assert plain_start(b"a\xff") == (b"a", b"\xff")


def test_commands_take_effect_and_leave_nothing_behind() -> None:
    told = Told()
    stream = b"a\xff\xfb\x2cb\xff\xfa\x2c\x65\xff\xff\xff\xf0c\xff\xf1d\xff\xf0e"
    assert Filter(told).feed(stream) == b"abcde"
    assert told.commands == [(b"\xfb", b"\x2c"), (b"\x2c\x65\xff",)]


@given(st.binary(max_size=200))
def test_plain_bytes_arrive_as_they_were(data: bytes) -> None:
    told = Told()
    assert Filter(told).feed(data.replace(IAC, IAC + IAC)) == data
    assert told.commands == []


@given(st.lists(PIECE, max_size=12), st.data())
def test_in_what_pieces_they_come_is_all_one(pieces: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(pieces)
    whole, parts = Told(), Told()
    expected = Filter(whole).feed(stream)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    split = Filter(parts)
    ends = zip([0, *cuts], [*cuts, len(stream)], strict=True)
    assert b"".join(split.feed(stream[start:end]) for start, end in ends) == expected
    assert parts.commands == whole.commands
