"""Manifests as TOML: tables, defaults, the line of everything; held against tomllib."""

from __future__ import annotations

import json
import tomllib

import pytest
from hypothesis import given
from support.manifests import ids, planned, problems, rows, told

from firmshake.fleet.planned import Planned

NAME = "a.toml"
DEVICE = '[[device]]\nid = "a"\n'


def test_each_device_has_a_table_and_what_it_does_not_say_has_a_default() -> None:
    text = """\
# ours
[defaults]
board = "pico-w"
wifi.ssid = 'shed # 1'

[[device]] # the first
id = "pump-1"
wifi = { password = "correct horse" }
  [[device]]
  id = "valve-{number:02}"
  count = 2
  board = "any"
  [device.broker]
  port = 8884
"""
    own = {"wifi.ssid": "shed # 1", "broker.port": 8884}
    assert planned(text, NAME) == [
        Planned(
            "pump-1",
            board="pico-w",
            settings={"wifi.ssid": "shed # 1", "wifi.password": "correct horse"},
            line=6,
        ),
        Planned("valve-01", settings=own, line=9),
        Planned("valve-02", settings=own, line=9),
    ]


@pytest.mark.parametrize(
    "servers",
    [
        '["a", "b"]',
        "[ # two\n  \"a\",\n\n  'b', # the last\n]",
        '["a"\n,\n"""b"""]',
        "[\n'''a''', \"\"\"\\\n  b\"\"\"]",
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_value_may_go_on_over_several_lines(servers: str, end: str) -> None:
    text = (f"{DEVICE}clock.ntp = {servers}\n" + DEVICE.replace("a", "b")).replace("\n", end)
    first, second = planned(text, NAME)
    assert first.settings == {"clock.ntp": ["a", "b"]}
    assert second.line == 4 + servers.count("\n")


def test_keys_may_be_written_in_every_way_that_toml_has() -> None:
    text = (
        '["defaults"]\n"board" = "esp32"\n[[ device ]]\n\'id\' = "\\u0061"\nwifi . "ssid" = "x"\n'
    )
    assert planned(text, NAME) == [Planned("a", board="esp32", settings={"wifi.ssid": "x"}, line=3)]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ('id = "a"\n', [(1, "a key stands before any table")]),
        ("[defaults]\nboard = 'esp32'\n", [(1, "there is no device in it")]),
        ("[[device]]\nboard = 'esp32'\n", [(1, "id is missing")]),
        ("[[device]]\nid = 5\n", [(2, "id must be text")]),
        ("[[device]]\nid = ''\n", [(2, "'' can't be a device id")]),
        (DEVICE + "\nboard = 'picow'\n", [(4, "no board is called 'picow'")]),
        (DEVICE + "bord = 'x'\n", [(3, "unknown key 'bord'")]),
        (DEVICE + "wifi.pasword = 'x'\n", [(3, "unknown key 'wifi.pasword'")]),
        (DEVICE + "wifi.ssid.x = 'x'\n", [(3, "unknown key 'wifi.ssid.x'")]),
        (DEVICE + "wifi = { ssid = 'x', pasword = 'y' }\n", [(3, "unknown key 'wifi.pasword'")]),
        (DEVICE + "broker.port = '1'\n", [(3, "broker.port must be")]),
        (DEVICE + "count = true\n", [(3, "count must be")]),
        (DEVICE + "board = 1979-05-27\n", [(3, "board must be text")]),
        (DEVICE + "id = 'b'\n", [(3, "id is on line 2 already")]),
        (DEVICE + "wifi.ssid = 'x'\nwifi = {}\n", [(4, "the table wifi is there twice")]),
        (DEVICE + "wifi = {}\nwifi.ssid = 'x'\n", [(4, "the table 'wifi' is there twice")]),
        (DEVICE + "wifi.ssid = 'x'\n[device.wifi]\n", [(4, "the table wifi is there twice")]),
        (DEVICE + "[device.wifi]\n[device.wifi]\n", [(4, "the table wifi is there twice")]),
        (DEVICE + "[device.wify]\nssid = 'x'\n", [(3, "unknown table 'wify'")]),
        (DEVICE + "[devices]\nx = 1\n", [(3, "the table 'devices'")]),
        (DEVICE + "[device]\nx = 1\n", [(3, "the table 'device'")]),
        (DEVICE + "[[defaults]]\n", [(3, "the table 'defaults'")]),
        (DEVICE + "[device.a.b]\n", [(3, "the table 'device.a.b'")]),
        (DEVICE + "[defaults]\nboard = 'x'\n", [(3, "[defaults] stands once")]),
        ("[defaults]\n[defaults]\n" + DEVICE, [(2, "[defaults] stands once")]),
        ("[device.wifi]\n" + DEVICE, [(1, "[device.wifi] does not follow its table")]),
        ("[defaults]\ncount = 2\n" + DEVICE, [(2, "count is nothing that all devices have")]),
        ("[defaults]\nboard = 'x'\n" + DEVICE * 2, [(2, "no board"), (6, "the id 'a'")]),
        ("[defaults]\nid = 'a'\n[[device]]\n[[device]]\n", [(4, "the id 'a' is on line 3")]),
        ("[defaults]\nid = '-'\n[[device]]\n[[device]]\n", [(2, "'-' can't be")]),
        ("[[device]]\nid = \"a\nboard = 'x'\n", [(2, "no TOML"), (3, "no board is called")]),
        (DEVICE + "clock.ntp = ['x',\n'y'\n" + DEVICE, [(3, "no TOML"), (6, "the id 'a'")]),
        (DEVICE + "wifi.ssid = '''x\n" + DEVICE, [(3, "no TOML"), (5, "the id 'a'")]),
        (DEVICE + "wifi.ssid = x\n" + DEVICE, [(3, "no TOML"), (5, "the id 'a'")]),
        (DEVICE + "clock.ntp = [\n'x',\nx]\n", [(5, "no TOML: invalid value, at column 1")]),
        (DEVICE + "# \x01\n[[device]]\nid = 'b' 'c'\n", [(3, "no TOML"), (5, "no TOML")]),
        (DEVICE + "[device.wifi\n[[device]\n", [(3, "no TOML"), (4, "no TOML")]),
        (DEVICE + "[[device]\nid = 'a'\n" + DEVICE, [(3, "no TOML"), (6, "the id 'a'")]),
        (DEVICE + "x" + ".x" * 9000 + " = 1\n", [(3, "too many dots")]),
        (DEVICE + "x = " + "[" * 9000 + "\n", [(3, "no TOML")]),
        (DEVICE + "x = " + "9" * 9000 + "\n", [(3, "no TOML: no such number")]),
    ],
)
def test_what_is_wrong_is_told_with_its_line(text: str, lines: list[tuple[int, str]]) -> None:
    found = told(text, NAME)
    assert [line for line, _ in found] == [line for line, _ in lines], found
    for (_, message), (_, words) in zip(found, lines, strict=True):
        assert words in message


def test_wrong_encoding_is_told_here_too() -> None:
    (found,) = problems((DEVICE + "wifi.ssid = 'Süd'\n").encode("latin-1"), NAME)
    assert (found.line, found.message) == (3, "byte 15 of the line, 0xfc, is not UTF-8")
    assert ids(b"\xef\xbb\xbf" + DEVICE.encode(), NAME) == ["a"]


@given(rows())
def test_what_is_written_as_toml_is_read_back(made: list[dict[str, object]]) -> None:
    text = ""
    for row in made:
        text += "[[device]]\n"
        for name, value in row.items():
            said = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
            text += f"{name} = {said}\n"
    assert len(tomllib.loads(text)["device"]) == len(made)
    found = planned(text, NAME)
    assert [one.id_rule for one in found] == [row["id"] for row in made]
    for one, row in zip(found, made, strict=True):
        assert one.settings == {name: value for name, value in row.items() if "." in name}
        assert (one.unique_id, one.board) == (row.get("unique_id"), row.get("board"))
