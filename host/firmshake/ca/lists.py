"""The revocation lists of a project's CAs: signed from the registry, gathered for brokers."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

from firmshake import newfile
from firmshake.ca import certificate as certificates
from firmshake.ca import crlfile, store
from firmshake.ca.certificate import Issuer
from firmshake.ca.crl import Revoked
from firmshake.ca.profiles import Profile
from firmshake.ca.store import Place, Places
from firmshake.errors import Error
from firmshake.registry import CrlRecord, Registry

GATHERED = "crl.pem"


def publish(
    folder: Path,
    place: Place,
    issuer: Issuer,
    registry: Registry,
    profile: Profile,
    now: datetime,
    progress: Callable[[int], None] | None = None,
) -> tuple[CrlRecord, int]:
    """Sign the list of one CA into its folder; return its record and how many entries it has.

    It is in the registry's log before it is signed. What has expired, and had when the last list
    was signed, is left out (RFC 5280 section 3.3). Raises Error, with the old list left, where the
    CA is expired, not yet valid or may not sign lists, or the registry is an old copy, and OSError.
    """
    own = issuer.certificate
    certificates.window(profile, now, own)  # raises outside of the CA's validity
    starts = max(now - profile.backdate, own.not_valid_before_utc).replace(microsecond=0)
    ends = min(now + _validity(profile), own.not_valid_after_utc).replace(microsecond=0)
    key = certificates.own_key(own)
    before = registry.last_crl(key)
    _check_newest(folder / place.crl, before)
    # never later than now: a clock that was wrong once must not take anything off the list
    since = min(before.this_update, now) if before else None
    record = registry.number_crl(key, starts, ends)
    count = crlfile.write(
        folder / place.crl,
        issuer,
        _entries(registry, key, since),
        number=record.number,
        this_update=record.this_update,
        next_update=record.next_update,
        progress=progress,
    )
    return record, count


def _check_newest(path: Path, before: CrlRecord | None) -> None:
    """Raise Error where a list has been signed that the registry knows nothing of."""
    there = crlfile.read_number(path) if path.exists() else None
    known = before.number if before else 0
    if there is not None and there > known:
        raise Error(
            f"{path} is list {there}, and the registry knows of {known} at most: it is an old copy",
            hint="put back the newest copy of the registry; what was revoked since is not in this",
        )


def counting(folder: Path, places: Places, registry: Registry) -> list[Place]:
    """Return the CAs whose lists count: the root, and each intermediate that was not revoked.

    Of two certificates with one key the later has the list.
    """
    by_key: dict[str, list[Place]] = {}
    for place in (places.root, *places.intermediates):
        by_key.setdefault(place.key, []).append(place)
    return [
        every[-1]
        for every in by_key.values()
        if not all(_is_revoked(folder, place, registry) for place in every)
    ]


def gather(folder: Path, places: Places, registry: Registry, target: Path) -> None:
    """Put the lists that count, those that are there, one after the other into `target`, as PEM.

    That of a revoked CA is left out, and locks out all that it has signed, and all that a thief of
    its key signs: mosquitto looks for nothing but the list of the certificate's own issuer, and
    refuses where it finds none (OpenSSL's X509_V_FLAG_CRL_CHECK without _ALL).
    Raises OSError, with the old file left.
    """
    # a link leads to where the broker reads
    with newfile.replacing(target.resolve(), crlfile.PUBLIC) as stream:
        for place in reversed(counting(folder, places, registry)):
            path = folder / place.crl
            if path.exists():
                with path.open("rb") as source:
                    shutil.copyfileobj(source, stream)


def _is_revoked(folder: Path, place: Place, registry: Registry) -> bool:
    row = registry.certificate(certificates.serial(store.certificate(folder, place)))
    return row is not None and row.revoked_at is not None


def _validity(profile: Profile) -> timedelta:
    assert profile.crl_validity is not None  # the profiles' reader wants one of each CA
    return profile.crl_validity


def _entries(registry: Registry, issuer: str, since: datetime | None) -> Iterator[Revoked]:
    for row in registry.revoked(issuer, since):
        assert row.revoked_at is not None
        yield Revoked(int(row.serial_number, 16), row.revoked_at, row.reason)
