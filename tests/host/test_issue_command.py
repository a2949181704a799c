"""`firmshake ca issue`, `rekey`, `renew` and `sign`: what they print, and what they refuse."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import click
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from support import desk
from support.commands import FD, Done, run

from firmshake.ca import certificate, pkcs8, store
from firmshake.registry import Registry

SECRET = b"battery staple"


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return desk.make_project(tmp_path_factory.mktemp("issue") / "fleet").root


@pytest.fixture
def fleet(intact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project's folder, with `here` as the working directory beside it."""
    made = Path(shutil.copytree(intact, tmp_path / "fleet"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return made


def ca(
    fleet: Path,
    *words: object,
    secrets: tuple[bytes, ...] = (),
    passphrase: bytes = desk.PASSPHRASE,
) -> Done:
    name, *rest = words
    options = ("--project", fleet, "--passphrase-fd", FD)
    done = run("ca", name, *options, *rest, secrets=(passphrase, *secrets))
    assert "correct horse" not in done.out + done.err
    return done


def registry(fleet: Path) -> Registry:
    return Registry.open(fleet / "registry.sqlite")


def entries(fleet: Path) -> int:
    head = registry(fleet).head()
    assert head
    return head.seq


def test_a_gateways_files_are_told_and_what_to_do_with_them(fleet: Path) -> None:
    done = ca(fleet, "issue", "gw-1", "--out", "gw")
    (record,) = registry(fleet).certificates(device_id="gw-1")
    assert done.status == 0
    assert done.out.splitlines() == [
        "gw/gw-1.crt: certificate of gw-1, with the intermediate's",
        "  key          gw/gw-1.key, in clear: keep it to the device",
        "  broker's CA  gw/ca.crt",
        f"  valid until  {record.not_after:%Y-%m-%d %H:%M} UTC",
        f"  serial       {record.serial_number}",
    ]
    assert done.err.splitlines() == [
        "next:",
        "  give each device its files: the id is its MQTT client id and user name",
    ]


def test_for_a_program_there_is_an_object_for_each_device(fleet: Path) -> None:
    done = ca(fleet, "issue", "gw-1", "gw-2", "--out", "gw", "--json")
    first, second = map(json.loads, done.out.splitlines())
    assert [first["device"], second["device"]] == ["gw-1", "gw-2"]
    assert {key: first[key] for key in ("certificate", "key", "ca")} == {
        "certificate": "gw/gw-1.crt",
        "key": "gw/gw-1.key",
        "ca": "gw/ca.crt",
    }
    (record,) = registry(fleet).certificates(device_id="gw-1")
    assert first["serial_number"] == record.serial_number
    assert first["not_after"] == record.not_after.isoformat()


def test_a_device_may_have_a_profile_of_its_own(fleet: Path) -> None:
    with (fleet / "profiles.toml").open("a") as stream:
        stream.write("[profile.short]\nvalidity_days = 90\n")
    assert ca(fleet, "issue", "gate", "--out", "out", "--profile", "short").status == 0
    assert ca(fleet, "issue", "door", "--out", "out").status == 0
    many = ("--count", 1, "--prefix", "n", "--out", "many", "--clear-keys", "--profile", "short")
    assert ca(fleet, "issue", *many).status == 0
    line = json.loads(Path("many").read_text())
    made = [Path("out/gate.crt").read_bytes(), line["certificate"].encode()]
    made.append(Path("out/door.crt").read_bytes())
    found = [x509.load_pem_x509_certificate(pem) for pem in made]
    days = [(one.not_valid_after_utc - one.not_valid_before_utc).days for one in found]
    assert days[0] == days[1] == 90
    assert days[2] > 3600


def test_a_profile_that_is_not_there_is_told_before_a_passphrase_is_asked_for(fleet: Path) -> None:
    before = entries(fleet)
    done = run("ca", "issue", "gate", "--out", "out", "--profile", "shirt", "--project", fleet)
    assert "no device profile is called 'shirt'" in done.message
    assert entries(fleet) == before


def test_rekey_says_the_command_that_revokes_the_old_certificate(fleet: Path) -> None:
    ca(fleet, "issue", "gw-1", "--out", "gw")
    (old,) = registry(fleet).certificates(device_id="gw-1")
    done = ca(fleet, "rekey", "gw-1", "--out", "new")
    assert done.err.splitlines()[-1] == (
        f"  firmshake ca revoke {old.serial_number} --reason superseded --project {fleet}"
    )
    command = done.err.splitlines()[-1].split()[2:]
    assert ca(fleet, *command, "--yes").status == 0
    assert [one.reason for one in registry(fleet).certificates(device_id="gw-1")] == [
        "superseded",
        None,
    ]


def test_renew_leaves_the_key_where_it_is(fleet: Path) -> None:
    ca(fleet, "issue", "gw-1", "--out", "gw")
    key = Path("gw/gw-1.key").read_bytes()
    done = ca(fleet, "renew", "gw-1", "--out", "gw")
    assert done.status == 0
    assert "key  " not in done.out
    assert Path("gw/gw-1.key").read_bytes() == key
    assert json.loads(ca(fleet, "renew", "gw-1", "--out", "gw", "--json").out)["key"] is None


def test_many_are_counted_and_their_keys_encrypted(fleet: Path) -> None:
    words = ("--count", 3, "--prefix", "pump", "--out", "keys", "--key-passphrase-fd", FD)
    done = ca(fleet, "issue", *words, secrets=(SECRET,))
    assert done.out.splitlines() == [
        "keys: keys and certificates of pump-000001 to pump-000003",
        "  devices      3",
        "  keys         encrypted",
    ]
    (said,) = done.err.splitlines()
    assert said.startswith("3 in ")
    assert said.endswith(" a second")
    lines = [json.loads(line) for line in Path("keys").read_text().splitlines()]
    assert all(serialization.load_pem_private_key(one["key"].encode(), SECRET) for one in lines)


def test_the_prefix_is_the_fleets_by_itself(fleet: Path) -> None:
    done = ca(fleet, "issue", "--count", 2, "--out", "keys", "--clear-keys", "--json")
    assert json.loads(done.out) == {
        "file": "keys",
        "first": "fleet-000001",
        "last": "fleet-000002",
        "count": 2,
    }


def test_a_run_that_goes_on_says_what_was_lost(
    fleet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from firmshake.ca import bulk

    monkeypatch.setattr(bulk, "AT_ONCE", 2)
    words = ("--count", 5, "--out", "keys", "--key-passphrase-fd", FD)
    told: list[str] = []
    with monkeypatch.context() as patched:
        patched.setattr(click, "echo", lambda text, **how: told.append(text))
        real, calls = bulk.newfile.sync, []

        def fails(stream: object) -> None:
            calls.append(stream)
            if len(calls) > 1:
                raise OSError(28, "No space left on device")
            real(stream)  # type: ignore[arg-type]

        patched.setattr(bulk.newfile, "sync", fails)
        with pytest.raises(OSError, match="No space"):
            ca(fleet, "issue", *words, secrets=(SECRET,))
    assert told == ["keys is not complete: the same command goes on with it"]
    whole = Path("keys").read_bytes().splitlines(keepends=True)
    Path("keys").write_bytes(b"".join(whole[:2]))
    audit = run("ca", "audit", "--project", fleet)
    assert "2 keys may never have reached" in audit.out
    assert f"firmshake ca issue --count 5 --prefix fleet --out {Path.cwd()}/keys" in audit.out
    # no second time to confirm: the passphrase is not new
    done = ca(fleet, "issue", *words, secrets=(SECRET,))
    assert done.status == 0
    assert done.err.splitlines()[1:] == [
        "2 stood in keys from the run that was broken off",
        "2 keys of that run never got there: their certificates are revoked, and those devices"
        " have new ones",
    ]
    assert "never have reached" not in run("ca", "audit", "--project", fleet).out


@pytest.mark.parametrize("anew", [False, True])
def test_the_audit_names_the_command_that_makes_up_for_a_lost_key(
    fleet: Path, monkeypatch: pytest.MonkeyPatch, anew: bool
) -> None:
    from firmshake.ca import handover

    if anew:
        ca(fleet, "issue", "gw-1", "--out", "old")
    word = "rekey" if anew else "issue"
    with monkeypatch.context() as patched:
        patched.setattr(handover, "_key_path", lambda folder, name: folder / "no" / "such")
        with pytest.raises(OSError, match="No such file"):
            ca(fleet, word, "gw-1", "--out", "gw")
    audit = run("ca", "audit", "--project", fleet)
    assert "the key of gw-1 may never have reached" in audit.out
    words = f"firmshake ca {word} gw-1 --out {Path.cwd()}/gw"
    assert words in audit.out
    assert ca(fleet, *words.split()[2:]).status == 0
    assert "never have reached" not in run("ca", "audit", "--project", fleet).out


@pytest.mark.parametrize(
    ("words", "what"),
    [
        ((), "give either IDs or --count"),
        (("gw-1", "--count", "2"), "give either IDs or --count"),
        (("gw-1", "--clear-keys"), "--clear-keys goes with --count"),
        (("gw-1", "--prefix", "a"), "--prefix goes with --count"),
        (("gw-1", "--key-passphrase-fd", "3"), "--key-passphrase-fd goes with --count"),
        (("--count", "2", "--clear-keys", "--key-passphrase-fd", "3"), "exclude each other"),
    ],
)
def test_wrong_usage_of_issue(fleet: Path, words: tuple[str, ...], what: str) -> None:
    before = entries(fleet)
    done = ca(fleet, "issue", "--out", "gw", *words)
    assert what in done.message
    assert (done.status, entries(fleet)) == (2, before)


@pytest.mark.parametrize("words", [("--count", "0"), ("--count", "10000000"), ("../gw-1",)])
def test_a_number_or_an_id_that_cannot_be_one_is_wrong_usage(
    fleet: Path, words: tuple[str, ...]
) -> None:
    done = ca(fleet, "issue", "--out", "gw", *words)
    assert done.status == 2
    assert not Path("gw").exists()


@pytest.mark.parametrize(("secret", "what"), [(b"short", "too short"), (b"", "is empty")])
def test_a_passphrase_for_the_keys_that_is_none_issues_nothing(
    fleet: Path, secret: bytes, what: str
) -> None:
    before = entries(fleet)
    words = ("--count", 3, "--out", "keys", "--key-passphrase-fd", FD)
    done = ca(fleet, "issue", *words, secrets=(secret,))
    assert what in done.message
    assert done.message.startswith("the passphrase of the keys")
    assert (done.status, entries(fleet), Path("keys").exists()) == (2, before, False)


def test_a_file_in_the_way_is_told_before_a_passphrase_is_asked_for(fleet: Path) -> None:
    Path("keys").write_text("mine")
    done = ca(fleet, "issue", "--count", 3, "--out", "keys", passphrase=b"")
    assert done.message == "keys is there already"
    done = ca(fleet, "issue", "--count", 3, "--out", "others", passphrase=b"")
    assert done.message == "the CA passphrase is empty"


def test_a_folder_that_is_none_is_refused(fleet: Path) -> None:
    Path("gw").write_text("mine")
    before = entries(fleet)
    with pytest.raises(NotADirectoryError):
        ca(fleet, "issue", "gw-1", "--out", "gw")
    with pytest.raises(FileNotFoundError):
        ca(fleet, "issue", "--count", 3, "--out", "no/such", "--clear-keys")
    assert entries(fleet) == before


# -- sign


def csr(name: str = "pump", path: str = "pump.csr") -> ec.EllipticCurvePrivateKey:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    made = x509.CertificateSigningRequestBuilder().subject_name(subject)
    made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    signed = made.sign(key, hashes.SHA256())
    Path(path).write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    return key


def test_a_request_is_signed_for_the_device_that_it_names(fleet: Path) -> None:
    key = csr()
    done = ca(fleet, "sign", "pump.csr")
    leaf, above = x509.load_pem_x509_certificates(done.out.encode())
    assert leaf.public_key() == key.public_key()
    assert above == store.certificate(fleet / "ca", store.read(fleet / "ca").issuing)
    (record,) = registry(fleet).certificates(device_id="pump")
    assert record.serial_number == certificate.serial(leaf)
    assert done.err.splitlines() == [
        f"  valid until  {record.not_after:%Y-%m-%d %H:%M} UTC",
        f"  serial       {record.serial_number}",
        "not as asked for: basic constraints as the profile has it",
    ]


def test_a_signed_certificate_goes_to_a_new_file(fleet: Path) -> None:
    csr("admin")
    done = ca(fleet, "sign", "pump.csr", "--device", "pump", "--out", "pump.crt")
    assert done.out.splitlines()[0] == ("pump.crt: certificate of pump, with the intermediate's")
    assert "not as asked for: subject CN=pump in place of CN=admin" in done.err
    before = Path("pump.crt").read_bytes(), entries(fleet)
    again = ca(fleet, "sign", "pump.csr", "--device", "pump", "--out", "pump.crt")
    assert again.message == "pump.crt is there already"
    assert (Path("pump.crt").read_bytes(), entries(fleet)) == before


def test_what_a_device_had_before_is_told_with_the_command_that_revokes_it(fleet: Path) -> None:
    csr()
    assert "revoke" not in ca(fleet, "sign", "pump.csr").err
    (old,) = registry(fleet).certificates(device_id="pump")
    done = ca(fleet, "sign", "pump.csr", "--out", "pump.crt")
    assert f"firmshake ca revoke {old.serial_number} --reason superseded" in done.err


def test_a_brokers_request_gets_the_names_that_are_given(fleet: Path) -> None:
    csr("whatever")
    done = ca(fleet, "sign", "pump.csr", "--broker", "broker.example", "--broker", "192.0.2.7")
    leaf = x509.load_pem_x509_certificates(done.out.encode())[0]
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "broker.example" in names.get_values_for_type(x509.DNSName)
    assert [one.subject for one in registry(fleet).certificates(kind="broker")][1:] == [
        "broker.example"
    ]


@pytest.mark.parametrize(
    ("words", "what", "status"),
    [
        (("--device", "a", "--broker", "b"), "exclude each other", 2),
        (("--broker", "no name"), "is no DNS name and no IP address", 2),
        ((), "the common name of the request: '../../etc' can't be a device id", 1),
    ],
)
def test_a_request_for_nobody_is_not_signed(
    fleet: Path, words: tuple[str, ...], what: str, status: int
) -> None:
    csr("../../etc")
    before = entries(fleet)
    done = ca(fleet, "sign", "pump.csr", *words)
    assert what in done.message
    assert (done.status, entries(fleet)) == (status, before)


def test_a_file_that_is_no_request_is_named(fleet: Path) -> None:
    Path("pump.csr").write_text("hello")
    done = ca(fleet, "sign", "pump.csr")
    assert done.message == "pump.csr: not a certificate signing request"
    assert done.hint


# -- another passphrase, broken off


def test_a_change_of_passphrase_that_was_broken_off_is_done_by_the_same_command(
    fleet: Path,
) -> None:
    renew = ("intermediate", "--root-passphrase-fd", FD)
    assert ca(fleet, *renew, secrets=(desk.PASSPHRASE,)).status == 0
    folder = fleet / "ca"
    first = store.read(folder).intermediates[0]
    key = store.open_key(folder, first, desk.PASSPHRASE)
    store.seal(folder, first, key, SECRET)
    words = ("passphrase", "--new-passphrase-fd", FD)
    assert "wrong passphrase" in ca(fleet, *words, secrets=(b"neither of them",)).message
    assert ca(fleet, *words, secrets=(SECRET,)).status == 0
    for place in store.read(folder).intermediates:
        assert pkcs8.decrypt((folder / place.key).read_bytes(), SECRET)
