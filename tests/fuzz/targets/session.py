"""MiniMQTT over the link, as a session: whatever a broker sends, it ends as a Failure of ours."""

from __future__ import annotations

from types import SimpleNamespace

from firmshake_agent import causes, mqtt
from firmshake_agent import link as module
from firmshake_agent.failure import Failure, verdict
from firmshake_agent.observer import Observer
from fuzz.wire import READ_MS, Wire

WORK = 400
HARD = (
    (b"\x00\x20\x02\x00\x00", b"\x30\x04\x00\x01ab"),
    (b"\x00\x20\x02\x00\x00\x90\x03\x00\x01\x00\x30\x09\x00\x01a070707", b"\x30\x04\x00\x01ab"),
    (b"\x00\x20\x02\x00\x00\x90\x03\x00\x01\x00\x30\x09\x00\x01a070707", b"\xd0\x00"),
)
DEVICE = "esp32-aabbcc"
TOPIC = f"devices/{DEVICE}/echo"
TOKEN = "070707"  # what the wire's random numbers make
KEEPALIVE_S = 60
LIMIT_MS = 5000
# how long a stage may take, with a packet that has begun; the ready stage has no end of its own
_STAGE_MS = LIMIT_MS + module.REST_MS + 200
_END_MS = 3 * 1000 * KEEPALIVE_S


def one(data: bytes) -> None:
    """Connect, subscribe and hold. The broker's bytes are all there is: nobody answers."""
    line = Wire(data)
    before = mqtt.minimqtt.ticks_ms
    mqtt.minimqtt.ticks_ms = line.ticks  # else it spends real time in silence
    try:
        _climb(line)
    finally:
        mqtt.minimqtt.ticks_ms = before


def _climb(line: Wire) -> None:
    seen = Observer()
    seen.version = 0x0303
    channel = SimpleNamespace(stream=line, tap=line, seen=seen)
    identity = SimpleNamespace(
        host="broker.example", port=8883, device=DEVICE, keepalive=KEEPALIVE_S, limit_ms=LIMIT_MS
    )
    session = mqtt.Session(line, identity, None, channel)
    longest = {
        "mqtt": _STAGE_MS,
        "subscribe": _STAGE_MS,
        "ready": _END_MS + READ_MS * len(line.body),
    }
    for stage, call in (
        ("mqtt", session.connect),
        ("subscribe", session.subscribe),
        ("ready", session.hold),
    ):
        began = line.time
        try:
            call()
        except Failure as failure:
            name = verdict(failure.stage, failure.step, failure.cause)
            assert failure.stage == stage
            assert causes.lookup(name) is not None, f"nobody can explain {name}"
            break
        finally:
            assert line.largest <= module.LONGEST, "memory for what was only announced"
            assert line.time - began <= longest[stage], "it goes on for ever"
    session.leave()
