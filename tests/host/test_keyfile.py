"""The CA's key files: who may read them, and with what."""

import base64
import os
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hypothesis import given
from hypothesis import strategies as st
from support.stretching import in_earnest

from firmshake import newfile
from firmshake.ca import keyfile, pkcs8
from firmshake.errors import Error

KEY = ec.generate_private_key(ec.SECP256R1())
SECRET = "пароль phrase".encode()
PEM = pkcs8.encrypt(KEY, SECRET)


def test_a_saved_key_is_its_owners_alone_encrypted_and_opens_with_the_passphrase(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.key"
    keyfile.save(path, KEY, SECRET)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_bytes().startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n")
    assert keyfile.load(path, SECRET).private_numbers() == KEY.private_numbers()


def test_the_mode_is_right_from_the_first_moment_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        keyfile.save(tmp_path / "a.key", KEY, SECRET)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.key").stat().st_mode) == 0o600


def test_the_passphrase_is_stretched_by_scrypt() -> None:
    """RFC 7914 section 7: the scheme's object identifier, then salt, N, r, p."""
    with in_earnest():
        pem = pkcs8.encrypt(KEY, SECRET)
    assert pkcs8.decrypt(pem, SECRET)
    der = base64.b64decode(b"".join(pem.splitlines()[1:-1]))
    at = der.index(bytes.fromhex("06092b06010401da47040b"))
    salt_at = at + 11 + 2
    assert der[salt_at : salt_at + 2] == b"\x04\x10"
    assert der[salt_at + 18 : salt_at + 28] == bytes.fromhex("02024000020108020105")


def test_no_two_files_of_one_key_are_alike() -> None:
    assert pkcs8.encrypt(KEY, SECRET) != PEM


def test_a_wrong_passphrase_is_an_error_that_names_the_file_and_not_the_passphrase(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.key"
    path.write_bytes(PEM)
    assert keyfile.load(path, SECRET)
    with pytest.raises(Error, match="wrong passphrase") as caught:
        keyfile.load(path, b"guess-me-not")
    assert str(path) in caught.value.message
    assert "guess-me-not" not in caught.value.message + caught.value.hint


def test_a_file_that_is_there_is_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "a.key"
    path.write_text("somebody's")
    with pytest.raises(FileExistsError):
        keyfile.save(path, KEY, SECRET)
    assert path.read_text() == "somebody's"
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        keyfile.save(tmp_path / "link", KEY, SECRET)
    assert not (tmp_path / "elsewhere").exists()


def test_a_write_that_fails_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        newfile.create(tmp_path / "a", b"content")
    (tmp_path / "old").write_bytes(b"old")
    with pytest.raises(OSError, match="No space left"):
        newfile.replace(tmp_path / "old", b"new")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("old", b"old")]


def _clear(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _ed25519() -> bytes:
    return ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(SECRET),
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no PEM"),
        (b"\x00\xff junk", "no PEM"),
        (_clear(KEY), "not encrypted"),
        (PEM[:100], "damaged"),
        (PEM.replace(b"\nM", b"\n!", 1), "damaged"),
        (_ed25519(), "neither EC nor RSA"),
        (b"x" * 100_000, "too large"),
    ],
    # pytest-xdist wants the same names in every process, and the keys are fresh in each
    ids=["empty", "junk", "clear", "cut", "garbled", "ed25519", "large"],
)
def test_a_file_that_is_no_encrypted_key_is_refused(
    tmp_path: Path, content: bytes, said: str
) -> None:
    path = tmp_path / "a.key"
    path.write_bytes(content)
    with pytest.raises(Error, match=said):
        keyfile.load(path, SECRET)


@given(st.binary(max_size=300))
def test_any_body_of_an_encrypted_key_is_an_error_and_no_traceback(body: bytes) -> None:
    with pytest.raises(Error):
        pkcs8.decrypt(pkcs8._pem(body), SECRET)


def test_a_missing_file_and_a_folder_are_errors(tmp_path: Path) -> None:
    with pytest.raises(Error, match="no file"):
        keyfile.load(tmp_path / "none.key", SECRET)
    with pytest.raises(Error, match="can't read"):
        keyfile.load(tmp_path, SECRET)
