"""What a board says, as values: an event of its ladder, or any other output.

Does no I/O.
"""

from __future__ import annotations

from dataclasses import dataclass, field

# order of the ladder; "boot" stands outside it (docs/serial-protocol.md)
STAGES = (
    "identity",
    "wifi",
    "clock",
    "dns",
    "tcp",
    "tls",
    "websocket",
    "mqtt",
    "subscribe",
    "ready",
)


@dataclass(frozen=True)
class Event:
    """One line of the serial protocol.

    `seq` counts from 0 at each boot, `ms` is milliseconds since boot, `fields` hold the decoded
    values. `why` and `fix` are the board's own remarks on a failure or a warning, empty where it
    made none.
    """

    seq: int
    ms: int
    stage: str
    state: str
    fields: dict[str, str] = field(default_factory=dict)
    why: str = ""
    fix: str = ""

    @property
    def took_ms(self) -> int | None:
        """How long the stage took, in milliseconds, where the event says so."""
        took = self.fields.get("took", "")
        return int(took) if took.isascii() and took.isdigit() and len(took) < 16 else None

    @property
    def verdict(self) -> str | None:
        """`stage/cause`, `tls.step/cause`, or `ready`; None where the event decides nothing."""
        if self.stage == "ready" and self.state == "ok":
            return "ready"
        if self.state != "fail":
            return None
        step = self.fields.get("step", "")
        stage = f"{self.stage}.{step}" if step else self.stage
        return f"{stage}/{self.fields.get('cause', '') or 'unknown'}"

    @property
    def evidence(self) -> dict[str, str]:
        """The fields that are neither the verdict's words nor the stage's time."""
        spoken = ("step", "cause", "took")
        return {key: value for key, value in self.fields.items() if key not in spoken}


@dataclass(frozen=True)
class Output:
    """Anything else that came over the line: at most one line of it, with its line end."""

    data: bytes

    @property
    def text(self) -> str:
        """The bytes as text, with the replacement character where they are not UTF-8."""
        return self.data.decode("utf-8", "replace")
