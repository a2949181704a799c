"""From the events of a climb to its verdict."""

from pathlib import Path

import pytest

from firmshake.event import Event
from firmshake.verdict import Stage, judge, remedy
from firmshake_agent import causes

EXPIRED = {
    "step": "server_certificate",
    "cause": "expired",
    "took": "612",
    "not_after": "2026-01-01T00:00:00Z",
}


def climb(*steps: tuple[str, str, dict[str, str]], seq: int = 0) -> list[Event]:
    return [
        Event(seq + number, 100 * number, stage, state, fields)
        for number, (stage, state, fields) in enumerate(steps)
    ]


BEGIN = [("identity", "start", {}), ("identity", "ok", {"took": "52"}), ("tls", "start", {})]
FAILED = climb(*BEGIN, ("tls", "fail", EXPIRED))
READY = climb(
    *BEGIN, ("tls", "ok", {"took": "655"}), ("ready", "start", {}), ("ready", "ok", {"took": "1"})
)


def test_a_failed_climb_has_the_object_that_programs_read() -> None:
    assert judge(FAILED).to_dict() == {
        "ok": False,
        "verdict": "tls.server_certificate/expired",
        "stage": "tls",
        "step": "server_certificate",
        "cause": "expired",
        "why": "The broker's certificate expired on 2026-01-01T00:00:00Z.",
        "fix": "Renew the broker's certificate (firmshake ca broker) and reload the broker;"
        " the boards need no change.",
        "evidence": {"not_after": "2026-01-01T00:00:00Z"},
        "stages": [
            {"name": "identity", "ok": True, "ms": 52},
            {"name": "tls", "ok": False, "ms": 612},
        ],
    }


def test_a_climb_that_arrives_is_ready() -> None:
    verdict = judge(READY)
    assert (verdict.ok, verdict.verdict, verdict.stage) == (True, "ready", "ready")
    assert (verdict.step, verdict.cause, verdict.why, verdict.fix) == (None, None, "", "")
    assert [stage.name for stage in verdict.stages] == ["identity", "tls", "ready"]
    assert all(stage.ok for stage in verdict.stages)


def test_only_the_last_climb_counts() -> None:
    assert judge(FAILED + READY).ok
    assert judge(READY + FAILED).verdict == "tls.server_certificate/expired"
    assert len(judge(FAILED + FAILED).stages) == 2


def test_a_session_that_ends_is_no_longer_ready() -> None:
    lost = Event(9, 9000, "ready", "fail", {"cause": "keepalive_timeout", "took": "8000"})
    assert judge(READY).ok
    assert judge([*READY, lost]).verdict == "ready/keepalive_timeout"


def test_a_stage_without_an_end_is_no_verdict() -> None:
    verdict = judge(climb(*BEGIN))
    assert (verdict.ok, verdict.verdict, verdict.stage) == (False, None, "tls")
    assert verdict.cause == "no_report"
    assert verdict.stages[-1] == Stage("tls", False, None)
    assert "tls" in verdict.why
    assert verdict.fix
    assert verdict.evidence == {"last_ms": "200"}


def test_silence_is_no_verdict() -> None:
    verdict = judge([])
    assert (verdict.ok, verdict.verdict, verdict.stage) == (False, None, None)
    assert verdict.cause == "no_report"
    assert verdict.why
    assert verdict.fix


def test_a_warning_does_not_fail_its_stage() -> None:
    warned = climb(*BEGIN[:2], ("clock", "start", {}), ("clock", "warn", {"cause": "x"}))
    assert judge(warned).stages[-1].ok
    passed = [*warned, Event(4, 500, "clock", "ok", {"took": "300"})]
    assert judge(passed).stages[-1] == Stage("clock", True, 300)


def test_the_time_of_a_stage_is_reckoned_where_the_board_does_not_say_it() -> None:
    assert judge(climb(*BEGIN[:1], ("identity", "ok", {}))).stages == (
        Stage("identity", True, 100),
    )


def test_an_identity_checked_again_once_the_time_is_known_belongs_to_the_same_climb() -> None:
    events = climb(
        *BEGIN[:2],
        ("clock", "start", {}),
        ("clock", "ok", {"took": "400"}),
        ("identity", "start", {}),
        ("identity", "fail", {"cause": "expired", "took": "3", "not_after": "x"}),
    )
    verdict = judge(events)
    assert verdict.verdict == "identity/expired"
    assert verdict.stages == (Stage("identity", False, 3), Stage("clock", True, 400))
    other = Event(40, 900, "identity", "start", {})  # lines were lost: a climb of its own
    assert judge([*events[:4], other]).stages == (Stage("identity", False, None),)


def test_the_boards_own_words_are_preferred() -> None:
    event = Event(1, 1, "tcp", "fail", {"cause": "refused"}, "Because.", "Do this.")
    assert remedy(event) == ("Because.", "Do this.")
    assert remedy(Event(1, 1, "tcp", "fail", {"cause": "refused"}))[0] != "Because."


def test_a_cause_of_a_later_agent_is_still_said() -> None:
    why, fix = remedy(Event(1, 1, "warp", "fail", {"cause": "core_breach"}))
    assert "warp/core_breach" in why
    assert fix


def test_a_failure_without_a_cause_is_unknown() -> None:
    assert judge(climb(*BEGIN, ("tls", "fail", {}))).verdict == "tls/unknown"


def known() -> list[str]:
    text = (Path(causes.__file__).parent / "causes.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [line.split("|")[0] for line in lines if not line.startswith("*")]


@pytest.mark.parametrize("verdict", known())
def test_every_cause_has_a_why_and_a_fix_without_any_evidence(verdict: str) -> None:
    stage, cause = verdict.split("/")
    stage, _, step = stage.partition(".")
    fields = {"cause": cause} | ({"step": step} if step else {})
    why, fix = remedy(Event(1, 1, stage, "fail", fields))
    assert "which this version does not know" not in why
    assert why.endswith(".")
    assert fix
    assert not set("{}[]|") & set(why + fix)
