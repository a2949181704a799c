"""Accidents on every way onto a board: a clear end, the same command mends it, the registry true.

None of these tests looks at a clock: what ends is that each call ends.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import pty
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import busyport, desk, plugged
from support.desk import Notes
from support.plugged import AIR, WAYS, Plugged, provisioned

from firmshake import provision
from firmshake.boards.row import Row
from firmshake.boards.table import Board
from firmshake.errors import Error
from firmshake.event import Event
from firmshake.firmwares.identify import File
from firmshake.firmwares.store import Store
from firmshake.project import Project
from firmshake.registry import Registry
from firmshake.repl.rawrepl import connected
from firmshake.virtual import (
    Cut,
    Faults,
    VirtualBoard,
    VirtualCircuitPython,
    standin_firmware,
)
from firmshake.virtual.body import Body
from firmshake.ways import choose
from firmshake.ways import repl as replway
from firmshake.ways.choose import Wish


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project whose broker runs."""
    project = desk.make_project(tmp_path_factory.mktemp("accidents") / "fleet")
    with desk.broker(project):
        yield project


_NUMBERS = itertools.count()


@pytest.fixture
def device_id() -> str:
    """One of the test's own: they share a project."""
    return f"board-{next(_NUMBERS)}"


def refused(
    made: Project,
    wish: Wish,
    device_id: str,
    notes: Notes | None = None,
    *,
    answers: bool = False,
) -> Error:
    """The error that provisioning ends in, of a board that `answers` at its REPL or of another."""
    waiting = plugged.patience() if answers else contextlib.nullcontext()
    with pytest.raises(Error) as caught, waiting:
        provisioned(made, wish, notes, device_id=device_id)
    error = caught.value
    assert error.message
    assert error.hint
    return error


def is_unknown(made: Project, device_id: str) -> bool:
    """Whether nothing was issued."""
    registry = Registry.open(made.registry_path)
    return registry.device(device_id) is None and not registry.in_force([device_id])


def is_failed(made: Project, device_id: str) -> bool:
    """Whether the registry has it that the board was never proved."""
    registry = Registry.open(made.registry_path)
    device = registry.device(device_id)
    assert device is not None
    states = [change.state for change in registry.history(device_id)]
    not_done = str(device.verdict).endswith("/not_done")
    return device.state == "failed" and not_done and "proved" not in states


def patiently(
    made: Project, wish: Wish, notes: Notes | None = None, **more: Any
) -> provision.Outcome:
    """Provision a board that answers, however long that takes on a busy machine."""
    with plugged.patience():
        return provisioned(made, wish, notes, **more)


def mended(made: Project, wish: Wish, device_id: str, *, answers: bool = True) -> None:
    """The same command again: the board is proved, and only what it has now opens anything."""
    outcome = (patiently if answers else provisioned)(made, wish, device_id=device_id)
    assert outcome.verdict.verdict == "ready", outcome.verdict.why
    registry = Registry.open(made.registry_path)
    device = registry.device(device_id)
    assert device is not None
    assert (device.state, device.verdict) == ("proved", "ready")
    assert device.certificate is not None
    assert device.certificate.serial_number == outcome.serial_number
    (in_force,) = registry.in_force([device_id])
    assert in_force.serial_number == outcome.serial_number


# the cable


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A board that is unplugged stays so: nobody has to wait whether it comes back by itself."""
    monkeypatch.setattr(replway, "_BACK_S", 0.0)


class Unplugging(Notes):
    """Pulls the cable at a share of what is written."""

    def __init__(self, board: Body, percent: int) -> None:
        super().__init__()
        self._board, self._percent = board, percent

    def writing(self, done: int, total: int) -> None:
        super().writing(done, total)
        if self._board.is_plugged and done * 100 >= self._percent * total:
            self._board.unplug()


@pytest.mark.parametrize("way", WAYS)
def test_unplugged_while_it_is_written(
    made: Project, tmp_path: Path, device_id: str, way: str, quick: None
) -> None:
    with WAYS[way](tmp_path) as (board, wish, drive):
        for percent in (5, 50, 80):
            with pytest.raises(Error) as caught:
                patiently(made, wish, Unplugging(board, percent), device_id=device_id)
            assert "went away" in caught.value.message
            assert "again" in caught.value.hint
            assert is_failed(made, device_id)
            # a key that was on its way to a drive is not on this computer now
            assert drive is None or not drive.exists()
            board.replug()
            plugged.shown(Plugged(board, wish, drive))
        mended(made, wish, device_id)


class Replugging(Notes):
    """Puts the cable back once it was seen that the board is gone."""

    def __init__(self, board: Body) -> None:
        super().__init__()
        self._board = board

    def begin(self, text: str) -> None:
        super().begin(text)
        if text == "reading back":
            self._board.replug()


def test_unplugged_while_a_pico_takes_its_file(
    made: Project, tmp_path: Path, device_id: str
) -> None:
    """The copy has ended: it is the board that did not get to its end."""
    faults = Faults(unplug_at=Cut(share=0.5))
    with plugged.uf2_drive(tmp_path, faults=faults) as (board, wish, drive):
        error = refused(made, wish, device_id, Replugging(board))
        assert (
            error.message
            == f"the board came back as the drive {drive}: it does not start what it was sent"
        )
        assert is_failed(made, device_id)
        plugged.shown(Plugged(board, wish, drive))
        mended(made, wish, device_id)


class Ending(Notes):
    """Ends the run where a step begins so."""

    def __init__(self, beginning: str) -> None:
        super().__init__()
        self._beginning = beginning

    def step(self, text: str) -> None:
        super().step(text)
        if text.startswith(self._beginning):
            raise KeyboardInterrupt


def test_a_run_that_ends_between_the_board_and_the_registry(
    made: Project, tmp_path: Path, device_id: str
) -> None:
    """The board has its new key, and nobody noted that: the next run does, and writes nothing."""
    with WAYS["repl"](tmp_path) as (_, wish, _drive):
        before = patiently(made, wish, device_id=device_id)
        with pytest.raises(KeyboardInterrupt):
            patiently(made, wish, Ending("sent "), device_id=device_id, force=True)
        registry = Registry.open(made.registry_path)
        assert len(registry.in_force([device_id])) == 2
        notes = Notes()
        after = patiently(made, wish, notes)
        assert not after.written
        assert after.verdict.ok
        assert after.serial_number != before.serial_number
        assert [one.serial_number for one in registry.in_force([device_id])] == [
            after.serial_number
        ]


def test_a_new_key_that_never_arrived_is_not_taken_for_the_boards(
    made: Project, tmp_path: Path, device_id: str
) -> None:
    """The board has its old key, whole, and the registry a newer one: the board gets another."""
    with WAYS["repl"](tmp_path) as (_, wish, _drive):
        before = patiently(made, wish, device_id=device_id)
        with pytest.raises(KeyboardInterrupt):
            patiently(made, wish, Ending("issued "), device_id=device_id, force=True)
        mended(made, wish, device_id)
        old = Registry.open(made.registry_path).certificate(before.serial_number)
        assert old is not None
        assert old.reason == "superseded"


class Unplugged(Notes):
    """Pulls the cable once the board reports."""

    def __init__(self, board: Body) -> None:
        super().__init__()
        self._board = board

    def event(self, event: Event) -> None:
        if self._board.is_plugged:
            self._board.unplug()


def test_a_board_that_was_proved_stays_so_when_it_goes_away_the_second_time(
    made: Project, tmp_path: Path, device_id: str, quick: None
) -> None:
    with WAYS["repl"](tmp_path) as (board, wish, _):
        patiently(made, wish, device_id=device_id)
        with pytest.raises(Error, match="went away"):
            patiently(made, wish, Unplugged(board))
        device = Registry.open(made.registry_path).device(device_id)
        assert device is not None
        assert device.state == "proved"
        board.replug()
        mended(made, wish, device_id)


# the wrong board


def test_a_copy_of_a_board_is_a_board_of_its_own(
    made: Project, tmp_path: Path, device_id: str
) -> None:
    with WAYS["circuitpython-repl"](tmp_path) as (board, wish, _):
        first = patiently(made, wish, device_id=device_id)
        assert isinstance(board, VirtualCircuitPython)
        files = {
            str(path.relative_to(board.root)): path.read_bytes()
            for path in board.root.rglob("*")
            if path.is_file()
        }
    other = bytes.fromhex("24 0a c4 00 00 77")
    with plugged.circuitpython_repl(tmp_path, files=files, unique_id=other) as (_, wish, _):
        error = refused(made, wish, device_id, answers=True)
        assert error.message.startswith(f"{device_id!r} is the device id of the board")
        assert "--replace" in error.hint
        second = patiently(made, wish)
    assert second.written
    assert second.device_id not in (device_id, first.device_id)
    assert second.mac == "24:0a:c4:00:00:77"


def test_a_board_is_the_same_by_its_drive_and_by_its_repl(made: Project, tmp_path: Path) -> None:
    """An ESP32's number is written in another way on each."""
    number = bytes.fromhex("24 0a c4 12 34 5f")
    with plugged.circuitpython_drive(tmp_path, board="esp32-s3", unique_id=number) as one:
        by_drive = choose.choose(one.wish, Notes()).seen
    with plugged.circuitpython_repl(tmp_path, unique_id=number) as one, plugged.patience():
        by_repl = choose.choose(one.wish, Notes()).seen
    assert by_drive.unique_id == by_repl.unique_id == "24:0a:c4:12:34:5f"
    assert (by_drive.chip, by_repl.chip) == ("ESP32-S3", "ESP32-C3")


@pytest.mark.parametrize("way", ["repl", "drive", "circuitpython-repl", "uf2"])
def test_firmware_for_another_chip_is_refused(
    made: Project, tmp_path: Path, device_id: str, way: str
) -> None:
    """Also where the board keeps what it has: it may be the wrong board."""
    from firmshake import firmware

    wrong = firmware.identify(standin_firmware(chip="ESP32-S3"))
    with WAYS[way](tmp_path) as (_, wish, _drive):
        wish = Wish(wish.target, wish.via, wrong, console=wish.console)
        error = refused(made, wish, device_id, answers=True)
    assert "the firmware is for ESP32-S3, and " in error.message
    assert "nothing was written" in error.hint
    assert is_unknown(made, device_id)


def test_a_flash_that_is_too_small(made: Project, tmp_path: Path, device_id: str) -> None:
    with WAYS["esptool"](tmp_path, faults=Faults(flash_size=1 << 20)) as (_, wish, _drive):
        error = refused(made, wish, device_id)
    assert "flash" in error.message
    assert is_unknown(made, device_id)


@pytest.mark.parametrize("way", ["drive"])
def test_the_serial_port_of_another_board_proves_nothing(
    made: Project, tmp_path: Path, device_id: str, way: str
) -> None:
    with WAYS["repl"](tmp_path) as other, WAYS[way](tmp_path) as (_board, wish, _):
        patiently(made, other.wish, device_id=f"{device_id}-other")
        wrong = Wish(wish.target, console=other.wish.target)
        error = refused(made, wrong, device_id)
        assert error.message == (
            f"the board that reports there says that it is '{device_id}-other', not {device_id!r}"
        )
        assert is_failed(made, device_id)
        mended(made, wish, device_id)


# no room


def fill(url: str) -> None:
    """Leave no room on the board's filesystem."""
    with connected(url) as repl:
        repl.run(
            "import os\nos.mkdir('/mine')\ntry:\n"
            " for number in range(100):\n"
            "  with open('/mine/%d' % number, 'wb') as f:\n   f.write(bytes(16384))\n"
            "except OSError:\n pass\n",
            limit_s=60,
        )


def test_a_filesystem_that_is_full(made: Project, tmp_path: Path, device_id: str) -> None:
    with WAYS["repl"](tmp_path) as (_, wish, _drive):
        assert wish.target is not None
        fill(wish.target)
        error = refused(made, wish, device_id, answers=True)
        assert "too full" in error.message
        assert "delete files of your own" in error.hint
        assert is_failed(made, device_id)
        with connected(wish.target) as repl:
            empty = "import os\nfor name in os.listdir('/mine'):\n os.remove('/mine/' + name)\n"
            repl.run(empty, limit_s=60)
        mended(made, wish, device_id)


def test_circuitpythons_filesystem_is_full(made: Project, tmp_path: Path, device_id: str) -> None:
    with WAYS["circuitpython-repl"](tmp_path, faults=Faults(drive_is_full=True)) as (
        board,
        wish,
        _,
    ):
        error = refused(made, wish, device_id, answers=True)
        assert "full" in error.message
        assert is_failed(made, device_id)
        board.faults = Faults()
        assert isinstance(board, VirtualCircuitPython)
        board.press_reset()
        mended(made, wish, device_id)


# such a drive is mounted where no other process sees it; the second round is the control
_ON_A_DRIVE = """
import json, subprocess, sys
from pathlib import Path
from support import desk, plugged
from firmshake.virtual import Faults

way, fault, folder, *command = sys.argv[1:]
said = []
for faults in (Faults(**{fault: True}), Faults()):
    with plugged.WAYS[way](Path(folder), faults=faults) as (board, wish, drive):
        done = subprocess.run(
            [*command, wish.target, "--console", wish.console, "--passphrase-fd", "0"],
            input=desk.PASSPHRASE.decode() + chr(10),
            capture_output=True,
            text=True,
        )
        said.append((done.returncode, done.stdout, done.stderr))
print(json.dumps(said))
"""
_UNSHARE = ["unshare", "--mount", *(["--user", "--map-root-user"] if os.getuid() else [])]


@pytest.mark.parametrize("way", ["drive", "uf2"])
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("drive_is_full", {"drive": "KiB free, and", "uf2": "no space left on device"}),
        ("drive_is_read_only", {"drive": "can't be written", "uf2": "read-only file system"}),
    ],
)
def test_a_drive_that_takes_nothing(
    made: Project, tmp_path: Path, device_id: str, way: str, fault: str, said: dict[str, str]
) -> None:
    file = tmp_path / "firmware.uf2"
    file.write_bytes(plugged.firmware().data)
    command = [sys.executable, "-m", "firmshake", "provision", "--id", device_id]
    command += ["--firmware", str(file)] * (way == "uf2")
    done = subprocess.run(
        [*_UNSHARE, sys.executable, "-c", _ON_A_DRIVE, way, fault, str(tmp_path), *command],
        cwd=made.root,
        env={**os.environ, "PYTHONPATH": str(Path(desk.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=True,
    )
    (status, out, complaint), (again, proved, _) = json.loads(done.stdout)
    assert (status, out) == (1, "")
    what, hint = complaint.splitlines()[-2:]
    assert what.startswith("firmshake: ")
    assert said[way] in what
    assert hint.startswith("  ")
    assert (again, proved.split(" is proved")[0]) == (0, device_id)
    # what was issued for a drive that takes none is in force no more
    registry = Registry.open(made.registry_path)
    states = [change.state for change in registry.history(device_id)]
    failed = [] if (way, fault) == ("drive", "drive_is_read_only") else ["issued", "failed"]
    assert states == [*failed, "issued", "written", "proved"]
    assert len(registry.in_force([device_id])) == 1


# two tools on one port


@pytest.mark.parametrize("via", [None, "repl", "esptool"])
def test_a_port_that_another_program_has(
    made: Project, tmp_path: Path, device_id: str, via: str | None
) -> None:
    with busyport.held(tmp_path) as (port, pid):
        error = refused(made, Wish(port, via), device_id)
    assert error.message.startswith(f"{port} is busy: ")
    assert f"(pid {pid}) has it open" in error.message
    assert is_unknown(made, device_id)


def test_the_console_of_a_drive_is_busy(made: Project, tmp_path: Path, device_id: str) -> None:
    with (
        WAYS["drive"](tmp_path) as (_, wish, drive),
        busyport.held(tmp_path) as (port, pid),
    ):
        error = refused(made, Wish(wish.target, console=port), device_id)
        assert f"(pid {pid}) has it open" in error.message
        assert drive is not None
        assert not (drive / "firmshake").exists()
        assert is_unknown(made, device_id)
        mended(made, wish, device_id)


def test_a_program_that_takes_the_answers_away_is_named(made: Project, device_id: str) -> None:
    """It has the port open without locking it, so that we have it too."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(["sleep", "1000"], stdin=theirs) as process:
        try:
            error = refused(made, Wish(os.ttyname(theirs)), device_id)
        finally:
            process.terminate()
    os.close(ours)
    os.close(theirs)
    assert f"sleep (pid {process.pid}) has it open too" in error.message
    assert is_unknown(made, device_id)


# no answer, or another one each time


def test_a_repl_that_never_answers(made: Project, tmp_path: Path, device_id: str) -> None:
    with WAYS["repl"](tmp_path, faults=Faults(dead_repl=True)) as (board, wish, _):
        error = refused(made, wish, device_id)
        # it does say something where it was listened to while it started
        assert "says nothing" in error.message or "shows its prompt and does not" in error.message
        assert "no boot loader of an ESP32 answers" in error.message
        assert "BOOTSEL" in error.hint
        assert is_unknown(made, device_id)
        board.faults = Faults()
        mended(made, wish, device_id)


def test_an_esp32_whose_repl_never_answers_is_written_through_its_boot_loader(
    made: Project, tmp_path: Path, device_id: str
) -> None:
    with WAYS["esptool"](tmp_path, faults=Faults(dead_repl=True)) as (_, wish, _drive):
        mended(made, Wish(wish.target), device_id, answers=False)


def test_circuitpython_whose_repl_never_answers(
    made: Project, tmp_path: Path, device_id: str
) -> None:
    """It starts anew by what is written, and perhaps reports, or begins to, before it is heard."""
    with WAYS["drive"](tmp_path, faults=Faults(dead_repl=True)) as (board, wish, drive):
        said = "nothing"
        try:
            assert provisioned(made, wish, device_id=device_id, proof_s=20.0).verdict.ok
        except Error as error:
            said = error.message
        device = Registry.open(made.registry_path).device(device_id)
        assert device is not None
        late = ("the board is silent", "the board talks", "the board said that it is ready, but")
        assert device.state == ("proved" if said == "nothing" else "failed")
        assert said.startswith(("nothing", *late))
        board.faults = Faults()
        board.unplug()
        board.replug()
        plugged.shown(Plugged(board, wish, drive))
        mended(made, wish, device_id)


class Climbing(Notes):
    """Ends the run once the board has come as far as the broker."""

    def event(self, event: Event) -> None:
        if event.stage == "tcp":
            raise KeyboardInterrupt


@pytest.fixture
def stuck(tmp_path: Path) -> Iterator[Project]:
    """A project whose broker takes connections and says nothing: no climb comes to an end."""
    project = desk.make_project(tmp_path / "stuck")
    with socket.create_server((project.broker.host, project.broker.port), backlog=64):
        yield project


@pytest.mark.parametrize("way", ["esptool", "repl", "drive", "circuitpython-repl"])
def test_a_board_that_starts_again_and_again(stuck: Project, tmp_path: Path, way: str) -> None:
    with WAYS[way](tmp_path, faults=Faults(reboot_loop=True)) as (board, wish, drive):
        error = refused(stuck, wish, "looping")
        # between two starts a port that is USB itself is not there
        ends = ("restart", "cannot be opened", "nothing serves a port")
        assert any(one in error.message for one in ends), error.message
        assert is_unknown(stuck, "looping") or is_failed(stuck, "looping")
        board.faults = Faults()
        board.unplug()
        board.replug()
        plugged.shown(Plugged(board, wish, drive))
        with pytest.raises(KeyboardInterrupt):
            patiently(stuck, wish, Climbing(), device_id="looping")


@pytest.mark.parametrize(
    ("way", "via"), [("esptool", "esptool"), ("esptool", "repl"), ("repl", "repl")]
)
def test_a_noisy_line(made: Project, tmp_path: Path, device_id: str, way: str, via: str) -> None:
    with WAYS[way](tmp_path, faults=Faults(noise=0.01)) as (_, wish, _drive):
        refused(made, Wish(wish.target, via), device_id)
    assert is_unknown(made, device_id)


# wrong ways


@pytest.mark.parametrize(
    ("way", "via", "said"),
    [
        ("drive", "esptool", "a CIRCUITPY drive, which is not for --via esptool"),
        ("drive", "uf2", "a CIRCUITPY drive, which is not for --via uf2"),
        ("drive", "repl", "a CIRCUITPY drive, which is not for --via repl"),
        ("uf2", "drive", "the drive of a boot loader, which is not for --via drive"),
        ("uf2", "esptool", "the drive of a boot loader, which is not for --via esptool"),
        ("repl", "drive", "is no drive, and --via drive needs one"),
        ("repl", "uf2", "is no drive, and --via uf2 needs one"),
        ("repl", "esptool", "no board answers"),
    ],
)
def test_a_way_that_is_none_to_this_board(
    made: Project, tmp_path: Path, device_id: str, way: str, via: str, said: str
) -> None:
    with WAYS[way](tmp_path) as (_, wish, _drive):
        error = refused(made, Wish(wish.target, via, wish.file, console=wish.console), device_id)
    assert said in error.message
    assert is_unknown(made, device_id)


def test_a_repl_that_may_not_write_what_the_computer_has_as_a_drive(
    made: Project, tmp_path: Path, device_id: str
) -> None:
    with WAYS["drive"](tmp_path) as (_, wish, _drive):
        error = refused(made, Wish(wish.console, "repl"), device_id, answers=True)
    assert "this computer has them as a drive" in error.message
    assert is_unknown(made, device_id)


def test_a_drive_without_a_serial_port(made: Project, tmp_path: Path, device_id: str) -> None:
    with WAYS["drive"](tmp_path) as (_, wish, drive):
        error = refused(made, Wish(wish.target), device_id)
        assert "can't be told" in error.message
        assert "--console PORT" in error.hint
        error = refused(made, Wish(wish.target, console="/dev/no-such-port"), device_id)
        assert error.message == "there is no port /dev/no-such-port"
        assert drive is not None
        assert not (drive / "firmshake").exists()
    assert is_unknown(made, device_id)


@pytest.mark.parametrize("via", [None, "repl", "esptool"])
@pytest.mark.parametrize(
    ("port", "said"),
    [
        ("/dev/no-such-port", "there is no port /dev/no-such-port"),
        ("rfc2217://127.0.0.1:1", "nothing serves a port at rfc2217://127.0.0.1:1"),
        ("/dev/null", "/dev/null is not a serial port"),
    ],
)
def test_a_port_that_does_not_exist(
    made: Project, device_id: str, port: str, said: str, via: str | None
) -> None:
    assert refused(made, Wish(port, via), device_id).message == said
    assert is_unknown(made, device_id)


def test_the_one_board_is_chosen_and_of_several_none() -> None:
    esp = Row("adapter", ports=("/dev/ttyUSB0",))
    circuit = Row("circuitpython", ports=("/dev/ttyACM0",), drive="/media/CIRCUITPY")
    pico = Row("uf2", drive="/media/RPI-RP2")
    assert choose.only([esp]) == "/dev/ttyUSB0"
    assert choose.only([circuit]) == "/media/CIRCUITPY"
    assert choose.only([pico]) == "/media/RPI-RP2"
    for rows, said in (
        ([esp, pico], "several boards may be meant: /dev/ttyUSB0, /media/RPI-RP2"),
        ([], "no board is plugged in"),
        ([Row("uf2", block_device="/dev/sdb1")], "the drive of the board, /dev/sdb1, is not"),
    ):
        with pytest.raises(Error, match=said) as caught:
            choose.only(rows)
        assert caught.value.status == 2


# firmware that is not there


def test_a_blank_board_gets_what_is_kept_and_no_other_than_what_is_pinned(
    tmp_path: Path,
) -> None:
    """The whole command, as a person gets to see it."""
    made = desk.make_project(tmp_path / "fleet")
    kept = {"XDG_DATA_HOME": str(tmp_path / "data")}
    with VirtualBoard(wifi=AIR, faster_than_life=True, blank=True) as board, desk.broker(made):
        command = ["provision", board.url, "--id", "blank", "--via", "esptool"]
        done = desk.firmshake(*command, cwd=made.root, environment=kept)
        what, hint = desk.complaint(done)
        assert what == f"the board on {board.url} has no firmware, not MicroPython"
        assert "firmshake firmware fetch esp32" in hint
        Store(tmp_path / "data/firmshake/firmware").add(standin_firmware())
        settings = (made.root / "fleet.toml").read_text()
        pin = (
            f'\n[firmware.micropython]\nesp32 = {{ version = "v1.26.1", sha256 = "{"0" * 64}" }}\n'
        )
        (made.root / "fleet.toml").write_text(settings + pin)
        done = desk.firmshake(*command, cwd=made.root, environment=kept)
        what, hint = desk.complaint(done)
        assert "as it is pinned in fleet.toml, is not kept here" in what
        assert "firmshake firmware fetch esp32" in hint
        assert Registry.open(made.registry_path).device("blank") is None
        (made.root / "fleet.toml").write_text(settings)
        done = desk.firmshake(*command, cwd=made.root, environment=kept)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("blank is proved")


def test_a_board_that_has_its_firmware_needs_none_that_is_kept(
    made: Project, tmp_path: Path
) -> None:
    def stored(board: Board) -> File | None:
        raise AssertionError(board)

    with WAYS["esptool"](tmp_path) as (_, wish, _drive):
        way = choose.choose(Wish(wish.target, "esptool", stored=stored), Notes())
        assert "its filesystem will be replaced" in way.intends()
