"""The probe that asks a broker with MQTT 5."""

from __future__ import annotations

from firmshake_agent import mqtt5
from fuzz.wire import Wire

WORK = 40
HARD = ((b"\x01", b"\x20\x02\x00"),)


def one(data: bytes) -> None:
    """Ask a broker that answers with these bytes."""
    line = Wire(data)
    code = mqtt5.ask(line, line, "esp32-aabbcc", 1000)
    assert line.reads <= 5, "a CONNACK's first bytes are all that is wanted"
    assert code is None or 0 <= code <= 255
    if code is not None:
        assert line.body[:1] == b"\x20", "no CONNACK"
        mqtt5.cause(code)
