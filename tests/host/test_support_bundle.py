"""The support bundle: what is in it, and that no secret is, wherever it was planted."""

import base64
import functools
import gzip
import hashlib
import json
import os
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import example, given
from hypothesis import strategies as st
from support import desk
from support.commands import FD, run
from support.fleetruns import finished_run

from firmshake.ca import authority
from firmshake.supportbundle import known, patterns
from firmshake.supportbundle.scrub import REMOVED, Scrubber
from firmshake.supportbundle.textview import TextView

PRIVATE, PEM, DER = (
    serialization.PrivateFormat,
    serialization.Encoding.PEM,
    serialization.Encoding.DER,
)
OPEN = serialization.NoEncryption()
PASSWORD = 'hölzerne "Eule" 7\\/&+'


def escaped(text: str) -> set[str]:
    """A secret as JSON, JSON in JSON, percent-encoding, HTML and Python's escapes have it."""
    json_forms = {json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}
    made = {text, *json_forms, *(json.dumps(form)[1:-1] for form in json_forms)}
    made |= {quote(text), quote(text, safe=""), quote_plus(text), quote(quote(text, safe=""))}
    made |= {"".join(f"%{octet:02x}" for octet in text.encode())}
    made |= {repr(text)[1:-1], ascii(text)[1:-1], text.encode().decode("latin-1")}
    return made | {text.replace("&", "&amp;").replace('"', "&quot;")}


def encoded(secret: bytes) -> set[str]:
    """A secret as hex, and as base64 with 0, 1 and 2 bytes before it."""
    made = {secret.hex(), secret.hex().upper(), secret.hex(":"), secret.hex(" ").upper()}
    for before in (b"", b"x", b"xy"):
        made.add(base64.b64encode(before + secret).decode())
        made.add(base64.urlsafe_b64encode(before + secret + b"more").decode())
    wrapped = base64.encodebytes(b"head" + secret * 3).decode()
    return {*made, wrapped, wrapped.replace("\n", "\\n"), secret.hex("\n")}


def leaks(secret: str | bytes, text: str) -> list[str]:
    """What of a secret can be read in a text, with every kind of encoding undone again."""
    raw = secret.encode() if isinstance(secret, str) else secret
    forms = {raw.hex()} | (escaped(secret) - {quote(secret)} if isinstance(secret, str) else set())
    for before in range(3):
        whole = base64.b64encode(bytes(before) + raw).decode()
        forms.add(whole[-(-before * 8 // 6) : (before + len(raw)) * 8 // 6])
    forms |= {form.translate(str.maketrans("+/", "-_")) for form in forms}
    return [form for form in forms if any(form in place for place in _places(text))]


@functools.lru_cache(maxsize=4)
def _places(text: str) -> tuple[str, ...]:
    """A text in the ways in which a form may stand in it: with other cases, and without gaps."""
    squashed = text.translate(dict.fromkeys(map(ord, "\n\r\t \":'\\"), None))
    return text, text.lower(), squashed, squashed.lower()


@pytest.mark.parametrize("form", sorted(escaped(PASSWORD) | encoded(PASSWORD.encode())))
def test_a_known_word_is_found_in_every_form(form: str) -> None:
    scrubber = Scrubber([PASSWORD])
    for before, behind in (("", ""), ("board says ", " and goes on"), ("x" * 5000, "y" * 5000)):
        done = scrubber.scrub(before + form + behind)
        assert done.removed
        assert not leaks(PASSWORD, done.text)
        # what stood before and behind it is there, but for what may belong to it
        assert done.text.startswith(before[:-3])
        assert done.text.endswith(behind[3:])


@given(
    st.text(min_size=8, max_size=30).filter(lambda text: not set("\ud800\udfff") & set(text)),
    st.text(max_size=50),
    st.text(max_size=50),
    st.integers(0, 9),
)
@example("aaaaaaaa", "aaa", "aaa", 0)
def test_any_word_is_found_anywhere(secret: str, before: str, behind: str, which: int) -> None:
    try:
        forms = sorted(escaped(secret) | encoded(secret.encode()))
    except UnicodeEncodeError:
        return
    form = forms[which % len(forms)]
    if form.isspace():
        return
    assert Scrubber([secret]).scrub(f"{before} {form} {behind}").removed


@given(st.text(max_size=300))
def test_a_text_without_secrets_stays_as_it_is(text: str) -> None:
    done = Scrubber(["correct horse battery"], [b"k" * 32]).scrub(text)
    assert done.removed or done.text == text


@given(st.text(max_size=100), st.data())
def test_a_view_leads_back_to_the_text(text: str, data: st.DataObject) -> None:
    view = TextView(text)
    changed = data.draw(
        st.sampled_from(
            [
                view.percent_undone(),
                view.backslashes_undone().percent_undone(),
                view.entities_undone(),
                view.squashed().lower(),
            ]
        )
    )
    if not changed.text:
        return
    start = data.draw(st.integers(0, len(changed.text) - 1))
    end = data.draw(st.integers(start + 1, len(changed.text)))
    first, last = changed.origin(start, end)
    assert 0 <= first < last <= len(text)


def keys() -> list[object]:
    return [
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP384R1()),
        rsa.generate_private_key(65537, 2048),
        ed25519.Ed25519PrivateKey.generate(),
    ]


KEYS = keys()


def written(key: object) -> dict[str, bytes]:
    """A key in the forms in which it stands in files."""
    made: dict[str, bytes] = {}
    for form in (PRIVATE.PKCS8, PRIVATE.TraditionalOpenSSL):
        for encoding in (PEM, DER):
            try:
                made[f"{form}{encoding}"] = key.private_bytes(encoding, form, OPEN)  # type: ignore[attr-defined]
            except ValueError:  # Ed25519 has no other
                continue
    locked = serialization.BestAvailableEncryption(b"battery staple")
    made["locked"] = key.private_bytes(PEM, PRIVATE.PKCS8, locked)  # type: ignore[attr-defined]
    return made


def shown(data: bytes) -> list[str]:
    """A key's file as texts have it."""
    made = [data.hex(), data.hex(":"), base64.b64encode(data).decode()]
    made.append(base64.encodebytes(data).decode())
    if data.startswith(b"--"):
        text = data.decode()
        made += [text, json.dumps(text), repr(data), text.replace("\n", "\r\n")]
        made += [quote(text), text[text.index("\n") + 20 :], text[: len(text) // 2]]
    return made


@pytest.mark.parametrize("key", KEYS, ids=lambda key: type(key).__name__)
def test_keys_are_found_whether_they_are_known_or_not(key: object) -> None:
    for data in written(key).values():
        there = known.Known()
        known._look(data, ".pem", there)
        assert there.material
        material = next(iter(there.material))
        scrubbers = [Scrubber([], there.material)]
        for text in shown(data):
            # without being told of it, but for the halves and the middles of DER
            if len(text) > len(data) * 0.9:
                scrubbers.append(Scrubber([]))
            for scrubber in scrubbers:
                done = scrubber.scrub(f"at 12:01 {text} after")
                assert done.removed, text[:60]
                for start in range(0, len(material) - 15, 16):
                    assert not leaks(material[start : start + 16], done.text)
                assert done.text.startswith("at 12:")
            del scrubbers[1:]


def test_certificates_stay() -> None:
    root, issuing = authority.create("greenhouse", now=datetime(2026, 5, 1, tzinfo=UTC))
    for certificate in (root.certificate, issuing.certificate):
        for text in shown(certificate.public_bytes(PEM)):
            assert Scrubber([], [b"k" * 32]).scrub(text).text == text


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("password = swordfish", "password = [removed]"),
        ('{"wifi_password": "sword\\\\fish", "a": 1}', '{"wifi_password": "[removed]", "a": 1}'),
        ("CIRCUITPY_WEB_API_PASSWORD='x y'", "CIRCUITPY_WEB_API_PASSWORD='[removed]'"),
        ("Passphrase: correct horse\nnext", "Passphrase: [removed]\nnext"),
        ("mqtts://me:swordfish@b.example/x", "mqtts://me:[removed]@b.example/x"),
        ("pkcs11:token=ca;pin-value=1234?x", "pkcs11:token=[removed];pin-value=[removed]?x"),
        ("Authorization: Bearer abcdefgh1234", "Authorization: Bearer [removed]"),
        ("wifi/wrong_password: The access point", "wifi/wrong_password: The access point"),
        ("Correct the Wi-Fi password in fleet.toml.", "Correct the Wi-Fi password in fleet.toml."),
    ],
)
def test_what_looks_like_a_secret_is_taken_out(text: str, left: str) -> None:
    assert Scrubber([]).scrub(text).text == left


def test_values_that_are_no_secrets_are_no_secrets() -> None:
    assert list(patterns.values("allow_password = true\npassword: 'x7'")) == ["x7"]


# every secret that is planted in the project below
PLANTED = {
    "wifi": "wood & wire \\ 77",
    "manifest": "manifest-p4ssword/+",
    "manifest toml": "toml-p4ss w0rd",
    "circuitpython": "web-api-pässwörd",
    "environment": "env-t0ken-77aa",
    "url": "url-passw0rd",
    "pin": "90731",
    "told": "the CA's own passphrase",
    "pgpass": "pg:pass77",
}


@pytest.fixture
def planted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, list[Path], list[bytes]]:
    """A project full of secrets, logs that have all of them in every form, and the keys' bytes."""
    wifi = desk.Wifi("shed", PLANTED["wifi"])
    made = desk.make_project(tmp_path / "fleet", wifi=wifi, passphrase=PLANTED["told"].encode())
    root = made.root
    (root / "boards.csv").write_text(f'device_id,wifi.password\ngh-1,"{PLANTED["manifest"]}"\n')
    (root / "boards.toml").write_text(
        f'[[device]]\nid = "gh-1"\n[device.wifi]\npassword = "{PLANTED["manifest toml"]}"\n'
    )
    (root / "settings.toml").write_text(
        f'CIRCUITPY_WEB_API_PASSWORD = "{PLANTED["circuitpython"]}"\n'
    )
    (root / "notes").mkdir()
    key = ec.generate_private_key(ec.SECP256R1())
    other = rsa.generate_private_key(65537, 2048)
    (root / "notes/a.txt").write_bytes(b"mind\n" + key.private_bytes(PEM, PRIVATE.PKCS8, OPEN))
    (root / "notes/b.bin").write_bytes(other.private_bytes(DER, PRIVATE.PKCS8, OPEN))
    (root / "notes/c.conf").write_text(f"uri = mqtts://u:{PLANTED['url']}@b.example\n")
    monkeypatch.setenv("MY_TOKEN", PLANTED["environment"])
    (tmp_path / "pgpass").write_text("h:1:d:u:" + PLANTED["pgpass"].replace(":", "\\:") + "\n")
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "pgpass"))
    broker_key = (root / "broker/broker.pem").read_bytes()
    there = known.Known()
    for data in (broker_key, (root / "notes/a.txt").read_bytes()):
        known._look(data, "", there)
    known._look((root / "notes/b.bin").read_bytes(), "", there)
    material = [*there.material, hashlib.pbkdf2_hmac("sha1", wifi.password.encode(), b"shed", 4096)]  # type: ignore[union-attr]
    words = [
        *(
            form
            for secret in PLANTED.values()
            for form in escaped(secret) | encoded(secret.encode())
        ),
        *(form for secret in material for form in encoded(secret)),
        broker_key.decode(),
        json.dumps(broker_key.decode()),
        f"pkcs11:token=x;object=y?pin-value={PLANTED['pin']}",
        f"mqtts://me:{PLANTED['url']}@broker",
    ]
    text = "\n".join(f"{number} " + "z" * (number * 37 % 900) + w for number, w in enumerate(words))
    logs = [tmp_path / "a.log", tmp_path / "b.log.gz", tmp_path / f"c-{PLANTED['wifi'][:4]}.log"]
    logs[0].write_text(text)
    with gzip.open(logs[1], "wt") as stream:
        stream.write("old\n" * 400_000 + text)
    logs[2].write_bytes(text.encode("utf-16"))
    (root / "broker/mosquitto.log").write_text(text)
    return root, logs, material


def bundle(root: Path, out: Path, *more: object) -> tuple[str, dict[str, str]]:
    told = PLANTED["told"].encode(), PLANTED["pin"].encode(), PLANTED["url"].encode()
    words = ("bundle", "--project", root, "--out", out, "--secrets-fd", FD, *more)
    done = run(*words, secrets=told)
    assert done.status == 0, done.err
    with zipfile.ZipFile(out) as archive:
        return done.out, {name: archive.read(name).decode() for name in archive.namelist()}


def test_no_planted_secret_is_in_the_archive(
    planted: tuple[Path, list[Path], list[bytes]], tmp_path: Path
) -> None:
    root, logs, material = planted
    more = [word for log in logs for word in ("--log", log)]
    said, files = bundle(root, tmp_path / "b.zip", "--no-doctor", *more)
    raw = (tmp_path / "b.zip").read_bytes()
    whole = "\n".join([said, *files, *files.values(), raw.decode("latin-1")])
    for secret in PLANTED.values():
        assert not leaks(secret, whole)
    for secret in material:
        for start in range(0, len(secret) - 15, 16):
            assert not leaks(secret[start : start + 16], whole)
    assert "PRIVATE KEY" not in whole
    logs_in = [text for name, text in files.items() if "log" in name]
    assert len(logs_in) == 4
    assert all(text.count(REMOVED) > 50 for text in logs_in)
    # the control: what is no secret is there
    assert all("zzzzzzzz" in text for text in logs_in)


def test_what_is_in_it_helps(tmp_path: Path) -> None:
    made = desk.make_project(tmp_path / "fleet")
    finished_run(made, proved=["gh-1"], failed=["gh-2"])
    said, files = bundle(made.root, tmp_path / "b.zip", "--no-doctor")
    assert list(files) == sorted(files)
    assert json.loads(files["project/fleet.json"])["wifi.ssid"] == "shed"
    registry = json.loads(files["project/registry.json"])
    assert registry["status"]["devices"] == {"failed": 1, "proved": 1}
    assert registry["status"]["verdicts"] == {"tls.server_certificate/expired": 1}
    assert registry["log_head"]["seq"] > 2
    assert registry["altered"] == []
    inspected = json.loads(files["project/inspect.json"])
    assert {"ca/root.crt", "broker/broker.pem"} <= {one["where"] for one in inspected["things"]}
    versions = json.loads(files["versions.json"])
    assert versions["packages"]["cryptography"]
    assert versions["programs"]["mosquitto"].startswith("mosquitto version")
    *listed, path = said.splitlines()
    assert path == str(tmp_path / "b.zip")
    assert [line.split()[1] for line in listed] == list(files)
    assert int(listed[0].split()[0].replace(",", "")) == len(files[listed[0].split()[1]])


def test_the_archive_is_for_its_owner_and_never_written_over(tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    out = tmp_path / "b.zip"
    _, files = bundle(tmp_path / "nothing", out)
    assert list(files) == ["versions.json"]
    assert out.stat().st_mode & 0o777 == 0o600
    with zipfile.ZipFile(out) as archive:
        assert archive.infolist()[0].date_time == (1980, 1, 1, 0, 0, 0)
    before = out.read_bytes()
    again = run("bundle", "--project", tmp_path / "nothing", "--out", out)
    assert again.message == f"{out} is there already"
    assert out.read_bytes() == before


def test_a_project_that_is_broken_still_gets_a_bundle(tmp_path: Path) -> None:
    made = desk.make_project(tmp_path / "fleet")
    (made.root / "registry.sqlite").write_bytes(b"no registry")
    (made.root / "fleet.toml").write_text('name = "fleet\n[wifi]\npassword = "swordfish"\n')
    os.chmod(made.root / "ca", 0o700)
    _, files = bundle(made.root, tmp_path / "b.zip", "--no-doctor")
    assert "error" in json.loads(files["project/fleet.json"])
    assert files["project/registry.json"]
    assert "swordfish" not in "".join(files.values())


def test_a_damaged_gz_is_refused(tmp_path: Path) -> None:
    log = tmp_path / "x.gz"
    log.write_bytes(gzip.compress(os.urandom(5000))[:-700])
    words = ("bundle", "--project", tmp_path, "--out", tmp_path / "b.zip", "--log", log)
    assert run(*words).message.startswith(f"can't read {log}")
    assert not (tmp_path / "b.zip").exists()
