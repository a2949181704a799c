"""Device ids and the addresses of servers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmshake import deviceid
from firmshake.endpoint import is_host, is_loopback, parse_endpoint
from firmshake.errors import Error


@pytest.mark.parametrize("good", ["a", "pump-1", "A.b_c-9", "0" * 64])
def test_a_legal_device_id_comes_back_as_it_is(good: str) -> None:
    assert deviceid.check(good) == good


@pytest.mark.parametrize(
    "bad", ["", "0" * 65, "a/b", "a+", "#", "a\0", "a b", ".hidden", "-n", "é", "a\n", "a%2f"]
)
def test_what_is_no_name_topic_or_file_is_no_device_id(bad: str) -> None:
    with pytest.raises(Error):
        deviceid.check(bad)


@given(st.text(max_size=80))
def test_whatever_is_accepted_is_one_topic_level_and_one_file_name(text: str) -> None:
    try:
        accepted = deviceid.check(text)
    except Error:
        return
    assert not set(accepted) & set("/+#\0\\ ")
    assert accepted not in (".", "..")
    assert 1 <= len(accepted.encode()) <= 64


@pytest.mark.parametrize("mac", ["A0:B1:C2:D3:E4:F5", "a0b1c2d3e4f5", "a0-b1-c2-d3-e4-f5"])
def test_the_same_address_gives_the_same_id_however_it_is_written(mac: str) -> None:
    assert deviceid.default_id("farm", mac) == "farm-a0b1c2d3e4f5"
    assert deviceid.default_id("", mac) == "a0b1c2d3e4f5"


@pytest.mark.parametrize("mac", ["", "a0:b1", "not an address", "a0b1c2d3e4f"])
def test_what_is_no_hardware_address_is_refused(mac: str) -> None:
    with pytest.raises(Error):
        deviceid.default_id("farm", mac)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("broker.example", "broker.example", 8883),
        ("broker.example:1", "broker.example", 1),
        ("192.0.2.7:443", "192.0.2.7", 443),
        ("2001:db8::1", "2001:db8::1", 8883),
        ("[2001:db8::1]", "2001:db8::1", 8883),
        ("[::1]:65535", "::1", 65535),
        ("my_pc", "my_pc", 8883),
    ],
)
def test_host_and_port_are_told_apart(text: str, host: str, port: int) -> None:
    assert parse_endpoint(text, 8883) == (host, port)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "a:",
        "a:0",
        "a:65536",
        "a:b",
        "a:-1",
        "a:１",
        "[::1",
        "[a]:1",
        "::1%eth0",
        "a..b",
        "a b",
        "*.a",
        "mqtts://a",
        "256.1.1.1",
        "bücher.example",
        "a.",
        "-a",
        "x" * 254,
    ],
)
def test_what_names_no_server_is_refused_as_wrong_usage(text: str) -> None:
    with pytest.raises(Error) as caught:
        parse_endpoint(text, 8883)
    assert caught.value.status == 2


@given(st.text(max_size=40))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        host, port = parse_endpoint(text, 8883)
    except Error:
        return
    assert is_host(host)
    assert 1 <= port <= 65535


def test_loopback_is_this_computer_only() -> None:
    assert all(map(is_loopback, ["localhost", "127.0.0.1", "127.9.9.9", "::1"]))
    assert not any(map(is_loopback, ["broker.example", "192.0.2.1", "::", "localhost.example"]))
