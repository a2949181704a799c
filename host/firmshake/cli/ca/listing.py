"""How a certificate's record is printed: for people, or as an object for programs."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING

from firmshake.wording import printable

if TYPE_CHECKING:
    from firmshake.registry import CertificateRecord


def lines(one: CertificateRecord, now: datetime) -> str:
    """Return the record as two lines, which 80 columns hold: what it is, and its serial number."""
    name = printable(one.subject)  # one from elsewhere may have any
    return f"{one.kind:<12} {name:<26} {standing(one, now)}\n{'':<12} {one.serial_number}"


def standing(one: CertificateRecord, now: datetime) -> str:
    """Return how the certificate stands, in words."""
    if one.revoked_at is not None:
        return f"revoked {one.revoked_at:%Y-%m-%d}, {one.reason}"
    days = (one.not_after - now).days
    if one.not_after <= now:
        return f"expired {one.not_after:%Y-%m-%d}"
    if one.not_before > now:
        return f"not valid before {one.not_before:%Y-%m-%d %H:%M}"
    return f"until {one.not_after:%Y-%m-%d}" + (f", {days} days" if days < 400 else "")


def as_json(one: CertificateRecord) -> str:
    """Return the record as a line of JSON; moments are ISO 8601."""
    return json.dumps(asdict(one), default=datetime.isoformat)
