"""The flight recorder on the real MicroPython: brokers bad and good, power cuts, full flash."""

from __future__ import annotations

import json
import random
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support import handshake, pki, recording, servers
from support.boardtools import wait_until
from support.broker import mosquitto
from support.builds import BITS
from support.recording import ACL, WATCHER, Board, Heard

from firmshake import recorder, tools
from firmshake.ca.identity import Identity

DEVICE = Path(__file__).parents[2] / "device"


@pytest.fixture(scope="module")
def fleet() -> pki.Fleet:
    return handshake.fleet()


@pytest.fixture(scope="module")
def watcher(fleet: pki.Fleet) -> Identity:
    return fleet.authority.issue(WATCHER, now=pki.NOW)


@contextmanager
def listening(
    folder: Path, fleet: pki.Fleet, watcher: Identity, version: str = "1.2", acl: str = ACL
) -> Iterator[tuple[int, Heard]]:
    """A real broker with rights by name, and who hears what boards publish there."""
    anchors = fleet.device.anchors_pem()
    with (
        mosquitto(folder, fleet.broker, anchors, version=version, acl=acl) as port,
        recording.listener(folder, port, watcher) as heard,
    ):
        yield port, heard


def sent(board: Board) -> bool:
    """Whether the file says that the broker has all of its records."""
    found = recorder.parse(board.file.read_bytes())
    # none are found of a file that is being written
    return bool(found.records) and found.sent >= max(record.seq for record in found.records)


@BITS
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_what_failed_is_published_once_the_broker_is_good(
    tmp_path: Path, fleet: pki.Fleet, watcher: Identity, bits: int, version: str
) -> None:
    with (
        listening(tmp_path, fleet, watcher, version) as (port, heard),
        recording.board(tmp_path, fleet, bits=bits) as board,
    ):
        nobody = servers.free_port()
        board.aim(nobody)
        began = int(time.time())
        board.start()
        assert board.verdict() == "tcp/refused"
        with servers.tcp(servers.answer(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as wrong:
            board.aim(wrong)
            assert board.verdict() == "tls.client_hello/not_tls_http"
        board.aim(port)
        assert board.verdict() == "ready"
        told = heard.next()
        assert told["device"] == pki.DEVICE
        assert [(r["verdict"], r["n"], r["boot"]) for r in told["records"]] == [
            ("tcp/refused", 1, 1),
            ("tls.client_hello/not_tls_http", 1, 1),
        ]
        assert told["records"][0]["ev"]["port"] == str(nobody)
        assert began - 1 <= told["records"][0]["at"] <= time.time()
        assert told["ready"].keys() == {
            "agent", "runtime", "climb_ms", "rssi", "free", "largest",
        }  # fmt: skip
        board.stop()
        board.aim(port)
        board.start()
        assert board.verdict() == "ready"
        again = heard.next()
        assert again["records"] == told["records"], "that they were sent has to wait for its write"


def test_what_was_sent_is_marked_so_on_flash(
    tmp_path: Path, fleet: pki.Fleet, watcher: Identity
) -> None:
    with (
        listening(tmp_path, fleet, watcher) as (port, heard),
        recording.board(tmp_path, fleet) as board,
    ):
        board.aim(servers.free_port())
        board.start()
        assert board.verdict() == "tcp/refused"
        board.aim(port)
        assert board.verdict() == "ready"
        assert len(heard.next()["records"]) == 1
        wait_until(lambda: sent(board))
        board.stop()
        board.aim(port)
        board.start()
        assert board.verdict() == "ready"
        assert heard.next()["records"] == []


def test_on_a_small_heap_the_records_arrive(
    tmp_path: Path, fleet: pki.Fleet, watcher: Identity
) -> None:
    with (
        listening(tmp_path, fleet, watcher) as (port, heard),
        recording.board(tmp_path, fleet, bits=32, heap="100k") as board,
    ):
        with servers.tcp(servers.answer(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as wrong:
            board.aim(wrong)
            board.start()
            assert board.verdict() == "tls.client_hello/not_tls_http"
        board.aim(port)
        assert board.verdict() == "ready"
        told = heard.next()
        assert [r["verdict"] for r in told["records"]] == ["tls.client_hello/not_tls_http"]
        wait_until(lambda: sent(board))


def test_a_broker_that_drops_the_message_keeps_the_session(
    tmp_path: Path, fleet: pki.Fleet
) -> None:
    """mosquitto acknowledges what its rules forbid; the session then ends with the broker alone."""
    anchors = fleet.device.anchors_pem()
    with recording.board(tmp_path, fleet) as board:
        acl = "pattern readwrite devices/%u/echo\n"
        with mosquitto(tmp_path, fleet.broker, anchors, acl=acl) as port:
            board.aim(servers.free_port())
            board.start()
            assert board.verdict() == "tcp/refused"
            board.aim(port)
            assert board.verdict() == "ready"
            wait_until(lambda: sent(board))
        assert board.verdict() == "ready/closed"


# power cuts

_CUTS = """
import sys, os, json, vfs
sys.path.insert(0, sys.argv[1])
from firmshake_agent.failure import Failure
from firmshake_agent.recorder import Recorder

KIND, PATH = sys.argv[2:4]
BLOCK = 4096 if KIND == "lfs2" else 512

class Flash:
    def __init__(self):
        self.file = open(PATH, "r+b")
        self.count = self.file.seek(0, 2) // BLOCK

    def readblocks(self, block, buffer, offset=0):
        self.file.seek(block * BLOCK + offset)
        self.file.readinto(buffer)

    def writeblocks(self, block, buffer, offset=None):
        if offset is None:
            self.ioctl(6, block)
            offset = 0
        self.file.seek(block * BLOCK + offset)
        self.file.write(buffer)

    def ioctl(self, op, block):
        if op == 4:
            return self.count
        if op == 5:
            return BLOCK
        if op == 6:
            self.file.seek(block * BLOCK)
            self.file.write(b"\\xff" * BLOCK)
            return 0

class Runtime:
    name = "a test"
    def ticks(self):
        return 0
    def since(self, ticks):
        return 1 << 40  # each write is allowed
    def random(self):
        return os.urandom(1)[0]

flash = Flash()
kind = vfs.VfsLfs2 if KIND == "lfs2" else vfs.VfsFat
if sys.argv[4] == "new":
    kind.mkfs(flash)
readonly = sys.argv[4] == "readonly"
vfs.mount(flash, "/board", readonly=readonly)
if sys.argv[4] == "full":
    try:
        for number in range(1000):
            with open("/board/%d" % number, "wb") as file:
                file.write(bytes(3000))
    except OSError:
        pass
recorder = Recorder(Runtime(), "/board/recorder")
rows = [row for row in recorder._rows if row]
print(json.dumps([[row.seq, row.count, row.name] for row in rows]))
for number in range(int(sys.argv[5])):
    recorder.fail(Failure("tcp", "cause_%d" % (number % 11), {"host": "h" * 40}), None)
    print(recorder._seq_kept)
vfs.umount("/board")
"""


class Flash:
    """A filesystem in a file, and MicroPython's recorder on it."""

    def __init__(self, folder: Path, kind: str, size: int = 256 << 10) -> None:
        self._script = folder / "cuts.py"
        self._script.write_text(_CUTS)
        self._file = folder / "flash"
        self._file.write_bytes(b"\xff" * size)
        self._kind = kind

    def run(self, how: str, failures: int) -> subprocess.Popen[str]:
        words = [str(DEVICE), self._kind, str(self._file), how, str(failures)]
        return subprocess.Popen(
            [*tools.micropython(), str(self._script), *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def to_the_end(self, how: str, failures: int) -> list[str]:
        """What it printed, a line each."""
        process = self.run(how, failures)
        out, err = process.communicate(timeout=recording.LIMIT_S)
        assert (process.returncode, err) == (0, "")
        return out.splitlines()


@pytest.mark.parametrize("kind", ["lfs2", "fat"])
def test_the_power_may_go_at_any_moment(tmp_path: Path, kind: str) -> None:
    """On LittleFS nothing is lost that was written; on FAT the recorder at least goes on."""
    flash = Flash(tmp_path, kind)
    flash.to_the_end("new", 1)
    chance = random.Random(6)
    told = 0
    for _ in range(120):
        process = flash.run("again", 100000)
        assert process.stdout is not None
        assert process.stderr is not None
        first = process.stdout.readline()
        assert first, process.stderr.read()
        held = max((seq for seq, _, _ in json.loads(first)), default=0)
        if kind == "lfs2":
            assert held >= told
        for _ in range(chance.randrange(1, 6)):
            told = int(process.stdout.readline())
        time.sleep(chance.random() / 200)
        process.kill()
        # what it said until then is on the flash
        rest, err = process.communicate()
        assert err == ""
        told = max([told, *(int(line) for line in rest.split()[:-1])])
    # on FAT the numbers begin anew where the file is lost
    assert kind == "fat" or told > 120
    flash.to_the_end("again", 3)
    assert len(json.loads(flash.to_the_end("again", 0)[0])) >= 3


@pytest.mark.parametrize("kind", ["lfs2", "fat"])
def test_a_filesystem_that_cannot_be_written_costs_the_record_of_nobody(
    tmp_path: Path, kind: str
) -> None:
    """It is what CircuitPython has while a computer has its drive: kept in memory alone."""
    flash = Flash(tmp_path, kind)
    flash.to_the_end("new", 2)
    assert flash.to_the_end("readonly", 3)[1:] == ["2"] * 3
    held = json.loads(flash.to_the_end("readonly", 3)[0])
    assert [name for _, _, name in held] == ["tcp/cause_0", "tcp/cause_1"]


@pytest.mark.parametrize("kind", ["lfs2", "fat"])
def test_a_full_filesystem_is_survived(tmp_path: Path, kind: str) -> None:
    flash = Flash(tmp_path, kind)
    assert json.loads(flash.to_the_end("new", 0)[0]) == []
    assert flash.to_the_end("full", 5)[1:] == ["0"] * 5
    assert json.loads(flash.to_the_end("again", 0)[0]) == []
