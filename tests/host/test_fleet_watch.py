"""What boards report, read and kept: the parts of `firmshake fleet watch` that need no broker."""

from __future__ import annotations

import dataclasses
import gc
import importlib
import io
import json
import ssl
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from support import desk
from support.commands import FD, run

from firmshake import brokerconfig, deviceid, watcher
from firmshake.ca import authority, store
from firmshake.ca.certificate import Issuer
from firmshake.cli.fleet import watchview
from firmshake.cli.fleet.watchscreen import Screen
from firmshake.errors import Error
from firmshake.fleet import watchidentity, watchinbox, watchmessage
from firmshake.fleet.watch import Counts, Faults, Watch
from firmshake.fleet.watchinbox import MOST_A_SECOND, Inbox
from firmshake.fleet.watchmessage import LONGEST, BadReport
from firmshake.project import Broker
from firmshake.registry import Diagnosis, Registry

NOW = datetime(2026, 5, 4, 10, 15, tzinfo=UTC)
AT = int(NOW.timestamp()) - 60
WIFI = "wifi/wrong_password"


def record(**changed: object) -> dict[str, object]:
    made = {"seq": 3, "boot": 2, "at": AT, "n": 5, "verdict": WIFI, "stage": "wifi", "ev": {}}
    return {**made, **changed}


def report(*records: object, device: str = "pump-1", **changed: object) -> bytes:
    made = {"v": 1, "device": device, "records": list(records), "ready": {"agent": "1.0"}}
    return json.dumps({**made, **changed}).encode()


def parse(payload: bytes, device_id: str = "pump-1") -> Diagnosis:
    return watchmessage.parse(device_id, payload, NOW, "here")


# a message


def test_the_newest_failure_is_the_verdict() -> None:
    first = record(verdict="tcp/refused", stage="tcp")
    found = parse(report(first, record(ev={"ssid": "shed", "status": 2})))
    when = datetime.fromtimestamp(AT, UTC)
    evidence = '{"ssid":"shed","status":2}'
    assert found == Diagnosis("pump-1", when, "wifi", WIFI, evidence, 5, "here")


def test_a_board_without_a_failure_is_ready() -> None:
    found = parse(report())
    assert (found.verdict, found.stage, found.at) == ("ready", "ready", None)
    assert json.loads(found.evidence) == {"agent": "1.0"}


@pytest.mark.parametrize("at", [None, 0, -1, 10**12, "now", 1.5, AT + 3 * 86400, 10**400])
def test_a_time_that_can_not_be_is_none(at: object) -> None:
    assert parse(report(record(at=at))).at is None
    assert parse(report(record(at=AT))).at is not None


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (b"", "no JSON"),
        (b"\xff\xfe{}", "no JSON"),
        (b"[" * 1000, "no JSON"),
        (b'{"v":1,"n":NaN}', "no JSON"),
        (b"[]", "no JSON object"),
        (b"1" * 1000, "no JSON object"),
        (b" " * (LONGEST + 1), "more than"),
        (report(v=2), "another version"),
        (report(device="pump-2"), "in the name of another"),
        (report(device=["pump-1"]), "in the name of another"),
        (report(records={}), "without its list"),
        (report("wifi"), "a record that is none"),
        (report(record(stage=None)), "without a stage"),
        (report(record(stage="\x1b[2J")), "without a stage"),
        (report(record(verdict="wifi")), "without a verdict"),
        (report(record(verdict="wifi/\ud800")), "without a verdict"),
        (report(record(verdict="ready")), "without a verdict"),
        (report(record(verdict="tcp/refused")), "of another stage"),
        (report(record(n=0)), "without a count"),
        (report(record(n=True)), "without a count"),
        (report(record(n=2**31)), "without a count"),
    ],
)
def test_what_is_no_report_is_refused(payload: bytes, words: str) -> None:
    with pytest.raises(BadReport, match=words):
        parse(payload)


@given(st.binary(max_size=LONGEST + 10))
def test_no_bytes_do_any_harm(payload: bytes) -> None:
    _check(payload)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
KEYS = st.sampled_from(("seq", "boot", "at", "n", "verdict", "stage", "ev"))


@given(st.dictionaries(KEYS, JSON), st.dictionaries(st.sampled_from(("v", "records", "x")), JSON))
def test_no_odd_report_does_any_harm(odd: dict[str, Any], more: dict[str, Any]) -> None:
    _check(report(record(**odd), **more))


def _check(payload: bytes) -> None:
    """It is refused, or what it says can be kept by any database and shown on any terminal."""
    try:
        found = parse(payload)
    except BadReport:
        return
    assert found.device_id == "pump-1"
    for text in (found.stage, found.verdict, found.evidence):
        assert text.isascii()
        assert text.isprintable()
    assert isinstance(json.loads(found.evidence), dict)
    assert 0 < found.count < 2**31
    why, fix = watchview.said(found)
    assert (why + fix).isprintable()


@given(st.text(max_size=40))
def test_only_a_devices_topic_is_one(text: str) -> None:
    try:
        found = watchmessage.device_of(f"devices/{text}/diag")
    except BadReport:
        assert not deviceid.is_legal(text)
    else:
        assert found == text


def test_other_topics_are_nobodys() -> None:
    for topic in ("", "devices/pump/echo", "x/devices/pump/diag", "devices/a/b/diag", "diag"):
        with pytest.raises(BadReport):
            watchmessage.device_of(topic)
    with pytest.raises(BadReport):
        watchmessage.device_of(f"devices/{watcher.NAME}/diag")


# the inbox


class Told:
    """Writes down what is told."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []

    def __call__(self, device_id: str, words: str) -> None:
        self.said.append((device_id, words))


class Time:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def inbox(told: Told | None = None, time: Time | None = None) -> Inbox:
    return Inbox("here", told or Told(), lambda: NOW, time or Time())


def put(box: Inbox, device_id: str, *records: object) -> None:
    box.put(f"devices/{device_id}/diag", report(*records, device=device_id))


def test_the_last_verdict_of_a_board_is_the_one_that_waits() -> None:
    box = inbox()
    put(box, "a", record())
    put(box, "b", record())
    put(box, "a")
    assert [(one.device_id, one.verdict) for one in box.oldest(9)] == [("b", WIFI), ("a", "ready")]


def test_verdicts_wait_until_they_are_forgotten() -> None:
    box = inbox()
    put(box, "a", record())
    put(box, "b", record())
    first = box.oldest(1)
    assert first == box.oldest(1)
    box.forget(first)
    assert [one.device_id for one in box.oldest(10)] == ["b"]
    assert len(box) == 1


def test_a_board_that_never_stops_takes_no_ones_place() -> None:
    told, time = Told(), Time()
    box = inbox(told, time)
    for _ in range(MOST_A_SECOND + 1000):
        put(box, "flood", record())
    put(box, "quiet", record())
    assert [one.device_id for one in box.oldest(1000)] == ["flood", "quiet"]
    assert {device_id for device_id, _ in told.said} == {"flood"}


def test_of_much_that_a_board_said_the_last_counts() -> None:
    """As when a broker hands over what a board reported for days."""
    told = Told()
    box = inbox(told)
    for _ in range(MOST_A_SECOND + 5):
        put(box, "a", record())
    put(box, "a")
    assert [one.verdict for one in box.oldest(9)] == ["ready"]
    assert (box.messages, box.refused) == (MOST_A_SECOND + 6, 0)
    box.put("devices/a/diag", b"no report")
    assert box.oldest(9) == []
    assert (box.refused, told.said[-1]) == (1, ("a", "a report that is no JSON"))


def test_more_boards_than_there_is_room_for_wait_for_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watchinbox, "MOST_BOARDS", 2)
    box = inbox()
    for name in ("a", "b", "c"):
        put(box, name)
    put(box, "a", record())
    assert [one.device_id for one in box.oldest(10)] == ["b", "a"]


# the watching


class Wire:
    """A connection over which `script` comes, a list of messages a turn of so many seconds."""

    is_listening = True

    def __init__(self, box: Inbox, time: Time, script: Sequence[object], turn_s: float) -> None:
        self._box, self._time, self._script, self._turn_s = box, time, list(script), turn_s
        self.closed = False
        self.unsettled = 0
        self.settled: list[int] = []  # how many at a time

    def work(self, seconds: float) -> None:
        self._time.now += self._turn_s
        for item in self._script.pop(0) if self._script else ():
            if isinstance(item, BaseException):
                raise item
            put(self._box, *item)
            self.unsettled += 1

    def settle(self) -> None:
        assert not self.closed
        if self.unsettled:
            self.settled.append(self.unsettled)
        self.unsettled = 0

    def close(self) -> None:
        self.closed = True


class Books:
    """A registry that knows every device but "stranger", and fails so often at first."""

    def __init__(self, fails: int = 0, fault: BaseException | None = None) -> None:
        self.kept: list[list[str]] = []
        self._fails, self._fault = fails, fault or Error("the database is locked")

    def put_diagnoses(self, diagnoses: Sequence[Diagnosis]) -> set[str]:
        if self._fails:
            self._fails -= 1
            raise self._fault
        self.kept.append([one.device_id for one in diagnoses])
        return {"stranger"} & set(self.kept[-1])

    def failing_stages(self) -> Mapping[str, int]:
        return {"wifi": 2, "tcp": 1}


class Shown:
    """A view that writes everything down."""

    def __init__(self) -> None:
        self.rows: list[str] = []
        self.notes: list[str] = []
        self.last: Counts | None = None

    def heard(self, diagnoses: Sequence[Diagnosis], at: datetime) -> None:
        self.rows += [one.device_id for one in diagnoses]

    def counts(self, counts: Counts) -> None:
        self.last = counts

    def note(self, text: str) -> None:
        self.notes.append(text)


@dataclasses.dataclass
class Set:
    """A watching with all of its parts."""

    watch: Watch
    wire: Wire
    books: Books
    shown: Shown


def a_watch(*script: object, books: Books | None = None, days: float = 7, turn_s: float = 1) -> Set:
    time, shown, kept = Time(), Shown(), books or Books()
    faults = Faults(shown.note)
    begun = time()

    def clock() -> datetime:
        return NOW + timedelta(seconds=time() - begun)

    box = Inbox("here", faults.tell, clock, time)
    wire = Wire(box, time, script, turn_s)
    ends = NOW + timedelta(days=days)
    made = Watch(wire, box, kept, shown, faults, ends, time, clock)
    return Set(made, wire, kept, shown)


def test_what_came_in_a_second_is_kept_in_one_transaction() -> None:
    made = a_watch([("a", record()), ("b",), ("a",)], [("c", record())])
    made.watch.run(5)
    assert made.books.kept == [["b", "a"], ["c"]]
    assert made.shown.rows == ["b", "a", "c"]
    last = made.shown.last
    assert last is not None
    assert (last.messages, last.kept, last.boards, last.ready) == (4, 3, 3, 2)
    assert last.stages == {"wifi": 2, "tcp": 1}
    assert made.wire.closed


def test_an_unknown_device_is_told_once_and_the_others_are_kept() -> None:
    made = a_watch([("stranger",), ("a",)], [("stranger",)])
    made.watch.run(5)
    assert made.shown.rows == ["a"]
    assert [note for note in made.shown.notes if "stranger" in note] == [
        "stranger: the registry knows no such device: nothing is kept of it"
    ]


def test_verdicts_wait_while_the_registry_takes_none() -> None:
    made = a_watch([("a", record())], books=Books(fails=2))
    made.watch.run(5)
    assert made.books.kept == [["a"]]
    assert [note for note in made.shown.notes if "database is locked" in note] != []
    assert len(made.shown.notes) == 1


def test_the_broker_keeps_what_the_registry_does_not_take() -> None:
    made = a_watch([("a", record()), ("b",)], books=Books(fails=99))
    made.watch.run(5)
    assert (made.books.kept, made.wire.settled, made.wire.unsettled) == ([], [], 2)
    taken = a_watch([("a", record()), ("b",)], books=Books(fails=2))
    taken.watch.run(5)
    assert (taken.books.kept, taken.wire.settled) == ([["a", "b"]], [2])


def test_what_was_being_written_at_an_interruption_is_written_and_then_acknowledged() -> None:
    made = a_watch([("a", record())], books=Books(fails=1, fault=KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        made.watch.run()
    assert (made.books.kept, made.wire.settled) == ([["a"]], [1])


def test_a_broker_that_waits_for_acknowledgements_gets_them_at_once() -> None:
    ten = [(f"pump-{number}",) for number in range(10)]
    made = a_watch(ten, [], ten, [], ten[1:], [], turn_s=0.1)
    made.watch.run(0.65)
    assert made.wire.settled == [10, 10, 9]
    assert len(made.books.kept) == 3


def test_what_came_last_is_kept_when_it_ends_by_an_error() -> None:
    made = a_watch([("a", record())], [("b",), Error("refused")])
    with pytest.raises(Error, match="refused"):
        made.watch.run()
    assert made.books.kept == [["a"], ["b"]]
    assert made.wire.closed


def test_it_ends_before_its_certificate_does() -> None:
    made = a_watch(days=0)
    with pytest.raises(Error, match="certificate has come to its end"):
        made.watch.run()
    assert made.wire.closed


@pytest.mark.parametrize(("days", "hours"), [(7, [24, 1]), (2, [24, 1]), (1, [1])])
def test_the_certificates_end_is_told_in_time(days: int, hours: list[int]) -> None:
    made = a_watch(*[[("a",)] for _ in range(days * 24)], days=days, turn_s=3600)
    told: list[tuple[float, str]] = []

    def note(text: str) -> None:
        left = NOW + timedelta(days=days) - made.watch._clock()
        told.append((left / timedelta(hours=1), text))

    made.shown.note = note  # type: ignore[method-assign]
    with pytest.raises(Error, match="certificate has come to its end"):
        made.watch.run()
    *before, (_, last) = told
    assert [left for left, _ in before] == hours
    assert all("certificate ends at 20" in text for _, text in before)
    assert "certificate has come to its end" in last


def test_silence_is_told_once_with_where_the_rule_is() -> None:
    made = a_watch()
    made.watch.run(200)
    assert len(made.shown.notes) == 1
    assert "docs/fleet.md" in made.shown.notes[0]
    spoken = a_watch([("a",)])
    spoken.watch.run(200)
    assert spoken.shown.notes == []


# the certificate, and TLS


@pytest.fixture
def signed(tmp_path: Path) -> tuple[authority.Authority, Registry]:
    _, issuing = authority.create("shed", now=NOW)
    return issuing, Registry.create(tmp_path / "registry.sqlite")


def test_the_certificate_is_a_clients_for_days_and_no_devices(
    signed: tuple[authority.Authority, Registry],
) -> None:
    issuing, registry = signed
    made = watchidentity.issue(issuing, registry, now=NOW, days=3)
    own = made.certificate
    assert own.not_valid_after_utc == NOW + timedelta(days=3)
    own.verify_directly_issued_by(issuing.certificate)
    usage = own.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [x509.ExtendedKeyUsageOID.CLIENT_AUTH]
    names = own.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [name.value for name in names] == [watcher.URI]
    (row,) = registry.certificates(kind="other")
    assert (row.subject, row.device_id) == (watcher.NAME, None)
    assert registry.devices() == []
    # each start makes one: none of them has to be renewed
    assert list(registry.expiring(NOW + timedelta(days=60))) == []


def test_no_device_can_have_the_watchers_name() -> None:
    assert not deviceid.is_legal(watcher.NAME)
    with pytest.raises(Error):
        deviceid.check(watcher.NAME)


@pytest.mark.parametrize("memfd", [True, False])
def test_tls_checks_the_broker_and_the_key_is_in_no_file_in_clear(
    signed: tuple[authority.Authority, Registry],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    memfd: bool,
) -> None:
    issuing, registry = signed
    made = watchidentity.issue(issuing, registry, now=NOW, days=3)
    loaded: list[tuple[str, bytes]] = []
    real = ssl.SSLContext.load_cert_chain

    def load(self: ssl.SSLContext, certfile: str, **more: Any) -> None:
        loaded.append((certfile, Path(certfile).read_bytes()))
        real(self, certfile, **more)

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", load)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = sorted(tmp_path.iterdir())
    context = watchidentity.context(made, Broker("10.0.0.1", 8883, "broker.example"), memfd)
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
    assert [one["subject"] for one in context.get_ca_certs()] != []
    ((name, content),) = loaded
    assert name.startswith("/proc/self/fd/") == memfd
    assert (b"ENCRYPTED" in content) != memfd
    assert sorted(tmp_path.iterdir()) == before


def test_another_name_to_ask_for_is_refused_as_it_cannot_be_checked(
    signed: tuple[authority.Authority, Registry],
) -> None:
    issuing, registry = signed
    made = watchidentity.issue(issuing, registry, now=NOW, days=3)
    odd = Broker("10.0.0.1", 8883, "broker.example", sni="front.example")
    with pytest.raises(Error, match=r"front\.example"):
        watchidentity.context(made, odd)
    watchidentity.context(made, dataclasses.replace(odd, sni="broker.example"))


def test_the_ca_is_closed_before_the_watcher_talks_to_anybody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = desk.make_project(tmp_path / "shed")
    mine = store.certificate(made.ca_folder, store.read(made.ca_folder).issuing)
    seen: list[int] = []

    def watch(*_: object) -> None:
        gc.collect()
        every = [one for one in gc.get_objects() if issubclass(type(one), Issuer)]
        seen.append(sum(one.certificate == mine for one in every))

    command = importlib.import_module("firmshake.cli.fleet.watch")
    monkeypatch.setattr(command, "_watch", watch)
    words = ("fleet", "watch", "--plain", "--project", made.root, "--passphrase-fd", FD)
    done = run(*words, secrets=(desk.PASSPHRASE,))
    assert (done.status, seen) == (0, [0])
    kept = desk.authority(made)  # while this lives, it is found
    watch()
    assert seen == [0, 1]
    assert kept.certificate == mine


# what is shown


def diagnosis(device_id: str = "pump-1", verdict: str = WIFI, **changed: Any) -> Diagnosis:
    stage = verdict.partition("/")[0].partition(".")[0]
    made = Diagnosis(device_id, NOW, stage, verdict, '{"ssid":"shed"}', 5, "here")
    return dataclasses.replace(made, **changed)


COUNTS = Counts(True, 5.0, 12, 1, 11, 0, 4, 3, {"wifi": 40, "tcp": 10, "tls": 1})


def test_the_bars_are_as_long_as_their_numbers() -> None:
    lines = watchview.bars(COUNTS.stages, 40, ascii_only=True)
    assert lines == [f"wifi  {'#' * 40} 40", f"tcp   {'#' * 10} 10", "tls   # 1"]
    assert watchview.bars({}) == []


def test_a_line_says_why_and_what_to_do() -> None:
    stream = io.StringIO()
    lines = watchview.PlainLines(stream)
    lines.heard([diagnosis(evidence='{"ssid":"\\u001b[2Jshed"}'), diagnosis("b", "ready")], NOW)
    lines.counts(COUNTS)
    lines.end()
    first, second, *rest = stream.getvalue().splitlines()
    assert "pump-1 wifi/wrong_password (5 times): " in first
    assert "shed" in first
    assert " fix: " in first
    assert second.endswith(" b ready (5 times)")
    assert len(rest) == 4
    assert "\x1b" not in stream.getvalue()


def test_json_is_an_object_a_line() -> None:
    stream = io.StringIO()
    lines = watchview.JsonLines(stream)
    lines.note("listening")
    lines.heard([diagnosis()], NOW)
    lines.counts(COUNTS)
    lines.end()
    told = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [one["event"] for one in told] == ["note", "verdict", "counts"]
    assert told[1]["evidence"] == {"ssid": "shed"}
    assert told[1]["happened_at"] == NOW.isoformat()
    assert told[2]["stages"] == COUNTS.stages


@pytest.mark.parametrize("size", [(80, 24), (40, 16), (200, 60)])
def test_the_screen_shows_bars_and_the_newest_first(size: tuple[int, int]) -> None:
    stream = io.StringIO()
    width, height = size
    console = Console(file=stream, force_terminal=True, width=width, height=height)
    screen = Screen(console, "green\x1bhouse")
    screen.heard([diagnosis(f"pump-{number}") for number in range(500)], NOW)
    screen.note("listening")
    screen.counts(COUNTS)  # on a screen that is not drawn to, this is still put together
    text = Console(width=width, height=height, file=io.StringIO(), record=True)
    text.print(screen._drawn(height))
    shown = text.export_text()
    assert len(shown.rstrip("\n").splitlines()) <= height
    assert "listening" in shown
    assert "█" in shown
    assert "\x1b" not in shown
    if height > 20:
        assert shown.index("pump-499") < shown.index("pump-498")
        zone = watchview.zone(NOW)
        assert f"heard, {watchview.zone(datetime.now(UTC))}" in shown
        assert f"{NOW.astimezone(zone):%Y-%m-%d %H:%M:%S}" in shown


def test_one_is_not_many() -> None:
    assert watchview.summary(dataclasses.replace(COUNTS, boards=1, messages=1)).startswith(
        "1 board heard, "
    )
    assert ", 1 message" in watchview.summary(dataclasses.replace(COUNTS, boards=1, messages=1))
    assert " boards heard, " in watchview.summary(dataclasses.replace(COUNTS, boards=2, messages=2))


@pytest.mark.parametrize(("name", "said"), [("EST-2", "UTC+02:00"), ("UTC", "UTC")])
def test_a_zone_is_told_by_its_distance_from_utc(
    monkeypatch: pytest.MonkeyPatch, name: str, said: str
) -> None:
    monkeypatch.setenv("TZ", name)
    time.tzset()
    try:
        assert str(watchview.zone(datetime(2026, 7, 1, tzinfo=UTC))) == said
    finally:
        monkeypatch.undo()
        time.tzset()


def test_the_rules_of_a_new_project_are_those_that_are_looked_for(tmp_path: Path) -> None:
    made = desk.make_project(tmp_path / "shed")
    assert (made.broker_folder / "acl").read_text() == brokerconfig.ACL
    assert brokerconfig.WATCHER_ACL in brokerconfig.ACL
