"""Key and certificate files of named devices that are no boards, gateways and the like.

What is signed is in the registry before there is a file of it. The certificate's file comes before
the key's, and neither is ever seen half-written: where there is a key, its certificate is beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from firmshake import deviceid, exclusive, interrupts, newfile
from firmshake.ca import certificate as certificates
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
) -> list[Handed]:
    """Write a new key and certificate for each device to `folder`, and the root's as ca.crt.

    The keys are in clear: a gateway starts with nobody there to type. Keys that a run before left
    unwritten are revoked and made again. Raises Error, with nothing issued, where a device has a
    certificate in force, unless it is to get one `anew`, or where a file is in the way; OSError.
    """
    ids = [deviceid.check(name) for name in dict.fromkeys(ids)]
    with exclusive.folder(folder):
        place = str(folder.resolve())
        pending = {one.device_id: one for of, one in registry.undelivered(place) if not of.claim}
        whole = [] if anew else [name for name in ids if _is_whole(folder, pending.get(name))]
        wanted = [name for name in ids if name not in whole]
        for name in wanted:
            _check_free(folder, name, pending.get(name))
        _put_anchors(folder, authority)
        lost = [pending[name].serial_number for name in wanted if name in pending]
        made = {name: authority.issue(name, now=now) for name in wanted}
        with interrupts.held():
            _deliver(folder, place, registry, made, lost, anew)
            registry.arrived([*map(_serial, made.values()), *(pending[n].serial_number for n in whole)])
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
    if not made:
        return
    issued = [Issued("device", one.certificate, name) for name, one in made.items()]
    registry.deliver(place, issued, replacing=lost, anew=anew)
    for name, identity in made.items():
        # one that is there is of a key that was lost
        _certificate_path(folder, name).unlink(missing_ok=True)
        newfile.create_whole(_certificate_path(folder, name), identity.chain_pem(), _PUBLIC)
        newfile.create_whole(_key_path(folder, name), identity.key_pem())


def _check_free(folder: Path, device_id: str, lost: CertificateRecord | None) -> None:
    """Raise Error where a file is in the way: any but the certificate of a key that was lost."""
    path = _certificate_path(folder, device_id)
    there = _read_certificate(path)
    stale = there is not None and lost is not None and _is_of(there, lost)
    for name in (path, _key_path(folder, device_id)):
        if name.exists(follow_symlinks=False) and not (stale and name == path):
            raise exclusive.in_the_way(name)


