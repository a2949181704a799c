"""The revocation of a project's certificates: who is meant, and the lists that tell brokers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509

from firmshake.ca import certificate as certificates
from firmshake.ca import lists, store
from firmshake.ca.authority import Authority, Root
from firmshake.ca.profiles import Profiles
from firmshake.ca.store import Place, Places
from firmshake.errors import Error
from firmshake.project import Project, profiles_of
from firmshake.registry import CertificateRecord, CrlRecord, Registry

_DIGITS = frozenset("0123456789abcdef")


@dataclass(frozen=True)
class Published:
    """A list that was signed: of which CA, in which file, and how many entries it has.

    Where it could not be, because a retired CA's key was not to be had, `error` says why, and
    `record` is None.
    """

    subject: str
    path: Path
    record: CrlRecord | None
    count: int
    error: Error | None = None


def meant(registry: Registry, name: str, now: datetime) -> list[CertificateRecord]:
    """Return the certificates in force that `name` means: a device's id, or a serial number.

    Raises Error where there is none.
    """
    mine = list(registry.certificates(device_id=name))
    if not mine:
        digits = name.lower().replace(":", "")
        found = registry.certificate(digits) if set(digits) <= _DIGITS else None
        if found is None:
            raise Error(
                f"neither a device nor a certificate {name!r} is in the registry",
                hint="firmshake ca list shows both",
            )
        mine = [found]
    good = [one for one in mine if one.revoked_at is None and one.not_after > now]
    if not good:
        last = mine[-1]
        why = f"revoked on {last.revoked_at:%Y-%m-%d}" if last.revoked_at else "expired"
        raise Error(f"{name!r} has no certificate in force: the last one is {why}")
    return good


def check_ours(project: Project, found: Sequence[CertificateRecord]) -> None:
    """Raise Error where one is of a CA whose list is not signed here, or is the one that issues."""
    folder = project.ca_folder
    places = store.read(folder)
    issuing = certificates.serial(store.certificate(folder, places.issuing))
    if issuing in (one.serial_number for one in found):
        raise Error(
            f"the certificate {issuing} is that of the CA that issues",
            hint="make its successor first: firmshake ca intermediate",
        )
    _check_keys(folder, places, found)
    every = (places.root, *places.intermediates)
    ours = {certificates.own_key(store.certificate(folder, place)) for place in every}
    for one in found:
        if one.issuer not in ours:
            raise Error(
                f"the certificate {one.serial_number} of {one.subject!r} is of another CA",
                hint="that CA has to revoke it: the lists that are signed here can't tell of it",
            )


def _check_keys(folder: Path, places: Places, found: Sequence[CertificateRecord]) -> None:
    """Raise Error where a CA is to be revoked whose key another one has that goes on."""
    serials = {one.serial_number for one in found}
    own = {place: store.certificate(folder, place) for place in places.intermediates}
    gone = [place for place, one in own.items() if certificates.serial(one) in serials]
    for place in gone:
        for other in places.intermediates:
            if other not in gone and other.key == place.key:
                raise Error(
                    f"{certificates.subject(own[place])!r} has the key of a CA that goes on, under"
                    f" the certificate {certificates.serial(own[other])}",
                    hint="make one with a new key first, firmshake ca intermediate, and revoke the"
                    " certificates of the old key together",
                )


def publish(
    project: Project,
    registry: Registry,
    secret_of: Callable[[Place], bytes],
    *,
    now: datetime,
    root: Root | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[Published]:
    """Sign the lists of all intermediates, of the root where it is given, and gather them.

    `secret_of` tells what opens the key of each intermediate. The lists of CAs that have expired
    or were revoked are left as they are: nobody takes a certificate of theirs. The key of a CA that
    issues no more may be missing: its list is left as it is, and that is told in what is returned.
    Raises Error.
    """
    folder, using = project.ca_folder, profiles_of(project)
    places = store.read(folder)
    done = []
    try:
        for place in signing(folder, places, registry, now):
            try:
                issuer = store.open_issuer(folder, place, secret_of(place))
            except Error as error:
                if place == places.issuing:
                    raise
                done.append(_missed(project, place, error))
                continue
            made = lists.publish(folder, place, issuer, registry, using.intermediate, now, progress)
            done.append(_published(project, place, issuer.certificate, *made))
        if root is not None:
            made = lists.publish(folder, places.root, root, registry, using.root, now)
            done.append(_published(project, places.root, root.certificate, *made))
        lists.gather(folder, places, registry, project.broker_folder / lists.GATHERED)
    except OSError as error:
        raise Error(
            f"can't write the revocation list: {(error.strerror or '').lower()}",
            hint="the old one was left; check the folder and its disk, then: firmshake ca crl",
        ) from None
    return done


def signing(folder: Path, places: Places, registry: Registry, now: datetime) -> Sequence[Place]:
    """Return the intermediates whose lists count and that have not expired."""
    return [
        place
        for place in lists.counting(folder, places, registry)
        if place != places.root and store.certificate(folder, place).not_valid_after_utc > now
    ]


def check_time(authority: Authority, now: datetime, using: Profiles) -> None:
    """Raise Error where the clock is before the CA was made, before anything is changed.

    A CA that has expired is no such case: it can be renewed, and what it issued revoked.
    """
    if now < authority.certificate.not_valid_before_utc:
        certificates.window(using.intermediate, now, authority.certificate)


def _missed(project: Project, place: Place, error: Error) -> Published:
    own = store.certificate(project.ca_folder, place)
    return Published(certificates.subject(own), project.ca_folder / place.crl, None, 0, error)


def _published(
    project: Project, place: Place, own: x509.Certificate, record: CrlRecord, count: int
) -> Published:
    return Published(certificates.subject(own), project.ca_folder / place.crl, record, count)
