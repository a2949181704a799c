"""How the databases find what a fleet asks for: along indexes, never by reading a table through."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Executable, event, text
from sqlalchemy.dialects import postgresql, sqlite

from firmshake.fleet.planned import Planned
from firmshake.registry import Registry, fleetstatus, unwritten
from firmshake.registry.database import CLAIM

MANY = 30_000
LITERAL = {"literal_binds": True, "render_postcompile": True}


@pytest.fixture
def large(place: Path | str) -> Registry:
    """A fleet of which most is proved, with some failures and some boards at work."""
    registry = Registry.create(place)
    run = registry.plan("n", "d", "m", (Planned(f"pump-{n:06}", line=n) for n in range(MANY)))
    with registry._database.transaction() as connection:
        late = "substr(device_id, 8, 1)"
        for statement in (
            "UPDATE devices SET state = 'proved', verdict = 'ready', unique_id = 'u' || device_id",
            f"UPDATE devices SET state = 'failed', verdict = 'tls/expired' WHERE {late} = '9'",
            "UPDATE slots SET status = 'proved', unique_id = 'u' || device_id WHERE id < 29000",
            f"UPDATE slots SET status = 'failed' WHERE {late} = '9'",
            "INSERT INTO certificates (serial_number, fingerprint_sha256, kind, subject, device_id,"
            " issuer, der, not_before, not_after, issued_at) SELECT 's' || device_id, device_id,"
            " 'device', device_id, device_id, 'ca', '', changed_at, '3', changed_at FROM devices",
            "INSERT INTO history (at, device_id, state, serial_number, unique_id)"
            " SELECT changed_at, device_id, 'issued', 's' || device_id, unique_id FROM devices",
        ):
            connection.execute(text(statement))
    for n in range(200):
        registry.claim(
            run.id,
            unique_id=f"v{n}",
            boards=["esp32"],
            station=f"s{n % 8}",
            session="x",
            lease_s=1e6,
        )
    analyze(registry)
    return registry


def analyze(registry: Registry) -> None:
    """Have PostgreSQL know what is in its tables."""
    if not isinstance(registry._database.location, Path):
        engine = registry._database._engine.execution_options(isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text("VACUUM ANALYZE"))


def explained(registry: Registry, query: Executable | str, values: Any = ()) -> str:
    """The database's own plan for a query."""
    on_file = isinstance(registry._database.location, Path)
    how = "EXPLAIN QUERY PLAN" if on_file else "EXPLAIN"
    if not isinstance(query, str):
        dialect = sqlite.dialect() if on_file else postgresql.dialect()
        query = str(query.compile(dialect=dialect, compile_kwargs=LITERAL))
    with registry._database.transaction(CLAIM) as connection:
        rows = connection.exec_driver_sql(f"{how} {query}", values)
        return "\n".join(str(row[-1]) for row in rows)


def check(plan: str, where: str) -> None:
    # a row a board that is being worked on: so few are read through faster
    plan = plan.replace("Seq Scan on claims", "")
    assert "Seq Scan" not in plan, f"{where}\n{plan}"
    assert "SCAN" not in plan, f"{where}\n{plan}"


def test_the_status_of_a_large_fleet_reads_no_table_through(large: Registry) -> None:
    for run in (None, 1):
        for query in fleetstatus.queries(run):
            check(explained(large, query), str(query))
    # the control: this plan does
    with pytest.raises(AssertionError):
        check(explained(large, "SELECT count(*) FROM history WHERE verdict = 'x'"), "")


def test_what_a_board_never_got_is_found_without_reading_a_table_through(large: Registry) -> None:
    query = unwritten.serials(["pump-000009"], datetime.now(UTC))
    check(explained(large, query), str(query))


def test_what_an_edited_manifest_gives_up_is_found_along_indexes(tmp_path: Path) -> None:
    """PostgreSQL joins what SQLite looks up for one device after the other."""
    registry = Registry.create(tmp_path / "registry.sqlite")
    query = unwritten.serials(unwritten.given_up([1, 2], [3, 4]), datetime.now(UTC))
    check(explained(registry, query), str(query))


def test_a_claim_in_a_large_fleet_reads_no_table_through(large: Registry) -> None:
    """Each statement as it is sent, for a new board, one that is known, and one too many."""
    who = {"boards": ["esp32", "esp32-s3"], "station": "s", "session": "y", "lease_s": 60.0}
    with sent_by(large) as sent:
        large.claim(1, unique_id="new", **who)
        large.claim(1, unique_id="upump-000005", **who)
        large.claim(1, unique_id="v1", **who)
        large.renew("y", 60.0, ["x", "z"])
        large.slots(1)
        large.missing(1, 6)
        large.drop_session("y")
    check_all(large, sent)


@pytest.mark.parametrize("status", ["open", "failed", "held", "proved"])
def test_whether_a_kind_of_board_is_wanted_reads_no_table_through(
    large: Registry, status: str
) -> None:
    """All is for boards of another kind, and most of it is of one status."""
    with large._database.transaction() as connection:
        late = f"CASE WHEN id < 29000 THEN '{status}' ELSE status END"
        connection.execute(text(f"UPDATE slots SET board = 'esp32', status = {late}"))
    analyze(large)
    with sent_by(large) as sent:
        assert large.unwanted(1, boards=["pico-w"], session="y") is not None
    check_all(large, sent)


@contextmanager
def sent_by(registry: Registry) -> Iterator[list[tuple[str, Any]]]:
    """The statements that are sent meanwhile, with their values."""
    sent: list[tuple[str, Any]] = []
    engine = registry._database._engine

    def note(_c: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        if statement.startswith(("SELECT", "DELETE")) and "FROM" in statement:
            sent.append((statement, values))

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(engine, "before_cursor_execute", note)


def check_all(registry: Registry, sent: Sequence[tuple[str, Any]]) -> None:
    assert len(sent) > 10
    small = ("FROM claims", "FROM runs", "clock_timestamp", "pg_catalog")
    for statement, values in sent:
        if not any(name in " ".join(statement.split()).split(" WHERE ")[0] for name in small):
            check(explained(registry, statement, values), statement)
