"""The audit of the revocation lists: that they are the CA's own, and say what the registry says."""

from __future__ import annotations

import filecmp
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path

from cryptography import x509

from firmshake import regularfile
from firmshake.ca import certificate as certificates
from firmshake.ca import lists, store
from firmshake.ca.finding import WARNING, WRONG, Finding
from firmshake.ca.store import Place, Places
from firmshake.errors import Error
from firmshake.project import Project
from firmshake.registry import CertificateRecord, Registry
from firmshake.registry.reconcile import Reconciliation

_SIGN = "sign a new one: firmshake ca crl"
_OLD_COPY = (
    "put back the newest copy of the registry: this one lacks what was issued and revoked since"
)
_FORGED = "find out who could write there; then sign a new one: firmshake ca crl"
_END = b"-----END X509 CRL-----"
# a list of a million entries has 75 MB as PEM
_LARGEST = 1 << 30
# entries that are asked for at a time: SQLite takes 999 values in a query at least
_AT_ONCE = 900


@dataclass(frozen=True)
class _Signer:
    """A CA whose list counts. `numbered` is when its last was, and `pending` what came after."""

    place: Place
    own: x509.Certificate
    numbered: datetime | None
    pending: dict[str, str]

    @property
    def key(self) -> str:
        return certificates.own_key(self.own)

    def has_signed(self, found: x509.CertificateRevocationList) -> bool:
        try:
            return found.is_signature_valid(self.own.public_key())  # type: ignore[arg-type]
        except (TypeError, ValueError):
            return False


def check(
    project: Project, places: Places, registry: Registry, walk: Reconciliation, now: datetime
) -> Iterator[Finding]:
    """Yield what is wrong with the lists in ca/, and with those that were gathered for brokers."""
    folder = project.ca_folder
    try:
        counting = lists.counting(folder, places, registry)
        signers = [_signer(folder, place, walk) for place in counting]
    except Error:
        return  # a certificate can't be read: told elsewhere
    for signer in signers:
        yield from _list(folder / signer.place.crl, signer, registry, now)
    yield from _gathered(project, places, registry, signers)


def _signer(folder: Path, place: Place, walk: Reconciliation) -> _Signer:
    own = store.certificate(folder, place)
    key = certificates.own_key(own)
    return _Signer(place, own, walk.signed.get(key), walk.pending.get(key, {}))


def _list(path: Path, signer: _Signer, registry: Registry, now: datetime) -> Iterator[Finding]:
    found = _read(path)
    # behind the file: a list that is signed meanwhile has its number in the registry first
    last = registry.last_crl(signer.key)
    if found is None:
        if last is not None or path.exists():
            what = f"{path}, a revocation list, is missing or damaged"
            yield Finding(WRONG, "file_missing", what, _SIGN)
        return
    if not signer.has_signed(found):
        what = f"{path} was not signed by {certificates.subject(signer.own)!r}, or was changed"
        yield Finding(WRONG, "bad_signature", what, _FORGED)
        return
    number, known = _number(found), last.number if last else 0
    if number is not None and number > known:
        what = f"{path} is list {number}, and the registry knows of {known} at most:"
        yield Finding(WRONG, "registry_outdated", f"{what} it is an old copy", _OLD_COPY)
        return
    if number != known:
        what = f"{path} is list {number}, and {known} was signed last"
        yield Finding(WARNING, "list_outdated", what, _SIGN)
    if last and last.next_update <= now < signer.own.not_valid_after_utc:
        what = f"{path} is past its next update: brokers that read it let nobody in"
        yield Finding(WRONG, "crl_expired", what, _SIGN)
    yield from _content(path, found, signer, registry, current=number == known)


def _content(
    path: Path,
    found: x509.CertificateRevocationList,
    signer: _Signer,
    registry: Registry,
    *,
    current: bool,
) -> Iterator[Finding]:
    """Hold the entries against the registry; of a list that is not `current` less is asked."""
    numbered = signer.numbered if current else None
    # an older list is known to be behind its own date, and no more: that was set back for clocks
    # that run apart
    at = numbered or found.last_update_utc
    pending = signer.pending if numbered else {}
    missing, extra = _compare(found, signer.key, registry, at, pending)
    if missing.count:
        what = f"{path} lacks {missing.count} of what was revoked before it was signed,"
        yield Finding(WRONG, "list_wrong", f"{what} such as {missing.first}", _FORGED)
    if extra.count:
        what = f"{path} names {extra.count} that the registry does not call revoked,"
        yield Finding(WRONG, "list_wrong", f"{what} such as {extra.first}", _FORGED)


@dataclass
class _Tally:
    count: int = 0
    first: str = ""

    def add(self, serial: str) -> None:
        self.first = self.first or serial
        self.count += 1


def _compare(
    found: x509.CertificateRevocationList,
    issuer: str,
    registry: Registry,
    at: datetime,
    pending: dict[str, str],
) -> tuple[_Tally, _Tally]:
    """What misses on the list, and what stands on it too much.

    Both are in the order of issue, so one walk along both is enough, and none is held in memory. A
    list in another order is none that firmshake wrote: the rest of it counts as missing.
    """
    missing, extra = _Tally(), _Tally()
    listed = _revoked_ones(found, issuer, registry, extra)
    entry = next(listed, None)
    for row in registry.revoked(issuer):
        if row.serial_number == entry:
            entry = next(listed, None)
        elif _must_stand(row, at) and row.serial_number not in pending:
            missing.add(row.serial_number)
    for _ in listed:
        pass  # counts what is too much
    return missing, extra


def _revoked_ones(
    found: x509.CertificateRevocationList, issuer: str, registry: Registry, extra: _Tally
) -> Iterator[str]:
    """The serial numbers of the entries whose certificates were revoked; others go to `extra`."""
    entries = (certificates.serial_text(one.serial_number) for one in found)
    while part := list(islice(entries, _AT_ONCE)):
        revoked = registry.revoked_among(part, issuer)
        for serial in part:
            if serial in revoked:
                yield serial
            else:
                extra.add(serial)


def _must_stand(row: CertificateRecord, at: datetime) -> bool:
    """Whether it was revoked, and had not expired, when the list was signed."""
    return row.revoked_at is not None and row.revoked_at <= at < row.not_after


def _gathered(
    project: Project, places: Places, registry: Registry, signers: list[_Signer]
) -> Iterator[Finding]:
    """Whether the broker's file is what it would be if it were gathered now."""
    path = project.broker_folder / lists.GATHERED
    parts = [project.ca_folder / signer.place.crl for signer in signers]
    if any(part.exists() and not part.is_file() for part in parts):
        return  # told above
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder) / "crl.pem"
        lists.gather(project.ca_folder, places, registry, fresh)
        if path.is_file() and filecmp.cmp(path, fresh, shallow=False):
            return
    what = f"{path} does not hold the lists of {project.ca_folder}"
    yield Finding(WARNING, "list_outdated", what, "gather them: firmshake ca crl")
    if path.is_file():
        yield from _strangers(path, signers, registry)


def _strangers(path: Path, signers: list[_Signer], registry: Registry) -> Iterator[Finding]:
    """What is worse than old in the broker's file: no list of ours, or one with another content."""
    for number, text in enumerate(_blocks(path), 1):
        where = path.with_name(f"{path.name}, part {number},")
        found = _parsed(text)
        # a list without entries is false to Python, and none that is missing
        mine = [one for one in signers if found is not None and one.has_signed(found)]
        if found is None or not mine:
            what = f"{where} is no list of a CA that counts"
            yield Finding(WRONG, "bad_signature", what, "gather them: firmshake ca crl")
        else:
            yield from _content(where, found, mine[0], registry, current=False)


def _blocks(path: Path) -> Iterator[bytes]:
    """The file's lists one after the other, so that only one is in memory."""
    held: list[bytes] = []
    with regularfile.opened(path) as stream:
        for line in stream:
            held.append(line)
            if line.startswith(_END):
                yield b"".join(held)
                held.clear()
    if b"".join(held).strip():
        yield b"".join(held)


def _read(path: Path) -> x509.CertificateRevocationList | None:
    try:
        content = regularfile.read(path, _LARGEST)
    except OSError:
        return None
    return _parsed(content) if content is not None else None


def _parsed(content: bytes) -> x509.CertificateRevocationList | None:
    pem = b"-----BEGIN" in content
    try:
        return (x509.load_pem_x509_crl if pem else x509.load_der_x509_crl)(content)
    except ValueError:
        return None


def _number(found: x509.CertificateRevocationList) -> int | None:
    try:
        return found.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except (x509.ExtensionNotFound, ValueError):
        return None
