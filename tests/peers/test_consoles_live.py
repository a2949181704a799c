"""`firmshake console` with several boards, as people run it: in a terminal, with its keys."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from support import desk
from support.ptyboard import Board
from support.screen import LIMIT_S, Screen, firmshake

from firmshake.boards import bench
from firmshake.project import Project
from firmshake.virtual import VirtualBoard, Wifi
from firmshake_agent.line import format_line

AIR = Wifi(desk.SHED.ssid, desk.SHED.password)
ELSEWHERE = {"ssid": "elsewhere", "password": "a password of its own"}
EXPIRED = [("step", "server_certificate"), ("cause", "expired"), ("took", 612)]
START = format_line(1, 10, "identity", "start", []) + "\r\n"
DNS = format_line(3, 30, "dns", "ok", [("addr", "10.0.0.7"), ("took", 31)]) + "\r\n"
FAILS = format_line(4, 40, "tls", "fail", EXPIRED) + "\r\n"
# of a command and all that its boards do meanwhile
RUN_LIMIT_S = 3 * LIMIT_S
# no port of the computer that runs this is opened
_ALL = """
from firmshake.boards import drives, ports
ports.attached = lambda: []
drives.attached = lambda: []
from firmshake.cli import main
main()
"""


@pytest.fixture
def boards(tmp_path: Path) -> Iterator[list[Board]]:
    found = [Board(tmp_path, "ttyA"), Board(tmp_path, "ttyB")]
    yield found
    for board in found:
        board.unplug()


@contextmanager
def console(boards: list[Board], *options: str, command: str = "") -> Iterator[Screen]:
    """The console of these boards in a terminal, once it listens to them all."""
    ports = [str(board.path) for board in boards]
    if command:
        screen = Screen([command, "--norc", "-i"], columns=300, environment={"PS1": "$ "})
        words = [sys.executable, "-m", "firmshake", "console", *ports, *options]
        screen.wait_for("$ ")
        screen.type(" ".join(words) + "\r")
    else:
        screen = firmshake("console", *ports, *options)
    try:
        heard = ""
        while heard.count("listening to") < len(ports):
            heard += screen.wait_for("listening to")
        yield screen
    finally:
        screen.close()


def test_the_keys_search_pause_choose_and_help(boards: list[Board]) -> None:
    one, other = boards
    with console(boards) as screen:
        one.say("temp=1\r\n")
        screen.wait_for("1 ttyA | temp=1")
        screen.type("?")
        screen.wait_for("p or space pause")

        screen.type("p")
        screen.wait_for("PAUSED")
        one.say("temp=2\r\nnoise\r\n")
        screen.wait_for("2 waiting")
        assert "temp=2" not in screen.text
        screen.type("p")
        screen.wait_for("temp=2")

        screen.type("/load\r")
        screen.wait_for('only "load"')
        one.say("unseen\r\n")
        other.say("LOAD=3\r\n")
        screen.wait_for("LOAD")
        assert "unseen" not in screen.text
        screen.type("\x1b1")
        screen.wait_for("only board 1")
        other.say("hidden\r\n")
        one.say("shown\r\n")
        screen.wait_for("1 ttyA | shown")
        assert "hidden" not in screen.text

        screen.type("0f")
        screen.wait_for("only fail")
        other.say(START + DNS)
        one.say(START + FAILS)
        screen.wait_for("tls.server_certificate/expired")
        assert "dns" not in screen.text
        screen.type("q")
        assert screen.end() == 0
        assert "Traceback" not in screen.text


@pytest.mark.parametrize("ending", ["q", "Ctrl-C", "SIGTERM", "SIGHUP", "log"])
def test_however_it_ends_the_terminal_is_as_it_was(
    boards: list[Board], tmp_path: Path, ending: str
) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "ttyA.log").symlink_to("/dev/full")
    with console(boards, "--log", str(logs)) as screen:
        screen.wait_for("? shows the keys ")
        assert screen.modes != screen.before
        if ending == "log":
            boards[0].say("no room for that\r\n")
        elif ending.startswith("SIG"):
            screen.process.send_signal(getattr(signal, ending))
        else:
            screen.type({"Ctrl-C": "\x03"}.get(ending, ending))
        assert screen.end() == (1 if ending == "log" else 0)
        assert screen.modes == screen.before
        assert "Traceback" not in screen.text
        assert ("no space left on device" in screen.text) == (ending == "log")


def test_stopped_it_gives_the_terminal_back_and_takes_it_again(boards: list[Board]) -> None:
    with console(boards, command="bash") as screen:
        screen.wait_for("? shows the keys ")
        taken = screen.modes
        screen.type("\x1a")
        screen.wait_for("Stopped")
        screen.wait_for("$ ")
        screen.type('stty -a; echo in the" "shell\r')
        assert " icanon" in screen.wait_for("in the shell")
        screen.type('bg; echo in the" "background\r')
        screen.wait_for("in the background")
        boards[0].say("temp=1\r\n")
        screen.wait_for("1 ttyA | temp=1")
        screen.type("fg\r")
        screen.wait_for("? shows the keys ")
        assert screen.modes == taken
        screen.type("?")
        screen.wait_for("p or space pause")
        screen.type("q")
        screen.wait_for("$ ")
        screen.type('echo status $?; stty -a; echo do""ne\r')
        screen.wait_for("status 0")
        assert " icanon" in screen.wait_for("done")


def test_a_terminal_that_is_not_read_loses_nothing_of_the_log(
    boards: list[Board], tmp_path: Path
) -> None:
    flood = b"".join(b"line %d\r\n" % number for number in range(30_000))
    with console(boards, "--log", str(tmp_path / "logs")) as screen:
        for start in range(0, len(flood), 2000):
            boards[0].say(flood[start : start + 2000])
        boards[1].say("not starved\r\n")
        screen.wait_for("line 29999")
        # it was said after the last line, and may be read after it
        if "2 ttyB | not starved" not in screen.text:
            screen.wait_for("2 ttyB | not starved")
        screen.type("q")
        assert screen.end() == 0
    assert (tmp_path / "logs" / "ttyA.log").read_bytes() == flood


# real boards: virtual ones that run the agent on MicroPython


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project whose broker runs."""
    project = desk.make_project(tmp_path_factory.mktemp("consoles") / "fleet")
    with desk.broker(project):
        yield project


Provisioned = Callable[..., VirtualBoard]


@pytest.fixture
def provisioned(made: Project, tmp_path: Path) -> Iterator[Provisioned]:
    with ExitStack() as stack:

        def board(device_id: str, **settings: object) -> VirtualBoard:
            flash = tmp_path / device_id
            flash.write_bytes(desk.flash_of(made, device_id, **settings))
            return stack.enter_context(VirtualBoard(flash=flash, wifi=AIR, faster_than_life=True))

        yield board


@contextmanager
def piped(*command: str) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as run:
        limit = threading.Timer(RUN_LIMIT_S, run.kill)
        limit.start()
        try:
            yield run
        finally:
            limit.cancel()
            run.kill()


def lines_until(run: "subprocess.Popen[str]", *texts: str | tuple[str, ...]) -> list[str]:
    """The lines up to where each of these texts has been in one, or all of a tuple in one."""
    found: list[str] = []
    waited = {(text,) if isinstance(text, str) else text for text in texts}
    assert run.stdout is not None
    while waited:
        line = run.stdout.readline()
        assert line, found
        found.append(line.rstrip("\n"))
        waited -= {parts for parts in waited if all(part in line for part in parts)}
    return found


def test_boards_climb_side_by_side_and_one_is_unplugged_and_back(
    provisioned: Provisioned, tmp_path: Path
) -> None:
    boards = [provisioned("shed-1"), provisioned("shed-2"), provisioned("shed-3", wifi=ELSEWHERE)]
    urls = [board.url for board in boards]
    logs = tmp_path / "logs"
    command = [sys.executable, "-m", "firmshake", "console", *urls, "--reset", "--log", str(logs)]
    with piped(*command) as run:
        ends = ("shed-1", "ready"), ("shed-2", "ready"), ("shed-3", "wifi/ap_not_found")
        said = lines_until(run, *ends)
        boards[0].unplug()
        said += lines_until(run, f"the board on {urls[0]} went away")
        boards[0].replug()
        said += lines_until(run, ("shed-1?", f"{urls[0]} is back"))
        boards[0].press_reset()
        said += lines_until(run, ("shed-1", "ready"))
        run.send_signal(signal.SIGINT)
        assert run.wait(LIMIT_S) == 0
    names = {line.partition(" | ")[0].strip() for line in said[1:]}
    ports = {url.partition("://")[2] for url in urls}
    assert names - ports == {"shed-1", "shed-1?", "shed-2", "shed-3"}
    for board, verdict in zip(boards, ("ready", "ready", "wifi/ap_not_found"), strict=True):
        log = logs / f"127.0.0.1-{board.port}.log"
        explained = desk.firmshake("explain", str(log), cwd=tmp_path, passphrase=None)
        assert verdict in explained.stdout


def test_without_a_port_all_boards_are_heard_and_one_that_comes_later_too(
    provisioned: Provisioned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = tmp_path / "runtime"
    monkeypatch.setenv(bench.FOLDER_VARIABLE, str(runtime))
    announcement = bench.Announcement()
    boards = [provisioned("shed-1"), provisioned("shed-2")]
    sights = [
        bench.Sight(
            number=number, board="esp32", runtime="micropython", shows="adapter", port=board.port
        )
        for number, board in enumerate(boards, 1)
    ]
    try:
        announcement.tell(sights[:1])
        with piped(sys.executable, "-c", _ALL, "console", "--json") as run:
            lines_until(run, f"listening to {boards[0].url}")
            announcement.tell(sights)
            lines_until(run, f"listening to {boards[1].url}")
            for board in boards:
                board.press_reset()
            said = lines_until(run, '"device": "shed-1"', '"device": "shed-2"')
            run.send_signal(signal.SIGINT)
            assert run.wait(LIMIT_S) == 0
    finally:
        announcement.close()
    events = [json.loads(line) for line in said if line.startswith("{")]
    found = {(event["port"], event["device"]) for event in events if event["device"]}
    assert found == {(boards[0].url, "shed-1"), (boards[1].url, "shed-2")}


def test_only_failures_of_real_boards(provisioned: Provisioned) -> None:
    ready, failing = provisioned("shed-1"), provisioned("shed-2", wifi=ELSEWHERE)
    command = [sys.executable, "-m", "firmshake", "console", ready.url, failing.url]
    with piped(*command, "--reset", "--only", "fail", "--search", "wifi") as run:
        said = lines_until(run, "✗ wifi")
        run.send_signal(signal.SIGTERM)
        assert run.wait(LIMIT_S) == 0
    assert not [line for line in said if "shed-1" in line and "firmshake:" not in line]
    assert os.environ["NO_COLOR"]
    assert "\x1b" not in "".join(said)


def test_a_port_that_is_not_there_is_waited_for_while_another_is_heard(
    boards: list[Board],
) -> None:
    one, other = boards
    other.unplug()
    command = [sys.executable, "-m", "firmshake", "console", str(one.path), str(other.path)]
    with piped(*command) as run:
        lines_until(
            run, f"ttyB | firmshake: there is no port {other.path}; waiting", "listening to"
        )
        one.say("heard\r\n")
        lines_until(run, "ttyA | heard")
        other.plug()
        lines_until(run, f"ttyB | firmshake: listening to {other.path}")
        run.send_signal(signal.SIGINT)
        assert run.wait(LIMIT_S) == 0
