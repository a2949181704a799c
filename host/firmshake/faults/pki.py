"""Keys and certificates of the faults, good ones and all kinds of wrong ones, made afresh."""

from __future__ import annotations

import ipaddress
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from firmshake.ca.authority import Authority
from firmshake.ca.identity import Identity
from firmshake.endpoint import is_address

T = TypeVar("T")
Key = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey

# the client's device id: its common name, its MQTT client id and a part of its topics
CLIENT = "firmshake-faults"

_CURVES: dict[str, ec.EllipticCurve] = {
    "ec-p256": ec.SECP256R1(),
    "ec-p384": ec.SECP384R1(),
    "ec-p521": ec.SECP521R1(),
}
_PEM = serialization.Encoding.PEM


@dataclass(frozen=True)
class Signer:
    """A key with its certificate, and those that stand between it and the root."""

    key: Key = field(repr=False)
    certificate: x509.Certificate
    chain: tuple[x509.Certificate, ...] = ()

    def key_pem(self) -> bytes:
        """The key in clear, as PKCS#8 PEM."""
        return self.key.private_bytes(
            _PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def chain_pem(self) -> bytes:
        """The certificate and its chain, in the order in which they are sent."""
        return b"".join(part.public_bytes(_PEM) for part in (self.certificate, *self.chain))

    def sending(self, *chain: x509.Certificate) -> Signer:
        """The same with another chain behind it."""
        return replace(self, chain=chain)


@dataclass(frozen=True)
class Wish:
    """A certificate as it is wanted; what is not said is as it should be."""

    key: str = "ec-p256"
    common_name: str | None = "firmshake faults broker"
    organisation: str | None = None
    names: tuple[str, ...] | None = None
    days: tuple[int, int] = (-2, 90)
    usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.SERVER_AUTH
    is_ca: bool = False


class Pki:
    """A fleet's CA, a good client and good brokers of it; `once` keeps what takes long to make."""

    def __init__(self, names: Sequence[str]) -> None:
        self.now = datetime.now(UTC).replace(microsecond=0)
        self.names = tuple(dict.fromkeys(names))
        self._made: dict[str, Any] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()
        # not by the profiles: below this root there may be CAs of any depth
        self.root = self.authority(Wish(common_name="firmshake faults root CA"))
        self.issuing = self.authority(Wish(common_name="firmshake faults issuing CA"), self.root)
        self.client: Identity = self._client()

    def _client(self) -> Identity:
        key = self.issuing.key
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        issuing = Authority(key, self.issuing.certificate, self.root.certificate)
        return issuing.issue(CLIENT, now=self.now)

    def once(self, name: str, make: Callable[[], T]) -> T:
        """What `make` returned the first time that `name` was asked for."""
        with self._lock:
            lock = self._locks.setdefault(name, threading.Lock())
        with lock:
            if name not in self._made:
                self._made[name] = make()
            made: T = self._made[name]
            return made

    def server(self, wish: Wish | None = None, issuer: Signer | None = None) -> Signer:
        """A broker's certificate, by the fleet's intermediate unless another issuer is named."""
        issuer = issuer or self.issuing
        signer = self.signed(wish or Wish(), issuer)
        above = () if is_root(issuer.certificate) else (issuer.certificate, *issuer.chain)
        return signer.sending(*above)

    def good(self) -> Signer:
        """The broker that has nothing wrong with it."""
        return self.once("good", self.server)

    def authority(self, wish: Wish, issuer: Signer | None = None) -> Signer:
        """A CA of its own, or an intermediate below `issuer`."""
        made = self.signed(replace(wish, is_ca=True), issuer)
        if issuer is None:
            return made
        above = () if is_root(issuer.certificate) else (issuer.certificate, *issuer.chain)
        return made.sending(*above)

    def signed(self, wish: Wish, issuer: Signer | None) -> Signer:
        """A certificate as it is wished, signed by `issuer`, by itself where that is None."""
        key = self.once(f"key {wish.key}", lambda: new_key(wish.key))
        if wish.is_ca or issuer is None:
            key = new_key(wish.key)  # two CAs of one key would be one
        subject = _name(wish)
        parent = issuer or Signer(key, _Unissued(subject))  # type: ignore[arg-type]
        return self._built(wish, key, parent)

    def signed_by(self, wish: Wish, own: Signer) -> Signer:
        """Another certificate of a CA's own key, signed by itself."""
        return self._built(wish, own.key, own)

    def _built(self, wish: Wish, key: Key, parent: Signer) -> Signer:
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(wish))
            .issuer_name(parent.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.now + timedelta(days=wish.days[0]))
            .not_valid_after(self.now + timedelta(days=wish.days[1]))
        )
        for value, critical in self._extensions(wish, key, parent.key):
            builder = builder.add_extension(value, critical)
        algorithm = None if isinstance(parent.key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
        return Signer(key, builder.sign(parent.key, algorithm))

    def _extensions(
        self, wish: Wish, key: Key, signer: Key
    ) -> list[tuple[x509.ExtensionType, bool]]:
        found: list[tuple[x509.ExtensionType, bool]] = [
            (x509.BasicConstraints(ca=wish.is_ca, path_length=None), True),
            (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
            (x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), False),
        ]
        if wish.is_ca:
            return [*found, (_SIGNS, True)]
        names = self.names if wish.names is None else wish.names
        found.append((x509.ExtendedKeyUsage([wish.usage]), False))
        if names:
            general = [_general(name) for name in names]
            found.append((x509.SubjectAlternativeName(general), not _name(wish).rdns))
        return found


@dataclass(frozen=True)
class _Unissued:
    """Stands for the certificate of one who signs itself, before there is one."""

    subject: x509.Name


_SIGNS = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


def new_key(kind: str) -> Key:
    """A new private key: "ec-p256", "ed25519", "rsa-4096" and the like."""
    if kind in _CURVES:
        return ec.generate_private_key(_CURVES[kind])
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(65537, int(kind.removeprefix("rsa-")))


def is_root(certificate: x509.Certificate) -> bool:
    """Whether it names itself as its issuer."""
    return certificate.issuer == certificate.subject


def crl(issuer: Signer, revoked: Sequence[x509.Certificate], now: datetime) -> bytes:
    """The issuer's revocation list, as PEM."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(now - timedelta(days=1))
        .next_update(now + timedelta(days=30))
    )
    for certificate in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(certificate.serial_number)
        builder = builder.add_revoked_certificate(
            entry.revocation_date(now - timedelta(hours=1)).build()
        )
    return builder.sign(issuer.key, hashes.SHA256()).public_bytes(_PEM)


def _name(wish: Wish) -> x509.Name:
    parts = (
        (NameOID.ORGANIZATION_NAME, wish.organisation),
        (NameOID.COMMON_NAME, wish.common_name),
    )
    return x509.Name([x509.NameAttribute(oid, text) for oid, text in parts if text])


def _general(name: str) -> x509.GeneralName:
    return x509.IPAddress(ipaddress.ip_address(name)) if is_address(name) else x509.DNSName(name)
