"""What a board holds may be anything: a certificate of ours, a damaged one, or a stranger's."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from firmshake.ways import present
from firmshake.ways.way import Held

KEY = ec.generate_private_key(ec.SECP256R1())
NAME = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "shed")])
GOOD = x509.CertificateBuilder(
    NAME,
    NAME,
    KEY.public_key(),
    0x1122334455667788,
    datetime(2026, 1, 1, tzinfo=UTC),
    datetime(2027, 1, 1, tzinfo=UTC),
).sign(KEY, hashes.SHA256())
DER = GOOD.public_bytes(Encoding.DER)


def held(certificates: bytes) -> list[x509.Certificate]:
    return present.chain(Held({}, certificates, None), {})


@pytest.mark.parametrize("form", [Encoding.DER, Encoding.PEM])
def test_the_certificates_of_a_board_are_found_in_both_forms(form: Encoding) -> None:
    assert held(GOOD.public_bytes(form)) == [GOOD]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("a003020102", "a003020107"),  # the version
        ("02081122334455667788", "02088122334455667788"),  # a negative serial number: a warning
    ],
)
def test_a_damaged_certificate_is_none(old: str, new: str) -> None:
    damaged = bytes.fromhex(DER.hex().replace(old, new))
    assert damaged != DER
    assert held(damaged) == []


def test_what_is_too_long_for_a_chain_is_none() -> None:
    pem = GOOD.public_bytes(Encoding.PEM)
    assert len(held(pem * 2)) == 2
    assert held(pem * 200) == []


@given(st.integers(0, len(DER) - 1), st.integers(1, 255))
def test_a_certificate_with_a_wrong_byte_is_one_or_none(at: int, change: int) -> None:
    damaged = bytearray(DER)
    damaged[at] ^= change
    assert len(held(bytes(damaged))) <= 1
