"""The serial line: what is written is read back, and nothing damaged is."""

import binascii
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmshake_agent.line import MAX_LINE, crc16, format_line, parse_line

NAMES = st.text(string.ascii_lowercase + string.digits + "_", min_size=1, max_size=12)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
FIELDS = st.lists(st.tuples(NAMES, TEXT), max_size=6)
NUMBERS = st.integers(0, 2**40)

EXPIRED = [("step", "server_certificate"), ("cause", "expired"), ("subject", "CN=brøker 1*%@")]


def test_the_checksum_is_crc_16_ccitt_false() -> None:
    """0x29B1 is the check value of CRC-16/CCITT-FALSE (also CRC-16/IBM-3740)."""
    assert crc16("123456789") == 0x29B1


@given(st.binary(max_size=200))
def test_the_checksum_agrees_with_the_standard_librarys(data: bytes) -> None:
    assert crc16(data) == binascii.crc_hqx(data, 0xFFFF)


@given(st.binary(), st.binary())
def test_the_checksum_can_be_continued(first: bytes, second: bytes) -> None:
    assert crc16(second, crc16(first)) == crc16(first + second)


@given(NUMBERS, NUMBERS, NAMES, NAMES, FIELDS)
def test_what_is_written_is_read_back(
    seq: int, ms: int, stage: str, state: str, fields: list[tuple[str, object]]
) -> None:
    text = format_line(seq, ms, stage, state, fields)
    assert text.isascii()
    assert "\n" not in text
    if len(text) < MAX_LINE - len(" cut=1"):
        assert parse_line(text) == (seq, ms, stage, state, fields)


@given(TEXT.map(lambda text: text.replace("@fs1 ", "")), TEXT)
def test_noise_around_the_line_is_ignored(before: str, after: str) -> None:
    line = format_line(7, 1234, "tls", "fail", EXPIRED)
    assert parse_line(before.replace(" *", "") + line + after) == (7, 1234, "tls", "fail", EXPIRED)


def test_a_half_line_before_a_reset_does_not_hide_the_line_after_it() -> None:
    half = format_line(7, 1234, "tls", "start", [])[:18]
    assert parse_line(half + format_line(0, 5, "boot", "info", [])) == (0, 5, "boot", "info", [])


@given(st.data())
def test_one_changed_character_is_noticed(data: st.DataObject) -> None:
    """A CRC of 16 bits notices each change within 16 bits; a longer line would be luck."""
    line = format_line(7, 1234, "tls", "fail", EXPIRED)
    at = data.draw(st.integers(0, len(line) - 1))
    other = data.draw(st.characters(exclude_characters=line[at]))
    assert parse_line(line) is not None
    assert parse_line(line[:at] + other + line[at + 1 :]) is None


@given(st.integers(0, 60))
def test_a_line_that_is_cut_short_is_no_event(kept: int) -> None:
    assert parse_line(format_line(7, 1234, "tls", "fail", EXPIRED)[:kept]) is None


@given(st.text())
def test_arbitrary_text_never_raises(text: str) -> None:
    parse_line(text)
    parse_line("@fs1 " + text)


@given(st.text())
def test_an_arbitrary_body_with_its_right_checksum_never_raises(text: str) -> None:
    body = "@fs1 " + text
    checksum = crc16(body.encode(errors="replace"))
    parse_line(f"{body} *{checksum:04X}")


def signed(body: str) -> str:
    return f"{body} *{crc16(body):04X}"


@pytest.mark.parametrize(
    "body",
    [
        "@fs1 x 5 tls ok",
        "@fs1 1 -5 tls ok",
        "@fs1 1 5 tls",
        "@fs1 1 5 TLS ok",
        "@fs1 1 5 tls ok took",
        "@fs1 1 5 tls ok =9",
        "@fs1 1 5 tls ok took=1=2",
        "@fs1 1 5 tls ok  took=9",
        "@fs1 1 5 tls ok a=%4",
        "@fs1 1 5 tls ok a=%4g",
        "@fs1 1 5 tls ok a=%+1",
        "@fs1 1 5 tls ok a=%FF",
        "@fs1 1 5 tls ok a=é",
        "@fs2 1 5 tls ok",
    ],
)
def test_a_wrong_shape_is_no_event_though_its_checksum_is_right(body: str) -> None:
    assert parse_line(signed("@fs1 1 5 tls ok took=9")) is not None
    assert parse_line(signed(body)) is None


def test_names_that_a_later_version_adds_are_read() -> None:
    line = signed("@fs1 1 5 warp engaged factor=9")
    assert parse_line(line) == (1, 5, "warp", "engaged", [("factor", "9")])


def test_a_field_without_a_value_is_skipped_and_an_empty_one_is_kept() -> None:
    line = format_line(0, 0, "wifi", "ok", [("bssid", None), ("ssid", ""), ("rssi", -61)])
    assert parse_line(line) == (0, 0, "wifi", "ok", [("ssid", ""), ("rssi", "-61")])


@given(st.lists(st.tuples(NAMES, st.text(max_size=600)), max_size=8))
def test_no_line_is_longer_than_the_limit(fields: list[tuple[str, object]]) -> None:
    line = format_line(2**32, 2**40, "subscribe", "fail", fields)
    assert len(line.encode()) <= MAX_LINE
    assert parse_line(line) is not None


def test_a_field_that_does_not_fit_is_left_out_and_said_so() -> None:
    fields = [("cause", "malformed"), ("subject", "x" * 2000), ("alert", 42)]
    parsed = parse_line(format_line(0, 0, "tls", "fail", fields))
    assert parsed is not None
    assert parsed[4] == [("cause", "malformed"), ("alert", "42"), ("cut", "1")]


def test_a_value_that_has_no_utf_8_is_written_with_question_marks() -> None:
    parsed = parse_line(format_line(0, 0, "tls", "fail", [("error", "a\ud800 b")]))
    assert parsed is not None
    assert parsed[4] == [("error", "a? b")]
