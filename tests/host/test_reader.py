"""The console reader: events are found in whatever a serial line carries."""

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from firmshake import reader
from firmshake.event import Event, Output
from firmshake.reader import LONGEST, Reader
from firmshake_agent.line import crc16, format_line, parse_line

LINE_END = reader._LINE_END

OK = format_line(3, 812, "dns", "ok", [("took", 31)]).encode()
FAIL = format_line(4, 900, "tcp", "fail", [("cause", "refused"), ("port", 8883)]).encode()
DNS = Event(3, 812, "dns", "ok", {"took": "31"})
REFUSED = Event(4, 900, "tcp", "fail", {"cause": "refused", "port": "8883"})
WHY, FIX = b"- why: Nothing listens there.", b"- fix: Start the broker."
EXPLAINED = Event(
    4,
    900,
    "tcp",
    "fail",
    {"cause": "refused", "port": "8883"},
    "Nothing listens there.",
    "Start the broker.",
)

# what a serial line may carry, in pieces that meet each other in any order
PIECES = st.one_of(
    st.sampled_from(
        [
            *(OK, FAIL, WHY, FIX, OK[:20], OK[:-1], OK[:-3], b"@fs1 ", b"@f", b" *", b"\r", b"\n"),
            *(b"\r\n", b"\r\r\n", b"\xff\xfe", b"\0", b"ets Jun  8 2016 00:22:57", b">>> "),
            *("é".encode(), b"x" * 5000, b"- why: ", b"- "),
        ]
    ),
    st.binary(max_size=30),
)
STREAMS = st.lists(PIECES, max_size=25).map(b"".join)


def read(*feeds: bytes) -> list[Event | Output]:
    """Everything that comes out of the feeds; Output that is next to each other is joined."""
    serial = Reader()
    found = [item for data in feeds for item in serial.feed(data)]
    return joined(found + serial.close())


def joined(found: list[Event | Output]) -> list[Event | Output]:
    result: list[Event | Output] = []
    for item in found:
        if isinstance(item, Output) and result and isinstance(last := result[-1], Output):
            result[-1] = Output(last.data + item.data)
        else:
            result.append(item)
    return result


def exact(*feeds: bytes) -> list[Event | Output]:
    serial = Reader()
    return [item for data in feeds for item in serial.feed(data)] + serial.close()


@given(STREAMS, st.data())
@example(b"x" * (LONGEST - 3) + OK, None)
@example(b"x" * (LONGEST - 1) + b"\r\n" + OK, None)
def test_how_the_bytes_are_cut_changes_nothing(stream: bytes, data: st.DataObject | None) -> None:
    whole = exact(stream)
    assert exact(*(stream[at : at + 1] for at in range(len(stream)))) == whole
    if data is not None:
        cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
        assert exact(*(stream[a:b] for a, b in pairwise([0, *cuts, len(stream)]))) == whole


@given(STREAMS)
def test_quiet_moments_lose_and_double_nothing(stream: bytes) -> None:
    """An event whose line a quiet moment interrupts is still found, and the text is whole."""
    serial = Reader()
    found: list[Event | Output] = []
    for at in range(len(stream)):
        found += serial.feed(stream[at : at + 1])
        found += serial.quiet()
    found += serial.close()
    expected = read(stream)
    assert [(e.seq, e.state) for e in found if isinstance(e, Event)] == [
        (e.seq, e.state) for e in expected if isinstance(e, Event)
    ]


@given(st.lists(st.binary(max_size=400)))
def test_arbitrary_bytes_come_out_as_they_went_in(feeds: list[bytes]) -> None:
    found = read(*feeds)
    assert b"".join(item.data for item in found if isinstance(item, Output)) == b"".join(feeds)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r\r\n", b"\r"])
def test_every_kind_of_line_end_ends_an_event_and_belongs_to_it(end: bytes) -> None:
    stream = end.join([b"boot", OK, FAIL, WHY, FIX, b"after", b""])
    assert read(stream) == [Output(b"boot" + end), DNS, EXPLAINED, Output(b"after" + end)]


def test_an_event_is_given_out_as_soon_as_its_line_ends() -> None:
    assert Reader().feed(OK + b"\r\n") == [DNS]


def test_a_failure_is_given_out_as_soon_as_its_remarks_are_there() -> None:
    serial = Reader()
    assert serial.feed(FAIL + b"\n") == []
    assert serial.feed(WHY + b"\n") == []
    assert serial.feed(FIX + b"\n") == [EXPLAINED]


def test_a_failure_without_remarks_is_given_out_when_the_line_goes_quiet() -> None:
    serial = Reader()
    assert serial.feed(FAIL + b"\n") == []
    assert serial.quiet() == [REFUSED]
    assert serial.quiet() == []


def test_a_quiet_moment_does_not_tear_a_remark_from_its_failure() -> None:
    serial = Reader()
    serial.feed(FAIL + b"\n" + WHY + b"\n" + FIX[:3])
    assert serial.quiet() == []
    assert serial.feed(FIX[3:] + b"\n") == [EXPLAINED]


def test_a_prompt_is_given_out_when_the_line_goes_quiet() -> None:
    serial = Reader()
    assert serial.feed(b">>> ") == []
    assert serial.quiet() == [Output(b">>> ")]


def test_an_event_that_has_begun_is_not_torn_by_a_quiet_moment() -> None:
    for cut in range(1, len(OK)):
        serial = Reader()
        assert serial.feed(OK[:cut]) + serial.quiet() == []
        assert serial.feed(OK[cut:] + b"\n") == [DNS]


def test_remarks_belong_to_the_failure_only_directly_after_it() -> None:
    stream = b"\n".join([FAIL, b"something else", WHY, FIX, b""])
    output = Output(b"something else\n" + WHY + b"\n" + FIX + b"\n")
    assert read(stream) == [REFUSED, output]


def test_text_before_and_after_an_event_on_its_line_is_output() -> None:
    """Another task of the firmware may print without waiting for the agent's line to end."""
    found = read(b"rst:0x1 \xff" + OK + b"I (812) wifi: up\r\n")
    assert found == [Output(b"rst:0x1 \xff"), DNS, Output(b"I (812) wifi: up\r\n")]


def test_two_events_on_one_line_are_both_found() -> None:
    assert read(OK + FAIL + b"\n") == [DNS, REFUSED]


def test_half_an_event_before_a_reset_is_output() -> None:
    assert read(OK[:20] + OK + b"\n") == [Output(OK[:20]), DNS]
    assert read(OK[:20] + b"\r\n" + OK + b"\n") == [Output(OK[:20] + b"\r\n"), DNS]


def test_an_event_with_a_wrong_checksum_is_output() -> None:
    broken = OK.replace(b"dns", b"dnz")
    assert read(broken + b"\n" + OK + b"\n") == [Output(broken + b"\n"), DNS]


@pytest.mark.parametrize("before", [*range(LONGEST - 60, LONGEST + 10), 3 * LONGEST])
def test_an_event_behind_noise_without_line_ends_is_found(before: int) -> None:
    """A boot ROM that talks at another speed looks like one very long line."""
    assert read(b"\x80" * before + OK + b"\n") == [Output(b"\x80" * before), DNS]


@given(STREAMS, st.integers(1, 5000))
def test_no_more_is_kept_than_the_longest_line(stream: bytes, size: int) -> None:
    serial = Reader()
    for at in range(0, len(stream), size):
        serial.feed(stream[at : at + size])
        assert len(serial._buffer) < LONGEST


def test_a_long_line_is_not_cut_inside_a_character() -> None:
    for shift in range(4):
        stream = b"x" * shift + "€".encode() * 4000
        found = exact(stream)
        assert len(found) > 1
        assert all("\ufffd" not in item.text for item in found if isinstance(item, Output))


def test_bytes_that_are_not_utf_8_are_shown_as_replacement() -> None:
    assert Output(b"a\xff\0b").text == "a\ufffd\0b"


def hostile() -> list[bytes]:
    """Streams that make a careless reader go back over what it has read."""
    return [b"@fs1 ", b"@fs1  *", b"x@fs1 " + b" *" * 100, b"\r", b"@", b"- why: \n", FAIL + b"\n"]


@pytest.mark.parametrize("pattern", hostile())
def test_the_work_is_linear_in_the_bytes_read(
    pattern: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No byte is parsed, or searched for a line end, more than twice."""
    work = {"parsed": 0, "searched": 0}

    def parse(text: str) -> object:
        work["parsed"] += len(text)
        return parse_line(text)

    class LineEnd:
        def search(self, buffer: bytearray, start: int, end: int) -> object:
            match = LINE_END.search(buffer, start, end)
            work["searched"] += (match.end() if match else min(end, len(buffer))) - start
            return match

    monkeypatch.setattr(reader, "parse_line", parse)
    monkeypatch.setattr(reader, "_LINE_END", LineEnd())
    stream = (pattern * (20_000 // len(pattern) + 1))[:20_000]
    for size in (1, 100, 20_000):
        work.update(parsed=0, searched=0)
        read(*(stream[at : at + size] for at in range(0, len(stream), size)))
        assert work["parsed"] <= 2 * len(stream)
        assert work["searched"] <= 2 * len(stream) + LONGEST


def test_a_body_with_its_right_checksum_but_a_wrong_shape_is_output() -> None:
    body = b"@fs1 no numbers here"
    line = body + b" *%04X" % crc16(body)
    assert read(line + b"\n" + OK + b"\n") == [Output(line + b"\n"), DNS]
