"""`firmshake inspect` on a file: an answer for people and programs, whatever the bytes are."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime

from rich.console import Console

from firmshake.inspect import recognise, record, relations, show
from firmshake.inspect.desk import Desk
from firmshake.inspect.thing import Thing

WORK = 80
HARD = (
    (b"", b"-----BEGIN X-----\n"),
    (b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
    (b"", b"\x30\x00"),
    (b"\x30\x82\x1f\xfc", b"\x30\x80"),
    (b"", b"\x30\x03\x02\x01\x00"),
    (b"", b"littlefs"),
    (b"MIII", b"AAAA"),
    (b"{", b'"device":"a",'),
)
NOW = datetime(2026, 6, 1, tzinfo=UTC)


def one(data: bytes) -> None:
    """Look at it, hold what was found against itself, and put it in words."""
    found = recognise.look(data, "file", Desk(NOW, lambda what: None))
    (thing,) = relations.related([found], NOW)
    made = record.of([thing])
    json.dumps(made).encode()
    assert made["ok"] == (not thing.wrong and not thing.shut)
    for part in thing.all():
        assert {key for key, _ in part.facts} <= set(show.WORDS)
        for each in part.findings:
            assert each.what.endswith("."), "not a sentence"
    if len(list(thing.all())) < 20:
        _printed(thing)


def _printed(thing: Thing) -> None:
    console = Console(file=io.StringIO(), width=80)
    console.print(show.show([thing]))
    text = console.file.getvalue()
    assert all(char.isprintable() or char == "\n" for char in text), "not for a terminal"
    assert "PRIVATE KEY-----" not in text
