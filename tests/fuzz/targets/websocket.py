"""The WebSocket: the answer to the Upgrade, then frames."""

from __future__ import annotations

from types import SimpleNamespace

from firmshake_agent import causes, websocket
from firmshake_agent.failure import Failure, verdict
from fuzz.wire import Wire

WORK = 60
# the answer to a key made of the wire's numbers
_OPEN = (
    b"\x00HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Protocol: mqtt\r\n"
    b"Sec-WebSocket-Accept: CdXSYUsvsaMthlEXWDNURGWA/1o=\r\n\r\n"
)
HARD = (
    (_OPEN, b"\x89\x00"),
    (_OPEN, b"\x82\x01a"),
    (_OPEN, b"\x82\x00"),
    (_OPEN + b"\x82\x7e\xff\xff", b"a"),
    (b"\x01HTTP/1.1 101 ", b"a:b\r\n"),
)
_LIMIT_MS = 5000


def one(data: bytes) -> None:
    """Upgrade, and read to the end."""
    line = Wire(data)
    identity = SimpleNamespace(path="/mqtt", server_name="broker.example", limit_ms=_LIMIT_MS)
    channel = SimpleNamespace(stream=line, tap=line)
    try:
        made = websocket.upgrade(line, channel, identity)
    except Failure as failure:
        assert causes.lookup(verdict(failure.stage, failure.step, failure.cause)) is not None
    else:
        _read(made, line)
    assert line.reads <= len(line.body) + 8, "it goes on for ever"


def _read(made: websocket.WebSocket, line: Wire) -> None:
    got = turns = 0
    buf = bytearray(50)
    while turns <= len(line.body) + 8:
        turns += 1
        try:
            count = made.readinto(buf)
        except OSError:
            return
        assert len(made._head) <= 10
        assert len(made._control) <= 125, "a control frame without end"
        if count == 0 or (count is None and line.left() == 0):
            return
        got += count or 0
        assert got <= len(line.body)
    raise AssertionError("it neither reads nor ends")
