"""What a manifest asks for, as values. Does no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)  # there may be a million
class Planned:
    """One device that is wanted.

    `id_rule` is its device id, or a rule for it with `{unique_id}` in it, which the board fills in.
    `unique_id` is the board's, as `firmshake.boards.uniqueid` spells it; None means any board.
    `board` is a name of the table of boards, None for any. `profile` names a certificate profile of
    the project, None for the usual one. `settings` are those of fleet.toml that differ for this
    device, by dotted name, such as `wifi.ssid`; they may be secret. `line` is the manifest's.
    """

    id_rule: str
    unique_id: str | None = None
    board: str | None = None
    profile: str | None = None
    settings: Mapping[str, object] = field(default_factory=dict, repr=False)
    line: int = 0
