"""What is wrong with a CA's files, or asked of it wrongly: an error, a hint, nothing changed."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.commands import FD, Done, run, snapshot

from firmshake import project
from firmshake.ca import profiles
from firmshake.newproject import new_project
from firmshake.project import Broker, Project
from firmshake.registry import Registry

PHRASE, WRONG = b"correct horse", b"battery staple"
NOW = datetime.now(UTC)
REVOKE = ("revoke", "pump", "--reason", "keyCompromise", "--yes")
RENEW = ("intermediate", "--root-passphrase-fd", FD)
ROOT_LIST = ("crl", "--root", "--root-passphrase-fd", FD)
# what opens the CA, and each of what the passphrase is asked for
SIGNING = (("broker",), ("crl",), REVOKE, RENEW, ROOT_LIST)
READING = (("show",), ("list",), ("expiring",), ("log",), ("audit",))


def _new(folder: Path, now: datetime = NOW, rules: str | None = None) -> Project:
    made = new_project(
        folder,
        broker=Broker("127.0.0.1", 8883, "mqtt.example"),
        passphrase=PHRASE,
        now=now,
        certificate_profiles=rules,
    )
    identity = project.open_authority(made, PHRASE).issue("pump", now=now)
    Registry.open(made.registry_path).record_issued("pump", identity.certificate)
    return made


@pytest.fixture(scope="module")
def pattern(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _new(tmp_path_factory.mktemp("pattern") / "greenhouse").root


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another project, under the same passphrase."""
    return _new(tmp_path_factory.mktemp("foreign") / "greenhouse").root


@pytest.fixture
def made(pattern: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pattern, tmp_path / "greenhouse"))


def _ca(folder: Path, *words: object, secret: bytes = PHRASE) -> Done:
    name, *rest = words
    fds = () if words in READING else ("--passphrase-fd", FD)
    return run("ca", name, "--project", folder, *fds, *rest, secrets=(secret,) * 2)


def _refused(folder: Path, *words: object, secret: bytes = PHRASE) -> Done:
    """Run a command that must fail and change nothing."""
    before = snapshot(folder)
    done = _ca(folder, *words, secret=secret)
    assert done.error, (words, done)
    assert snapshot(folder) == before
    assert done.out == ""
    assert not secret or secret.decode() not in done.err + done.message + done.hint
    return done


def _works(folder: Path, *words: object) -> None:
    done = _ca(folder, *words)
    assert done.status == 0, done


def _copy(source: Path, target: Path, *names: str) -> None:
    for name in names:
        shutil.copy2(source / name, target / name)


# keys and certificates that don't belong together


def test_the_roots_key_in_the_place_of_the_intermediates(made: Path, pattern: Path) -> None:
    shutil.copy2(made / "ca/root.key", made / "ca/intermediate.key")
    for words in SIGNING:
        done = _refused(made, *words)
        assert "holds the root's key, and the intermediate's is needed" in done.message
        assert "the root's belongs offline" in done.hint
    _copy(pattern, made, "ca/intermediate.key")
    _works(made, "broker")


def test_the_intermediates_key_in_the_place_of_the_roots(made: Path, pattern: Path) -> None:
    shutil.copy2(made / "ca/intermediate.key", made / "ca/root.key")
    for words in (RENEW, ROOT_LIST):
        done = _refused(made, *words)
        assert "holds the key of 'greenhouse issuing CA" in done.message
        assert "and the root's is needed" in done.message
        assert "--root-key" in done.hint
    _copy(pattern, made, "ca/root.key")
    _works(made, *RENEW)


def test_a_key_of_another_project(made: Path, pattern: Path, foreign: Path) -> None:
    _copy(foreign, made, "ca/intermediate.key")
    for words in SIGNING:
        done = _refused(made, *words)
        assert "the private key is not the one of 'greenhouse issuing CA" in done.message
        assert done.hint
    _copy(pattern, made, "ca/intermediate.key")
    _works(made, "broker")


def test_an_intermediate_of_another_project(made: Path, pattern: Path, foreign: Path) -> None:
    """A pair that matches, and that this registry has never heard of."""
    _copy(foreign, made, "ca/intermediate.key", "ca/intermediate.crt")
    for words in SIGNING:
        done = _refused(made, *words)
        said = "is of another CA" if words is REVOKE else "does not know the CA 'greenhouse issuing"
        assert said in done.message
        assert done.hint
    _copy(pattern, made, "ca/intermediate.key", "ca/intermediate.crt")
    _works(made, "broker")


def test_a_root_of_another_project(made: Path, pattern: Path, foreign: Path) -> None:
    _copy(foreign, made, "ca/root.crt")
    for words in SIGNING:
        done = _refused(made, *words)
        assert "was not issued by 'greenhouse root CA" in done.message
        assert done.hint
    _copy(pattern, made, "ca/root.crt")
    _works(made, "broker")


@pytest.mark.parametrize("name", ["ca/intermediate.crt", "ca/intermediate.key", "ca/root.crt"])
@pytest.mark.parametrize("content", [None, b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n", b"\0" * 70])
def test_a_file_that_is_missing_or_damaged(
    made: Path, pattern: Path, name: str, content: bytes | None
) -> None:
    (made / name).unlink()
    if content is not None:
        (made / name).write_bytes(content)
    for words in (("broker",), RENEW):
        done = _refused(made, *words)
        assert Path(name).name in done.message
        assert done.hint
    (made / name).unlink(missing_ok=True)
    _copy(pattern, made, name)
    _works(made, "broker")


# passphrases


@pytest.mark.parametrize("words", SIGNING)
def test_a_wrong_passphrase(made: Path, words: tuple[object, ...]) -> None:
    done = _refused(made, *words, secret=WRONG)
    assert done.status == 1
    assert done.message.startswith("wrong passphrase")
    assert "init" in done.hint
    _works(made, *words)


@pytest.mark.parametrize("words", SIGNING)
def test_an_empty_passphrase(made: Path, words: tuple[object, ...]) -> None:
    done = _refused(made, *words, secret=b"")
    assert done.status == 2
    assert done.message == "the CA passphrase is empty"
    _works(made, *words)


@pytest.mark.parametrize(
    ("secrets", "said", "status"),
    [
        ((WRONG, b"another one"), "wrong passphrase", 1),
        ((PHRASE, b"short"), "the new CA passphrase is too short", 2),
        ((PHRASE, b""), "the new CA passphrase is empty", 2),
        ((PHRASE, b"password123"), "among the first that are tried", 2),
    ],
)
def test_a_passphrase_that_is_not_changed(
    made: Path, secrets: tuple[bytes, bytes], said: str, status: int
) -> None:
    before = snapshot(made)
    words = ("ca", "passphrase", "--project", made, "--passphrase-fd", FD)
    done = run(*words, "--new-passphrase-fd", FD, secrets=secrets)
    assert said in done.message
    assert done.status == status
    assert snapshot(made) == before
    assert run(*words, "--new-passphrase-fd", FD, secrets=(PHRASE, WRONG)).status == 0
    assert "wrong passphrase" in _refused(made, "broker").message
    assert _ca(made, "broker", secret=WRONG).status == 0


# dates


def _rules(**days: int) -> str:
    """The shipped profiles with the validity of some kinds changed, and nothing backdated."""
    text = profiles.text().replace("backdate_s = 3600", "backdate_s = 0")
    for kind, value in days.items():
        head, tail = text.split(f"[{kind}]")
        begin, rest = tail.split("validity_days = ", 1)
        text = f"{head}[{kind}]{begin}validity_days = {value}\n{rest.split(chr(10), 1)[1]}"
    return text


def test_an_intermediate_that_has_expired(tmp_path: Path) -> None:
    made = _new(tmp_path / "greenhouse", NOW - timedelta(days=3), _rules(intermediate=1)).root
    done = _refused(made, "broker")
    assert "greenhouse issuing CA" in done.message
    assert "expired on" in done.message
    assert "firmshake ca intermediate" in done.hint
    _works(made, *RENEW)
    _works(made, "broker")


def test_a_root_that_has_expired(tmp_path: Path) -> None:
    rules = _rules(root=1, intermediate=1)
    made = _new(tmp_path / "greenhouse", NOW - timedelta(days=3), rules).root
    for words in (RENEW, ROOT_LIST):
        done = _refused(made, *words)
        assert "greenhouse root CA" in done.message
        assert "expired on" in done.message
        assert "firmshake init" in done.hint


def test_a_clock_that_is_set_before_the_ca(tmp_path: Path) -> None:
    made = _new(tmp_path / "greenhouse", NOW + timedelta(days=3), _rules()).root
    for words in (("broker",), ("crl",), RENEW):
        done = _refused(made, *words)
        assert "is valid from" in done.message
        assert "the clock says" in done.message
        assert "set this computer's clock" in done.hint


# the registry


def _sql(folder: Path, statement: str) -> None:
    with sqlite3.connect(folder / "registry.sqlite") as connection:
        connection.execute(statement)
    connection.close()


def test_a_registry_of_a_newer_version(made: Path) -> None:
    _sql(made, "PRAGMA user_version = 99")
    for words in (*SIGNING, *READING):
        done = _refused(made, *words)
        assert "is of version 99, and this firmshake knows" in done.message
        assert "newer" in done.hint


def test_a_registry_of_another_project(made: Path, pattern: Path, foreign: Path) -> None:
    _copy(foreign, made, "registry.sqlite")
    for words in set(SIGNING) - {REVOKE}:
        done = _refused(made, *words)
        assert "does not know the CA" in done.message
        assert "put back the registry that belongs to this CA" in done.hint
    assert "is of another CA" in _refused(made, *REVOKE).message
    _copy(pattern, made, "registry.sqlite")
    _works(made, "broker")


def _missing(path: Path) -> None:
    path.unlink()


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _text(path: Path) -> None:
    path.write_text("not a registry\n" * 100)


def _half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _overwritten(path: Path) -> None:
    """All pages but the first, which says that it is a registry of ours."""
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xa5" * (len(content) - 4096))


def _a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("harm", [_missing, _empty, _text, _half, _overwritten, _a_folder])
def test_a_damaged_registry(made: Path, harm: Callable[[Path], None]) -> None:
    harm(made / "registry.sqlite")
    for words in (*SIGNING, *READING):
        done = _refused(made, *words)
        assert "registry" in done.message
        assert done.hint


# ca.toml and profiles.toml


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[root]", "", "no [root]"),
        ("[[intermediate]]", "[intermediate]", "no [[intermediate]]"),
        ("[[intermediate]]", "[[other]]", "no [[intermediate]]"),
        ("[root]", "[root", "line 3"),
        ('certificate = "root.crt"', "certificate = 1", "[root] must say certificate and key"),
        ('"intermediate.crt"', '"../../other.crt"', "certificate in [[intermediate]] must be"),
        ('"intermediate.crt"', '"/etc/passwd"', "certificate in [[intermediate]] must be"),
        ('"intermediate.crt"', '".."', "certificate in [[intermediate]] must be"),
        ('"intermediate.crt"', '"a\\u0000b"', "certificate in [[intermediate]] must be"),
        ('"intermediate.key"', '"../intermediate.key"', "key in [[intermediate]] must be"),
        ('"intermediate.key"', '"/etc/shadow"', "key in [[intermediate]] must be"),
        ('"intermediate.key"', '"pkcs11:token"', "key in [[intermediate]]: the PKCS#11 URI"),
        ('"intermediate.crt"', '"gone.crt"', "no file"),
        ('"intermediate.key"', '"gone.key"', "no file"),
        ("[root]", "passphrase = 3\n[root]", "[passphrase]"),
        ("[root]", '[passphrase]\nkeyring = "yes"\n[root]', "keyring in [passphrase]"),
    ],
)
def test_a_ca_toml_that_makes_no_sense(made: Path, old: str, new: str, said: str) -> None:
    path = made / "ca/ca.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    done = _refused(made, "broker")
    assert said in done.message
    assert str(made / "ca") in done.message
    assert done.hint
    path.write_text(text)
    _works(made, "broker")


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe", b"[" * 10000])
def test_a_ca_toml_that_is_no_toml_or_gone(made: Path, content: bytes | None) -> None:
    path = made / "ca/ca.toml"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    for words in (*SIGNING, ("show",), ("audit",)):
        done = _refused(made, *words)
        assert str(path) in done.message
        assert done.hint


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[device]", "[devices]", "no table [device]"),
        ("[device]", "[device", "line"),
        ('key = "ec-p256"', 'key = "ec-p25"', "key in [root]"),
        ('key = "ec-p256"', "key = []", "key in [root]"),
        ("validity_days = 397", "validity_days = 0", "validity_days in [broker]"),
        ("validity_days = 397", "validity_days = 3000000000", "validity_days in [broker]"),
        ('crl_url = ""', 'crl_url = "https://a"', "crl_url in [intermediate]"),
        ('["serverAuth"]', '["all"]', "extended_key_usage in [broker]"),
        ("path_length = 0", "path_length = -1", "path_length in [intermediate]"),
        ("[device]", "[device]\nunknown = 1", "unknown key 'unknown' in [device]"),
    ],
)
def test_profiles_that_are_wrong(made: Path, tmp_path: Path, old: str, new: str, said: str) -> None:
    """In a project's profiles.toml, and in a file that is given to init."""
    path = made / "profiles.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    for words in (("broker",), RENEW):
        done = _refused(made, *words)
        assert f"{path}: " in done.message
        assert said in done.message
        assert done.hint
    words = ("init", tmp_path / "b", "--broker", "a", "--passphrase-fd", FD, "--profiles", path)
    done = run(*words, secrets=(PHRASE,))
    assert done.message.startswith(f"{path}: ")
    assert said in done.message
    assert "firmshake ca profiles" in done.hint or "known are" in done.hint
    assert not (tmp_path / "b").exists()
    path.write_text(run("ca", "profiles").out)
    _works(made, "broker")


def test_a_file_of_profiles_that_is_not_there_or_is_none(tmp_path: Path) -> None:
    for name, content in (("gone", None), ("text", b"\xff"), ("large", b"#" * 100_000)):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        words = ("init", tmp_path / "b", "--broker", "a", "--profiles", tmp_path / name)
        assert str(tmp_path / name) in run(*words).message
        assert not (tmp_path / "b").exists()


# the root's key


def test_a_root_that_is_offline(made: Path, tmp_path: Path) -> None:
    stick = tmp_path / "stick.key"
    (made / "ca/root.key").rename(stick)
    for words in (RENEW, ROOT_LIST):
        done = _refused(made, *words)
        assert "the root's key is not here" in done.message
        assert "--root-key" in done.hint
    _works(made, "broker")
    _works(made, *RENEW, "--root-key", stick)
    assert not (made / "ca/root.key").exists()


def test_a_root_key_that_is_not_the_roots(made: Path, foreign: Path, tmp_path: Path) -> None:
    wrong = {
        foreign / "ca/root.key": "the private key is not the one of 'greenhouse root CA",
        made / "ca/intermediate.key": "holds the key of 'greenhouse issuing CA",
        made / "ca/root.crt": "not encrypted",
        tmp_path: "can't read",
        tmp_path / "gone.key": "the root's key is not here",
        made / "broker/broker.pem": "not encrypted",
    }
    for path, said in wrong.items():
        for words in (RENEW, ROOT_LIST):
            done = _refused(made, *words, "--root-key", path)
            assert said in done.message, path
            assert done.hint, path
    _works(made, *RENEW, "--root-key", made / "ca/root.key")


# revocation


def test_what_can_not_be_revoked(made: Path) -> None:
    serials = {
        kind: run("ca", "list", "--project", made, "--kind", kind).out.split()[-1]
        for kind in ("root", "broker")
    }
    reason = ("--reason", "superseded", "--yes")
    for name, said in (
        ("nobody", "neither a device nor a certificate 'nobody'"),
        ("0123456789abcdef", "neither a device nor a certificate"),
        (serials["root"], "a root can't be revoked"),
    ):
        done = _refused(made, "revoke", name, *reason)
        assert said in done.message
        assert done.hint
    # with one that can be, too
    assert "'nobody'" in _refused(made, "revoke", "pump", "nobody", *reason).message
    _works(made, "revoke", "pump", *reason)
    again = _refused(made, "revoke", "pump", *reason)
    assert "'pump' has no certificate in force: the last one is revoked on" in again.message


def test_what_has_expired_is_not_revoked(tmp_path: Path) -> None:
    made = _new(tmp_path / "greenhouse", NOW - timedelta(days=3), _rules(device=1)).root
    done = _refused(made, *REVOKE)
    assert "the last one is expired" in done.message


@pytest.mark.parametrize(
    "words",
    [
        ("revoke", "pump", "--yes"),
        ("revoke", "pump", "--yes", "--reason", "certificateHold"),
        ("revoke", "--reason", "superseded"),
        ("intermediate", "--keep-key", "--key", "pkcs11:token=a;object=b"),
        ("intermediate", "--key", "file.key"),
        ("expiring", "--within", "soon"),
        ("audit", "--head", "1:abc"),
        ("log", "--after", "-1"),
    ],
)
def test_a_command_that_is_not_typed_rightly(made: Path, words: tuple[str, ...]) -> None:
    before = snapshot(made)
    done = run("ca", *words, "--project", made)
    assert done.status == 2, done
    assert done.out == ""
    assert snapshot(made) == before


def test_a_question_that_nobody_can_answer(made: Path) -> None:
    done = _refused(made, "revoke", "pump", "--reason", "superseded")
    assert done.status == 2
    assert "--yes" in done.hint
