"""What a board publishes of itself on `devices/<id>/diag`, read with care. Does no I/O.

It comes from a stranger: a board that was stolen, or rewritten. It can speak for itself alone, for
the broker lets it publish below its own id only; and whatever it says is short and plain text here.
docs/serial-protocol.md specifies the message.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from firmshake import deviceid
from firmshake.errors import Error
from firmshake.registry.fleetrecord import Diagnosis

VERSION = 1
LONGEST = 1024  # bytes of a message
READY = "ready"

_TOPIC = re.compile(r"devices/([^/]+)/diag")
_STAGE = re.compile(r"[a-z][a-z0-9_]{0,31}")
# a stage, or "tls" and a step; and the cause
_VERDICT = re.compile(r"[a-z][a-z0-9_]{0,31}(?:\.[a-z0-9_]{1,31})?/[a-z0-9_]{1,63}")
_MOST = 2**31 - 1  # what a column of the registry holds
# a board's clock may be wrong: what it says of the future is not believed
_AHEAD = timedelta(days=1)


class BadReport(Error):
    """A message that is no report of that device, and is left out."""


def device_of(topic: str) -> str:
    """Return whose report comes on that topic; raise BadReport where it is nobody's."""
    found = _TOPIC.fullmatch(topic)
    if not found or not deviceid.is_legal(found[1]):
        raise BadReport("a topic that is no device's")
    return found[1]


def parse(device_id: str, payload: bytes, now: datetime, source: str) -> Diagnosis:
    """Return the last verdict in a device's report: its newest failure, "ready" where it has none.

    `source` says where it was heard. Raises BadReport where it is not as it has to be, or speaks
    for another device.
    """
    told = _object(payload)
    if told.get("v") != VERSION:
        raise BadReport("a report of another version")
    if told.get("device") != device_id:
        raise BadReport("a report in the name of another device")
    records = told.get("records")
    if not isinstance(records, list):
        raise BadReport("a report without its list of records")
    if not records:
        return Diagnosis(device_id, None, READY, READY, _evidence(told.get(READY)), 1, source)
    last = records[-1]  # the oldest come first
    if not isinstance(last, dict):
        raise BadReport("a record that is none")
    stage, verdict, count = last.get("stage"), last.get("verdict"), last.get("n")
    if not isinstance(stage, str) or not _STAGE.fullmatch(stage):
        raise BadReport("a record without a stage")
    if not isinstance(verdict, str) or not _VERDICT.fullmatch(verdict):
        raise BadReport("a record without a verdict")
    if verdict.partition("/")[0].partition(".")[0] != stage:
        raise BadReport("a record whose verdict is of another stage")
    if type(count) is not int or not 0 < count <= _MOST:
        raise BadReport("a record without a count")
    at = _moment(last.get("at"), now)
    return Diagnosis(device_id, at, stage, verdict, _evidence(last.get("ev")), count, source)


def _object(payload: bytes) -> Mapping[str, object]:
    if len(payload) > LONGEST:
        raise BadReport(f"a report of more than {LONGEST} bytes")
    try:
        told = json.loads(payload.decode("utf-8"), parse_constant=_no_number)
    except (ValueError, RecursionError):  # what is no UTF-8 is a ValueError, too
        raise BadReport("a report that is no JSON") from None
    if not isinstance(told, dict):
        raise BadReport("a report that is no JSON object")
    return told


def _no_number(name: str) -> object:
    raise ValueError(name)


def _evidence(told: object) -> str:
    """Evidence as JSON in ASCII; what is neither text nor a number is left out."""
    if not isinstance(told, dict):
        return "{}"
    # a number like 1e999 is infinite, which is no JSON
    plain = {
        key: value
        for key, value in told.items()
        if isinstance(value, str | int) or (isinstance(value, float) and abs(value) < _MOST)
    }
    return json.dumps(plain, separators=(",", ":"))


def _moment(told: object, now: datetime) -> datetime | None:
    """A board's time, in seconds since 1970; None where it has none, or one that can't be."""
    if type(told) is not int or not 0 < told <= int((now + _AHEAD).timestamp()):
        return None
    return datetime.fromtimestamp(told, UTC)
