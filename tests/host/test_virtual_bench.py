"""Virtual boards that are announced: what is told of them, and who is believed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.desk import Notes

from firmshake.boards import bench, discover, plugged, ports
from firmshake.boards.bench import Announcement, Sight
from firmshake.boards.row import Row
from firmshake.boards.seen import Usb
from firmshake.errors import Error
from firmshake.ways import choose
from firmshake.ways.choose import Wish

ESP = Sight(1, "esp32", "micropython", "adapter", port=4001, unique_id="24:0a:c4:12:34:56")
PICO = Sight(2, "pico-w", "micropython", "micropython", port=4002, unique_id="e6614c311b45922a")


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "runtime"
    monkeypatch.setenv(bench.FOLDER_VARIABLE, str(folder))
    yield folder
    assert not list(folder.glob("*")) if folder.exists() else True


@pytest.fixture
def no_real_boards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "attached", list)
    monkeypatch.setattr(choose.drives, "attached", list)


def rows() -> list[Row]:
    return discover.rows(bench.announced(), bench.announced_drives())


def told(runtime: Path) -> Path:
    (path,) = runtime.glob("*.json")
    return path


def test_nothing_is_announced_where_nothing_ever_was(runtime: Path) -> None:
    assert bench.announced() == []
    assert bench.announced_drives() == []
    assert not runtime.exists()


def test_ports_are_as_of_boards_behind_an_adapter_and_tell_no_id() -> None:
    with closing(Announcement()) as announcement:
        announcement.tell([ESP])
        (port,) = bench.announced()
        assert port.device == "rfc2217://127.0.0.1:4001"
        assert port.usb is not None
        assert (port.usb.vid, port.usb.pid, port.usb.serial_number) == (0x10C4, 0xEA60, "")
        (row,) = rows()
        assert (row.state, row.unique_id, row.virtual) == ("adapter", None, True)
        assert row.title == "virtual ESP32"
    assert bench.announced() == []


def test_what_usb_would_not_tell_is_not_in_the_file(runtime: Path) -> None:
    with closing(Announcement()) as announcement:
        announcement.tell([ESP, PICO])
        text = told(runtime).read_text()
        assert "24:0a:c4" not in text
        assert PICO.unique_id in text


def test_a_pico_tells_who_it_is_and_stays_the_same_when_it_becomes_a_drive(tmp_path: Path) -> None:
    drive = tmp_path / "drive"
    drive.mkdir()
    (drive / "INFO_UF2.TXT").write_text(
        "UF2 Bootloader v3.0\nModel: Raspberry Pi RP2\nBoard-ID: RPI-RP2\n"
    )
    with closing(Announcement()) as announcement:
        announcement.tell([PICO])
        (port,) = rows()
        assert (port.state, port.unique_id) == ("micropython", PICO.unique_id)
        sight = Sight(2, "pico-w", "micropython", "bootloader", drive=str(drive), unique_id="")
        announcement.tell([sight])
        (row,) = rows()
        assert (row.state, row.drive, row.ports) == ("uf2", str(drive), ())
        assert row.location == port.location


def test_two_boards_of_one_kind_stay_two_and_keep_their_place_when_one_goes() -> None:
    other = Sight(2, "esp32", "micropython", "adapter", port=4003)
    with closing(Announcement()) as announcement:
        announcement.tell([ESP, other])
        before = [row.location for row in rows()]
        assert len(set(before)) == 2
        announcement.tell([Sight(1, "esp32", "micropython", "adapter"), other])
        assert [row.location for row in rows()] == before[1:]
        announcement.tell([ESP, other])
        assert [row.location for row in rows()] == before


def test_what_is_announced_is_for_its_user_alone(runtime: Path) -> None:
    with closing(Announcement()) as announcement:
        announcement.tell([ESP])
        assert runtime.stat().st_mode & 0o777 == 0o700
        assert {path.stat().st_mode & 0o777 for path in runtime.iterdir()} == {0o600}


def test_a_folder_that_others_can_write_to_is_neither_used_nor_believed(runtime: Path) -> None:
    with closing(Announcement()) as announcement:
        announcement.tell([ESP])
        runtime.chmod(0o777)
        assert bench.announced() == []
        with pytest.raises(Error, match="open to other users"):
            Announcement()
        runtime.chmod(0o700)
        assert len(bench.announced()) == 1


def test_a_folder_that_cannot_be_made_is_an_error_with_a_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(bench.FOLDER_VARIABLE, str(tmp_path / "file" / "runtime"))
    with pytest.raises(Error, match="cannot be announced") as caught:
        Announcement()
    assert bench.FOLDER_VARIABLE in caught.value.hint
    assert bench.announced() == []


def test_what_a_dead_process_left_is_noticed_and_taken_away(runtime: Path) -> None:
    with closing(Announcement()) as announcement:
        announcement.tell([ESP])
        left = told(runtime).with_name("virtual-1-dead.json")
        left.write_bytes(told(runtime).read_bytes())
        lock = left.with_suffix(".lock")
        lock.touch()
        assert len(bench.announced()) == 1
        assert not left.exists()
        assert not lock.exists()


def test_a_process_that_has_not_told_yet_is_left_alone(runtime: Path) -> None:
    with closing(Announcement()) as announcement:
        assert bench.announced() == []
        announcement.tell([ESP])
        assert len(bench.announced()) == 1


def test_an_end_can_be_told_twice() -> None:
    announcement = Announcement()
    announcement.close()
    announcement.close()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)
ROW = st.fixed_dictionaries(
    {},
    optional={
        "number": st.integers(0, 9) | JSON,
        "board": st.sampled_from(["esp32", "pico-w", "no board"]) | JSON,
        "runtime": st.just("micropython") | JSON,
        "shows": st.sampled_from(["adapter", "bootloader", "micropython", "circuitpython"]) | JSON,
        "port": st.integers(-1, 70000) | JSON,
        "drive": st.none() | JSON,
        "unique_id": st.just("") | JSON,
    },
)


@given(st.one_of(JSON, st.fixed_dictionaries({"boards": st.lists(ROW, max_size=3) | JSON})))
def test_what_makes_no_sense_is_not_announced(value: object) -> None:
    with closing(Announcement()) as announcement:
        announcement.tell([])
        told(Path(os.environ[bench.FOLDER_VARIABLE])).write_text(json.dumps(value))
        for port in bench.announced():
            assert isinstance(port.usb, Usb)
            assert port.device.startswith("rfc2217://127.0.0.1:")
        bench.announced_drives()


@pytest.mark.usefixtures("no_real_boards")
def test_one_virtual_board_is_the_board_that_is_meant_and_of_two_one_is_named() -> None:
    with closing(Announcement()) as announcement:
        announcement.tell([ESP])
        assert choose.only(plugged.rows()) == "rfc2217://127.0.0.1:4001"
        announcement.tell([ESP, PICO])
        with pytest.raises(Error, match="several boards"):
            choose.only(plugged.rows())


def test_a_port_that_is_known_to_be_bare_is_not_looked_for_among_the_drives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choose, "_by_drive", lambda *_, **__: "drive")
    monkeypatch.setattr(choose, "_by_port", lambda *_: "port")
    both = replace(ESP, drive=str(tmp_path))
    assert both.url is not None
    with closing(Announcement()) as announcement:
        announcement.tell([both])
        wishes = [Wish(both.url, is_bare=is_bare) for is_bare in (False, True)]
        assert [str(choose.choose(wish, Notes())) for wish in wishes] == ["drive", "port"]


def test_a_named_port_of_a_virtual_board_is_known() -> None:
    with closing(Announcement()) as announcement:
        announcement.tell([ESP])
        port, other = ports.named(["rfc2217://127.0.0.1:4001", "rfc2217://127.0.0.1:4009"])
        assert (port.virtual, other.virtual) == ("esp32", "")
