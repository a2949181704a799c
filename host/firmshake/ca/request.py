"""A certificate signing request: what of it counts, and what is left out. Does no I/O.

The key counts, and that the request was signed with it. What a certificate may do is said by the
profiles, and its names by whoever signs; what else a request asks for has no effect.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtensionOID

from firmshake.ca import certificate as certificates
from firmshake.ca.certchecks import check_key
from firmshake.ca.finding import WRONG
from firmshake.ca.identity import PublicKey
from firmshake.ca.profiles import KEY_TYPES
from firmshake.errors import Error
from firmshake.serverview import certview

# FIPS 186-5 appendix A.1.1; signatures with small ones were forged where they were checked badly
_LEAST_EXPONENT = 65537

_PEM = b"-----BEGIN"
_HINT = "give what openssl req -new wrote, as PEM or DER"
_STRONGER = f"make the request with a key of one of these types: {', '.join(KEY_TYPES)}"


@dataclass(frozen=True)
class Request:
    """A request whose signature is right: `common_name` is None where it has not just one."""

    key: PublicKey
    common_name: str | None
    asked: x509.CertificateSigningRequest


def read(content: bytes) -> Request:
    """Return the request in PEM or DER; raise Error where it is none that may be signed."""
    load = x509.load_pem_x509_csr if _PEM in content else x509.load_der_x509_csr
    try:
        with certview.quiet():
            found = load(content)
            signed, key = found.is_signature_valid, found.public_key()
            names = [str(one.value) for one in found.subject.get_attributes_for_oid(_CN)]
    except certview.ODD:
        raise Error("not a certificate signing request", hint=_HINT) from None
    if not signed:
        raise Error(
            "the request is not signed with its own key: it was changed, or made wrongly",
            hint="have it made again",
        )
    return Request(_checked(key), names[0] if len(names) == 1 else None, found)


def differences(request: Request, made: x509.Certificate) -> Iterator[str]:
    """Yield what the request asks for and the certificate has not or otherwise, in words."""
    asked = request.asked
    if asked.subject != made.subject:
        given, wanted = (name.subject.rfc4514_string() for name in (made, asked))
        yield f"subject {given} in place of {wanted or 'none'}"
    try:
        with certview.quiet():
            extensions = asked.extensions
    except certview.ODD:
        yield "no extensions: those of the request can't be read"
        return
    for extension in extensions:
        name = _named(extension.oid)
        try:
            own = made.extensions.get_extension_for_oid(extension.oid)
        except x509.ExtensionNotFound:
            yield f"no {name}"
            continue
        if own.value != extension.value:
            yield f"{name} as the profile has it"


_CN = x509.NameOID.COMMON_NAME


def _checked(key: object) -> PublicKey:
    for finding in check_key(key):
        if finding.severity == WRONG:
            what = finding.what.removesuffix(".")
            raise Error(what[:1].lower() + what[1:], hint=_STRONGER)
    if not isinstance(key, PublicKey):
        raise Error("the key of the request is neither EC nor RSA", hint=_STRONGER)
    kind = certificates.key_type(key)
    if kind not in KEY_TYPES:
        raise Error(f"the key of the request is {kind}, which is not signed", hint=_STRONGER)
    if isinstance(key, rsa.RSAPublicKey) and key.public_numbers().e < _LEAST_EXPONENT:
        raise Error("the RSA key of the request has too small an exponent", hint=_STRONGER)
    return key


def _named(oid: x509.ObjectIdentifier) -> str:
    return _NAMES.get(oid, f"extension {oid.dotted_string}")


_NAMES = {
    ExtensionOID.SUBJECT_ALTERNATIVE_NAME: "subject alternative name",
    ExtensionOID.BASIC_CONSTRAINTS: "basic constraints",
    ExtensionOID.KEY_USAGE: "key usage",
    ExtensionOID.EXTENDED_KEY_USAGE: "extended key usage",
    ExtensionOID.SUBJECT_KEY_IDENTIFIER: "subject key identifier",
}
