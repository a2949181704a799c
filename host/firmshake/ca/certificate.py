"""One certificate, made by its profile and signed by its issuer (RFC 5280). Does no I/O."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from firmshake.ca import constraints
from firmshake.ca.identity import PrivateKey, PublicKey
from firmshake.ca.profiles import EXTENDED_KEY_USAGES, KEY_USAGES, Profile
from firmshake.errors import Error

_Extension = TypeVar("_Extension", bound=x509.ExtensionType)
Validity = tuple[datetime, datetime]  # notBefore and notAfter, both aware of their time zone


@dataclass(frozen=True)
class Issuer:
    """A CA's key with its certificate. Raises Error where the two don't belong together."""

    key: PrivateKey = field(repr=False)
    certificate: x509.Certificate

    def __post_init__(self) -> None:
        if self.key.public_key() != self.certificate.public_key():
            raise Error(
                f"the private key is not the one of {subject(self.certificate)!r}",
                hint="give the key that was made with this certificate",
            )
        if not is_ca(self.certificate):
            raise Error(f"{subject(self.certificate)!r} is not the certificate of a CA")

    @functools.cached_property
    def key_identifier(self) -> x509.AuthorityKeyIdentifier:
        """What the issued certificates carry to find their issuer (RFC 5280 section 4.2.1.1)."""
        own = self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)

    def begin(self, profile: Profile) -> x509.CertificateBuilder:
        """Return a builder with what all certificates of a profile have in common.

        It is put together once: a builder copies all that it has with each thing that is added.
        """
        if profile not in self._begun:
            builder = _begin(profile, self.certificate.subject)
            self._begun[profile] = builder.add_extension(self.key_identifier, critical=False)
        return self._begun[profile]

    @functools.cached_property
    def _begun(self) -> dict[Profile, x509.CertificateBuilder]:
        return {}


_CURVES = {"ec-p256": ec.SECP256R1, "ec-p384": ec.SECP384R1}


def new_key(profile: Profile) -> PrivateKey:
    """Return a new private key of the profile's type."""
    return new_key_of(profile.key)


def new_key_of(kind: str) -> PrivateKey:
    """Return a new private key of that type, in the profiles' words."""
    curve = _CURVES.get(kind)
    if curve is not None:
        return ec.generate_private_key(curve())
    # 65537: what FIPS 186-5 appendix A.1.1 allows at least, and what everybody has
    return rsa.generate_private_key(65537, int(kind.removeprefix("rsa-")))


def key_type(key: PublicKey) -> str:
    """Return the type of a key in the profiles' words, such as "ec-p256" or "rsa-2048"."""
    if isinstance(key, rsa.RSAPublicKey):
        return f"rsa-{key.key_size}"
    return next(
        (ours for ours, curve in _CURVES.items() if isinstance(key.curve, curve)), key.curve.name
    )


def key_type_of(certificate: x509.Certificate) -> str:
    """Return the type of a certificate's key in the profiles' words."""
    key = certificate.public_key()
    return key_type(key) if isinstance(key, PublicKey) else type(key).__name__


def signature_hash(key: PrivateKey) -> hashes.SHA256 | hashes.SHA384:
    """Return the hash that `key` signs with: one of its own strength (NIST SP 800-57, 5.6.1.2)."""
    return hashes.SHA384() if key.key_size == 384 else hashes.SHA256()


def window(profile: Profile, now: datetime, issuer: x509.Certificate | None = None) -> Validity:
    """Return the dates of a certificate made `now`: backdated, and within those of `issuer`.

    Raises Error where `now` is outside the validity of `issuer`.
    """
    starts, ends = _whole_second(now - profile.backdate), _whole_second(now + profile.validity)
    if issuer is None:
        return starts, ends
    first, last = issuer.not_valid_before_utc, issuer.not_valid_after_utc
    if now < first:
        raise Error(
            f"{subject(issuer)!r} is valid from {_date(first)}, and the clock says {_date(now)}",
            hint="set this computer's clock",
        )
    if now >= last:
        raise Error(f"{subject(issuer)!r} expired on {_date(last)}", hint=_renewal(issuer))
    return max(starts, first), min(ends, last)


def _renewal(issuer: x509.Certificate) -> str:
    if issuer.issuer == issuer.subject:
        return "make a new CA for the whole fleet: firmshake init, and provision every board"
    return "renew it: firmshake ca intermediate"


def self_signed(
    profile: Profile, name: x509.Name, key: PrivateKey, valid: Validity
) -> x509.Certificate:
    """Return a root certificate of `key`. It names no authority key: it is its own (4.2.1.1)."""
    builder = _unsigned(_begin(profile, name), name, key.public_key(), valid)
    return builder.sign(key, signature_hash(key))


def signed(
    profile: Profile,
    name: x509.Name,
    names: list[x509.GeneralName],
    public_key: PublicKey,
    valid: Validity,
    issuer: Issuer,
) -> x509.Certificate:
    """Return a certificate of `public_key`; `names` are the subject alternative names, or none."""
    builder = _unsigned(issuer.begin(profile), name, public_key, valid)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(issuer.key, signature_hash(issuer.key))


def _begin(profile: Profile, issuer: x509.Name) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().issuer_name(issuer)
    for value, critical in _of_profile(profile):
        builder = builder.add_extension(value, critical)
    return builder


def _unsigned(
    builder: x509.CertificateBuilder, name: x509.Name, public_key: PublicKey, valid: Validity
) -> x509.CertificateBuilder:
    starts, ends = valid
    assert starts < ends
    return (
        builder.subject_name(name)
        .public_key(public_key)
        # 159 random bits in 20 octets, the most that RFC 5280 section 4.1.2.2 allows
        .serial_number(x509.random_serial_number())
        .not_valid_before(starts)
        .not_valid_after(ends)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _of_profile(profile: Profile) -> list[tuple[x509.ExtensionType, bool]]:
    """The extensions that depend on the profile alone, each with whether it is critical."""
    flags = {ours: name in profile.key_usage for name, ours in KEY_USAGES.items()}
    found: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=profile.is_ca, path_length=profile.path_length), True),
        (x509.KeyUsage(**flags, encipher_only=False, decipher_only=False), True),
    ]
    if profile.extended_key_usage:
        oids = [x509.ObjectIdentifier(EXTENDED_KEY_USAGES[n]) for n in profile.extended_key_usage]
        found.append((x509.ExtendedKeyUsage(oids), False))
    if profile.permitted_names:
        permitted = [constraints.parse(text) for text in profile.permitted_names]
        found.append((x509.NameConstraints(permitted, excluded_subtrees=None), True))
    if profile.crl_url:
        place: list[x509.GeneralName] = [x509.UniformResourceIdentifier(profile.crl_url)]
        found.append((x509.CRLDistributionPoints([_point(place)]), False))
    return found


def _point(place: list[x509.GeneralName]) -> x509.DistributionPoint:
    return x509.DistributionPoint(place, relative_name=None, reasons=None, crl_issuer=None)


def is_ca(certificate: x509.Certificate) -> bool:
    """Return whether the basic constraints say CA, with a subject key identifier beside them."""
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
        certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except (x509.ExtensionNotFound, ValueError):
        return False
    return constraints.value.ca


def issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Return whether `issuer` has the name and the key that `certificate` was signed with."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def subject(certificate: x509.Certificate) -> str:
    """Return the common name of the certificate's subject, or the whole subject without one."""
    found = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(found[0].value) if found else certificate.subject.rfc4514_string()


def fingerprint(certificate: x509.Certificate) -> str:
    """Return the SHA-256 of the certificate's DER, in lower-case hexadecimal."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def serial(certificate: x509.Certificate) -> str:
    """Return the serial number in lower-case hexadecimal, two digits an octet."""
    return serial_text(certificate.serial_number)


def serial_text(number: int) -> str:
    """Return a serial number as `serial` writes it."""
    digits = f"{number:x}"
    return digits.zfill(len(digits) + len(digits) % 2)


def der(certificate: x509.Certificate) -> bytes:
    """Return the certificate as DER."""
    return certificate.public_bytes(Encoding.DER)


def pem(certificate: x509.Certificate) -> bytes:
    """Return the certificate as PEM."""
    return certificate.public_bytes(Encoding.PEM)


def own_key(certificate: x509.Certificate) -> str:
    """Return the subject key identifier in lower-case hexadecimal, "" where there is none."""
    found = _extension(certificate, x509.SubjectKeyIdentifier)
    return found.digest.hex() if found else ""


def issuer_key(certificate: x509.Certificate) -> str:
    """Return the issuer's key identifier in lower-case hexadecimal, "" where nothing tells.

    A root that names none is its own issuer (RFC 5280 section 4.2.1.1).
    """
    found = _extension(certificate, x509.AuthorityKeyIdentifier)
    if found and found.key_identifier:
        return found.key_identifier.hex()
    return own_key(certificate) if certificate.issuer == certificate.subject else ""


def _extension(certificate: x509.Certificate, kind: type[_Extension]) -> _Extension | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except (x509.ExtensionNotFound, ValueError):
        return None


def _whole_second(moment: datetime) -> datetime:
    return moment - timedelta(microseconds=moment.microsecond)


def _date(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M UTC")
