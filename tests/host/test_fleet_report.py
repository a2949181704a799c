"""The report of a run: what it says, and that nothing that a board says can do harm in it."""

import csv
import io
import re
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import desk
from support.commands import run
from support.fleetruns import finished_run

from firmshake.fleet.report import DeviceRow, RunFacts, Tally, row_of
from firmshake.fleet.reportcsv import COLUMNS, CsvReport, safe
from firmshake.fleet.reporthtml import HtmlReport
from firmshake.fleet.reportstyle import with_labels
from firmshake.project import Project
from firmshake.registry import Claim, Registry, RunRecord
from firmshake.registry.fleetrecord import SlotStatus
from firmshake.wording import printable

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
RUN = RunRecord(3, "spring", "d" * 64, "boards.csv", 4, None, NOW - timedelta(hours=1), NOW)
FACTS = RunFacts("greenhouse", RUN, ("bench-1",), NOW)
EXPIRED = "tls.server_certificate/expired"


def at(minute: int) -> datetime:
    return NOW - timedelta(minutes=60 - minute)


PROVED = DeviceRow(
    device_id="gh-1",
    outcome="proved",
    state="proved",
    unique_id="a0:b1",
    chip="ESP32",
    serial_number="77",
    fingerprint_sha256="ab" * 32,
    not_after=datetime(2036, 5, 1, tzinfo=UTC),
    steps=((at(0), "planned", ""), (at(10), "issued", ""), (at(11), "proved", "ready")),
    attempts=1,
)
OTHER = replace(
    PROVED, device_id="gh-2", steps=((at(10), "issued", ""), (at(14), "proved", "ready"))
)
FAILED = DeviceRow(
    "gh-3", "failed", "failed", EXPIRED, steps=((at(10), "issued", ""), (at(11), "failed", EXPIRED))
)
OPEN = DeviceRow("gh-{unique_id}", "open")

hostile = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        ["<script>alert(1)</script>", '"><img src=x onerror=a>', "</td></table>", "=1+1", "\x1b[2J"]
    ),
)
a_row = st.builds(
    DeviceRow,
    device_id=hostile,
    outcome=st.sampled_from(["proved", "failed", "open"]),
    state=hostile,
    verdict=hostile,
    unique_id=hostile,
    chip=hostile,
    firmware=hostile,
    board=hostile,
    serial_number=hostile,
    fingerprint_sha256=hostile,
    revoked=hostile,
    since=hostile,
    steps=st.lists(st.tuples(st.just(NOW), hostile, hostile), max_size=3).map(tuple),
)


class Page(HTMLParser):
    """A page as a browser takes it: its tags with their attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.texts: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def page(*rows: DeviceRow, facts: RunFacts = FACTS) -> str:
    tally, report, stream = Tally(RUN.created_at), HtmlReport(), io.StringIO()
    for row in rows:
        tally.add(row)
        report.add(row)
    report.write(stream, facts, tally)
    report.close()
    return stream.getvalue()


def table(*rows: DeviceRow) -> list[dict[str, str]]:
    stream = io.StringIO(newline="")
    report = CsvReport(stream)
    for row in rows:
        report.add(row)
    stream.seek(0)
    return list(csv.DictReader(stream))


KNOWN = Page(page(PROVED, FAILED, OPEN))


def test_the_page_says_how_the_run_went() -> None:
    text = "".join(Page(page(PROVED, OTHER, FAILED, OPEN)).texts)
    for said in (
        "greenhouse: run 3, spring",
        "2 devices proved",
        "1 devices failed",
        "1 devices not done",
        "4 wanted",
        "boards.csv",
        "0.5 devices a minute",
        "bench-1",
        "2026-05-01 11:10:00 issued",
        "2036-05-01",
        "ab" * 32,
        "gh-{unique_id}",
    ):
        assert said in text


def test_failures_stand_by_verdict_with_why_and_fix() -> None:
    rows = [replace(FAILED, device_id=f"gh-{number}") for number in range(60)]
    html = page(*rows, replace(FAILED, verdict="tcp/refused"), replace(FAILED, verdict="odd"))
    text = "".join(Page(html[: html.index('id="devices"')]).texts)
    assert "60The broker's certificate expired.Renew the broker's certificate" in text
    assert "and 10 more" in text
    assert "<host> (<address>) refuses connections on port <port>" in text
    assert text.index(EXPIRED) < text.index("odd") < text.index("tcp/refused")


def test_a_run_without_failures_has_no_list_of_them() -> None:
    assert "Failures" not in page(PROVED)


@given(a_row)
def test_nothing_that_boards_say_is_markup(row: DeviceRow) -> None:
    parsed = Page(page(row, facts=replace(FACTS, run=replace(RUN, name=row.device_id))))
    assert set(parsed.tags) <= set(KNOWN.tags)
    assert parsed.attributes <= KNOWN.attributes
    assert parsed.tags.count("tr") <= 4
    text = "".join(parsed.texts)
    for said in (row.device_id, row.verdict, row.unique_id, row.firmware, row.chip, row.since):
        assert printable(said) in text


def test_the_page_needs_nothing_else() -> None:
    html = page(PROVED, FAILED)
    assert not {"script", "link", "img", "iframe"} & set(Page(html).tags)
    assert not {"src", "href", "style"} & Page(html).attributes
    assert "default-src 'none'" in html
    assert "url(" not in html
    assert "prefers-color-scheme" in html


@given(st.lists(a_row, max_size=5))
def test_spreadsheets_find_no_formula_and_programs_every_field(rows: list[DeviceRow]) -> None:
    read = table(*rows)
    assert len(read) == len(rows)
    for row, line in zip(rows, read, strict=True):
        assert tuple(line) == COLUMNS
        assert line["device_id"] == safe(row.device_id)
        for cell in line.values():
            assert cell.isprintable()
            assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))


def test_a_line_of_the_table_has_the_last_times() -> None:
    (line,) = table(PROVED)
    assert line["issued_at"] == "2026-05-01T11:10:00+00:00"
    assert line["ended_at"] == "2026-05-01T11:11:00+00:00"
    assert line["written_at"] == ""
    assert line["not_after"] == "2036-05-01T00:00:00+00:00"
    assert line["attempts"] == "1"


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@SUM(1)", " =1", "\uff1d1"])
def test_what_were_a_formula_is_text(text: str) -> None:
    assert safe(text) == f"'{text}"
    assert safe("a" + text) == "a" + text


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = desk.make_project(tmp_path_factory.mktemp("report") / "fleet")
    finished_run(made, proved=["gh-1", "gh-2"], failed=["gh-3"], left=["gh-4"])
    return made.root


@pytest.fixture
def fleet(intact: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(intact, tmp_path / "fleet"))


def test_by_itself_both_are_new_files_in_the_project(fleet: Path) -> None:
    done = run("fleet", "report", "--project", fleet)
    page_name, table_name, counts = done.out.splitlines()
    assert counts == "2 devices proved, 1 failed, 1 not done"
    assert Path(page_name).parent == Path(table_name).parent == fleet / "reports"
    assert "gh-3" in Path(page_name).read_text()
    rows = list(csv.DictReader(io.StringIO(Path(table_name).read_text())))
    assert [row["outcome"] for row in rows] == ["proved", "proved", "failed", "open"]
    assert rows[0]["attempts"] == "1"
    assert rows[2]["verdict"] == EXPIRED


def test_the_registrys_rows_have_what_is_known(fleet: Path) -> None:
    registry = Registry.open(fleet / "registry.sqlite")
    rows = [row_of(found, registry.run(1)) for found in registry.devices_of(1)]
    device = registry.device("gh-1")
    assert device
    assert device.certificate
    assert rows[0].fingerprint_sha256 == device.certificate.fingerprint_sha256
    assert [state for _, state, _ in rows[0].steps] == ["planned", "issued", "written", "proved"]
    assert (rows[3].device_id, rows[3].state, rows[3].serial_number) == ("gh-4", "planned", "")


class Bench:
    """A station whose registry has a clock that is moved by hand."""

    def __init__(self, made: Project) -> None:
        self.now = NOW
        self.registry = Registry.open(made.registry_path, lambda: self.now)
        self._authority = desk.authority(made)

    def begin(self, *, later: timedelta) -> RunRecord:
        """Begin a run of any three boards; each has the same device id in every run."""
        self.now += later
        return self.registry.open_run("bench", "gh-{unique_id}", 3)

    def rows(self, of: RunRecord) -> dict[str, DeviceRow]:
        return {r.unique_id: r for r in (row_of(f, of) for f in self.registry.devices_of(of.id))}

    def tried(
        self, of: RunRecord, board: str, status: SlotStatus, *states: tuple[str, str]
    ) -> None:
        """Have the board go through those states with their verdicts, and its slot end so."""
        claim = self.registry.claim(
            of.id, unique_id=board, boards=(), station="b", session="s", lease_s=60
        )
        assert isinstance(claim, Claim)
        for state, verdict in states:
            if state == "issued":
                made = self._authority.issue(claim.device_id, now=datetime.now(UTC))
                self.registry.record_issued(claim.device_id, made.certificate, unique_id=board)
            else:
                self.registry.set_state(claim.device_id, state, verdict or None)
        self.registry.release(claim, status)


FRESH, WRITTEN = ("issued", ""), ("written", "")
READY, LATE = ("proved", "ready"), ("failed", "tls.client_hello/timeout")
WRONG = ("failed", "wifi/wrong_password")


# the registry knows seconds, and a second run may begin in the one in which the first has ended
@pytest.mark.parametrize("later", [timedelta(0), timedelta(hours=1)])
def test_a_run_has_its_own_outcome_and_verdict_and_says_what_came_after(
    tmp_path: Path, later: timedelta
) -> None:
    bench = Bench(desk.make_project(tmp_path / "fleet"))
    first = bench.begin(later=timedelta(0))
    bench.tried(first, "a1", "proved", FRESH, WRITTEN, READY)
    bench.tried(first, "a2", "failed", FRESH, WRITTEN, WRONG)
    bench.tried(first, "a3", "proved", FRESH, WRITTEN, READY)
    second = bench.begin(later=later)
    bench.tried(second, "a1", "failed", WRITTEN, LATE)
    bench.tried(second, "a2", "proved", FRESH, WRITTEN, READY)

    rows = bench.rows(first)
    ends = {name: (row.outcome, row.state, row.verdict) for name, row in rows.items()}
    assert ends == {
        "a1": ("proved", "proved", "ready"),
        "a2": ("failed", *WRONG),
        "a3": ("proved", "proved", "ready"),
    }
    assert {name: row.since for name, row in rows.items()} == {
        "a1": "failed, tls.client_hello/timeout",
        "a2": "proved, with a new certificate",
        "a3": "",
    }
    assert [row.steps[-1][1:] for row in rows.values()] == [READY, WRONG, READY]
    assert [row.attempts for row in rows.values()] == [1, 1, 1]
    tally = Tally(first.created_at)
    for row in rows.values():
        tally.add(row)
    assert [verdict for verdict, _ in tally.failures()] == [WRONG[1]]
    ended = bench.rows(second)
    assert (ended["a1"].outcome, ended["a1"].verdict, ended["a1"].since) == ("failed", LATE[1], "")
    assert (ended["a2"].outcome, ended["a2"].verdict, ended["a2"].since) == ("proved", "ready", "")


def test_what_a_run_has_not_done_has_no_good_verdict(tmp_path: Path) -> None:
    bench = Bench(desk.make_project(tmp_path / "fleet"))
    first = bench.begin(later=timedelta(0))
    bench.tried(first, "a1", "open", FRESH, WRITTEN, WRONG)  # unplugged before it was tried again
    bench.tried(first, "a2", "open", FRESH)
    second = bench.begin(later=timedelta(hours=1))
    bench.tried(second, "a1", "proved", WRITTEN, READY)
    bench.tried(second, "a2", "proved", FRESH, WRITTEN, READY)
    told = {name: (row.outcome, row.verdict, row.since) for name, row in bench.rows(first).items()}
    assert told == {
        "a1": ("open", WRONG[1], "proved"),
        "a2": ("open", "", "proved, with a new certificate"),
    }


def test_a_failure_before_the_run_is_none_of_its_verdicts(tmp_path: Path) -> None:
    bench = Bench(desk.make_project(tmp_path / "fleet"))
    bench.tried(bench.begin(later=timedelta(0)), "a1", "failed", FRESH, WRITTEN, WRONG)
    second = bench.begin(later=timedelta(hours=1))
    bench.tried(second, "a1", "failed")  # by a worker that has died
    row = bench.rows(second)["a1"]
    assert (row.outcome, row.verdict, row.attempts, row.since) == ("failed", "", 0, "")


def test_the_rate_is_that_of_the_run(tmp_path: Path) -> None:
    bench = Bench(desk.make_project(tmp_path / "fleet"))
    bench.tried(bench.begin(later=timedelta(0)), "a1", "failed", FRESH, WRITTEN, WRONG)
    second = bench.begin(later=timedelta(days=7))
    bench.tried(second, "a2", "proved", FRESH, WRITTEN, READY)
    bench.now += timedelta(minutes=2)
    bench.tried(second, "a1", "proved", WRITTEN, READY)
    tally = Tally(second.created_at)
    for row in bench.rows(second).values():
        tally.add(row)
    assert tally.per_minute == 1.0


def test_what_came_after_stands_on_the_page_and_in_the_table() -> None:
    later = replace(PROVED, verdict="ready", since="failed, tls.client_hello/timeout")
    assert "readysince then: failed, tls.client_hello/timeout" in "".join(Page(page(later)).texts)
    assert "since then" not in page(PROVED)
    assert [line["since_then"] for line in table(later, PROVED)] == [later.since, ""]


def test_a_dash_is_standard_output_with_nothing_else_on_it(
    fleet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run("fleet", "report", "--project", fleet, "--csv", "-")
    assert next(row["device_id"] for row in csv.DictReader(io.StringIO(done.out))) == "gh-1"
    assert done.err == "2 devices proved, 1 failed, 1 not done\n"
    done = run("fleet", "report", "--project", fleet, "--html", "-", "--csv", "out.csv")
    assert done.out.startswith("<!doctype html>")
    assert done.out.endswith("</html>\n")
    assert done.err.splitlines()[0] == "out.csv"
    assert run("fleet", "report", "--project", fleet, "--html", "-", "--csv", "-").status == 2
    assert [path.name for path in tmp_path.iterdir() if path != fleet] == ["out.csv"]


def test_a_named_file_alone_is_written_and_never_over_another(fleet: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    assert run("fleet", "report", "1", "--project", fleet, "--csv", target).status == 0
    before = target.read_bytes()
    assert not (fleet / "reports").exists()
    again = run("fleet", "report", "--project", fleet, "--csv", target)
    assert again.message == f"{target} is there already"
    assert target.read_bytes() == before
    nowhere = run("fleet", "report", "--project", fleet, "--csv", tmp_path / "no/out.csv")
    assert nowhere.message == f"there is no folder {tmp_path / 'no'}"


def test_the_page_asks_of_screens_only_what_browsers_know() -> None:
    asked = re.findall(r"@media ([^{]+) {", with_labels(("Device",)))
    # media types stand alone, before what is asked of them: `(print)` is nothing, and never true
    assert len(asked) == 3
    for one in asked:
        assert re.fullmatch(r"(print|screen)?( and )?(\([a-z-]+: [a-z0-9]+\))?", one)


def test_a_run_that_is_not_there_is_refused(fleet: Path, tmp_path: Path) -> None:
    assert run("fleet", "report", "7", "--project", fleet).status == 1
    empty = desk.make_project(tmp_path / "empty").root
    assert run("fleet", "report", "--project", empty).message == "there was no run yet"
    assert not (empty / "reports").exists()
