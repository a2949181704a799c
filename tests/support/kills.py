"""Kills an operation of the CA at any line of its code, and looks at what is left.

A program: `kills.py OPERATION POINTS SEED`. The operation runs once, to count the lines of
firmshake that it goes through. Then, for each of POINTS lines spread over all of them, a forked
child runs it on a fresh copy of the project, and kills itself (SIGKILL) as it comes to that line.
What is left is checked; then the same operation has to succeed, and what is there is checked again.
It prints a line for each thing that was wrong, and exits with 1 if there was any.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import shutil
import signal
import sqlite3
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

import firmshake
from firmshake import (
    audit,
    brokerrenewal,
    intermediates,
    newfile,
    project,
    revocation,
)
from firmshake.ca import bulk, bulkfile, handover, keyfile, pkcs8, request, signing, store
from firmshake.ca import certificate as certificates
from firmshake.ca.authority import Authority, Root
from firmshake.ca.finding import WRONG
from firmshake.errors import Error
from firmshake.newproject import new_project
from firmshake.project import Broker, Project
from firmshake.registry import Registry, log

SECRET = b"correct horse"
BORN = datetime.now(UTC) - timedelta(days=2)
# their keys are in no file of ours
BOARDS = ("board", "signed")
SOURCE = str(Path(firmshake.__file__).parent)

# few, so that runs of many parts are short
PART, COUNT = 2, 5


@dataclass(frozen=True)
class Desk:
    """A project that is worked on, with its CA open."""

    fleet: Project
    registry: Registry
    authority: Authority
    root: Root
    now: datetime

    @property
    def out(self) -> Path:
        return self.fleet.root / "out"

    def lists(self, root: bool = False) -> None:
        """Sign the revocation lists."""
        revocation.publish(
            self.fleet,
            self.registry,
            lambda place: SECRET,
            now=self.now,
            root=self.root if root else None,
        )


def _named(desk: Desk) -> None:
    handover.issue(desk.out, ["gw-1", "gw-2"], desk.authority, desk.registry, now=desk.now)


def _bulk(desk: Desk) -> None:
    path = desk.fleet.root / "keys.jsonl"
    bulk.issue(path, "pump", COUNT, desk.authority, desk.registry, now=desk.now, passphrase=SECRET)


def _rekey(desk: Desk) -> None:
    handover.rekey(desk.out, "old", desk.authority, desk.registry, now=desk.now)


def _renew(desk: Desk) -> None:
    handover.renew(desk.out, "old", desk.authority, desk.registry, now=desk.now)


def _sign(desk: Desk) -> None:
    made = signing.sign_device(REQUEST, "signed", desk.authority, desk.registry, now=desk.now)
    newfile.create_whole(desk.fleet.root / "signed.crt", certificates.pem(made), 0o644)


def _provision(desk: Desk) -> None:
    """The registry's part of provisioning a board anew."""
    made = desk.authority.issue("board", now=desk.now)
    desk.registry.record_issued("board", made.certificate)
    desk.registry.set_state("board", "written")
    desk.registry.set_state("board", "proved", "ready")


def _revoke(desk: Desk) -> None:
    with contextlib.suppress(Error):  # the second time there is none in force
        found = revocation.meant(desk.registry, "old", desk.now)
        desk.registry.revoke([one.serial_number for one in found], "superseded")
    desk.lists()


def _crl(desk: Desk) -> None:
    desk.lists(root=True)


def _intermediate(desk: Desk) -> None:
    intermediates.renew(
        desk.fleet, desk.registry, desk.root, desk.authority, lambda place: SECRET, now=desk.now
    )


def _broker(desk: Desk) -> None:
    brokerrenewal.renew(desk.fleet, desk.authority, desk.registry, now=desk.now)


OPERATIONS: dict[str, Callable[[Desk], None]] = {
    "issue": _named,
    "bulk": _bulk,
    "rekey": _rekey,
    "renew": _renew,
    "sign": _sign,
    "provision": _provision,
    "revoke": _revoke,
    "crl": _crl,
    "intermediate": _intermediate,
    "broker": _broker,
}


def _request() -> request.Request:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "signed")])
    made = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return request.read(made.public_bytes(serialization.Encoding.PEM))


REQUEST = _request()


class Killed:
    """Counts the lines of firmshake that are gone through; at the number `at` it kills us."""

    def __init__(self, at: int | None = None) -> None:
        self._at, self.count = at, 0

    def __call__(self, frame: FrameType, event: str, given: Any) -> Any:
        return self._line if frame.f_code.co_filename.startswith(SOURCE) else None

    def _line(self, frame: FrameType, event: str, given: Any) -> Any:
        if event == "line":
            self.count += 1
            if self.count == self._at:
                os.kill(os.getpid(), signal.SIGKILL)
        return self._line


def run(work: Callable[[Desk], None], desk: Desk, at: int | None = None) -> int:
    """Do the work; return how many lines that were."""
    tracer = Killed(at)
    sys.settrace(tracer)
    try:
        work(desk)
    finally:
        sys.settrace(None)
    return tracer.count


def killed(work: Callable[[Desk], None], desk: Desk, at: int) -> bool:
    """Do the work in a child that is killed at the line `at`; return whether it came that far."""
    child = os.fork()
    if not child:
        status = 70
        try:
            run(work, desk, at)
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0, "the operation failed by itself"
    return False


def pristine(folder: Path) -> Path:
    """A project with a device, `old`, whose files are in the folder `had`."""
    made = new_project(
        folder / "fleet",
        broker=Broker("127.0.0.1", 8883, "broker.example"),
        passphrase=SECRET,
        now=BORN,
        ntp=(),
    )
    desk = opened(made.root)
    handover.issue(made.root / "had", ["old"], desk.authority, desk.registry, now=BORN)
    desk.registry.record_issued("board", desk.authority.issue("board", now=BORN).certificate)
    return made.root


def opened(folder: Path) -> Desk:
    """The project in that folder, opened as each command does."""
    fleet = project.load(folder)
    registry = Registry.open(fleet.registry_path)
    project.check_authority(fleet, registry)
    authority = project.open_authority(fleet, SECRET)
    place = store.root_place(fleet.ca_folder, store.read(fleet.ca_folder))
    root = store.open_root(fleet.ca_folder, place, SECRET)
    return Desk(fleet, registry, authority, root, datetime.now(UTC))


def faults(folder: Path, done: bool) -> Iterator[str]:
    """Everything that is wrong in the project; with `done` nothing may be left to do either."""
    try:
        desk = opened(folder)
    except Error as error:
        yield f"it does not open: {error.message}"
        return
    yield from _of_sqlite(desk.fleet.registry_path)
    yield from _of_log(desk.registry)
    yield from _of_audit(desk)
    yield from _of_modes(folder)
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.name.startswith("."):
            yield from (f"{path.name}: {what}" for what in _of_file(desk, path))
    yield from _of_authorities(desk)
    yield from _of_keys(desk, done)


def _of_sqlite(path: Path) -> Iterator[str]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for pragma, good in (("integrity_check", [("ok",)]), ("foreign_key_check", [])):
            if (found := connection.execute(f"PRAGMA {pragma}").fetchall()) != good:
                yield f"{pragma}: {found}"


def _of_log(registry: Registry) -> Iterator[str]:
    yield from log.broken(registry.log())
    entries = [entry.fields for entry in registry.log()]
    issued = [one["serial"] for one in entries if one["event"] in ("issued", "imported")]
    rows = list(registry.certificates())
    if issued != [row.serial_number for row in rows]:
        yield "log and certificates differ"
    if len(set(issued)) != len(issued):
        yield "a serial number was used twice"
    revoked = {one["serial"] for one in entries if one["event"] == "revoked"}
    if revoked != {row.serial_number for row in rows if row.revoked_at}:
        yield "log and revocations differ"
    numbers = [(one["issuer"], one["number"]) for one in entries if one["event"] == "crl"]
    if numbers != [(one.issuer, one.number) for one in registry.crls()]:
        yield "log and revocation lists differ"
    if len(set(numbers)) != len(numbers):
        yield "the number of a revocation list was used twice"


def _of_audit(desk: Desk) -> Iterator[str]:
    found: list[Any] = []
    audit.audit(desk.fleet, desk.registry, found.append, now=desk.now)
    yield from (f"audit: {one.what}" for one in found if one.severity == WRONG)


def _of_modes(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*"):
        if path.is_file() and b"PRIVATE KEY" in path.read_bytes():
            mode = stat.S_IMODE(path.stat().st_mode)
            if mode & 0o077:
                yield f"{path.name} holds a key, and has the mode {mode:04o}"


def _of_file(desk: Desk, path: Path) -> Iterator[str]:
    content = path.read_bytes()
    if not content and path.name != "keys.jsonl":
        yield "empty"
    if path.suffix in (".crt", ".pem") and path.name != "crl.pem":
        found = x509.load_pem_x509_certificates(content)
        yield from _of_certificates(desk, found)
        beside = content if b"PRIVATE" in content else _beside(path)
        if beside is not None and _public(beside) != found[0].public_key():
            yield "key and certificate don't match"
    elif path.suffix == ".key":
        _public(content)
        if not path.with_suffix(".crt").exists():
            yield "a key without its certificate"
    elif path.name == "crl.pem":
        end = b"-----END X509 CRL-----\n"
        for block in content.split(end)[:-1]:
            x509.load_pem_x509_crl(block + end)
    elif path.name == "keys.jsonl":
        for line in content.split(b"\n")[:-1]:
            entry = bulkfile.parse(line)
            yield from _of_certificates(desk, [entry.certificate])
            if not entry.opens(SECRET):
                yield f"the key of {entry.device_id} is not that of its certificate"


def _beside(path: Path) -> bytes | None:
    key = path.with_suffix(".key")
    return key.read_bytes() if key.exists() else None


def _public(pem: bytes) -> Any:
    if b"ENCRYPTED" in pem:
        return pkcs8.decrypt(pem, SECRET).public_key()
    return serialization.load_pem_private_key(pem, None).public_key()


def _of_certificates(desk: Desk, found: list[x509.Certificate]) -> Iterator[str]:
    for one in found:
        serial = certificates.serial(one)
        body = desk.registry.body(serial)
        if body != one:
            yield f"the registry does not know {serial}"


def _of_authorities(desk: Desk) -> Iterator[str]:
    """Each CA opens, and what list it has is its own and was numbered in the log."""
    folder = desk.fleet.ca_folder
    places = store.read(folder)
    for place in (places.root, *places.intermediates):
        issuer = store.open_issuer(folder, place, SECRET)
        path = folder / place.crl
        if not path.exists():
            yield f"no list {path.name}"
            continue
        found = x509.load_pem_x509_crl(keyfile.read(path))
        if not found.is_signature_valid(issuer.certificate.public_key()):
            yield f"{path.name} is not signed by its CA"
        number = found.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        own = certificates.own_key(issuer.certificate)
        if number not in {one.number for one in desk.registry.crls() if one.issuer == own}:
            yield f"{path.name} has a number that was never given"


def _of_keys(desk: Desk, done: bool) -> Iterator[str]:
    """Every key that was made here is in a file, or the registry says that it may be lost."""
    on_the_way = {one.serial_number for _, one in desk.registry.undelivered()}
    if done and (on_the_way or desk.registry.deliveries()):
        yield "something is on its way still"
    kept = {_digest(key) for key in _keys(desk.fleet.root)}
    for row in desk.registry.certificates(kind="device"):
        body = desk.registry.body(row.serial_number)
        assert body is not None
        if row.revoked_at or row.device_id in BOARDS or row.serial_number in on_the_way:
            continue
        if _digest(body.public_key()) not in kept:
            yield f"the key of {row.device_id} is lost, and nothing tells"


def _keys(folder: Path) -> Iterator[Any]:
    for path in folder.rglob("*.key"):
        if path.parent.name != "ca" and not path.name.startswith("."):
            yield _public(path.read_bytes())
    path = folder / "keys.jsonl"
    if path.exists():
        for line in path.read_bytes().split(b"\n")[:-1]:
            yield bulkfile.parse(line).certificate.public_key()


def _digest(key: Any) -> bytes:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return bytes(key.public_bytes(serialization.Encoding.DER, form))


def points(count: int, wanted: int, seed: int) -> list[int]:
    """All lines, or as many as wanted of them: one from each stretch, at random."""
    if count <= wanted:
        return list(range(1, count + 1))
    made = random.Random(seed)
    ends = [1 + count * at // wanted for at in range(wanted + 1)]
    return [made.randrange(low, high) for low, high in itertools.pairwise(ends)]


def _main(name: str, wanted: int, seed: int) -> int:
    # what a passphrase costs to stretch is no matter here
    pkcs8._N = 2
    bulk.AT_ONCE = PART
    work, wrong = OPERATIONS[name], 0
    memory = Path("/dev/shm")  # where a sync costs nothing
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as scratch:
        tempfile.tempdir = scratch
        source, folder = pristine(Path(scratch)), Path(scratch) / "work"

        def fresh() -> Desk:
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(source, folder)
            return opened(folder)

        count = run(work, fresh())  # warms up: each module is imported, each cache filled
        count = run(work, fresh())
        found = list(faults(folder, done=True))
        for at in points(count, wanted, seed):
            if not killed(work, fresh(), at):
                break  # the lines of two runs may differ by a few
            found += (f"killed at line {at}: {what}" for what in _looked_at(folder, done=False))
            try:
                work(opened(folder))
            except (Error, OSError) as error:
                found.append(f"after a kill at line {at}, again: {error}")
                continue
            found += (f"{at}, and again: {what}" for what in _looked_at(folder, done=True))
        wrong = len(found)
        print(*found, sep="\n")
    print(json.dumps({"lines": count, "points": min(count, wanted), "wrong": wrong}))
    return bool(wrong)


def _looked_at(folder: Path, done: bool) -> list[str]:
    try:
        return list(faults(folder, done))
    except (ValueError, OSError, Error) as error:
        return [f"can't be looked at: {error!r}"]


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
