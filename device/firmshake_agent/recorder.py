"""The flight recorder: the board's last failures, kept on its flash until a broker has them.

A record a verdict, with how often it came; where there is no room the oldest goes. The file is one
page of slots, each with a line of the serial protocol, so that its checksum tells a torn one; the
first slot holds the recorder's own counts. docs/serial-protocol.md specifies it.

Flash wears: a failure that is on record is written again only once its count has doubled, writes
come further and further apart, and there is a last one. Whatever goes wrong here never stops the
agent, and no record holds a secret: evidence goes over the serial line as well.
"""

import json

from . import VERSION
from .failure import Failure, verdict
from .line import format_line, parse_line

FILE = "recorder"

KEPT = 8
SLOT = 320
SIZE = SLOT * (KEPT + 1)  # below a block of LittleFS, 4096: a write erases one

# A boot has two writes at once: a failure, and that the broker has it. Then they wait, twice as
# long each time, up to five hours.
_AT_ONCE = 2
_PAUSE_MS = 600000
_DOUBLINGS = 5
# of the file: less than half of what one block of flash stands, should nothing spread the wear
MOST_WRITES = 30000

MESSAGE = 1024  # bytes, the longest
_RECORD = 640  # of them, for one record: a longer one goes without its evidence
_MOST_SKIPPED = 63

# Of the evidence, the most telling first: what does not fit is left out
_EVIDENCE = (
    "alert", "code", "mqtt5", "errno", "status", "file", "detail", "error", "ssid", "host", "port",
    "addr", "wanted", "presented", "subject", "issuer", "trusts", "not_after", "not_before", "now",
    "topic", "path", "limit_ms", "held_ms", "free", "largest",
)  # fmt: skip
_LONGEST = 64  # characters of one value


class Row:
    """One verdict's record: `count` of times, of which `kept` are on flash.

    `seq` numbers its last change, `seen` says whether it came in this boot, and `line` is what has
    to be written, None where nothing has.
    """

    def __init__(self, name: str, seq: int = 0, count: int = 0) -> None:
        self.name = name
        self.seq = seq
        self.count = self.kept = count
        self.seen = False
        self.line = None


def _no_rows() -> "list[object]":
    return [None] * KEPT


class Recorder:
    """The recorder whose file is at `path`."""

    def __init__(self, runtime: object, path: str) -> None:
        self._timed = False  # a clock was confirmed since the boot
        self._runtime = runtime
        self._path = path
        self._rows = _no_rows()
        self._seq = self._seq_kept = 0  # of the last change; of the last that is on flash
        self._sent = self._sent_kept = 0  # up to there the broker has them; the same, on flash
        self._boot = 1
        self._writes = 0  # of the file
        self._tries = 0  # to write, since the boot
        self._tried = 0
        self._skip = self._skips = 0  # sessions that nothing is published in; and the next time
        try:
            self._load()
        except Exception:
            pass  # lines that are intact, and another's

    def _load(self) -> None:
        head = self._slot(0)
        if head:
            fields = dict(head[4])
            self._boot = int(fields["boot"]) + 1
            self._sent = self._sent_kept = self._seq = int(fields["sent"])
            self._writes = int(fields["writes"])
        for number in range(KEPT):
            found = self._slot(number + 1)
            if found:
                fields = dict(found[4])
                name = verdict(found[2], fields.get("step", ""), fields["cause"])
                self._rows[number] = Row(name, found[0], int(fields["n"]))
                self._seq_kept = max(self._seq_kept, found[0])
                # where the first slot is lost
                self._boot = max(self._boot, int(fields["boot"]) + 1)
        self._seq = max(self._seq, self._seq_kept)

    def _slot(self, number: int) -> "tuple | None":
        """What parse_line makes of a slot; None where there is none."""
        try:
            with open(self._path, "rb") as file:
                file.seek(number * SLOT)
                return parse_line(str(file.read(SLOT), "utf-8"))
        except (OSError, ValueError):  # ValueError: not UTF-8
            return None

    # recording

    def fail(self, failure: Failure, clock: object) -> None:
        """Record the failure of a climb, which found `clock` or None. Raises nothing."""
        self._look_at(clock)
        try:
            self._record(failure)
            self._flush()
        except Exception:
            pass

    def _look_at(self, clock: object) -> None:
        self._timed = self._timed or (clock is not None and not clock.doubtful)

    def _record(self, failure: Failure) -> None:
        row = self._row(verdict(failure.stage, failure.step, failure.cause))
        self._seq += 1
        row.seq = self._seq
        row.count += 1
        due = row.line is not None or row.count >= 2 * row.kept
        if not row.seen:
            # what was counted before the power went is lost: by chance, so that a board that
            # restarts for ever does not write for ever
            due = due or self._runtime.random() * row.kept < 256
            row.seen = True
        if due:
            row.line = self._line(row, failure)

    def _row(self, name: str) -> Row:
        """The record of a verdict, in the place of the oldest where it is new."""
        place = 0
        for number, row in enumerate(self._rows):
            if row is not None and row.name == name:
                return row
            oldest = self._rows[place]
            if oldest is not None and (row is None or row.seq < oldest.seq):
                place = number
        self._rows[place] = Row(name)
        return self._rows[place]

    def _line(self, row: Row, failure: Failure) -> str:
        at = self._runtime.now() if self._timed else None
        fields = [
            ("step", failure.step or None),
            ("cause", failure.cause),
            ("n", row.count),
            ("boot", self._boot),
            ("at", at),
        ]
        for key in _EVIDENCE:
            value = failure.evidence.get(key)
            if value is not None:
                fields.append((key, str(value)[:_LONGEST]))
        return format_line(row.seq, self._runtime.ticks(), failure.stage, "fail", fields, SLOT - 1)

    # the file

    def _flush(self) -> None:
        """Write what is to be written, where it is time."""
        waiting = [row for row in self._rows if row is not None and row.line is not None]
        if not waiting and (self._sent == self._sent_kept or self._seq_kept <= self._sent_kept):
            return
        if self._writes >= MOST_WRITES:
            return
        late = self._tries - _AT_ONCE
        if late >= 0:
            pause = _PAUSE_MS << min(late, _DOUBLINGS)
            if self._runtime.since(self._tried) < pause:
                return
        self._tries += 1
        self._tried = self._runtime.ticks()
        self._write(self._writes + 1)
        self._writes += 1
        self._sent_kept = self._sent
        for row in waiting:
            row.kept = row.count
            row.line = None
            self._seq_kept = max(self._seq_kept, row.seq)

    def _write(self, writes: int) -> None:
        """In place, slot by slot. Raises OSError where it is full, or the computer's to write."""
        lines, mode = self._lines()
        counts = [("boot", self._boot), ("sent", self._sent), ("writes", writes)]
        lines[0] = format_line(0, 0, "boot", "info", counts).encode()
        for number, row in enumerate(self._rows):
            if row is not None and row.line is not None:
                lines[number + 1] = row.line.encode()
        with open(self._path, mode) as file:
            for line in lines:
                file.write(line + b"\n" * (SLOT - len(line)))

    def _lines(self) -> "tuple[list[bytes], str]":
        """What the file holds, and how to open it for writing: a whole one is never cut short."""
        lines = []
        try:
            with open(self._path, "rb") as file:
                while len(lines) <= KEPT:
                    slot = file.read(SLOT)
                    if len(slot) < SLOT:
                        break
                    lines.append(slot.rstrip())
                else:
                    return lines, "r+b"
        except OSError:
            pass
        return [b""] * (KEPT + 1), "wb"

    # publishing

    def reached(self, climb: object, climb_ms: int) -> None:
        """Publish what the broker has not, and that the board is ready, in a climb that is there.

        Raises Failure where the session ends meanwhile, and nothing else. A broker may end it
        because of that: then the next sessions go without, more of them each time.
        """
        self._look_at(climb.clock)
        if self._skip:
            self._skip -= 1
            return
        self._skips = self._skip = min(2 * self._skips + 1, _MOST_SKIPPED)
        try:
            ready = {"agent": VERSION, "runtime": self._runtime.name, "climb_ms": climb_ms}
            ready["rssi"] = self._runtime.rssi()
            heap = self._runtime.heap()
            ready["free"] = heap["free"]
            ready["largest"] = heap.get("largest")
            if self._publish(climb.session, climb.identity.device, json.dumps(ready)):
                self._skip = self._skips = 0
                self._flush()
        except Failure:
            raise
        except Exception:
            pass

    def _publish(self, session: object, device: str, ready: str) -> bool:
        """Whether the broker acknowledged all of it."""
        head = '{"v":1,"device":' + json.dumps(device) + ',"records":['
        tail = '],"ready":' + ready + "}"
        while True:
            message, told = self._message(head.encode(), tail.encode())
            if not session.tell("diag", message):
                return False
            self._sent = told
            tail = "]}"
            if not self._unsent():
                return True

    def _unsent(self) -> "list[Row]":
        """What the broker has not, the oldest first."""
        rows = [row for row in self._rows if row is not None and row.seq > self._sent]
        rows.sort(key=lambda row: row.seq)
        return rows

    def _message(self, head: bytes, tail: bytes) -> "tuple[bytes, int]":
        """A message with as many records as fit, and the number of the last change in it."""
        parts = []
        room = MESSAGE - len(head) - len(tail)
        told = self._sent
        for row in self._unsent():
            text = self._json(row)
            if parts and len(text) > room:
                break
            told = row.seq
            if text:
                parts.append(text)
                room -= len(text) + 1
        return head + b",".join(parts) + tail, told

    def _json(self, row: Row) -> bytes:
        """A record as JSON; empty where its line is lost."""
        line = row.line
        found = parse_line(line) if line else self._slot(self._rows.index(row) + 1)
        if found is None:
            return b""
        stage, fields = found[2], dict(found[4])
        at, boot = fields.pop("at", None), int(fields.pop("boot"))
        if at is None and self._timed and boot == self._boot:
            # it came before the clock was set
            at = self._runtime.now() - self._runtime.since(found[1]) // 1000
        for key in ("n", "step", "cause"):
            fields.pop(key, None)
        record = {
            "seq": row.seq,
            "boot": boot,
            "at": at if at is None else int(at),
            "n": row.count,
            "verdict": row.name,
            "stage": stage,
            "ev": fields,
        }
        text = json.dumps(record).encode()
        if len(text) > _RECORD:
            record["ev"] = {"cut": "1"}
            text = json.dumps(record).encode()
        return text
