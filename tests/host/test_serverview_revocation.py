"""CRLs, and the client's own key and certificate."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st
from support.chains import DAY, Made, crl, make
from support.pki import NOW

from firmshake.errors import Error
from firmshake.serverview import credentials, revocation
from firmshake.serverview.revocation import Revocation

ROOT = make("root", ca=True)
LEAF = make("broker.lab", ROOT, names=["broker.lab"])
CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH


def judged(listed: x509.CertificateRevocationList, *issuers: Made) -> Revocation:
    known = [one.certificate for one in issuers or (ROOT,)]
    return revocation.assess(listed, {"broker": LEAF.certificate}, known, NOW)


def codes(found: Revocation) -> list[str]:
    return [one.code for one in found.findings]


def test_a_crl_that_is_in_order_and_names_nobody() -> None:
    found = judged(crl(ROOT, 4711))
    assert (found.signed, found.entries, found.revoked, codes(found)) == (True, 1, {}, [])


def test_a_revoked_certificate_is_named_with_date_and_reason() -> None:
    found = judged(crl(ROOT, LEAF.certificate.serial_number))
    assert codes(found) == ["revoked"]
    assert "keyCompromise" in found.revoked["broker"]


def test_the_same_number_of_another_issuer_is_another_certificate() -> None:
    other = make("other", ca=True)
    assert codes(judged(crl(other, LEAF.certificate.serial_number), other)) == []


def test_a_crl_out_of_its_time() -> None:
    assert codes(judged(crl(ROOT, starts=NOW - 9 * DAY, ends=NOW - DAY))) == ["crl_expired"]
    assert codes(judged(crl(ROOT, starts=NOW + DAY))) == ["crl_not_yet_valid"]


def test_a_crl_whose_signature_is_wrong_or_cannot_be_checked() -> None:
    other = make("other", ca=True)
    assert judged(crl(ROOT, signer=other.key)).signed is False
    assert judged(crl(other)).signed is None
    assert codes(judged(crl(ROOT, signer=other.key))) == ["crl_forged"]


@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
def test_both_encodings_are_read(encoding: Encoding) -> None:
    listed = crl(ROOT, 1, 2)
    assert len(revocation.load(listed.public_bytes(encoding), "x")) == 2


@given(st.binary(max_size=300) | st.just(b"-----BEGIN X509 CRL-----\nAA=="))
def test_what_is_no_crl_is_refused_in_words(data: bytes) -> None:
    with pytest.raises(Error, match=r"list\.crl is no CRL"):
        revocation.load(data, "list.crl")


# the client's own


def key_der(made: Made) -> bytes:
    return made.key.private_bytes(
        Encoding.DER,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )


def own(made: Made, key: bytes | None = None) -> credentials.Credentials:
    files = {"cert.der": made.der, "key.der": key_der(made) if key is None else key}
    return credentials.assess(files, NOW)


def test_key_and_certificate_that_match() -> None:
    found = own(make("d-1", ROOT, usage=CLIENT))
    assert (found.match, found.findings) == (True, ())


def test_a_key_of_another_certificate() -> None:
    found = own(make("d-1", ROOT, usage=CLIENT), key_der(make("d-2", ROOT)))
    assert (found.match, found.usable) == (False, False)
    assert [one.code for one in found.findings] == ["key_mismatch"]


def test_what_cannot_be_read() -> None:
    good = make("d-1", ROOT, usage=CLIENT)
    assert [one.code for one in own(good, b"junk").findings] == ["bad_key"]
    spoilt = credentials.assess({"cert.der": b"junk", "key.der": key_der(good)}, NOW)
    assert [one.code for one in spoilt.findings] == ["bad_certificate"]
    assert spoilt.match is None


def test_its_dates_and_usage() -> None:
    def of(starts: int, ends: int) -> list[str]:
        valid = (NOW + starts * DAY, NOW + ends * DAY)
        return [one.code for one in own(make("d", ROOT, usage=CLIENT, valid=valid)).findings]

    assert (of(-90, -1), of(1, 9), of(-90, 5)) == (["expired"], ["not_yet_valid"], ["expires_soon"])
    assert [one.code for one in own(make("d", ROOT)).findings] == ["wrong_usage"]


def test_a_key_is_never_shown() -> None:
    made = make("d-1", ROOT, key=ec.generate_private_key(ec.SECP256R1()))
    assert key_der(made).hex() not in repr(own(made))
