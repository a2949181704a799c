"""Every way onto a board: the same command, to the proof; and once more, which changes nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import chatter, desk
from support.desk import Notes
from support.plugged import drive_shown, patience

from firmshake import provision, uf2
from firmshake.errors import Error
from firmshake.firmwares.identify import File, identify
from firmshake.image import Run
from firmshake.inspect import fat
from firmshake.project import Project
from firmshake.registry import Registry
from firmshake.virtual import (
    VirtualBoard,
    VirtualCircuitPython,
    VirtualPico,
    Wifi,
    rp2,
    standin_firmware,
)
from firmshake.ways import esptool
from firmshake.ways.choose import NoBoard, Wish, choose

AIR = Wifi(desk.SHED.ssid, desk.SHED.password)


def firmware(board: str = "pico-w") -> File:
    """A UF2 file that stands for MicroPython."""
    model = rp2.pico(board)
    runs = [Run(rp2.FLASH_BASE, rp2.standin(model))]
    return identify(uf2.write(runs, model.families[0]))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project whose broker runs."""
    project = desk.make_project(tmp_path_factory.mktemp("ways") / "fleet")
    with desk.broker(project):
        yield project


def twice(made: Project, wish: Wish, device_id: str) -> tuple[Notes, provision.Outcome]:
    """Provision a board, then once more, which changes nothing; what came of the first time."""
    notes = Notes()
    with patience():
        first = desk.provisioned(made, wish, notes, device_id=device_id)
        assert first.verdict.verdict == "ready", first.verdict.evidence
        assert first.written
        second = desk.provisioned(made, wish, Notes())
    assert (second.device_id, second.serial_number) == (device_id, first.serial_number)
    assert second.verdict.verdict == "ready"
    assert not second.written
    return notes, first


def forced(made: Project, wish: Wish, before: provision.Outcome) -> None:
    """With force the board gets a new key, and the old certificate is revoked."""
    registry = Registry.open(made.registry_path)
    with patience():
        third = desk.provisioned(made, wish, Notes(), device_id=before.device_id, force=True)
    assert third.written
    assert third.serial_number != before.serial_number
    old = registry.certificate(before.serial_number)
    assert old is not None
    assert old.reason == "superseded"


def test_an_esp32_through_esptool(made: Project) -> None:
    with VirtualBoard(wifi=AIR, faster_than_life=True) as board:
        notes, first = twice(made, Wish(board.url), "esp-a")
        assert any("its filesystem will be replaced" in step for step in notes.steps)
        forced(made, Wish(board.url), first)


def test_an_esp32_through_its_repl(made: Project) -> None:
    with VirtualBoard(wifi=AIR, faster_than_life=True) as board:
        notes, first = twice(made, Wish(board.url, "repl"), "esp-b")
        assert any(step.startswith("sent ") for step in notes.steps)
        assert first.mac == board.mac
        forced(made, Wish(board.url, "repl"), first)


def test_a_pico_that_runs_micropython(made: Project, tmp_path: Path) -> None:
    with VirtualPico(
        drive=tmp_path / "RPI-RP2", blank=False, wifi=AIR, faster_than_life=True
    ) as board:
        notes, first = twice(made, Wish(board.url), "pico-a")
        assert first.mac == board.unique_id
        assert any("over the REPL" in step for step in notes.steps)


def test_a_pico_in_its_boot_loader_gets_one_uf2_file(made: Project, tmp_path: Path) -> None:
    drive = tmp_path / "RPI-RP2"
    with VirtualPico(drive=drive, wifi=AIR, faster_than_life=True) as board:
        drive_shown(drive)
        wish = Wish(str(drive), file=firmware(), console=board.url)
        outcome = desk.provisioned(made, wish, Notes(), device_id="pico-b")
        assert outcome.verdict.verdict == "ready"
        assert outcome.mac == board.unique_id
        found = Registry.open(made.registry_path).device("pico-b")
        assert found is not None
        assert found.unique_id == board.unique_id
        # and from then on over its serial port
        with patience():
            second = desk.provisioned(made, Wish(board.url), Notes())
        assert not second.written


def test_a_pico_in_its_boot_loader_needs_firmware_and_a_name(made: Project, tmp_path: Path) -> None:
    drive = tmp_path / "RPI-RP2"
    with VirtualPico(drive=drive, wifi=AIR, faster_than_life=True):
        drive_shown(drive)
        with pytest.raises(Error, match="needs MicroPython as a .uf2 file"):
            desk.provisioned(made, Wish(str(drive)), Notes(), device_id="pico-c")
        with pytest.raises(Error, match="can't be told before it runs") as caught:
            desk.provisioned(made, Wish(str(drive), file=firmware()), Notes())
        assert "--id" in caught.value.hint
    assert Registry.open(made.registry_path).device("pico-c") is None


def test_firmware_for_another_pico_is_refused_before_a_byte_is_written(
    made: Project, tmp_path: Path
) -> None:
    drive = tmp_path / "RPI-RP2"
    other = firmware("pico-2-w")
    with VirtualPico(drive=drive, wifi=AIR, faster_than_life=True) as board:
        drive_shown(drive)
        with pytest.raises(Error, match="RP2350"):
            desk.provisioned(made, Wish(str(drive), file=other), Notes(), device_id="pico-d")
        assert board.is_drive
    assert Registry.open(made.registry_path).device("pico-d") is None


def test_circuitpython_through_its_drive(made: Project, tmp_path: Path) -> None:
    drive = tmp_path / "CIRCUITPY"
    users = b'# mine\nMY_KEY = "kept"\n'
    files = {"code.py": b'print("old")\n', "settings.toml": users, "lib/mine.py": b"x = 1\n"}
    with VirtualCircuitPython(
        drive=drive, board="pico-2-w", files=files, wifi=AIR, faster_than_life=True
    ) as board:
        wish = Wish(str(drive), console=board.url)
        notes = Notes()
        first = desk.provisioned(made, wish, notes, device_id="circuit-a")
        assert first.verdict.verdict == "ready", first.verdict.evidence
        assert first.mac == board.unique_id
        assert (drive / "settings.toml").read_bytes().startswith(users)
        assert (drive / "lib/mine.py").read_bytes() == files["lib/mine.py"]
        second = desk.provisioned(made, wish, Notes())
        assert (second.device_id, second.written) == ("circuit-a", False)
        forced(made, wish, first)


def test_circuitpython_without_a_drive_through_its_repl(made: Project) -> None:
    with VirtualCircuitPython(board="esp32-c3", wifi=AIR, faster_than_life=True) as board:
        twice(made, Wish(board.url), "circuit-b")


def test_a_folder_that_is_no_drive_is_refused(made: Project, tmp_path: Path) -> None:
    with pytest.raises(Error, match="no board's drive"):
        desk.provisioned(made, Wish(str(tmp_path)), Notes(), device_id="none")


def test_circuitpython_keeps_a_boot_py_and_gets_one_where_it_is_asked_for(
    made: Project, tmp_path: Path
) -> None:
    drive = tmp_path / "CIRCUITPY"
    own = {"code.py": b"", "settings.toml": b"", "boot.py": b"print('mine')\n"}
    with VirtualCircuitPython(
        drive=drive, board="pico-2-w", files=own, wifi=AIR, faster_than_life=True
    ) as board:
        wish = Wish(str(drive), console=board.url)
        with pytest.raises(Error, match="a boot.py of its own"):
            desk.provisioned(made, wish, Notes(), device_id="circuit-c", hide_drive=True)
        assert (drive / "boot.py").read_bytes() == own["boot.py"]
        (drive / "boot.py").unlink()
        outcome = desk.provisioned(made, wish, Notes(), device_id="circuit-c", hide_drive=True)
        assert outcome.written
        assert b"disable_usb_drive" in (drive / "boot.py").read_bytes()


def test_settings_toml_is_kept_over_the_repl_too(made: Project) -> None:
    users = b'# mine\nMY_KEY = "kept"\n'
    files = {"code.py": b"", "settings.toml": users}
    with VirtualCircuitPython(
        board="esp32-c3", files=files, wifi=AIR, faster_than_life=True
    ) as board:
        with patience():
            outcome = desk.provisioned(made, Wish(board.url), Notes(), device_id="circuit-d")
        assert outcome.verdict.ok
        text = (board.root / "settings.toml").read_bytes()
    assert text.startswith(users)
    assert b"CIRCUITPY_PYSTACK_SIZE" in text


def test_circuitpython_and_its_filesystem_in_one_run_of_esptool(made: Project) -> None:
    """As far as flash: no CircuitPython runs on this computer, and the board says nothing."""
    file = identify(standin_firmware(circuitpython="9.2.1"))
    assert file.title == "CircuitPython 9.2.1"
    notes = Notes()
    with VirtualBoard(wifi=AIR, faster_than_life=True, blank=True) as board:
        outcome = None
        with contextlib.suppress(Error):
            wish = Wish(board.url, file=file)
            outcome = desk.provisioned(made, wish, notes, device_id="circuit-e", proof_s=1.0)
        raw = bytes(board.flash)
    assert outcome is None or not outcome.verdict.ok
    assert any("CircuitPython 9.2.1 and its filesystem, in one run" in one for one in notes.steps)
    (volume,) = fat.volumes(raw[0x2D0000 : 0x2D0000 + 0x130000])
    names = {entry.path for entry in fat.files(raw[0x2D0000:], volume, 1000, 10)}
    assert {"code.py", "settings.toml", "firmshake/key.pem", "firmshake/cert.pem"} <= {
        name.lstrip("/") for name in names
    }
    device = Registry.open(made.registry_path).device("circuit-e")
    assert device is not None
    assert device.state == "failed"


def test_what_speaks_and_is_no_board_is_told_as_that(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody is asked to press the buttons, and is not waited for as for a board that is mute."""
    monkeypatch.setattr(esptool, "SPEAKS_S", 0.5)
    notes = Notes()
    with chatter.at_a_socket() as port, pytest.raises(NoBoard, match="is no board: it says '.GPG"):
        choose(Wish(port), notes)
    assert [plea.split()[0] for plea in notes.pleas] == ["hold"]
