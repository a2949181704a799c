"""The virtual CircuitPython board: its drive, its prompts with the real mpremote, and the agent."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
import serial
from support import pki, timeserver
from support.boardtools import at_prompt, console, mpremote, read_until, settled, wait_until
from support.broker import mosquitto

from firmshake import circuitpython, reader, verdict
from firmshake.boards import drivefiles
from firmshake.errors import Error
from firmshake.event import Event
from firmshake.virtual import Cut, Faults, VirtualCircuitPython, Wifi

PATIENCE_S = 60


def put(folder: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        path = folder / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def test_the_drive_says_what_the_board_is_and_runs_what_is_copied(tmp_path: Path) -> None:
    drive = tmp_path / "CIRCUITPY"
    with VirtualCircuitPython(drive=drive) as board, console(board.url) as port:
        told = drivefiles.parse_boot_out((drive / "boot_out.txt").read_text())
        assert told is not None
        assert (told.board_id, told.uid) == ("raspberry_pi_pico2_w", board.uid)
        put(drive, {"lib/greeting.py": b"WORD = 'firm'\n"})
        put(drive, {"code.py": b"import greeting\nprint('it is', greeting.WORD)\n1/0\n"})
        # it may have run before, without them or with the first of them only
        seen = read_until(port, b"code.py output:\r\nit is firm\r\n")
        seen += read_until(port, b"Press any key")
        assert b'File "code.py", line 3, in <module>\r\nZeroDivisionError' in seen
        assert sorted(path.name for path in drive.rglob("*.pyc")) == []
    assert not drive.exists()


def test_at_the_prompt_the_drive_may_change(tmp_path: Path) -> None:
    with VirtualCircuitPython(drive=tmp_path / "drive") as board, console(board.url) as port:
        at_prompt(port)
        put(board.root, {"code.py": b"print('changed')\n"})
        port.write(b"import time; time.sleep(2); 6 * 7\r")
        assert b"changed" not in read_until(port, b"42\r\n>>> ")
        port.write(b"\x04")
        read_until(port, b"soft reboot\r\n")
        read_until(port, b"changed\r\n")


def test_mpremote_runs_and_copies_where_there_is_no_drive(tmp_path: Path) -> None:
    source, back = tmp_path / "source", tmp_path / "back"
    source.write_bytes(bytes(range(256)) * 5)
    with VirtualCircuitPython(board="esp32-c3") as board:
        assert mpremote(board.url, "exec", "import sys; print(sys.implementation.name)") == (
            "circuitpython\n"
        )
        # mpremote does not understand CircuitPython's word for a file that is not there
        mpremote(board.url, "exec", "open('/copied', 'w').close()")
        mpremote(board.url, "fs", "cp", str(source), ":/copied")
        mpremote(board.url, "fs", "cp", ":/copied", str(back))
        assert back.read_bytes() == source.read_bytes()
        code = "import microcontroller; print(microcontroller.cpu.uid.hex())"
        # the digits of each byte of the base address are swapped
        assert mpremote(board.url, "exec", code) == "42a04c214365\n"
        opened = "try:\n open('/../../../etc/passwd')\nexcept OSError as e:\n print(e.errno)"
        assert mpremote(board.url, "exec", opened) == "2\n"


@pytest.mark.parametrize(
    ("boot", "told"), [(b"", "30"), (b"import storage\nstorage.disable_usb_drive()\n", "written")]
)
def test_with_a_drive_only_boot_py_lets_python_write(
    tmp_path: Path, boot: bytes, told: str
) -> None:
    code = (
        "try:\n with open('/new', 'w') as f: print('written')\n"
        "except OSError as e:\n print(e.errno)"
    )
    with VirtualCircuitPython(drive=tmp_path / "drive", files={"boot.py": boot}) as board:
        # an interrupt might come while boot.py runs
        assert mpremote(settled(board.url), "exec", code) == told + "\n"
        with console(board.url) as port:
            port.write(b"\r\x03import storage; storage.remount('/', readonly=False)\r")
            if told == "30":
                read_until(port, b"RuntimeError: Cannot remount")


def test_what_lies_on_the_drive_is_there_after_it_was_unplugged(tmp_path: Path) -> None:
    drive = tmp_path / "drive"
    with VirtualCircuitPython(drive=drive) as board:
        put(drive, {"lib/one.py": b"1"})
        board.unplug()
        assert not drive.exists()
        board.replug()
        assert (drive / "lib/one.py").read_bytes() == b"1"


def test_unplugged_while_it_is_written_the_last_file_is_cut_off(tmp_path: Path) -> None:
    drive = tmp_path / "drive"
    faults = Faults(unplug_at=Cut(count=1500))
    with VirtualCircuitPython(drive=drive, faults=faults) as board:
        # all at once: else the board might be gone before the last one is written
        three = tmp_path / "three"
        for number in range(3):
            put(three, {f"file{number}": bytes(1000)})
            os.utime(three / f"file{number}", (number, number))
        three.rename(drive / "three")
        wait_until(lambda: not board.is_plugged)
        board.replug()
        sizes = [path.stat().st_size for path in sorted(drive.glob("three/file*"))]
        assert sizes == [1000, 500]
        put(drive, {f"file{number}": bytes(1000) for number in range(3)})
        board.unplug()
        board.replug()
        assert len(list(drive.glob("file*"))) == 3


@pytest.mark.parametrize("has_drive", [True, False])
def test_the_agent_comes_to_ready_on_it(tmp_path: Path, has_drive: bool) -> None:
    fleet = pki.fleet()
    wifi = Wifi("home", "secret word")
    network = {"ssid": wifi.ssid, "password": wifi.password}
    with (
        mosquitto(tmp_path, fleet.broker, fleet.device.anchors_pem()) as port,
        timeserver.serving() as server,
    ):
        settings = pki.settings(port, ntp=[server], wifi=network)
        own = {"settings.json": json.dumps(settings).encode()}
        own |= circuitpython.identity_files(fleet.device)
        files = circuitpython.agent_files() | {f"/firmshake/{n}": d for n, d in own.items()}
        drive = tmp_path / "drive" if has_drive else None
        name = "pico-2-w" if has_drive else "esp32-c3"
        on_it = {path.lstrip("/"): data for path, data in files.items()}
        with (
            # what is put on a drive that is there might be run before all of it is
            VirtualCircuitPython(drive=drive, board=name, files=on_it, wifi=wifi) as board,
            console(board.url) as line,
        ):
            board.press_reset()
            assert climbed(line).verdict == "ready"


def climbed(line: serial.SerialBase) -> verdict.Verdict:
    found, events = reader.Reader(), []
    deadline = time.monotonic() + PATIENCE_S
    while not any(event.stage == "ready" and event.state == "ok" for event in events):
        assert time.monotonic() < deadline, events
        data = line.read(max(1, line.in_waiting))
        events += [one for one in found.feed(data) if isinstance(one, Event)]
        assert not any(event.state == "fail" for event in events), events
    return verdict.judge(events)


def test_a_board_without_usb_shows_no_drive(tmp_path: Path) -> None:
    with pytest.raises(Error, match="no USB of its own"):
        VirtualCircuitPython(board="esp32", drive=tmp_path / "drive")


@pytest.mark.parametrize(("faults", "code"), [({"drive_is_full": True}, "28"), ({}, "written")])
def test_a_full_filesystem_without_a_drive(faults: dict[str, bool], code: str) -> None:
    program = (
        "try:\n with open('/new', 'w') as f: print('written')\n"
        "except OSError as e:\n print(e.errno)"
    )
    with VirtualCircuitPython(board="esp32", faults=Faults(**faults)) as board:  # type: ignore[arg-type]
        assert mpremote(board.url, "exec", program) == code + "\n"
