"""A private key with its certificate, chain and anchors, in the forms that boards and brokers read.

Does no I/O.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey

_DER = serialization.Encoding.DER
_PEM = serialization.Encoding.PEM


@dataclass(frozen=True)
class Identity:
    """What one end of a TLS connection holds.

    `chain` has the intermediates, the leaf's issuer first, without the anchors; `anchors` are the
    roots that the other end is checked against.
    """

    key: PrivateKey = field(repr=False)
    certificate: x509.Certificate
    chain: tuple[x509.Certificate, ...]
    anchors: tuple[x509.Certificate, ...]

    def key_der(self) -> bytes:
        """Return the key in clear as the one form that every firmware reads.

        That is SEC1 DER (RFC 5915) for an EC key, PKCS#1 DER (RFC 8017 appendix A.1.2) for RSA.

        For memory and for the board: never for a file of this computer.
        """
        return self.key.private_bytes(
            _DER, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )

    def key_pem(self) -> bytes:
        """Return the key in clear as PKCS#8 PEM (RFC 5958), for a broker."""
        return self.key.private_bytes(
            _PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def chain_der(self) -> bytes:
        """Return leaf and intermediates as DER, one after the other."""
        return b"".join(c.public_bytes(_DER) for c in (self.certificate, *self.chain))

    def chain_pem(self) -> bytes:
        """Return leaf and intermediates as PEM, in the order in which TLS sends them."""
        return b"".join(c.public_bytes(_PEM) for c in (self.certificate, *self.chain))

    def anchors_der(self) -> bytes:
        """Return the trust anchors as DER, one after the other."""
        return b"".join(c.public_bytes(_DER) for c in self.anchors)

    def anchors_pem(self) -> bytes:
        """Return the trust anchors as PEM."""
        return b"".join(c.public_bytes(_PEM) for c in self.anchors)
