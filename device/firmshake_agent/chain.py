"""The certificates that a server shows, as they go by in TLS 1.2, and their dates. Does no I/O.

For a runtime that looks at no date (CircuitPython): however long the chain is, each certificate's
dates are seen, and two beginnings are kept. It is fed from inside mbedTLS, so it calls little.
"""

from . import der, x509
from .der import BadDer

KEEP = 2048  # of a certificate: its dates stand within the first few hundred bytes


class Chain:
    """What a server's Certificate message held.

    `leaf` and `top` are the beginnings of the first and the last certificate that went by, of
    `count`; all of them were valid together from `not_before` to `not_after`, in Unix seconds.
    """

    def __init__(self) -> None:
        self.leaf = b""
        self.top = b""
        self.count = 0
        self.not_before = 0
        self.not_after = None
        self._head = bytearray()
        self._left = 0  # of the certificate that is going by
        self._ahead = 3  # bytes of a length that are still to come: the list's, then each one's
        self._listed = False
        self._unread = False

    def feed(self, data: "bytes | memoryview", at: int, end: int) -> None:
        """The next bytes of the message's body: data[at:end]."""
        while at < end:
            if self._ahead:
                self._left = self._left << 8 | data[at]
                at += 1
                self._ahead -= 1
                if self._ahead == 0 and not (self._listed and self._left):
                    self._listed = True
                    self._left, self._ahead = 0, 3
                continue
            take = min(self._left, end - at)
            room = min(take, KEEP - len(self._head))
            if room > 0:
                self._head.extend(data[at : at + room])
            at += take
            self._left -= take
            if self._left == 0:
                self._ahead = 3
                self._whole()

    def _whole(self) -> None:
        self.top = bytes(self._head)
        self._head = bytearray()
        if not self.count:
            self.leaf = self.top
        self.count += 1
        try:
            first, last = validity(self.top)
        except BadDer:
            self._unread = True
            return
        self.not_before = max(self.not_before, first)
        self.not_after = last if self.not_after is None else min(self.not_after, last)

    def outside(self, now: int) -> str:
        """Why the dates forbid to go on (a cause of tls.server_certificate), "" where they do not.

        What cannot be read, or did not come, is refused too.
        """
        if self._unread or not self.count:
            return "malformed"
        if now < self.not_before:
            return "not_yet_valid"
        return "expired" if now > self.not_after else ""


def validity(data: bytes) -> "tuple[int, int]":
    """(not before, not after) in Unix seconds of a DER certificate whose end may be cut off.

    Raises BadDer.
    """
    at = _inside(data, _inside(data, 0))
    field = der.element(data, at, len(data))
    # [0] version where there is one, then serialNumber, signature, issuer, validity
    for _ in range(4 if field[0] == 0xA0 else 3):
        field = der.element(data, field[2], len(data))
    return x509.dates(data, field)


def _inside(data: bytes, at: int) -> int:
    """Where the value of a SEQUENCE begins that may be longer than data."""
    if len(data) < at + 2 or data[at] != der.SEQUENCE:
        raise BadDer("certificate")
    size = data[at + 1]
    return at + 2 + (size & 0x7F if size > 0x80 else 0)
