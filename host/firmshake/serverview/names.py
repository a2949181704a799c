"""A distinguished name in DER, as a CertificateRequest lists those of its CAs. Does no I/O."""

from __future__ import annotations

from firmshake_agent import der, x509


def of_der(data: bytes) -> str:
    """The common name, or whatever the agent's reader makes of the name; "?" where it is none."""
    try:
        tag, start, end = der.element(data, 0, len(data))
        return str(x509.name(data, (tag, start, end)))
    except der.BadDer:
        return "?"
