"""The report of a run as one HTML page, which needs nothing else: no script, no network.

Everything that is shown may have come from strangers, and is escaped. The devices are written as
they come, into a file of their own first: what stands above them is known at the end.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from datetime import datetime
from html import escape
from typing import TextIO

from firmshake.fleet.report import DeviceRow, Failures, RunFacts, Tally
from firmshake.fleet.reportstyle import with_labels
from firmshake.provision import NOT_DONE
from firmshake.wording import printable, word
from firmshake_agent import causes

_COLUMNS = (
    "Device",
    "Outcome",
    "Verdict",
    "Board's unique id",
    "Chip",
    "Firmware",
    "Kind of board",
    "Serial number of the certificate",
    "Its SHA-256 fingerprint",
    "Valid until",
    "What happened (UTC)",
    "Proofs tried",
)
_OUTCOMES = {
    "proved": '<b class="good">proved</b>',
    "failed": '<b class="bad">failed</b>',
    "open": "not done",
}
_KEY = re.compile(r"\{(\w+)\}")

# what could not be done from here: the board has said nothing of it
_NOT_DONE = {
    "issue": "What the board was to get could not be made ready.<br>"
    "<b>See the run's own words.</b>",
    "write": "The board could not be written.<br>"
    "<b>Check its cable, its USB port and its power.</b>",
    "proof": "The board was written; then its line was lost, or it never reported.<br>"
    "<b>Plug it in again; firmshake console shows what it says.</b>",
}


class HtmlReport:
    """A page that is made of rows, and written when all of them are known."""

    def __init__(self) -> None:
        self._rows = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115  # see close

    def add(self, row: DeviceRow) -> None:
        """Keep one device's row."""
        self._rows.write(_row(row))

    def write(self, stream: TextIO, facts: RunFacts, tally: Tally) -> None:
        """Write the whole page to `stream`, which must be UTF-8."""
        stream.writelines(_top(facts, tally))
        self._rows.seek(0)
        shutil.copyfileobj(self._rows, stream)
        stream.write("</tbody>\n</table>\n</main>\n</body>\n</html>\n")

    def close(self) -> None:
        """Let the rows go."""
        self._rows.close()


def shown(text: str) -> str:
    """Return the text as HTML, controls written out."""
    return escape(printable(text))


def _top(facts: RunFacts, tally: Tally) -> Iterator[str]:
    title = shown(f"{facts.project}: run {facts.run.id}, {facts.run.name}")
    yield (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\';'
        " style-src 'unsafe-inline'\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{with_labels(_COLUMNS)}</style>\n</head>\n"
        f"<body>\n<main>\n<h1>{title}</h1>\n"
    )
    yield from _facts(facts, tally)
    yield from _failures(tally)
    heads = "".join(f'<th scope="col">{name}</th>' for name in _COLUMNS)
    yield (
        '<h2 id="devices">All devices</h2>\n<table class="all">\n'
        f"<caption>{sum(tally.counts.values())} devices, in the order in which they were planned"
        f"</caption>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n"
    )


def _facts(facts: RunFacts, tally: Tally) -> Iterator[str]:
    counts, run = tally.counts, facts.run
    wanted = "without end" if run.wanted is None else str(run.wanted)
    yield '<ul class="totals">\n'
    for count, name, style in (
        (str(counts["proved"]), "devices proved", "good"),
        (str(counts["failed"]), "devices failed", "bad" if counts["failed"] else ""),
        (str(counts["open"]), "devices not done", ""),
        (wanted, "wanted", ""),
    ):
        yield f'<li><b class="{style}">{count}</b> {name}</li>\n'
    yield "</ul>\n<dl>\n"
    told = {
        "Begun": _moment(run.created_at),
        "Ended": _moment(run.ended_at) if run.ended_at else "not yet",
        "Manifest": run.manifest or "",
        "Device ids by": run.rule or "",
        "Rate": f"{tally.per_minute:.1f} devices a minute" if tally.per_minute else "",
        "Stations at work": ", ".join(facts.stations),
        "Report made": _moment(facts.made_at),
    }
    for name, text in told.items():
        if text:
            yield f"<dt>{name}</dt><dd>{shown(text)}</dd>\n"
    yield "</dl>\n"


def _failures(tally: Tally) -> Iterator[str]:
    groups = tally.failures()
    if not groups:
        return
    yield (
        '<h2 id="failures">Failures by verdict</h2>\n<table>\n<thead><tr><th scope="col">Verdict'
        '</th><th scope="col">Devices</th><th scope="col">Why, and what to do</th></tr></thead>\n'
        "<tbody>\n"
    )
    for verdict, group in groups:
        yield _group(verdict, group)
    yield "</tbody>\n</table>\n"


def _group(verdict: str, group: Failures) -> str:
    names = ", ".join(f"<code>{shown(name)}</code>" for name in group.named)
    more = group.count - len(group.named)
    return (
        f'<tr><th scope="row">{shown(verdict) or "without a verdict"}</th>'
        f"<td>{group.count}</td><td>{_remedy(verdict)}"
        f"<p>{names}{f' and {more} more' if more else ''}</p></td></tr>\n"
    )


def _remedy(verdict: str) -> str:
    """Why and fix of a verdict; what differs from board to board is named, not filled in."""
    known = causes.lookup(verdict)
    if known is None:
        stage, _, cause = verdict.partition("/")
        return _NOT_DONE.get(stage, "") if cause == NOT_DONE else ""
    said = []
    for text in known:
        general = re.sub(r"\[[^]]*\]", "", text)
        names: dict[str, object] = {key: f"<{word(key)}>" for key in _KEY.findall(general)}
        said.append(shown(causes.fill(general, names)))
    return f"{said[0]}<br><b>{said[1]}</b>"


def _row(row: DeviceRow) -> str:
    """One device's row; cells and rows need no end tags (HTML, 13.1.2.4)."""
    until = f"{row.not_after:%Y-%m-%d}" if row.not_after else ""
    if row.revoked:
        until += f" (revoked: {row.revoked})"
    verdict = [row.verdict] if row.verdict else []
    if row.since:
        verdict.append(f"since then: {row.since}")
    cells = (
        _OUTCOMES[row.outcome],
        "<br>".join(map(shown, verdict)),
        shown(row.unique_id),
        shown(row.chip),
        shown(row.firmware),
        shown(row.board),
        shown(row.serial_number),
        shown(row.fingerprint_sha256),
        shown(until),
        "<br>".join(map(_step, row.steps)),
        str(row.attempts or ""),
    )
    return f'<tr><th scope="row">{shown(row.device_id)}' + "".join(f"<td>{c}" for c in cells) + "\n"


def _step(step: tuple[datetime, str, str]) -> str:
    at, state, verdict = step
    said = f"{at:%Y-%m-%d %H:%M:%S} {state}"
    return shown(f"{said}: {verdict}" if verdict and state == "failed" else said)


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
