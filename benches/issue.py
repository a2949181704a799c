"""Identities a second: the library on one core, the command with everything, and other tools.

`Authority.issue` is held against what it can't do without, measured beside it in turns: making a
key and signing once. `firmshake ca issue --count` records each certificate in the registry and its
log, and writes each key encrypted; its memory must not grow with the number. Other tools make and
sign as many identities as some seconds allow them, with their keys in clear.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import peak

FEW, MANY = 10_000, 100_000
# what an allocator may do differently in two runs
SLACK = 1.1
TURN_S, TURNS = 0.5, 6
# of each of the other tools
PEER_S = 4.0

_PASSPHRASE, _OF_KEYS = "correct horse battery", "staple correct horse"

# the extensions of our device certificates, in OpenSSL's words
_EXTENSIONS = """\
[device]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = clientAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = URI:urn:firmshake:device:a
[ca]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
"""
_KEY = {"algo": "ecdsa", "size": 256}
_CFSSL = {
    "signing": {
        "default": {"expiry": "87600h"},
        "profiles": {
            "device": {"usages": ["digital signature", "client auth"], "expiry": "87600h"}
        },
    }
}


def measure() -> dict[str, str]:
    """The figures by name."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        return _of_library() | _of_command_and_peers(folder)


def _of_library() -> dict[str, str]:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    from firmshake.ca import authority

    now = datetime.now(UTC)
    _, issuing = authority.create("bench", now=now)
    made = issuing.issue("pump-000001", now=now).certificate
    signed, algorithm = made.tbs_certificate_bytes, ec.ECDSA(hashes.SHA256())

    def whole() -> None:
        issuing.issue("pump-000001", now=now)

    def bare() -> None:
        ec.generate_private_key(ec.SECP256R1())
        issuing.key.sign(signed, algorithm)  # type: ignore[call-arg,arg-type]

    rates = _in_turns(whole, bare)
    return {
        "Authority.issue, one core": f"{rates[0]:,.0f} a second",
        "key generation and signature alone": f"{rates[1]:,.0f} a second",
        "the one as a part of the other": f"{rates[0] / rates[1]:.2f}",
    }


def _in_turns(*works: Callable[[], None]) -> list[float]:
    """How often a second each is done, on this one thread; a disturbance meets all alike."""
    counts, seconds = [0] * len(works), [0.0] * len(works)
    for _ in range(TURNS):
        for number, work in enumerate(works):
            begun = time.process_time()
            while (taken := time.process_time() - begun) < TURN_S:
                work()
                counts[number] += 1
            seconds[number] += taken
    return [count / taken for count, taken in zip(counts, seconds, strict=True)]


def _of_command_and_peers(folder: Path) -> dict[str, str]:
    _make_project(folder)
    few, many = (_issue(folder, count) for count in (FEW, MANY))
    assert many[0].peak_bytes < few[0].peak_bytes * SLACK, (few, many)
    figures = {
        f"firmshake ca issue --count {count:,}": f"{rate:,.0f} a second, {cost}"
        for count, (cost, rate) in ((FEW, few), (MANY, many))
    }
    own = 1 / many[1]
    for label, peer in _PEERS.items():
        each = _each(peer, folder)
        figures[label] = (
            f"{each * 1000:.1f} ms each, {each / own:,.0f} times ours" if each else ABSENT
        )
    return figures


ABSENT = "not here"


def _make_project(folder: Path) -> None:
    from firmshake.newproject import new_project
    from firmshake.project import Broker

    for name, secret in (("passphrase", _PASSPHRASE), ("of-keys", _OF_KEYS)):
        (folder / name).touch(0o600)
        (folder / name).write_text(secret + "\n")
    new_project(
        folder / "fleet",
        broker=Broker("127.0.0.1", 8883, "broker.example"),
        passphrase=_PASSPHRASE.encode(),
        now=datetime.now(UTC),
    )


def _issue(folder: Path, count: int) -> tuple[peak.Cost, float]:
    """What the command costs as a whole, and what rate it tells itself."""
    words = f"{sys.executable} -P -m firmshake ca issue --project fleet --passphrase-fd 3"
    words += f" --count {count} --prefix pump --key-passphrase-fd 4 --out keys-{count}.jsonl"
    # exec: what is measured is the command's process, not the shell's
    shell = ["sh", "-c", f"exec {words} 3<passphrase 4<of-keys"]
    cost = peak.run(shell, within=folder)
    found = re.search(r"^([\d,]+) in [\d.]+ s: ([\d,]+) a second$", cost.said, re.MULTILINE)
    assert found, cost.said
    assert int(found[1].replace(",", "")) == count
    return cost, float(found[2].replace(",", ""))


def _each(peer: Callable[[Path], Callable[[int], None] | None], folder: Path) -> float:
    """The seconds that the peer takes for an identity, 0 where it is not here."""
    work = peer(folder)
    if work is None:
        return 0
    work(0)  # reads its files from the disk
    begun, count = time.perf_counter(), 0
    while (taken := time.perf_counter() - begun) < PEER_S:
        count += 1
        work(count)
    return taken / count


def _openssl(folder: Path) -> Callable[[int], None]:
    within = folder / "openssl"
    within.mkdir()
    (within / "extensions").write_text(_EXTENSIONS)
    curve = ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
    of_ca = ("-subj", "/CN=bench", "-days", "3650", "-extensions", "ca", "-config", "extensions")
    _run(within, "openssl", "genpkey", *curve, "-out", "ca.key")
    (within / "extensions").write_text(_EXTENSIONS + "[req]\ndistinguished_name = dn\n[dn]\n")
    _run(within, "openssl", "req", "-x509", "-new", "-key", "ca.key", *of_ca, "-out", "ca.crt")
    sign = ("-req", "-CA", "ca.crt", "-CAkey", "ca.key", "-days", "3650", "-sha256")
    sign += ("-extfile", "extensions", "-extensions", "device")

    def work(number: int) -> None:
        name = f"pump-{number:06}"
        key, csr = ("-out", f"{name}.key"), f"{name}.csr"
        _run(within, "openssl", "genpkey", *curve, *key)
        _run(within, "openssl", "req", "-new", "-key", key[1], "-subj", f"/CN={name}", "-out", csr)
        _run(within, "openssl", "x509", *sign, "-in", csr, "-out", f"{name}.crt")

    return work


def _easyrsa(folder: Path) -> Callable[[int], None] | None:
    from firmshake import tools
    from firmshake.errors import Error

    try:
        command = tools.easyrsa()
    except Error:
        return None
    within = folder / "easyrsa"
    within.mkdir()
    command += ["--batch", "--use-algo=ec", "--curve=prime256v1", "--days=3650"]
    _run(within, *command, "init-pki")
    _run(within, *command, "--req-cn=bench", "build-ca", "nopass")

    def work(number: int) -> None:
        _run(within, *command, "build-client-full", f"pump-{number:06}", "nopass")

    return work


def _cfssl(folder: Path) -> Callable[[int], None] | None:
    from firmshake import tools
    from firmshake.errors import Error

    try:
        cfssl, cfssljson = tools.cfssl(), tools.cfssl("cfssljson")
    except Error:
        return None
    within = folder / "cfssl"
    within.mkdir()
    (within / "config.json").write_text(json.dumps(_CFSSL))
    (within / "ca.json").write_text(json.dumps({"CN": "bench", "key": _KEY}))

    def make(name: str, *words: str) -> None:
        made = _run(within, *cfssl, "gencert", "-loglevel=5", *words)
        _run(within, *cfssljson, "-bare", name, content=made)

    make("ca", "-initca", "ca.json")
    signing = ("-ca=ca.pem", "-ca-key=ca-key.pem", "-config=config.json", "-profile=device")

    def work(number: int) -> None:
        name = f"pump-{number:06}"
        (within / "request.json").write_text(json.dumps({"CN": name, "key": _KEY}))
        make(name, *signing, "request.json")

    return work


def _run(within: Path, *command: str, content: bytes = b"") -> bytes:
    done = subprocess.run(command, cwd=within, input=content, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


_PEERS = {
    "openssl genpkey, req and x509 -req": _openssl,
    "easyrsa build-client-full": _easyrsa,
    "cfssl gencert": _cfssl,
}
