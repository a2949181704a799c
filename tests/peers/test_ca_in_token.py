"""A CA whose keys are in tokens of the real SoftHSM2, through the commands, as a user has it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from support.commands import FD, Done, run, snapshot
from support.softhsm import Token, softhsm

from firmshake import project
from firmshake.ca import profiles, store
from firmshake.ca.certificate import issued_by, subject
from firmshake.registry import Registry

PHRASE = b"correct horse"
WRONG = b"1111-1111"
INIT = ("init", "--broker", "mqtt.example")


@pytest.fixture
def token(tmp_path: Path) -> Iterator[Token]:
    """A token for the issuing CA's key; another, "safe", is beside it."""
    (tmp_path / "hsm").mkdir()
    with softhsm(tmp_path / "hsm", "fleet", "safe") as found:
        yield found


def _safe(token: Token, key: str) -> str:
    return replace(token, label="safe").uri(key)


def _ca(folder: Path, name: str, *words: object, secrets: tuple[bytes, ...] = ()) -> Done:
    fds = ("--passphrase-fd", FD) if secrets else ()
    return run("ca", name, "--project", folder, *fds, *words, secrets=secrets)


def _made(folder: Path, token: Token) -> Path:
    """A project with both keys in tokens."""
    words = ("--key", token.uri("issuing"), "--root-key", _safe(token, "root"))
    done = run(*INIT, folder, *words, "--passphrase-fd", FD, secrets=(token.pin,))
    assert done.status == 0, done
    return folder


def test_both_keys_are_made_in_tokens_and_no_key_file_is_written(
    tmp_path: Path, token: Token
) -> None:
    folder = _made(tmp_path / "a", token)
    assert list((folder / "ca").glob("*.key")) == []
    found = project.open_authority(project.load(folder), token.pin)
    made = found.issue("pump", now=datetime.now(UTC))
    assert issued_by(made.certificate, found.certificate)
    assert issued_by(found.certificate, found.root)
    shown = _ca(folder, "show").out
    assert "key 'issuing' in the token 'fleet'" in shown
    assert "key 'root' in the token 'safe'" in shown
    assert token.pin.decode() not in shown


def test_the_pin_is_what_is_asked_for(tmp_path: Path, token: Token) -> None:
    folder = _made(tmp_path / "a", token)
    before = snapshot(folder)
    for secrets, said in (
        ((), "no terminal to ask for the CA token's PIN"),
        ((WRONG,), "wrong PIN"),
    ):
        done = _ca(folder, "broker", secrets=secrets)
        assert said in done.message
        assert "1111" not in done.message + done.hint
        assert snapshot(folder) == before
    assert _ca(folder, "broker", secrets=(token.pin,)).status == 0


def test_every_command_of_its_life_works_with_keys_in_tokens(tmp_path: Path, token: Token) -> None:
    folder = _made(tmp_path / "a", token)
    fleet = project.load(folder)
    issued = project.open_authority(fleet, token.pin).issue("pump", now=datetime.now(UTC))
    Registry.open(fleet.registry_path).record_issued("pump", issued.certificate)
    words = ("pump", "--reason", "keyCompromise", "--yes")
    assert _ca(folder, "revoke", *words, secrets=(token.pin,)).status == 0
    root = ("--root-passphrase-fd", FD)
    assert _ca(folder, "crl", "--root", *root, secrets=(token.pin,) * 2).status == 0
    again = _ca(folder, "intermediate", "--key", token.uri("next"), *root, secrets=(token.pin,) * 2)
    assert again.status == 0
    assert store.read(folder / "ca").issuing.key == token.uri("next")
    assert subject(project.open_authority(fleet, token.pin).certificate) in again.out
    audited = _ca(folder, "audit")
    assert (audited.status, "wrong" in audited.out) == (0, False)


def test_a_ca_moves_from_a_file_into_a_token_and_back_and_to_another(
    tmp_path: Path, token: Token
) -> None:
    """Each renewal wants what opens the CA that issues, the root, the retired, and the new one."""
    folder = tmp_path / "a"
    first = run(*INIT, folder, "--passphrase-fd", FD, secrets=(PHRASE,))
    assert first.status == 0
    words = ("intermediate", "--root-passphrase-fd", FD)
    pin, uri = token.pin, token.uri("issuing")
    assert _ca(folder, *words, "--key", uri, secrets=(PHRASE, PHRASE, pin)).status == 0
    assert _ca(folder, *words, secrets=(pin, PHRASE, PHRASE)).status == 0
    safe = ("--key", _safe(token, "issuing"))
    assert _ca(folder, *words, *safe, secrets=(PHRASE, PHRASE, pin, pin)).status == 0
    fleet = project.load(folder)
    assert project.open_authority(fleet, pin).issue("pump", now=datetime.now(UTC))
    shown = _ca(folder, "show").out
    assert shown.count("retired") == 3
    assert _ca(folder, "audit").status == 0


def test_a_first_key_file_gets_a_new_passphrase_which_must_do(tmp_path: Path, token: Token) -> None:
    folder = _made(tmp_path / "a", token)
    before = snapshot(folder)
    words = ("intermediate", "--root-passphrase-fd", FD)
    short = _ca(folder, *words, secrets=(token.pin, token.pin, b"short"))
    assert "new CA passphrase is too short" in short.message
    assert snapshot(folder) == before
    assert _ca(folder, *words, secrets=(token.pin, token.pin, PHRASE)).status == 0
    assert project.open_authority(project.load(folder), PHRASE)


def test_a_retired_ca_that_does_not_open_stops_everything_before_it_begins(
    tmp_path: Path, token: Token
) -> None:
    folder = tmp_path / "a"
    assert run(*INIT, folder, "--passphrase-fd", FD, secrets=(PHRASE,)).status == 0
    new = ("intermediate", "--root-passphrase-fd", FD, "--key", token.uri("issuing"))
    assert _ca(folder, *new, secrets=(PHRASE, PHRASE, token.pin)).status == 0
    before = snapshot(folder)
    wrong = (token.pin, b"wrong horse")
    serial = run("ca", "list", "--project", folder, "--kind", "broker").out.split()[-1]
    for words in (("broker",), ("crl",), ("revoke", serial, "--reason", "superseded", "--yes")):
        assert "wrong passphrase" in _ca(folder, *words, secrets=wrong).message
        assert snapshot(folder) == before
        right = _ca(folder, *words, secrets=(token.pin, PHRASE))
        assert right.status == 0, right
        before = snapshot(folder)


def test_the_root_alone_in_a_token_has_its_pin_and_the_files_their_passphrase(
    tmp_path: Path, token: Token
) -> None:
    folder, root = tmp_path / "a", ("--root-key", _safe(token, "root"))
    fds = ("--passphrase-fd", FD, "--root-passphrase-fd", FD)
    missing = run(*INIT, folder, *root, *fds[:2], secrets=(PHRASE,))
    assert missing.status == 2
    assert "no terminal to ask for the root CA token's PIN" in missing.message
    assert "--root-passphrase-fd" in missing.hint
    assert not folder.exists()
    assert run(*INIT, folder, *root, *fds, secrets=(PHRASE, token.pin)).status == 0
    assert (folder / "ca/intermediate.key").exists()
    assert not (folder / "ca/root.key").exists()
    assert project.open_authority(project.load(folder), PHRASE)


@pytest.mark.parametrize(
    ("key", "kind"), [("rsa-2048", rsa.RSAPublicKey), ("ec-p384", ec.EllipticCurvePublicKey)]
)
def test_the_token_makes_the_type_of_key_that_the_profiles_say(
    tmp_path: Path, token: Token, key: str, kind: type
) -> None:
    rules, folder = tmp_path / "mine.toml", tmp_path / "a"
    head, tail = profiles.text().split("[intermediate]")
    rules.write_text(f"{head}[intermediate]{tail.replace('ec-p256', key, 1)}")
    words = ("--profiles", rules, "--key", token.uri("issuing"))
    fds = ("--passphrase-fd", FD, "--root-passphrase-fd", FD)
    assert run(*INIT, folder, *words, *fds, secrets=(token.pin, PHRASE)).status == 0
    made = store.certificate(folder / "ca", store.read(folder / "ca").issuing)
    assert isinstance(made.public_key(), kind)
    assert _ca(folder, "broker", secrets=(token.pin,)).status == 0
    assert f"{key}, key 'issuing' in the token" in _ca(folder, "show").out


def test_init_leaves_no_key_in_a_token_where_the_other_token_will_not_make_one(
    tmp_path: Path, token: Token
) -> None:
    folder, root = tmp_path / "a", ("--root-key", _safe(token, "root"))
    fds = ("--passphrase-fd", FD, "--root-passphrase-fd", FD)
    words = (*INIT, folder, "--key", token.uri("issuing"), *root, *fds)
    assert "wrong PIN" in run(*words, secrets=(WRONG, token.pin)).message
    assert not folder.exists()
    assert run(*words, secrets=(token.pin, token.pin)).status == 0
    taken = run(*INIT, tmp_path / "b", *words[4:], secrets=(token.pin, token.pin))
    assert "already: 'root'" in taken.message
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--key", "intermediate.key"), "--key is for a key in a token"),
        (("--root-key", "/media/root.key"), "--root-key is for a key in a token"),
        (("--key", "pkcs11:token=a"), "--key gives the key no name"),
        (("--key", "pkcs11:token=a;object=b;pin-value=1234"), "pin-value is not taken"),
        (
            ("--key", "pkcs11:token=a;object=b", "--root-key", "pkcs11:token=a;object=b"),
            "--key and --root-key name one key",
        ),
    ],
)
def test_a_key_that_is_not_named_rightly_is_refused_before_a_secret_is_read(
    tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    done = run(*INIT, tmp_path / "a", *words, "--passphrase-fd", FD, secrets=(b"",))
    assert said in done.message
    assert not (tmp_path / "a").exists()
