"""A project's material for an export, and the folder that an export is written to."""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from firmshake import newfile, project
from firmshake.ca import certificate as certificates
from firmshake.ca import lists, store
from firmshake.ca.store import Place
from firmshake.errors import Error
from firmshake.exports.devicelist import Listed
from firmshake.exports.material import Files, Material, Retired, is_private
from firmshake.project import BROKER_FILE, Project
from firmshake.registry import CertificateRecord, Registry
from firmshake.staging import staged

_PUBLIC = 0o644
_KEY = re.compile(
    rb"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----\n?", re.DOTALL
)

Lists = Mapping[str, Callable[[Iterable[Listed]], Iterator[bytes]]]


def gather(
    fleet: Project, registry: Registry, *, at: str = "", user: str = "", with_key: bool = False
) -> Material:
    """Return what the exports are made of; the broker's key only `with_key`.

    Raises Error where a file is missing or is not what it should be.
    """
    folder, places = fleet.ca_folder, store.read(fleet.ca_folder)
    pair = _read(fleet.broker_folder / BROKER_FILE, "make a new one: firmshake ca broker")
    found = _KEY.search(pair)
    if with_key and found is None:
        raise Error(
            f"no private key in {fleet.broker_folder / BROKER_FILE}",
            hint="make a new one: firmshake ca broker",
        )
    return Material(
        fleet=fleet.name,
        host=fleet.broker.host,
        port=fleet.broker.port,
        root=project.root_certificate(fleet),
        issuing=store.certificate(folder, places.issuing),
        broker_chain=_chain(fleet.broker_folder / BROKER_FILE, pair),
        broker_key=found[0] if with_key and found else None,
        crl=_read(fleet.broker_folder / lists.GATHERED, "sign one: firmshake ca crl"),
        retired=[_retired(fleet, place, registry) for place in places.intermediates[:-1]],
        issuing_key=places.issuing.key,
        crl_url=project.profiles_of(fleet).device.crl_url,
        at=at,
        user=user,
    )


def this_user() -> str:
    """Return the name of who runs this; the environment may name another (su, sudo, cron)."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        raise Error(f"the user number {os.getuid()} has no name on this computer") from None


def devices(
    registry: Registry, now: datetime, untrusted: frozenset[str] = frozenset()
) -> Iterator[Listed]:
    """Yield the certificates of all devices that have not expired, as issued, a page at a time.

    What a CA signed whose key is among `untrusted` counts as revoked.
    """

    def is_good(one: CertificateRecord) -> bool:
        return one.revoked_at is None and one.not_after >= now and one.issuer not in untrusted

    for one, der in registry.bodies():
        if one.kind != "device" or one.device_id is None or one.not_after < now:
            continue
        yield Listed(
            device_id=one.device_id,
            serial_number=one.serial_number,
            fingerprint_sha256=one.fingerprint_sha256,
            not_after=one.not_after,
            der=der,
            is_revoked=not is_good(one),
            is_gone=not is_good(one)
            and _is_last(registry, one.device_id, one.serial_number, is_good),
        )


def refused(registry: Registry, takes: Callable[[str], bool]) -> Iterator[str]:
    """Yield the ids of the devices that a broker or a cloud does not take, each once."""
    before = ""
    for one in registry.certificates(kind="device"):
        if one.device_id is not None and one.device_id != before and not takes(one.device_id):
            before = one.device_id
            yield one.device_id


def write(
    target: Path,
    files: Files,
    lines: Lists,
    registry: Registry,
    now: datetime,
    untrusted: frozenset[str] = frozenset(),
) -> None:
    """Write an export to the folder `target`, which is new or has none of the files.

    `untrusted` is as `devices` has it.

    Raises Error, with nothing left of it, where the disk won't have it or a file is there already.
    """
    with staged(target) as stage:
        for name, content in files.items():
            path = stage / name
            path.parent.mkdir(parents=True, exist_ok=True)
            data = content.encode("utf-8") if isinstance(content, str) else content
            newfile.create(path, data, newfile.PRIVATE if is_private(name) else _PUBLIC)
        for name, make in lines.items():
            with newfile.replacing(stage / name, newfile.PRIVATE) as stream:
                stream.writelines(make(devices(registry, now, untrusted)))


def _retired(fleet: Project, place: Place, registry: Registry) -> Retired:
    own = store.certificate(fleet.ca_folder, place)
    row = registry.certificate(certificates.serial(own))
    return Retired(own, is_revoked=row is not None and row.revoked_at is not None)


def _is_last(
    registry: Registry,
    device_id: str,
    serial_number: str,
    is_good: Callable[[CertificateRecord], bool],
) -> bool:
    """Whether a device has nothing good, and that is the last that it was given."""
    last = ""
    for one in registry.certificates(device_id=device_id):
        if is_good(one):
            return False
        last = one.serial_number
    return last == serial_number


def _chain(path: Path, content: bytes) -> bytes:
    try:
        found = x509.load_pem_x509_certificates(content)
    except ValueError:
        raise Error(
            f"{path} holds no certificate", hint="make a new one: firmshake ca broker"
        ) from None
    return b"".join(one.public_bytes(Encoding.PEM) for one in found)


def _read(path: Path, hint: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise Error(f"no file {path}", hint=hint) from None
    except OSError as error:
        raise Error(
            f"can't read {path}: {(error.strerror or 'unreadable').lower()}",
            hint="check who may read the file",
        ) from None
