"""A worker gets a certificate for its own board, and nothing else, whatever it asks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import desk as desks

from firmshake.ca import certificate as certificates
from firmshake.fleet import message
from firmshake.fleet.desk import Counter, Desk
from firmshake.fleet.message import Nonsense
from firmshake.registry import Registry
from firmshake.ways.way import Seen

MAC = "24:0a:c4:00:00:01"
SEEN = message.of_seen(Seen("ESP32", "ESP32", MAC, None))
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
    answer = desk.answer({"ask": "enrol", "key": KEY, "seen": SEEN})
    own, _ = message.chain(answer, "chain")
    assert own.subject.rfc4514_string() == "CN=fleet-240ac4000001"
    serial = certificates.serial(own)
    assert desk.answer({"ask": "written", "serial": serial, "unique_id": MAC}).keys() == {
        "superseded"
    }
    assert desk.answer({"ask": "ended", "proved": True, "verdict": "ready"}) == {}
    desk.close("proved")
    device = registry_of(desk).device("fleet-240ac4000001")
    assert device is not None
    assert (device.state, device.verdict) == ("proved", "ready")


@pytest.mark.parametrize(
    "asked",
    [
        {"ask": "enrol", "key": KEY, "seen": SEEN},
        {"ask": "written", "serial": "1"},
        {"ask": "ended", "proved": True, "verdict": "ready"},
        {"ask": "withdraw"},
    ],
    ids=lambda asked: str(asked["ask"]),
)
def test_nothing_is_done_for_a_board_that_was_not_admitted(
    open_desk: Callable[[], Desk], asked: dict[str, Any]
) -> None:
    with pytest.raises(Nonsense):
        open_desk().answer(asked)


def test_a_second_board_is_not_admitted(open_desk: Callable[[], Desk]) -> None:
    desk = admitted(open_desk())
    other = message.of_seen(Seen("ESP32", "ESP32", "24:0a:c4:00:00:02", None))
    with pytest.raises(Nonsense):
        desk.answer({"ask": "admit", "seen": other})


def test_a_key_of_another_type_is_not_certified(open_desk: Callable[[], Desk]) -> None:
    desk = admitted(open_desk())
    weak = message.of_key(rsa.generate_private_key(65537, 1024).public_key())
    with pytest.raises(Nonsense):
        desk.answer({"ask": "enrol", "key": weak, "seen": SEEN})


def test_only_the_certificate_that_it_was_given_is_on_its_board(
    open_desk: Callable[[], Desk],
) -> None:
    desk = admitted(open_desk())
    desk.answer({"ask": "enrol", "key": KEY, "seen": SEEN})
    root = next(registry_of(desk).certificates(kind="root")).serial_number
    with pytest.raises(Nonsense):
        desk.answer({"ask": "written", "serial": root, "unique_id": MAC})


def test_a_board_that_another_worker_has_is_turned_away_for_now(
    open_desk: Callable[[], Desk],
) -> None:
    desk = admitted(open_desk())
    answer = Desk(desk._counter).answer({"ask": "admit", "seen": SEEN})
    assert answer["refused"] is True
    assert "being worked on" in answer["error"]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=5,
)
_QUESTION = st.fixed_dictionaries(
    {"ask": st.sampled_from(["known", "admit", "enrol", "withdraw", "written", "ended", "x"])},
    optional={
        "seen": st.just(SEEN) | _JSON,
        "key": st.just(KEY) | _JSON,
        "chain": st.just([]) | _JSON,
        "serial": _JSON,
        "unique_id": _JSON,
        "proved": _JSON,
        "verdict": _JSON,
    },
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(asked=st.lists(_QUESTION, max_size=4))
def test_whatever_is_asked_is_answered_or_nonsense(
    open_desk: Callable[[], Desk], asked: list[dict[str, Any]]
) -> None:
    desk = open_desk()
    for question in asked:
        try:
            assert isinstance(desk.answer(question), dict)
        except Nonsense:
            break
    names = {row.device_id for row in registry_of(desk).certificates(kind="device")}
    assert names <= {"fleet-240ac4000001"}
