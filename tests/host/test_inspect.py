"""`firmshake inspect`: what files are, what is wrong between them, and what is never said."""

from __future__ import annotations

import ast
import base64
import io
import json
import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from support import chains, desk
from support.chains import Made, make
from support.pki import NOW, fleet
from support.stretching import in_earnest

import firmshake
from firmshake import boardfiles
from firmshake.ca import pkcs8
from firmshake.ca.finding import SEVERITIES, WRONG
from firmshake.cli.inspect import command
from firmshake.errors import Error
from firmshake.inspect import filesystem, locks, reading, recognise, record, relations, show
from firmshake.inspect.desk import Desk
from firmshake.inspect.thing import KINDS, Thing
from firmshake_agent.der import BadDer

SECRET = b"correct horse"
SOURCES = Path(firmshake.__file__).parent
ROOT = make("my root", ca=True)
ISSUING = make("my issuing", ROOT, ca=True)
LEAF = make("broker.example", ISSUING, names=["broker.example"])
STRANGER = make("stranger", ca=True)
FLEET = fleet()


def at(*passphrases: bytes) -> Desk:
    """A desk with these answers, in this order."""
    left = list(passphrases)
    return Desk(NOW, lambda what: left.pop(0) if left else None)


def look(data: bytes, *passphrases: bytes, name: str = "file") -> Thing:
    """What one file is, held against itself."""
    return relations.related([recognise.look(data, name, at(*passphrases))], NOW)[0]


def causes(thing: Thing, severity: str = "") -> list[str]:
    return [found.cause for _, found in thing.said() if found.severity == severity or not severity]


def facts(thing: Thing) -> dict[str, str]:
    return dict(thing.facts)


def text(*things: Thing) -> str:
    """What people see of it."""
    console = Console(file=io.StringIO(), width=80)
    console.print(show.show(things))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def pem(*made: Made) -> bytes:
    return b"".join(one.certificate.public_bytes(Encoding.PEM) for one in made)


def key_pem(
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey,
    form: PrivateFormat = PrivateFormat.PKCS8,
    encoding: Encoding = Encoding.PEM,
) -> bytes:
    return key.private_bytes(encoding, form, serialization.NoEncryption())


KEY = ec.generate_private_key(ec.SECP256R1())


def spki_hash(key: ec.EllipticCurvePrivateKey) -> str:
    public = key.public_key().public_bytes(
        Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    digest = hashes.Hash(hashes.SHA256())
    digest.update(public)
    return digest.finalize().hex()


# what things are


@pytest.mark.parametrize(("encoding", "name"), [(Encoding.PEM, "PEM"), (Encoding.DER, "DER")])
@pytest.mark.parametrize(
    ("form", "words"), [(PrivateFormat.PKCS8, "PKCS#8"), (PrivateFormat.TraditionalOpenSSL, "SEC1")]
)
def test_a_private_key_is_told_by_its_type_and_never_shown(
    encoding: Encoding, name: str, form: PrivateFormat, words: str
) -> None:
    data = key_pem(KEY, form, encoding)
    found = look(data)
    assert (found.kind, causes(found)) == ("private_key", [])
    assert facts(found)["key"] == "EC secp256r1"
    assert facts(found)["form"] == f"{words} in {name}"
    assert facts(found)["key_sha256"] == spki_hash(KEY)
    assert_no_secret(found, KEY)


def assert_no_secret(found: Thing, key: ec.EllipticCurvePrivateKey) -> None:
    """Neither people nor programs are told the key, in any form in which it could stand there."""
    number = key.private_numbers().private_value
    said = text(found) + json.dumps(record.of([found])) + repr(found)
    for form in (f"{number:x}", str(number), base64.b64encode(number.to_bytes(32, "big")).decode()):
        assert form[:40] not in said
    assert "PRIVATE KEY" not in said


def test_an_rsa_key_is_told_with_its_size_and_pkcs1_by_its_form() -> None:
    key = rsa.generate_private_key(65537, 2048)
    found = look(key_pem(key, PrivateFormat.TraditionalOpenSSL))
    assert (facts(found)["key"], facts(found)["form"]) == ("RSA 2048", "PKCS#1 in PEM")
    assert causes(found) == []


@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
def test_public_key_certificate_request_and_crl_are_told(encoding: Encoding) -> None:
    public = KEY.public_key().public_bytes(
        encoding, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    assert look(public).kind == "public_key"
    assert look(LEAF.certificate.public_bytes(encoding)).kind == "certificate"
    request = x509.CertificateSigningRequestBuilder().subject_name(LEAF.certificate.subject)
    assert look(request.sign(KEY, hashes.SHA256()).public_bytes(encoding)).kind == "csr"
    found = look(chains.crl(ROOT, 1, 2, 3).public_bytes(encoding))
    assert (found.kind, facts(found)["revoked"]) == ("crl", "3")


def test_several_things_in_a_file_are_counted_and_held_against_each_other() -> None:
    found = look(LEAF.pem(ISSUING, ROOT))
    assert found.title == "a private key and 3 certificates"
    assert not found.wrong
    assert facts(found)["chain"] == "broker.example, then my issuing, then my root"
    assert facts(found.inside[0])["belongs_to"] == "broker.example (file, part 2)"


def test_der_structures_behind_one_another_are_told_apart() -> None:
    found = look(LEAF.der + ISSUING.der)
    assert [part.kind for part in found.inside] == ["certificate"] * 2
    assert look(ISSUING.der + LEAF.der).wrong


def test_a_registry_is_told_and_one_of_a_newer_version_too(tmp_path: Path) -> None:
    from firmshake.registry.schema import APPLICATION_ID, VERSION

    for version, wrong in ((VERSION, False), (VERSION + 1, True)):
        path = tmp_path / f"{version}.sqlite"
        with sqlite3.connect(path) as connection:
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {version}")
            connection.execute("CREATE TABLE a (b)")
        found = look(path.read_bytes())
        assert (found.kind, found.wrong) == ("registry", wrong)
    assert look(path.read_bytes()[:64]).wrong


def test_settings_are_told_without_their_password() -> None:
    made = {"v": 1, "device": "pump-1", "host": "broker.example", "port": 8883}
    made["wifi"] = {"ssid": "shed", "password": "very secret"}
    found = look(json.dumps(made).encode())
    assert (found.kind, causes(found)) == ("settings", [])
    assert facts(found)["wifi_password"] == "there"
    assert "very secret" not in text(found) + json.dumps(record.of([found])) + repr(found)
    bad = look(json.dumps({**made, "port": "8883"}).encode())
    assert causes(bad) == ["config_invalid"]
    assert "port" in bad.findings[0].what


# what is wrong


@pytest.mark.parametrize(
    ("spoil", "cause"),
    [
        (lambda good: good[: len(good) // 2], "cut_off"),
        (lambda good: good.replace(b"END CERT", b"END CORT"), "cut_off"),
        (lambda good: good.replace(b"CERTIFICATE", b"PUBLIC KEY"), "wrong_label"),
        (lambda good: good.replace(b"CERTIFICATE", b"NOTHING"), "unknown_kind"),
        (lambda good: good[:100] + b"!!!" + good[103:], "bad_certificate"),
        (lambda good: good.decode().encode("utf-16"), "wrong_encoding"),
        (lambda good: b"".join(good.splitlines()[1:-1]), "no_armour"),
        (lambda good: b"", "empty"),
        (lambda good: b"some words", "unknown_kind"),
        (lambda good: b"PK\x03\x04" + bytes(30), "unknown_kind"),
        (lambda good: good, ""),
        (lambda good: b"words in front\n" + good + b"and behind", ""),
        (lambda good: good.replace(b"\n", b"\r\n"), ""),
    ],
)
def test_damaged_pem_is_told(spoil: Callable[[bytes], bytes], cause: str) -> None:
    found = look(spoil(pem(ROOT)))
    assert causes(found, WRONG) == ([cause] if cause else [])
    assert all(one.fix for _, one in found.said())


@pytest.mark.parametrize(
    ("spoil", "cause"),
    [
        (lambda good: good[:-1], "cut_off"),
        (lambda good: good + b"and more", "trailing_bytes"),
        (lambda good: good.replace(b"\x17\x0d", b"\x17\x0c", 1), "bad_certificate"),
        (lambda good: b"\x30\x03\x02\x01\x00", "unknown_kind"),
        (lambda good: good, ""),
    ],
)
def test_damaged_der_is_told(spoil: Callable[[bytes], bytes], cause: str) -> None:
    assert causes(look(spoil(ROOT.der)), WRONG) == ([cause] if cause else [])


def test_a_changed_private_key_is_told() -> None:
    good = key_pem(KEY, encoding=Encoding.DER)
    assert causes(look(good.replace(b"\x02\x01\x01\x04\x20", b"\x02\x01\x01\x04\x21"))) == [
        "bad_key"
    ]
    assert causes(look(good)) == []


def test_a_key_in_the_file_of_another_certificate_is_told() -> None:
    found = look(key_pem(KEY) + pem(LEAF, ISSUING))
    assert "key_mismatch" in causes(found, WRONG)
    assert "key_mismatch" not in causes(look(LEAF.pem(ISSUING)))


def test_files_that_are_named_together_are_held_against_each_other(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(key_pem(KEY))
    (tmp_path / "b").write_bytes(pem(LEAF, ISSUING))
    (tmp_path / "c").write_bytes(LEAF.pem())

    def both(first: str, second: str) -> list[str]:
        things = [reading.look(str(tmp_path / name), at()) for name in (first, second)]
        return [cause for one in relations.related(things, NOW) for cause in causes(one, WRONG)]

    assert both("a", "b") == ["key_mismatch"]
    assert both("c", "b") == []


def test_a_revoked_certificate_is_told_and_a_forged_crl_too() -> None:
    def together(*data: bytes) -> list[str]:
        things = [recognise.look(one, str(place), at()) for place, one in enumerate(data)]
        return [cause for one in relations.related(things, NOW) for cause in causes(one, WRONG)]

    number = LEAF.certificate.serial_number
    crl = chains.crl(ISSUING, number).public_bytes(Encoding.DER)
    assert together(crl, pem(LEAF, ISSUING)) == ["revoked"]
    other = chains.crl(ISSUING, 5).public_bytes(Encoding.DER)
    assert together(other, pem(LEAF, ISSUING)) == []
    forged = chains.crl(ISSUING, 5, signer=STRANGER.key).public_bytes(Encoding.DER)
    assert together(forged, pem(LEAF, ISSUING)) == ["crl_forged"]


def test_many_certificates_are_held_against_a_crl_at_once() -> None:
    made = [make(str(number), ISSUING) for number in range(relations._FEW + 4)]
    crl = chains.crl(ISSUING, *(one.certificate.serial_number for one in made[3:5]))
    things = [recognise.look(pem(one), str(place), at()) for place, one in enumerate(made)]
    things.append(recognise.look(crl.public_bytes(Encoding.DER), "crl", at()))
    told = [causes(one, WRONG) for one in relations.related(things, NOW)]
    assert [place for place, each in enumerate(told) if "revoked" in each] == [3, 4]


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"ends": NOW - chains.DAY / 2}, "crl_expired"),
        ({"starts": NOW + chains.DAY}, "crl_not_yet_valid"),
        ({}, ""),
    ],
)
def test_the_dates_of_a_crl_are_told(change: dict[str, object], cause: str) -> None:
    made = chains.crl(ISSUING, 5, **change)  # type: ignore[arg-type]
    found = look(made.public_bytes(Encoding.PEM))
    assert causes(found, WRONG) == ([cause] if cause else [])


def test_the_key_of_a_ca_in_clear_is_told() -> None:
    assert "clear_ca_key" in causes(look(ISSUING.pem()))
    assert "clear_ca_key" not in causes(look(LEAF.pem(ISSUING)))


# locks


def sealed() -> bytes:
    with in_earnest():
        return pkcs8.encrypt(KEY, SECRET)


def test_an_encrypted_key_is_locked_until_its_passphrase_is_given() -> None:
    locked = look(sealed())
    assert (locked.shut, locked.wrong, causes(locked)) == (True, False, ["locked"])
    assert "scrypt with N=16384, r=8, p=5; AES-256-CBC" in facts(locked)["encryption"]
    wrong = look(sealed(), b"incorrect")
    assert (wrong.shut, causes(wrong, WRONG)) == (True, ["wrong_passphrase"])
    opened = look(sealed(), SECRET)
    assert (opened.shut, opened.wrong, causes(opened)) == (False, False, [])
    assert facts(opened)["key_sha256"] == spki_hash(KEY)
    assert_no_secret(opened, KEY)
    assert SECRET.decode() not in text(wrong, opened) + repr(opened)


def test_one_passphrase_opens_all_that_it_fits_and_is_asked_for_once() -> None:
    asked: list[str] = []

    def ask(what: str) -> bytes:
        asked.append(what)
        return SECRET

    found = recognise.look(sealed() + sealed(), "file", Desk(NOW, ask))
    assert not found.shut
    assert asked == ["file, part 1"]


@pytest.mark.parametrize(("r", "p", "costly"), [(127, 127, True), (8, 5, False)])
def test_what_costs_too_much_to_try_is_not_tried(r: int, p: int, costly: bool) -> None:
    """A file can ask for years of work."""
    plain = base64.b64decode(b"".join(sealed().splitlines()[1:-1]))
    greedy = plain.replace(b"\x02\x01\x08\x02\x01\x05", bytes((2, 1, r, 2, 1, p)))
    asked: list[str] = []
    found = recognise.look(greedy, "file", Desk(NOW, lambda what: asked.append(what)))
    assert ("too_costly" in causes(found), asked) == (costly, [] if costly else ["file"])
    assert found.shut


@pytest.mark.parametrize(
    ("rounds", "memory", "costly"),
    [
        (locks.MOST_ROUNDS, locks.MOST_MEMORY, False),
        (locks.MOST_ROUNDS + 1, 0, True),
        (1, locks.MOST_MEMORY + 1, True),
        # as many locks as there are keys in a file
        (locks.MOST_ROUNDS // 2 + 1, 0, False),
    ],
)
def test_the_price_of_a_try_has_its_limits(rounds: int, memory: int, costly: bool) -> None:
    lock = locks.Lock("", "", rounds, memory)
    assert bool(locks.price([lock])) == costly
    assert bool(locks.price([lock, lock])) == (costly or rounds * 2 > locks.MOST_ROUNDS)


@given(st.binary(max_size=300))
def test_any_parameters_of_a_lock_are_read_or_refused(data: bytes) -> None:
    try:
        found = locks.locks(data)
    except BadDer:
        return
    assert all(one.rounds >= 0 for one in found)


# files and folders


def write(path: Path, data: bytes, mode: int = 0o600) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.chmod(mode)
    return path


@pytest.mark.parametrize(("mode", "told"), [(0o600, False), (0o640, True), (0o604, True)])
def test_a_private_key_that_others_may_read_is_told(tmp_path: Path, mode: int, told: bool) -> None:
    path = write(tmp_path / "a key", key_pem(KEY), mode)
    found = reading.look(str(path), at())
    assert ("readable_by_others" in causes(found)) == told
    if told:
        assert found.findings[0].fix == f"chmod 600 '{path}'"
    public = write(tmp_path / "public", pem(ROOT), mode)
    assert causes(reading.look(str(public), at())) == []


def test_the_key_of_a_ca_that_others_may_read_is_wrong(tmp_path: Path) -> None:
    write(tmp_path / "ca.key", key_pem_of(ROOT), 0o644)
    write(tmp_path / "ca.crt", pem(ROOT), 0o644)
    (found,) = relations.related([reading.look(str(tmp_path), at())], NOW)
    assert causes(found, WRONG) == ["clear_ca_key"]
    (tmp_path / "ca.key").chmod(0o600)
    (found,) = relations.related([reading.look(str(tmp_path), at())], NOW)
    assert (found.wrong, causes(found)) == (False, ["clear_ca_key"])


def key_pem_of(made: Made) -> bytes:
    assert isinstance(made.key, ec.EllipticCurvePrivateKey)
    return key_pem(made.key)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shed") / "shed"
    with in_earnest():
        desk.make_project(folder)
    return folder


def test_a_new_project_is_in_order(project: Path) -> None:
    (found,) = relations.related([reading.look(str(project), at(desk.PASSPHRASE))], NOW)
    assert (found.kind, found.shut, causes(found)) == ("project", False, [])
    kinds = {one.kind for one in found.all()}
    assert kinds >= {"fleet", "registry", "certificate", "private_key"}
    keys = [one for one in found.all() if one.kind == "private_key"]
    assert all("belongs_to" in facts(key) for key in keys)
    assert desk.SHED.password
    assert desk.SHED.password not in text(found) + json.dumps(record.of([found]))
    assert desk.PASSPHRASE.decode() not in text(found) + repr(found)


def test_a_project_without_its_passphrase_is_locked_and_not_wrong(project: Path) -> None:
    (found,) = relations.related([reading.look(str(project), at())], NOW)
    assert (found.wrong, found.shut) == (False, True)


def test_a_broker_under_another_name_than_in_the_settings_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "shed"
    desk.make_project(folder)
    settings = folder / "fleet.toml"
    settings.write_text(settings.read_text().replace('"127.0.0.1"', '"other.example"'))
    (found,) = relations.related([reading.look(str(folder), at(desk.PASSPHRASE))], NOW)
    assert causes(found, WRONG) == ["hostname_mismatch"]


def drive(folder: Path, **changes: bytes | None) -> Path:
    """A CircuitPython drive with a board's identity on it."""
    identity = FLEET.device
    settings = {"v": 1, "device": "esp32-aabbcc", "host": "broker.example", "port": 8883}
    files: dict[str, bytes | None] = {
        "boot_out.txt": b"Adafruit CircuitPython 9.2.1 on 2024-11-20; an S3 with ESP32S3\r\n",
        "firmshake/settings.json": json.dumps(settings).encode(),
        "firmshake/key.pem": identity.key_pem(),
        "firmshake/cert.pem": identity.chain_pem(),
        "firmshake/ca.pem": identity.anchors_pem(),
    }
    for name, data in (
        files | {f"firmshake/{key}": value for key, value in changes.items()}
    ).items():
        if data is not None:
            write(folder / name, data)
    return folder


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"key.pem": None}, "file_missing"),
        ({"settings.json": None}, "file_missing"),
        ({"ca.pem": None}, "file_missing"),
        ({"key.pem": key_pem(KEY)}, "key_mismatch"),
        ({"key.pem": pkcs8.encrypt(KEY, SECRET)}, "encrypted_key"),
        ({"cert.pem": FLEET.broker.chain_pem(), "key.pem": FLEET.broker.key_pem()}, "wrong_usage"),
        ({"settings.json": b'{"device": "other"}'}, "config_invalid"),
        (
            {"settings.json": b'{"v": 1, "device": "other", "host": "a", "port": 1}'},
            "wrong_device",
        ),
        ({}, ""),
    ],
)
def test_a_drive_is_judged_as_the_agent_would(
    tmp_path: Path, changes: dict[str, bytes | None], cause: str
) -> None:
    (found,) = relations.related([reading.look(str(drive(tmp_path, **changes)), at())], NOW)
    assert found.kind == "circuitpython"
    assert facts(found)["version"].startswith("Adafruit CircuitPython 9.2.1")
    assert (cause in causes(found, WRONG)) if cause else not found.wrong


def test_the_identity_of_a_board_is_what_the_product_writes() -> None:
    """The names that `board` knows are those of `boardfiles`."""
    from firmshake.inspect import board

    for name in boardfiles.identity_files(FLEET.device):
        assert board.is_boards_own(f"{boardfiles.FOLDER}/{name}")
    assert not board.is_boards_own("/lib/key.der")


def test_an_empty_folder_and_one_with_links_are_no_trouble(tmp_path: Path) -> None:
    assert causes(reading.look(str(tmp_path), at())) == ["nothing_found"]
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "gone.pem").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "fifo.pem")
    assert causes(reading.look(str(tmp_path), at())) == ["nothing_found"]


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(Error, match="no such file"):
        reading.look(str(tmp_path / "none"), at())


def test_what_is_too_large_is_refused_before_it_fills_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "LARGEST", 4 << 20)
    path = tmp_path / "large"
    with path.open("wb") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(Error, match="larger than 4 MiB"):
        reading.look(str(path), at())
    with path.open("wb") as stream:
        stream.truncate(4 << 20)
    assert reading.look(str(path), at()).kind == "unknown"


# the command


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Result]]:
    monkeypatch.chdir(tmp_path)

    def call(*words: str, given: bytes | None = None) -> Result:
        if given is None:
            return CliRunner().invoke(command, list(words))
        with desk.typed(given) as handle:
            return CliRunner().invoke(command, [*words, "--passphrase-fd", str(handle)])

    return call


@pytest.mark.parametrize(
    ("data", "given", "status"),
    [
        (pem(ROOT), None, 0),
        (pem(ROOT)[:-40], None, 1),
        (pkcs8.encrypt(KEY, SECRET), None, 1),
        (pkcs8.encrypt(KEY, SECRET), SECRET, 0),
        (pkcs8.encrypt(KEY, SECRET), b"incorrect", 1),
    ],
)
def test_the_status_says_whether_something_is_wrong_or_locked(
    *, tmp_path: Path, run: Callable[..., Result], data: bytes, given: bytes | None, status: int
) -> None:
    write(tmp_path / "file", data)
    result = run("file", given=given)
    assert (result.exit_code, result.stderr) == (status, "")
    assert result.stdout.startswith("file: ")
    again = json.loads(run("file", "--json", given=given).stdout)
    assert again["ok"] == (status == 0)
    assert again["locked"] == ("locked" in result.stdout or given == b"incorrect")


def test_without_a_path_it_is_wrong_usage(run: Callable[..., Result]) -> None:
    assert run().exit_code == 2


def test_everything_that_json_says_has_its_word_for_people(
    project: Path, run: Callable[..., Result]
) -> None:
    """Every key of a fact has its word, every kind its name, every finding its place."""
    (found,) = relations.related([reading.look(str(project), at(desk.PASSPHRASE))], NOW)
    for one in found.all():
        assert one.kind in KINDS
        assert {key for key, _ in one.facts} <= set(show.WORDS)
        assert all(finding.severity in SEVERITIES for finding in one.findings)
    made = json.loads(json.dumps(record.of([found])))
    assert made["things"][0]["kind"] == "project"


def test_what_strangers_wrote_does_not_reach_the_terminal_as_it_is() -> None:
    evil = make("a\x1b[31mb\nc", ca=True)
    said = text(look(pem(evil)))
    assert "\x1b" not in said
    assert "a\\x1b[31mb" in said


def said_causes() -> set[str]:
    """Every cause in the sources: the second argument of each Finding, and those of boards."""
    parts = [*(SOURCES / "inspect").glob("*.py"), *(SOURCES / "ca").glob("*checks.py")]
    tree = [ast.parse(path.read_text()) for path in [*parts, SOURCES / "serverview/weakness.py"]]
    calls = [node for one in tree for node in ast.walk(one) if isinstance(node, ast.Call)]
    found = set()
    for call in calls:
        if getattr(call.func, "id", "") in ("Finding", "said_by_board"):
            # ours begins with the severity; the one of `serverview` with the cause
            constants = [one.value for one in call.args[:2] if isinstance(one, ast.Constant)]
            found |= set(map(str, constants[:1]))
    return found


def test_every_cause_stands_in_the_document() -> None:
    document = (SOURCES.parents[1] / "docs" / "inspect.md").read_text()
    told = set(re.findall(r"`([a-z_0-9]+)`", document.partition("## What it finds")[2]))
    found = said_causes() | {"wrong_passphrase", "locked", "bad_key", "bad_certificate"}
    found |= {"crl_forged"}
    assert {"expired", "key_mismatch", "chain_too_long", "encrypted_key"} <= found
    assert sorted(found - told) == []
    assert sorted(told - found - {"cause"}) == []


def test_the_document_states_the_limits_that_hold() -> None:
    document = (SOURCES.parents[1] / "docs" / "inspect.md").read_text()
    for number in (
        f"more than {reading.LARGEST >> 20} MiB",
        f"{filesystem.MOST_FILES:,} files",
        f"{locks.MOST_ROUNDS // 10**6} million rounds or {locks.MOST_MEMORY >> 20} MiB",
        f"{locks.LEAST_ROUNDS['SHA-256']:,}",
    ):
        assert number in document
