"""The console: a board's line, live, over a pseudo-terminal that comes and goes."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.ptyboard import Board

from firmshake import serialport
from firmshake.cli.console import command
from firmshake.cli.explain import command as explain
from firmshake.console import Back, Lost, OpenPort, watch
from firmshake.errors import Error
from firmshake.event import Event, Output
from firmshake.saving import Log, NotSaved, SavedPort
from firmshake_agent.line import format_line

PASSED = format_line(3, 812, "dns", "ok", [("addr", "10.0.0.7"), ("took", 31)])
DNS = Event(3, 812, "dns", "ok", {"addr": "10.0.0.7", "took": "31"})


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    found = Board(tmp_path)
    yield found
    found.unplug()


def test_events_and_output_come_as_they_are_sent(board: Board) -> None:
    live = watch(board.open)
    board.say_first("ets Jun  8 2016\r\n" + PASSED + "\r\n")
    assert next(live) == Output(b"ets Jun  8 2016\r\n")
    assert next(live) == DNS
    board.say(b"\xff\x00half")
    assert next(live) == Output(b"\xff\x00half")
    live.close()


def test_an_unplugged_board_is_said_once_and_waited_for(board: Board) -> None:
    pauses = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            board.plug()
            board.say_first(PASSED + "\r\n")

    live = watch(board.open, pause=pause)
    board.say_first("hello\r\n")
    assert next(live) == Output(b"hello\r\n")
    board.unplug()
    found = [next(live) for _ in range(3)]
    assert found == [Lost(f"the board on {board.path} went away"), Back(), DNS]
    assert len(pauses) == 3
    live.close()


def test_a_port_that_is_absent_at_the_start_is_an_error(tmp_path: Path) -> None:
    result = CliRunner().invoke(command, [str(tmp_path / "ttyNONE")])
    assert isinstance(result.exception, Error)
    assert "ttyNONE" in result.exception.message
    assert result.exception.hint


def test_the_board_is_reset_once_at_the_start_where_that_is_asked_for(board: Board) -> None:
    resets: list[OpenPort] = []
    live = watch(board.open, resets.append, pause=lambda seconds: board.plug())
    board.say_first(PASSED + "\n")
    assert next(live) == DNS
    board.unplug()
    assert isinstance(next(live), Lost)
    assert next(live) == Back()
    assert len(resets) == 1
    live.close()


def test_a_reset_that_the_port_cannot_do_is_an_error_and_leaves_it_closed(board: Board) -> None:
    result = CliRunner().invoke(command, [str(board.path), "--reset"])
    assert isinstance(result.exception, Error)
    assert "no lines to reset" in result.exception.message
    board.open().close()  # it could not be opened again if it were open still: it is exclusive


def invoke(
    board: Board, monkeypatch: pytest.MonkeyPatch, said: str | bytes, *options: str
) -> tuple[int, str, str]:
    """Run the command; Ctrl-C comes at the first read that finds nothing, once all was read."""
    real = serialport.open_port

    def open_port(url: str, baud: int) -> object:
        port = real(url, baud)
        read = port.read
        board.say(said)
        heard = 0

        def until_quiet(size: int = 1) -> bytes:
            nonlocal heard
            data = bytes(read(size))
            heard += len(data)
            # the system brings it over some time after it was said
            if not data and heard >= len(said):
                raise KeyboardInterrupt
            return data

        monkeypatch.setattr(port, "read", until_quiet)
        return port

    monkeypatch.setattr(serialport, "open_port", open_port)
    result = CliRunner().invoke(command, [str(board.path), *options], catch_exceptions=False)
    return result.exit_code, result.stdout, result.stderr


def test_ctrl_c_ends_it_with_status_0(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    status, out, _ = invoke(board, monkeypatch, PASSED + "\r\n")
    assert status == 0
    assert out == "✓ dns           31 ms  10.0.0.7\n"


def test_the_time_of_day_stands_before_an_event_where_asked_for(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, out, _ = invoke(board, monkeypatch, PASSED + "\r\n", "--time")
    stamp, rest = out[:8], out[8:]
    assert [stamp[2], stamp[5]] == [":", ":"]
    assert rest == " ✓ dns           31 ms  10.0.0.7\n"


def test_json_leaves_everything_but_events_out(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    say = "noise\r\n" + PASSED + "\r\nmore"
    _, out, _ = invoke(board, monkeypatch, say, "--json")
    assert out.startswith('{"seq": 3, "ms": 812, "stage": "dns", "state": "ok"')
    assert out.count("\n") == 1


def test_at_the_start_it_says_on_standard_error_what_it_listens_to(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, _, errors = invoke(board, monkeypatch, "hello\r\n")
    said = f"listening to {board.path} at 115200 baud; Ctrl-C ends it"
    assert errors == f"firmshake: {said}\n"


def test_a_log_is_appended_to_as_the_bytes_come_and_explain_reads_it(
    board: Board, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    log = tmp_path / "board.log"
    said = b"\xff\x00noise\r\n" + PASSED.encode() + b"\r\nhalf"
    invoke(board, monkeypatch, said, "--log", str(log))
    assert log.read_bytes() == said
    assert log.stat().st_mode & 0o777 == 0o600
    monkeypatch.undo()
    invoke(board, monkeypatch, said, "--log", str(log))
    assert log.read_bytes() == said * 2
    explained = CliRunner().invoke(explain, [str(log)])
    assert explained.stdout.count("✓ dns           31 ms  10.0.0.7\n") == 2


def test_a_log_that_cannot_be_made_is_an_error_and_the_port_stays_closed(
    board: Board, tmp_path: Path
) -> None:
    result = CliRunner().invoke(command, [str(board.path), "--log", str(tmp_path)])
    assert isinstance(result.exception, Error)
    assert result.exception.message.startswith(f"cannot write the log {tmp_path}: is a directory")
    assert result.exception.hint
    board.open().close()


def test_a_log_that_fails_later_is_an_error_and_not_a_board_that_went_away(board: Board) -> None:
    log = Log(Path("/dev/full"))
    live = watch(lambda: SavedPort(board.open(), log))
    board.say_first("hello\r\n")
    with pytest.raises(NotSaved, match="no space left on device"):
        next(live)
    log.close()
    board.open().close()  # the port was closed: it is exclusive


def test_the_log_goes_on_where_the_board_comes_back(board: Board, tmp_path: Path) -> None:
    log = Log(tmp_path / "board.log")

    def pause(seconds: float) -> None:
        board.plug()
        board.say_first("again\r\n")

    live = watch(lambda: SavedPort(board.open(), log), pause=pause)
    board.say_first("hello\r\n")
    assert next(live) == Output(b"hello\r\n")
    board.unplug()
    found = [next(live) for _ in range(3)]
    assert found == [Lost(f"the board on {board.path} went away"), Back(), Output(b"again\r\n")]
    live.close()
    log.close()
    assert (tmp_path / "board.log").read_bytes() == b"hello\r\nagain\r\n"
