"""The audit of a project's CA: registry, log and files hold together, and nothing lies open."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from firmshake import brokeraudit, listaudit, modeaudit, revocation
from firmshake.ca import certificate as certificates
from firmshake.ca import keyfile, store
from firmshake.ca.finding import NOTE, WARNING, WRONG, Finding
from firmshake.ca.store import Place, Places
from firmshake.errors import Error
from firmshake.project import Project
from firmshake.registry import CertificateRecord, Registry
from firmshake.registry.issuance import SUPERSEDED
from firmshake.registry.log import Entry
from firmshake.registry.numbers import Delivery
from firmshake.registry.reconcile import Reconciliation

# the names that files have while they are written (newfile.py)
_UNFINISHED = re.compile(r"\..+\.[0-9a-f]{8}")

_ALTERED = (
    "find out who could write the registry; put back the newest copy that passes the audit, and"
    " revoke what it does not tell of"
)


@dataclass(frozen=True)
class Audited:
    """What was looked at: how many certificates, and the log's last entry."""

    certificates: int
    head: Entry | None


def audit(
    project: Project,
    registry: Registry,
    told: Callable[[Finding], None],
    *,
    now: datetime,
    head: tuple[int, str] | None = None,
    progress: Callable[[int], None] = lambda count: None,
) -> Audited:
    """Look at everything that can be looked at without a passphrase; `told` is what was found.

    `head` is the number and hash of an entry that was noted elsewhere: the log must still hold it.
    Raises Error where ca.toml can't be read.
    """
    places = store.read(project.ca_folder)
    walk = Reconciliation(
        registry, lambda words: told(Finding(WRONG, "log_mismatch", words, _ALTERED)), progress
    )
    walk.walk()
    for finding in (
        *_noted(registry, head),
        *_pending(walk.pending, project, places, registry, now),
        *_schema(registry),
        *_files(project, places, registry, now),
        *_unnamed(project, places, registry, now),
        *listaudit.check(project, places, registry, walk, now),
        *brokeraudit.check(project, registry, now),
        *modeaudit.check(project, places),
        *_strays(project, places, registry, now),
        *_undelivered(registry),
    ):
        told(finding)
    return Audited(walk.certificates, walk.head)


def _noted(registry: Registry, head: tuple[int, str] | None) -> Iterator[Finding]:
    if head is None:
        return
    number, sha256 = head
    found = next(registry.log(number - 1), None)
    if found is None or (found.seq, found.sha256) != (number, sha256):
        what = f"the log's entry {number} is not the one that was noted: the log was written anew"
        yield Finding(WRONG, "log_replaced", what, _ALTERED)


def _pending(
    pending: dict[str, dict[str, str]],
    project: Project,
    places: Places,
    registry: Registry,
    now: datetime,
) -> Iterator[Finding]:
    """What was revoked and stands on no list yet; those of CAs that are no more don't count."""
    folder = project.ca_folder
    try:
        signing = [places.root, *revocation.signing(folder, places, registry, now)]
        cas = [(place, store.certificate(folder, place)) for place in signing]
    except Error:
        return  # a certificate can't be read: told elsewhere
    for place, own in cas:
        reasons = pending.get(certificates.own_key(own), {}).values()
        if reasons:
            what = f"{len(reasons)} revoked since the last list of {certificates.subject(own)!r}"
            command = "firmshake ca crl" + (" --root" if place == places.root else "")
            # each provisioning of a board anew revokes what it held, whose key is gone from it
            severity = NOTE if set(reasons) == {SUPERSEDED} else WARNING
            yield Finding(severity, "list_outdated", what, f"sign a new one: {command}")


def _schema(registry: Registry) -> Iterator[Finding]:
    for what in registry.altered():
        yield Finding(WRONG, "schema_altered", what, _ALTERED)


def _files(
    project: Project, places: Places, registry: Registry, now: datetime
) -> Iterator[Finding]:
    for place in (places.root, *places.intermediates):
        path = project.ca_folder / place.certificate
        try:
            found = store.certificate(project.ca_folder, place)
        except Error as error:
            yield Finding(WRONG, "file_missing", error.message, error.hint)
            continue
        if not registry.knows(found):
            what = f"{path} is a certificate that the registry does not know"
            yield Finding(WRONG, "unknown_certificate", what, "put back the one that it was")
        row = registry.certificate(certificates.serial(found))
        if place is places.issuing and row is not None and row.revoked_at is not None:
            what = f"{path}, the CA that issues, was revoked on {row.revoked_at:%Y-%m-%d}"
            fix = "nobody lets in what it issues: make its successor, firmshake ca intermediate"
            yield Finding(WRONG, "revoked_ca", what, fix)
        if found.not_valid_after_utc <= now:
            retired = place in places.intermediates[:-1]
            what = f"{path} expired on {found.not_valid_after_utc:%Y-%m-%d}"
            fix = "" if retired else "nothing is issued any more: renew it"
            yield Finding(NOTE if retired else WARNING, "expired", what, fix)
        yield from _key(project.ca_folder, place, place is places.root)


def _key(folder: Path, place: Place, offline: bool) -> Iterator[Finding]:
    path = folder / place.key
    if place.in_token or (offline and not path.exists()):
        return
    try:
        content = keyfile.read(path)
    except Error as error:
        yield Finding(WRONG, "file_missing", error.message, error.hint)
        return
    if b"ENCRYPTED" not in content:
        what = f"{path} is not encrypted"
        fix = "others may have it: make a new one with firmshake ca intermediate, revoke this one"
        yield Finding(WRONG, "key_in_clear", what, fix)
    elif offline:
        what = f"{path}, the root's key, lies beside the issuing CA's"
        fix = "move it to a medium that is kept offline; --root-key says where it is when needed"
        yield Finding(NOTE, "root_online", what, fix)


def _unnamed(
    project: Project, places: Places, registry: Registry, now: datetime
) -> Iterator[Finding]:
    """CAs that may issue for the fleet, and that no command here uses."""
    for row in _forgotten(project, places, registry, now):
        what = f"the intermediate {row.subject!r}, {row.serial_number}, is good, and"
        what += f" {project.ca_folder / store.FILE} does not name it"
        fix = (
            "put back the newest ca.toml if that is an old one; if a command was interrupted,"
            f" revoke it: firmshake ca revoke {row.serial_number} --reason cessationOfOperation"
        )
        yield Finding(WARNING, "unnamed_ca", what, fix)


def _forgotten(
    project: Project, places: Places, registry: Registry, now: datetime
) -> list[CertificateRecord]:
    try:
        every = [store.certificate(project.ca_folder, place) for place in places.intermediates]
    except Error:
        return []  # told elsewhere; which one is named can't be said
    named = {certificates.serial(one) for one in every}
    return [
        row
        for row in registry.certificates(kind="intermediate")
        if row.revoked_at is None and row.not_after > now and row.serial_number not in named
    ]


def _strays(
    project: Project, places: Places, registry: Registry, now: datetime
) -> Iterator[Finding]:
    """What an interrupted command left: it does no harm, and may hold a key."""
    used = {store.FILE, *(one for p in (places.root, *places.intermediates) for one in _names(p))}
    serials = {row.serial_number for row in _forgotten(project, places, registry, now)}
    used |= _files_of(project.ca_folder, serials)
    for folder in (project.ca_folder, project.broker_folder):
        for path in sorted(folder.iterdir()):
            unfinished = bool(_UNFINISHED.fullmatch(path.name))
            if unfinished or (folder == project.ca_folder and path.name not in used):
                what = f"{path} is used by nothing: an interrupted command may have left it"
                yield Finding(NOTE, "stray_file", what, "delete it")


def _files_of(folder: Path, serials: set[str]) -> set[str]:
    """The names of the files of these CAs: what they are for is told, and they are kept."""
    found: set[str] = set()
    for path in folder.glob("*.crt") if serials else ():
        with suppress(Error):
            own = keyfile.load_certificate(path)
            if certificates.serial(own) in serials:
                found.update(path.with_suffix(end).name for end in (".crt", ".key", ".crl"))
    return found


def _undelivered(registry: Registry) -> Iterator[Finding]:
    """What a run that was broken off has left open; a run that still goes on looks the same."""
    waiting: dict[Delivery, list[str]] = {one: [] for one in registry.deliveries()}
    for delivery, row in registry.undelivered():
        waiting.setdefault(delivery, []).append(row.device_id or row.subject)
    for delivery, ids in waiting.items():
        count = f"{len(ids)} keys" if len(ids) != 1 else f"the key of {ids[0]}"
        what = f"{count} may never have reached {delivery.place}, which a run began to write"
        command = _again(registry, delivery, ids)
        fix = f"if that run has ended, have it done: firmshake ca {command}"
        yield Finding(WARNING, "key_undelivered", what, fix)


def _again(registry: Registry, delivery: Delivery, ids: list[str]) -> str:
    """The command that goes on with it."""
    claim, out = delivery.claim, f"--out {shlex.quote(delivery.place)}"
    if claim is not None:
        return f"issue --count {claim.count} --prefix {shlex.quote(claim.prefix)} {out}"
    had_one = len(registry.in_force(ids)) > len(ids)
    return f"{'rekey' if had_one else 'issue'} {' '.join(ids)} {out}"


def _names(place: Place) -> tuple[str, str, str]:
    return place.certificate, place.key, place.crl
