"""The identity stage on CPython: what a board was given is refused by name where it is wrong."""

from __future__ import annotations

import errno
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st
from support import handshake, pki
from support.pki import LATER, LONG_AGO, NOW
from support.source import Source

from firmshake_agent import causes, identity
from firmshake_agent.failure import Failure, verdict
from firmshake_agent.runtime_cpython import Runtime

GOOD = pki.settings(8883)


class Radio(Runtime):
    """A board with Wi-Fi, which nobody has joined yet."""

    def __init__(self) -> None:
        super().__init__()
        self.network_is_given = False

    def needs_wifi(self) -> bool:
        return True


def load(
    settings: object = GOOD, files: dict[str, bytes] | None = None, runtime: Runtime | None = None
) -> identity.Identity:
    files = handshake.fleet().files() if files is None else files
    return identity.load(runtime or Runtime(), Source(settings, files))


def refused(*arguments: Any, **options: Any) -> Failure:
    """The failure, whose why and fix lack nothing."""
    with pytest.raises(Failure) as raised:
        load(*arguments, **options)
    explained(raised.value)
    return raised.value


def explained(failure: Failure) -> None:
    assert failure.stage == "identity"
    texts = causes.lookup(verdict("identity", "", failure.cause))
    assert texts is not None
    for text in texts:
        assert "?" not in causes.fill(text, failure.evidence)


def test_nothing_wrong() -> None:
    found = load()
    assert (found.device, found.host, found.port) == (pki.DEVICE, "127.0.0.1", 8883)
    assert found.server_name == "127.0.0.1"
    assert (len(found.chain), len(found.anchors)) == (2, 1)
    assert (found.ntp, found.wifi, found.keepalive) == ([], None, 60)


# settings


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"null", b"3", b"\xff\xfe", b'{"v":1}', b"\x00", b"[" * 200]
)
def test_settings_that_are_none(text: bytes) -> None:
    assert refused(text).cause == "config_invalid"


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        ({"v": 2}, "version"),
        ({"device": None}, "device"),
        ({"device": ""}, "device"),
        ({"host": 5}, "host"),
        ({"port": True}, "port"),
        ({"port": 8883.0}, "port"),
        ({"port": 0}, "port"),
        ({"port": -1}, "port"),
        ({"port": 65536}, "port"),
        ({"floor": "2026"}, "floor"),
        ({"floor": -1}, "floor"),
        ({"ntp": "time.example"}, "ntp"),
        ({"ntp": ["time.example", 5]}, "ntp"),
        ({"ntp": [""]}, "ntp"),
        ({"keepalive": -1}, "keepalive"),
        ({"keepalive": 65535}, "keepalive"),
        ({"limit_ms": -1}, "limit_ms"),
        ({"wifi": {}}, "ssid"),
        ({"wifi": {"ssid": ""}}, "ssid"),
        ({"wifi": {"ssid": 5}}, "ssid"),
        ({"wifi": {"ssid": "net", "password": 12345678}}, "password"),
        ({"wifi": []}, "wifi"),
    ],
)
def test_a_wrong_setting_is_named(changes: dict[str, object], detail: str) -> None:
    failure = refused({**GOOD, **changes})
    assert failure.cause == "config_invalid"
    assert detail in str(failure.evidence["detail"])


def test_the_wifi_password_is_in_no_evidence() -> None:
    for wifi in ({"password": "secret-word"}, {"ssid": 1, "password": "secret-word"}):
        assert "secret-word" not in str(refused({**GOOD, "wifi": wifi}).evidence)


def test_a_board_with_a_radio_needs_a_network() -> None:
    assert refused(runtime=Radio()).cause == "config_invalid"
    assert load({**GOOD, "wifi": {"ssid": "net"}}, runtime=Radio()).wifi == {"ssid": "net"}
    assert load({**GOOD, "wifi": {"ssid": "net", "password": None}}).wifi is not None


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
FIELDS = [*GOOD, "server_name", "wifi", "ntp", "keepalive"]


@given(st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=4))
def test_whatever_a_setting_holds_it_is_taken_or_refused(changes: dict[str, object]) -> None:
    # there are no files: that is the next thing to be found
    assert refused({**GOOD, **changes}, {}).cause in ("config_invalid", "file_missing")


@given(st.binary(max_size=60))
def test_no_bytes_break_the_settings(text: bytes) -> None:
    assert refused(text, {}).cause == "config_invalid"


# files


@pytest.mark.parametrize("name", ["ca.der", "key.der", "cert.der"])
def test_a_missing_file(name: str) -> None:
    files = handshake.fleet().files()
    del files[name]
    failure = refused(files=files)
    assert (failure.cause, failure.evidence) == ("file_missing", {"file": name})


def test_missing_settings() -> None:
    class Nothing:
        def read(self, name: str) -> bytes:
            raise OSError(errno.EIO, "i/o error")

    with pytest.raises(Failure) as raised:
        identity.load(Runtime(), Nothing())
    assert raised.value.evidence == {"file": "settings.json"}


def test_neither_key_nor_certificate_is_for_the_broker_to_judge() -> None:
    found = load(files={"ca.der": handshake.fleet().files()["ca.der"]})
    assert found.chain == []
    identity.check_dates(found, 0, False)


def test_keys_that_cannot_be_used() -> None:
    files = handshake.fleet().files()
    clear = {"encoding": Encoding.DER, "encryption_algorithm": NoEncryption()}
    strange = ed25519.Ed25519PrivateKey.generate().private_bytes(
        format=PrivateFormat.PKCS8, **clear
    )
    other = rsa.generate_private_key(65537, 2048).private_bytes(
        format=PrivateFormat.TraditionalOpenSSL, **clear
    )
    for key, cause in [
        (b"", "bad_key"),
        (b"junk", "bad_key"),
        (files["key.der"][:-1], "bad_key"),
        (files["cert.der"], "bad_key"),
        (b"-----BEGIN JUNK-----\n", "bad_key"),
        (strange, "bad_key"),
        (other, "key_mismatch"),
        (pki.fleet("other").device.key_der(), "key_mismatch"),
        (pki.encrypted(handshake.fleet().device), "encrypted_key"),
    ]:
        assert refused(files={**files, "key.der": key}).cause == cause, key[:20]


@pytest.mark.parametrize(("name", "cause"), [("cert.der", "bad_certificate"), ("ca.der", "bad_ca")])
def test_certificates_that_cannot_be_used(name: str, cause: str) -> None:
    files = handshake.fleet().files()
    for broken in (b"", b"junk", files[name][:-1], files["key.der"], files[name] + b"\x30"):
        assert refused(files={**files, name: broken}).cause == cause


class Choosy(Runtime):
    """A runtime that refuses what the agent itself could read, in MicroPython's words."""

    def __init__(self, call: str, text: str) -> None:
        super().__init__()
        self._call, self._text = call, text

    def load_anchors(self, context: Any, anchors: list[bytes]) -> None:
        self._refuse("load_anchors")

    def load_identity(self, context: Any, chain: list[bytes], key: bytes) -> None:
        self._refuse("load_identity")

    def _refuse(self, call: str) -> None:
        if call == self._call:
            raise ValueError(self._text)


@pytest.mark.parametrize(
    ("call", "text", "cause"),
    [
        ("load_anchors", "invalid cert", "bad_ca"),
        ("load_identity", "invalid cert", "bad_certificate"),
        ("load_identity", "invalid key", "bad_key"),
    ],
)
def test_what_the_runtime_cannot_load_is_named_for_the_file(
    call: str, text: str, cause: str
) -> None:
    assert refused(runtime=Choosy(call, text)).cause == cause


# dates


@pytest.mark.parametrize(
    ("valid", "doubtful", "cause"),
    [
        (LONG_AGO, False, "expired"),
        (LONG_AGO, True, "expired"),  # a doubtful clock is never ahead
        (LATER, False, "not_yet_valid"),
        (LATER, True, None),
    ],
)
def test_the_boards_own_dates(valid: tuple[Any, Any], doubtful: bool, cause: str | None) -> None:
    fleet = handshake.fleet()
    found = load(files=fleet.files(fleet.authority.issue(pki.DEVICE, now=NOW, valid=valid)))
    if cause is None:
        identity.check_dates(found, int(NOW.timestamp()), doubtful)
        return
    with pytest.raises(Failure) as raised:
        identity.check_dates(found, int(NOW.timestamp()), doubtful)
    assert raised.value.cause == cause
    explained(raised.value)


def test_the_first_and_the_last_second_are_valid() -> None:
    found = load()
    certificate = handshake.fleet().device.certificate
    first = int(certificate.not_valid_before_utc.timestamp())
    last = int(certificate.not_valid_after_utc.timestamp())
    for now in (first, last):
        identity.check_dates(found, now, False)
    for now, cause in [(first - 1, "not_yet_valid"), (last + 1, "expired")]:
        with pytest.raises(Failure, match=cause):
            identity.check_dates(found, now, False)
    assert timedelta(seconds=last - first) > timedelta(days=1)
