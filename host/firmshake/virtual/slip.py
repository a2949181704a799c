"""SLIP frames (RFC 1055), as the ESP32's bootloader speaks them on its serial line.

Does no I/O: bytes in, whole frames out. Rules that hold here: what comes before the first END is
noise; every END closes a frame and opens the next, so that a lost one costs one frame and not the
rest; an empty frame is no frame; one with an escape that RFC 1055 does not know, or longer than
`LONGEST`, is dropped whole.
"""

from __future__ import annotations

END = b"\xc0"
ESC = b"\xdb"
ESC_END = 0xDC
ESC_ESC = 0xDD

# The largest that the bootloader takes is a block of 16 KiB and its header, every byte escaped
LONGEST = 0x9000

_UNESCAPED = {ESC_END: END, ESC_ESC: ESC}


def frame(payload: bytes) -> bytes:
    """The frame that carries `payload`, with an END at both ends."""
    escaped = payload.replace(ESC, b"\xdb\xdd").replace(END, b"\xdb\xdc")
    return END + escaped + END


class SlipReader:
    """Cuts a stream of bytes, arriving in pieces of any size, into the payloads of its frames."""

    def __init__(self) -> None:
        self._open: bytearray | None = None

    def feed(self, data: bytes) -> list[bytes]:
        """The payloads that `data` completes, in order; empty where none is complete yet."""
        done: list[bytes] = []
        before, *after = data.split(END)
        self._append(before)
        for part in after:
            payload = self._close()
            if payload:
                done.append(payload)
            self._open = bytearray()
            self._append(part)
        return done

    def _append(self, part: bytes) -> None:
        if self._open is None:
            return
        self._open += part
        if len(self._open) > LONGEST:
            self._open = None

    def _close(self) -> bytes | None:
        return None if self._open is None else _unescape(bytes(self._open))


def _unescape(escaped: bytes) -> bytes | None:
    first, *rest = escaped.split(ESC)
    plain = bytearray(first)
    for part in rest:
        if part[:1] == b"" or part[0] not in _UNESCAPED:
            return None
        plain += _UNESCAPED[part[0]] + part[1:]
    return bytes(plain)
