"""Key and certificate files of named devices that are no boards, gateways and the like.

What is signed is in the registry before there is a file of it. The certificate's file comes before
the key's, and neither is ever seen half-written: beside each key there is its certificate.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from firmshake import deviceid, exclusive, interrupts, newfile
from firmshake.ca import certificate as certificates
from firmshake.ca import signing
from firmshake.ca.authority import Authority
from firmshake.ca.identity import Identity, PublicKey
from firmshake.errors import Error
from firmshake.registry import CertificateRecord, Issued, Registry

ANCHORS = "ca.crt"
_PUBLIC = 0o644
# no chain and no key of ours comes near it
_LARGEST = 64 * 1024


@dataclass(frozen=True)
class Handed:
    """What a device was given; `key` is None where it has one already."""

    device_id: str
    certificate: x509.Certificate
    path: Path
    key: Path | None


def issue(
    folder: Path,
    ids: Sequence[str],
    authority: Authority,
    registry: Registry,
    *,
    now: datetime,
    anew: bool = False,
    profile: str | None = None,
) -> list[Handed]:
    """Write a new key and certificate for each device to `folder`, and the root's as ca.crt.

    `profile` names one of the profiles for devices, None the usual one. The keys are in clear: a
    gateway starts with nobody there to type. Keys that a run before left
    unwritten are revoked and made again. Raises Error, with nothing issued, where a device has a
    certificate in force, unless it is to get one `anew`, or where a file is in the way; OSError.
    """
    ids = [deviceid.check(name) for name in dict.fromkeys(ids)]
    with exclusive.folder(folder):
        place = str(folder.resolve())
        pending = _pending(place, registry)
        whole = [name for name in ids if _is_whole(folder, pending.get(name))]
        if whole:
            registry.arrived([pending.pop(name).serial_number for name in whole])
        wanted = [name for name in ids if anew or name not in whole]
        if not anew:
            registry.check_none_in_force([name for name in wanted if name not in pending])
        for name in wanted:
            _check_free(folder, name, pending.get(name))
        _put_anchors(folder, authority)
        lost = [pending[name].serial_number for name in wanted if name in pending]
        made = {name: authority.issue(name, now=now, profile=profile) for name in wanted}
        if made:
            with interrupts.held():
                _deliver(folder, place, registry, made, lost, anew)
    return [_handed(folder, name) for name in ids]


def rekey(
    folder: Path, device_id: str, authority: Authority, registry: Registry, *, now: datetime
) -> Handed:
    """Write a new key and certificate for a device that had one; what it had stays good.

    Raises Error where it had none, and as `issue` does.
    """
    _check_known(registry, device_id)
    return issue(folder, [device_id], authority, registry, now=now, anew=True)[0]


def renew(
    folder: Path, device_id: str, authority: Authority, registry: Registry, *, now: datetime
) -> Handed:
    """Write a new certificate for the key that a device has; what it had stays good.

    A certificate of the same key that is in `folder` is replaced. Raises Error where the device has
    no key that is still to be trusted, or a file is in the way; OSError.
    """
    _check_known(registry, device_id)
    key = _present_key(registry, device_id, now)
    path = _certificate_path(folder, device_id)
    with exclusive.folder(folder):
        there = _read_certificate(path)
        if path.exists() and (there is None or there.public_key() != key):
            raise exclusive.in_the_way(path)
        _put_anchors(folder, authority)
        made = authority.certify(device_id, key, now=now)
        chain = certificates.pem(made) + certificates.pem(authority.certificate)
        with interrupts.held():
            registry.record_issued(device_id, made)
            newfile.replace(path, chain, _PUBLIC)
    return Handed(device_id, made, path, None)


def _deliver(
    folder: Path,
    place: str,
    registry: Registry,
    made: Mapping[str, Identity],
    lost: Sequence[str],
    anew: bool,
) -> None:
    issued = [Issued("device", one.certificate, name) for name, one in made.items()]
    registry.deliver(place, issued, replacing=lost, anew=anew)
    for name, identity in made.items():
        # what is there is of a key that was lost
        _certificate_path(folder, name).unlink(missing_ok=True)
        for torn in folder.glob(f".{name}.key.*"):
            torn.unlink()
        newfile.create_whole(_certificate_path(folder, name), identity.chain_pem(), _PUBLIC)
        newfile.create_whole(_key_path(folder, name), identity.key_pem())
    registry.arrived([certificates.serial(one.certificate) for one in made.values()])


def _check_free(folder: Path, device_id: str, lost: CertificateRecord | None) -> None:
    """Raise Error where a file is in the way: any but the certificate of a key that was lost."""
    path = _certificate_path(folder, device_id)
    if path.name.lower() == ANCHORS:
        raise Error(
            f"{device_id!r} can't be in a folder: {ANCHORS} is the root's certificate",
            hint="give the device another id",
        )
    there = _read_certificate(path)
    stale = there is not None and lost is not None and _is_of(there, lost)
    for name in (path, _key_path(folder, device_id)):
        if os.path.lexists(name) and not (stale and name == path):
            raise exclusive.in_the_way(name)


def _pending(place: str, registry: Registry) -> dict[str, CertificateRecord]:
    """The certificates whose keys were on their way there when a run was broken off, by device."""
    found = (one for of, one in registry.undelivered(place) if of.claim is None)
    return {one.device_id: one for one in found if one.device_id is not None}


def _is_whole(folder: Path, record: CertificateRecord | None) -> bool:
    """Whether the certificate of that record is in the folder, with its key."""
    if record is None:
        return False
    device_id = record.device_id or ""
    there = _read_certificate(_certificate_path(folder, device_id))
    if there is None or not _is_of(there, record):
        return False
    try:
        content = _read(_key_path(folder, device_id))
        key = serialization.load_pem_private_key(content, password=None)
    except (OSError, ValueError, TypeError):
        return False
    return key.public_key() == there.public_key()


def _is_of(found: x509.Certificate, record: CertificateRecord) -> bool:
    return certificates.fingerprint(found) == record.fingerprint_sha256


def _put_anchors(folder: Path, authority: Authority) -> None:
    """Write the root's certificate, unless it is there; raise Error where another one is."""
    path = folder / ANCHORS
    there = _read_certificate(path)
    if there == authority.root:
        return
    if os.path.lexists(path):
        raise Error(
            f"{path} is not the root certificate of this CA", hint="name a folder of its own"
        )
    newfile.create_whole(path, certificates.pem(authority.root), _PUBLIC)


def _check_known(registry: Registry, device_id: str) -> None:
    found = registry.device(device_id)
    if found is None or found.certificate is None:
        raise Error(
            f"{device_id} never had a certificate",
            hint=f"for its first: firmshake ca issue {device_id} --out FOLDER",
        )


def _present_key(registry: Registry, device_id: str, now: datetime) -> PublicKey:
    """The public key of the device's newest certificate that was not revoked, in force if any is.

    Raises Error where there is none, or where the key is lost or known to others.
    """
    every = list(registry.certificates(device_id=device_id))
    good = [one for one in every if one.revoked_at is None]
    lost = {one.serial_number for _, one in registry.undelivered()}
    newest = max(reversed(good), key=lambda one: one.not_after > now, default=None)
    hint = f"for a new key and certificate: firmshake ca rekey {device_id} --out FOLDER"
    if newest is None:
        raise Error(f"every certificate of {device_id} is revoked", hint)
    if newest.serial_number in lost:
        raise Error(f"the key of {device_id} may never have reached it", hint)
    key = signing.key_of(registry, newest)
    if not isinstance(key, PublicKey):
        raise Error(f"the key of {device_id} is neither EC nor RSA", hint)
    signing.check_not_compromised(registry, key, every)
    return key


def _handed(folder: Path, device_id: str) -> Handed:
    path = _certificate_path(folder, device_id)
    found = _read_certificate(path)
    assert found is not None  # written a moment ago
    return Handed(device_id, found, path, _key_path(folder, device_id))


def _certificate_path(folder: Path, device_id: str) -> Path:
    return folder / f"{device_id}.crt"


def _key_path(folder: Path, device_id: str) -> Path:
    return folder / f"{device_id}.key"


def _read_certificate(path: Path) -> x509.Certificate | None:
    """The first certificate in a file, None where there is none."""
    try:
        return x509.load_pem_x509_certificate(_read(path))
    except (OSError, ValueError):
        return None


def _read(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(_LARGEST)
