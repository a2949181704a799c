"""Chains that are broken in one thing each: a good one, remade with that thing changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID

from firmshake.ca import certificate
from firmshake.ca.authority import Authority, Root
from firmshake.ca.identity import Identity, PrivateKey, PublicKey
from support.pki import LATER, LONG_AGO

DER = serialization.Encoding.DER


@dataclass(frozen=True)
class Good:
    """What is broken: the CAs with their keys, and an identity that they issued."""

    root: Root
    authority: Authority
    identity: Identity


Breaking = Callable[[Good], Identity]


def remade(
    good: x509.Certificate,
    signer: PrivateKey,
    *extensions: x509.ExtensionType,
    subject: x509.Name | None = None,
    issuer: x509.Name | None = None,
    key: PublicKey | None = None,
    valid: tuple[datetime, datetime] | None = None,
) -> x509.Certificate:
    """The certificate as it was but for what is said; `extensions` replace those of their kind.

    One that it did not have is added, and is critical.
    """
    starts, ends = valid or (good.not_valid_before_utc, good.not_valid_after_utc)
    public = key or good.public_key()
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject or good.subject)
        .issuer_name(issuer or good.issuer)
        .public_key(public)
        .serial_number(good.serial_number)
        .not_valid_before(starts)
        .not_valid_after(ends)
    )
    changed = {extension.oid: extension for extension in extensions}
    if key is not None:
        own = x509.SubjectKeyIdentifier.from_public_key(key)
        changed.setdefault(own.oid, own)
    for old in good.extensions:
        builder = builder.add_extension(changed.pop(old.oid, old.value), old.critical)
    for added in changed.values():
        builder = builder.add_extension(added, critical=True)
    return builder.sign(signer, certificate.signature_hash(signer))


def expired(good: Good) -> Identity:
    return _leaf(good, valid=LONG_AGO)


def not_yet_valid(good: Good) -> Identity:
    return _leaf(good, valid=LATER)


def intermediate_expired(good: Good) -> Identity:
    return _intermediate(good, valid=LONG_AGO)


def signed_by_another_key(good: Good) -> Identity:
    """The issuer's name and key identifier, and not its key."""
    stranger = _new_key(good)
    return replace(good.identity, certificate=remade(good.identity.certificate, stranger))


def another_root_of_the_same_name(good: Good) -> Identity:
    """The anchor has the name and the key identifier of the root, and another key."""
    stranger = _new_key(good)
    root = remade(
        good.root.certificate, stranger, _key_identifier(good.root), key=_public(stranger)
    )
    return replace(good.identity, anchors=(root,))


def signature_tampered(good: Good) -> Identity:
    data = bytearray(good.identity.certificate.public_bytes(DER))
    data[-1] ^= 1
    return replace(good.identity, certificate=x509.load_der_x509_certificate(bytes(data)))


def content_tampered(good: Good) -> Identity:
    """Another serial number below the old signature."""
    leaf = good.identity.certificate
    data, serial = leaf.public_bytes(DER), leaf.serial_number.to_bytes(20, "big").lstrip(b"\0")
    changed = data.replace(serial, serial[:-1] + bytes([serial[-1] ^ 1]), 1)
    return replace(good.identity, certificate=x509.load_der_x509_certificate(changed))


def leaf_as_ca(good: Good) -> Identity:
    """Signed by a good certificate of the same kind, which is no CA's."""
    key = _new_key(good)
    over = good.identity
    leaf = remade(
        over.certificate,
        over.key,
        _authority_identifier(over.certificate),
        subject=_named("below a leaf"),
        issuer=over.certificate.subject,
        key=_public(key),
    )
    return Identity(key, leaf, (over.certificate, *over.chain), over.anchors)


def intermediate_without_ca_flag(good: Good) -> Identity:
    return _intermediate(good, x509.BasicConstraints(ca=False, path_length=None))


def intermediate_without_cert_sign(good: Good) -> Identity:
    return _intermediate(good, _crl_sign_only())


def path_too_long(good: Good) -> Identity:
    """A second intermediate, below one whose path length is 0."""
    above = good.authority
    between, key = _new_key(good), _new_key(good)
    sub = remade(
        above.certificate,
        above.key,
        _authority_identifier(above.certificate),
        subject=_named("second intermediate"),
        issuer=above.certificate.subject,
        key=_public(between),
    )
    leaf = remade(
        good.identity.certificate,
        between,
        _authority_identifier(sub),
        issuer=sub.subject,
        key=_public(key),
    )
    return Identity(key, leaf, (sub, above.certificate), good.identity.anchors)


def without_intermediate(good: Good) -> Identity:
    return replace(good.identity, chain=())


def for_the_other_end(good: Good) -> Identity:
    """clientAuth where it was serverAuth, and the reverse."""
    old = good.identity.certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    server = ExtendedKeyUsageOID.SERVER_AUTH in old.value
    other = ExtendedKeyUsageOID.CLIENT_AUTH if server else ExtendedKeyUsageOID.SERVER_AUTH
    return _leaf(good, x509.ExtendedKeyUsage([other]))


def unknown_critical_extension(good: Good) -> Identity:
    """RFC 5280 section 4.2: who does not know an extension that is critical, must refuse."""
    oid = x509.ObjectIdentifier("1.3.6.1.4.1.55555.1")
    return _leaf(good, x509.UnrecognizedExtension(oid, b"\5\0"))


def _leaf(
    good: Good, *extensions: x509.ExtensionType, valid: tuple[datetime, datetime] | None = None
) -> Identity:
    leaf = remade(good.identity.certificate, good.authority.key, *extensions, valid=valid)
    return replace(good.identity, certificate=leaf)


def _intermediate(
    good: Good, *extensions: x509.ExtensionType, valid: tuple[datetime, datetime] | None = None
) -> Identity:
    made = remade(good.authority.certificate, good.root.key, *extensions, valid=valid)
    return replace(good.identity, chain=(made,))


def _new_key(good: Good) -> PrivateKey:
    return certificate.new_key(good.authority.profile("device"))


def _public(key: PrivateKey) -> PublicKey:
    return key.public_key()


def _named(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])


def _key_identifier(ca: Root) -> x509.SubjectKeyIdentifier:
    return ca.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value


def _authority_identifier(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    own = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)


def _crl_sign_only() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )


BREAKINGS: dict[str, Breaking] = {
    made.__name__: made
    for made in (
        expired,
        not_yet_valid,
        intermediate_expired,
        signed_by_another_key,
        another_root_of_the_same_name,
        signature_tampered,
        content_tampered,
        leaf_as_ca,
        intermediate_without_ca_flag,
        intermediate_without_cert_sign,
        path_too_long,
        without_intermediate,
        for_the_other_end,
        unknown_critical_extension,
    )
}


def other_name(authority: Authority, good: Identity, name: str) -> Identity:
    """A broker's identity for a name that its CA would not have issued it for."""
    names = x509.SubjectAlternativeName([x509.DNSName(name)])
    made = remade(good.certificate, authority.key, names)
    return replace(good, certificate=made)
