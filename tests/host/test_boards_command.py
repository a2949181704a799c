"""`firmshake boards` on its command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from support.commands import run

from firmshake.boards import drives, ports
from firmshake.boards.seen import Drive, Port, Usb
from firmshake.cli import boards
from firmshake.errors import Error
from firmshake.registry import Registry

PICO = Port("/dev/ttyACM0", Usb(0x2E8A, 0x0005, "E6616408432F8E32", "1-2:1.0"), "MicroPython")
ADAPTER = Port("/dev/ttyUSB0", Usb(0x10C4, 0xEA60, "0001", "1-1"))
RP2350 = "UF2 Bootloader v1.0\nModel: Raspberry Pi RP2350\nBoard-ID: RP2350\n"

Plug = Callable[..., None]


@pytest.fixture
def plug(monkeypatch: pytest.MonkeyPatch) -> Plug:
    """What is plugged in, look by look; the last look stays, or ends the command."""

    def plugged(*looks: list[Port], drive: Drive | None = None, ends: bool = False) -> None:
        rest = list(looks)

        def attached() -> list[Port]:
            if ends and not rest:
                raise Error("the end")
            return rest.pop(0) if ends or len(rest) > 1 else rest[0]

        monkeypatch.setattr(ports, "attached", attached)
        monkeypatch.setattr(drives, "attached", lambda: [drive] if drive else [])
        monkeypatch.setattr(boards, "_LOOK_S", 0)

    return plugged


def test_the_boards_are_listed_with_what_they_run(plug: Plug, tmp_path: Path) -> None:
    plug([PICO], drive=Drive("/media/RP2350", info_uf2=RP2350))
    done = run("boards", "--project", tmp_path)
    assert done.status == 0
    assert "e6616408432f8e32" in done.out
    assert "MicroPython REPL" in done.out
    assert "RP2350 drive" in done.out
    assert "device" not in done.out
    assert done.err == ""


def test_no_board_is_no_failure_and_nothing_on_standard_output(plug: Plug) -> None:
    plug([])
    done = run("boards")
    assert (done.status, done.out, done.err) == (0, "", "no board is plugged in\n")
    assert json.loads(run("boards", "--json").out) == []


def test_what_cannot_be_told_from_outside_is_said_with_the_way_to_ask(plug: Plug) -> None:
    plug([ADAPTER])
    done = run("boards")
    assert "perhaps" in done.out
    assert "--probe" in done.err
    assert "interrupts" in done.err


def test_as_json_a_row_has_all_that_is_known(plug: Plug) -> None:
    plug([PICO])
    (row,) = json.loads(run("boards", "--json").out)
    assert row["state"] == "micropython"
    assert row["unique_id"] == row["key"] == "e6616408432f8e32"
    assert row["ports"] == ["/dev/ttyACM0"]


def test_in_a_project_boards_have_their_device_ids(plug: Plug, tmp_path: Path) -> None:
    plug([PICO, ADAPTER])
    (tmp_path / "fleet.toml").write_text('name = "shed"\n[broker]\nhost = "192.0.2.1"\n')
    registry = Registry.create(tmp_path / "registry.sqlite")
    registry.set_state("pump-1", "proved", unique_id="e6616408432f8e32")
    found = json.loads(run("boards", "--project", tmp_path, "--json").out)
    assert {row["device_id"] for row in found} == {None, "pump-1"}
    assert "pump-1" in run("boards", "--project", tmp_path).out


def test_a_folder_that_is_named_is_looked_at_as_a_drive(plug: Plug, tmp_path: Path) -> None:
    plug([PICO])
    (tmp_path / "INFO_UF2.TXT").write_text(RP2350)
    (row,) = json.loads(run("boards", tmp_path, "--json").out)
    assert (row["state"], row["chips"], row["drive"]) == ("uf2", ["RP2350"], str(tmp_path))


def test_a_port_that_is_named_is_looked_at_alone(plug: Plug) -> None:
    plug([PICO, ADAPTER])
    (row,) = json.loads(run("boards", "rfc2217://192.0.2.1:1", "--json").out)
    assert (row["state"], row["unique_id"]) == ("unknown", None)


def test_while_it_watches_every_change_is_an_object_a_line(plug: Plug) -> None:
    plug([PICO], [PICO], [PICO, ADAPTER], [ADAPTER], ends=True)
    done = run("boards", "--watch", "--json")
    events = [json.loads(line) for line in done.out.splitlines()]
    assert [(event["event"], event["ports"]) for event in events] == [
        ("appeared", ["/dev/ttyACM0"]),
        ("appeared", ["/dev/ttyUSB0"]),
        ("gone", ["/dev/ttyACM0"]),
    ]


def test_without_a_terminal_changes_are_lines_of_text(plug: Plug) -> None:
    plug([PICO], [], ends=True)
    lines = run("boards", "--watch").out.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["appeared", "e6616408432f8e32"],
        ["gone", "e6616408432f8e32"],
    ]


def test_watching_never_interrupts_a_board(plug: Plug) -> None:
    plug([PICO])
    done = run("boards", "--watch", "--probe")
    assert done.status == 2
    assert "not both" in done.err


def test_a_board_cannot_write_to_the_terminal(plug: Plug) -> None:
    evil = Drive("/media/a\x1b[31m", info_uf2="UF2 Bootloader \x1b[31m\nModel: \x1b[2J\n")
    plug([Port("/dev/ttyACM0\x1b[31m")], drive=evil)
    assert "\x1b" not in run("boards").out
