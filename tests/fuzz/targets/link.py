"""The link under MiniMQTT: it follows the packets, however they are cut, and keeps the time."""

from __future__ import annotations

import errno

from firmshake_agent import link as module
from firmshake_agent.link import Ended, Link
from fuzz.wire import Wire

WORK = 40
HARD = (
    (b"\x01\x01\x20\x02\x00\x00", b"\x30\x03\x00\x01a"),
    (b"\x09\x01\x20\x02\x00\x00", b"\xd0\x00"),
)
_LIMIT_MS = 5000


def one(data: bytes) -> None:
    """Read to the end, by as many bytes as the second byte says: MiniMQTT mostly takes one."""
    line = Wire(data)
    size = max(1, line.body[0]) if line.body else 1
    line.body = line.body[1:]
    made = Link(line, line, line)
    made.settimeout(0.05)
    made.expect(_LIMIT_MS)
    got = 0
    try:
        while True:
            try:
                got += made.recv_into(bytearray(size), size)
            except OSError as error:
                assert error.errno == errno.ETIMEDOUT
            assert len(made.first) <= module.FIRST
            assert made._rest <= module.LONGEST, "a packet without end"
    except Ended:
        pass
    assert got <= len(line.body)
    assert line.body.startswith(made.first), "not what came first"
    assert line.time <= _LIMIT_MS + module.REST_MS + 100, "it goes on for ever"
    assert line.reads <= len(line.body) + _LIMIT_MS / 50 + 4
