"""Every certificate and CRL that we issue, before a linter and three verifiers of others.

The negative controls are those same chains, broken in one thing each: all three refuse them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtensionOID
from support import broken, linter, verifiers
from support.broken import BREAKINGS, Good
from support.pki import DEVICE, NOW
from support.verifiers import VERIFIERS

from firmshake.ca import authority, crlfile, profiles
from firmshake.ca.authority import Authority, Root
from firmshake.ca.certificate import Issuer
from firmshake.ca.crl import REASONS, Revoked
from firmshake.ca.identity import Identity
from firmshake.ca.profiles import Profiles
from firmshake.errors import Error

NAME = "broker.example.com"
NAMES = (NAME, "localhost", "192.0.2.7", "2001:db8::7")
LIST_DAYS = 30

# (of the CAs, of broker and device): each type as each, and those that are used without EC
KEYS = (
    ("ec-p256", "ec-p256"),
    ("ec-p384", "ec-p256"),
    ("rsa-2048", "ec-p256"),
    ("rsa-3072", "ec-p256"),
    ("rsa-4096", "ec-p256"),
    ("ec-p256", "ec-p384"),
    ("ec-p256", "rsa-2048"),
    ("ec-p256", "rsa-3072"),
    ("ec-p256", "rsa-4096"),
    ("ec-p384", "ec-p384"),
    ("rsa-2048", "rsa-2048"),
    ("rsa-4096", "rsa-2048"),
)
CA_KEYS = tuple(dict.fromkeys(ca for ca, _ in KEYS))

EVERY_KEY = pytest.mark.parametrize(("ca", "leaf"), KEYS)
EVERY_CA_KEY = pytest.mark.parametrize("ca", CA_KEYS)
EVERY_VERIFIER = pytest.mark.parametrize("verifier", VERIFIERS)


@dataclass(frozen=True)
class Pki:
    """All that the product issues."""

    root: Root
    authority: Authority
    broker: Identity
    device: Identity

    def certificates(self) -> dict[str, x509.Certificate]:
        """One of each kind."""
        return {
            "root": self.root.certificate,
            "intermediate": self.authority.certificate,
            "broker": self.broker.certificate,
            "device": self.device.certificate,
        }

    def good(self, server: bool) -> Good:
        """What a negative control starts from."""
        return Good(self.root, self.authority, self.broker if server else self.device)


@functools.cache
def pki(ca: str = "ec-p256", leaf: str = "ec-p256") -> Pki:
    every = profiles.load()
    return issued(
        Profiles(
            root=replace(every.root, key=ca),
            intermediate=replace(every.intermediate, key=ca),
            broker=replace(every.broker, key=leaf),
            device=replace(every.device, key=leaf),
        ),
        NAMES,
    )


def issued(using: Profiles, names: Sequence[str]) -> Pki:
    # older than any date that a control is given, so that the CAs are never what has expired
    root, issuing = authority.create("test", now=NOW - timedelta(days=1000), using=using)
    return Pki(
        root,
        issuing,
        issuing.issue_broker(names, now=NOW),
        issuing.issue(DEVICE, now=NOW),
    )


# the linter

_URI, _DOMAIN = "pkix.invalid_uri_syntax", "pkix.invalid_domain_name_syntax"

# What pkilint objects to in what we issue, and why it stays: kind, (code, message), reason
STAYS: dict[str, dict[tuple[str, str], str]] = {
    "root": {},
    "intermediate": {},
    "broker": {
        (_DOMAIN, 'Invalid domain name syntax: "localhost"'): (
            "it wants a domain with a dot, as the web's PKI does; RFC 1034 section 3.5, to which"
            " RFC 5280 refers, does not, and a private network has names of one label"
        ),
        (_DOMAIN, 'Invalid domain name syntax: "192.0.2.7"'): (
            "true, and on purpose: mbedTLS before 3.5 looks for the address there, and every"
            " other verifier finds the iPAddress beside it"
        ),
    },
    "device": {
        (_URI, f'Invalid URI syntax: "urn:firmshake:device:{DEVICE}"'): (
            "it takes nothing but URLs; a URN is an absolute URI too, which is what RFC 5280"
            " section 4.2.1.6 asks for"
        ),
    },
}


@EVERY_KEY
@pytest.mark.parametrize("kind", STAYS)
def test_the_linter_finds_nothing_but_what_stays(ca: str, leaf: str, kind: str) -> None:
    assert linter.certificate(pki(ca, leaf).certificates()[kind]) == set(STAYS[kind])


@EVERY_KEY
def test_the_linter_finds_nothing_between_a_certificate_and_its_issuer(ca: str, leaf: str) -> None:
    made = pki(ca, leaf).certificates()
    assert linter.pair(made["root"], made["intermediate"]) == set()
    assert linter.pair(made["intermediate"], made["broker"]) == set()
    assert linter.pair(made["intermediate"], made["device"]) == set()


@pytest.mark.parametrize("name", [NAME, "2001:db8::7"])
def test_the_linter_finds_nothing_in_a_broker_of_a_dns_name_or_an_ipv6_address(name: str) -> None:
    made = pki().authority.issue_broker([name], now=NOW)
    assert linter.certificate(made.certificate) == set()


def test_the_linter_takes_no_urn_at_all() -> None:
    """The control of a row of STAYS: RFC 9562 defines this one."""
    made = pki()
    urn = "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6"
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(urn)])
    other = broken.remade(made.device.certificate, made.authority.key, names)
    found = linter.certificate(other)
    assert found == {("pkix.invalid_uri_syntax", f'Invalid URI syntax: "{urn}"')}


def test_the_linter_finds_what_is_wrong() -> None:
    made = pki()
    ((code, _),) = linter.pair(
        made.authority.certificate, broken.signature_tampered(made.good(server=True)).certificate
    )
    assert "signature" in code
    flag = x509.BasicConstraints(ca=False, path_length=None)
    odd = broken.remade(made.authority.certificate, made.root.key, flag)
    assert linter.certificate(odd)


def test_the_linter_finds_nothing_in_name_constraints_and_the_address_of_a_list() -> None:
    made = issued(constrained(), [NAME])
    constraint, point = ExtensionOID.NAME_CONSTRAINTS, ExtensionOID.CRL_DISTRIBUTION_POINTS
    assert made.authority.certificate.extensions.get_extension_for_oid(constraint).critical
    assert made.broker.certificate.extensions.get_extension_for_oid(point)
    assert linter.certificate(made.authority.certificate) == set()
    assert linter.certificate(made.broker.certificate) == set()


# the verifiers, and what we issue


@EVERY_KEY
@EVERY_VERIFIER
def test_a_broker_is_verified(ca: str, leaf: str, verifier: str) -> None:
    assert VERIFIERS[verifier](pki(ca, leaf).broker, NAME) == ""


@EVERY_KEY
@EVERY_VERIFIER
def test_a_device_is_verified(ca: str, leaf: str, verifier: str) -> None:
    assert VERIFIERS[verifier](pki(ca, leaf).device, None) == ""


@EVERY_VERIFIER
@pytest.mark.parametrize("name", NAMES)
def test_a_broker_is_verified_by_each_of_its_names(name: str, verifier: str) -> None:
    assert VERIFIERS[verifier](pki().broker, name) == ""
    alone = pki().authority.issue_broker([name], now=NOW)
    assert VERIFIERS[verifier](alone, name) == ""


def test_a_devices_uri_is_what_cryptography_hands_on() -> None:
    """Its verifier asks for no name of a client, and gives those that stand in the certificate."""
    wanted = [x509.UniformResourceIdentifier(f"urn:firmshake:device:{DEVICE}")]
    assert verifiers.client_subjects(pki().device) == wanted


# the negative controls

# What each says of each; mbedTLS takes a CA that may not sign for none at all
_UNSIGNED = "not correctly signed by the trusted CA"
_MBEDTLS_REFUSES = "Processing of the Certificate handshake message failed"
SAID: dict[str, dict[str, str]] = {
    "expired": {
        "openssl": "certificate has expired",
        "cryptography": "not valid at validation time",
        "mbedtls": "validity has expired",
    },
    "not_yet_valid": {
        "openssl": "not yet valid",
        "cryptography": "not valid at validation time",
        "mbedtls": "validity starts in the future",
    },
    "intermediate_expired": {
        "openssl": "1 depth lookup: certificate has expired",
        "cryptography": "not valid at validation time",
        "mbedtls": "validity has expired",
    },
    "signed_by_another_key": {
        "openssl": "certificate signature failure",
        "cryptography": "signature does not match",
        "mbedtls": _UNSIGNED,
    },
    "another_root_of_the_same_name": {
        "openssl": "1 depth lookup: certificate signature failure",
        "cryptography": "signature does not match",
        "mbedtls": _UNSIGNED,
    },
    "signature_tampered": {
        "openssl": "certificate signature failure",
        "cryptography": "signature does not match",
        "mbedtls": _UNSIGNED,
    },
    "content_tampered": {
        "openssl": "certificate signature failure",
        "cryptography": "signature does not match",
        "mbedtls": _UNSIGNED,
    },
    "leaf_as_ca": {
        "openssl": "1 depth lookup: invalid CA certificate",
        "cryptography": "cA must be asserted",
        "mbedtls": _UNSIGNED,
    },
    "intermediate_without_ca_flag": {
        "openssl": "1 depth lookup: invalid CA certificate",
        "cryptography": "cA must be asserted",
        "mbedtls": _UNSIGNED,
    },
    "intermediate_without_cert_sign": {
        "openssl": "key usage does not include certificate signing",
        "cryptography": "keyCertSign must be asserted",
        "mbedtls": _UNSIGNED,
    },
    "path_too_long": {
        "openssl": "path length constraint exceeded",
        "cryptography": "path length constraint violated",
        "mbedtls": _UNSIGNED,
    },
    "without_intermediate": {
        "openssl": "unable to get local issuer certificate",
        "cryptography": "candidates exhausted",
        "mbedtls": _UNSIGNED,
    },
    "for_the_other_end": {
        "openssl": "unsuitable certificate purpose",
        "cryptography": "required EKU not found",
        "mbedtls": _MBEDTLS_REFUSES,
    },
    "unknown_critical_extension": {
        "openssl": "unhandled critical extension",
        "cryptography": "unaccounted-for critical extensions",
        "mbedtls": "The extension tag or value is invalid",
    },
}


def test_every_way_of_breaking_has_its_words() -> None:
    assert set(SAID) == set(BREAKINGS)
    assert all(set(said) == set(VERIFIERS) for said in SAID.values())


@EVERY_VERIFIER
@pytest.mark.parametrize("server", [True, False], ids=["broker", "device"])
@pytest.mark.parametrize("case", BREAKINGS)
def test_what_is_broken_is_refused(case: str, server: bool, verifier: str) -> None:
    verify, name = VERIFIERS[verifier], NAME if server else None
    good = pki().good(server)
    assert SAID[case][verifier] in verify(BREAKINGS[case](good), name)
    assert verify(good.identity, name) == ""


@EVERY_VERIFIER
@pytest.mark.parametrize("name", ["other.example.com", "example.com", "192.0.2.8", "2001:db8::8"])
def test_a_broker_is_refused_by_another_name(name: str, verifier: str) -> None:
    said = {
        "openssl": "mismatch",
        "cryptography": "no matching subjectAltName",
        "mbedtls": "does not match with the expected CN",
    }
    assert said[verifier] in VERIFIERS[verifier](pki().broker, name)


@EVERY_VERIFIER
def test_a_broker_is_no_device_and_a_device_no_broker(verifier: str) -> None:
    said = {"openssl": "purpose", "cryptography": "", "mbedtls": ""}
    for identity, name in ((pki().broker, None), (pki().device, DEVICE)):
        answer = VERIFIERS[verifier](identity, name)
        assert answer
        assert said[verifier] in answer


# name constraints: an option of the profile, and off, for mbedTLS


def constrained() -> Profiles:
    every = profiles.load()
    permitted = ("dns:example.com", "ip:192.0.2.0/24")
    return replace(
        every,
        intermediate=replace(every.intermediate, permitted_names=permitted),
        broker=replace(every.broker, crl_url="http://crl.example.com/issuing.crl"),
    )


@pytest.mark.parametrize("verifier", ["openssl", "cryptography"])
def test_name_constraints_hold(verifier: str) -> None:
    made = issued(constrained(), [NAME])
    assert VERIFIERS[verifier](made.broker, NAME) == ""
    assert VERIFIERS[verifier](made.device, None) == ""
    outside = broken.other_name(made.authority, made.broker, "broker.example.net")
    said = {"openssl": "permitted subtree violation", "cryptography": "no permitted name"}
    assert said[verifier] in VERIFIERS[verifier](outside, "broker.example.net")


def test_a_name_outside_the_constraints_is_not_issued() -> None:
    made = issued(constrained(), [NAME])
    with pytest.raises(Error, match="may not issue for broker.example.net"):
        made.authority.issue_broker(["broker.example.net"], now=NOW)


def test_an_address_stands_in_one_form_where_names_are_constrained() -> None:
    """As text among the DNS names it would break the whole certificate."""
    made = issued(constrained(), [NAME, "192.0.2.1"])
    names = made.broker.certificate.extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    ).value
    assert names.get_values_for_type(x509.DNSName) == [NAME]
    assert VERIFIERS["openssl"](made.broker, NAME) == ""


def test_mbedtls_refuses_a_chain_with_name_constraints() -> None:
    """Why they are off: the extension is critical, and mbedTLS does not know it."""
    made = issued(constrained(), [NAME])
    assert "extension" in verifiers.mbedtls(made.broker, NAME)
    every = replace(constrained(), intermediate=profiles.load().intermediate)
    assert verifiers.mbedtls(issued(every, [NAME]).broker, NAME) == ""


# the lists


def written(folder: Path, by: Issuer, revoked: Sequence[Revoked], **changes: object) -> bytes:
    path = folder / "made.crl"
    settings = {
        "number": 1,
        "this_update": NOW - timedelta(hours=1),
        "next_update": NOW + timedelta(days=LIST_DAYS),
    }
    crlfile.write(path, by, revoked, **{**settings, **changes})  # type: ignore[arg-type]
    return path.read_bytes()


def entry(certificate: x509.Certificate, reason: str | None = "keyCompromise") -> Revoked:
    return Revoked(certificate.serial_number, NOW, reason)


LISTS: dict[str, list[Revoked]] = {
    "empty": [],
    "every reason": [
        Revoked(2**158 + number, NOW, name) for number, name in enumerate([None, *REASONS])
    ],
    **{name: [Revoked(2**158, NOW, name)] for name in REASONS},
}


@EVERY_CA_KEY
@pytest.mark.parametrize("entries", LISTS)
def test_the_linter_finds_nothing_in_the_lists(tmp_path: Path, ca: str, entries: str) -> None:
    made = pki(ca)
    assert linter.crl(written(tmp_path, made.root, LISTS[entries]), of_cas=True) == set()
    assert linter.crl(written(tmp_path, made.authority, LISTS[entries]), of_cas=False) == set()


def test_the_linter_finds_what_is_missing_in_a_list() -> None:
    bare = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(pki().root.certificate.subject)
        .last_update(NOW)
        .next_update(NOW + timedelta(days=LIST_DAYS))
        .sign(pki().root.key, hashes.SHA256())
    )
    found = linter.crl(bare.public_bytes(serialization.Encoding.DER), of_cas=True)
    assert any("crl_number" in code for code, _ in found)


@EVERY_CA_KEY
@pytest.mark.parametrize("entries", ["empty", "every reason"])
def test_with_lists_openssl_verifies_what_is_not_on_them(
    tmp_path: Path, ca: str, entries: str
) -> None:
    made = pki(ca)
    lists = [written(tmp_path, by, LISTS[entries]) for by in (made.root, made.authority)]
    assert verifiers.openssl(made.broker, NAME, lists) == ""
    assert verifiers.openssl(made.device, None, lists) == ""


@EVERY_CA_KEY
def test_cryptography_verifies_the_lists(tmp_path: Path, ca: str) -> None:
    made = pki(ca)
    for by, other in ((made.root, made.authority), (made.authority, made.root)):
        found = x509.load_pem_x509_crl(written(tmp_path, by, LISTS["every reason"]))
        assert found.is_signature_valid(by.certificate.public_key())
        assert not found.is_signature_valid(other.certificate.public_key())
        assert found.issuer == by.certificate.subject


# A revoked certificate before the three verifiers. OpenSSL is given the lists. cryptography's
# verifier takes none: what can be checked is that its reader finds the entry. MicroPython's `tls`
# has no call that takes one: a board never learns of a revoked broker, which is why brokers'
# certificates live a year at most.


@EVERY_CA_KEY
@pytest.mark.parametrize("who", ["broker", "device", "intermediate"])
def test_openssl_refuses_what_is_revoked(tmp_path: Path, ca: str, who: str) -> None:
    made = pki(ca)
    on_root, on_issuing = _revoked(made, who)
    lists = [written(tmp_path, made.root, on_root), written(tmp_path, made.authority, on_issuing)]
    identity, name = (made.device, None) if who == "device" else (made.broker, NAME)
    assert "certificate revoked" in verifiers.openssl(identity, name, lists)
    lists = [written(tmp_path, by, []) for by in (made.root, made.authority)]
    assert verifiers.openssl(identity, name, lists) == ""


@pytest.mark.parametrize("who", ["broker", "device", "intermediate"])
def test_cryptography_finds_what_is_revoked(tmp_path: Path, who: str) -> None:
    made = pki()
    on_root, on_issuing = _revoked(made, who)
    by, entries = (made.root, on_root) if who == "intermediate" else (made.authority, on_issuing)
    found = x509.load_pem_x509_crl(written(tmp_path, by, entries))
    serial = entries[0].serial
    one = found.get_revoked_certificate_by_serial_number(serial)
    assert one is not None
    assert one.revocation_date_utc == NOW
    reason = one.extensions.get_extension_for_class(x509.CRLReason).value
    assert reason.reason is x509.ReasonFlags.key_compromise
    assert found.get_revoked_certificate_by_serial_number(serial ^ 1) is None


def _revoked(made: Pki, who: str) -> tuple[list[Revoked], list[Revoked]]:
    """What is on the root's list, and on the intermediate's."""
    if who == "intermediate":
        return [entry(made.authority.certificate)], []
    return [], [entry((made.broker if who == "broker" else made.device).certificate)]


def past(folder: Path, by: Issuer) -> bytes:
    then = NOW - timedelta(days=LIST_DAYS)
    return written(folder, by, [], this_update=then, next_update=then + timedelta(days=1))


def to_come(folder: Path, by: Issuer) -> bytes:
    return written(folder, by, [], this_update=NOW + timedelta(days=1))


def of_another_key(folder: Path, by: Issuer) -> bytes:
    """The list of a CA that has the same name and key identifier, and another key."""
    key = authority.create("other", now=NOW)[0].key
    kept = by.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    other = broken.remade(by.certificate, key, kept, key=key.public_key())
    return written(folder, Issuer(key, other), [])


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (past, "CRL has expired"),
        (to_come, "CRL is not yet valid"),
        (of_another_key, "CRL signature failure"),
        (lambda folder, by: b"", "unable to get certificate CRL"),
    ],
)
def test_openssl_refuses_a_list_that_is_wrong(
    tmp_path: Path, make: Callable[[Path, Issuer], bytes], said: str
) -> None:
    made = pki()
    roots = written(tmp_path, made.root, [])
    assert said in verifiers.openssl(made.device, None, [roots, make(tmp_path, made.authority)])
    own = written(tmp_path, made.authority, [])
    assert verifiers.openssl(made.device, None, [roots, own]) == ""
