"""`firmshake ca import` and `init --ca`: what OpenSSL made, taken in once it is in order."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from support import broken
from support.commands import FD, Done, run

from firmshake.ca import certificate, store
from firmshake.newproject import new_project
from firmshake.project import Broker, Project, load, open_authority
from firmshake.registry import Registry

NOW = datetime.now(UTC)
SECRET = b"correct horse"
CA = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n"
IDS = "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
DEVICE = "keyUsage=critical,digitalSignature\nextendedKeyUsage=clientAuth\n" + IDS


def openssl(folder: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)


def key(folder: Path, name: str, *kind: str) -> None:
    words = kind or ("EC", "-pkeyopt", "ec_paramgen_curve:P-256")
    openssl(folder, "genpkey", "-algorithm", *words, "-out", f"{name}.key")


def signed(
    folder: Path, name: str, subject: str, extensions: str, by: str = "root", days: int = 900
) -> None:
    """NAME.pem for NAME.key, signed by the CA `by`, or by itself where that is NAME."""
    (folder / "ext").write_text(extensions)
    openssl(folder, "req", "-new", "-key", f"{name}.key", "-subj", f"/CN={subject}", "-out", "csr")
    words = ["x509", "-req", "-in", "csr", "-extfile", "ext", "-days", str(days)]
    if by == name:
        words += ["-signkey", f"{name}.key"]
    else:
        words += ["-CA", f"{by}.pem", "-CAkey", f"{by}.key", "-CAcreateserial"]
    openssl(folder, *words, "-out", f"{name}.pem")


@pytest.fixture
def corp(tmp_path: Path) -> Path:
    """A company's root and an issuing CA below it."""
    folder = tmp_path / "corp"
    folder.mkdir()
    for name in ("root", "sub"):
        key(folder, name)
    signed(folder, "root", "Corp Root", CA + "subjectKeyIdentifier=hash\n", by="root", days=3000)
    signed(folder, "sub", "Corp Issuing", CA.replace("TRUE", "TRUE,pathlen:0") + IDS)
    return folder


def init(folder: Path, *files: Path, passphrases: Sequence[bytes] = ()) -> Done:
    named = [word for file in files for word in ("--ca", file)]
    words = ("init", folder, "--broker", "localhost", "--no-ntp", *named, "--passphrase-fd", FD)
    return run(*words, "--file-passphrase-fd", FD, secrets=(*passphrases, SECRET))


def opened(folder: Path) -> tuple[Project, Registry]:
    made = load(folder)
    return made, Registry.open(made.registry_path)


def audited(folder: Path) -> None:
    result = run("ca", "audit", "--project", folder)
    assert result.status == 0, result.out
    assert "wrong" not in result.out


def test_a_project_begins_with_an_intermediate_whose_root_key_stays_away(
    corp: Path, tmp_path: Path
) -> None:
    whole = b"".join((corp / f"{name}.pem").read_bytes() for name in ("root", "sub"))
    (corp / "chain.pem").write_bytes(whole)
    result = init(tmp_path / "p", corp / "chain.pem", corp / "sub.key")
    assert result.status == 0, result.err
    made, registry = opened(tmp_path / "p")
    identity = open_authority(made, SECRET).issue("pump", now=datetime.now(UTC))
    assert [certificate.subject(one) for one in (*identity.chain, *identity.anchors)] == [
        "Corp Issuing",
        "Corp Root",
    ]
    assert not (made.ca_folder / "root.key").exists()
    assert b"ENCRYPTED" in (made.ca_folder / "intermediate.key").read_bytes()
    events = [one.fields["event"] for one in registry.log()]
    assert events == ["imported", "imported", "issued", "crl"]
    audited(made.root)


def test_below_a_root_an_issuing_ca_is_made(corp: Path, tmp_path: Path) -> None:
    result = init(tmp_path / "p", corp / "root.pem", corp / "root.key")
    assert result.status == 0, result.err
    made, registry = opened(tmp_path / "p")
    authority = open_authority(made, SECRET)
    assert certificate.subject(authority.root) == "Corp Root"
    assert [one.fields["event"] for one in registry.log()][:2] == ["imported", "issued"]
    audited(made.root)


@pytest.mark.parametrize("legacy", [False, True])
def test_pkcs12_asks_for_its_passphrase(corp: Path, tmp_path: Path, legacy: bool) -> None:
    words = ["pkcs12", "-export", "-inkey", "sub.key", "-in", "sub.pem", "-certfile", "root.pem"]
    words += ["-legacy"] if legacy else []
    openssl(corp, *words, "-passout", "pass:theirs", "-out", "sub.p12")
    wrong = init(tmp_path / "p", corp / "sub.p12", passphrases=[b"mistyped"])
    assert "wrong passphrase" in wrong.message
    assert not (tmp_path / "p").exists()
    result = init(tmp_path / "p", corp / "sub.p12", passphrases=[b"theirs"])
    assert result.status == 0, result.err
    audited(tmp_path / "p")


@pytest.mark.parametrize("form", ["pkcs8", "legacy", "der"])
def test_a_locked_key_of_any_form_is_opened(corp: Path, tmp_path: Path, form: str) -> None:
    words = {
        "pkcs8": ["pkcs8", "-topk8", "-in", "sub.key", "-passout", "pass:theirs"],
        "legacy": ["ec", "-aes128", "-in", "sub.key", "-passout", "pass:theirs"],
        "der": ["pkcs8", "-topk8", "-in", "sub.key", "-passout", "pass:theirs", "-outform", "DER"],
    }[form]
    openssl(corp, *words, "-out", "locked.key")
    files = (corp / "sub.pem", corp / "root.pem", corp / "locked.key")
    assert init(tmp_path / "p", *files, passphrases=[b"theirs"]).status == 0


def _other_key(corp: Path) -> None:
    key(corp, "sub")


def _no_root(corp: Path) -> None:
    (corp / "root.pem").write_bytes((corp / "sub.pem").read_bytes())


def expire(folder: Path, name: str, by: str) -> None:
    """Give a certificate dates that are past: OpenSSL before 3.4 can't."""
    found = x509.load_pem_x509_certificate((folder / f"{name}.pem").read_bytes())
    signer = load_pem_private_key((folder / f"{by}.key").read_bytes(), None)
    past = (NOW - timedelta(days=9), NOW - timedelta(days=1))
    made = broken.remade(found, signer, valid=past)
    (folder / f"{name}.pem").write_bytes(certificate.pem(made))


def _expired(corp: Path) -> None:
    expire(corp, "sub", "root")


def _no_ca_flag(corp: Path) -> None:
    signed(corp, "sub", "Corp Issuing", DEVICE)


def _no_crl_sign(corp: Path) -> None:
    signed(corp, "sub", "Corp Issuing", CA.replace(",cRLSign", "") + IDS)


def _weak(corp: Path) -> None:
    key(corp, "sub", "RSA", "-pkeyopt", "rsa_keygen_bits:1024")
    signed(corp, "sub", "Corp Issuing", CA + IDS)


def _other_root(corp: Path) -> None:
    key(corp, "root")
    signed(corp, "root", "Corp Root", CA + "subjectKeyIdentifier=hash\n", by="root")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_other_key, "private key is not the one of"),
        (_no_root, "which is not here"),
        (_expired, "expired on"),
        (_no_ca_flag, "is no certificate of a CA"),
        (_no_crl_sign, "cRLSign"),
        (_weak, "1024 bits; boards want 2048"),
        (_other_root, "another key"),
    ],
    ids=lambda value: value.__name__.strip("_") if callable(value) else "",
)
def test_a_ca_that_is_not_in_order_is_refused_and_nothing_is_made(
    corp: Path, tmp_path: Path, spoil: object, said: str
) -> None:
    files = (corp / "sub.pem", corp / "root.pem", corp / "sub.key")
    assert callable(spoil)
    spoil(corp)
    result = init(tmp_path / "p", *files)
    assert said in result.message
    assert result.hint
    assert not (tmp_path / "p").exists()


def test_it_says_what_inspect_says(corp: Path, tmp_path: Path) -> None:
    _expired(corp)
    files = [corp / "sub.pem", corp / "root.pem", corp / "sub.key"]
    result = init(tmp_path / "p", *files)
    seen = run("inspect", "--json", *files)
    told = [
        one["what"]
        for thing in json.loads(seen.out)["things"]
        for one in thing["findings"]
        if one["severity"] == "wrong"
    ]
    assert told
    for what in told:
        assert what in result.err


@pytest.fixture
def project(corp: Path, tmp_path: Path) -> Project:
    """A project of its own CA, whose root key OpenSSL has too."""
    made = new_project(
        tmp_path / "own",
        broker=Broker("localhost", 8883, "localhost"),
        passphrase=SECRET,
        now=NOW,
        ntp=(),
    )
    root = store.open_root(made.ca_folder, store.read(made.ca_folder).root, SECRET)
    clear = root.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (corp / "own.key").write_bytes(clear)
    (corp / "own.pem").write_bytes(certificate.pem(root.certificate))
    return made


def imported(project: Project, *files: Path) -> Done:
    words = ("ca", "import", *files, "--project", project.root, "--passphrase-fd", FD)
    return run(*words, secrets=(SECRET,))


def test_an_intermediate_that_our_root_signed_elsewhere_issues_from_now_on(
    corp: Path, project: Project
) -> None:
    key(corp, "new")
    signed(corp, "new", "New Issuing", CA.replace("TRUE", "TRUE,pathlen:0") + IDS, by="own")
    result = imported(project, corp / "new.pem", corp / "new.key")
    assert result.status == 0, result.err
    identity = open_authority(project, SECRET).issue("pump", now=datetime.now(UTC))
    assert certificate.subject(identity.chain[0]) == "New Issuing"
    audited(project.root)


def test_an_intermediate_of_another_root_is_refused(corp: Path, project: Project) -> None:
    before = store.read(project.ca_folder)
    result = imported(project, corp / "sub.pem", corp / "root.pem", corp / "sub.key")
    assert "does not lead to this project's root" in result.message
    assert store.read(project.ca_folder) == before
    audited(project.root)


def test_a_certificate_that_was_made_elsewhere_is_in_the_registry(
    corp: Path, project: Project
) -> None:
    key(corp, "pump")
    signed(corp, "pump", "pump-7", DEVICE, by="own")
    result = imported(project, corp / "pump.pem")
    assert result.status == 0, result.err
    found = Registry.open(project.registry_path).device("pump-7")
    assert found is not None
    assert found.certificate is not None
    assert (found.state, found.certificate.kind) == ("issued", "device")
    audited(project.root)
    again = imported(project, corp / "pump.pem")
    assert "in the registry already" in again.message


def revoked(project: Project, name: str) -> Done:
    words = ("ca", "revoke", name, "--reason", "superseded", "--yes")
    return run(*words, "--project", project.root, "--passphrase-fd", FD, secrets=(SECRET,))


def serial(path: Path) -> str:
    return certificate.serial(x509.load_pem_x509_certificate(path.read_bytes()))


def test_a_certificate_of_another_ca_is_kept_and_is_no_devices(
    corp: Path, project: Project
) -> None:
    key(corp, "pump")
    signed(corp, "pump", "pump-8", DEVICE, by="sub")
    files = (corp / "pump.pem", corp / "sub.pem", corp / "root.pem")
    result = imported(project, *files)
    assert result.status == 0, result.err
    assert "(other)" in result.out
    registry = Registry.open(project.registry_path)
    found = registry.certificate(serial(corp / "pump.pem"))
    assert found is not None
    assert (found.kind, found.device_id) == ("other", None)
    assert registry.device("pump-8") is None
    assert "neither a device nor a certificate" in revoked(project, "pump-8").message
    assert "another CA" in revoked(project, found.serial_number).message
    audited(project.root)


def test_a_certificate_of_another_ca_does_not_pass_for_a_device_of_ours(
    corp: Path, project: Project
) -> None:
    key(corp, "pump")
    signed(corp, "pump", "pump-8", DEVICE, by="own")
    assert imported(project, corp / "pump.pem").status == 0
    before = serial(corp / "pump.pem")
    key(corp, "pump")
    signed(corp, "pump", "pump-8", DEVICE, by="sub")
    files = (corp / "pump.pem", corp / "sub.pem", corp / "root.pem")
    result = imported(project, *files)
    assert result.status == 1
    assert "of another CA" in result.message
    assert "firmshake ca sign" in result.hint
    registry = Registry.open(project.registry_path)
    assert registry.certificate(serial(corp / "pump.pem")) is None
    assert [one.serial_number for one in registry.certificates(device_id="pump-8")] == [before]
    audited(project.root)


def numbered(corp: Path, name: str, number: int) -> None:
    """The certificate again, by our root, with that serial number, which OpenSSL does not mind."""
    words = ["x509", "-req", "-in", "csr", "-extfile", "ext", "-days", "900"]
    words += ["-CA", "own.pem", "-CAkey", "own.key", "-set_serial", str(number)]
    openssl(corp, *words, "-out", f"{name}.pem")


@pytest.mark.parametrize(
    ("number", "fits"), [(0, False), (-5, False), (1 << 159, False), ((1 << 159) - 1, True)]
)
def test_a_serial_number_that_no_revocation_list_can_have_is_refused(
    corp: Path, project: Project, number: int, fits: bool
) -> None:
    key(corp, "pump")
    signed(corp, "pump", "pump-9", DEVICE, by="own")
    numbered(corp, "pump", number)
    result = imported(project, corp / "pump.pem")
    assert (result.status == 0) == fits, result.err
    assert (Registry.open(project.registry_path).device("pump-9") is not None) == fits
    if not fits:
        assert "serial number" in result.message
    else:
        assert revoked(project, "pump-9").status == 0


@pytest.mark.parametrize(("number", "fits"), [(0, False), (7, True)])
def test_a_ca_that_no_revocation_list_can_have_is_refused(
    corp: Path, project: Project, number: int, fits: bool
) -> None:
    key(corp, "new")
    signed(corp, "new", "New Issuing", CA.replace("TRUE", "TRUE,pathlen:0") + IDS, by="own")
    numbered(corp, "new", number)
    before = store.read(project.ca_folder)
    result = imported(project, corp / "new.pem", corp / "new.key")
    assert (result.status == 0) == fits, result.err
    assert (store.read(project.ca_folder) == before) != fits


def test_an_expired_certificate_is_refused(corp: Path, project: Project) -> None:
    key(corp, "pump")
    signed(corp, "pump", "pump-9", DEVICE, by="own")
    expire(corp, "pump", "own")
    result = imported(project, corp / "pump.pem")
    assert "expired on" in result.message
    assert Registry.open(project.registry_path).device("pump-9") is None
