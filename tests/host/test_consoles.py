"""Several boards' lines as one stream, over pseudo-terminals that come and go."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest
from support import commands
from support.ptyboard import Board as Plugged

from firmshake import consoles as module
from firmshake.console import Back, Lost, OpenPort
from firmshake.consoles import Consoles, Place
from firmshake.errors import Error
from firmshake.event import Event, Output
from firmshake.feed import Board, NotReset, Opened, Refused, Said
from firmshake.merging import Dropped
from firmshake.saving import Log, LogFolder, NotSaved, SavedPort, short_name
from firmshake_agent.line import format_line

IDENTITY = format_line(2, 12, "identity", "ok", [("device", "shed-1"), ("took", 5)]) + "\r\n"


LIMIT_S = 60.0  # only a broken test waits so long


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that are to end may take their time on a busy machine."""
    monkeypatch.setattr(module, "_CLOSE_S", LIMIT_S)


@pytest.fixture
def plug(tmp_path: Path) -> Iterator[Callable[[str], Plugged]]:
    with ExitStack() as stack:

        def one(name: str) -> Plugged:
            board = Plugged(tmp_path, name)
            stack.callback(board.unplug)
            return board

        yield one


def lines(*boards: Plugged, log: LogFolder | None = None) -> module.Line:
    by_port = {str(board.path): board for board in boards}

    @contextmanager
    def line(port: str) -> Iterator[Callable[[], OpenPort]]:
        if log is None:
            yield by_port[port].open
            return
        with closing(log.log(port)) as file:
            yield lambda: SavedPort(by_port[port].open(), file)

    return line


def until(consoles: Consoles, is_enough: Callable[[list[Said]], bool]) -> list[Said]:
    """What is taken until that is enough."""
    came: list[Said] = []
    while not is_enough(came):
        consoles.wait([], 1)
        came += consoles.take(100)
    return came


def said(came: list[Said], item: object) -> bool:
    return any(one.item == item for one in came)


def of(came: list[Said], number: int) -> list[object]:
    return [one.item for one in came if one.board.number == number]


def test_each_board_has_its_number_and_is_heard(plug: Callable[[str], Plugged]) -> None:
    one, other = plug("ttyA"), plug("ttyB")
    with Consoles(lines(one, other)) as consoles:
        consoles.listen_to([str(one.path), str(other.path)])
        assert consoles.boards == [Board(1, str(one.path)), Board(2, str(other.path))]
        until(consoles, lambda came: sum(isinstance(said.item, Opened) for said in came) == 2)
        one.say("first\r\n")
        came = until(consoles, lambda came: said(came, Output(b"first\r\n")))
        other.say("second\r\n")
        came += until(consoles, lambda came: said(came, Output(b"second\r\n")))
    assert of(came, 1) == [Output(b"first\r\n")]
    assert of(came, 2) == [Output(b"second\r\n")]


def test_a_board_has_its_device_id_from_when_it_says_it_until_it_is_unplugged(
    plug: Callable[[str], Plugged],
) -> None:
    board = plug("ttyA")
    board.say_first("before\r\n" + IDENTITY + "after\r\n")
    with Consoles(lines(board)) as consoles:
        consoles.listen_to([str(board.path)])
        came = until(consoles, lambda came: said(came, Output(b"after\r\n")))
        board.unplug()
        came += until(consoles, lambda came: any(isinstance(one.item, Lost) for one in came))
        board.say_first("another\r\n")
        board.plug()
        came += until(consoles, lambda came: said(came, Output(b"another\r\n")))
    kinds = [(type(one.item), one.device) for one in came]
    assert kinds == [
        (Opened, None),
        (Output, None),
        (Event, "shed-1"),
        (Output, "shed-1"),
        (Lost, "shed-1"),
        (Back, None),
        (Output, None),
    ]


def test_a_port_that_is_not_there_is_said_once_and_waited_for(
    plug: Callable[[str], Plugged],
) -> None:
    board = plug("ttyA")
    board.unplug()
    with Consoles(lines(board)) as consoles:
        consoles.listen_to([str(board.path)])
        [refused] = until(consoles, bool)
        assert isinstance(refused.item, Refused)
        assert refused.item.error.message == f"there is no port {board.path}"
        board.say_first("there\r\n")
        board.plug()
        came = until(consoles, lambda came: said(came, Output(b"there\r\n")))
        assert of(came, 1) == [Opened(), Output(b"there\r\n")]


def test_a_board_is_reset_when_its_port_is_first_opened_and_one_that_cannot_be_goes_on(
    plug: Callable[[str], Plugged],
) -> None:
    board = plug("ttyA")
    refusal = Error("no lines to reset it with")
    resets = []

    def reset(port: OpenPort) -> None:
        resets.append(port)
        raise refusal

    with Consoles(lines(board), reset) as consoles:
        consoles.listen_to([str(board.path)])
        came = until(consoles, lambda came: len(came) == 2)
        assert of(came, 1) == [Opened(), NotReset(refusal)]
        board.unplug()
        until(consoles, lambda came: any(isinstance(one.item, Lost) for one in came))
        board.say_first("there\r\n")
        board.plug()
        until(consoles, lambda came: said(came, Output(b"there\r\n")))
    assert len(resets) == 1


def test_what_nobody_takes_is_bounded_and_the_log_has_it_all(
    plug: Callable[[str], Plugged], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ROOM", 20_000)
    flooding, other = plug("ttyA"), plug("ttyB")
    other.say_first("not starved\r\n")
    log = tmp_path / "logs"
    flood = b"".join(b"line %d\r\n" % number for number in range(20_000))
    last, all_came = Output(b"line 19999\r\n"), threading.Event()
    put = Consoles._put

    def noted(consoles: Consoles, said: Said) -> None:
        put(consoles, said)
        if said.item == last:
            all_came.set()

    monkeypatch.setattr(Consoles, "_put", noted)
    with Consoles(lines(flooding, other, log=LogFolder(log))) as consoles:
        consoles.listen_to([str(flooding.path)])
        until(consoles, lambda came: said(came, Opened()))
        for start in range(0, len(flood), 2000):
            flooding.say(flood[start : start + 2000])
        consoles.listen_to([str(other.path)])
        assert all_came.wait(LIMIT_S)
        came = until(consoles, lambda came: said(came, last))
        came += until(consoles, lambda more: said(came + more, Output(b"not starved\r\n")))
    assert (log / "ttyA.log").read_bytes() == flood
    dropped, *kept = of(came, 1)
    assert isinstance(dropped, Dropped)
    assert kept == [Output(b"line %d\r\n" % number) for number in range(dropped.count, 20_000)]
    assert dropped.count > 19_000
    assert of(came, 2) == [Opened(), Output(b"not starved\r\n")]


def test_with_events_only_other_output_takes_no_room(plug: Callable[[str], Plugged]) -> None:
    board = plug("ttyA")
    board.say_first("noise\r\n" * 100 + IDENTITY)
    with Consoles(lines(board), events_only=True) as consoles:
        consoles.listen_to([str(board.path)])
        came = until(consoles, lambda came: len(came) == 2)
    assert [type(one.item) for one in came] == [Opened, Event]


def test_a_log_that_cannot_be_written_ends_it_all(plug: Callable[[str], Plugged]) -> None:
    board = plug("ttyA")
    board.say_first("hello\r\n")

    @contextmanager
    def line(port: str) -> Iterator[Callable[[], OpenPort]]:
        with closing(Log(Path("/dev/full"))) as full:
            yield lambda: SavedPort(board.open(), full)

    with Consoles(line) as consoles:
        consoles.listen_to([str(board.path)])
        with pytest.raises(NotSaved, match="no space left on device"):
            until(consoles, lambda came: False)
    board.open().close()  # it was closed: it is exclusive


def test_the_threads_end_and_the_ports_are_closed(plug: Callable[[str], Plugged]) -> None:
    boards = [plug(f"tty{number}") for number in range(4)]
    before = {*threading.enumerate()}  # some of another test's may end meanwhile
    with Consoles(lines(*boards)) as consoles:
        consoles.listen_to([str(board.path) for board in boards])
        until(consoles, lambda came: sum(one.item == Opened() for one in came) == 4)
        begun = {*threading.enumerate()} - before
        assert len(begun) == 4
    assert not begun & {*threading.enumerate()}
    for board in boards:
        board.open().close()


def test_a_board_that_is_plugged_in_later_joins_and_one_at_another_port_is_known_again(
    plug: Callable[[str], Plugged], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LOOK_S", 0.02)
    one, other, again = plug("ttyA"), plug("ttyB"), plug("ttyC")
    found = [Place("one", str(one.path))]
    for board in (one, other, again):
        board.say_first("hello\r\n")
    hello = Output(b"hello\r\n")
    with Consoles(lines(one, other, again)) as consoles:
        consoles.follow(lambda: list(found))
        until(consoles, lambda came: said(came, hello))
        found.append(Place("other", str(other.path)))
        came = until(consoles, lambda came: said(came, hello))
        assert of(came, 2) == [Opened(), hello]
        # the first is pulled out, and comes back under another name
        found.pop(0)
        one.unplug()
        came = until(consoles, lambda came: any(isinstance(one.item, Lost) for one in came))
        found.append(Place("one", str(again.path)))
        came = until(consoles, lambda came: said(came, hello))
        assert of(came, 1) == [Back(), hello]
        assert consoles.boards == [Board(1, str(again.path)), Board(2, str(other.path))]


def test_a_look_that_fails_is_raised_where_the_stream_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_LOOK_S", 0.01)
    looks: list[list[Place]] = [[]]

    def look() -> list[Place]:
        if not looks:
            raise Error("cannot look")
        return looks.pop()

    with Consoles(lines()) as consoles:
        consoles.follow(look)
        with pytest.raises(Error, match="cannot look"):
            until(consoles, lambda came: False)


@pytest.mark.parametrize(
    ("port", "name"),
    [
        ("/dev/ttyUSB0", "ttyUSB0"),
        ("/dev/serial/by-id/usb-X", "usb-X"),
        ("COM3", "COM3"),
        ("rfc2217://127.0.0.1:4000", "127.0.0.1:4000"),
        ("rfc2217://[::1]:4000?logging=debug", "[::1]:4000"),
        ("loop://", "loop"),
    ],
)
def test_the_short_name_of_a_port(port: str, name: str) -> None:
    assert short_name(port) == name


def test_each_port_has_a_log_of_its_own_that_stays_its_own(tmp_path: Path) -> None:
    folder = LogFolder(tmp_path / "logs")
    ports = ["/dev/a/tty", "/dev/b/tty", "rfc2217://127.0.0.1:4000", "/dev/a/tty", "../.."]
    for number, port in enumerate(ports):
        with closing(folder.log(port)) as log:
            log.append(b"%d" % number)
    found = {path.name: path.read_bytes() for path in (tmp_path / "logs").iterdir()}
    assert found == {
        "tty.log": b"03",
        "tty-2.log": b"1",
        "127.0.0.1-4000.log": b"2",
        "port.log": b"4",
    }
    assert (tmp_path / "logs").stat().st_mode & 0o777 == 0o700


def test_a_log_folder_that_is_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "log").touch()
    with pytest.raises(NotSaved, match="cannot write the log .*: file exists") as raised:
        LogFolder(tmp_path / "log")
    assert "a folder" in raised.value.hint


# the command


def test_ports_of_which_none_can_be_opened_are_an_error(tmp_path: Path) -> None:
    done = commands.run("console", tmp_path / "ttyNONE", tmp_path / "ttyNEITHER")
    assert done.message == f"there is no port {tmp_path / 'ttyNONE'}"
    assert done.status == 1
    assert done.hint


def test_a_port_that_is_named_twice_is_wrong_usage(tmp_path: Path) -> None:
    done = commands.run("console", tmp_path / "ttyA", tmp_path / "ttyA")
    assert (done.status, done.message) == (2, "a port is named twice")


def test_a_verdict_that_cannot_be_is_wrong_usage(tmp_path: Path) -> None:
    done = commands.run("console", tmp_path / "ttyA", "--only", "tls.*", "--only", "tsl.*")
    assert (done.status, done.message) == (2, "no verdict is like 'tsl.*'")
    assert "tls" in done.hint


def test_a_log_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "log").touch()
    done = commands.run("console", "ttyA", "ttyB", "--log", tmp_path / "log")
    assert done.message.startswith("cannot write the log")
