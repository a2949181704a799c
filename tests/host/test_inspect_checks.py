"""The checks that `inspect` and `import` share: each breaks one thing, beside a control."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier
from support.pki import NOW, fleet

from firmshake.ca.checks import (
    BROKER,
    CA,
    DEVICE,
    NOTE,
    WARNING,
    WRONG,
    Finding,
    check_certificate,
    check_chain,
    check_key,
    check_pair,
    role_of,
    worst_first,
)
from firmshake.faults import sha1

DAY = timedelta(days=1)
SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


@dataclass(frozen=True)
class Made:
    """A certificate with its key."""

    certificate: x509.Certificate
    key: Key = field(repr=False)


def make(
    name: str,
    issuer: Made | None = None,
    *,
    ca: bool = False,
    key: Key | None = None,
    signer: Key | None = None,
    issuer_name: str | None = None,
    valid: tuple[datetime, datetime] = (NOW - DAY, NOW + 400 * DAY),
    usages: Sequence[ObjectIdentifier] | None = None,
    names: Sequence[x509.GeneralName] = (),
    serial: int | None = None,
    path_length: int | None = None,
    sign: bool | None = None,
    crl_sign: bool = True,
    key_usage: bool = True,
    digital: bool = True,
    key_identifier: bytes | None = None,
    extra: Sequence[tuple[x509.ExtensionType, bool]] = (),
    pss: bool = False,
) -> Made:
    """A certificate that is good in all that is not said."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    signer = signer or (issuer.key if issuer else key)
    above = issuer_name or (
        issuer.certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value
        if issuer
        else name
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name(str(above)))
        .public_key(key.public_key())
        .serial_number(serial if serial is not None else x509.random_serial_number())
        .not_valid_before(valid[0])
        .not_valid_after(valid[1])
        .add_extension(x509.BasicConstraints(ca, path_length if ca else None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
    )
    named = (
        x509.AuthorityKeyIdentifier(key_identifier, None, None)
        if key_identifier
        else x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    )
    builder = builder.add_extension(named, False)
    if key_usage:
        may_sign = ca if sign is None else sign
        builder = builder.add_extension(
            _usage(digital=digital and not ca, cert=may_sign, crl=ca and crl_sign), True
        )
    if usages is None:
        usages = [] if ca else [CLIENT]
    if usages:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), False)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), False)
    for value, critical in extra:
        builder = builder.add_extension(value, critical)
    if isinstance(signer, ed25519.Ed25519PrivateKey):
        return Made(builder.sign(signer, None), key)
    how = padding.PSS(padding.MGF1(hashes.SHA256()), 32) if pss else None
    return Made(builder.sign(signer, hashes.SHA256(), rsa_padding=how), key)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)] if text else [])


def _usage(*, digital: bool, cert: bool, crl: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=cert,
        crl_sign=crl,
        encipher_only=False,
        decipher_only=False,
    )


ROOT = make("root", ca=True, path_length=1)
ISSUING = make("issuing", ROOT, ca=True, path_length=0)
OTHER_ROOT = make("other root", ca=True)
BROKER_NAMES = [x509.DNSName("broker.example")]
ADDRESS = x509.IPAddress(ipaddress.ip_address("192.0.2.1"))


def causes(found: Sequence[Finding], severity: str = "") -> list[str]:
    return [one.cause for one in found if not severity or one.severity == severity]


def of(made: Made, role: str = "") -> tuple[Finding, ...]:
    return check_certificate(made.certificate, role or role_of(made.certificate), NOW)


# what is right


def test_nothing_is_said_of_what_firmshake_makes_itself() -> None:
    made = fleet()
    device, issuing = made.device.certificate, made.authority.certificate
    broker, root = made.broker.certificate, made.authority.root
    for one, role in ((device, DEVICE), (issuing, CA), (root, CA), (broker, BROKER)):
        assert check_certificate(one, role, NOW) == (), role
        assert role_of(one) == role
    for leaf, key in ((device, made.device.key), (broker, made.broker.key)):
        assert check_pair(key, leaf) == ()
        assert check_key(key.public_key()) == ()
        assert check_chain([leaf, issuing, root], NOW) == ((leaf, issuing, root), ())


def test_a_chain_as_a_server_shows_it_is_right_without_its_root() -> None:
    leaf = make("device", ISSUING)
    shown = [leaf.certificate, ISSUING.certificate]
    ordered, found = check_chain(shown, NOW, complete=False)
    assert (list(ordered), causes(found)) == (shown, ["incomplete_chain"])
    assert found[0].severity == NOTE
    assert check_chain(shown, NOW, known=[ROOT.certificate], complete=True)[1] == ()


# keys


def test_a_key_of_another_certificate_is_told() -> None:
    found = check_pair(ROOT.key, ISSUING.certificate)
    assert [(one.severity, one.cause) for one in found] == [(WRONG, "key_mismatch")]
    assert "issuing" in found[0].what
    assert check_pair(ISSUING.key, ISSUING.certificate) == ()
    assert check_pair(ISSUING.key.public_key(), ISSUING.certificate) == ()


@pytest.mark.parametrize(
    ("key", "cause"),
    [
        (rsa.generate_private_key(65537, 1024), "weak_key"),
        (ec.generate_private_key(ec.SECP224R1()), "unsupported_key"),
        (ed25519.Ed25519PrivateKey.generate(), "unsupported_key"),
        (rsa.generate_private_key(65537, 2048), ""),
        (ec.generate_private_key(ec.SECP384R1()), ""),
        (ec.generate_private_key(ec.SECP521R1()), ""),
    ],
)
def test_keys_that_boards_refuse_are_told(key: Key, cause: str) -> None:
    assert causes(check_key(key.public_key())) == ([cause] if cause else [])
    made = make("device", ISSUING, key=key)
    assert causes(of(made)) == ([cause] if cause else [])


# one certificate


@pytest.mark.parametrize(
    ("change", "severity", "cause"),
    [
        ({"valid": (NOW - 9 * DAY, NOW - DAY)}, WRONG, "expired"),
        ({"valid": (NOW + DAY, NOW + 9 * DAY)}, WRONG, "not_yet_valid"),
        ({"valid": (NOW - 300 * DAY, NOW + 9 * DAY)}, WARNING, "expires_soon"),
        ({"usages": [SERVER]}, WRONG, "wrong_usage"),
        ({"usages": [SERVER, CLIENT]}, WARNING, "any_usage"),
        ({"usages": []}, WARNING, "any_usage"),
        ({"digital": False}, WRONG, "wrong_usage"),
        ({"ca": True}, WRONG, "wrong_usage"),
        ({"serial": 1}, NOTE, "short_serial"),
        ({"extra": [(x509.OCSPNoCheck(), True)]}, WRONG, "unsupported_extension"),
        ({"extra": [(x509.OCSPNoCheck(), False)]}, "", ""),
        ({}, "", ""),
    ],
)
def test_each_fault_of_a_devices_certificate_is_told_alone(
    change: dict[str, object], severity: str, cause: str
) -> None:
    found = of(make("device", ISSUING, **change), DEVICE)  # type: ignore[arg-type]
    assert [(one.severity, one.cause) for one in found] == ([(severity, cause)] if cause else [])
    assert all(one.what.endswith(".") and one.fix for one in found)


@pytest.mark.parametrize(
    ("names", "name", "expected"),
    [
        (BROKER_NAMES, "broker.example", []),
        ([], "broker.example", ["no_san"]),
        ([x509.DNSName("192.0.2.1")], "192.0.2.1", ["no_address"]),
        (BROKER_NAMES, "192.0.2.1", ["no_address"]),
        ([x509.DNSName("192.0.2.1"), ADDRESS], "192.0.2.1", []),
    ],
)
def test_a_broker_has_to_have_its_names_where_clients_look(
    names: list[x509.GeneralName], name: str, expected: list[str]
) -> None:
    found = of(make(name, ISSUING, usages=[SERVER], names=names), BROKER)
    assert causes(found) == expected
    assert all(one.severity == WRONG for one in found)


def test_an_address_that_old_firmware_does_not_find_is_noted() -> None:
    found = of(make("broker", ISSUING, usages=[SERVER], names=[ADDRESS]), BROKER)
    assert [(one.severity, one.cause) for one in found] == [(NOTE, "no_address")]


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"sign": False}, "not_a_ca"),
        ({"crl_sign": False}, "no_crl_sign"),
        ({"key_usage": False}, "any_usage"),
        ({"ca": False, "usages": []}, "not_a_ca"),
        ({}, ""),
    ],
)
def test_each_fault_of_a_cas_certificate_is_told(change: dict[str, object], cause: str) -> None:
    made = make("issuing", ROOT, **{"ca": True, **change})  # type: ignore[arg-type]
    assert causes(of(made, CA)) == ([cause] if cause else [])


def test_critical_name_constraints_are_what_boards_refuse() -> None:
    constraints = x509.NameConstraints([x509.DNSName("example")], None)
    (found,) = of(make("issuing", ROOT, ca=True, extra=[(constraints, True)]))
    assert (found.severity, found.cause) == (WRONG, "unsupported_extension")
    assert "name constraints" in found.what
    assert of(make("issuing", ROOT, ca=True, extra=[(constraints, False)])) == ()


@pytest.mark.parametrize(("policy", "refused"), [("2.5.29.32.0", False), ("1.2.3", True)])
def test_of_critical_policies_boards_take_any_policy_alone(policy: str, refused: bool) -> None:
    value = x509.CertificatePolicies([x509.PolicyInformation(ObjectIdentifier(policy), None)])
    found = of(make("device", ISSUING, extra=[(value, True)]))
    assert causes(found) == (["unsupported_extension"] if refused else [])


def test_a_leaf_that_signed_itself_is_told_and_a_root_may() -> None:
    assert "self_signed" in causes(of(make("broker.example", usages=[SERVER]), BROKER), WRONG)
    assert of(ROOT) == ()


def test_weak_signatures_are_told_but_not_those_of_roots() -> None:
    assert isinstance(ROOT.key, ec.EllipticCurvePrivateKey)
    old = Made(sha1.signed(ROOT.certificate, ROOT.key), ROOT.key)
    assert of(old) == ()
    leaf = make("device", old)
    assert isinstance(old.key, ec.EllipticCurvePrivateKey)
    weak = Made(sha1.signed(leaf.certificate, old.key), leaf.key)
    assert causes(of(weak)) == ["weak_signature"]
    assert of(leaf) == ()
    # a chain all the same: weak is not wrong about who signed it
    assert chain(weak, old) == []


def test_a_signature_that_not_every_board_can_check_is_told() -> None:
    root = make("root", ca=True, key=rsa.generate_private_key(65537, 2048))
    assert causes(of(make("device", root, pss=True))) == ["unsupported_key"]
    assert of(make("device", root)) == ()


# chains


def chain(*made: Made, complete: bool = True, known: Sequence[Made] = ()) -> list[Finding]:
    return list(
        check_chain(
            [one.certificate for one in made],
            NOW,
            known=[one.certificate for one in known],
            complete=complete,
        )[1]
    )


def test_a_chain_in_any_order_is_put_in_order() -> None:
    leaf = make("device", ISSUING)
    right = (leaf, ISSUING, ROOT)
    for shuffled in ((ROOT, ISSUING, leaf), (leaf, ROOT, ISSUING), (ISSUING, leaf, ROOT)):
        ordered, found = check_chain([one.certificate for one in shuffled], NOW)
        assert list(ordered) == [one.certificate for one in right]
        assert causes(found) == ["out_of_order"]
        assert "'device', 'issuing', 'root'" in found[0].what
    assert chain(*right) == []


def test_gaps_strays_and_duplicates_are_named() -> None:
    leaf = make("device", ISSUING)
    gap = chain(leaf, ROOT, complete=False)
    assert causes(gap, WRONG) == ["incomplete_chain"]
    assert "'device' was issued by 'issuing'" in gap[0].what
    assert causes(chain(leaf, ISSUING, ROOT, OTHER_ROOT)) == ["superfluous"]
    assert causes(chain(leaf, leaf, ISSUING, ROOT)) == ["duplicate"]
    assert causes(chain(leaf, ISSUING)) == ["incomplete_chain"]


def test_an_intermediate_that_is_elsewhere_is_missed_in_the_file() -> None:
    leaf = make("device", ISSUING)
    found = chain(leaf, known=[ISSUING, ROOT], complete=False)
    assert [(one.severity, one.cause) for one in found] == [(WARNING, "incomplete_chain")]
    assert chain(leaf, ISSUING, known=[ROOT]) == []


def test_a_ca_that_was_made_anew_under_its_name_is_told() -> None:
    again = make("issuing", ROOT, ca=True, path_length=0)
    found = chain(make("device", ISSUING), again, ROOT)
    assert causes(found, WRONG) == ["unknown_ca"]


def test_a_signature_that_is_not_its_own_is_told() -> None:
    forged = make("root", ca=True, signer=OTHER_ROOT.key)
    assert "bad_signature" in causes(chain(forged), WRONG)
    assert chain(ROOT) == []


@pytest.mark.parametrize(
    ("issuer", "leaf", "severity", "cause"),
    [
        ({"ca": False}, {}, WRONG, "not_a_ca"),
        ({"sign": False}, {}, WRONG, "not_a_ca"),
        ({}, {"key_identifier": b"another"}, WARNING, "key_identifier"),
        ({"valid": (NOW - DAY, NOW + 90 * DAY)}, {}, WARNING, "outlives_issuer"),
        ({}, {}, "", ""),
    ],
)
def test_each_fault_between_two_certificates_is_told(
    issuer: dict[str, object], leaf: dict[str, object], severity: str, cause: str
) -> None:
    middle = make("issuing", ROOT, **{"ca": True, **issuer})  # type: ignore[arg-type]
    found = chain(make("device", middle, **leaf), middle, ROOT)  # type: ignore[arg-type]
    assert (severity, cause) in [(one.severity, one.cause) for one in found] or not cause
    assert bool(found) == bool(cause)


def test_a_path_length_that_is_exceeded_is_told() -> None:
    deeper = make("deeper", ISSUING, ca=True)
    found = chain(make("device", deeper), deeper, ISSUING, ROOT)
    assert set(causes(found, WRONG)) == {"path_length"}
    assert "'issuing' allows 0 CAs below it" in "".join(one.what for one in found)
    free = make("free", ca=True)
    middle = make("middle", free, ca=True)
    assert chain(make("device", middle), middle, free) == []


def test_long_chains_are_warned_of_and_too_long_ones_are_wrong() -> None:
    links = [make("0", ca=True)]
    for number in range(1, 11):
        links.append(make(str(number), links[-1], ca=True))

    def of_length(count: int) -> list[Finding]:
        return chain(make("device", links[count - 2]), *reversed(links[: count - 1]))

    assert of_length(4) == []
    assert causes(of_length(5)) == ["long_chain"]
    assert causes(of_length(11), WRONG) == ["chain_too_long"]
    assert causes(of_length(10), WRONG) == []


def test_a_chain_larger_than_a_board_takes_is_wrong() -> None:
    names = [x509.DNSName(f"{number}.{'a' * 50}.example") for number in range(250)]
    large = make("broker", ISSUING, usages=[SERVER], names=names)
    assert causes(chain(large, ISSUING, ROOT), WRONG) == ["chain_too_long"]
    assert chain(make("broker", ISSUING, usages=[SERVER], names=names[:9]), ISSUING, ROOT) == []


def test_nothing_is_said_of_nothing() -> None:
    assert check_chain([], NOW) == ((), ())


def test_findings_are_sorted_and_said_once() -> None:
    note, wrong = Finding(NOTE, "a", "A."), Finding(WRONG, "b", "B.")
    assert worst_first([note, wrong, note]) == (wrong, note)
