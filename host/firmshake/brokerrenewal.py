"""A new certificate and key for a project's broker, in place of those that it has."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from cryptography import x509

from firmshake.ca import certificate as certificates
from firmshake.ca.authority import Authority
from firmshake.ca.identity import Identity
from firmshake.endpoint import is_address, is_host
from firmshake.errors import Error
from firmshake.newproject import write_broker_certificate
from firmshake.project import BROKER_FILE, Project
from firmshake.registry import Issued, Registry

# no chain comes near it; a file that large is something else
_LARGEST = 64 * 1024


def renew(
    project: Project,
    issuing: Authority,
    registry: Registry,
    *,
    now: datetime,
    names: Sequence[str] = (),
) -> Identity:
    """Put a new key and certificate into the project's broker folder, and return them.

    The certificate has the project's names for the broker, those of the present certificate, and
    `names`. Raises Error, with the old pair left, where the CA issues nothing now or the disk won't
    have it.
    """
    folder = project.broker_folder
    wanted = (project.broker.server_name, project.broker.host, *names)
    every = _each_once([*wanted, *present_names(folder / BROKER_FILE, registry)])
    identity = issuing.issue_broker(every, now=now)
    registry.record(Issued("broker", identity.certificate))
    try:
        write_broker_certificate(folder, identity)
    except OSError as error:
        raise Error(
            f"can't write the broker's certificate to {folder}: {(error.strerror or '').lower()}",
            hint="the old one was left as it is; check the folder, its disk and who may write it",
        ) from None
    return identity


def present_names(path: Path, registry: Registry) -> list[str]:
    """Return the names of the broker's certificate in `path`, where the registry knows it as one.

    None where it can't be read. The broker's own user may write the file: a certificate of
    anybody's must not lend its names. What `issue_broker` would not take, such as a wildcard in an
    imported one, is left out.
    """
    try:
        with path.open("rb") as stream:
            certificate = x509.load_pem_x509_certificates(stream.read(_LARGEST))[0]
        if not _is_known(certificate, registry):
            return []
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, x509.ExtensionNotFound):
        return []  # a lost or damaged certificate is a reason to make a new one
    addresses = map(str, found.get_values_for_type(x509.IPAddress))
    names = [*found.get_values_for_type(x509.DNSName), *addresses]
    return [name for name in _each_once(names) if is_host(name)]


def _is_known(found: x509.Certificate, registry: Registry) -> bool:
    row = registry.certificate(certificates.serial(found))
    if row is None or row.kind != "broker" or row.revoked_at is not None:
        return False
    if not any(_signed_by(row.issuer, ca, registry) for ca in _intermediates(registry)):
        return False  # imported, from another CA
    return row.fingerprint_sha256 == certificates.fingerprint(found)


def _intermediates(registry: Registry) -> list[str]:
    return [row.serial_number for row in registry.certificates(kind="intermediate")]


def _signed_by(issuer: str, serial_number: str, registry: Registry) -> bool:
    body = registry.body(serial_number)
    return body is not None and certificates.own_key(body) == issuer


def _each_once(names: Sequence[str]) -> list[str]:
    """Return the names in their order; one that is written in two ways stands there once."""
    found: dict[str, str] = {}
    for name in names:
        found.setdefault(_same(name), name)
    return list(found.values())


def _same(name: str) -> str:
    return str(ipaddress.ip_address(name)) if is_address(name) else name.lower()
