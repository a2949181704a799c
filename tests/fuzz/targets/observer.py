"""The TLS observer, and what is made of its evidence.

The data is pieces: a byte whose lowest bit is the direction, two of length, and the piece.
"""

from __future__ import annotations

from collections.abc import Iterator

from firmshake_agent import causes, chain, tls, tlscause, x509
from firmshake_agent import observer as watch
from firmshake_agent.failure import verdict
from firmshake_agent.observer import Observer
from fuzz import wire

WORK = 200
HARD = (
    (b"\x01\x20\x00", b"\x16\x03\x03\x00\x04\x02\x00\x00\x00"),  # a message of nothing in each
    (b"\x01\x20\x00\x16\x03\x03\x1f\x00", b"\x0e\x00\x00\x00"),
    (b"\x01\x20\x00", b"\x16\x03\x03\x00\x00"),
    (b"\x01\x20\x00\x16\x03\x03\x1f\x00\x02\x00\x1e\x00\x03\x03", b"\x00"),
    (b"", b"\x00\x00\x01\x17\x01\x00\x01\x16"),
)

Piece = tuple[bool, bytes]
WORDS = ((), ("eof",), ("reset",), ("timeout",), ("alert",), ("unknown_ca",), ("malformed", "eof"))
_KNOWN: dict[str, bool] = {}
_DATES = {"", "malformed", "not_yet_valid", "expired"}


def pieces(data: bytes) -> Iterator[Piece]:
    """The pieces that the data describes."""
    while len(data) > 3:
        size = data[1] << 8 | data[2]
        yield bool(data[0] & 1), data[3 : 3 + size]
        data = data[3 + size :]


def pack(sent: Iterator[Piece] | tuple[Piece, ...]) -> bytes:
    """The data that describes the pieces."""
    parts = ((from_server, part) for from_server, data in sent for part in wire.cut(data, 0xFFFF))
    return b"".join(
        bytes([from_server]) + len(part).to_bytes(2, "big") + part for from_server, part in parts
    )


def one(data: bytes) -> None:
    """Watch the pieces as they are, and in small parts: it makes no difference."""
    whole, bytewise = Observer(), Observer(True)
    whole.chain, bytewise.chain = chain.Chain(), chain.Chain()
    for from_server, piece in pieces(data):
        (whole.received if from_server else whole.sent)(memoryview(piece))
        for byte in wire.cut(piece, wire.small(data)):
            (bytewise.received if from_server else bytewise.sent)(byte)
        assert _kept(bytewise) <= 2 * (watch.KEEP_CERTIFICATE + 16), "it keeps what it is sent"
    mine, other = _record(whole), _record(bytewise)
    assert other.pop("certificate") is not None
    assert mine.pop("certificate") == b""
    assert mine == other, "the cut makes a difference"
    for seen in (whole, bytewise):
        _judge(seen)


def _kept(seen: Observer) -> int:
    """How many bytes it keeps of records and messages."""
    ways = (seen._in, seen._out)
    kept = sum(len(way.head) + len(way.message) for way in ways)
    return kept + len(seen.chain._head)


def _record(seen: Observer) -> dict[str, object]:
    assert len(seen.messages) <= 32
    assert len(seen.first) <= watch.FIRST
    assert len(seen.after_flight) <= watch.SIZES
    assert len(seen.certificate) <= watch.KEEP_CERTIFICATE
    watch.version_name(seen.version)
    return _public(seen) | {"chain": _chain(seen.chain)}


def _chain(shown: chain.Chain) -> dict[str, object]:
    assert len(shown.leaf) <= chain.KEEP
    assert len(shown.top) <= chain.KEEP
    for when in (shown.not_before, shown.not_after):
        assert when is None or x509.date(when).endswith("Z")
    assert {shown.outside(when) for when in (0, 1 << 31)} <= _DATES
    return _public(shown)


def _public(value: object) -> dict[str, object]:
    return {key: part for key, part in vars(value).items() if not key.startswith("_")}


def _judge(seen: Observer) -> None:
    for words in WORDS:
        for shows in (False, True):
            where, cause = tlscause.judge(seen, words, shows)
            name = verdict("tls", where, cause)
            if name not in _KNOWN:
                _KNOWN[name] = causes.lookup(name) is not None
            assert _KNOWN[name], f"nobody can explain {name}"
    for certificate in tlscause.certificates(seen.certificate):
        tls.read(certificate)
