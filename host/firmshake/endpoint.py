"""Where a server is: HOST, HOST:PORT, [IPv6]:PORT. Does no I/O."""

from __future__ import annotations

import ipaddress
import re

from firmshake.errors import Error

# RFC 1123 section 2.1, with the underscore that private networks use; RFC 1035 section 2.3.4: 63
# characters a label, 253 in all
_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_LONGEST_NAME = 253


def parse_endpoint(text: str, default_port: int) -> tuple[str, int]:
    """Return host and port of `text`; an IPv6 address without its brackets.

    Raises Error, of usage, where `text` is neither a DNS name nor an address, or the port not one.
    """
    host, port = _split(text)
    if not is_host(host) or not (port is None or re.fullmatch(r"[0-9]{1,5}", port)):
        raise Error(
            f"{text!r} names no server",
            hint="give HOST, HOST:PORT or [IPV6]:PORT; a name in other letters in its xn-- form",
            status=2,
        )
    number = default_port if port is None else int(port)
    if not 1 <= number <= 65535:
        raise Error(f"{text!r} has no port from 1 to 65535", status=2)
    return host, number


def _split(text: str) -> tuple[str, str | None]:
    bracketed = re.fullmatch(r"\[([0-9A-Fa-f.]*:[0-9A-Fa-f:.]*)\](?::(.*))?", text)
    if bracketed:
        return bracketed[1], bracketed[2]
    if text.count(":") == 1:
        host, port = text.split(":")
        return host, port
    return text, None


def is_address(host: str) -> bool:
    """Return whether `host` is an IPv4 or IPv6 address, without a zone."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return "%" not in host


def is_host(host: str) -> bool:
    """Return whether `host` is a DNS name or an IP address, as a certificate may state it."""
    if is_address(host):
        return True
    labels = host.split(".")
    if len(host) > _LONGEST_NAME or not all(_LABEL.fullmatch(label) for label in labels):
        return False
    # four numbers that are no address are a slip of the keyboard, not a name (RFC 1123 section 2.1)
    return not labels[-1].isdigit()


def is_loopback(host: str) -> bool:
    """Return whether `host` is this computer and nothing that a board could reach."""
    return host == "localhost" or (is_address(host) and ipaddress.ip_address(host).is_loopback)
