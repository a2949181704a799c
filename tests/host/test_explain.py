"""`firmshake explain`: a captured log, explained."""

import errno
import io
import json
import os
import pty
from pathlib import Path
from typing import BinaryIO, cast

import pytest
from click.testing import CliRunner, Result

from firmshake.cli.explain import command, items
from firmshake.errors import Error
from firmshake.event import Event, Output
from firmshake_agent.line import format_line

START = format_line(0, 5, "identity", "start", [])
PASSED = format_line(1, 57, "identity", "ok", [("device", "esp32-a4cf12"), ("took", 52)])
FIELDS = [
    ("step", "server_certificate"),
    ("cause", "expired"),
    ("took", 612),
    ("subject", "broker.lab"),
    ("not_after", "2026-01-01T00:00:00Z"),
]
EXPIRED = format_line(2, 700, "tls", "fail", FIELDS)
READY = format_line(3, 900, "ready", "ok", [("took", 1)])


def explain(text: str | bytes, *options: str) -> Result:
    return CliRunner().invoke(command, ["-", *options], input=text, catch_exceptions=False)


def test_a_failure_is_shown_with_its_why_and_its_fix() -> None:
    result = explain("\n".join([START, PASSED, EXPIRED, ""]))
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "✓ identity      52 ms  esp32-a4cf12",
        "✗ tls          612 ms  tls.server_certificate/expired",
        "    why  The broker's certificate for broker.lab expired on",
        "         2026-01-01T00:00:00Z.",
        "    fix  Renew the broker's certificate (firmshake ca broker) and reload the",
        "         broker; the boards need no change.",
    ]


def test_the_boards_own_remarks_are_shown_once() -> None:
    result = explain(f"{EXPIRED}\n- why: It is old.\n- fix: Renew it.\n")
    assert result.stdout.count("It is old.") == 1
    assert "    fix  Renew it.\n" in result.stdout


@pytest.mark.parametrize(
    ("log", "status"),
    [
        ([], 0),
        (["boot noise"], 0),
        ([START, PASSED], 0),
        ([READY], 0),
        ([EXPIRED, READY], 0),
        ([READY, EXPIRED], 1),
        ([EXPIRED, START, PASSED], 1),
    ],
)
def test_the_status_is_that_of_the_last_verdict(log: list[str], status: int) -> None:
    assert explain("\n".join([*log, ""])).exit_code == status


def test_other_output_passes_through_unchanged() -> None:
    noise = "ets Jun  8 2016\r\n\r\n\tload:0x3fff0030 \x1b[0;32mI (31)\x1b[0m [link=x]{}\r\n"
    result = explain(noise + READY + "\r\n" + noise)
    shown = noise + "✓ ready          1 ms  900 ms since the start\n" + noise
    assert result.stdout_bytes.decode() == shown


def test_bytes_that_are_not_utf_8_are_shown_as_replacement() -> None:
    assert explain(b"a\xff\xfeb\0c\n").stdout == "a\ufffd\ufffdb\0c\n"


def test_a_last_line_that_is_cut_off_is_shown() -> None:
    assert explain(START + "\n" + EXPIRED[:30]).stdout == EXPIRED[:30] + "\n"


def test_a_time_that_a_terminal_put_before_each_line_stays_on_it() -> None:
    result = explain(f"[10:20:30] {READY}\n")
    assert result.stdout == "[10:20:30] ✓ ready          1 ms  900 ms since the start\n"


def test_an_event_behind_half_a_line_of_noise_begins_a_new_line() -> None:
    noise = "\ufffd" * 40
    assert explain(noise + READY + "\n").stdout.startswith(noise + "\n✓ ready")


def test_the_same_failure_again_is_not_explained_again() -> None:
    later = format_line(9, 5000, "tls", "fail", [*FIELDS[:2], ("took", 600), *FIELDS[3:]])
    result = explain(f"{EXPIRED}\n{START}\n{later}\n")
    assert result.stdout.count("why") == 1
    assert "✗ tls          600 ms  tls.server_certificate/expired again\n" in result.stdout
    other = format_line(9, 5000, "tls", "fail", [*FIELDS[:3], ("subject", "other.lab")])
    assert explain(f"{EXPIRED}\n{START}\n{other}\n").stdout.count("why") == 2


def test_the_same_warning_again_is_not_explained_again_though_its_stage_was_passed() -> None:
    def climb(at: int, clock: str, servers: str = "pool.example") -> list[str]:
        evidence: list[tuple[str, object]] = [
            ("servers", servers),
            ("clock", clock),
            ("now", f"2026-01-01T00:00:0{at}Z"),
        ]
        fields: list[tuple[str, object]] = [("cause", "ntp_unreachable"), *evidence]
        warned = format_line(10 * at + 1, 5, "clock", "warn", fields)
        passed = format_line(10 * at + 2, 6, "clock", "ok", [*evidence[1:], ("took", at)])
        return [format_line(10 * at, 4, "clock", "start", []), warned, passed]

    def explained(*climbs: list[str]) -> int:
        lines = [line for climb in climbs for line in climb]
        return explain("\n".join([*lines, ""])).stdout.count("why")

    again = explain("\n".join([*climb(1, "floor"), *climb(2, "rtc"), ""])).stdout
    assert again.count("why") == 1
    assert again.count("ntp_unreachable again\n") == 1
    assert explained(climb(1, "floor"), climb(2, "rtc"), climb(3, "rtc")) == 1
    assert explained(climb(1, "floor"), climb(2, "rtc", "other.example")) == 2
    # a time server was there in between
    assert explained(climb(1, "floor"), climb(2, "ntp")[::2], climb(3, "rtc")) == 2


def test_json_is_one_object_a_line_for_each_event() -> None:
    result = explain(f"noise\n{START}\n{EXPIRED}\nnoise\n", "--json")
    objects = [json.loads(line) for line in result.stdout.splitlines()]
    assert [item["state"] for item in objects] == ["start", "fail"]
    assert objects[0] == {
        "seq": 0,
        "ms": 5,
        "stage": "identity",
        "state": "start",
        "verdict": None,
        "why": "",
        "fix": "",
        "fields": {},
    }
    assert objects[1]["verdict"] == "tls.server_certificate/expired"
    assert "expired on 2026-01-01" in objects[1]["why"]
    assert objects[1]["fields"]["subject"] == "broker.lab"
    assert result.exit_code == 1


def test_control_characters_in_evidence_do_not_reach_the_terminal() -> None:
    fields = [("cause", "timeout"), ("ssid", "a\x1b[2Jb\rc")]
    result = explain(format_line(0, 0, "wifi", "fail", fields) + "\n")
    assert "\x1b" not in result.stdout
    assert "\r" not in result.stdout
    assert "a\\x1b[2Jb\\rc" in result.stdout


def test_rich_markup_in_evidence_is_only_text() -> None:
    fields = [("cause", "timeout"), ("ssid", "[bold]x[/bold]")]
    assert "[bold]x[/bold]" in explain(format_line(0, 0, "wifi", "fail", fields) + "\n").stdout


def test_a_boot_loop_is_explained_once() -> None:
    result = explain("invalid header: 0xffffffff\n" * 5)
    assert result.stdout == "invalid header: 0xffffffff\n" * 5
    assert result.stderr.count("no firmware") == 1


def test_a_log_without_events_is_said_so() -> None:
    said = explain("hello\n").stderr
    assert "holds no events" in said
    assert "save a log with: firmshake console PORT --log FILE" in said
    assert "holds no events" not in explain(READY + "\n").stderr


def test_a_named_file_is_read(tmp_path: Path) -> None:
    log = tmp_path / "board.log"
    log.write_text(READY + "\n")
    result = CliRunner().invoke(command, [str(log)])
    assert result.exit_code == 0
    assert "✓ ready" in result.stdout


def test_an_absent_file_and_a_folder_are_errors_with_a_hint(tmp_path: Path) -> None:
    for name in (tmp_path / "absent.log", tmp_path):
        result = CliRunner().invoke(command, [str(name)])
        assert isinstance(result.exception, Error)
        assert str(name) in result.exception.message
        assert result.exception.hint
        assert result.stdout == ""


def test_a_file_that_fails_while_it_is_read_is_an_error() -> None:
    class Failing(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    with pytest.raises(Error, match=r"cannot read board\.log: input/output error"):
        list(items(cast(BinaryIO, Failing()), "board.log"))


def test_events_are_given_out_while_the_log_is_still_being_written() -> None:
    """A pipe that stays open: the failure, then a prompt, come without its end."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb", buffering=0) as stream:
        found = items(stream, "-")
        os.write(writing, (READY + "\n").encode())
        assert isinstance(event := next(found), Event)
        assert event.verdict == "ready"
        os.write(writing, (EXPIRED + "\n").encode())
        assert isinstance(event := next(found), Event)
        assert event.verdict == "tls.server_certificate/expired"
        os.write(writing, b">>> ")
        assert next(found) == Output(b">>> ")
        os.close(writing)
        assert list(found) == []


def test_marks_are_ascii_where_the_output_is() -> None:
    result = CliRunner(charset="ascii").invoke(command, ["-"], input=(READY + "\n").encode())
    assert result.stdout == "+ ready          1 ms  900 ms since the start\n"


def test_a_log_that_doctor_takes_for_a_broker_is_an_error_of_usage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t.log").write_text(READY + "\n")
    for name in ("t.log", "logs/absent.log"):
        result = CliRunner().invoke(command, ["--doctor", name])
        assert isinstance(result.exception, Error)
        assert result.exception.message == f"--doctor takes a broker, not the log {name}"
        assert result.exception.hint == f"write: firmshake explain {name} --doctor"
        assert result.exception.status == 2
    for given in (["--doctor", "absent.log"], ["t.log", "--doctor", "t.log"]):
        result = CliRunner().invoke(command, given)
        assert isinstance(result.exception, Error)
        assert "no CA is named" in result.exception.message


def test_that_standard_input_is_read_is_said_where_it_is_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = "reading standard input; Ctrl-D ends it"
    assert said not in explain(READY + "\n").stderr
    screen, end = pty.openpty()
    os.write(screen, (READY + "\n\x04").encode())
    with os.fdopen(end, encoding="utf-8") as keyboard:
        monkeypatch.setattr("sys.stdin", keyboard)
        command.main([], standalone_mode=False)
    os.close(screen)
    shown = capsys.readouterr()
    assert said in shown.err
    assert "ready" in shown.out
