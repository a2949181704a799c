"""Name constraints (RFC 5280 section 4.2.1.10): which names a CA's certificates may have.

Does no I/O.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import TYPE_CHECKING

from firmshake.endpoint import is_address, is_host
from firmshake.errors import Error

if TYPE_CHECKING:  # slow to load, and profiles are looked through without it
    from cryptography import x509


def is_constraint(text: object) -> bool:
    """Return whether `text` is "dns:NAME" or "ip:NETWORK"."""
    if not isinstance(text, str):
        return False
    kind, _, value = text.partition(":")
    if kind == "dns":
        return is_host(value) and not is_address(value)
    try:
        return kind == "ip" and bool(ipaddress.ip_network(value))
    except ValueError:
        return False


def parse(text: str) -> x509.GeneralName:
    """Return a constraint as the extension holds it."""
    from cryptography import x509

    assert is_constraint(text)
    kind, _, value = text.partition(":")
    return x509.IPAddress(ipaddress.ip_network(value)) if kind == "ip" else x509.DNSName(value)


def within(ca: x509.Certificate, names: Sequence[x509.GeneralName]) -> list[x509.GeneralName]:
    """Return those of a broker's `names` that the CA may certify; raise Error where one is lost.

    An address that stands there as text beside its proper form is left out where it would be held
    against the DNS names that are permitted.
    """
    permitted = _permitted(ca)
    kept = [name for name in names if _is_permitted(permitted, name)]
    lost = {str(name.value) for name in names} - {str(name.value) for name in kept}
    if lost:
        raise Error(
            f"the CA may not issue for {', '.join(sorted(lost))}: its name constraints forbid it",
            hint="give a name that permitted_names in profiles.toml allowed when the CA was made",
        )
    return kept


def _permitted(ca: x509.Certificate) -> Sequence[x509.GeneralName]:
    from cryptography import x509

    try:
        found = ca.extensions.get_extension_for_class(x509.NameConstraints).value
    except x509.ExtensionNotFound:
        return ()
    return found.permitted_subtrees or ()


def _is_permitted(permitted: Sequence[x509.GeneralName], name: x509.GeneralName) -> bool:
    """Whether it is below one of its own kind; a kind of which there is none is free."""
    from cryptography import x509

    mine = [one.value for one in permitted if type(one) is type(name)]
    if isinstance(name, x509.IPAddress):
        return not mine or any(name.value in network for network in mine)
    wanted = str(name.value).lower()
    return not mine or any(f".{wanted}".endswith(f".{one.lower()}") for one in mine)
