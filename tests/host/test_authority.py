"""The private CA, judged by the reader and the verifier of `cryptography`."""

import ipaddress
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from firmshake.ca import authority, certificate, profiles
from firmshake.ca.authority import Authority, Root
from firmshake.errors import Error

NOW = datetime(2026, 5, 4, 3, 2, 1, 987654, tzinfo=UTC)
ROOT, ISSUING = authority.create("greenhouse", now=NOW)
OTHER_ROOT, OTHER = authority.create("greenhouse", now=NOW)
HOUR = timedelta(hours=1)
T = TypeVar("T", bound=x509.ExtensionType)


def _extension(made: x509.Certificate, kind: type[T]) -> T:
    return made.extensions.get_extension_for_class(kind).value


def _store(root: Root) -> Store:
    return Store([root.certificate])


def _is_critical(made: x509.Certificate, kind: type[x509.ExtensionType]) -> bool:
    return made.extensions.get_extension_for_class(kind).critical


def test_a_device_passes_as_a_client_under_its_own_root_and_under_no_other() -> None:
    device = ISSUING.issue("pump-1", now=NOW)
    policy = PolicyBuilder().time(NOW + HOUR)
    chain = list(device.chain)
    verified = policy.store(_store(ROOT)).build_client_verifier().verify(device.certificate, chain)
    assert verified.chain == [device.certificate, *device.chain, *device.anchors]
    other = policy.store(_store(OTHER_ROOT)).build_client_verifier()
    with pytest.raises(VerificationError):
        other.verify(device.certificate, chain)


def test_a_broker_passes_as_a_server_by_each_of_its_names_and_by_no_other() -> None:
    broker = ISSUING.issue_broker(["mqtt.example", "192.0.2.7", "2001:db8::1"], now=NOW)
    policy = PolicyBuilder().time(NOW + HOUR).store(_store(ROOT))
    names: list[x509.DNSName | x509.IPAddress] = [
        x509.DNSName("mqtt.example"),
        x509.IPAddress(ipaddress.ip_address("192.0.2.7")),
        x509.IPAddress(ipaddress.ip_address("2001:db8::1")),
    ]
    for name in names:
        policy.build_server_verifier(name).verify(broker.certificate, list(broker.chain))
    other = policy.build_server_verifier(x509.DNSName("other.example"))
    with pytest.raises(VerificationError):
        other.verify(broker.certificate, list(broker.chain))


def test_a_broker_is_no_client_and_a_device_no_server() -> None:
    broker, device = ISSUING.issue_broker(["a.example"], now=NOW), ISSUING.issue("a", now=NOW)
    usages = [_extension(made.certificate, x509.ExtendedKeyUsage) for made in (broker, device)]
    assert [list(u) for u in usages] == [
        [ExtendedKeyUsageOID.SERVER_AUTH],
        [ExtendedKeyUsageOID.CLIENT_AUTH],
    ]
    verifier = PolicyBuilder().time(NOW + HOUR).store(_store(ROOT)).build_client_verifier()
    verifier.verify(device.certificate, list(device.chain))
    with pytest.raises(VerificationError):
        verifier.verify(broker.certificate, list(broker.chain))


def test_a_device_carries_its_id_as_common_name_and_as_uri() -> None:
    made = ISSUING.issue("pump-1", now=NOW).certificate
    assert certificate.subject(made) == "pump-1"
    names = _extension(made, x509.SubjectAlternativeName)
    assert list(names) == [x509.UniformResourceIdentifier("urn:firmshake:device:pump-1")]


def test_the_cas_allow_one_intermediate_and_sign_certificates_and_crls_only() -> None:
    for made, length in ((ROOT.certificate, 1), (ISSUING.certificate, 0)):
        constraints = _extension(made, x509.BasicConstraints)
        assert (constraints.ca, constraints.path_length) == (True, length)
        usage = _extension(made, x509.KeyUsage)
        assert usage.key_cert_sign
        assert usage.crl_sign
        assert not usage.digital_signature


def test_constraints_and_key_usage_are_critical_and_the_rest_is_not() -> None:
    device, broker = ISSUING.issue("a", now=NOW), ISSUING.issue_broker(["b"], now=NOW)
    for made in (ROOT, ISSUING, device, broker):
        assert _is_critical(made.certificate, x509.BasicConstraints)
        assert _is_critical(made.certificate, x509.KeyUsage)
        assert not _is_critical(made.certificate, x509.SubjectKeyIdentifier)
    for leaf in (device, broker):
        assert not _is_critical(leaf.certificate, x509.ExtendedKeyUsage)
        assert not _is_critical(leaf.certificate, x509.SubjectAlternativeName)
        assert not _is_critical(leaf.certificate, x509.AuthorityKeyIdentifier)
        assert not _extension(leaf.certificate, x509.BasicConstraints).ca


def test_each_names_its_issuers_key() -> None:
    device = ISSUING.issue("a", now=NOW)
    for made, issuer in ((device, ISSUING), (ISSUING, ROOT)):
        named = _extension(made.certificate, x509.AuthorityKeyIdentifier).key_identifier
        assert named == _extension(issuer.certificate, x509.SubjectKeyIdentifier).digest


def test_serial_numbers_are_random_positive_and_of_20_octets_at_most() -> None:
    key = ISSUING.issue("a", now=NOW).key
    serials = [ISSUING.issue("a", now=NOW, key=key).certificate.serial_number for _ in range(200)]
    assert len(set(serials)) == len(serials)
    assert all(0 < s < 2**159 for s in serials)  # the top bit is the sign
    # with 128 random bits or more, one of 200 that is shorter than 120 bits is out of the question
    assert all(s.bit_length() > 120 for s in serials)


def test_dates_are_backdated_by_the_profile_and_of_whole_seconds() -> None:
    later = NOW + timedelta(days=10)
    made = ISSUING.issue("a", now=later).certificate
    usual = profiles.load().device
    second = later.replace(microsecond=0)
    assert made.not_valid_before_utc == second - usual.backdate
    assert made.not_valid_after_utc == second + usual.validity


@pytest.mark.parametrize("days", [0, 365 * 6, 365 * 14])
def test_no_certificate_outlives_or_precedes_its_issuer(days: int) -> None:
    made = ISSUING.issue("a", now=NOW + timedelta(days=days))
    for inner, outer in ((made, ISSUING), (ISSUING, ROOT)):
        assert inner.certificate.not_valid_before_utc >= outer.certificate.not_valid_before_utc
        assert inner.certificate.not_valid_after_utc <= outer.certificate.not_valid_after_utc


def test_a_device_may_have_a_profile_of_its_own() -> None:
    more = "\n[profile.short]\nvalidity_days = 90\nkey = 'rsa-2048'\n"
    issuing = authority.create("g", now=NOW, using=profiles.parse(profiles.text() + more))[1]
    usual, short = issuing.issue("a", now=NOW), issuing.issue("a", now=NOW, profile="short")
    assert isinstance(short.key, rsa.RSAPrivateKey)
    assert issuing.device_profile("short").key == "rsa-2048"
    signed = issuing.certify("a", usual.key.public_key(), now=NOW, profile="short")
    for made, days in ((usual.certificate, 3652), (short.certificate, 90), (signed, 90)):
        life = made.not_valid_after_utc - NOW.replace(microsecond=0)
        assert life == timedelta(days=days)
    with pytest.raises(Error, match="'shirt'"):
        issuing.issue("a", now=NOW, profile="shirt")
    with pytest.raises(Error, match="'short'"):
        ISSUING.certify("a", usual.key.public_key(), now=NOW, profile="short")


def test_a_clock_before_the_ca_or_after_it_issues_nothing() -> None:
    assert ISSUING.issue("a", now=NOW)
    with pytest.raises(Error, match="valid from") as early:
        ISSUING.issue("a", now=NOW - 2 * HOUR)
    assert early.value.hint == "set this computer's clock"
    with pytest.raises(Error, match="expired on"):
        ISSUING.issue("a", now=NOW + timedelta(days=365 * 16))
    with pytest.raises(Error, match="expired on"):
        ROOT.issue_authority("greenhouse", now=NOW + timedelta(days=365 * 21))


def test_given_dates_make_a_broker_certificate_that_has_expired() -> None:
    yesterday = (NOW - timedelta(days=2), NOW - timedelta(days=1))
    expired = ISSUING.issue_broker(["a.example"], now=NOW, valid=yesterday)
    fresh = ISSUING.issue_broker(["a.example"], now=NOW, key=expired.key)
    verifier = (
        PolicyBuilder()
        .time(NOW)
        .store(_store(ROOT))
        .build_server_verifier(x509.DNSName("a.example"))
    )
    verifier.verify(fresh.certificate, list(fresh.chain))
    with pytest.raises(VerificationError):
        verifier.verify(expired.certificate, list(expired.chain))


def test_the_key_is_sec1_der_and_the_chain_is_the_leaf_and_then_the_intermediate() -> None:
    made = ISSUING.issue("a", now=NOW)
    key = serialization.load_der_private_key(made.key_der(), None)
    assert key.public_key() == made.certificate.public_key()
    # RFC 5915: SEQUENCE, version 1, then the key's octets; PKCS#8 has version 0 there
    assert made.key_der()[2:5] == b"\x02\x01\x01"
    leaf, above = (
        c.public_bytes(serialization.Encoding.DER) for c in (made.certificate, *made.chain)
    )
    assert made.chain_der() == leaf + above
    assert made.anchors_der() == ROOT.certificate.public_bytes(serialization.Encoding.DER)
    pem = x509.load_pem_x509_certificates(made.chain_pem() + made.anchors_pem())
    assert pem == [made.certificate, *made.chain, *made.anchors]


def test_no_key_shows_in_a_representation() -> None:
    assert "PrivateKey" not in repr(ISSUING.issue("a", now=NOW))
    assert "PrivateKey" not in repr(ISSUING)
    assert "PrivateKey" not in repr(ROOT)


def test_two_cas_of_one_name_are_told_apart_by_theirs() -> None:
    names = {certificate.subject(ca.certificate) for ca in (ROOT, ISSUING, OTHER_ROOT, OTHER)}
    assert len(names) == 4
    assert all(name.startswith("greenhouse ") for name in names)


def test_key_certificate_and_root_that_do_not_belong_together_are_refused() -> None:
    assert Authority(ISSUING.key, ISSUING.certificate, ROOT.certificate)
    with pytest.raises(Error, match="private key"):
        Authority(ROOT.key, ISSUING.certificate, ROOT.certificate)
    with pytest.raises(Error, match="was not issued by"):
        Authority(ISSUING.key, ISSUING.certificate, OTHER_ROOT.certificate)
    device = ISSUING.issue("a", now=NOW)
    with pytest.raises(Error, match="not the certificate of a CA"):
        Authority(device.key, device.certificate, ROOT.certificate)


@pytest.mark.parametrize("name", ["", "a b", "*.a.example", "a/b", "bücher.example"])
def test_what_is_no_name_of_a_server_gets_no_broker_certificate(name: str) -> None:
    with pytest.raises(Error):
        ISSUING.issue_broker(["good.example", name], now=NOW)


def test_a_broker_name_too_long_for_a_common_name_is_an_alternative_name_all_the_same() -> None:
    name = ".".join(["a" * 60] * 3)
    made = ISSUING.issue_broker([name], now=NOW).certificate
    assert list(_extension(made, x509.SubjectAlternativeName)) == [x509.DNSName(name)]
