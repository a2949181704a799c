"""How a climb is shown: readable at any width, in any encoding, whatever the board sends."""

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console, RenderableType

from firmshake.event import STAGES, Event
from firmshake.ladderview import DETAIL, show, summary
from firmshake.verdict import Verdict, judge
from firmshake.wording import printable

FAILED = Event(
    9,
    5705,
    "tls",
    "fail",
    {
        "step": "server_certificate",
        "cause": "unknown_ca",
        "took": "612",
        "issuer": "CN=Somebody's own certification authority for the whole of the laboratory",
        "trusts": "CN=First light root CA",
        "cipher": "c02b",
        "alert": "48",
        "limit_ms": "15000",
        "x_new": "1",
    },
)
READY = judge([Event(1, 900, "ready", "ok", {"took": "1"})])


def shown(item: RenderableType, width: int = 80, encoding: str = "utf-8", **options: Any) -> str:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="")
    Console(file=stream, width=width, **options).print(item)  # type: ignore[arg-type]
    stream.seek(0)
    return stream.read()


def test_evidence_is_in_peoples_words_with_names_and_units() -> None:
    lines = [line.split("  ") for line in shown(show(FAILED), 120).splitlines()[3:]]
    pairs = {words[2]: words[-1].strip() for words in lines}
    assert pairs["cipher suite"] == "ECDHE_ECDSA_AES_128_GCM_SHA256"
    assert pairs["TLS alert"] == "48 unknown_ca"
    assert pairs["time limit"] == "15000 ms"
    assert pairs["x new"] == "1"
    assert "cause" not in pairs


def test_evidence_that_is_said_already_or_says_nothing_is_left_out() -> None:
    fields = {"cause": "refused", "host": "b.example", "addr": "192.0.2.1"}
    fields |= {"port": "88", "errno": "1"}
    text = shown(show(Event(1, 1, "tcp", "fail", fields)), 120)
    assert text.splitlines()[-1].startswith("    fix ")
    assert "192.0.2.1" in text  # the why says it
    unknown = shown(show(Event(1, 1, "tcp", "fail", fields | {"cause": "bewitched"})), 120)
    assert "error number       1" in unknown


def test_an_alert_is_shown_where_the_other_side_sent_it() -> None:
    fields = {"step": "server_certificate", "cause": "unknown_ca", "alert": "48"}
    ours = shown(show(Event(1, 1, "tls", "fail", fields | {"alert_from": "board"})))
    theirs = shown(show(Event(1, 1, "tls", "fail", fields | {"alert_from": "server"})))
    assert "unknown_ca\n" not in ours.partition("fix")[2]
    assert "TLS alert          48 unknown_ca" in theirs


@pytest.mark.parametrize("width", [40, 80, 120])
def test_nothing_is_wider_than_the_console_or_padded_to_it(width: int) -> None:
    lines = shown(show(FAILED), width).splitlines()
    assert max(map(len, lines)) <= width
    assert lines == [line.rstrip() for line in lines]


def test_without_a_terminal_there_is_no_colour() -> None:
    assert "\x1b" not in shown(show(FAILED))
    assert "\x1b" in shown(show(FAILED), force_terminal=True, color_system="standard")


def test_the_environment_can_turn_colours_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[31" not in shown(show(FAILED), force_terminal=True)


def test_marks_are_ascii_where_the_encoding_is() -> None:
    assert shown(show(FAILED), encoding="ascii").startswith("x tls ")
    assert shown(show(FAILED), encoding="utf-8").startswith("✗ tls ")
    assert shown(summary(READY), encoding="ascii").startswith("+ ready")


def test_a_line_that_is_too_long_is_cut_off() -> None:
    line = shown(show(Event(1, 1, "mqtt", "ok", {"client_id": "x" * 100})), 40)
    assert len(line.rstrip("\n")) == 40
    assert line.endswith("…\n")


def test_a_line_that_was_full_is_said_so() -> None:
    full = Event(1, 1, "tcp", "fail", {"cause": "refused", "cut": "1"})
    assert "more did not fit" in shown(show(full))


def test_a_retry_is_said_in_seconds() -> None:
    retry = Event(1, 1, "boot", "info", {"retry_ms": "1730"})
    assert shown(show(retry)) == "  trying again in 1.7 s\n"


def test_the_summary_says_ready_the_verdict_or_why_there_is_none() -> None:
    assert shown(summary(READY)) == "✓ ready in 1 ms\n"
    assert shown(summary(judge([FAILED]))) == "✗ tls.server_certificate/unknown_ca\n"
    assert "no verdict: The board has not reported any stage." in shown(summary(judge([])))


NAMES = st.sampled_from([*STAGES, "boot", "warp"])
STATES = st.sampled_from(["start", "ok", "warn", "fail", "info", "engaged"])
KEYS = st.sampled_from(["took", "cause", "step", "retry_ms", "not_after", "alert", "clock", "new"])
FIELDS = st.dictionaries(KEYS, st.text())


@given(NAMES, STATES, FIELDS, st.integers(20, 100))
def test_whatever_a_board_sends_can_be_shown(
    stage: str, state: str, fields: dict[str, str], width: int
) -> None:
    event = Event(1, 1, stage, state, fields)
    text = shown(show(event), width)
    assert printable(text.replace("\n", "")) == text.replace("\n", "")
    verdict = judge([event])
    assert isinstance(verdict, Verdict)
    shown(summary(verdict), width)


def test_every_stage_but_ready_has_its_detail() -> None:
    assert [*DETAIL, "ready"] == list(STAGES)
