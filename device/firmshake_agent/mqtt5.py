"""Asks a broker again with MQTT 5, whose reason codes say what 3.1.1's refusal leaves open."""

# Reason codes of CONNACK (MQTT 5, 3.2.2.2) by our cause; any other is `refused` with its number
_REASONS = {
    0x84: "protocol_version",
    0x85: "client_id",
    0x86: "bad_credentials",
    0x87: "not_authorized",
    0x88: "server_unavailable",
    0x89: "server_unavailable",  # server busy
    0x8A: "banned",
    0x97: "quota",
    0x9F: "quota",  # connection rate exceeded
}

# Refusals of 3.1.1 that may hide one of these
OPEN = ("closed", "refused", "server_unavailable", "not_authorized")


def packet(client_id: str) -> bytes:
    """CONNECT of MQTT 5: clean start, keepalive 30 s, no properties."""
    name = client_id.encode()
    body = b"\x00\x04MQTT\x05\x02\x00\x1e\x00" + bytes([len(name) >> 8, len(name) & 0xFF]) + name
    assert len(body) < 128  # a client id has at most 64 characters
    return b"\x10" + bytes([len(body)]) + body


def ask(stream: object, tap: object, client_id: str, limit_ms: int) -> "int | None":
    """The reason code of the broker's CONNACK, or None where it does not answer with one."""
    buf = bytearray(4)
    view = memoryview(buf)
    got = 0
    tap.quiet = True
    tap.deadline(limit_ms)
    try:
        stream.write(packet(client_id))
        while got < 4:
            count = stream.readinto(view[got:])
            if count:
                got += count
            elif count == 0 or tap.ended or tap.left() == 0:
                return None
        if buf[3] == 0:
            stream.write(b"\xe0\x00")  # DISCONNECT: we only wanted to ask
    except OSError:
        return None
    return buf[3] if buf[0] == 0x20 else None


def cause(code: int) -> "str | None":
    """Our cause for a reason code, `refused` for those that have none, None where it accepts."""
    if code < 0x80:
        return None
    return _REASONS.get(code, "refused")
