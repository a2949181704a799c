"""What mbedTLS's one number for a refused certificate means. Does no I/O.

For firmware that gives no reason with it (CircuitPython up to 10.2): the alert that mbedTLS itself
has sent tells more, and so do the certificates that went by.
"""

from . import x509

# The alert by what was refused, the first that fits (ssl_tls.c of mbedTLS 2.28 to 4.0)
_OWN_ALERTS = {
    42: "hostname_mismatch",  # bad_certificate
    43: "wrong_usage",  # unsupported_certificate: its use, or its key
    46: "weak_key",  # certificate_unknown: without dates and revocation, only the hash is left
    48: "unknown_ca",
}


def cause(
    alert: int,
    leaf: "x509.Certificate | None",
    top: "x509.Certificate | None",
    anchors: "list[x509.Certificate | None]",
    wanted: str,
) -> str:
    """The cause where the runtime has only one word for every refused server certificate.

    `alert` is the AlertDescription that the board itself sent with it, -1 where none was seen.
    """
    found = _OWN_ALERTS.get(alert, "unknown_ca")
    if alert < 0 and leaf is not None and matches(leaf, wanted) is False:
        found = "hostname_mismatch"
    # mbedTLS looks at the name first: who issued it may be as wrong, and weighs more
    if found == "hostname_mismatch" and leaf and not _lead_to(anchors, leaf, top):
        return "unknown_ca"
    if found == "wrong_usage" and (_is_weak(leaf) or _is_weak(top)):
        return "weak_key"
    return found


def _lead_to(
    anchors: "list[x509.Certificate | None]",
    leaf: x509.Certificate,
    top: "x509.Certificate | None",
) -> bool:
    """Whether what the server sent names one of our anchors as its issuer."""
    for anchor in anchors:
        for shown in (leaf, top):
            if anchor is None or shown is None:
                continue
            if shown.aki and anchor.ski:
                if shown.aki == anchor.ski:
                    return True
            elif shown.issuer == anchor.subject:
                return True
    return False


def _is_weak(certificate: "x509.Certificate | None") -> bool:
    """Whether the key is below mbedTLS's limit: a curve of 256 bits, RSA with 2048."""
    key = certificate.key if certificate else b""
    return len(key) < (256 if key[:1] == b"\x30" else 65) and key != b""


def matches(certificate: x509.Certificate, wanted: str) -> "bool | None":
    """Whether a certificate is for this name or address (RFC 9525, 6.3 and 6.5); None: unknown.

    It cannot be told where the certificate has more names than were kept, and of IPv6 addresses,
    which are written in many ways.
    """
    wanted = wanted.lower()
    _, _, rest = wanted.partition(".")
    is_address = ":" in wanted or wanted.replace(".", "").isdigit()
    for each in certificate.names:
        each = each.lower()
        # "*" stands for the whole first label, and for that alone
        if each == wanted or (rest and not is_address and each == "*." + rest):
            return True
    if ":" in wanted or len(wanted) > 64 or certificate.name_count > len(certificate.names):
        return None
    return False
