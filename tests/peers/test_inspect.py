"""`firmshake inspect` on files that the real tools made, beside mbedTLS, and in a terminal."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from firmshake import tools
from firmshake.ca.finding import WRONG
from firmshake.inspect import reading, relations
from firmshake.inspect.desk import Desk
from firmshake.inspect.thing import Thing

SECRET = "correct horse"
INSPECT = (sys.executable, "-P", "-m", "firmshake", "inspect")


def openssl(folder: Path, *words: str) -> None:
    """Run OpenSSL there; its old algorithms are at hand too."""
    environment = {**os.environ, "OPENSSL_CONF": "/dev/null"}
    subprocess.run(["openssl", *words], cwd=folder, env=environment, check=True, timeout=60)


def look(*paths: Path, secret: str | None = SECRET) -> Thing:
    """The first of what was named, held against the others."""
    left = [secret.encode()] if secret is not None else []
    now = datetime.now(UTC)
    desk = Desk(now, lambda what: left.pop() if left else None)
    return relations.related([reading.look(str(path), desk) for path in paths], now)[0]


def causes(thing: Thing, severity: str = "") -> list[str]:
    return [found.cause for _, found in thing.said() if found.severity == severity or not severity]


def facts(thing: Thing) -> dict[str, str]:
    return dict(thing.facts)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a CA's certificate for it, both OpenSSL's."""
    folder = tmp_path_factory.mktemp("openssl")
    openssl(folder, "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "key.pem")
    self_signed(folder, "key.pem", "test", "cert.pem")
    return folder


def self_signed(folder: Path, key: str, name: str, out: str, *more: str) -> None:
    """A certificate of version 3, made so by its extensions."""
    wanted = ("req", "-x509", "-new", "-key", key, "-subj", f"/CN={name}", "-days", "30")
    openssl(folder, *wanted, "-out", out, *(more or AS_CA))


AS_CA = (
    *("-addext", "basicConstraints=critical,CA:TRUE"),
    *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
)
AS_LEAF = ("-addext", "extendedKeyUsage=clientAuth")
OLD = ("-provider", "legacy", "-provider", "default")


@pytest.mark.parametrize(
    ("words", "encryption", "weak"),
    [
        (["-v2", "aes-256-cbc"], "PBKDF2 with SHA-256, 2,048 rounds; AES-256-CBC", True),
        (
            ["-v2", "aes-128-cbc", "-iter", "600000"],
            "PBKDF2 with SHA-256, 600,000 rounds; AES-128-CBC",
            False,
        ),
        (
            ["-v2", "aes-192-cbc", "-v2prf", "hmacWithSHA512", "-iter", "210000"],
            "PBKDF2 with SHA-512, 210,000 rounds; AES-192-CBC",
            False,
        ),
        (["-v2", "des3", "-v2prf", "hmacWithSHA1"], "PBKDF2 with SHA-1, 2,048 rounds; 3DES", True),
        (["-scrypt"], "scrypt with N=16384, r=8, p=1; AES-256-CBC", True),
        (
            ["-scrypt", "-scrypt_N", "16384", "-scrypt_r", "8", "-scrypt_p", "5"],
            "scrypt with N=16384, r=8, p=5; AES-256-CBC",
            False,
        ),
        (["-v1", "PBE-MD5-DES", *OLD], "MD5 and DES, 2,048 rounds", True),
        (["-v1", "PBE-SHA1-3DES"], "SHA-1 and 3DES, 2,048 rounds", True),
    ],
)
@pytest.mark.parametrize("form", ["PEM", "DER"])
def test_each_way_to_encrypt_a_key_is_told_and_opened(
    *, made: Path, tmp_path: Path, words: list[str], encryption: str, weak: bool, form: str
) -> None:
    path = tmp_path / "sealed"
    openssl(
        made,
        *("pkcs8", "-topk8", *words, "-in", "key.pem", "-outform", form),
        *("-passout", f"pass:{SECRET}", "-out", str(path)),
    )
    plain = facts(look(made / "key.pem"))["key_sha256"]
    found = look(path)
    assert facts(found)["encryption"] == encryption
    assert facts(found)["key_sha256"] == plain
    assert causes(found) == (["weak_encryption"] if weak else [])
    assert causes(look(path, secret="incorrect"), WRONG) == ["wrong_passphrase"]
    assert look(path, secret=None).shut


def test_a_key_encrypted_as_old_pem_is_told_and_opened(made: Path, tmp_path: Path) -> None:
    path = tmp_path / "old.pem"
    openssl(
        made, *["ec", "-in", "key.pem", "-aes256", "-passout"], f"pass:{SECRET}", "-out", str(path)
    )
    found = look(path)
    assert (causes(found), found.shut) == (["weak_encryption"], False)
    assert facts(found)["encryption"] == "MD5, 1 round; AES-256-CBC"
    assert causes(look(path, secret="incorrect"), WRONG) == ["wrong_passphrase"]


@pytest.mark.parametrize(
    ("words", "encryption", "weak"),
    [
        ([], "PBKDF2 with SHA-256, 2,048 rounds; AES-256-CBC", True),
        (["-iter", "600000"], "PBKDF2 with SHA-256, 600,000 rounds; AES-256-CBC", False),
        (
            ["-legacy"],
            "SHA-1 and 3DES, 2,048 rounds, and SHA-1 and RC2, 40 bits, 2,048 rounds",
            True,
        ),
    ],
)
def test_pkcs12_is_told_and_opened(
    *, made: Path, tmp_path: Path, words: list[str], encryption: str, weak: bool
) -> None:
    path = tmp_path / "both.p12"
    given = ("-passout", f"pass:{SECRET}", "-out", str(path))
    openssl(made, "pkcs12", "-export", *words, *["-inkey", "key.pem", "-in", "cert.pem"], *given)
    found = look(path)
    assert found.title == "PKCS#12 file with a private key and 1 certificate"
    assert facts(found)["encryption"] == encryption
    assert ("weak_encryption" in causes(found)) == weak
    assert facts(found.inside[0])["belongs_to"].startswith("test (")
    assert causes(look(path, secret="incorrect"), WRONG) == ["wrong_passphrase"]
    shut = look(path, secret=None)
    assert (shut.shut, shut.wrong) == (True, False)
    cut = tmp_path / "cut.p12"
    cut.write_bytes(path.read_bytes()[:-9])
    assert causes(look(cut), WRONG) == ["cut_off"]


def test_pkcs12_without_encryption_is_no_lock(made: Path, tmp_path: Path) -> None:
    path = tmp_path / "open.p12"
    words = "pkcs12 -export -keypbe NONE -certpbe NONE -nomac -inkey key.pem -in cert.pem"
    openssl(made, *words.split(), "-passout", "pass:", "-out", str(path))
    path.chmod(0o644)
    found = look(path, secret=None)
    assert not found.shut
    assert {"no_integrity", "readable_by_others"} <= set(causes(found))


def test_a_certificate_of_version_1_is_told(made: Path, tmp_path: Path) -> None:
    request, path = tmp_path / "r.csr", tmp_path / "one.pem"
    openssl(made, *["req", "-new", "-key", "key.pem", "-subj", "/CN=old", "-out"], str(request))
    assert causes(look(request)) == []
    signed = ("x509", "-req", "-in", str(request), "-CA", "cert.pem", "-CAkey", "key.pem")
    openssl(made, *signed, "-CAcreateserial", "-out", str(path))
    assert "version_1" in causes(look(path), WRONG)
    assert "version_1" not in causes(look(made / "cert.pem"))


@pytest.mark.parametrize("digest", ["sha1", "md5", "sha256"])
def test_weak_hashes_are_told_by_their_name(made: Path, tmp_path: Path, digest: str) -> None:
    """The library refuses to check them: that shall not look like a wrong signature."""
    for name in ("root", "leaf"):
        openssl(tmp_path, "genrsa", "-out", f"{name}.key", "2048")
    self_signed(tmp_path, "root.key", "root", "root.crt", f"-{digest}", *AS_CA)
    issuer = ("-CA", "root.crt", "-CAkey", "root.key")
    self_signed(tmp_path, "leaf.key", "leaf", "leaf.crt", f"-{digest}", *issuer, *AS_LEAF)
    found = look(tmp_path / "leaf.crt", tmp_path / "root.crt")
    expected = [] if digest == "sha256" else ["weak_signature"]
    assert causes(found, WRONG) == expected
    assert facts(found)["issued_by"].startswith("root (")
    assert causes(look(tmp_path / "root.crt"), WRONG) == []


def test_a_crl_of_openssl_is_told(made: Path, tmp_path: Path) -> None:
    (tmp_path / "index.txt").touch()
    (tmp_path / "number").write_text("0A\n")
    (tmp_path / "conf").write_text(
        "[ca]\ndefault_ca = here\n[here]\ndatabase = index.txt\ncrlnumber = number\n"
        "default_md = sha256\ndefault_crl_days = 3\n"
    )
    keys = ("-keyfile", str(made / "key.pem"), "-cert", str(made / "cert.pem"))
    openssl(tmp_path, "ca", "-gencrl", "-config", "conf", *keys, "-out", "list.crl")
    found = look(tmp_path / "list.crl", made / "cert.pem")
    assert (facts(found)["number"], facts(found)["revoked"]) == ("10", "0")
    assert "its signature is right" in facts(found)["issued_by"]
    assert causes(found, WRONG) == []


def test_pkcs7_is_told(made: Path, tmp_path: Path) -> None:
    path = tmp_path / "both.p7b"
    words = "crl2pkcs7 -nocrl -certfile cert.pem -outform DER -out"
    openssl(made, *words.split(), str(path))
    found = look(path)
    assert (found.title, len(found.inside)) == ("PKCS#7 with 1 certificate", 1)


# what boards take, held against the real mbedTLS

_LOADS = """
import sys, tls
context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
try:
    with open(sys.argv[1], "rb") as file:
        context.load_verify_locations(file.read())
    print("taken")
except ValueError as error:
    print(error)
"""
_EXTENSIONS = """
[req]
distinguished_name = name
[name]
[plain]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[constrained]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
nameConstraints = critical, permitted;DNS:example
[policy]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
certificatePolicies = critical, 1.2.3.4
[any_policy]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
certificatePolicies = critical, 2.5.29.32.0
"""


@pytest.mark.parametrize(
    ("section", "curve", "taken"),
    [
        ("plain", "prime256v1", True),
        ("plain", "secp521r1", True),
        ("constrained", "prime256v1", False),
        ("policy", "prime256v1", False),
        ("any_policy", "prime256v1", True),
    ],
)
def test_what_mbedtls_refuses_to_load_is_what_is_said(
    *, tmp_path: Path, section: str, curve: str, taken: bool
) -> None:
    (tmp_path / "conf").write_text(_EXTENSIONS)
    openssl(tmp_path, "ecparam", "-name", curve, "-genkey", "-noout", "-out", "key.pem")
    wanted = ("req", "-x509", "-key", "key.pem", "-subj", "/CN=ca", "-config", "conf")
    openssl(
        tmp_path, *wanted, "-extensions", section, "-days", "3000", "-outform", "DER", "-out", "c"
    )
    done = subprocess.run(
        [*tools.micropython(), "-c", _LOADS, str(tmp_path / "c")],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert (done.stdout.strip() == "taken") == taken
    assert (causes(look(tmp_path / "c"), WRONG) == []) == taken


# the command as people start it


def run(*words: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*INSPECT, *words], input=given, capture_output=True, timeout=60, check=False
    )


def test_standard_input_is_read(made: Path) -> None:
    done = run("-", given=(made / "cert.pem").read_bytes())
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"standard input: certificate of a CA: test\n")


def test_what_is_not_there_is_told_and_nothing_else(tmp_path: Path) -> None:
    done = run(str(tmp_path / "none"))
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.decode().splitlines() == [
        f"firmshake: cannot read {tmp_path / 'none'}: no such file or directory",
        "  check the name",
    ]


@pytest.mark.parametrize(
    ("answer", "status", "said"),
    [
        (SECRET, 0, "private key, EC secp256r1, encrypted"),
        ("incorrect", 1, "The passphrase is wrong"),
        ("", 1, "It is locked with a passphrase"),
    ],
)
def test_at_a_terminal_the_passphrase_is_asked_for_and_not_shown(
    *, made: Path, tmp_path: Path, answer: str, status: int, said: str
) -> None:
    path = tmp_path / "a.key"
    words = ("-iter", "600000", "-passout", f"pass:{SECRET}", "-out", str(path))
    openssl(made, "pkcs8", "-topk8", "-in", "key.pem", *words)
    inside, outside = pty.openpty()
    with subprocess.Popen(
        [*INSPECT, "a.key"],
        cwd=tmp_path,
        stdin=outside,
        stdout=outside,
        stderr=outside,
        start_new_session=True,  # it would ask at the terminal that the tests were started from
    ) as p:
        os.close(outside)
        heard = _until(inside, b"leaves it locked): ")
        os.write(inside, answer.encode() + b"\n")
        heard += _until(inside, None)
        assert p.wait(60) == status
    os.close(inside)
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", heard.decode())
    assert said in " ".join(text.split())
    assert not answer or answer not in text


def _until(handle: int, wanted: bytes | None) -> bytes:
    """What is printed up to `wanted`, or to the end."""
    heard = b""
    while wanted is None or wanted not in heard:
        ready, _, _ = select.select([handle], [], [], 60)
        assert ready, heard
        try:
            piece = os.read(handle, 4096)
        except OSError:  # the other end was closed
            piece = b""
        if not piece:
            assert wanted is None, heard
            break
        heard += piece
    return heard


def test_a_reader_that_goes_away_is_no_trouble(made: Path) -> None:
    script = f"{' '.join(INSPECT)} {made / 'cert.pem'} --json | head -c 1"
    done = subprocess.run(["sh", "-c", script], capture_output=True, timeout=60, check=False)
    assert (done.stdout, b"Traceback" in done.stderr) == (b"{", False)


def test_json_is_one_object(made: Path) -> None:
    done = run("--json", str(made / "cert.pem"), str(made / "key.pem"))
    found = json.loads(done.stdout)
    assert [thing["kind"] for thing in found["things"]] == ["certificate", "private_key"]
    assert found["things"][1]["facts"]["belongs_to"].startswith("test (")
