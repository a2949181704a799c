"""Breaks an operation of the CA off at each line of its code, and looks at what is left.

A program: `kills.py OPERATION KILLS SEED`. What SIGKILL leaves is what is on the disk at that
moment. So the operation runs once, and before each line that it comes to, the
project's folder is copied if anything in it has changed: that covers every line, since between two
changes it is all the same at which one a process dies. In each copy everything is checked; then the
same operation has to succeed, or to say that it is done, and everything is checked again.

That a copy is what a kill leaves is tried too: KILLS times, at lines chosen at random, a forked
child is killed in earnest. It prints what was wrong, and exits with 1 if there was anything.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import random
import shutil
import signal
import sqlite3
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
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
from firmshake.registry import CertificateRecord, Registry, log
from firmshake.registry import sqlitefile as registryfile

SECRET = b"correct horse"
BORN = datetime.now(UTC) - timedelta(days=2)
# their keys are in no file of ours
FLEET = ("lamp", "pump", "valve")
BOARDS = ("board", "signed", *FLEET)
SOURCE = str(Path(firmshake.__file__).parent)

# the certificates of the registry and their DER, by serial number
Known = dict[str, tuple[CertificateRecord, bytes]]

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
        return self.fleet.root / "had" / "out"

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
    path = desk.fleet.root / "had" / "keys.jsonl"
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

# what stands for an operation that has been done: with it, and only then, it may refuse to be done
PRODUCTS = {
    "issue": ("had/out/gw-1.key", "had/out/gw-2.key"),
    "bulk": ("had/keys.jsonl",),
    "rekey": ("had/out/old.key",),
    "sign": ("signed.crt",),
}


def _written_first(desk: Desk) -> None:
    made = desk.authority.issue("gw-1", now=desk.now)
    desk.out.mkdir()
    newfile.create_whole(desk.out / "gw-1.crt", made.chain_pem(), 0o644)
    newfile.create_whole(desk.out / "gw-1.key", made.key_pem())
    desk.registry.record_issued("gw-1", made.certificate)


def _never_written(desk: Desk) -> None:
    made = desk.authority.issue("gw-1", now=desk.now)
    desk.registry.record_issued("gw-1", made.certificate)
    desk.out.mkdir()
    newfile.create_whole(desk.out / "gw-1.crt", made.chain_pem(), 0o644)
    newfile.create_whole(desk.out / "gw-1.key", made.key_pem())


def _in_pieces(desk: Desk) -> None:
    key = desk.authority.issue("gw-1", now=desk.now).key_pem()
    desk.out.mkdir()
    with (desk.out / "gw-1.key").open("wb", buffering=0) as stream:
        stream.write(key[:40])
        desk.fleet.root.exists()
        stream.write(key[40:])


# work that a kill does harm to: what is found of it shows that harm would be found
CONTROLS: dict[str, Callable[[Desk], None]] = {
    "written_first": _written_first,
    "never_written": _never_written,
    "in_pieces": _in_pieces,
}


def _request() -> request.Request:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "signed")])
    made = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return request.read(made.public_bytes(serialization.Encoding.PEM))


REQUEST = _request()


class Lines:
    """Calls `at` with the number of each line that is gone through, here and in firmshake."""

    def __init__(self, at: Callable[[int], None] = lambda number: None) -> None:
        self._at, self.count = at, 0

    def __call__(self, frame: FrameType, event: str, given: Any) -> Any:
        file = frame.f_code.co_filename
        return self._line if file.startswith(SOURCE) or file == __file__ else None

    def _line(self, frame: FrameType, event: str, given: Any) -> Any:
        if event == "line":
            self.count += 1
            self._at(self.count)
        return self._line


def run(
    work: Callable[[Desk], None], desk: Desk, at: Callable[[int], None] = lambda number: None
) -> int:
    """Do the work; return how many lines that were."""
    lines = Lines(at)
    sys.settrace(lines)
    try:
        work(desk)
    finally:
        sys.settrace(None)
    return lines.count


class States:
    """Keeps a copy of each state of a folder, with the number of the first line that saw it."""

    def __init__(self, folder: Path, into: Path) -> None:
        self._folder, self._into = folder, into
        self._last = b""
        self.lines: list[int] = []

    def look(self, line: int) -> None:
        """Copy the folder, if it is not as it was at the last look."""
        state = self._state()
        if state != self._last:
            shutil.copytree(self._folder, self.copy(line))
            self.lines.append(line)
            self._last = state

    def copy(self, line: int) -> Path:
        """Where the copy of that line is."""
        return self._into / str(line)

    def _state(self) -> bytes:
        state = hashlib.sha256()
        for path, _, names in os.walk(self._folder):
            for name in sorted(names):
                with open(os.path.join(path, name), "rb") as stream:
                    mode = os.fstat(stream.fileno()).st_mode
                    content = stream.read()
                state.update(f"{path}/{name} {mode} {len(content)} ".encode() + content)
        return state.digest()


def killed(work: Callable[[Desk], None], desk: Desk, line: int) -> bool:
    """Do the work in a child that is killed before that line; return whether it came so far."""

    def kill(number: int) -> None:
        if number == line:
            os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if not child:
        status = 70
        try:
            run(work, desk, kill)
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
        known = {row.serial_number: (row, der) for row, der in desk.registry.bodies()}
        yield from _of_sqlite(desk.fleet.registry_path)
        yield from _of_log(desk.registry)
        yield from _of_audit(desk)
        yield from _of_modes(folder)
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not path.name.startswith("."):
                yield from (f"{path.name}: {what}" for what in _of_file(known, path))
        yield from _of_authorities(desk)
        yield from _of_keys(desk, known, done)
    except (ValueError, OSError, Error) as error:
        yield f"can't be looked at: {error!r}"


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


def _of_file(known: Known, path: Path) -> Iterator[str]:
    content = path.read_bytes()
    if not content and path.name != "keys.jsonl" and path.suffix != ".sqlite-journal":
        yield "empty"
    if path.suffix in (".crt", ".pem") and path.name != "crl.pem":
        found = x509.load_pem_x509_certificates(content)
        yield from _of_certificates(known, found)
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
        for line in _lines(content):
            entry = bulkfile.parse(line)
            yield from _of_certificates(known, [entry.certificate])
            if not entry.opens(SECRET):
                yield f"the key of {entry.device_id} is not that of its certificate"


def _beside(path: Path) -> bytes | None:
    key = path.with_suffix(".key")
    return key.read_bytes() if key.exists() else None


def _public(pem: bytes) -> Any:
    if b"ENCRYPTED" in pem:
        return pkcs8.decrypt(pem, SECRET).public_key()
    return serialization.load_pem_private_key(pem, None).public_key()


def _of_certificates(known: Known, found: list[x509.Certificate]) -> Iterator[str]:
    for one in found:
        serial = certificates.serial(one)
        if serial not in known or known[serial][1] != certificates.der(one):
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


def _of_keys(desk: Desk, known: Known, done: bool) -> Iterator[str]:
    """Every key that was made here is in a file, or the registry says that it may be lost."""
    on_the_way = {one.serial_number for _, one in desk.registry.undelivered()}
    if done and (on_the_way or desk.registry.deliveries()):
        yield "something is on its way still"
    kept = {_digest(key) for key in _keys(desk.fleet.root)}
    for row, der in known.values():
        told = row.revoked_at or row.device_id in BOARDS or row.serial_number in on_the_way
        if row.kind != "device" or told:
            continue
        if _digest(x509.load_der_x509_certificate(der).public_key()) not in kept:
            yield f"the key of {row.device_id} is lost, and nothing tells"


def _keys(folder: Path) -> Iterator[Any]:
    for path in folder.rglob("*.key"):
        if path.parent.name != "ca" and not path.name.startswith("."):
            yield _public(path.read_bytes())
    path = folder / "had" / "keys.jsonl"
    if path.exists():
        for line in _lines(path.read_bytes()):
            yield bulkfile.parse(line).certificate.public_key()


def _lines(content: bytes) -> list[bytes]:
    """The lines of a run that count: before what was broken off, and what a power-off tore."""
    return content.partition(b"\0")[0].split(b"\n")[:-1]


def _digest(key: Any) -> bytes:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return bytes(key.public_bytes(serialization.Encoding.DER, form))


def hasten() -> None:
    """Have what is done many times cost less, where it is no matter here."""
    # what a passphrase costs to stretch
    pkcs8._N = 2
    bulk.AT_ONCE = PART
    # and of a registry that is opened many times the statements need to be put together once
    registryfile._engine = functools.cache(registryfile._engine)


def tried(
    folder: Path, work: Callable[[Desk], None], products: Sequence[str], when: str
) -> Iterator[str]:
    """What is wrong in a project whose work was broken off, and once the work is done again."""
    yield from (f"{when}: {what}" for what in faults(folder, done=False))
    try:
        work(opened(folder))
    except (Error, OSError) as error:
        there = [(folder / name).exists() for name in products]
        if not there or not all(there):
            yield f"{when}, again: {error}"
    yield from (f"{when}, again: {what}" for what in faults(folder, done=True))


def _main(name: str, kills: int, seed: int) -> int:
    hasten()
    memory = Path("/dev/shm")  # where a sync costs nothing
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as scratch:
        tempfile.tempdir = scratch
        trial = Trial(Path(scratch), (OPERATIONS | CONTROLS)[name], PRODUCTS.get(name, ()))
        found = [*trial.by_state(), *trial.by_kill(kills, random.Random(seed))]
    said = {"lines": trial.count, "states": len(trial.states.lines), "kills": kills}
    sys.stdout.write("".join(f"{line}\n" for line in (*found, json.dumps(said))))
    return bool(found)


class Trial:
    """An operation, and the folder in which it is tried."""

    def __init__(
        self, scratch: Path, work: Callable[[Desk], None], products: Sequence[str]
    ) -> None:
        self._work, self._products = work, products
        self._source, self._folder = pristine(scratch), scratch / "work"
        run(work, self._fresh())  # each module is imported, each cache is filled
        (scratch / "states").mkdir()
        self.states = States(self._folder, scratch / "states")
        self.count = run(work, self._fresh(), self.states.look)
        self.states.look(self.count + 1)

    def by_state(self) -> Iterator[str]:
        """What is wrong in any state that the folder was in."""
        for line in self.states.lines:
            self._clear()
            self.states.copy(line).rename(self._folder)
            yield from self._tried(f"line {line}")

    def by_kill(self, kills: int, made: random.Random) -> Iterator[str]:
        """What is wrong after some kills."""
        for _ in range(kills):
            line = made.randint(1, self.count)
            # the lines of two runs may differ by a few
            if killed(self._work, self._fresh(), line):
                yield from self._tried(f"killed at line {line}")

    def _tried(self, when: str) -> Iterator[str]:
        return tried(self._folder, self._work, self._products, when)

    def _fresh(self) -> Desk:
        self._clear()
        shutil.copytree(self._source, self._folder)
        return opened(self._folder)

    def _clear(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
