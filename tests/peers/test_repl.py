"""Uploads to the real MicroPython through its REPL: what the board holds, and what accidents do."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import littlefs
import pytest
import serial
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import desk
from support.boardtools import PATIENCE_S, begin, read_until, settled, wait_until

from firmshake import boardfiles, bundle, image, proof, serialport
from firmshake.errors import Error
from firmshake.project import Project
from firmshake.repl import entering, programs, rawrepl, running, transfer, upload
from firmshake.repl.stream import Shape
from firmshake.virtual import VirtualBoard, Wifi
from firmshake.virtual.fault import Cut, Faults

# pyserial forgets the socket of an rfc2217:// port whose other end hung up
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

REGION = 0x200000
BLOCKS = 512

# An identity and an agent whose versions tell themselves apart, and hardly compress
NAMES = ("settings.json", "key.der", "cert.der", "ca.der")


def version(name: str, size: int = 600) -> dict[str, bytes]:
    """A whole set of files: none of it is in another version."""

    def data(path: str) -> bytes:
        seed = f"{name} {path} ".encode()
        return seed + b"".join(
            hashlib.sha256(seed + n.to_bytes(2)).digest() for n in range(size // 32)
        )

    files = {f"/firmshake/{file}": data(file) for file in NAMES}
    files |= {f"/lib/firmshake_agent/{part}.mpy": data(part) for part in ("one", "two", name)}
    files["/lib/adafruit_ticks.mpy"] = data("ticks")
    files["/main.py"] = f"print('this is version', {name!r})\n".encode()
    return files


def held(board: VirtualBoard) -> dict[str, bytes]:
    """All files in the board's flash."""
    made = littlefs.LittleFS(block_size=4096, block_count=BLOCKS, mount=False)
    made.context.buffer[:] = board.flash.read(REGION, 2 << 20)
    made.mount()
    found = {}
    for folder, _, names in made.walk("/"):
        for name in names:
            path = f"{folder.rstrip('/')}/{name}"
            with made.open(path, "rb") as file:
                found[path] = file.read()
    return found


def ours(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Without what is the board's or the user's own."""
    return {path: data for path, data in files.items() if path not in ("/boot.py", "/mine.txt")}


def board_with(files: Mapping[str, bytes], **options: object) -> VirtualBoard:
    """A board, not yet started, that holds these."""
    options = {"faster_than_life": True} | options
    board = VirtualBoard(**options)  # type: ignore[arg-type]
    for run in image.build(dict(files), BLOCKS).at(REGION):
        board.flash.program(run.offset, run.data)
    return board


@pytest.fixture(scope="module")
def idle() -> Iterator[VirtualBoard]:
    with VirtualBoard(faster_than_life=True) as board:
        settled(board.url)
        yield board


@contextlib.contextmanager
def powered(board: VirtualBoard) -> Iterator[serial.SerialBase]:
    """The open port of a board that gets its power anew, and starts only once somebody listens."""
    if board.is_plugged:
        board.unplug()
    board.hold_boot()
    board.replug()
    with serialport.open_port(board.url) as port:
        begin(board, port)
        yield port


@contextlib.contextmanager
def patience() -> Iterator[None]:
    """Nothing is sent again because an answer is late: so many bytes travel, and no more."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transfer, "_ACK_S", PATIENCE_S)
        patch.setattr(entering, "_FIRST_KNOCK_S", PATIENCE_S)
        yield


@pytest.fixture
def patient() -> Iterator[None]:
    with patience():
        yield


# what a board says


def test_a_board_says_who_it_is(idle: VirtualBoard) -> None:
    found = running.identify(idle.url)
    assert (found.runtime, found.chip, found.mac) == ("micropython", "ESP32", idle.mac)
    assert (found.space, found.block) == (2 << 20, 4096)
    assert 0 < found.free < found.space
    assert (found.inflate, found.binary) == ("deflate", True)
    assert found.version >= "1.23"
    assert found.memory > 96 << 10


def test_programs_run_print_and_fail(idle: VirtualBoard) -> None:
    with rawrepl.connected(idle.url) as repl:
        assert repl.execute("print('x' * 300)\n1/0\n" + "# filler\n" * 200) == (
            "x" * 300 + "\n",
            'Traceback (most recent call last):\n  File "<stdin>", line 2, in <module>\n'
            "ZeroDivisionError: divide by zero\n",
        )
        assert "SyntaxError" in repl.execute("x = = 1\n" * 100).err
        repl.run("kept = 1")
        assert repl.run("print(kept)") == "1\n"
        repl.soft_reset()
        assert "NameError" in repl.execute("print(kept)").err


def test_a_program_that_runs_is_stopped() -> None:
    busy = b"while True:\n    print('tick')\n"
    with board_with({"/main.py": busy}, faster_than_life=False) as board:
        assert running.identify(board.url).runtime == "micropython"


def test_a_board_restarts_through_its_repl() -> None:
    with (
        board_with({"/main.py": b"print('up again')\n"}) as board,
        rawrepl.connected(board.url) as repl,
    ):
        repl.hard_reset()
        read_until(repl.wire.port, b"up again")


# uploads


def test_an_uploaded_agent_comes_to_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at_once_there(monkeypatch, lambda: board)
    made = desk.make_project(tmp_path / "fleet")
    now = datetime.now(UTC)
    identity = desk.authority(made).issue("shed-1", now=now)
    files = bundle.agent_files() | boardfiles.of(made, identity, "shed-1", now)
    with (
        desk.broker(made),
        VirtualBoard(wifi=Wifi(desk.SHED.ssid, desk.SHED.password), faster_than_life=True) as board,
    ):
        progress: list[tuple[int, int]] = []
        done = upload.upload(board.url, files, lambda *seen: progress.append(seen))
        assert ours(held(board)) == files
        assert progress == sorted(progress)
        assert progress[-1] == (done.sent, done.sent)
        assert done.written == tuple(sorted(files))
        assert _ready(made, board)
        again = upload.upload(board.url, files)
        assert (again.written, again.sent) == ((), 0)
        assert _ready(made, board)


def _ready(made: Project, board: VirtualBoard) -> bool:
    notes = desk.Notes()
    with powered(board) as port:
        return proof.follow(port, 60, notes.event, notes.output).ok


def test_only_what_differs_travels_and_what_is_obsolete_goes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    at_once_there(monkeypatch, lambda: board)
    old, new = version("old"), version("new")
    extra = {
        "/lib/firmshake_agent/one.py": b"raise SystemExit\n",
        "/lib/adafruit_ticks.py": b"raise SystemExit\n",
        "/firmshake/key.pem": b"an older key",
    }
    with board_with(old | extra | {"/mine.txt": b"mine", "/boot.py": b"# mine\n"}) as board:
        changed = old | {"/firmshake/key.der": b"another"}
        done = upload.upload(board.url, changed)
        assert done.written == ("/firmshake/key.der", "/main.py")
        assert done.deleted == tuple(sorted(extra))
        assert ours(held(board)) == changed
        assert upload.upload(board.url, new).deleted == ("/lib/firmshake_agent/old.mpy",)
        after = held(board)
        assert ours(after) == new
        assert (after["/mine.txt"], after["/boot.py"]) == (b"mine", b"# mine\n")


@settings(
    max_examples=12,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    contents=st.lists(
        st.one_of(
            st.binary(max_size=300),
            st.integers(0, 900).map(lambda count: b"\x03" * count),
            st.integers().map(lambda seed: random.Random(seed).randbytes(9000)),
        ),
        min_size=1,
        max_size=5,
    ),
    block=st.sampled_from([700, 8192, 32768]),
    piece=st.sampled_from([32, 128]),
    is_text=st.booleans(),
)
def test_the_receiver_writes_any_files_in_any_shape(
    idle: VirtualBoard,
    contents: list[bytes],
    block: int,
    piece: int,
    is_text: bool,
    patient: None,
) -> None:
    """As text it runs here with a zlib that is made of deflate, which CircuitPython has itself."""
    shape = Shape(piece, block, 12, is_text)
    files = {f"/firmshake/{n}": data for n, data in enumerate(contents)}
    files["/main.py"] = b"pass\n"
    with rawrepl.connected(idle.url) as repl:
        repl.run(
            "import sys, io, deflate\n"
            "class zlib:\n"
            "    @staticmethod\n"
            "    def decompress(data, bits):\n"
            "        return deflate.DeflateIO(io.BytesIO(data), deflate.RAW, -bits).read()\n"
            "sys.modules['zlib'] = zlib\n"
        )
        board = running.ask(repl)
        patched = pytest.MonkeyPatch()
        with patched.context() as patch:
            patch.setattr(upload, "_shapes", lambda *_: [shape])
            patch.setattr(running, "ask", lambda _: board)
            # at one speed: where the other is not heard, it is for `upload` to try once more
            upload.replace(repl, files, fast=None)
    found = held(idle)
    assert {path: found[path] for path in files} == files
    assert {path for path in found if path.startswith("/firmshake/")} <= set(files)


def test_what_is_on_the_way_always_fits_into_the_boards_buffer(
    monkeypatch: pytest.MonkeyPatch,
    patient: None,
) -> None:
    """An ESP32 takes 260 bytes unread, and a UART loses the rest."""
    import fcntl
    import os
    import signal
    import termios

    from firmshake.virtual.terminal import Terminal

    waited, count = [], itertools.count()
    plain = Terminal.write

    def unread(terminal: Terminal) -> int:
        return int.from_bytes(fcntl.ioctl(terminal.slave, termios.FIONREAD, bytes(4)), "little")

    def write(self: Terminal, data: bytes) -> None:
        # the first of a block, and some of the others
        if b"\x03" in data or (len(data) <= 128 and next(count) % 8):
            plain(self, data)
            return
        # it reads nothing meanwhile, and what is written is there a moment later
        pid = board._chip._computer._child._process.pid  # type: ignore[union-attr]
        os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2][1] == "T")
        before = unread(self)
        plain(self, data)
        wait_until(lambda: unread(self) == before + len(data))
        waited.append(before + len(data))
        os.kill(pid, signal.SIGCONT)

    monkeypatch.setattr(Terminal, "write", write)
    with VirtualBoard(faster_than_life=True) as board:
        _started(board)
        upload.upload(board.url, version("new", 3000))
    assert 128 <= max(waited) <= 256


def at_once_there(monkeypatch: pytest.MonkeyPatch, board: Callable[[], VirtualBoard]) -> None:
    """Let each side change its speed when the other has, and not after some milliseconds.

    On a busy computer these may be too few: then the line stays as it is, which is right as well.
    """
    source, word, speed_up = programs._source, transfer._Sending._word, transfer._Sending._speed_up
    words: list[str | None] = []

    def noted(self: transfer._Sending, limit_s: float) -> str | None:
        if words[-1:] == ["slow"]:
            self._wire.write(b"!")
        words.append(word(self, limit_s))
        return words[-1]

    def followed(self: transfer._Sending) -> None:
        self._wire.write(b"!")
        chip = board()._chip
        wait_until(lambda: chip._computer is not None and chip._computer.terminal.baud == 921600)
        speed_up(self)

    def changed(name: str) -> str:
        patient = source(name).replace("poll(1500)", "poll(60000)")
        return patient.replace("time.sleep_ms(20)", "taken.read(1)")

    assert changed("loader").count("taken.read(1)") == source("loader").count("taken.read(1)") + 2
    monkeypatch.setattr(programs, "_source", changed)
    monkeypatch.setattr(transfer._Sending, "_word", noted)
    monkeypatch.setattr(transfer._Sending, "_speed_up", followed)
    monkeypatch.setattr(transfer, "_HELLO_S", PATIENCE_S)


def test_the_line_goes_faster_meanwhile_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    at_once_there(monkeypatch, lambda: board)
    with VirtualBoard(faster_than_life=True) as board:
        assert upload.upload(board.url, version("old")).baud == 921600
        assert board.baud == 115200
        assert upload.upload(board.url, version("new"), fast=None).baud == 115200
        assert running.identify(board.url).runtime == "micropython"


def test_a_board_that_cannot_go_faster_is_served_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "_HELLO_S", 0.2)
    with board_with(
        {"/boot.py": b"import machine\nmachine.UART.__init__ = lambda *_, **__: None\n"}
    ) as board:
        done = upload.upload(board.url, version("new"))
        assert done.baud == 115200
        assert ours(held(board)) == version("new")


def test_a_broken_up_heap_is_served_in_small_blocks() -> None:
    boot = b"held = [bytearray(9000) for _ in range(32)]\nheld[::2] = [None] * 16\n"
    with board_with({"/boot.py": boot}) as board:
        upload.upload(board.url, version("new", 12000))
        assert ours(held(board)) == version("new", 12000)


# accidents


@pytest.fixture(scope="module")
def total() -> int:
    """The bytes that an upload of version new over version old sends, all in all."""
    with board_with(version("old")) as board, patience():
        _started(board)
        upload.upload(board.url, version("new"), fast=None)
        return board.received


NOTHING = {"/main.py": b"print('this is version', 'none')\n"}


def check_whole(board: VirtualBoard, old: Mapping[str, bytes], new: Mapping[str, bytes]) -> bool:
    """That the board starts with all of one version; whether it is the new one."""
    said = _started(board)
    after = held(board)
    (told,) = {line for line in said.splitlines() if line.startswith("this is version ")}
    is_new = told == "this is version new"
    whole = new if is_new else old
    assert told.encode() in whole["/main.py"].replace(b"', '", b" ").replace(b"print('", b"")
    assert {path: after[path] for path in whole} == whole
    return is_new


def _started(board: VirtualBoard) -> str:
    """What it says from a start on, up to its prompt."""
    with powered(board) as port:
        return read_until(port, b">>> ").decode(errors="replace")


@pytest.mark.parametrize("share", [3, 20, 35, 50, 65, 80, 90, 96, 99, 100])
@pytest.mark.parametrize("old", [version("old"), NOTHING], ids=["provisioned", "fresh"])
def test_unplugged_at_any_percent_the_old_files_are_whole_and_the_same_command_repairs(
    share: int, old: dict[str, bytes], total: int
) -> None:
    new = version("new")
    cut = Faults(unplug_at=Cut(count=total * share // 100 if share < 100 else total - 2))
    with board_with(old, faults=cut, replug_after_s=None) as board:
        _started(board)
        with pytest.raises(Error, match="went away") as caught, patience():
            upload.upload(board.url, new, fast=None, may_reset=False)
        assert "run the same command" in caught.value.hint
        # so near the end that all may have come: then all of the new ones are there
        assert not check_whole(board, old, new) or share == 100
        upload.upload(board.url, new)
        assert ours(held(board)) == new
        assert check_whole(board, old, new)


@pytest.mark.parametrize("delay_ms", [0, 2, 5, 9, 14, 20, 30])
def test_unplugged_while_files_are_moved_the_board_finishes_by_itself(
    delay_ms: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = version("old"), version("new")
    plain = transfer._Sending._word

    def word(self: transfer._Sending, limit_s: float) -> str | None:
        found = plain(self, limit_s)
        if found == "commit":
            time.sleep(delay_ms / 1000)
            board.unplug()
        return found

    with board_with(old) as board:
        with monkeypatch.context() as patch:
            patch.setattr(transfer._Sending, "_word", word)
            # it may have been done before
            with contextlib.suppress(Error):
                upload.upload(board.url, new, fast=None, may_reset=False)
        assert not board.is_plugged
        # how far it came in that time is for the computer to say, whose processors others share
        was_begun = held(board)["/main.py"] != old["/main.py"]
        is_new = check_whole(board, old, new)
        assert is_new == was_begun
        if is_new:
            # unplugged after the last move, it leaves the list of them, which hurts nobody
            left = ours(held(board)).items() - new.items()
            assert {path for path, _ in left} <= {"/firmshake.new/list"}
        upload.upload(board.url, new)
        assert ours(held(board)) == new


def test_an_unfinished_move_is_finished_by_the_next_upload_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old, new, newer = version("old"), version("new"), version("newer")
    moved = "/firmshake.new/list"
    unfinished = old | {
        "/main.py": programs.finisher("/main.py"),
        "/firmshake.new/0": new["/firmshake/key.der"],
        "/firmshake.new/1": old["/main.py"],
        moved: b"/firmshake.new/0\n/firmshake/key.der\n/firmshake.new/1\n/main.py\n",
    }
    # the board's own start would finish it before
    with board_with(unfinished | {"/boot.py": b"1/0\n"}) as board:
        upload.upload(board.url, newer)
        assert ours(held(board)) == newer


def test_a_full_filesystem_is_refused_before_a_byte_is_written() -> None:
    old = version("old") | {"/mine.txt": bytes(1900 << 10)}
    with board_with(old) as board:
        before = held(board)
        with pytest.raises(Error, match="too full: [0-9]+ KiB are free, and [0-9]+ are needed"):
            upload.upload(board.url, version("new", 40000))
        assert held(board) == before


def test_a_filesystem_that_fills_up_meanwhile_keeps_the_old_files(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old = version("old")
    monkeypatch.setattr(upload, "_check_room", lambda *_: None)
    with board_with(old | {"/mine.txt": bytes(1900 << 10)}) as board:
        with pytest.raises(Error, match="is full") as caught:
            upload.upload(board.url, version("new", 40000))
        assert "old files are whole" in caught.value.hint
        assert not check_whole(board, old, version("new", 40000))
        upload.upload(board.url, version("new"))
        assert ours(held(board)) == version("new")


def test_flash_that_does_not_hold_what_is_written_is_noticed_before_anything_is_moved(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old, new = version("old"), version("new")
    plain = upload._digest

    def digest(contents: Iterable[bytes]) -> str:
        data = b"".join(contents)
        return "0" * 64 if b"an update that was cut short" in data else plain([data])

    with board_with(old) as board:
        with monkeypatch.context() as patch:
            patch.setattr(upload, "_digest", digest)
            with pytest.raises(Error, match="does not hold what was written"):
                upload.upload(board.url, new)
        assert not check_whole(board, old, new)


def test_a_little_noise_costs_a_block_and_much_of_it_the_upload() -> None:
    old, new = version("old"), version("new", 2000)
    with board_with(old, faults=Faults(noise=0.00003, seed=4)) as board:
        upload.upload(board.url, new)
        assert ours(held(board)) == new
    with board_with(old, faults=Faults(noise=0.02)) as board:
        with pytest.raises(Error):
            upload.upload(board.url, new)
        assert {path: held(board)[path] for path in old} == old


def test_a_board_whose_repl_is_dead_is_said_to_be_so_in_time() -> None:
    with (
        VirtualBoard(faults=Faults(dead_repl=True), faster_than_life=True) as board,
        pytest.raises(entering.NoRepl, match="does not answer"),
    ):
        upload.upload(board.url, version("new"))


def test_a_board_that_restarts_again_and_again_is_said_to_do_so() -> None:
    with (
        VirtualBoard(faults=Faults(reboot_loop=True)) as board,
        pytest.raises(Error, match="restarts again and again|restarted in the middle") as caught,
    ):
        upload.upload(board.url, version("new", 12000), fast=None)
    assert "boot loader" in caught.value.hint


def test_a_program_that_swallows_ctrl_c_is_said_to_do_so() -> None:
    main = b"""
import time
print("busy")
def wait():
    while True:
        try:
            while True:
                time.sleep_ms(1)
        except KeyboardInterrupt:
            pass
while True:
    # a second one may come while the first is caught
    try:
        wait()
    except KeyboardInterrupt:
        pass
"""
    with board_with({"/main.py": main}) as board:
        with powered(board) as port:
            read_until(port, b"busy")
        with pytest.raises(entering.NoRepl) as caught:
            running.identify(board.url, may_reset=False)
    assert "RESET" in caught.value.hint or "boot loader" in caught.value.hint


def test_another_speed_is_not_readable() -> None:
    with board_with(
        {"/main.py": b"while True:\n    print('tick')\n"}, faster_than_life=False
    ) as board:
        with pytest.raises(entering.NoRepl, match="is not readable") as caught:
            running.identify(board.url, 9600, may_reset=False)
        assert "115200" in caught.value.hint


def test_a_second_tool_on_the_port_is_busy(idle: VirtualBoard) -> None:
    with (
        serialport.open_port(idle.url),
        pytest.raises(Error, match="busy|does not answer as a serial port"),
    ):
        upload.upload(idle.url, version("new"))
    assert running.identify(idle.url).runtime == "micropython"
