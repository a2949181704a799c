"""Things as what `inspect --json` prints. Does no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from firmshake.inspect.thing import Thing


def of(things: Sequence[Thing]) -> dict[str, object]:
    """One object: `ok` (nothing wrong, nothing locked), `things` with their findings."""
    wrong, locked = any(one.wrong for one in things), any(one.shut for one in things)
    return {
        "ok": not wrong and not locked,
        "wrong": wrong,
        "locked": locked,
        "things": [_thing(one) for one in things],
    }


def _thing(one: Thing) -> dict[str, object]:
    facts: dict[str, object] = {}
    for key, value in one.facts:
        # a key that stands there twice, as the families of a UF2, makes a list
        before = facts.get(key)
        if before is None:
            facts[key] = value
        else:
            facts[key] = [*(before if isinstance(before, list) else [before]), value]
    return {
        "where": one.where,
        "kind": one.kind,
        "title": one.title,
        "facts": facts,
        "locked": one.locked,
        "findings": [asdict(found) for found in one.findings],
        "inside": [_thing(part) for part in one.inside],
    }
