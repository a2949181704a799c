"""A certificate signing request: what of it counts, and what has no effect."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from firmshake.ca import authority, certificate, request, signing
from firmshake.errors import Error
from firmshake.registry import Registry

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
ROOT, ISSUING = authority.create("greenhouse", now=NOW)
KEY = ec.generate_private_key(ec.SECP256R1())
DER, PEM = serialization.Encoding.DER, serialization.Encoding.PEM


def made(
    *names: str, key: Any = KEY, extensions: tuple[x509.ExtensionType, ...] = ()
) -> x509.CertificateSigningRequest:
    subject = [x509.NameAttribute(x509.NameOID.COMMON_NAME, name) for name in names]
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(subject))
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(key, None if isinstance(key, ed25519.Ed25519PrivateKey) else HASH)


HASH = hashes.SHA256()
GOOD = made("pump").public_bytes(DER)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry.create(tmp_path / "registry.sqlite", clock=lambda: NOW)


@pytest.mark.parametrize("form", [DER, PEM])
def test_a_request_says_which_key_and_for_whom(form: serialization.Encoding) -> None:
    found = request.read(made("pump").public_bytes(form))
    assert (found.key, found.common_name) == (KEY.public_key(), "pump")


@pytest.mark.parametrize("names", [(), ("pump", "fan")])
def test_none_or_several_common_names_are_no_name(names: tuple[str, ...]) -> None:
    assert request.read(made(*names).public_bytes(DER)).common_name is None


def test_a_request_that_was_not_signed_with_its_own_key_is_refused() -> None:
    other = made("pump", key=ec.generate_private_key(ec.SECP256R1())).public_bytes(DER)
    assert request.read(GOOD)
    own, another = (
        key.public_bytes(DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        for key in (KEY.public_key(), request.read(other).key)
    )
    with pytest.raises(Error, match="not signed with its own key") as caught:
        request.read(GOOD.replace(own, another))
    assert caught.value.hint == "have it made again"


@pytest.mark.parametrize(
    ("key", "what"),
    [
        (rsa.generate_private_key(65537, 1024), "an RSA key of 1024 bits is too short"),
        (rsa.generate_private_key(65537, 2560), "the key of the request is rsa-2560"),
        (rsa.generate_private_key(3, 2048), "too small an exponent"),
        (ec.generate_private_key(ec.SECP521R1()), "the key of the request is secp521r1"),
        (ec.generate_private_key(ec.SECP256K1()), "the key of the request is secp256k1"),
        (ed25519.Ed25519PrivateKey.generate(), "neither EC nor RSA"),
    ],
)
def test_keys_that_no_profile_has_are_not_signed(key: Any, what: str) -> None:
    with pytest.raises(Error, match=what) as caught:
        request.read(made("pump", key=key).public_bytes(DER))
    assert "ec-p256, ec-p384, rsa-2048" in caught.value.hint


@pytest.mark.parametrize(
    "key", [ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65537, 2048)]
)
def test_keys_of_the_other_types_are_signed(key: Any, registry: Registry) -> None:
    asked = request.read(made("pump", key=key).public_bytes(DER))
    leaf = signing.sign_device(asked, "pump", ISSUING, registry, now=NOW)
    assert leaf.public_key() == key.public_key()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        GOOD[:-1],
        certificate.pem(ROOT.certificate),
        certificate.der(ROOT.certificate),
    ],
)
def test_anything_else_is_no_request(content: bytes) -> None:
    with pytest.raises(Error, match="not a certificate signing request"):
        request.read(content)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_request_or_an_error(content: bytes) -> None:
    with pytest.raises(Error):
        request.read(content)


# how many bits at the signature's end do not count: where they are 0, all the same is said
UNUSED = len(GOOD) - len(request.read(GOOD).asked.signature) - 1


@given(st.integers(0, len(GOOD) - 1).filter(lambda at: at != UNUSED), st.integers(1, 255))
def test_a_request_with_a_changed_byte_is_refused(at: int, change: int) -> None:
    with pytest.raises(Error):
        request.read(GOOD[:at] + bytes((GOOD[at] ^ change,)) + GOOD[at + 1 :])


def test_the_profile_says_what_the_certificate_may_do_and_the_signer_for_whom(
    registry: Registry,
) -> None:
    asked = request.read(
        made(
            "admin",
            extensions=(
                x509.BasicConstraints(ca=True, path_length=None),
                x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.SERVER_AUTH]),
                x509.SubjectAlternativeName([x509.DNSName("bank.example")]),
                x509.OCSPNoCheck(),
            ),
        ).public_bytes(DER)
    )
    leaf = signing.sign_device(asked, "pump", ISSUING, registry, now=NOW)
    usual = ISSUING.issue("pump", now=NOW).certificate
    assert leaf.subject == usual.subject
    kinds = [
        x509.BasicConstraints,
        x509.KeyUsage,
        x509.ExtendedKeyUsage,
        x509.SubjectAlternativeName,
    ]
    for kind in kinds:
        own, others = (one.extensions.get_extension_for_class(kind).value for one in (leaf, usual))
        assert own == others
    assert list(request.differences(asked, leaf)) == [
        "subject CN=pump in place of CN=admin",
        "basic constraints as the profile has it",
        "extended key usage as the profile has it",
        "subject alternative name as the profile has it",
        "no extension 1.3.6.1.5.5.7.48.1.5",
    ]


def test_a_request_that_asks_for_nothing_else_gets_what_it_asks_for(registry: Registry) -> None:
    asked = request.read(GOOD)
    leaf = signing.sign_device(asked, "pump", ISSUING, registry, now=NOW)
    assert list(request.differences(asked, leaf)) == []


def test_a_device_that_is_signed_for_is_in_the_registry(registry: Registry) -> None:
    leaf = signing.sign_device(request.read(GOOD), "pump", ISSUING, registry, now=NOW)
    found = registry.device("pump")
    assert found
    assert found.certificate
    assert found.certificate.serial_number == certificate.serial(leaf)


def test_a_broker_that_is_signed_for_has_its_names_and_is_in_the_registry(
    registry: Registry,
) -> None:
    names = ["broker.example", "192.0.2.7"]
    leaf = signing.sign_broker(request.read(GOOD), names, ISSUING, registry, now=NOW)
    usual = ISSUING.issue_broker(names, now=NOW).certificate
    kind = x509.SubjectAlternativeName
    own, others = (one.extensions.get_extension_for_class(kind) for one in (leaf, usual))
    assert own == others
    assert [one.subject for one in registry.certificates(kind="broker")] == ["broker.example"]


@pytest.mark.parametrize("reason", ["keyCompromise", "superseded"])
def test_a_key_that_was_compromised_is_not_signed_again(registry: Registry, reason: str) -> None:
    asked = request.read(GOOD)
    first = signing.sign_device(asked, "pump", ISSUING, registry, now=NOW)
    registry.revoke([certificate.serial(first)], reason)
    if reason == "superseded":
        signing.sign_device(asked, "pump", ISSUING, registry, now=NOW)
        return
    with pytest.raises(Error, match="revoked as compromised"):
        signing.sign_device(asked, "pump", ISSUING, registry, now=NOW)
    assert len(list(registry.certificates())) == 1
