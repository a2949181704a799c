"""A server's view as the object that `--json` prints. Does no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from firmshake.serverview import prediction, suites
from firmshake.serverview.firmwares import GROUPS
from firmshake.serverview.probe import VERSIONS, Offered
from firmshake.serverview.view import ServerView


def of(view: ServerView) -> dict[str, object]:
    """The view in JSON's types: times in ISO 8601, suites and versions by name."""
    return {
        "host": view.server.host,
        "port": view.server.port,
        "name": view.server.name,
        "cause": view.cause or None,
        "missing": dict(view.missing),
        "findings": [asdict(found) for found in view.findings],
        "chain": _plain(view.chain),
        "same_chain_in_tls13": view.same_chain,
        "boards": _boards(view.offered) if view.offered else [],
        "accepts": _accepts(view.offered) if view.offered else None,
        "resumption": [_plain(one) for one in view.resumptions],
        "client": {"identity": _plain(view.credentials), "accepted": _plain(view.acceptance)},
        "crl": _plain(view.revocation),
    }


def _boards(offered: Offered) -> list[dict[str, object]]:
    return [
        {
            "firmware": choice.firmware.key,
            "board": choice.firmware.board,
            "connects": choice.agreed,
            "version": VERSIONS[choice.answer.version] if choice.agreed else None,
            "suite": suites.name(choice.answer.suite) if choice.agreed else None,
            "group": GROUPS.get(choice.answer.group) if choice.agreed else None,
            "alert": choice.answer.alert,
            "common": [suites.name(one) for one in prediction.common(choice, offered)],
            "text": prediction.sentence(choice, offered),
            "source": choice.firmware.source,
        }
        for choice in offered.choices
    ]


def _accepts(offered: Offered) -> dict[str, object]:
    taken = {
        VERSIONS[version]: [suites.name(one) for one in found]
        for version, found in offered.suites.items()
    }
    own_order = offered.own_order
    return {"suites": taken, "own_order": own_order, "stopped": offered.stopped or None}


def _plain(value: Any) -> Any:
    """A dataclass without its findings, which stand together elsewhere."""
    if value is None:
        return None
    found = _readable(asdict(value))
    found.pop("findings", None)
    return found


def _readable(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, Mapping):
        return {key: _readable(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_readable(one) for one in value]
    return value
