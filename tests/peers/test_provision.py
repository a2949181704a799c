"""`firmshake provision` on a virtual board: real esptool, real MicroPython, real mosquitto."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support import desk
from support.desk import Notes

from firmshake import flash, provision, serialport
from firmshake.errors import Error
from firmshake.event import STAGES
from firmshake.firmware import identify
from firmshake.project import Project
from firmshake.registry import Registry
from firmshake.virtual import VirtualBoard, Wifi, standin_firmware
from firmshake.ways import esptool
from firmshake.ways.choose import Wish

AIR = Wifi(desk.SHED.ssid, desk.SHED.password)
FILESYSTEM = 0x200000


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project whose broker runs."""
    project = desk.make_project(tmp_path_factory.mktemp("provision") / "fleet")
    with desk.broker(project):
        yield project


def provisioned(made: Project, port: str, notes: Notes, **more: Any) -> provision.Outcome:
    wish = Wish(port, file=more.pop("firmware", None), via=more.pop("via", None))
    return desk.provisioned(made, wish, notes, **more)


def test_a_board_comes_to_ready_and_the_registry_knows_it(made: Project) -> None:
    notes, before = Notes(), datetime.now(UTC)
    with VirtualBoard(wifi=AIR, faster_than_life=True) as board:
        outcome = provisioned(made, board.url, notes)
        raw = bytes(board.flash)
    assert outcome.verdict.verdict == "ready"
    assert [stage.name for stage in outcome.verdict.stages] == [
        stage for stage in STAGES if stage != "websocket"
    ]
    assert (outcome.device_id, outcome.mac) == ("fleet-240ac4123456", board.mac)
    assert outcome.device_id.encode() in raw

    # what it says of the bytes is what travels
    total = notes.progress[-1][1]
    assert notes.progress[-1][0] == total
    assert total < 400 << 10
    (built,) = [step for step in notes.steps if step.startswith("built ")]
    (wrote,) = [step for step in notes.steps if step.startswith("wrote ")]
    assert f"{total >> 10} KiB of 2048 KiB" in built
    # a line on which esptool waits too long is tried again, slower
    speeds = "|".join(map(str, flash.BAUDS))
    assert re.match(rf"wrote {total >> 10} KiB at ({speeds}) baud in ", wrote)

    record = Registry.open(made.registry_path).device(outcome.device_id)
    assert record is not None
    assert (record.state, record.verdict) == ("proved", "ready")
    assert (record.unique_id, record.chip) == (board.mac, "ESP32")
    assert record.certificate is not None
    assert record.certificate.serial_number == outcome.serial_number
    assert record.changed_at >= before
    history = Registry.open(made.registry_path).history(outcome.device_id)
    assert [change.state for change in history] == ["issued", "written", "proved"]


def test_a_board_that_is_provisioned_again_loses_its_earlier_certificate(made: Project) -> None:
    registry, notes = Registry.open(made.registry_path), Notes()
    with VirtualBoard(wifi=AIR, faster_than_life=True) as board:
        first = provisioned(made, board.url, Notes(), device_id="twice")
        second = provisioned(made, board.url, notes, device_id="twice", force=True)
    assert second.verdict.ok
    old, new = (registry.certificate(one.serial_number) for one in (first, second))
    assert old is not None
    assert new is not None
    assert (old.reason, new.reason) == ("superseded", None)
    assert any(first.serial_number in step and "firmshake ca crl" in step for step in notes.steps)


def test_a_board_keeps_the_name_that_it_was_given(made: Project) -> None:
    with VirtualBoard(wifi=AIR, faster_than_life=True, mac=bytes.fromhex("240ac4000077")) as board:
        first = provisioned(made, board.url, Notes(), device_id="named")
        again = provisioned(made, board.url, Notes(), force=True)
    assert (first.device_id, again.device_id) == ("named", "named")
    assert again.serial_number != first.serial_number


def test_the_id_of_another_board_is_taken_over_only_on_request(made: Project) -> None:
    registry = Registry.open(made.registry_path)
    registry.set_state("pump", "planned", unique_id="24:0a:c4:00:00:01")
    with VirtualBoard(wifi=AIR, faster_than_life=True) as board:
        before = bytes(board.flash)[:FILESYSTEM]
        with pytest.raises(
            Error, match="is the device id of the board 24:0a:c4:00:00:01"
        ) as caught:
            provisioned(made, board.url, Notes(), device_id="pump")
        assert "--replace" in caught.value.hint
        assert bytes(board.flash)[:FILESYSTEM] == before
        assert [change.state for change in registry.history("pump")] == ["planned"]
        assert provisioned(made, board.url, Notes(), device_id="pump", replace=True).verdict.ok
    seen = [change.unique_id for change in registry.history("pump")]
    assert seen[:2] == ["24:0a:c4:00:00:01", board.mac]


def test_the_command_tells_its_outcome_as_one_json_object(made: Project, tmp_path: Path) -> None:
    """Firmware is left aside, since the board has some."""
    firmware = tmp_path / "fw.bin"
    firmware.write_bytes(standin_firmware(version="v1.23.0"))
    with VirtualBoard(wifi=AIR, faster_than_life=True) as board:
        done = desk.firmshake(
            "provision",
            board.url,
            "--id",
            "shed-7",
            "--json",
            "--firmware",
            str(firmware),
            cwd=made.root,
        )
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    assert list(outcome) == ["device_id", "mac", "chip", "serial_number", "verdict", "written"]
    assert (outcome["device_id"], outcome["verdict"]["verdict"]) == ("shed-7", "ready")
    assert done.stdout.count("\n") == 1
    assert "left aside" in done.stderr
    assert "\x1b" not in done.stderr
    assert all(line.strip() for line in done.stderr.splitlines())


def test_a_broker_that_is_down_is_the_verdict_and_the_exit_status(tmp_path: Path) -> None:
    made = desk.make_project(tmp_path / "fleet")
    with VirtualBoard(wifi=AIR, faster_than_life=True) as board:
        done = desk.firmshake(
            "provision", board.url, "--id", "shed-1", "--timeout", "60", cwd=made.root
        )
    assert done.returncode == 1
    assert done.stdout == "shed-1 is written, but does not connect: tcp/refused\n"
    assert done.stderr.count("why  ") == 1  # said once, though it was seen more than once
    record = Registry.open(made.registry_path).device("shed-1")
    assert record is not None
    assert (record.state, record.verdict) == ("failed", "tcp/refused")


# firmware


def test_a_blank_board_gets_firmware_and_filesystem_in_one_run_of_esptool(
    made: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    firmware = standin_firmware(version="v1.24.1")
    (tmp_path / "fw.bin").write_bytes(firmware)
    runs = []
    write = flash.write
    monkeypatch.setattr(flash, "write", lambda *a, **n: runs.append(a[1]) or write(*a, **n))
    with VirtualBoard(blank=True, wifi=AIR, faster_than_life=True) as board:
        outcome = provisioned(made, board.url, Notes(), firmware=identify(firmware))
        assert bytes(board.flash)[0x1000:][: len(firmware)] == firmware
    assert outcome.verdict.ok
    assert [run[0].offset for run in runs] == [0x1000]
    record = Registry.open(made.registry_path).device(outcome.device_id)
    assert record is not None
    assert record.firmware == "v1.24.1"


def test_the_sha256_is_checked_before_the_board_is_looked_at(made: Project, tmp_path: Path) -> None:
    firmware = standin_firmware()
    file = tmp_path / "fw.bin"
    file.write_bytes(firmware)
    right, wrong = hashlib.sha256(firmware).hexdigest(), hashlib.sha256(b"").hexdigest()

    def run(port: str, sha256: str) -> subprocess.CompletedProcess[str]:
        return desk.firmshake(
            "provision", port, "--firmware", str(file), "--sha256", sha256, cwd=made.root
        )

    what, _ = desk.complaint(run("/dev/absent", wrong))
    assert what == f"firmware {file} does not have the SHA-256 that was given"
    what, _ = desk.complaint(run("/dev/absent", "abc"), status=2)
    assert what == "--sha256 is no SHA-256"
    with VirtualBoard(blank=True, wifi=AIR, faster_than_life=True) as board:
        done = run(board.url, right.upper())
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read: no such file or directory"),
        (b"", "it is not ESP32 firmware"),
        (b"just a text file\n" * 999, "it is not ESP32 firmware"),
        (standin_firmware()[:-40], "it is cut off inside its application"),
        (standin_firmware()[:0x3000], "the partition table"),
        (standin_firmware(project="esp-idf-hello"), "is something else"),
        (standin_firmware(version="v1.22.2"), "MicroPython v1.22.2"),
    ],
)
def test_a_file_that_is_no_firmware_is_refused_before_anything_is_issued(
    made: Project, tmp_path: Path, content: bytes | None, message: str
) -> None:
    file = tmp_path / "fw.bin"
    if content is not None:
        file.write_bytes(content)
    before = Registry.open(made.registry_path).devices()
    done = desk.firmshake("provision", "/dev/absent", "--firmware", str(file), cwd=made.root)
    what, _ = desk.complaint(done)
    assert what.startswith(f"firmware {file} ")
    assert message in what
    assert Registry.open(made.registry_path).devices() == before


@pytest.mark.parametrize(
    ("blank", "firmware", "message"),
    [
        (True, None, "has no firmware, not MicroPython"),
        (True, standin_firmware(chip_id=9), "the firmware is for ESP32-S3"),
        (False, standin_firmware(chip_id=9), "the firmware is for ESP32-S3"),
    ],
)
def test_what_cannot_be_written_is_said_and_the_board_is_left_as_it_was(
    made: Project, blank: bool, firmware: bytes | None, message: str
) -> None:
    before = Registry.open(made.registry_path).devices()
    with VirtualBoard(blank=blank, wifi=AIR, faster_than_life=True) as board:
        flash_before = bytes(board.flash)[:FILESYSTEM]
        with pytest.raises(Error, match=message) as caught:
            provisioned(made, board.url, Notes(), firmware=identify(firmware) if firmware else None)
        assert bytes(board.flash)[:FILESYSTEM] == flash_before
    assert caught.value.hint
    assert Registry.open(made.registry_path).devices() == before


def test_a_board_that_runs_something_else_is_started_again(
    made: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not left in the bootloader, in which it was looked at."""
    started: list[Any] = []
    reset = serialport.reset
    monkeypatch.setattr(serialport, "reset", lambda port: started.append(reset(port)))
    other = standin_firmware(project="blinky")
    with VirtualBoard(firmware=other, wifi=AIR, faster_than_life=True) as board:
        with pytest.raises(Error, match="runs something else"):
            provisioned(made, board.url, Notes())
        assert len(started) == 1


# a hub without modem lines: a person presses the buttons


class Hands(Notes):
    """Does what it is asked for."""

    def __init__(self, board: VirtualBoard) -> None:
        super().__init__()
        self._board = board

    def please(self, text: str) -> None:
        super().please(text)
        self._board.hold_boot("BOOT" in text)
        # a person is slower than the program
        threading.Timer(0.3, self._board.press_reset).start()


@pytest.mark.parametrize("already", [False, True])
def test_a_person_presses_the_buttons_of_a_board_behind_a_plain_socket(
    made: Project, already: bool
) -> None:
    with VirtualBoard(raw_port=0, wifi=AIR, boot_held=already, faster_than_life=True) as board:
        hands = Hands(board)
        outcome = provisioned(made, board.raw_url, hands)
    assert outcome.verdict.ok
    asked = [text.split()[0] for text in hands.pleas]
    assert asked == (["press"] if already else ["hold", "press"])


def test_a_person_who_does_not_come_is_not_waited_for_forever(
    made: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(esptool, "PERSON_S", 0.5)
    with VirtualBoard(raw_port=0, wifi=AIR, faster_than_life=True) as board:
        notes = Notes()
        with pytest.raises(Error, match="no board answers"):
            provisioned(made, board.raw_url, notes)
    assert len(notes.pleas) == 1
