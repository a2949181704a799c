"""`firmshake firmware` on its command line."""

from __future__ import annotations

import json
import stat
import tomllib
from pathlib import Path

import pytest
from support import firmwares
from support.commands import run

from firmshake import project

PAGE = b"""
<a href="/resources/firmware/RPI_PICO_W-20251209-v1.27.0.uf2">v1.27.0 .uf2</a>
<a href="/resources/firmware/RPI_PICO_W-20250911-v1.26.1.uf2">v1.26.1 .uf2</a>
"""
FILES = {
    "/download/RPI_PICO_W/": PAGE,
    "/resources/firmware/RPI_PICO_W-20251209-v1.27.0.uf2": firmwares.micropython_uf2("v1.27.0"),
    "/resources/firmware/RPI_PICO_W-20250911-v1.26.1.uf2": firmwares.micropython_uf2("v1.26.1"),
}
FLEET = 'name = "g"\n# mine\n[broker]\nhost = "b"\n'


@pytest.fixture(autouse=True)
def data_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's data folder, on Linux and on macOS."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("HOME", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "data"


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    path = tmp_path / "fleet.toml"
    path.write_text(FLEET)
    path.chmod(0o600)
    return path


def pinned(fleet: Path) -> str:
    pins = project.load(fleet.parent).firmware
    return pins["micropython", "pico-w"].version


def test_a_file_is_kept_and_listed(tmp_path: Path, data_home: Path) -> None:
    (tmp_path / "any-name").write_bytes(firmwares.micropython_uf2())
    done = run("firmware", "add", tmp_path / "any-name")
    assert done.status == 0
    assert "kept: MicroPython v1.26.1 for Raspberry Pi Pico W with RP2040" in done.out
    assert list(data_home.rglob("*.uf2"))
    assert "kept already" in run("firmware", "add", tmp_path / "any-name").out
    listed = run("firmware", "list").out
    assert "RP2040" in listed
    assert "v1.26.1" in listed
    (record,) = json.loads(run("firmware", "list", "--json").out)
    assert record["boards"] == ["pico-w"]
    assert Path(record["path"]).read_bytes() == firmwares.micropython_uf2()


def test_a_file_that_is_none_is_refused_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_bytes(b"junk")
    done = run("firmware", "add", tmp_path / "x.bin")
    assert done.status == 1
    assert done.message.startswith(str(tmp_path / "x.bin"))


def test_nothing_kept_is_nothing_on_standard_output() -> None:
    done = run("firmware", "list")
    assert (done.status, done.out) == (0, "")
    assert "firmshake firmware fetch" in done.err


def test_fetching_outside_a_project_keeps_the_file_and_pins_nothing(tmp_path: Path) -> None:
    with firmwares.site(FILES) as site:
        done = run("firmware", "fetch", "pico-w", "--site", site.url)
    assert done.status == 0
    assert "MicroPython v1.27.0" in done.out
    assert "pinned" not in done.err
    assert not (tmp_path / "fleet.toml").exists()


def test_in_a_project_it_is_pinned_and_stays_what_it_is(fleet: Path) -> None:
    with firmwares.site(FILES) as site:

        def fetch(*words: str) -> object:
            return run("firmware", "fetch", "pico-w", *words, "--site", site.url)

        done = run("firmware", "fetch", "pico-w", "1.26.1", "--site", site.url)
        assert "pinned in fleet.toml" in done.err
        assert pinned(fleet) == "v1.26.1"
        assert fleet.read_text().startswith(FLEET)
        assert stat.S_IMODE(fleet.stat().st_mode) == 0o600
        before = fleet.read_bytes()
        assert "kept already" in run("firmware", "fetch", "pico-w", "--site", site.url).out
        assert fleet.read_bytes() == before
        run("firmware", "fetch", "pico-w", "--newest", "--site", site.url)
        assert pinned(fleet) == "v1.27.0"
        back = run("firmware", "fetch", "pico-w", "v1.26.1", "--site", site.url)
        assert back.status == 1
        assert "newer than v1.26.1" in back.message
        assert pinned(fleet) == "v1.27.0"
        run("firmware", "fetch", "pico-w", "v1.26.1", "--downgrade", "--site", site.url)
        assert pinned(fleet) == "v1.26.1"


def test_a_pin_that_the_site_does_not_keep_to_is_told_and_stays(fleet: Path) -> None:
    pin = f'pico-w = {{ version = "v1.27.0", sha256 = "{"ab" * 32}" }}\n'
    fleet.write_text(f"{FLEET}[firmware.micropython]\n{pin}")
    with firmwares.site(FILES) as site:
        done = run("firmware", "fetch", "pico-w", "--site", site.url)
    assert done.status == 1
    assert "not the file that is pinned" in done.message
    assert pin in fleet.read_text()


def test_pins_that_are_none_are_refused_with_the_key(fleet: Path) -> None:
    fleet.write_text(FLEET + '[firmware.micropython]\npico-w = "v1.26.1"\n')
    assert tomllib.loads(fleet.read_text())
    done = run("firmware", "fetch", "pico-w", "--site", "https://h")
    assert "firmware.micropython must be a table of boards" in done.message


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("esp8266",), "no board is called"),
        (("pico-w", "1.26.1", "--newest"), "not both"),
        (("pico-w", "--runtime", "lua"), "lua"),
    ],
)
def test_what_is_no_board_or_no_sense_is_wrong_usage(words: tuple[str, ...], said: str) -> None:
    done = run("firmware", "fetch", *words)
    assert done.status == 2
    assert said in (done.message if done.error else done.err)


def test_a_site_must_be_https(tmp_path: Path) -> None:
    done = run("firmware", "fetch", "pico-w", "--site", "http://192.0.2.1")
    assert done.status == 1
    assert "not an address of HTTPS" in done.message
