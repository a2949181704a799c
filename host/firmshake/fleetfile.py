"""What fleet.toml may say: a table of keys, and the check that a parsed file keeps to it.

Does no I/O.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from firmshake import registryurl
from firmshake.boards.table import RUNTIMES
from firmshake.ca import LONGEST_NAME
from firmshake.endpoint import is_address, is_host, parse_endpoint
from firmshake.errors import Error
from firmshake.firmwares import pins

DEFAULT_PORT = 8883  # IANA: secure-mqtt
DEFAULT_NTP = ("pool.ntp.org",)
NTP_PORT = 123  # IANA: ntp
MQTTS, WSS = TRANSPORTS = ("mqtts", "wss")  # MQTT over TLS, or over WebSocket over TLS
DEFAULT_PATH = "/mqtt"  # of the WebSocket; brokers agree on it, though no standard says so
DEFAULT_KEEPALIVE_S = 60
MOST_NTP = 4  # a board asks them one after the other, a second each


@dataclass(frozen=True)
class Values:
    """The checked values of a fleet.toml, with the defaults in place of what it leaves out."""

    name: str
    prefix: str
    host: str
    port: int
    server_name: str | None
    transport: str
    path: str
    alpn: str | None
    sni: str | None
    wifi_ssid: str | None
    wifi_password: str | None
    ntp: tuple[str, ...]
    keepalive_s: int
    registry_url: str | None
    firmware: pins.Pins

    def __repr__(self) -> str:
        return f"Values(name={self.name!r})"  # the others hold a password


@dataclass(frozen=True)
class Key:
    """One key of the file: whether a value will do, in code and in words."""

    allows: Callable[[object], bool]
    words: str
    kind: type = str
    required: bool = False
    default: object = None


def is_name(value: object) -> bool:
    """Return whether `value` can be the name of a fleet."""
    return isinstance(value, str) and value.isprintable() and 1 <= _octets(value) <= LONGEST_NAME


def is_prefix(value: object) -> bool:
    """Return whether `value` can begin a device id."""
    # with a hyphen and the 12 to 32 digits of a board's unique id it stays a legal device id
    return isinstance(value, str) and bool(
        re.fullmatch(r"(?:[A-Za-z0-9][\w.-]{0,30})?", value, re.ASCII)
    )


def is_ssid(value: object) -> bool:
    """Return whether `value` can be the name of a Wi-Fi network."""
    # IEEE 802.11: 32 octets at most
    return isinstance(value, str) and 1 <= _octets(value) <= 32 and "\0" not in value


def is_wifi_password(value: object) -> bool:
    """Return whether `value` can be the password of a WPA network."""
    # IEEE 802.11, annex J: a passphrase of 8 to 63 printable ASCII characters, or the 256-bit key
    return isinstance(value, str) and bool(re.fullmatch(r"[ -~]{8,63}|[0-9A-Fa-f]{64}", value))


def _octets(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def _is_server(value: object) -> bool:
    return isinstance(value, str) and is_host(value)


def is_path(value: object) -> bool:
    """Return whether `value` can be the path of a WebSocket."""
    # it stands in a line of HTTP; RFC 6455, 3: without a fragment
    return isinstance(value, str) and bool(re.fullmatch(r"/[!-\"$-~]{0,254}", value))


def is_alpn(value: object) -> bool:
    """Return whether `value` can be the name of an application protocol."""
    # RFC 7301, 3.1: 1 to 255 bytes; all that are registered are printable ASCII
    return isinstance(value, str) and bool(re.fullmatch(r"[!-~]{1,255}", value))


def is_sni(value: object) -> bool:
    """Return whether `value` can be asked for by SNI: a DNS name, no address (RFC 6066, 3)."""
    return isinstance(value, str) and is_host(value) and not is_address(value)


def is_time_server(value: object) -> bool:
    """Return whether `value` can be a time server: HOST or HOST:PORT, no IPv6 address."""
    # a board's agent parts name and port at the colon, and boards have no IPv6
    if not isinstance(value, str) or value.count(":") > 1:
        return False
    try:
        return bool(parse_endpoint(value, NTP_PORT))
    except Error:
        return False


def _are_servers(value: object) -> bool:
    return isinstance(value, list) and len(value) <= MOST_NTP and all(map(is_time_server, value))


def _whole(low: int, high: int) -> Callable[[object], bool]:
    return lambda value: type(value) is int and low <= value <= high  # bool is an int, too


PATH_WORDS = "must begin with '/' and be ASCII without spaces, controls and '#'"
ALPN_WORDS = "must be 1 to 255 ASCII characters without spaces"
SNI_WORDS = "must be a DNS name, without a port"
_SERVER = "must be a DNS name or an IP address, in quotes and without a port"

KEYS: Mapping[str, Key] = {
    "name": Key(is_name, f"must be text of 1 to {LONGEST_NAME} bytes in one line", required=True),
    "prefix": Key(
        is_prefix,
        "must be 31 letters, digits, '.', '-', '_' at most, the first a letter or digit",
        default="",
    ),
    "broker.host": Key(_is_server, _SERVER, required=True),
    "broker.port": Key(
        _whole(1, 65535), "must be a whole number from 1 to 65535", int, default=DEFAULT_PORT
    ),
    "broker.server_name": Key(_is_server, _SERVER),
    "broker.transport": Key(
        lambda value: value in TRANSPORTS, "must be 'mqtts' or 'wss'", default=MQTTS
    ),
    "broker.path": Key(is_path, PATH_WORDS),
    "broker.alpn": Key(is_alpn, ALPN_WORDS),
    "broker.sni": Key(is_sni, SNI_WORDS),
    "wifi.ssid": Key(is_ssid, "must be text of 1 to 32 bytes", required=True),
    "wifi.password": Key(
        is_wifi_password,
        "must be 8 to 63 ASCII characters or 64 hexadecimal digits; without it the network is open",
    ),
    "clock.ntp": Key(
        _are_servers,
        f"must be a list of {MOST_NTP} DNS names or IPv4 addresses at most, with :PORT where that"
        f" is not {NTP_PORT}; [] for none",
        list,
        default=list(DEFAULT_NTP),
    ),
    "mqtt.keepalive_s": Key(
        _whole(1, 65535),  # MQTT 3.1.1, 3.1.2.10: 16 bits, and 0 would switch it off
        "must be a whole number of seconds from 1 to 65535",
        int,
        default=DEFAULT_KEEPALIVE_S,
    ),
    # whether it will do is told by `registryurl`, with what to do about a password
    "registry.url": Key(lambda value: isinstance(value, str), "must be text, in quotes"),
    "firmware.micropython": Key(pins.are_pins, pins.WORDS, dict),
    "firmware.circuitpython": Key(pins.are_pins, pins.WORDS, dict),
}
_TABLES = tuple(dict.fromkeys(name.split(".")[0] for name in KEYS if "." in name))
_OPTIONAL_TABLES = ("wifi", "clock", "mqtt")


def check(document: Mapping[str, object]) -> Values:
    """Return the values of a parsed fleet.toml; raise Error that names the first key that is wrong.

    A message never shows a value: it might be a password.
    """
    given = dict(_flat(document))
    for name in given:
        if name not in KEYS:
            _refuse_unknown(name, document)
    found = {name: _value(name, given, document) for name in KEYS}
    if found["broker.path"] is not None:
        check_path(found["broker.transport"])
    url = _text_or_none(found["registry.url"])
    if url is not None:
        _check_url(url)
    ntp = found["clock.ntp"]
    assert isinstance(ntp, list)
    return Values(
        name=_text(found["name"]),
        prefix=_text(found["prefix"]),
        host=_text(found["broker.host"]),
        port=_number(found["broker.port"]),
        server_name=_text_or_none(found["broker.server_name"]),
        transport=_text(found["broker.transport"]),
        path=_text(found["broker.path"] or DEFAULT_PATH),
        alpn=_text_or_none(found["broker.alpn"]),
        sni=_text_or_none(found["broker.sni"]),
        wifi_ssid=_text_or_none(found["wifi.ssid"]),
        wifi_password=_text_or_none(found["wifi.password"]),
        ntp=tuple(ntp),
        keepalive_s=_number(found["mqtt.keepalive_s"]),
        registry_url=url,
        firmware=pins.of({runtime: found[f"firmware.{runtime}"] for runtime in RUNTIMES}),
    )


def check_value(name: str, value: object) -> None:
    """Raise Error, which never shows the value, where it will not do for the key `name`."""
    key = KEYS[name]
    if not key.allows(value):
        raise Error(f"{name} {key.words}", hint=_mismatch(name, value, key.kind))


def check_path(transport: object) -> None:
    """Raise Error where there can't be a `broker.path` beside this transport."""
    if transport != WSS:
        raise Error(
            "broker.path is for WebSockets only", hint="say transport = 'wss', or leave it out"
        )


def _check_url(url: str) -> None:
    try:
        registryurl.check(url)
    except Error as error:
        raise Error(f"registry.url: {error.message}", error.hint) from None


def _flat(document: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    for name, value in document.items():
        if name in _TABLES:
            if not isinstance(value, dict):
                raise Error(f"{name} must be a table", hint=f"begin it with the line [{name}]")
            yield from ((f"{name}.{key}", inner) for key, inner in value.items())
        else:
            yield name, value


def _refuse_unknown(name: str, document: Mapping[str, object]) -> None:
    kind = "table" if isinstance(document.get(name), dict) else "key"
    known = _TABLES if kind == "table" else tuple(KEYS)
    raise Error(f"unknown {kind} {name!r}", hint=meant(name, known))


def meant(name: str, known: Sequence[str]) -> str:
    """Return a hint for a name that is not known: the one that it is near to, or all there are."""
    last = name.rpartition(".")[2]
    # the right word in the wrong table, or one that is spelled nearly so
    near = [key for key in known if key.rpartition(".")[2] == last][:1]
    near = near or difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}" if near else f"known are: {', '.join(known)}"


def _value(name: str, given: Mapping[str, object], document: Mapping[str, object]) -> object:
    key = KEYS[name]
    if name in given:
        check_value(name, given[name])
        return given[name]
    table = name.partition(".")[0]
    if key.required and not (table in _OPTIONAL_TABLES and table not in document):
        raise Error(f"{name} is missing", hint=f"{name} {key.words}")
    return key.default


_KINDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "a table",
}


def _mismatch(name: str, value: object, kind: type) -> str:
    if type(value) is kind:
        return ""
    return f"{name} is {_KINDS.get(type(value), 'a date or time')} there"


def _text(value: object) -> str:
    assert isinstance(value, str)
    return value


def _text_or_none(value: object) -> str | None:
    return None if value is None else _text(value)


def _number(value: object) -> int:
    assert isinstance(value, int)
    return value
