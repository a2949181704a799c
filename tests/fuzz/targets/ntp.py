"""The reader of a time server's answer."""

from __future__ import annotations

from firmshake_agent import clock, x509

WORK = 10
HARD = ((b"\x24\x02", b"\x01"),)


def one(data: bytes) -> None:
    """Read it: a time from 1968 to 2104, or none."""
    seconds = clock.read_answer(data)
    if seconds is not None:
        assert len(data) >= 48
        assert abs(seconds) < 1 << 32
        assert x509.date(seconds).endswith("Z")
