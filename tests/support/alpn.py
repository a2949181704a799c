"""A server that answers any ClientHello with the alert no_application_protocol (RFC 7301, 3.2)."""

from __future__ import annotations

import contextlib

from support import servers


def refusing_server() -> contextlib.AbstractContextManager[int]:
    """Its port."""
    return servers.tcp(servers.answer(b"\x15\x03\x03\x00\x02\x02\x78"))
