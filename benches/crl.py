"""A CRL of a million entries: its time, and its memory, which does not grow with its length.

Beside it, in the same run and with as many entries: `openssl ca -gencrl`, and the builder of
`cryptography`, which both keep them all in memory. Then OpenSSL and cryptography look for one
revoked certificate in our list. As a program, this file is the child process that is measured.
"""

from __future__ import annotations

import random
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import peak

FEW, MANY = 10_000, 1_000_000
# what an allocator may do differently in two runs; a thousandth of the entries would be more
SLACK = 1.1
WEEK = timedelta(days=7)
FIRST = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
REASON = "keyCompromise"
OPENSSL = "openssl"

_CONFIG = """\
[ca]
default_ca = bench
[bench]
database = index.txt
crlnumber = number
default_md = sha256
default_crl_days = 7
crl_extensions = lists
[lists]
authorityKeyIdentifier = keyid
"""


def measure() -> dict[str, str]:
    """The figures by name."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_authority(folder)
        few, many = (_child("ours", count, folder) for count in (FEW, MANY))
        assert many.peak_bytes < few.peak_bytes * SLACK, (few, many)
        _write_index(folder)
        command = [OPENSSL, "ca", "-config", "ca.conf", "-gencrl", "-out", "openssl.crl"]
        command += ["-cert", "ca.crt", "-keyfile", "ca.key"]
        figures = {
            f"{FEW:,} entries": few,
            f"{MANY:,} entries": many,
            "openssl ca -gencrl, as many": peak.run(command, within=folder),
            "cryptography's builder, as many": _child("builder", MANY, folder),
            "openssl verify finds the revoked one": _verify(folder, "revoked.crt", status=2),
            "openssl verify finds another to be none": _verify(folder, "good.crt", status=0),
            "cryptography finds the revoked one": _child("find", MANY, folder),
            "read_summary of it": _child("summary", MANY, folder),
        }
        sizes = {
            f"size of {who}": f"{(folder / f'{who}.crl').stat().st_size / 1e6:.1f} MB"
            for who in ("ours", "openssl", "builder")
        }
    return {label: str(cost) for label, cost in figures.items()} | sizes


def _child(what: str, count: int, folder: Path) -> peak.Cost:
    return peak.run([sys.executable, __file__, what, str(count)], within=folder)


def _verify(folder: Path, certificate: str, status: int) -> peak.Cost:
    command = [OPENSSL, "verify", "-crl_check", "-partial_chain", "-CAfile", "ca.crt"]
    cost = peak.run([*command, "-CRLfile", "ours.crl", certificate], within=folder, status=status)
    assert ("certificate revoked" in cost.said) == (status != 0), cost.said
    return cost


def _write_authority(folder: Path) -> None:
    """A CA, whose key lives as long as the folder, and two devices: one will be on the list."""
    from cryptography.hazmat.primitives import serialization

    from firmshake.ca import authority

    pem = serialization.Encoding.PEM
    now = datetime.now(UTC)
    _, issuing = authority.create("bench", now=now)
    key = issuing.key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "ca.key").touch(0o600)
    (folder / "ca.key").write_bytes(key)
    (folder / "ca.crt").write_bytes(issuing.certificate.public_bytes(pem))
    for name in ("revoked", "good"):
        made = issuing.issue(name, now=now).certificate
        (folder / f"{name}.crt").write_bytes(made.public_bytes(pem))


def _write_index(folder: Path) -> None:
    """What `openssl ca` keeps of the same certificates."""
    with (folder / "index.txt").open("w") as index:
        for serial, at in _revoked(MANY, folder):
            moment, digits = f"{at:%y%m%d%H%M%SZ}", f"{serial:040X}"
            index.write(f"R\t360102030405Z\t{moment},{REASON}\t{digits}\tunknown\t/CN=a device\n")
    (folder / "index.txt.attr").write_text("unique_subject = no\n")
    (folder / "number").write_text("01\n")
    (folder / "ca.conf").write_text(_CONFIG)


def _revoked(count: int, folder: Path) -> Iterator[tuple[int, datetime]]:
    """Serial numbers as random as ours, and dates, the same in each run.

    The last one is the one that will be looked for.
    """
    made = random.Random(count)  # noqa: S311  numbers to measure with, and not to rely on
    for number in range(count - 1):
        yield made.getrandbits(159) | 1 << 158, FIRST + timedelta(seconds=number)
    yield _revoked_serial(folder), FIRST


def _revoked_serial(folder: Path) -> int:
    from cryptography import x509

    return x509.load_pem_x509_certificate((folder / "revoked.crt").read_bytes()).serial_number


def _ours(count: int, folder: Path) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    from firmshake.ca import crlfile
    from firmshake.ca.certificate import Issuer
    from firmshake.ca.crl import Revoked

    key = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), None)
    issuer = Issuer(key, x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes()))
    now = datetime.now(UTC)
    crlfile.write(
        folder / "ours.crl",
        issuer,
        (Revoked(serial, at, REASON) for serial, at in _revoked(count, folder)),
        number=1,
        this_update=now,
        next_update=now + WEEK,
    )


def _builder(count: int, folder: Path) -> None:
    """The list by cryptography alone.

    The entries go to the builder at its making: adding them one by one copies its list each time,
    which for a million takes hours.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization

    key = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), None)
    ca = x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes())
    now = datetime.now(UTC)
    reason = x509.CRLReason(x509.ReasonFlags.key_compromise)
    entries = [
        x509.RevokedCertificateBuilder()
        .serial_number(serial)
        .revocation_date(at)
        .add_extension(reason, critical=False)
        .build()
        for serial, at in _revoked(count, folder)
    ]
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca.public_key())
    made = (
        x509.CertificateRevocationListBuilder(ca.subject, now, now + WEEK, [], entries)
        .add_extension(x509.CRLNumber(1), critical=False)
        .add_extension(identifier, critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "builder.crl").write_bytes(made.public_bytes(serialization.Encoding.PEM))


def _find(count: int, folder: Path) -> None:
    from cryptography import x509

    found = x509.load_pem_x509_crl((folder / "ours.crl").read_bytes())
    ca = x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes())
    assert found.is_signature_valid(ca.public_key())
    assert len(found) == count
    serial = _revoked_serial(folder)
    assert found.get_revoked_certificate_by_serial_number(serial) is not None
    assert found.get_revoked_certificate_by_serial_number(serial ^ 1) is None


def _summary(count: int, folder: Path) -> None:
    from firmshake.ca import crlfile

    assert crlfile.read_summary(folder / "ours.crl").count == count


if __name__ == "__main__":
    work = {"ours": _ours, "builder": _builder, "find": _find, "summary": _summary}
    work[sys.argv[1]](int(sys.argv[2]), Path.cwd())
