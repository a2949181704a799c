"""What `firmshake fleet status` shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from firmshake.cli.fleet import watchview
from firmshake.cli.terminal import terminal
from firmshake.wording import printable

if TYPE_CHECKING:
    from firmshake.registry.fleetrecord import RunRecord, Status
    from firmshake.registry.record import Change

_STYLES = {"proved": "green", "failed": "red", "written": "yellow", "issued": "yellow"}
_CHANGES = 8
# the columns of the longest bar
_BAR = 40
# what a device is in that has failed without a verdict: it was not done
_NO_VERDICT = "(it was not finished)"
_NONE = Text("none yet", "dim")


def show(run: RunRecord | None, status: Status, stages: Mapping[str, int]) -> None:
    """Print the counts of all devices and of a run, what has failed, and what changed last."""
    console = terminal()
    parts = [("devices", _counted(status.devices) or [_NONE])]
    if run is not None:
        parts.append((_title(run), _counted(status.slots) or [_NONE]))
    verdicts = {name or _NO_VERDICT: count for name, count in status.verdicts.items()}
    parts.append(("failed, by verdict", _counted(verdicts)))
    parts.append(("boards at work, by station", _counted(status.stations)))
    bars = watchview.bars(stages, min(console.width // 2, _BAR), console.options.ascii_only)
    title = "what boards said last: failures, by stage (firmshake fleet watch)"
    parts.append((title, [Text(bar, "red") for bar in bars]))
    parts.append(("last changes (UTC)", [_change(one) for one in status.changes[:_CHANGES]]))
    for number, (title, lines) in enumerate(part for part in parts if part[1]):
        _show(console, title, lines, is_first=number == 0)


def _title(run: RunRecord) -> str:
    wanted = "without an end" if run.wanted is None else f"{run.wanted:,} wanted"
    ended = "" if run.ended_at is None else f", ended {run.ended_at:%Y-%m-%d %H:%M} UTC"
    return f"run {run.id}: {printable(run.name)}, {wanted}{ended}"


def _show(console: Console, title: str, lines: Sequence[Text], is_first: bool) -> None:
    """Print a part; who reads lines gets each whole."""
    if not is_first:
        console.print()
    console.print(Text(title, "bold"), soft_wrap=True)
    for line in lines:
        console.print(Text("  ").append(line), soft_wrap=True)


def _counted(counts: Mapping[str, int]) -> list[Text]:
    numbers = [f"{count:,}" for count in counts.values()]
    width = max(map(len, numbers), default=0)
    return [
        Text(f"{number:>{width}}  ").append(printable(name), _STYLES.get(name, ""))
        for number, name in zip(numbers, counts, strict=True)
    ]


def _change(change: Change) -> Text:
    line = Text(f"{change.at:%Y-%m-%d %H:%M:%S}  {change.device_id}  ")
    line.append(change.state, _STYLES.get(change.state, ""))
    return line.append(f"  {printable(change.verdict)}" if change.verdict else "")
