"""Keys and certificates of the faults, good ones and all kinds of wrong ones, made afresh."""

from __future__ import annotations

import ipaddress
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from firmshake import authority
from firmshake.endpoint import is_address
from firmshake.identity import Identity

Key = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey

# the client's device id: its common name, its MQTT client id and a part of its topics
CLIENT = "firmshake-faults"

_CURVES = {"ec-p256": ec.SECP256R1, "ec-p384": ec.SECP384R1, "ec-p521": ec.SECP521R1}
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
    algorithm: hashes.HashAlgorithm | None = field(default_factory=hashes.SHA256)
    usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.SERVER_AUTH
    is_ca: bool = False
    padding: int = 0


class Pki:
    """A fleet's CA, a good client and good brokers of it; `once` keeps what takes long to make."""

    def __init__(self, names: Sequence[str]) -> None:
        self.now = datetime.now(UTC).replace(microsecond=0)
        self.names = tuple(dict.fromkeys(names))
        root, issuing = authority.create("firmshake faults", now=self.now)
        self.root = Signer(root.key, root.certificate)
        self.issuing = Signer(issuing.key, issuing.certificate)
        self.client: Identity = issuing.issue(CLIENT, now=self.now)
        self._made: dict[str, Any] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def once[T](self, name: str, make: Callable[[], T]) -> T:
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
