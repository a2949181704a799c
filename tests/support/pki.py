"""A CA of the product's own, and the wrong certificates that the product never makes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from firmshake.ca import authority
from firmshake.ca.authority import Authority
from firmshake.ca.identity import Identity

DEVICE = "esp32-aabbcc"

LIMIT_MS = 15000  # that a stage may take: what a busy machine keeps
NOW = datetime.now(UTC).replace(microsecond=0)
LONG_AGO = (NOW - timedelta(days=400), NOW - timedelta(days=300))
LATER = (NOW + timedelta(days=300), NOW + timedelta(days=400))
ALWAYS = (NOW - timedelta(days=4000), NOW + timedelta(days=400))


@dataclass(frozen=True)
class Fleet:
    """A root, its issuing intermediate, a device's identity and a broker's for 127.0.0.1."""

    authority: Authority
    device: Identity
    broker: Identity

    def files(self, device: Identity | None = None) -> dict[str, bytes]:
        """The identity files of a board by name."""
        device = device or self.device
        return {
            "key.der": device.key_der(),
            "cert.der": device.chain_der(),
            "ca.der": device.anchors_der(),
        }


def fleet(name: str = "test") -> Fleet:
    """A new fleet: nothing of it is kept anywhere."""
    # backdated far enough that a clock of the past finds the CA valid too
    _, issuing = authority.create(name, now=NOW - timedelta(days=3000))
    return Fleet(
        issuing,
        issuing.issue(DEVICE, now=NOW),
        issuing.issue_broker(["127.0.0.1", "localhost"], now=NOW),
    )


def settings(port: int, **changes: object) -> dict[str, object]:
    """A board's settings for a broker on 127.0.0.1."""
    return {
        "v": 1,
        "device": DEVICE,
        "host": "127.0.0.1",
        "port": port,
        "floor": int(NOW.timestamp()),
        "limit_ms": LIMIT_MS,
        **changes,
    }


def self_signed(name: str) -> Identity:
    """A server's certificate that nobody else signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    return Identity(key, _build(name, name, key, key), (), ())


def for_clients_only(issuer: Authority) -> Identity:
    """A server's certificate without serverAuth, otherwise in order."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = issuer.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
    assert isinstance(subject, str)
    certificate = _build("127.0.0.1", subject, key, issuer.key, ExtendedKeyUsageOID.CLIENT_AUTH)
    return Identity(key, certificate, (issuer.certificate,), (issuer.root,))


def _build(
    name: str,
    issuer: str,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.SERVER_AUTH,
) -> x509.Certificate:
    def named(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    import ipaddress

    return (
        x509.CertificateBuilder()
        .subject_name(named(name))
        .issuer_name(named(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
        .sign(signer, hashes.SHA256())
    )


def encrypted(identity: Identity) -> bytes:
    """The identity's key as encrypted PKCS#8 DER."""
    return identity.key.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"correct horse"),
    )
