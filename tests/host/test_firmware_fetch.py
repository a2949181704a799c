"""Firmware from download sites, and its pins in fleet.toml."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import firmwares
from support.servers import free_port

from firmshake.boards.table import BOARDS, CIRCUITPYTHON, MICROPYTHON, RUNTIMES, by_name
from firmshake.errors import Error
from firmshake.firmwares import download, pins, sites
from firmshake.firmwares.fetch import Fetched, fetch
from firmshake.firmwares.pins import Pin
from firmshake.firmwares.sites import SITES, Link, Site
from firmshake.firmwares.store import Store

PICO_W, ESP32, S3 = map(by_name, ("pico-w", "esp32", "esp32-s3"))
OLD, NEW = "v1.26.1", "v1.27.0"

# as micropython.org/download/RPI_PICO_W/ has them
PAGE = b"""
<strong><a href="/resources/firmware/RPI_PICO_W-20251209-v1.27.0.uf2">v1.27.0 .uf2</a></strong>
/ <a href="/resources/firmware/RPI_PICO_W-20251209-v1.27.0.elf">[.elf]</a>
<a href="/resources/firmware/RPI_PICO_W-20250911-v1.26.1.uf2">v1.26.1 .uf2</a>
<a href="/resources/firmware/RPI_PICO_W-20260401-v1.28.0-preview.314.ge8a3ee0342.uf2">preview</a>
<a href="/resources/firmware/RPI_PICO_W-OTHER-20261209-v1.99.0.uf2">a variant</a>
"""
# as circuitpython.org/board/raspberry_pi_pico_w/ has them
CIRCUITPYTHON_PAGE = b"""
<a href="https://downloads.circuitpython.org/bin/raspberry_pi_pico_w/en_US/\
adafruit-circuitpython-raspberry_pi_pico_w-en_US-9.2.1.uf2">DOWNLOAD .UF2 NOW</a>
<a href="https://downloads.circuitpython.org/bin/raspberry_pi_pico_w/en_US/\
adafruit-circuitpython-raspberry_pi_pico_w-en_US-10.0.0-beta.3.uf2">DOWNLOAD .UF2 NOW</a>
"""
CIRCUITPYTHON_FILE = (
    "/bin/raspberry_pi_pico_w/en_US/adafruit-circuitpython-raspberry_pi_pico_w-en_US-9.2.1.uf2"
)
FILES = {
    "/download/RPI_PICO_W/": PAGE,
    "/resources/firmware/RPI_PICO_W-20251209-v1.27.0.uf2": firmwares.micropython_uf2(NEW),
    "/resources/firmware/RPI_PICO_W-20250911-v1.26.1.uf2": firmwares.micropython_uf2(OLD),
    "/board/raspberry_pi_pico_w/": CIRCUITPYTHON_PAGE,
    CIRCUITPYTHON_FILE: firmwares.circuitpython_uf2(),
}


@pytest.fixture
def store(tmp_path: object) -> Store:
    return Store(tmp_path / "store")  # type: ignore[operator]


def got(store: Store, server: firmwares.Site, **more: object) -> Fetched:
    runtime = more.pop("runtime", MICROPYTHON)
    board = more.pop("board", PICO_W)
    return fetch(store, board, runtime, Site(server.url, server.url), **more)  # type: ignore[arg-type]


def pin_of(fetched: Fetched) -> Pin:
    return Pin(fetched.file.version, fetched.file.sha256)


# what the sites list


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_every_board_has_a_page_and_its_files_are_found_there(board: object, runtime: str) -> None:
    site = SITES[runtime]
    page = sites.page(site, board, runtime)  # type: ignore[arg-type]
    assert page.startswith("https://")
    build = board.builds[runtime]  # type: ignore[attr-defined]
    suffix = board.firmware_suffix  # type: ignore[attr-defined]
    names = {
        MICROPYTHON: f"/resources/firmware/{build}-20251209-v1.27.0{suffix}",
        CIRCUITPYTHON: f"/bin/{build}/en_US/adafruit-circuitpython-{build}-en_US-9.2.1{suffix}",
    }
    text = f'<a href="{names[runtime]}">'
    (link,) = sites.links(text, site, board, runtime)  # type: ignore[arg-type]
    assert link.url == site.files + names[runtime]
    # neither another build whose name begins alike, nor another kind of file
    other = text.replace(build, build + "_X") + text.replace(suffix, ".elf")
    assert sites.links(other, site, board, runtime) == []  # type: ignore[arg-type]


def test_the_newest_release_is_chosen_and_previews_only_by_name() -> None:
    found = sites.links(PAGE.decode(), SITES[MICROPYTHON], PICO_W, MICROPYTHON)
    assert len(found) == 3
    assert sites.choose(found, PICO_W, MICROPYTHON).version == NEW
    assert sites.choose(found, PICO_W, MICROPYTHON, "1.26.1").version == OLD
    preview = "1.28.0-preview.314.ge8a3ee0342"
    assert sites.choose(found, PICO_W, MICROPYTHON, preview).version == f"v{preview}"
    with pytest.raises(Error, match="lists no MicroPython 1.5 for Raspberry Pi Pico W"):
        sites.choose(found, PICO_W, MICROPYTHON, "1.5")
    with pytest.raises(Error, match="lists no MicroPython"):
        sites.choose([Link("nonsense", "")], PICO_W, MICROPYTHON)


@given(st.text(max_size=500))
def test_a_page_may_hold_anything(text: str) -> None:
    for runtime in RUNTIMES:
        for link in sites.links(PAGE.decode() + text, SITES[runtime], PICO_W, runtime):
            assert link.url.startswith(SITES[runtime].files)


# fetching


def test_the_newest_micropython_comes_into_the_store(store: Store) -> None:
    with firmwares.site(FILES) as server:
        fetched = got(store, server)
    assert fetched.file.version == NEW
    assert fetched.url.endswith("RPI_PICO_W-20251209-v1.27.0.uf2")
    assert store.find(PICO_W, MICROPYTHON) == fetched.file


def test_circuitpython_comes_by_its_page_or_without_it_by_its_version(store: Store) -> None:
    with firmwares.site(FILES) as server:
        assert got(store, server, runtime=CIRCUITPYTHON).file.version == "9.2.1"
        server.asked.clear()
        got(store, server, runtime=CIRCUITPYTHON, version="9.2.1")
        assert server.asked == [CIRCUITPYTHON_FILE]


def test_progress_is_told(store: Store) -> None:
    told: list[tuple[int, int]] = []
    with firmwares.site(FILES) as server:
        got(store, server, on_progress=lambda done, total: told.append((done, total)))
    assert told[-1][0] == told[-1][1] == len(firmwares.micropython_uf2(NEW))


def test_what_is_pinned_is_got_and_no_newer_one(store: Store) -> None:
    with firmwares.site(FILES) as server:
        pin = pin_of(got(Store(store.folder / "other"), server, version=OLD))
        assert got(store, server, pin=pin).file.version == OLD
        server.asked.clear()
        again = got(store, server, pin=pin)
        assert (again.file.sha256, again.url) == (pin.sha256, "")
        assert server.asked == []
        assert got(store, server, pin=pin, newest=True).file.version == NEW


def test_a_pin_goes_back_only_on_request(store: Store) -> None:
    with firmwares.site(FILES) as server:
        pin = pin_of(got(store, server))
        with pytest.raises(Error, match=r"pinned to v1\.27\.0, which is newer") as caught:
            got(store, server, pin=pin, version=OLD)
        assert "--downgrade" in caught.value.hint
        assert len(store.files()) == 1
        assert got(store, server, pin=pin, version=OLD, downgrade=True).file.version == OLD


def test_another_file_under_the_pinned_version_is_refused_always(store: Store) -> None:
    pin = Pin(NEW, "00" * 32)
    with firmwares.site(FILES) as server:
        for more in ({}, {"downgrade": True}, {"newest": True}, {"version": NEW}):
            with pytest.raises(Error, match="is not the file that is pinned"):
                got(store, server, pin=pin, **more)
    assert store.files() == []


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (firmwares.micropython_uf2(NEW, "Raspberry Pi Pico with RP2040"), "not for Raspberry Pi"),
        (
            firmwares.micropython_uf2(NEW, "Raspberry Pi Pico 2 W with RP2350", 0xE48BFF59),
            "is for RP2350",
        ),
        (firmwares.micropython_uf2(OLD), "is MicroPython v1.26.1, not"),
        (firmwares.circuitpython_uf2(), "is CircuitPython 9.2.1, not MicroPython"),
        (b"<html>Please log in to this hotel's Wi-Fi</html>", "not ESP32 firmware"),
    ],
)
def test_a_file_that_is_not_what_it_should_be_is_not_kept(
    store: Store, data: bytes, said: str
) -> None:
    path = "/resources/firmware/RPI_PICO_W-20251209-v1.27.0.uf2"
    with firmwares.site(FILES | {path: data}) as server, pytest.raises(Error, match=said):
        got(store, server)
    assert store.files() == []


def test_a_site_without_the_page_or_the_file_is_told(store: Store) -> None:
    with firmwares.site() as server, pytest.raises(Error, match="has no /download/RPI_PICO_W/"):
        got(store, server)
    page = {"/download/RPI_PICO_W/": PAGE}
    with firmwares.site(page) as server, pytest.raises(Error, match="has no /resources/firmware"):
        got(store, server)


def test_a_site_that_hangs_up_in_the_middle_is_told(store: Store) -> None:
    with firmwares.site(FILES) as server:
        server.claims = 100
        with pytest.raises(Error, match="hung up in the middle|cannot be reached"):
            got(store, server)
    assert store.files() == []


def test_without_a_network_there_is_one_clear_line(store: Store) -> None:
    server = firmwares.Site({}, {})
    server.url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(Error, match="cannot be reached: connection refused") as caught:
        got(store, server)
    assert "firmshake firmware add FILE" in caught.value.hint


@pytest.mark.parametrize(
    "url",
    ["http://micropython.org/x", "ftp://h/x", "file:///etc/passwd", "https://", "x", "//h", ""],
)
def test_only_https_is_asked_but_for_this_computer_itself(url: str) -> None:
    with pytest.raises(Error, match="not an address of HTTPS"):
        download.get(url, 100)
    download.check("https://micropython.org/x")
    download.check("http://127.0.0.1:8000/x")


@pytest.mark.parametrize("target", ["http://micropython.org/x", "file:///etc/passwd"])
def test_a_redirect_never_leads_away_from_https(target: str) -> None:
    said = r"not an address of HTTPS|cannot be reached|HTTP status"
    with firmwares.site(redirects={"/x": target}) as server, pytest.raises(Error, match=said):
        download.get(server.url + "/x", 100)


def test_a_redirect_on_the_same_terms_is_followed() -> None:
    with firmwares.site({"/y": b"data"}, {"/x": "/y"}) as server:
        assert download.get(server.url + "/x", 100) == b"data"


def test_more_than_any_firmware_is_not_read() -> None:
    with firmwares.site({"/x": bytes(1001)}) as server:
        with pytest.raises(Error, match="larger than any firmware"):
            download.get(server.url + "/x", 1000)
        assert len(download.get(server.url + "/x", 1001)) == 1001


def test_a_site_that_is_too_slow_is_given_up() -> None:
    moments = iter([0.0, download.LONGEST_S + 1])
    with firmwares.site({"/x": b"data"}) as server, pytest.raises(Error, match="too slow"):
        download.get(server.url + "/x", 1000, clock=lambda: next(moments))


# pins in fleet.toml

FLEET = 'name = "g"  # mine\n\n[broker]\nhost = "b"\n'


def test_a_pin_is_written_and_everything_else_stays_as_it_was() -> None:
    first = pins.written(FLEET, S3, MICROPYTHON, Pin(OLD, "ab" * 32))
    assert first.startswith(FLEET)
    second = pins.written(first, ESP32, MICROPYTHON, Pin(OLD, "cd" * 32))
    third = pins.written(second, S3, CIRCUITPYTHON, Pin("9.2.1", "ef" * 32))
    fourth = pins.written(third, S3, MICROPYTHON, Pin(NEW, "12" * 32))
    assert "# mine" in fourth
    assert tomllib.loads(fourth)["firmware"] == {
        "micropython": {
            "esp32": {"version": OLD, "sha256": "cd" * 32},
            "esp32-s3": {"version": NEW, "sha256": "12" * 32},
        },
        "circuitpython": {"esp32-s3": {"version": "9.2.1", "sha256": "ef" * 32}},
    }


@pytest.mark.parametrize(
    "text",
    [
        '[firmware]\nmicropython = { esp32 = { version = "1.2", sha256 = "00" } }\n',
        '[firmware.micropython."esp32"]\nversion = "1.2"\nsha256 = "00"\n',
        'text = """\n[firmware.micropython]\n"""\n',
    ],
)
def test_a_file_that_is_written_in_another_way_is_not_spoilt(text: str) -> None:
    pin = Pin(OLD, "ab" * 32)
    with pytest.raises(Error, match="cannot be pinned") as caught:
        pins.written(text, ESP32, MICROPYTHON, pin)
    assert "sha256" in caught.value.hint


@pytest.mark.parametrize(
    ("good", "value"),
    [
        (True, {}),
        (True, {"esp32": {"version": "v1.26.1", "sha256": "ab" * 32}}),
        (False, {"esp32": {"version": "v1.26.1"}}),
        (False, {"esp32": {"version": "v1.26.1", "sha256": "AB" * 32}}),
        (False, {"esp32": {"version": "newest", "sha256": "ab" * 32}}),
        (False, {"esp32": {"version": "v1.26.1", "sha256": "ab" * 32, "more": 1}}),
        (False, {"esp32": "ab" * 32}),
        (False, ["esp32"]),
        (False, "v1.26.1"),
    ],
)
def test_what_may_stand_as_pins(good: bool, value: object) -> None:
    assert pins.are_pins(value) is good
