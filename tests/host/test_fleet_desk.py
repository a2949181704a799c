"""A worker gets a certificate for its own board, and nothing else, whatever it asks."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import desk as desks

from firmshake.ca import certificate as certificates
from firmshake.fleet import message
from firmshake.fleet.desk import Counter, Desk
from firmshake.fleet.message import Nonsense
from firmshake.fleet.planned import Planned
from firmshake.registry import Registry, Unavailable
from firmshake.ways.way import Seen

MAC = "24:0a:c4:00:00:01"
SEEN = message.of_seen(Seen("ESP32", "ESP32", MAC, None))
OTHER_MAC = "24:0a:c4:00:00:02"
OTHER = message.of_seen(Seen("ESP32", "ESP32", OTHER_MAC, None))
PROVED = {"ask": "ended", "proved": True, "verdict": "ready"}
KEY = message.of_key(ec.generate_private_key(ec.SECP256R1()).public_key())


@pytest.fixture(scope="module")
def open_desk(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Desk]:
    made = desks.make_project(tmp_path_factory.mktemp("desk") / "fleet")
    registry, authority = Registry.open(made.registry_path), desks.authority(made)

    def opened() -> Desk:
        registry.drop_session("session")
        run = registry.open_run("run", "fleet-{unique_id}", 2)
        return Desk(Counter(made, authority, registry, run, "here", "session", 60.0))

    return opened


def admitted(desk: Desk) -> Desk:
    assert desk.answer({"ask": "admit", "seen": SEEN})["device_id"] == "fleet-240ac4000001"
    return desk


def registry_of(desk: Desk) -> Registry:
    return desk._counter.registry


def test_a_board_is_admitted_certified_written_and_proved(open_desk: Callable[[], Desk]) -> None:
    desk = admitted(open_desk())
    answer = desk.answer({"ask": "enrol", "key": KEY})
    own, _ = message.chain(answer, "chain")
    assert own.subject.rfc4514_string() == "CN=fleet-240ac4000001"
    assert not desk.is_proved
    serial = certificates.serial(own)
    assert desk.answer({"ask": "written", "serial": serial}).keys() == {"superseded"}
    assert desk.answer(PROVED) == {}
    assert desk.is_proved
    desk.close("proved")
    assert desk.claim is None
    device = registry_of(desk).device("fleet-240ac4000001")
    assert device is not None
    assert (device.state, device.verdict) == ("proved", "ready")


@pytest.mark.parametrize(
    "asked",
    [
        {"ask": "enrol", "key": KEY},
        {"ask": "written", "serial": "1"},
        PROVED,
        {"ask": "withdraw"},
    ],
    ids=lambda asked: str(asked["ask"]),
)
def test_nothing_is_done_for_a_board_that_was_not_admitted(
    open_desk: Callable[[], Desk], asked: dict[str, Any]
) -> None:
    with pytest.raises(Nonsense):
        open_desk().answer(asked)


WANTED = {"ask": "wanted", "chip": "RP2040"}


def test_a_board_that_tells_no_id_is_told_whether_its_kind_is_wanted(
    open_desk: Callable[[], Desk],
) -> None:
    desk = open_desk()
    before = registry_of(desk).devices()
    assert desk.answer(WANTED) == {}
    # it is nobody's yet
    assert (desk.claim, registry_of(desk).devices()) == (None, before)
    chain_of(admitted(desk))
    desk = at_run(desk, Planned("lamp", board="esp32"))
    answer = desk.answer(WANTED)
    assert answer["refused"] is True
    assert "nothing was written to it" in answer["error"]
    assert desk.turned is not None
    assert not desk.turned.later


def test_where_all_that_takes_its_kind_is_at_work_a_board_is_asked_for_again(
    open_desk: Callable[[], Desk],
) -> None:
    desk = at_run(open_desk(), Planned("lamp", unique_id=MAC, board="esp32"))
    assert desk.answer({"ask": "admit", "seen": SEEN})["device_id"] == "lamp"
    other = Desk(desk._counter)
    assert other.answer({**WANTED, "chip": "ESP32"})["refused"] is True
    assert other.turned is not None
    assert other.turned.later
    desk.close("open")
    other.again()
    assert other.answer({**WANTED, "chip": "ESP32"}) == {}


def test_whether_it_is_wanted_is_asked_first_and_once(open_desk: Callable[[], Desk]) -> None:
    with pytest.raises(Nonsense):
        admitted(open_desk()).answer(WANTED)
    desk = open_desk()
    desk.answer(WANTED)
    with pytest.raises(Nonsense):
        desk.answer(WANTED)


@pytest.mark.parametrize("ask", ["known", "admit", "enrol", "withdraw", "written", "ended"])
def test_a_board_that_is_not_wanted_gets_nothing(open_desk: Callable[[], Desk], ask: str) -> None:
    desk = at_run(open_desk(), Planned("lamp", board="esp32"))
    desk.answer(WANTED)
    with pytest.raises(Nonsense):
        desk.answer({"ask": ask, "chain": [], "seen": SEEN, "key": KEY, "serial": "1"})


def test_a_chip_that_no_board_has_is_nonsense(open_desk: Callable[[], Desk]) -> None:
    for chip in ("", "RP9999", None, 5):
        with pytest.raises(Nonsense):
            open_desk().answer({**WANTED, "chip": chip})


def at_run(desk: Desk, *planned: Planned) -> Desk:
    """A desk of a run that wants these."""
    run = registry_of(desk).plan("run", secrets.token_hex(8), "run.csv", planned)
    return Desk(replace(desk._counter, run=run))


def test_a_second_board_is_not_admitted(open_desk: Callable[[], Desk]) -> None:
    desk = admitted(open_desk())
    with pytest.raises(Nonsense):
        desk.answer({"ask": "admit", "seen": OTHER})


def test_a_key_of_another_type_is_not_certified(open_desk: Callable[[], Desk]) -> None:
    desk = admitted(open_desk())
    weak = message.of_key(rsa.generate_private_key(65537, 1024).public_key())
    with pytest.raises(Nonsense):
        desk.answer({"ask": "enrol", "key": weak})


def test_only_the_certificate_that_it_was_given_is_on_its_board(
    open_desk: Callable[[], Desk],
) -> None:
    desk = admitted(open_desk())
    desk.answer({"ask": "enrol", "key": KEY})
    root = next(registry_of(desk).certificates(kind="root")).serial_number
    with pytest.raises(Nonsense):
        desk.answer({"ask": "written", "serial": root})


def test_a_board_that_another_worker_has_is_turned_away_for_now(
    open_desk: Callable[[], Desk],
) -> None:
    desk = admitted(open_desk())
    answer = Desk(desk._counter).answer({"ask": "admit", "seen": SEEN})
    assert answer["refused"] is True
    assert "being worked on" in answer["error"]


def chain_of(desk: Desk) -> list[str]:
    """The certificates of a board that goes all the way at this desk."""
    answer = desk.answer({"ask": "enrol", "key": KEY})
    serial = certificates.serial(message.chain(answer, "chain")[0])
    desk.answer({"ask": "written", "serial": serial})
    desk.answer(PROVED)
    desk.close("proved")
    found = answer["chain"]
    assert isinstance(found, list)
    return found


@pytest.fixture
def others(open_desk: Callable[[], Desk]) -> list[str]:
    """The chain of another device, which is proved."""
    desk = open_desk()
    desk.answer({"ask": "admit", "seen": OTHER})
    return chain_of(desk)


def serial_of(chain: list[str]) -> str:
    return certificates.serial(message.chain({"chain": chain}, "chain")[0])


def is_revoked(desk: Desk, serial: str) -> bool:
    row = registry_of(desk).certificate(serial)
    assert row is not None
    return row.revoked_at is not None


def test_only_what_was_given_here_and_was_not_written_is_withdrawn(
    open_desk: Callable[[], Desk], others: list[str]
) -> None:
    desk = open_desk()
    desk.answer({"ask": "known", "chain": others, "unique_id": OTHER_MAC})
    admitted(desk)
    with pytest.raises(Nonsense):
        desk.answer({"ask": "withdraw"})
    desk.again()
    desk.answer({"ask": "known", "chain": others, "unique_id": OTHER_MAC})
    admitted(desk)
    answer = desk.answer({"ask": "enrol", "key": KEY})
    assert desk.answer({"ask": "withdraw"}) == {}
    assert is_revoked(desk, serial_of(answer["chain"]))
    assert not is_revoked(desk, serial_of(others))


def test_what_is_written_is_not_withdrawn(open_desk: Callable[[], Desk]) -> None:
    desk = admitted(open_desk())
    serial = serial_of(desk.answer({"ask": "enrol", "key": KEY})["chain"])
    desk.answer({"ask": "written", "serial": serial})
    with pytest.raises(Nonsense):
        desk.answer({"ask": "withdraw"})
    assert not is_revoked(desk, serial)


def test_a_board_that_holds_its_certificate_is_proved_with_it(
    open_desk: Callable[[], Desk],
) -> None:
    chain = chain_of(admitted(open_desk()))
    desk = open_desk()
    found = desk.answer({"ask": "known", "chain": chain, "unique_id": MAC})["device_id"]
    assert found == "fleet-240ac4000001"
    admitted(desk)
    assert desk.answer({"ask": "written", "serial": serial_of(chain)}) == {"superseded": []}
    desk.answer(PROVED)
    assert desk.is_proved


def test_a_certificate_of_another_device_is_not_held(
    open_desk: Callable[[], Desk], others: list[str]
) -> None:
    desk = open_desk()
    known = desk.answer({"ask": "known", "chain": others, "unique_id": None})
    assert known["device_id"] == "fleet-240ac4000002"
    admitted(desk)
    with pytest.raises(Nonsense):
        desk.answer({"ask": "written", "serial": serial_of(others)})


@pytest.mark.parametrize(
    "before",
    [
        [],
        [{"ask": "enrol", "key": KEY}],
        [{"ask": "enrol", "key": KEY}, {"ask": "withdraw"}],
        [{"ask": "enrol", "key": KEY}, {"ask": "written"}, {"ask": "ended", "proved": False}],
    ],
    ids=lambda before: "-".join(["admit", *(one["ask"] for one in before)]),
)
def test_nothing_is_proved_out_of_order(
    open_desk: Callable[[], Desk], before: list[dict[str, Any]]
) -> None:
    desk = admitted(open_desk())
    serial = ""
    for question in before:
        answer = desk.answer({**question, "serial": serial})
        serial = serial_of(answer["chain"]) if "chain" in answer else serial
    with pytest.raises(Nonsense):
        desk.answer(PROVED)
    assert not desk.is_proved


def test_only_a_board_that_is_ready_is_proved(open_desk: Callable[[], Desk]) -> None:
    desk = admitted(open_desk())
    serial = serial_of(desk.answer({"ask": "enrol", "key": KEY})["chain"])
    desk.answer({"ask": "written", "serial": serial})
    with pytest.raises(Nonsense):
        desk.answer({"ask": "ended", "proved": True, "verdict": "wifi/not_found"})
    assert desk.answer({"ask": "ended", "proved": False, "verdict": "wifi/not_found"}) == {}
    assert not desk.is_proved


def test_a_board_is_what_it_was_admitted_as(open_desk: Callable[[], Desk]) -> None:
    desk = admitted(open_desk())
    answer = desk.answer({"ask": "enrol", "key": KEY, "seen": {**OTHER, "chip": "ESP32-S3"}})
    serial = serial_of(answer["chain"])
    desk.answer({"ask": "written", "serial": serial, "unique_id": OTHER_MAC})
    device = registry_of(desk).device("fleet-240ac4000001")
    assert device is not None
    assert (device.unique_id, device.chip) == (MAC, "ESP32")


def test_a_unique_id_counts_however_it_is_spelled(open_desk: Callable[[], Desk]) -> None:
    desk = open_desk()
    desk.answer({"ask": "admit", "seen": {**SEEN, "unique_id": MAC.replace(":", "").upper()}})
    assert desk.claim is not None
    assert desk.claim.unique_id == MAC


def test_there_is_one_certificate_for_one_worker(open_desk: Callable[[], Desk]) -> None:
    desk = admitted(open_desk())
    desk.answer({"ask": "enrol", "key": KEY})
    with pytest.raises(Nonsense):
        desk.answer({"ask": "enrol", "key": KEY})


def test_another_worker_at_the_same_place_has_the_same_claim(open_desk: Callable[[], Desk]) -> None:
    desk = admitted(open_desk())
    first = serial_of(desk.answer({"ask": "enrol", "key": KEY})["chain"])
    token = desk.token
    assert token is not None
    desk.again()
    assert (desk.seen, desk.token) == (None, token)
    with pytest.raises(Nonsense):
        desk.answer({"ask": "written", "serial": first})
    desk.again()
    chain = chain_of(admitted(desk))
    assert is_revoked(desk, first)
    assert not is_revoked(desk, serial_of(chain))
    # and what the board had before this test
    assert desk.superseded >= 1


def test_another_board_at_the_same_place_has_another_claim(open_desk: Callable[[], Desk]) -> None:
    desk = admitted(open_desk())
    desk.again()
    assert desk.answer({"ask": "admit", "seen": OTHER})["device_id"] == "fleet-240ac4000002"
    # the first is free again
    admitted(Desk(desk._counter))


class Away(Registry):
    """A registry that does not answer while it is away."""

    is_away = False

    def claim(self, *arguments: Any, **named: Any) -> Any:
        self._check()
        return super().claim(*arguments, **named)

    def release(self, *arguments: Any) -> None:
        self._check()
        super().release(*arguments)

    def record_issued(self, *arguments: Any, **named: Any) -> None:
        self._check()
        super().record_issued(*arguments, **named)

    def _check(self) -> None:
        if self.is_away:
            raise Unavailable("the registry does not answer", hint="look whether it is up")


def at(desk: Desk, registry: Registry) -> Desk:
    return Desk(replace(desk._counter, registry=registry))


@pytest.fixture
def away(open_desk: Callable[[], Desk]) -> Desk:
    """A desk whose registry will be away."""
    desk = open_desk()
    return at(desk, Away.open(desk._counter.project.registry_path))


def test_what_the_registry_is_away_for_is_to_be_asked_again(away: Desk) -> None:
    registry = registry_of(away)
    assert isinstance(registry, Away)
    registry.is_away = True
    answer = away.answer({"ask": "admit", "seen": SEEN})
    assert answer["error"] == "the registry does not answer"
    assert away.turned is not None
    assert away.turned.later
    away.again()
    registry.is_away = False
    admitted(away)
    registry.is_away = True
    before = registry.history("fleet-240ac4000001")
    assert "error" in away.answer({"ask": "enrol", "key": KEY})
    assert away.turned is not None
    # the worker says that it has not got through; the device has not failed
    assert away.answer({"ask": "ended", "proved": False, "verdict": None}) == {}
    assert registry.history("fleet-240ac4000001") == before


def test_a_claim_is_kept_until_it_is_given_back(away: Desk) -> None:
    registry = registry_of(away)
    assert isinstance(registry, Away)
    admitted(away)
    registry.is_away = True
    with pytest.raises(Unavailable):
        away.close("open")
    assert away.token is not None
    registry.is_away = False
    away.close("open")
    assert (away.claim, away.token) == (None, None)
    admitted(Desk(away._counter))


def test_a_claim_that_is_lost_is_closed_and_claimed_anew(open_desk: Callable[[], Desk]) -> None:
    desk = admitted(open_desk())
    registry_of(desk).drop_session("session")
    desk.close("proved")
    assert desk.claim is None

    desk.again()
    admitted(desk)
    first = desk.token
    registry_of(desk).drop_session("session")
    assert "error" in desk.answer({"ask": "enrol", "key": KEY})
    assert desk.turned is not None
    assert desk.turned.later
    assert desk.token is None
    desk.again()
    admitted(desk)
    assert desk.token not in (None, first)


def odd_certificates() -> list[str]:
    """Certificates that the library does not like, each in its way."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "odd")])
    begin, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), 0x1122334455667788, begin, end)
    good = made.sign(key, hashes.SHA256()).public_bytes(Encoding.DER).hex()
    changes = {
        "a003020102": "a003020105",  # the version
        "02081122334455667788": "02088122334455667788",  # a negative serial number
        "06082a8648ce3d030107": "06082a8648ce3d030177",  # no curve
        "06082a8648ce3d040302": "06082a8648ce3d040309",  # no signature algorithm
    }
    return [good, *(good.replace(old, new) for old, new in changes.items())]


ODD_CERTIFICATES = odd_certificates()
ODD_KEY = KEY.replace("06082a8648ce3d030107", "06082a8648ce3d030177")
ODD_TEXTS = ["\ud800", "\x00", "a\nb", "x" * 2000, "24:0a:c4", "123456"]


@pytest.mark.parametrize("certificate", ODD_CERTIFICATES)
def test_an_odd_certificate_is_none_of_ours(
    open_desk: Callable[[], Desk], certificate: str
) -> None:
    # a warning would fail this test
    try:
        answer = open_desk().answer({"ask": "known", "chain": [certificate]})
    except Nonsense:
        return
    assert answer == {"device_id": None}


def test_a_key_on_no_curve_is_nonsense(open_desk: Callable[[], Desk]) -> None:
    assert ODD_KEY != KEY
    desk = admitted(open_desk())
    with pytest.raises(Nonsense):
        desk.answer({"ask": "enrol", "key": ODD_KEY})


@pytest.mark.parametrize(
    ("field", "odd"),
    [
        ("title", "\ud800"),
        ("chip", "\x00"),
        ("firmware", "a\nb"),
        ("title", "x" * 2000),
        ("unique_id", "24:0a:c4"),
        ("unique_id", "e0c9125b0d9b"),
    ],
)
def test_an_odd_text_is_nonsense(open_desk: Callable[[], Desk], field: str, odd: str) -> None:
    with pytest.raises(Nonsense):
        open_desk().answer({"ask": "admit", "seen": {**SEEN, field: odd}})


_TEXT = st.text(max_size=8) | st.sampled_from(ODD_TEXTS)
_NUMBER = st.integers() | st.sampled_from([10**1000, -1, 1 << 64]) | st.floats()
_JSON = st.recursive(
    st.none() | st.booleans() | _NUMBER | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=5,
)
# good but for one thing
_SEEN = st.builds(lambda name, odd: {**SEEN, name: odd}, st.sampled_from(sorted(SEEN)), _TEXT)
_CHAIN = st.lists(st.sampled_from(ODD_CERTIFICATES), max_size=2)
_FIELDS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "wanted": {"chip": st.sampled_from(["RP2040", "ESP32"]) | _TEXT | _JSON},
    "known": {"chain": _CHAIN | _JSON, "unique_id": st.just(MAC) | _TEXT | _JSON},
    "admit": {"seen": st.just(SEEN) | _SEEN | _JSON},
    "enrol": {"key": st.just(KEY) | st.just(ODD_KEY) | _JSON},
    "withdraw": {},
    "written": {"serial": _JSON},
    "ended": {"proved": st.booleans() | _JSON, "verdict": st.just("ready") | _TEXT | _JSON},
    "x": {},
    "\ud800": {},
}


def _question(ask: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"ask": st.just(ask), **_FIELDS[ask]})


_QUESTION = st.sampled_from(sorted(_FIELDS)).flatmap(_question)
# as a board goes on, with one question out of that
_WAYS = st.sampled_from([[], [{"ask": "admit", "seen": SEEN}]])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(begun=_WAYS, asked=st.lists(_QUESTION, max_size=4))
def test_whatever_is_asked_is_answered_or_nonsense(
    open_desk: Callable[[], Desk], begun: list[dict[str, Any]], asked: list[dict[str, Any]]
) -> None:
    desk = open_desk()
    for question in [*begun, *asked]:
        try:
            assert isinstance(desk.answer(question), dict)
        except Nonsense:
            break
    names = {row.device_id for row in registry_of(desk).certificates(kind="device")}
    assert names <= {"fleet-240ac4000001", "fleet-240ac4000002"}
