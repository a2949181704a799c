"""What exports say, held against OpenSSL and against the programs that they bring."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key, pkcs12
from cryptography.x509.oid import NameOID
from support import desk, exported
from support.exported import Fleet

from firmshake.ca import authority
from firmshake.ca.verification import verification_certificate
from firmshake.cli.ca import command
from firmshake.exports import crlfolder


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    return exported.fleet(tmp_path_factory.mktemp("export") / "Größe  Fleet")


def _openssl(*words: object, given: bytes = b"") -> bytes:
    done = subprocess.run(
        ["openssl", *map(str, words)], input=given, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_lists_have_the_names_by_which_openssl_finds_them(fleet: Fleet, tmp_path: Path) -> None:
    fleet.export("rabbitmq", tmp_path / "out")
    paths = list((tmp_path / "out" / "crl").iterdir())
    assert len(paths) == 2  # the intermediate's, the root's
    for path in paths:
        found = _openssl("crl", "-noout", "-hash", "-in", path).decode().strip()
        assert path.name == f"{found}.r0"


@pytest.mark.parametrize(
    "parts",
    [
        {NameOID.COMMON_NAME: "plain"},
        {NameOID.COMMON_NAME: "  UPPER\tand   spaces  "},
        {NameOID.COMMON_NAME: "Ünïcode ÄÖ", NameOID.ORGANIZATION_NAME: "A & B"},
        {NameOID.COUNTRY_NAME: "CH", NameOID.EMAIL_ADDRESS: "Root@Example.COM"},
        {NameOID.DOMAIN_COMPONENT: "Example", NameOID.COMMON_NAME: "x" * 64},
        {NameOID.ORGANIZATION_NAME: "long " * 40},
    ],
)
def test_a_names_hash_is_openssls(parts: dict[x509.ObjectIdentifier, str], tmp_path: Path) -> None:
    name = x509.Name([x509.NameAttribute(oid, text) for oid, text in parts.items()])
    path = tmp_path / "named.crl"
    path.write_bytes(_list_of(name))
    found = _openssl("crl", "-noout", "-hash", "-in", path)
    assert crlfolder.name_hash(name) == found.decode().strip()


def _list_of(name: x509.Name) -> bytes:
    now = datetime.now(UTC)
    builder = x509.CertificateRevocationListBuilder().issuer_name(name)
    builder = builder.last_update(now).next_update(now + timedelta(days=1))
    key = ec.generate_private_key(ec.SECP256R1())
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def test_the_keystores_of_the_readme_and_of_the_command_hold_the_same(
    fleet: Fleet, tmp_path: Path
) -> None:
    secret = b"a keystore's passphrase"
    with desk.typed(secret) as fd:
        words = ["export", "hivemq", "--with-key", "--keystore-passphrase-fd", str(fd)]
        folders = ["--out", str(tmp_path / "out"), "--project", str(fleet.project.root)]
        done = CliRunner().invoke(command, [*words, *folders])
    assert done.exit_code == 0, done.output
    made = pkcs12.load_pkcs12((tmp_path / "out/conf/keystore.p12").read_bytes(), secret)
    by_hand = _openssl(
        *["pkcs12", "-export", "-name", "broker", "-passout", "stdin"],
        *["-in", fleet.project.broker_folder / "broker.pem"],
        given=secret + b"\n",
    )
    other = pkcs12.load_pkcs12(by_hand, secret)
    assert made.cert == other.cert
    assert [one.certificate for one in made.additional_certs] == [
        one.certificate for one in other.additional_certs
    ]
    assert made.key is not None
    assert other.key is not None
    assert made.key.public_key() == other.key.public_key()


def test_the_brokers_key_comes_out_as_the_readme_says(fleet: Fleet) -> None:
    text = _openssl("pkey", "-in", fleet.project.broker_folder / "broker.pem")
    chain = (fleet.project.broker_folder / "broker.pem").read_bytes()
    own = x509.load_pem_x509_certificates(chain)[0]
    assert load_pem_private_key(text, None).public_key() == own.public_key()


def test_step_cas_copy_of_the_key_is_under_pbkdf2_and_another_passphrase(
    fleet: Fleet, tmp_path: Path
) -> None:
    """step-ca reads no scrypt (smallstep/crypto, pemutil)."""
    made = tmp_path / "issuing.key"
    _openssl(
        *["pkcs8", "-topk8", "-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA256", "-iter", "600000"],
        *["-in", fleet.project.ca_folder / "intermediate.key", "-out", made],
        *["-passin", "stdin", "-passout", "pass:another"],
        given=desk.PASSPHRASE + b"\n",
    )
    assert b"PBKDF2" in _openssl("asn1parse", "-in", made)
    assert made.stat().st_mode & 0o077 == 0
    key = load_pem_private_key(made.read_bytes(), b"another")
    assert key.public_key() == desk.authority(fleet.project).certificate.public_key()


@pytest.fixture(scope="module")
def check(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the program that NanoMQ asks."""
    folder = tmp_path_factory.mktemp("nanomq") / "out"
    fleet.export("nanomq", folder)
    command = [sys.executable, str(folder / "check_identity.py"), "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().split()[-1]}/"
        finally:
            process.terminate()


@pytest.mark.parametrize(
    ("pairs", "good"),
    [
        ([("clientid", "pump"), ("common", "pump")], True),
        ([("clientid", "other"), ("common", "pump")], False),
        ([("clientid", "pump")], False),
        ([("common", "pump")], False),
        ([("clientid", ""), ("common", "")], False),
        ([("clientid", "pump"), ("common", "pump"), ("common", "other")], False),
        ([("clientid", "pump"), ("clientid", "other"), ("common", "pump")], False),
        ([], False),
    ],
)
def test_nanomq_is_told_who_is_who(check: str, pairs: list[tuple[str, str]], good: bool) -> None:
    request = Request(check, data=urlencode(pairs).encode())
    try:
        with urlopen(request, timeout=60) as answer:
            status = answer.status
    except HTTPError as error:
        status = error.code
    assert status == (200 if good else 403)


def test_the_verification_certificate_is_the_cas_to_openssl(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    _, issuing = authority.create("fleet", now=now)
    made = verification_certificate(issuing, "0123456789abcdef", now)
    for name, certificate in (("root", issuing.root), ("above", issuing.certificate), ("v", made)):
        (tmp_path / name).write_bytes(certificate.public_bytes(Encoding.PEM))
    words = ["verify", "-x509_strict", "-CAfile", tmp_path / "root"]
    _openssl(*words, "-untrusted", tmp_path / "above", tmp_path / "v")
