"""Identities for what is no board: files of named devices, and a run of numbered ones."""

from __future__ import annotations

import fcntl
import json
import os
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st

from firmshake import newfile
from firmshake.ca import authority, bulk, bulkfile, certificate, handover
from firmshake.errors import Error
from firmshake.registry import Registry, log
from firmshake.registry.numbers import Numbers

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
ROOT, ISSUING = authority.create("greenhouse", now=NOW)
SECRET = b"battery staple"


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry.create(tmp_path / "registry.sqlite", clock=lambda: NOW)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def issue(out: Path, registry: Registry, *ids: str, anew: bool = False) -> list[handover.Handed]:
    return handover.issue(out, ids, ISSUING, registry, now=NOW, anew=anew)


def run(
    path: Path,
    registry: Registry,
    count: int = 3,
    prefix: str = "pump",
    secret: bytes | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> bulk.Done:
    return bulk.issue(
        path, prefix, count, ISSUING, registry, now=NOW, passphrase=secret, progress=progress
    )


def lines(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def broken_off(monkeypatch: pytest.MonkeyPatch, where: object, name: str, after: int = 0) -> None:
    """From its call number `after` on a function fails, as a kill would end it: once for all."""
    real, calls = getattr(where, name), [0]

    def fails(*given: object, **named: object) -> object:
        calls[0] += 1
        if calls[0] > after:
            raise OSError(28, "No space left on device")
        return real(*given, **named)

    monkeypatch.setattr(where, name, fails)


def mine(registry: Registry, device_id: str) -> list[str | None]:
    """The reasons for which the device's certificates were revoked, None for those in force."""
    return [one.reason for one in registry.certificates(device_id=device_id)]


# -- named devices


def test_a_named_device_gets_key_certificate_with_chain_and_the_root(
    out: Path, registry: Registry
) -> None:
    (made,) = issue(out, registry, "gw-1")
    assert {path.name: mode(path) for path in out.iterdir()} == {
        "gw-1.key": 0o600,
        "gw-1.crt": 0o644,
        "ca.crt": 0o644,
    }
    assert mode(out) == 0o700
    chain = x509.load_pem_x509_certificates((out / "gw-1.crt").read_bytes())
    assert chain == [made.certificate, ISSUING.certificate]
    key = serialization.load_pem_private_key((out / "gw-1.key").read_bytes(), None)
    assert key.public_key() == chain[0].public_key()
    assert (out / "ca.crt").read_bytes() == certificate.pem(ROOT.certificate)


def test_it_is_in_the_registry_and_no_key_is_on_its_way_any_more(
    out: Path, registry: Registry
) -> None:
    (made,) = issue(out, registry, "gw-1")
    (record,) = registry.certificates(device_id="gw-1")
    assert record.serial_number == certificate.serial(made.certificate)
    assert (registry.undelivered(), registry.deliveries()) == ([], [])
    assert [change.state for change in registry.history("gw-1")] == ["issued"]


def test_what_is_signed_is_recorded_before_there_is_a_file_of_it(
    out: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken_off(monkeypatch, newfile, "create_whole", after=1)  # the first is ca.crt
    with pytest.raises(OSError, match="No space"):
        issue(out, registry, "gw-1")
    assert mine(registry, "gw-1") == [None]
    assert [path.name for path in out.iterdir()] == ["ca.crt"]


def test_a_device_with_a_certificate_in_force_is_refused_and_told_of_rekey(
    out: Path, registry: Registry
) -> None:
    issue(out, registry, "gw-1")
    with pytest.raises(Error, match="gw-1 has a certificate that is good until 2036") as caught:
        issue(out.with_name("other"), registry, "gw-2", "gw-1")
    assert caught.value.hint.startswith("for a new key as well: firmshake ca rekey gw-1")
    assert registry.device("gw-2") is None


@pytest.mark.parametrize("how", ["revoked", "expired"])
def test_a_device_whose_certificate_is_no_longer_in_force_gets_another(
    out: Path, registry: Registry, how: str
) -> None:
    (made,) = issue(out, registry, "gw-1")
    later = NOW
    if how == "revoked":
        registry.revoke([certificate.serial(made.certificate)], "cessationOfOperation")
    else:
        registry._clock = lambda: made.certificate.not_valid_after_utc + timedelta(days=1)
        # the CA itself has not expired: what it issued was for a shorter time
        later = NOW + timedelta(days=1)
    other = out.with_name("other")
    handover.issue(other, ["gw-1"], ISSUING, registry, now=later)
    assert len(mine(registry, "gw-1")) == 2


@pytest.mark.parametrize("there", ["gw-1.key", "gw-1.crt"])
def test_a_file_that_is_there_is_left_alone_and_nothing_is_issued(
    out: Path, registry: Registry, there: str
) -> None:
    out.mkdir()
    (out / there).write_text("mine")
    with pytest.raises(Error, match=f"{there} is there already"):
        issue(out, registry, "gw-1")
    assert (out / there).read_text() == "mine"
    assert registry.device("gw-1") is None


def test_a_link_that_leads_nowhere_is_in_the_way_too(out: Path, registry: Registry) -> None:
    out.mkdir()
    (out / "gw-1.key").symlink_to(out / "elsewhere")
    with pytest.raises(Error, match=r"gw-1\.key is there already"):
        issue(out, registry, "gw-1")
    assert not (out / "elsewhere").exists()


def test_the_root_of_another_ca_is_not_overwritten(out: Path, registry: Registry) -> None:
    out.mkdir()
    other, _ = authority.create("shed", now=NOW)
    (out / "ca.crt").write_bytes(certificate.pem(other.certificate))
    with pytest.raises(Error, match="not the root certificate of this CA"):
        issue(out, registry, "gw-1")
    assert registry.device("gw-1") is None


@pytest.mark.parametrize("name", ["ca", "CA"])
def test_an_id_whose_certificate_would_take_the_roots_place_is_refused(
    out: Path, registry: Registry, name: str
) -> None:
    with pytest.raises(Error, match="the root's certificate"):
        issue(out, registry, name)
    assert registry.device(name) is None


def test_a_second_process_is_told_that_another_writes_there(out: Path, registry: Registry) -> None:
    out.mkdir()
    handle = os.open(out, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    with pytest.raises(Error, match="another firmshake writes to"):
        issue(out, registry, "gw-1")
    os.close(handle)
    issue(out, registry, "gw-1")


@pytest.mark.parametrize("written", [1, 2])  # ca.crt alone, and the certificate too
def test_a_key_that_never_got_there_is_made_again_by_the_same_command(
    out: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    with monkeypatch.context() as patched:
        broken_off(patched, newfile, "create_whole", after=written)
        with pytest.raises(OSError, match="No space"):
            issue(out, registry, "gw-1")
    ((delivery, lost),) = registry.undelivered()
    assert (delivery.place, lost.device_id) == (str(out), "gw-1")
    issue(out, registry, "gw-1")
    assert mine(registry, "gw-1") == ["cessationOfOperation", None]
    (_, good) = registry.certificates(device_id="gw-1")
    leaf = x509.load_pem_x509_certificate((out / "gw-1.crt").read_bytes())
    assert certificate.serial(leaf) == good.serial_number
    assert registry.undelivered() == registry.deliveries() == []
    assert list(log.broken(registry.log())) == []


def test_elsewhere_a_device_whose_key_is_lost_is_refused_still(
    out: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        broken_off(patched, newfile, "create_whole", after=1)
        with pytest.raises(OSError, match="No space"):
            issue(out, registry, "gw-1")
    with pytest.raises(Error, match="is good until"):
        issue(out.with_name("other"), registry, "gw-1")


def test_a_pair_that_was_whole_when_the_run_was_broken_off_is_kept(
    out: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        broken_off(patched, Registry, "arrived")
        with pytest.raises(OSError, match="No space"):
            issue(out, registry, "gw-1")
    key = (out / "gw-1.key").read_bytes()
    issue(out, registry, "gw-1")
    assert (out / "gw-1.key").read_bytes() == key
    assert mine(registry, "gw-1") == [None]
    assert registry.undelivered() == registry.deliveries() == []


def test_a_key_that_a_kill_left_aside_is_gone_after_the_next_run(
    out: Path, registry: Registry
) -> None:
    out.mkdir()
    (out / ".gw-1.key.0a1b2c3d").write_text("torn")
    issue(out, registry, "gw-1")
    assert sorted(path.name for path in out.iterdir()) == ["ca.crt", "gw-1.crt", "gw-1.key"]


def test_a_disk_without_hard_links_gets_its_files_too(
    out: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*names: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuses)
    issue(out, registry, "gw-1")
    assert mode(out / "gw-1.key") == 0o600
    with pytest.raises(FileExistsError):
        newfile.create_whole(out / "gw-1.key", b"other")


# -- a new key, and a new certificate


def test_rekey_gives_a_new_key_and_leaves_the_old_certificate_good(
    out: Path, registry: Registry
) -> None:
    (old,) = issue(out, registry, "gw-1")
    new = handover.rekey(out.with_name("new"), "gw-1", ISSUING, registry, now=NOW)
    assert new.certificate.public_key() != old.certificate.public_key()
    assert mine(registry, "gw-1") == [None, None]


def test_rekey_does_not_overwrite_a_key(out: Path, registry: Registry) -> None:
    issue(out, registry, "gw-1")
    with pytest.raises(Error, match="is there already"):
        handover.rekey(out, "gw-1", ISSUING, registry, now=NOW)
    assert mine(registry, "gw-1") == [None]


@pytest.mark.parametrize("what", [handover.rekey, handover.renew])
def test_a_device_without_a_certificate_is_told_of_issue(
    out: Path, registry: Registry, what: Callable[..., handover.Handed]
) -> None:
    with pytest.raises(Error, match="gw-1 never had a certificate") as caught:
        what(out, "gw-1", ISSUING, registry, now=NOW)
    assert "firmshake ca issue gw-1" in caught.value.hint
    assert not out.exists()


def test_renew_certifies_the_same_key_and_replaces_its_certificate_file(
    out: Path, registry: Registry
) -> None:
    (old,) = issue(out, registry, "gw-1")
    new = handover.renew(out, "gw-1", ISSUING, registry, now=NOW + timedelta(days=1))
    assert new.certificate.public_key() == old.certificate.public_key()
    assert new.certificate.serial_number != old.certificate.serial_number
    leaf = x509.load_pem_x509_certificate((out / "gw-1.crt").read_bytes())
    assert leaf == new.certificate
    assert mine(registry, "gw-1") == [None, None]


def test_renew_leaves_a_certificate_of_another_key_alone(out: Path, registry: Registry) -> None:
    issue(out, registry, "gw-1")
    other = out.with_name("other")
    other.mkdir()
    another = ISSUING.issue("gw-1", now=NOW).chain_pem()
    (other / "gw-1.crt").write_bytes(another)
    with pytest.raises(Error, match="is there already"):
        handover.renew(other, "gw-1", ISSUING, registry, now=NOW)
    assert (other / "gw-1.crt").read_bytes() == another
    assert mine(registry, "gw-1") == [None]


def test_renew_takes_the_key_of_the_newest_certificate_in_force(
    out: Path, registry: Registry
) -> None:
    issue(out, registry, "gw-1")
    newer = handover.rekey(out.with_name("new"), "gw-1", ISSUING, registry, now=NOW)
    made = handover.renew(out.with_name("third"), "gw-1", ISSUING, registry, now=NOW)
    assert made.certificate.public_key() == newer.certificate.public_key()


def test_a_compromised_key_gets_no_new_certificate(out: Path, registry: Registry) -> None:
    (old,) = issue(out, registry, "gw-1")
    handover.renew(out, "gw-1", ISSUING, registry, now=NOW)
    registry.revoke([certificate.serial(old.certificate)], "keyCompromise")
    with pytest.raises(Error, match="revoked as compromised"):
        handover.renew(out, "gw-1", ISSUING, registry, now=NOW)


def test_a_device_all_of_whose_certificates_are_revoked_is_told_of_rekey(
    out: Path, registry: Registry
) -> None:
    (old,) = issue(out, registry, "gw-1")
    registry.revoke([certificate.serial(old.certificate)], "superseded")
    with pytest.raises(Error, match="every certificate of gw-1 is revoked"):
        handover.renew(out, "gw-1", ISSUING, registry, now=NOW)


def test_a_key_that_may_be_lost_is_not_renewed(
    out: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        broken_off(patched, newfile, "create_whole", after=1)
        with pytest.raises(OSError, match="No space"):
            issue(out, registry, "gw-1")
    with pytest.raises(Error, match="may never have reached it"):
        handover.renew(out, "gw-1", ISSUING, registry, now=NOW)


# -- a run of numbered devices


def test_a_run_writes_a_line_for_each_device_its_key_beside_its_certificate(
    out: Path, registry: Registry
) -> None:
    done = run(out, registry, secret=SECRET)
    assert (done.first, done.last, done.written) == ("pump-000001", "pump-000003", 3)
    assert mode(out) == 0o600
    found = lines(out)
    assert [line["device"] for line in found] == ["pump-000001", "pump-000002", "pump-000003"]
    for line in found:
        leaf, above = x509.load_pem_x509_certificates(line["certificate"].encode())
        key = serialization.load_pem_private_key(line["key"].encode(), SECRET)
        assert key.public_key() == leaf.public_key()
        assert certificate.subject(leaf) == line["device"]
        assert above == ISSUING.certificate
    assert [one.device_id for one in registry.devices()] == [line["device"] for line in found]
    assert registry.undelivered() == registry.deliveries() == []


def test_keys_of_one_run_have_one_salt_and_a_vector_each(out: Path, registry: Registry) -> None:
    run(out, registry, secret=SECRET)
    schemes = [b64(line["key"]) for line in lines(out)]
    scrypt = bytes.fromhex("06092b06010401da47040b")
    salts = {der[der.index(scrypt) + 13 :][:18] for der in schemes}
    assert len(salts) == 1
    aes = bytes.fromhex("060960864801650304012a0410")
    vectors = {der[der.index(aes) + len(aes) :][:16] for der in schemes}
    assert len(vectors) == 3


def b64(pem: str) -> bytes:
    import base64

    return base64.b64decode("".join(pem.splitlines()[1:-1]))


def test_keys_in_clear_are_asked_for(out: Path, registry: Registry) -> None:
    run(out, registry)
    assert all(line["key"].startswith("-----BEGIN PRIVATE KEY-----") for line in lines(out))


def test_the_next_run_goes_on_behind_the_ids_that_there_are(out: Path, registry: Registry) -> None:
    registry.record_issued("pump-000007", ISSUING.issue("pump-000007", now=NOW).certificate)
    assert run(out, registry).first == "pump-000008"
    assert run(out.with_name("more"), registry).first == "pump-000011"
    assert run(out.with_name("other"), registry, prefix="fan").first == "fan-000001"
    assert run(out.with_name("bare"), registry, prefix="").first == "000001"


@pytest.mark.parametrize(
    "other", ["pump-240114123457", "pump-00000a", "pump-0000009", "pumps-000009", "pump-9garden"]
)
def test_ids_that_only_look_numbered_do_not_count(
    out: Path, registry: Registry, other: str
) -> None:
    registry.record_issued(other, ISSUING.issue(other, now=NOW).certificate)
    assert run(out, registry).first == "pump-000001"


def test_seven_digits_follow_six_and_then_a_prefix_is_at_its_end(
    out: Path, registry: Registry
) -> None:
    name = "pump-999998"
    registry.record_issued(name, ISSUING.issue(name, now=NOW).certificate)
    assert run(out, registry).last == "pump-1000001"
    name = "pump-9999998"
    registry.record_issued(name, ISSUING.issue(name, now=NOW).certificate)
    with pytest.raises(Error, match="more than a prefix has"):
        run(out.with_name("more"), registry, count=2)
    assert not out.with_name("more").exists()


def test_a_prefix_that_no_id_can_begin_with_is_refused(out: Path, registry: Registry) -> None:
    with pytest.raises(Error, match="can't be a device id"):
        run(out, registry, prefix="a/b")
    assert not out.exists()
    assert registry.deliveries() == []


@pytest.mark.parametrize("content", [b"mine", b"mine\n", b"\n"])
def test_a_file_of_somebody_else_is_left_alone(
    out: Path, registry: Registry, content: bytes
) -> None:
    out.write_bytes(content)
    out.chmod(0o600)
    with pytest.raises(Error, match="is there already"):
        bulk.begun(out, registry)
    with pytest.raises(Error, match="is there already"):
        run(out, registry)
    assert out.read_bytes() == content
    assert registry.deliveries() == []


@pytest.mark.parametrize("how", ["open to others", "a link", "a folder", "of two names"])
def test_what_was_prepared_by_another_is_not_written_to(
    out: Path, registry: Registry, how: str
) -> None:
    if how == "open to others":
        out.touch(0o644)
    elif how == "a link":
        out.symlink_to(out.with_name("elsewhere"))
    elif how == "a folder":
        out.mkdir()
    else:
        out.touch(0o600)
        os.link(out, out.with_name("second"))
    with pytest.raises(Error, match="is there already"):
        run(out, registry)
    assert registry.deliveries() == []


@pytest.fixture
def parts_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "AT_ONCE", 2)


@pytest.mark.usefixtures("parts_of_two")
class TestBrokenOff:
    """A run of five in parts of two: two were written, two recorded, and then it ended."""

    @pytest.fixture
    def begun(self, out: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> Path:
        with monkeypatch.context() as patched:
            broken_off(patched, bulk.newfile, "sync", after=1)
            with pytest.raises(OSError, match="No space"):
                run(out, registry, count=5, secret=SECRET)
        with out.open("rb+") as stream:
            whole = stream.read().split(b"\n")
            # the last part reached the file in pieces
            stream.truncate(sum(len(line) + 1 for line in whole[:2]) + 700)
        return out

    def test_the_same_command_goes_on_and_revokes_what_was_lost(
        self, begun: Path, registry: Registry
    ) -> None:
        before = lines_but_the_torn(begun)
        done = run(begun, registry, count=5, secret=SECRET)
        assert done == bulk.Done("pump-000001", "pump-000005", written=3, before=2, lost=2)
        found = lines(begun)
        assert found[:2] == before
        assert [line["device"] for line in found] == [f"pump-00000{n}" for n in range(1, 6)]
        for line in found:
            leaf = x509.load_pem_x509_certificate(line["certificate"].encode())
            good = [one for one in registry.certificates() if one.reason is None]
            assert certificate.serial(leaf) in {one.serial_number for one in good}
            assert serialization.load_pem_private_key(line["key"].encode(), SECRET)
        assert [mine(registry, f"pump-00000{n}") for n in range(1, 6)] == [
            [None],
            [None],
            ["cessationOfOperation", None],
            ["cessationOfOperation", None],
            [None],
        ]
        assert registry.undelivered() == registry.deliveries() == []
        assert list(log.broken(registry.log())) == []

    def test_what_is_lost_is_known_meanwhile(self, begun: Path, registry: Registry) -> None:
        (delivery,) = registry.deliveries()
        assert delivery.claim == bulk.begun(begun, registry) == Numbers("pump", 1, 5)
        assert delivery.place == str(begun)
        assert {one.device_id for _, one in registry.undelivered()} == {
            "pump-000003",
            "pump-000004",
        }

    def test_its_ids_are_nobody_elses(self, begun: Path, registry: Registry) -> None:
        assert run(begun.with_name("other"), registry).first == "pump-000006"

    def test_an_id_that_got_a_certificate_meanwhile_is_left_out(
        self, begun: Path, registry: Registry
    ) -> None:
        registry.record_issued("pump-000005", ISSUING.issue("pump-000005", now=NOW).certificate)
        done = run(begun, registry, count=5, secret=SECRET)
        assert (done.written, done.taken) == (2, 1)
        assert len(lines(begun)) == 4
        assert mine(registry, "pump-000005") == [None]

    @pytest.mark.parametrize(
        ("change", "what"),
        [
            ({"count": 4}, "for other devices"),
            ({"prefix": "fan"}, "for other devices"),
            ({"secret": b"another one"}, "does not open the keys"),
            ({"secret": None}, "are encrypted"),
        ],
    )
    def test_another_command_for_that_file_changes_nothing(
        self, begun: Path, registry: Registry, change: dict[str, object], what: str
    ) -> None:
        before, head = begun.read_bytes(), registry.head()
        with pytest.raises(Error, match=what):
            run(begun, registry, **({"count": 5, "secret": SECRET} | change))  # type: ignore[arg-type]
        assert (begun.read_bytes(), registry.head()) == (before, head)
        run(begun, registry, count=5, secret=SECRET)

    def test_a_file_that_is_gone_is_not_begun_anew(self, begun: Path, registry: Registry) -> None:
        begun.unlink()
        head = registry.head()
        with pytest.raises(Error, match="is gone"):
            run(begun, registry, count=5, secret=SECRET)
        assert not begun.exists()
        assert registry.head() == head

    @pytest.mark.parametrize(
        "last", [b"{}\n", b"[]\n", b"\xff\n", b"[" * 5000 + b"\n", b'{"device": 1}\n']
    )
    def test_a_file_that_ends_in_something_else_is_left_alone(
        self, begun: Path, registry: Registry, last: bytes
    ) -> None:
        spoilt = begun.read_bytes() + b"\n" + last
        begun.write_bytes(spoilt)
        with pytest.raises(Error, match="not as the run that was broken off has left it"):
            run(begun, registry, count=5, secret=SECRET)
        assert begun.read_bytes() == spoilt

    def test_a_line_that_the_registry_does_not_know_stops_the_run(
        self, begun: Path, registry: Registry
    ) -> None:
        name = "pump-000003"
        line = bulkfile.Writer(ISSUING, SECRET).line(name, ISSUING.issue(name, now=NOW))
        whole = b"".join(begun.read_bytes().splitlines(keepends=True)[:2])
        begun.write_bytes(whole + line)
        with pytest.raises(Error, match="the registry does not know"):
            run(begun, registry, count=5, secret=SECRET)

    def test_a_second_process_does_not_go_on_with_it_too(
        self, begun: Path, registry: Registry
    ) -> None:
        with begun.open("rb") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            with pytest.raises(Error, match="another firmshake writes to"):
                run(begun, registry, count=5, secret=SECRET)


def lines_but_the_torn(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text().splitlines()[:-1]]


@pytest.mark.usefixtures("parts_of_two")
def test_keys_in_clear_go_on_in_clear_only(
    out: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        broken_off(patched, bulk.newfile, "sync", after=1)
        with pytest.raises(OSError, match="No space"):
            run(out, registry, count=5)
    with pytest.raises(Error, match="are in clear"):
        run(out, registry, count=5, secret=SECRET)
    assert run(out, registry, count=5).before == 4


@pytest.mark.usefixtures("parts_of_two")
def test_a_run_that_ended_before_its_first_part_begins_again(
    out: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        broken_off(patched, Registry, "record_devices")
        with pytest.raises(OSError, match="No space"):
            run(out, registry)
    assert out.read_bytes() == b""
    out.unlink()
    assert run(out, registry) == bulk.Done("pump-000001", "pump-000003", written=3)


def test_progress_is_told_after_each_part(
    out: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "AT_ONCE", 2)
    told: list[int] = []
    run(out, registry, count=5, progress=told.append)
    assert told == [2, 4, 5]


@given(st.binary(max_size=200) | st.text().map(str.encode))
def test_any_line_is_a_line_of_a_run_or_a_value_error(content: bytes) -> None:
    try:
        bulkfile.parse(content)
    except ValueError:
        return


@given(st.from_type(dict[str, int | str]).map(lambda value: json.dumps(value).encode()))
def test_any_object_is_a_line_of_a_run_or_a_value_error(content: bytes) -> None:
    with pytest.raises(ValueError):
        bulkfile.parse(content)
