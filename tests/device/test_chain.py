"""The certificates that go by on a runtime that looks at no date: each one's dates are held."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st
from support import handshake, pki
from support.pki import LATER, LONG_AGO, NOW

from firmshake_agent.chain import KEEP, Chain, validity
from firmshake_agent.der import BadDer
from firmshake_agent.x509 import Certificate

LATE = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


def broker(
    valid: tuple[datetime, datetime] | None = None, names: tuple[str, ...] = ("a.example",)
) -> bytes:
    made = handshake.fleet().authority.issue_broker(list(names), now=NOW, valid=valid)
    return der(made.certificate)


GOOD = [der(handshake.fleet().broker.certificate), der(handshake.fleet().authority.certificate)]
LONG = broker(names=tuple(f"host-{number}.example.com" for number in range(300)))


def message(parts: list[bytes]) -> bytes:
    """A Certificate message's body (RFC 5246, 7.4.2)."""
    listed = b"".join(len(part).to_bytes(3, "big") + part for part in parts)
    return len(listed).to_bytes(3, "big") + listed


def fed(data: bytes, size: int = 1 << 20) -> Chain:
    chain = Chain()
    for at in range(0, len(data), size):
        chain.feed(data, at, min(at + size, len(data)))
    return chain


def now() -> int:
    return int(NOW.timestamp())


@pytest.mark.parametrize("size", [1, 2, 3, 5, 17, 1024, 1 << 20])
def test_a_good_chain_cut_anywhere(size: int) -> None:
    chain = fed(message(GOOD), size)
    assert (chain.leaf, chain.top, chain.count) == (GOOD[0], GOOD[1], 2)
    assert chain.outside(now()) == ""
    leaf = Certificate(GOOD[0])
    assert (chain.not_before, chain.not_after) == (leaf.not_before, leaf.not_after)


@pytest.mark.parametrize(("valid", "cause"), [(LONG_AGO, "expired"), (LATER, "not_yet_valid")])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_bad_date_anywhere_is_enough(
    valid: tuple[datetime, datetime], cause: str, place: int
) -> None:
    parts = list(GOOD)
    parts.insert(place, broker(valid))
    assert fed(message(parts)).outside(now()) == cause
    assert fed(message(GOOD)).outside(now()) == ""


def test_the_very_second_counts() -> None:
    chain = fed(message(GOOD[:1]))
    assert chain.outside(chain.not_before) == ""
    assert chain.outside(chain.not_before - 1) == "not_yet_valid"
    assert chain.outside(chain.not_after) == ""
    assert chain.outside(chain.not_after + 1) == "expired"


def test_of_a_long_certificate_the_dates_are_read_and_the_beginning_is_kept() -> None:
    assert len(LONG) > 2 * KEEP
    chain = fed(message([LONG, GOOD[1]]))
    assert chain.leaf == LONG[:KEEP]
    assert chain.top == GOOD[1]
    assert chain.outside(now()) == ""
    assert chain.not_after == Certificate(LONG).not_after


@pytest.mark.parametrize(
    "body", [b"", message([]), message([GOOD[0], b"junk"]), message([b"", b""]), b"\xff" * 3000]
)
def test_what_cannot_be_read_is_refused(body: bytes) -> None:
    assert fed(body).outside(now()) == "malformed"


@given(st.binary(max_size=400), st.integers(1, 50))
def test_hostile_bytes_are_refused_or_read_and_never_raise(body: bytes, size: int) -> None:
    assert fed(body, size).outside(now()) in ("malformed", "expired", "not_yet_valid", "")


@given(st.integers(0, len(GOOD[0]) - 1), st.integers(0, 255))
def test_one_changed_byte_never_raises(at: int, byte: int) -> None:
    changed = GOOD[0][:at] + bytes([byte]) + GOOD[0][at + 1 :]
    fed(message([changed])).outside(now())


def test_memory_is_bounded_whatever_is_announced() -> None:
    chain = fed(b"\x00\x00\x00\xff\xff\xff" + bytes(1 << 20), 4096)
    chain_of_many = fed(message([GOOD[0]] * 500), 4096)
    for each in (chain, chain_of_many):
        assert len(pickle.dumps(each)) < 3 * KEEP + 1000


def test_the_dates_of_a_certificate_that_is_cut_behind_them() -> None:
    whole = Certificate(GOOD[0])
    for size in (KEEP, 400):
        assert validity(GOOD[0][:size]) == (whole.not_before, whole.not_after)
    with pytest.raises(BadDer):
        validity(GOOD[0][:60])


@given(st.binary(max_size=200))
def test_validity_of_any_bytes_is_read_or_refused(data: bytes) -> None:
    try:
        first, last = validity(data)
    except BadDer:
        return
    assert isinstance(first, int)
    assert isinstance(last, int)


def test_a_certificate_for_ever() -> None:
    assert fed(message([broker((pki.ALWAYS[0], LATE))])).outside(now()) == ""
