"""`firmshake fleet check`: what a manifest would do, or all that is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.commands import run

FLEET = 'name = "greenhouse"\nprefix = "gh"\n[broker]\nhost = "mqtt.example"\n'


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with fleet.toml alone: a manifest is checked by it, and no CA or registry."""
    (tmp_path / "fleet.toml").write_text(FLEET)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_it_says_which_devices_the_manifest_asks_for(here: Path) -> None:
    rows = "pump-1,a0b1c2d3e4f5,esp32,,west\nvalve-{number:04},any,pico-w,20,\n{prefix}-x,,,,\n"
    (here / "a.csv").write_text("id,unique_id,board,count,wifi.ssid\n" + rows)
    done = run("fleet", "check", "a.csv")
    assert done.status == 0
    assert done.out.splitlines() == [
        "a.csv: 22 devices",
        "  ids          pump-1, valve-0001, valve-0002, ...",
        "  boards       20 pico-w, 1 esp32, 1 any",
        "  profiles     22 device",
        "  for a board  1 by its unique id, 21 for any",
        "  settings     1 with their own",
    ]
    said = json.loads(run("fleet", "check", "a.csv", "--json").out)
    assert (said["devices"], said["for_any_board"], said["with_settings"]) == (22, 21, 1)
    assert said["boards"] == {"pico-w": 20, "esp32": 1, "any": 1}
    assert len(said["digest"]) == 64


def test_the_project_may_be_in_another_folder(
    here: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    Path("a.csv").write_text("id\na\n")
    assert run("fleet", "check", "a.csv").error
    assert run("fleet", "check", "a.csv", "--project", here).status == 0


def test_all_that_is_wrong_is_printed_and_the_status_is_1(here: Path) -> None:
    (here / "a.csv").write_text("id,board\n-a,picow\nb,picow\n-c,\nd,picow\nd,\n")
    done = run("fleet", "check", "a.csv")
    assert done.status == 1
    assert done.error is None
    assert done.out.splitlines() == [
        "lines 2, 3 and 5: no board is called 'picow'",
        "  did you mean 'pico-w'",
        "line 2: '-a' can't be a device id",
        "  use letters, digits, '.', '-' and '_', and begin with a letter or digit",
        "line 4: '-c' can't be a device id",
        "line 6: the id 'd' is on line 5 already",
        "  each device has an id of its own, and files and some brokers know no case",
    ]


def test_of_many_problems_people_see_the_first_and_programs_all(here: Path) -> None:
    rows = "".join(f"-{n},picow\n" for n in range(1000))
    (here / "a.csv").write_text("id,board\n" + rows)
    done = run("fleet", "check", "a.csv")
    lines = [line for line in done.out.splitlines() if line.startswith("line")]
    assert done.status == 1
    assert len(lines) == 100
    assert "lines 2, 3, 4, 5 and 996 more: no board is called 'picow'" in lines
    assert done.out.splitlines()[-1].startswith("and 901 more problems")
    done = run("fleet", "check", "a.csv", "--json")
    said = [json.loads(line) for line in done.out.splitlines()]
    assert done.status == 1
    assert len(said) == 1001
    whole = next(one for one in said if "picow" in one["message"])
    assert [whole["line"], *whole["also"]] == list(range(2, 1002))


def test_what_could_steer_a_terminal_is_written_out(here: Path) -> None:
    (here / "a.csv").write_text("id,\x1b[31m\n\x1b[2J,\n")
    done = run("fleet", "check", "a.csv")
    assert done.status == 1
    assert "\x1b" not in done.out + done.err


def test_a_file_that_is_not_there_or_of_another_kind_is_an_error(here: Path) -> None:
    assert "no such file" in run("fleet", "check", "a.csv").message
    (here / "a.xlsx").write_bytes(b"PK\x03\x04")
    done = run("fleet", "check", "a.xlsx")
    assert (done.status, done.out) == (2, "")
