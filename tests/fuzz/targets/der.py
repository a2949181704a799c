"""The DER walker: elements lie inside their bounds, and hold what was there."""

from __future__ import annotations

from contextlib import suppress

from firmshake_agent import der
from firmshake_agent.der import BadDer

WORK = 20
HARD = ((b"", b"\x30\x00"), (b"\x30\x82\x20\x00", b"\x30\x80"), (b"", b"\x02\x01\x00"))


def one(data: bytes) -> None:
    """Walk the bytes in each way."""
    try:
        parts = der.split(data)
    except BadDer:
        parts = []
    assert not parts or b"".join(parts) == data, "bytes were lost"
    with suppress(BadDer):
        plain = der.unarmoured(data, b"CERTIFICATE")
        assert len(plain) <= len(data)
    try:
        found = der.children(data, 0, len(data))
    except BadDer:
        return
    assert len(found) <= der.MOST, "as many elements as a sender likes"
    at = 0
    for _, start, end in found:
        assert at < start <= end <= len(data), "out of bounds"
        at = end
    assert at == len(data), "bytes were left out"
