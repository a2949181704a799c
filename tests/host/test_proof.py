"""The proof: when a board's verdict is final."""

import pytest

from firmshake.errors import Error
from firmshake.event import Event, Output
from firmshake.proof import follow
from firmshake.verdict import Verdict
from firmshake_agent.line import format_line


class Script:
    """A port that gives out what is written here, and a clock that each read moves by 0.1 s."""

    timeout: float | None = 0.1
    in_waiting = 0
    port = "/dev/ttyTEST"

    def __init__(self, *pieces: str | bytes | Exception) -> None:
        self.pieces = [p.encode() if isinstance(p, str) else p for p in pieces]
        self.now = 0.0
        self.events: list[Event] = []
        self.output: list[Output] = []

    def read(self, size: int = 1, /) -> bytes:
        self.now += 0.1
        piece = self.pieces.pop(0) if self.pieces else b""
        if isinstance(piece, Exception):
            raise piece
        return piece

    def clock(self) -> float:
        return self.now

    def follow(self, deadline_s: float = 20) -> Verdict:
        return follow(self, deadline_s, self.events.append, self.output.append, self.clock)


def climb(stage: str, **fields: str) -> str:
    """The lines of a climb that fails at a stage, or arrives at ready."""
    events: list[tuple[str, str, list[tuple[str, object]]]] = [
        ("identity", "start", []),
        ("identity", "ok", [("took", 5)]),
        (stage, "start", []),
        (stage, "ok" if stage == "ready" else "fail", [*fields.items()]),
    ]
    lines = [format_line(n, 100 * n, *event) for n, event in enumerate(events)]
    return "\r\n".join(lines) + "\r\n"


READY = climb("ready", took="1")
EXPIRED = climb("tls", step="server_certificate", cause="expired")
REFUSED = climb("tcp", cause="refused")
TRACEBACK = (
    "Traceback (most recent call last):\r\n"
    '  File "main.py", line 3, in <module>\r\n'
    "ImportError: no module named 'firmshake_agent'\r\n"
)


def test_ready_ends_it_at_once() -> None:
    board = Script("ets Jun  8 2016\r\n", READY, EXPIRED)
    verdict = board.follow()
    assert verdict.verdict == "ready"
    assert board.now < 1
    assert [event.state for event in board.events] == ["start", "ok", "start", "ok"]
    assert board.output == [Output(b"ets Jun  8 2016\r\n")]


def test_a_certain_failure_is_believed_the_second_time() -> None:
    assert Script(EXPIRED, EXPIRED, READY).follow().verdict == "tls.server_certificate/expired"
    assert Script(EXPIRED, READY).follow().ok


def test_what_may_pass_by_itself_is_given_a_third_chance() -> None:
    assert Script(REFUSED, REFUSED, READY).follow().ok
    board = Script(REFUSED, REFUSED, REFUSED, READY)
    assert board.follow().verdict == "tcp/refused"
    assert board.now < 2


def test_a_wifi_that_refuses_the_password_is_believed_the_second_time() -> None:
    refusal, absence = (climb("wifi", cause=cause) for cause in ("wrong_password", "ap_not_found"))
    assert Script(refusal, refusal, READY).follow().verdict == "wifi/wrong_password"
    assert Script(absence, absence, READY).follow().ok


def test_what_is_stored_on_the_board_is_believed_the_first_time() -> None:
    board = Script(climb("identity", cause="key_mismatch"), READY)
    assert board.follow().verdict == "identity/key_mismatch"


def test_only_the_same_verdict_in_a_row_counts() -> None:
    other = climb("tls", step="client_hello", cause="not_tls_http")
    assert Script(EXPIRED, other, EXPIRED, READY).follow().ok


def test_the_boards_remarks_are_in_the_verdict() -> None:
    remarks = "- why: It is old.\r\n- fix: Renew it.\r\n"
    verdict = Script(EXPIRED, remarks, EXPIRED, remarks).follow()
    assert (verdict.why, verdict.fix) == ("It is old.", "Renew it.")


def test_a_failure_seen_once_is_the_answer_when_the_time_is_up() -> None:
    board = Script(REFUSED, climb("ready").split("\r\n")[0] + "\r\n")
    verdict = board.follow(deadline_s=5)
    assert verdict.verdict == "tcp/refused"
    assert board.now == pytest.approx(5, abs=0.3)


def test_a_climb_that_is_not_finished_in_time_has_no_verdict() -> None:
    verdict = Script("\r\n".join(REFUSED.split("\r\n")[:3]) + "\r\n").follow()
    assert (verdict.ok, verdict.verdict, verdict.cause) == (False, None, "no_report")
    assert verdict.stage == "tcp"


def test_the_last_line_counts_though_its_line_end_is_missing() -> None:
    assert Script(READY.rstrip()).follow().ok


@pytest.mark.parametrize(
    ("pieces", "said", "early"),
    [
        (["invalid header: 0xffffffff\r\n"] * 9, "no firmware", True),
        ([TRACEBACK, "MicroPython v1.25.0 on 2025-04-15\r\n"], "main.py failed at main.py", True),
        ([TRACEBACK, ">>> "], "no module named 'firmshake_agent'", True),
        ([TRACEBACK], "ImportError", False),
        ([">>> "], "at its prompt", True),
        (["waiting for download\r\n"], "boot loader", False),
        (["Brownout detector was triggered\r\n"] * 4, "brownout", True),
        (["hello\r\n"], "no firmshake agent", False),
        ([b"\xfe\x80\x00\xf8\x98" * 20], "unreadable", False),
        ([], "silent", False),
    ],
)
def test_a_board_whose_agent_never_speaks_is_named(
    pieces: list[str | bytes], said: str, early: bool
) -> None:
    board = Script(*pieces)
    with pytest.raises(Error) as caught:
        board.follow()
    assert said in caught.value.message
    assert caught.value.hint
    assert (board.now < 2) == early


def test_the_boot_loaders_words_before_the_reset_do_not_end_it() -> None:
    assert Script("waiting for download\r\n", "ets Jun  8 2016\r\n", READY).follow().ok


def test_a_traceback_that_the_agent_survives_does_not_end_it() -> None:
    assert Script(TRACEBACK, READY).follow().ok


def test_an_agent_that_dies_in_its_climb_is_named() -> None:
    board = Script(REFUSED, TRACEBACK, ">>> ")
    with pytest.raises(Error, match="main.py failed"):
        board.follow()


def test_a_port_that_goes_away_is_an_error_with_its_name() -> None:
    board = Script(REFUSED, OSError(5, "Input/output error"))
    with pytest.raises(Error, match="/dev/ttyTEST went away") as caught:
        board.follow()
    assert caught.value.hint
    assert Script(READY, OSError(5, "Input/output error")).follow().ok
