"""What is issued for no board, as others read it: OpenSSL, and a gateway's mosquitto_pub."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from support import desk
from support.commands import FD, Done, run

from firmshake import tools
from firmshake.project import Project

SECRET = b"battery staple"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return desk.make_project(tmp_path_factory.mktemp("issue") / "fleet")


def _ca(made: Project, name: str, *words: object, secrets: tuple[bytes, ...] = ()) -> Done:
    options = ("--project", made.root, "--passphrase-fd", FD)
    done = run("ca", name, *options, *words, secrets=(desk.PASSPHRASE, *secrets))
    assert done.status == 0, done.err
    return done


def _openssl(
    *words: str | Path, content: bytes = b"", status: int = 0
) -> subprocess.CompletedProcess[bytes]:
    done = subprocess.run(["openssl", *map(str, words)], input=content, capture_output=True)
    assert done.returncode == status, done.stderr.decode()
    return done


def _public(*words: str | Path, content: bytes) -> bytes:
    return _openssl("pkey", "-pubout", *words, content=content).stdout


def _verify(made: Project, path: Path, *words: str | Path) -> bytes:
    trusted = ("-x509_strict", "-CAfile", made.broker_folder / "ca.crt", "-untrusted", path)
    return _openssl("verify", *trusted, *words, path).stdout


def test_openssl_opens_each_key_of_a_run_and_verifies_its_chain(
    made: Project, tmp_path: Path
) -> None:
    path = tmp_path / "keys.jsonl"
    words = ("--count", 3, "--prefix", "pump", "--out", path, "--key-passphrase-fd", FD)
    _ca(made, "issue", *words, secrets=(SECRET,))
    secret = tmp_path / "secret"
    secret.write_bytes(SECRET)
    for line in map(json.loads, path.read_text().splitlines()):
        key, chain = line["key"].encode(), line["certificate"].encode()
        public = _public("-passin", f"file:{secret}", content=key)
        assert _openssl("x509", "-pubkey", "-noout", content=chain).stdout == public
        (tmp_path / "chain.pem").write_bytes(chain)
        assert _verify(made, tmp_path / "chain.pem", "-purpose", "sslclient").endswith(b"OK\n")
        # and with another passphrase it does not open
        (tmp_path / "wrong").write_bytes(b"another one")
        _openssl("pkey", "-noout", "-passin", f"file:{tmp_path / 'wrong'}", content=key, status=1)


def test_openssl_reads_a_gateways_key_and_verifies_its_chain(made: Project, tmp_path: Path) -> None:
    _ca(made, "issue", "gw-1", "--out", tmp_path / "gw")
    key, chain = ((tmp_path / "gw" / f"gw-1.{end}") for end in ("key", "crt"))
    public = _public("-in", key, content=b"")
    assert _openssl("x509", "-pubkey", "-noout", "-in", chain).stdout == public
    assert _verify(made, chain, "-purpose", "sslclient").endswith(b"OK\n")
    _openssl("verify", "-CAfile", tmp_path / "gw" / "ca.crt", "-untrusted", chain, chain)


@pytest.mark.parametrize(
    "algorithm",
    [
        ("EC", "ec_paramgen_curve:P-256"),
        ("EC", "ec_paramgen_curve:P-384"),
        ("RSA", "rsa_keygen_bits:2048"),
    ],
)
@pytest.mark.parametrize("form", ["PEM", "DER"])
def test_a_request_that_openssl_made_is_signed_for_its_key(
    made: Project, tmp_path: Path, algorithm: tuple[str, str], form: str
) -> None:
    key, csr, chain = (tmp_path / f"heater.{end}" for end in ("key", "csr", "crt"))
    kind, option = algorithm
    _openssl("genpkey", "-algorithm", kind, "-pkeyopt", option, "-out", key)
    _openssl("req", "-new", "-key", key, "-subj", "/CN=heater", "-outform", form, "-out", csr)
    _ca(made, "sign", csr, "--out", chain)
    public = _public("-in", key, content=b"")
    assert _openssl("x509", "-pubkey", "-noout", "-in", chain).stdout == public
    assert _verify(made, chain, "-purpose", "sslclient").endswith(b"OK\n")
    _openssl("verify", "-CAfile", made.broker_folder / "ca.crt", chain, status=2)  # without its CA


def test_a_request_for_a_broker_gets_a_servers_certificate(made: Project, tmp_path: Path) -> None:
    key, csr, chain = (tmp_path / f"broker.{end}" for end in ("key", "csr", "crt"))
    _openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", key)
    _openssl("req", "-new", "-key", key, "-subj", "/CN=whatever", "-out", csr)
    _ca(made, "sign", csr, "--broker", "second.example", "--out", chain)
    server = ("-purpose", "sslserver", "-verify_hostname")
    assert _verify(made, chain, *server, "second.example").endswith(b"OK\n")
    trusted = ("-CAfile", made.broker_folder / "ca.crt", "-untrusted", chain)
    _openssl("verify", *trusted, *server, "whatever", chain, status=2)


def test_a_gateway_publishes_with_its_files_and_not_without(made: Project, tmp_path: Path) -> None:
    _ca(made, "issue", "gw-2", "--out", tmp_path)
    where = ["-h", made.broker.host, "-p", str(made.broker.port), "-i", "gw-2"]
    message = ["-t", "devices/gw-2/up", "-m", "hello", "-q", "1"]
    publish = [*tools.mosquitto_client("pub"), *where, *message, "--cafile", "ca.crt"]
    with desk.broker(made):
        for own, good in ((["--cert", "gw-2.crt", "--key", "gw-2.key"], True), ([], False)):
            done = subprocess.run([*publish, *own], cwd=tmp_path, capture_output=True, timeout=60)
            assert (done.returncode == 0) == good, done.stderr
