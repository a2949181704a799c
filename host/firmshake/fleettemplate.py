"""The text of a new fleet.toml, with a comment for each choice that a newcomer meets.

Does no I/O.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from firmshake.fleetfile import (
    DEFAULT_KEEPALIVE_S,
    DEFAULT_PATH,
    DEFAULT_PORT,
    MOST_NTP,
    MQTTS,
    WSS,
)
from firmshake.registryurl import EXAMPLE


def render(
    *,
    name: str,
    prefix: str,
    host: str,
    port: int,
    server_name: str,
    ssid: str | None,
    password: str | None,
    ntp: Sequence[str],
    keepalive_s: int,
    transport: str = MQTTS,
    path: str = DEFAULT_PATH,
    alpn: str | None = None,
    sni: str | None = None,
) -> str:
    """Return a fleet.toml that says these values. `ssid` None: no Wi-Fi; `password` None: open."""
    return f"""\
# The fleet's settings. They are written to each board when it is provisioned: a board gets a change
# when it is provisioned again. If there is a Wi-Fi password below, keep this file to yourself.

# what the fleet is called; the CA was named after it
name = {_quote(name)}

# A device's id is this prefix, a hyphen and the board's hardware address, such as
# {(prefix + "-") if prefix else ""}a0b1c2d3e4f5
prefix = {_quote(prefix)}

[broker]
# where boards connect: a DNS name or an IP address, and the port (MQTT over TLS has {DEFAULT_PORT})
host = {_quote(host)}
port = {port}
# The name that the broker's certificate must have; only needed where it is not the host above.
{_optional("server_name", server_name if server_name != host else None, host)}
# "{MQTTS}" is MQTT over TLS, "{WSS}" MQTT over a WebSocket over TLS, which has a path, too.
{_optional("transport", transport if transport != MQTTS else None, WSS)}
{_optional("path", path if transport == WSS else None, DEFAULT_PATH)}
# Only for agents on CPython: the ALPN protocol, and the SNI where it is not the broker's name.
# MicroPython's stock firmware can set neither.
{_optional("alpn", alpn, "mqtt")}
{_optional("sni", sni, "gateway.example")}

{_wifi(ssid, password)}

[clock]
# Where boards ask for the time, {MOST_NTP} servers at most. With [] they go on from the moment at
# which they were provisioned, which is enough to check certificates for a while.
ntp = [{", ".join(map(_quote, ntp))}]

[mqtt]
# The broker takes a board for lost after one and a half times this many seconds of silence.
# {DEFAULT_KEEPALIVE_S} suits most fleets.
keepalive_s = {keepalive_s}

# The registry is registry.sqlite here, unless several stations share one: then it is in the
# PostgreSQL database at this URL, without a password. firmshake registry move URL takes it there.
# [registry]
# url = "{EXAMPLE}"

# Firmware is pinned here by its SHA-256, a line for each kind of board, when this gets it:
# firmshake firmware fetch BOARD
"""


def _wifi(ssid: str | None, password: str | None) -> str:
    about = """\
# The network that boards join. Leave the password out where the network is open. For boards that
# need no Wi-Fi, such as virtual ones, leave out the whole table."""
    if ssid is None:
        return f'{about}\n# [wifi]\n# ssid = "my network"\n# password = "at least 8 characters"'
    secret = _optional("password", password, "at least 8 characters")
    return f"{about}\n[wifi]\nssid = {_quote(ssid)}\n{secret}"


def _optional(key: str, value: str | None, example: str) -> str:
    return f"# {key} = {_quote(example)}" if value is None else f"{key} = {_quote(value)}"


def _quote(text: str) -> str:
    """A TOML 1.0 basic string: it has JSON's escapes, but takes no DEL unescaped."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
