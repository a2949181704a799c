"""Manifests: what they ask for, and that each thing wrong with one is told, with its line."""

from __future__ import annotations

import hashlib
import io

import pytest
from support.manifests import PROFILES, PROJECT, ids, parsed, planned, problems, told

from firmshake import deviceid
from firmshake.errors import Error
from firmshake.fleet import manifest, settings
from firmshake.fleet.manifest import BadManifest
from firmshake.fleet.planned import Planned
from firmshake.project import Broker, Project, Wifi

MAC, PICO = "a0:b1:c2:d3:e4:f5", "e660c0d1c7182a2b"


def test_every_column_is_read() -> None:
    text = (
        "id,unique_id,board,profile,wifi.ssid,wifi.password,broker.host,broker.port,"
        "broker.server_name,broker.transport,broker.path,clock.ntp,mqtt.keepalive_s\n"
        f"pump-1,{MAC},esp32,short,west, 8 or more ,"
        "b.example,8884,c.example,wss,/a,d.example e,30\n"
    )
    own = {
        "wifi.ssid": "west",
        "wifi.password": " 8 or more ",
        "broker.host": "b.example",
        "broker.port": 8884,
        "broker.server_name": "c.example",
        "broker.transport": "wss",
        "broker.path": "/a",
        "clock.ntp": ["d.example", "e"],
        "mqtt.keepalive_s": 30,
    }
    assert planned(text) == [Planned("pump-1", MAC, "esp32", "short", own, 2)]
    assert set(own) == set(settings.NAMES), "a column that no manifest here has"


def test_an_id_is_enough() -> None:
    assert planned("id\npump-1\n") == [Planned("pump-1", line=2)]


def test_what_is_left_empty_is_as_usual() -> None:
    text = "id,unique_id,board,profile,count,wifi.ssid\na,any,Any,device,1,\nb,,,,,\nc,ANY,,,,\n"
    assert planned(text) == [Planned(name, line=n + 2) for n, name in enumerate("abc")]


def test_a_board_and_its_unique_id_are_spelled_as_everywhere_else() -> None:
    rows = f"a,A0-B1-C2-D3-E4-F5,ESP32_S3\nb,a0b1c2d3e4f6,\nc,{PICO.upper()},Pico W"
    text = f"id,unique_id,board\n{rows}"
    assert [(one.unique_id, one.board) for one in planned(text)] == [
        (MAC, "esp32-s3"),
        ("a0:b1:c2:d3:e4:f6", None),
        (PICO, "pico-w"),
    ]


def test_numbers_go_by_the_rule_in_the_order_of_the_rows() -> None:
    text = "id,count\npump-{number:03},2\nvalve-{number},\npump-{number:03},2\nvalve-{number},1\n"
    made = ["pump-001", "pump-002", "valve-1", "pump-003", "pump-004", "valve-2"]
    assert ids(text) == made
    assert ids(text + "pump-{number:03},1\n") == [*made, "pump-005"]


def test_a_rule_takes_the_unique_id_where_the_row_has_it() -> None:
    text = f"id,unique_id\n{{prefix}}-{{unique_id}},{MAC}\n{{prefix}}-{{unique_id}},\n"
    assert ids(text) == ["gh-a0b1c2d3e4f5", "gh-{unique_id}"]
    text = "id,count\nx{number}-{unique_id},2\n"
    assert ids(text) == ["x1-{unique_id}", "x2-{unique_id}"]


def test_the_digest_is_the_files_and_with_a_prefix_in_an_id_the_prefixes_too() -> None:
    text = "id\npump-1\n"
    other = Project(**{**vars(PROJECT), "prefix": "other"})
    assert parsed(text).digest == hashlib.sha256(text.encode()).hexdigest()
    assert parsed(text).digest == parsed(text, project=other).digest != parsed(text + "\n").digest
    text = "id\n{prefix}-1\n"
    assert parsed(text).digest != parsed(text, project=other).digest


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("id\npump-1\n-x\n", [(3, "'-x' can't be a device id")]),
        ("id\n" + "x" * 65, [(2, "has 65 characters")]),
        ("id\npümp\n", [(2, "'pümp' can't be a device id")]),
        ("id\na b\na/b\n", [(2, "'a b' can't"), (3, "'a/b' can't")]),
        ("id\na\nb\na\n", [(4, "the id 'a' is on line 2 already")]),
        ("id\nPump\npump\n", [(3, "'pump' differs only in case from 'Pump' on line 2")]),
        ("id\npump\nPUMP\n", [(3, "'PUMP' differs only in case from 'pump' on line 2")]),
        ("id\ncon\nLPT1.x\na.\n", [(2, "'con'"), (3, "'LPT1.x'"), (4, "'a.'")]),
        ("id\nconsole\ncom10\ncon-1\nx.con\nnul\n", [(6, "'nul'")]),
        ("id\ncom{number}\n", [(2, "'com1'")]),
        ("id\na-{nummer}\n", [(2, "unknown field {nummer}")]),
        ("id\na-{number:4}\n", [(2, "the width '4'")]),
        ("id\na-{number:00}\n", [(2, "the width '00'")]),
        ("id\na-{number:012}\n", [(2, "the width '012'")]),
        ("id\na-{number:>4}\n", [(2, "the width '>4'")]),
        ("id\na-{number!r}\n", [(2, "unknown field {number!r}")]),
        ("id\na-{number.real}\n", [(2, "unknown field {number.real}")]),
        ("id\na-{}\n", [(2, "unknown field {}")]),
        ("id\na-{unique_id:04}\n", [(2, "{unique_id} has no width")]),
        ("id\na-{number\n", [(2, "a brace without its other")]),
        ("id\na-}\n", [(2, "a brace without its other")]),
        ("id\n_{number}\n", [(2, "can't be a device id, and '_{number}' makes such")]),
        ("id\n{unique_id}" + "x" * 49, [(2, "has 65 characters")]),
        ("id,count\na,2\n", [(2, "the id is the same for all")]),
        ("id,count\na{number},0\n", [(2, "count must be a whole number")]),
        ("id,count\na{number},many\n", [(2, "count must be a whole number")]),
        ("id,count\na{number},9999999999\n", [(2, "count must be a whole number")]),
        (f"id,unique_id,count\na{{number}},{MAC},2\n", [(2, "unique_id names one board")]),
        ("id,unique_id\na,1.23E+11\n", [(2, "'1.23E+11' is no board's unique id")]),
        ("id,unique_id\na,e0c9125b0d9b\n", [(2, "is no board's unique id")]),
        (f"id,unique_id\na,{MAC}\nb,A0B1C2D3E4F5\n", [(3, f"the board {MAC} is on line 2")]),
        (f"id,unique_id,board\na,{MAC},pico-w\n", [(2, "is no unique id of the board pico-w")]),
        (f"id,unique_id,board\na,{PICO},esp32\n", [(2, "is no unique id of the board esp32")]),
        ("id,board\na,pico\n", [(2, "no board is called 'pico'")]),
        ("id,profile\na,shirt\n", [(2, "no device profile is called 'shirt'")]),
        ("id,wifi.ssid\na," + "x" * 33, [(2, "wifi.ssid must be")]),
        ("id,broker.port\na,0\nb,x\n", [(2, "broker.port must be")]),
        ("id,broker.path\na,/x\n", [(2, "broker.path is for WebSockets only")]),
        ("id,clock.ntp\na,a b c d e\n", [(2, "clock.ntp must be")]),
        ("id,count\na{number},1\na{number:02},11\na10,\n", [(4, "the id 'a10'")]),
        ("id,count\na{number},12\na{number:02},12\n", [(3, "'a10', which 'a{number:02}' makes")]),
    ],
)
def test_what_is_wrong_is_told_with_its_line(text: str, lines: list[tuple[int, str]]) -> None:
    found = told(text)
    assert [line for line, _ in found] == [line for line, _ in lines], found
    for (_, message), (_, words) in zip(found, lines, strict=True):
        assert words in message


def test_everything_is_told_in_one_pass_in_the_order_of_lines() -> None:
    text = "id,unique_id,board,bord\n-a,zz,esp,\nb,,,\nb,,,,,x\nb,,,\n{x},,,\n"
    found = told(text)
    assert [line for line, _ in found] == [1, 2, 2, 2, 4, 5, 6]


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("id,board\na,picow\n", "'pico-w'"),
        ("id,board\na,esp32s3\n", "'esp32-s3'"),
        ("id,profile\na,shorts\n", "'short'"),
        ("id,bord\na,b\n", "'board'"),
        ("id,ssid\na,b\n", "'wifi.ssid'"),
    ],
)
def test_the_nearest_known_name_is_the_hint(text: str, near: str) -> None:
    (found,) = problems(text)
    assert near in found.hint


def test_what_only_the_fleet_has_is_no_column() -> None:
    for name in ("name", "prefix", "broker.alpn", "firmware.micropython"):
        assert told(f"id,{name}\na,\n") == [(1, f"{name} can't differ from device to device")]


def test_a_network_without_a_name_is_told_once_for_all_its_lines() -> None:
    wired = Project(**{**vars(PROJECT), "wifi": None})
    text = "id,wifi.password\na,secret one\nb,secret two\n"
    assert parsed(text).planned
    with pytest.raises(BadManifest) as caught:
        parsed(text, project=wired)
    (found,) = caught.value.problems
    assert (found.line, list(found.also)) == (2, [3])


def test_without_a_prefix_a_rule_for_it_is_wrong() -> None:
    bare = Project(**{**vars(PROJECT), "prefix": ""})
    with pytest.raises(BadManifest, match="fleet.toml has none"):
        parsed("id\n{prefix}-{number}\n", project=bare)


def test_the_same_problem_of_a_whole_column_is_told_once() -> None:
    (found,) = problems("id,board\n" + "".join(f"a{n},picow\n" for n in range(1000)))
    assert found.line == 2
    assert list(found.also) == list(range(3, 1002))


def test_ids_that_two_rows_make_alike_are_one_problem() -> None:
    (found,) = problems("id,count\na{number:01},500\na{number},500\n")
    assert found.line == 3
    assert not found.also


def test_a_manifest_has_so_many_devices_at_most() -> None:
    text = "id,count\na{number},5\nb{number},5\nc,\n"
    with pytest.raises(BadManifest) as caught:
        manifest.parse(io.BytesIO(text.encode()), "a.csv", PROJECT, PROFILES, most=9)
    (found,) = caught.value.problems
    assert (found.line, found.message) == (3, "from here on there are more than 9 devices")
    assert len(parsed(text).planned) == 11


def test_the_error_itself_says_how_many_and_which_is_the_first() -> None:
    with pytest.raises(BadManifest) as caught:
        parsed("id\n-a\n-b\n")
    assert "2 problems" in caught.value.message
    assert "line 2: '-a' can't" in caught.value.message


SECRET = "hunter2hunter2"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", f"id,wifi.password\na,{SECRET},\n-,{SECRET},x\n"),
        ("a.csv", f"id,wifi.password\na,{SECRET}\x01\n"),
        ("a.csv", f'id,wifi.password\na,"{SECRET}\n'),
        ("a.csv", f'id,wifi.password\na, "{SECRET}"\n'),
        ("a.csv", f"id,wifi.password\na,{SECRET * 9}\n"),
        ("a.csv", f"pump-1,any,esp32,{SECRET}\n"),
        ("a.toml", f'[[device]]\nid = "a"\nwifi.password = "{SECRET}\n'),
        ("a.toml", f'[[device]]\nid = "a"\nwifi.password = {SECRET}\n'),
        ("a.toml", f'[[device]]\nid = "a"\nwifi.password {SECRET}\n'),
        ("a.toml", f'[[device]]\nid = "a"\nwifi.password = "{SECRET}\x01"\n'),
        ("a.toml", f'[[device]]\nid = "a"\nwifi.pass = "{SECRET}"\n'),
        ("a.toml", f'[[device]]\nid = "a"\nwifi = {{password = "{SECRET}", password = "x"}}\n'),
        ("a.toml", f'[[device]]\nid = "a"\nwifi = "{SECRET}"\n'),
    ],
)
def test_no_problem_shows_a_password(name: str, text: str) -> None:
    assert SECRET in text
    for one in problems(text, name):
        assert SECRET[:5] not in one.message + one.hint


def test_what_is_read_shows_no_password() -> None:
    found = parsed(f"id,wifi.password\na,{SECRET}\n")
    assert found.planned[0].settings["wifi.password"] == SECRET
    assert SECRET not in repr(found)


def test_the_settings_of_a_device_take_the_place_of_the_fleets() -> None:
    own = planned("id,wifi.ssid,broker.host,clock.ntp\na,west,b.example,none\n")[0].settings
    found = settings.applied(PROJECT, own)
    assert found.wifi == Wifi("west", "the fleet's own")
    assert found.broker == Broker("b.example", 8883, "b.example")
    assert found.ntp == ()
    assert found.keepalive_s == 60
    assert settings.applied(PROJECT, {}) == PROJECT


def test_a_brokers_name_stays_where_it_is_not_its_host() -> None:
    named = Project(**{**vars(PROJECT), "broker": Broker("192.0.2.1", 8883, "broker.example")})
    found = settings.applied(named, {"broker.host": "192.0.2.2", "broker.port": 1})
    assert found.broker == Broker("192.0.2.2", 1, "broker.example")


@pytest.mark.parametrize(
    "own",
    [
        {"broker.port": 0},
        {"broker.port": "8883"},
        {"broker.path": "/x"},
        {"broker.alpn": "x"},
        {"prefix": "x"},
        {"wifi.pasword": "x"},
        {"wifi.password": "short"},
    ],
)
def test_settings_that_will_not_do_are_refused(own: dict[str, object]) -> None:
    with pytest.raises(Error) as caught:
        settings.applied(PROJECT, own)
    assert "short" not in caught.value.message


def test_every_id_that_is_planned_can_be_one() -> None:
    text = "id,count\n{prefix}.{number:09},3\nA_b-{unique_id},2\n" + "x" * 64 + ",\n"
    for name in ids(text):
        assert deviceid.is_legal(name.replace("{unique_id}", "0" * 16))
