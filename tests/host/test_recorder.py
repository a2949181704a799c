"""A recorder's file, read on the host: its records in order, and nothing but records, ever."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from firmshake import recorder
from firmshake_agent.line import format_line

SLOT = 320
HEAD = format_line(0, 0, "boot", "info", [("boot", 3), ("sent", 5), ("writes", 9)])


def line(seq: int, stage: str = "tcp", **fields: object) -> str:
    given = {"cause": "refused", "n": 2, "boot": 3, **fields}
    return format_line(seq, 1500, stage, "fail", list(given.items()))


def file(*lines: str) -> bytes:
    return b"".join(text.encode().ljust(SLOT, b"\n") for text in lines)


def test_the_records_are_in_the_order_of_their_last_change() -> None:
    data = file(HEAD, line(7, host="h", port=1), "", line(5, "tls", step="finished", at=1795132800))
    found = recorder.parse(data)
    assert (found.sent, found.writes) == (5, 9)
    first, second = found.records
    assert (first.seq, first.verdict, first.sent) == (5, "tls.finished/refused", True)
    assert first.at == datetime(2026, 11, 20, tzinfo=UTC)
    assert (second.verdict, second.count, second.boot) == ("tcp/refused", 2, 3)
    assert (second.at, second.sent) == (None, False)
    assert second.event.evidence == {"host": "h", "port": "1"}


def test_a_record_is_an_object_with_why_and_fix() -> None:
    (record,) = recorder.parse(file(HEAD, line(7, host="h", addr="::1", port=1))).records
    told = record.to_dict()
    assert json.loads(json.dumps(told)) == told
    assert told["why"] == (
        "h (::1) refuses connections on port 1: nothing listens there, or a firewall says no."
    )
    assert told["fix"]


def test_a_damaged_slot_costs_its_record_alone() -> None:
    good, bad = line(6), line(7).replace("refused", "refuse_")
    assert [each.seq for each in recorder.parse(file(HEAD, bad, good)).records] == [6]
    assert [each.seq for each in recorder.parse(file(HEAD, good, line(8))[:-310]).records] == [6]


def test_a_time_that_is_none_is_none() -> None:
    for at in ("-1", "x", "999999999999999", "0", "1e9"):
        (record,) = recorder.parse(file(line(1, at=at))).records
        assert record.at is None


@given(st.binary(max_size=4000))
def test_any_bytes_are_records_or_nothing(data: bytes) -> None:
    recorder.parse(data)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 10**20),
            st.sampled_from(["boot", "tcp", "tls", "ready", "other"]),
            st.sampled_from(["fail", "info", "ok", "warn"]),
            st.dictionaries(
                st.sampled_from(["n", "boot", "at", "cause", "step", "sent", "writes", "host"]),
                st.text(max_size=30),
            ),
        ),
        max_size=9,
    )
)
def test_any_intact_lines_are_records_or_nothing(
    lines: list[tuple[int, str, str, dict[str, str]]],
) -> None:
    data = file(*(format_line(q, 0, s, t, list(f.items())) for q, s, t, f in lines))
    for record in recorder.parse(data).records:
        json.dumps(record.to_dict())
