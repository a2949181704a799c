"""Keys and certificates for many numbered devices, as lines of JSON in one file.

For devices that are no boards of ours, whatever takes keys from a file. Memory does not grow with
their number. What was recorded and not yet written when a run was broken off is revoked as the run
goes on: those keys are gone with the process that had them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from firmshake import exclusive, interrupts, newfile
from firmshake.ca import bulkfile
from firmshake.ca import certificate as certificates
from firmshake.ca.authority import Authority
from firmshake.errors import Error
from firmshake.registry import CertificateRecord, Issued, Registry
from firmshake.registry.numbers import Delivery, Numbers

# In one transaction: enough that its fsync costs little, and so few that another process waits for
# some hundredths of a second
AT_ONCE = 500


@dataclass(frozen=True)
class Done:
    """What a run has done: the first and the last of its ids, and how many it wrote just now.

    `before` of them stood in the file when it went on. `taken` of them have a certificate from
    elsewhere and are not in the file. `lost` keys of the run that was broken off never got there,
    and their certificates are revoked.
    """

    first: str
    last: str
    written: int = 0
    before: int = 0
    taken: int = 0
    lost: int = 0


def begun(path: Path, registry: Registry) -> Numbers | None:
    """Return the ids of the run to `path` that was broken off, or None.

    Raises Error where there is no such run, and a file that is not empty.
    """
    delivery = _delivery(path, registry)
    if delivery is None and os.path.lexists(path) and not _is_empty(path):
        raise exclusive.in_the_way(path)
    return delivery.claim if delivery else None


def issue(
    path: Path,
    prefix: str,
    count: int,
    authority: Authority,
    registry: Registry,
    *,
    now: datetime,
    passphrase: bytes | None,
    progress: Callable[[int], None] = lambda done: None,
    profile: str | None = None,
) -> Done:
    """Write keys and certificates of `count` new devices to the new file `path`.

    Their ids are the prefix and the next numbers. A line is an object of "device", "certificate"
    (PEM, with the intermediate) and "key" (PKCS#8 PEM, encrypted unless `passphrase` is None). A
    run that was broken off goes on where it was. `progress` is told how many are done. `profile`
    names one of the profiles for devices, None the usual one. Raises Error, and OSError; the same
    call goes on then.
    """
    with exclusive.private_file(path) as (stream, new):
        try:
            delivery, claim, done = _begin(path, stream, new, registry, prefix, count, passphrase)
        except BaseException:
            if new:
                path.unlink()
            raise
        newfile.sync_folder(path.parent)
        writer = bulkfile.Writer(authority, passphrase)
        run = _Run(stream, registry, authority, writer, now, profile)
        for low in range(claim.first + done.before, claim.last + 1, AT_ONCE):
            numbers = range(low, min(low + AT_ONCE, claim.last + 1))
            written = run.part(delivery.number, [claim.device_id(number) for number in numbers])
            taken = len(numbers) - written
            done = replace(done, written=done.written + written, taken=done.taken + taken)
            progress(numbers.stop - claim.first)
        registry.finish(delivery.number)
        return done


@dataclass(frozen=True)
class _Run:
    stream: BinaryIO
    registry: Registry
    authority: Authority
    writer: bulkfile.Writer
    now: datetime
    profile: str | None

    def part(self, delivery: int, ids: Sequence[str]) -> int:
        """Issue, record and write a part of the devices; return how many that were."""
        taken = {one.device_id for one in self.registry.in_force(ids)}
        made = [
            (name, self.authority.issue(name, now=self.now, profile=self.profile))
            for name in ids
            if name not in taken
        ]
        if not made:
            return 0
        lines = [self.writer.line(name, identity) for name, identity in made]
        issued = [Issued("device", identity.certificate, name) for name, identity in made]
        with interrupts.held():
            self.registry.record_devices(issued, delivery)
            self.stream.writelines(lines)
            newfile.sync(self.stream)
        return len(made)


def _begin(
    path: Path,
    stream: BinaryIO,
    new: bool,
    registry: Registry,
    prefix: str,
    count: int,
    passphrase: bytes | None,
) -> tuple[Delivery, Numbers, Done]:
    """Begin a run, or take up the one that was broken off: what it has to do, and has done."""
    delivery = _delivery(path, registry)
    if delivery is None:
        if stream.seek(0, os.SEEK_END):
            raise exclusive.in_the_way(path)
        delivery = registry.claim_numbers(_place(path), prefix, count)
    claim = delivery.claim
    assert claim is not None  # of named devices there are no files
    if (claim.prefix, claim.count) != (prefix, count):
        raise _another(path, claim)
    if new and registry.device(claim.device_id(claim.first)) is not None:
        raise _changed(path, "gone, and a run that wrote keys to it was broken off")
    unsure = [one for of, one in registry.undelivered(delivery.place) if of == delivery]
    end, line = bulkfile.last_line(stream, len(unsure))
    before = _check(path, line, claim, registry, passphrase) if line else 0
    _cut(stream, end)  # for certain, before the registry forgets which lines were unsure
    lost = _withdraw(registry, unsure, claim, before)
    ends = claim.device_id(claim.first), claim.device_id(claim.last)
    return delivery, claim, Done(*ends, before=before, lost=lost)


def _cut(stream: BinaryIO, end: int) -> None:
    if stream.seek(0, os.SEEK_END) > end:
        stream.truncate(end)
        newfile.sync(stream)
    stream.seek(end)


def _check(
    path: Path, line: bytes, claim: Numbers, registry: Registry, passphrase: bytes | None
) -> int:
    """How many ids the file is behind, by its last line; raise Error if that is none of this run.

    The registry has to know its certificate, and its key is to be kept as the others will be.
    """
    try:
        last = bulkfile.parse(line)
        number = claim.number(last.device_id)
    except ValueError:
        number = None
    if number is None:
        raise _changed(path, "not as the run that was broken off has left it")
    if registry.certificate(certificates.serial(last.certificate)) is None:
        raise Error(
            f"the registry does not know the last certificate in {path}",
            hint="put back the registry that belongs to this CA, the newest copy of it",
        )
    if last.encrypted != (passphrase is not None):
        how = ("encrypted", "without") if last.encrypted else ("in clear", "with")
        raise Error(f"the keys in {path} are {how[0]}", hint=f"go on {how[1]} --clear-keys")
    if passphrase is not None and not last.opens(passphrase):
        raise Error(
            f"this passphrase does not open the keys in {path}",
            hint="type the one with which that run was begun",
        )
    return number - claim.first + 1


def _withdraw(
    registry: Registry, unsure: Sequence[CertificateRecord], claim: Numbers, before: int
) -> int:
    """Revoke what was recorded and is not in the file; return how many that are."""
    lost = [
        one.serial_number
        for one in unsure
        if (claim.number(one.device_id or "") or 0) >= claim.first + before
    ]
    registry.withdraw(lost)
    return len(lost)


def _delivery(path: Path, registry: Registry) -> Delivery | None:
    return next((one for one in registry.deliveries(_place(path)) if one.claim), None)


def _place(path: Path) -> str:
    return str(path.absolute().parent.resolve() / path.name)


def _is_empty(path: Path) -> bool:
    return path.is_file() and not path.stat().st_size


def _another(path: Path, claim: Numbers) -> Error:
    prefix = f" --prefix {claim.prefix}"
    return Error(
        f"{path} is of a run that was broken off, for other devices",
        hint=f"go on with --count {claim.count}{prefix}, or name another file",
    )


def _changed(path: Path, how: str) -> Error:
    return Error(
        f"{path} is {how}", hint="put it back to go on with that run, or name another file"
    )
