"""What each board will use with a server, or why it cannot, in words. Does no I/O."""

from __future__ import annotations

from collections.abc import Iterator

from firmshake.serverview import suites
from firmshake.serverview.finding import ERROR, WARNING, Finding
from firmshake.serverview.firmwares import GROUPS
from firmshake.serverview.probe import VERSIONS, Choice, Offered
from firmshake.wording import ALERTS

_OLD = (0x0301, 0x0302)  # forbidden by RFC 8996


def sentence(choice: Choice, offered: Offered) -> str:
    """What the board will do: "TLS 1.2 ECDHE-ECDSA-AES256-GCM-SHA384", or what is in the way."""
    if choice.agreed:
        return f"will use {_agreed(choice)}"
    firmware = choice.firmware
    ours = VERSIONS[firmware.version]
    if offered.versions and firmware.version not in offered.versions:
        theirs = ", ".join(VERSIONS[version] for version in offered.versions)
        return f"cannot connect: the broker takes {theirs} and not {ours}"
    if offered.suites.get(firmware.version) and not common(choice, offered):
        return "cannot connect: no suite in common"
    if common(choice, offered):
        return "cannot connect: a suite in common, but no elliptic curve or signature"
    number = choice.answer.alert
    said = (
        "without a word" if number is None else f"with the alert {ALERTS.get(str(number), number)}"
    )
    return f"cannot connect: the broker refuses its hello {said}"


def common(choice: Choice, offered: Offered) -> tuple[int, ...]:
    """The suites that board and broker share, in the broker's order."""
    taken = offered.suites.get(choice.firmware.version, ())
    return tuple(suite for suite in taken if suite in choice.firmware.suites)


def findings(offered: Offered) -> Iterator[Finding]:
    """What is wrong with the versions and suites that the server takes."""
    refused: dict[tuple[str, str], list[str]] = {}
    for choice in offered.choices:
        if not choice.agreed:
            code = "protocol_version" if _no_version(choice, offered) else "no_shared_cipher"
            same = refused.setdefault((code, sentence(choice, offered)), [])
            same.append(choice.firmware.board)
    for (code, said), boards in refused.items():
        yield Finding(code, ERROR, f"{' and '.join(boards)} {said}.", _FIXES[code])
    old = [VERSIONS[version] for version in _OLD if version in offered.versions]
    if old:
        text = f"The broker still takes {' and '.join(reversed(old))}, which nobody should use."
        yield Finding("old_version", WARNING, text, "Allow TLS 1.2 and later only.")
    weak = {
        suites.name(one)
        for found in offered.suites.values()
        for one in found
        if suites.is_weak(one)
    }
    if weak:
        text = f"The broker takes suites that protect nothing: {', '.join(sorted(weak))}."
        yield Finding("weak_suite", WARNING, text, "Leave them out (mosquitto: ciphers).")


_FIXES = {
    "protocol_version": "Allow TLS 1.2 on the broker.",
    "no_shared_cipher": "Allow ECDHE-ECDSA-AES128-GCM-SHA256 or ECDHE-RSA-AES128-GCM-SHA256, and "
    "the curve P-256.",
}


def _no_version(choice: Choice, offered: Offered) -> bool:
    return bool(offered.versions) and choice.firmware.version not in offered.versions


def _agreed(choice: Choice) -> str:
    answer = choice.answer
    group = f" over {GROUPS.get(answer.group, hex(answer.group))}" if answer.group else ""
    return f"{VERSIONS[answer.version]} {suites.name(answer.suite)}{group}"
