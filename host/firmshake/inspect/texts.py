"""Reads what is text: the settings of a board and of a project, base64 without PEM's lines.

Does no I/O.
"""

from __future__ import annotations

import base64
import binascii
import json
import tomllib
from datetime import UTC, datetime

from firmshake import fleetfile
from firmshake.ca.finding import NOTE, WRONG, Finding
from firmshake.errors import Error
from firmshake.inspect.thing import Thing
from firmshake_agent import causes, identity
from firmshake_agent.failure import Failure

_LARGEST = 1024 * 1024
_FIRST_YEARS = 2**33  # seconds: the year 2242; a later stamp is none


def said_by_board(cause: str, **evidence: object) -> Finding:
    """A finding in the words with which a board would report it at its identity stage."""
    known = causes.lookup(f"identity/{cause}")
    assert known is not None, cause
    why, fix = (causes.fill(text, evidence) for text in known)
    return Finding(WRONG, cause, why, fix)


def settings(data: bytes, where: str) -> Thing | None:
    """A board's settings.json; None where it is not JSON, or of something else."""
    try:
        found = json.loads(data) if len(data) <= _LARGEST else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or not {"device", "host"} & set(found):
        return None
    try:
        identity._settings(data)
        findings: tuple[Finding, ...] = ()
    except Failure as failure:
        findings = (said_by_board(failure.cause, **failure.evidence),)
    facts = [
        ("device", _text(found.get("device"))),
        ("broker", f"{_text(found.get('host'))}, port {_text(found.get('port'))}"),
    ]
    if found.get("server_name") not in (None, found.get("host")):
        facts.append(("server_name", _text(found["server_name"])))
    facts += _wifi(found.get("wifi"))
    floor = found.get("floor")
    if isinstance(floor, int) and 0 < floor < _FIRST_YEARS:
        facts.append(("made", f"{datetime.fromtimestamp(floor, UTC):%Y-%m-%d %H:%M} UTC"))
    title = f"settings of the board {_text(found.get('device'))}"
    secret = any(key == "wifi_password" and value == "there" for key, value in facts)
    return Thing(where, "settings", title, tuple(facts), findings, private=secret, settings=found)


def _wifi(found: object) -> list[tuple[str, str]]:
    if not isinstance(found, dict):
        return []
    password = "there" if found.get("password") else "none: an open network"
    return [("wifi", _text(found.get("ssid"))), ("wifi_password", password)]


def fleet(data: bytes, where: str) -> Thing:
    """A project's fleet.toml."""
    try:
        values = fleetfile.check(tomllib.loads(data[: _LARGEST + 1].decode("utf-8")))
    except Error as error:
        return _bad_fleet(where, error.message, error.hint)
    except RecursionError:
        return _bad_fleet(where, "it is nested too deeply", "")
    except ValueError as error:
        return _bad_fleet(where, str(error), "https://toml.io shows how to write it")
    facts = [("fleet", values.name), ("broker", f"{values.host}, port {values.port}")]
    if values.wifi_ssid is not None:
        password = "there" if values.wifi_password else "none: an open network"
        facts += [("wifi", values.wifi_ssid), ("wifi_password", password)]
    names = [values.server_name or values.host]
    return Thing(
        where,
        "fleet",
        f"settings of the project {values.name}",
        tuple(facts),
        private=values.wifi_password is not None,
        settings={"names": names},
    )


def _bad_fleet(where: str, why: str, hint: str) -> Thing:
    fix = f"{hint[:1].upper()}{hint[1:]}." if hint else "Mend the line."
    found = Finding(WRONG, "config_invalid", f"The settings are wrong: {why}.", fix)
    return Thing(where, "fleet", "settings of a project that cannot be read", (), (found,))


def unarmoured(data: bytes) -> bytes | None:
    """The DER in base64 that lacks PEM's BEGIN and END lines; None where it is no such text."""
    text = data.translate(None, b" \t\r\n")
    # every DER structure of more than 127 bytes begins so
    if not text.startswith((b"MI", b"MH")) or len(text) % 4:
        return None
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return None


NO_ARMOUR = Finding(
    WRONG,
    "no_armour",
    "It is base64 without PEM's BEGIN and END lines, which nothing reads.",
    "Put the lines around it, such as -----BEGIN CERTIFICATE-----, or get the file again.",
)
SIXTEEN_BITS = Finding(
    WRONG,
    "wrong_encoding",
    "It is saved as UTF-16, as Windows editors do; nothing reads PEM so.",
    "Save it as plain text (ASCII or UTF-8).",
)
MARKED = Finding(
    NOTE,
    "byte_order_mark",
    "A byte order mark stands in front; some programs stumble over it.",
    "Save it as plain text without one.",
)


def _text(value: object) -> str:
    """A value of the settings, short and on one line; never one that may be a secret."""
    return str(value)[:80] if isinstance(value, str | int) else "?"
