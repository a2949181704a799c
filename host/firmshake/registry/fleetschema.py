"""The tables of a fleet's runs: what is wanted, and who is at work on it. Does no I/O.

Settings of a manifest are not kept here: they may be secret.
"""

from __future__ import annotations

from sqlalchemy import (
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from firmshake.registry.schema import DEVICES, METADATA, Moment, key, partial

RUNS = Table(
    "runs",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    # of the manifest, whose stations share the run; None where there is a rule instead
    Column("digest", key(64), unique=True),
    Column("manifest", Text),
    Column("wanted", Integer),  # None: without end
    Column("rule", String(200)),
    # how many slots it has: nobody has to count a million
    Column("slots", Integer, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("ended_at", Moment),
)

# a device that is wanted; in a run of a rule it is made for a board that comes
SLOTS = Table(
    "slots",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("run", ForeignKey(RUNS.c.id), nullable=False),
    Column("line", Integer, nullable=False),
    Column("id_rule", String(200), nullable=False),
    # None until the rule is filled in. No foreign key: it would double the time of a long plan, and
    # no device is ever taken away
    Column("device_id", key(64)),
    Column("wanted_unique_id", key(64)),  # None: any board
    Column("board", key(64)),  # None: any kind
    Column("profile", String(64)),
    Column("unique_id", key(64)),  # of the board that has it, or had it last
    Column("status", key(8), nullable=False),
    Column("changed_at", Moment, nullable=False),
    UniqueConstraint("run", "device_id"),
    Index("slots_of_run", "run", "id"),
    Index("slots_by_status", "run", "status"),
    # for a claim: the slots for any board, those first that no board has had, by kind
    Index("slots_free", "run", "status", "wanted_unique_id", "unique_id", "board", "id"),
)
# of the slots that know a board; a plan of a million for any board puts nothing into these
for _name, _board, _columns in (
    ("slots_bound", "unique_id", ("run", "unique_id")),
    ("slots_wanting", "wanted_unique_id", ("run", "wanted_unique_id")),
    # the oldest change first
    (
        "slots_had",
        "unique_id",
        ("run", "status", "wanted_unique_id", "board", "changed_at", "id"),
    ),
):
    partial(_name, *(SLOTS.c[_column] for _column in _columns), where=SLOTS.c[_board].is_not(None))

# a lease: a station's word that it is at work on a device and a board
CLAIMS = Table(
    "claims",
    METADATA,
    Column("device_id", ForeignKey(DEVICES.c.device_id), primary_key=True),
    Column("unique_id", key(64), nullable=False, unique=True),
    Column("slot", ForeignKey(SLOTS.c.id), nullable=False, unique=True),
    Column("run", ForeignKey(RUNS.c.id), nullable=False),
    Column("station", key(200), nullable=False),
    Column("session", key(64), nullable=False, index=True),
    Column("token", String(32), nullable=False),
    Column("expires_at", Double, nullable=False),  # seconds since 1970
    Index("claims_by_expiry", "expires_at", "run", "station"),
)

# the last number that was given under a rule
NUMBERS = Table(
    "numbers",
    METADATA,
    Column("rule", key(200), primary_key=True),
    Column("last", Integer, nullable=False),
)

# the last verdict that a board has published
DIAGNOSES = Table(
    "diagnoses",
    METADATA,
    Column("device_id", ForeignKey(DEVICES.c.device_id), primary_key=True),
    Column("at", Moment),
    Column("stage", key(64), nullable=False),
    Column("verdict", String(200), nullable=False),
    Column("evidence", Text, nullable=False),
    Column("count", Integer, nullable=False),
    Column("source", String(200), nullable=False),
    Index("diagnoses_by_stage", "stage", "verdict"),
)
