"""The time that bytes take on a serial line: ten bits each, start and stop bit included."""

from __future__ import annotations

import asyncio

BITS_A_BYTE = 10
# Below this a sleep costs more than it is worth: the debt stays on the account
_SHORTEST_S = 0.0005
# How much travels before somebody sees it: small against what a person or a protocol waits for
_PIECE_S = 0.01
_LONGEST_PIECE = 4096
# Who comes so soon after a sleep was there before it: the line was never idle in between
_AT_ONCE_S = 0.0002


class Pace:
    """One direction of a line. `faster_than_life` sends everything at once, unless it is `slow`.

    `slow` is how many times longer than its bits a byte takes.
    """

    def __init__(self, faster_than_life: bool = False, slow: float = 1.0) -> None:
        self._at_once = faster_than_life and slow == 1
        self._slow = slow
        self._free = 0.0
        self._woke = 0.0

    def piece(self, baud: int) -> int:
        """How many bytes to pass on at a time."""
        if self._at_once:
            return _LONGEST_PIECE
        return max(1, min(int(baud * _PIECE_S / BITS_A_BYTE / self._slow), _LONGEST_PIECE))

    async def travel(self, count: int, baud: int) -> None:
        """Return when `count` bytes, after all before them, have arrived at the other end."""
        if self._at_once:
            await asyncio.sleep(0)
            return
        clock = asyncio.get_running_loop().time
        now = clock()
        # a sleep lasts a little too long; on a real line no bit waits for that
        start = self._free if now - self._woke < _AT_ONCE_S else max(now, self._free)
        self._free = start + count * BITS_A_BYTE * self._slow / baud
        if self._free - now > _SHORTEST_S:
            await asyncio.sleep(self._free - now)
            self._woke = clock()


def heard(data: bytes, sent_at: int, read_at: int) -> bytes:
    """What a UART makes of bytes: junk, if both ends differ in speed by more than 3 %."""
    if abs(sent_at - read_at) * 100 <= 3 * read_at:
        return data
    return data.translate(_JUNK)


# For each byte some other
_JUNK = bytes((byte * 167 + 13) % 256 for byte in range(256))
