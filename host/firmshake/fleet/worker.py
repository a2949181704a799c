"""The process that works on one board: it has neither the CA nor the registry.

It asks its station for both over a pipe, and tells it how far it is. The board's private key is
made here, and goes onto the board and nowhere else.
"""

from __future__ import annotations

import os
import signal
import socket
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from cryptography import x509

from firmshake import esptool_parent, esptool_runs, inherited, lifeline
from firmshake.ca.identity import PublicKey
from firmshake.errors import Error
from firmshake.event import Event, Output
from firmshake.firmwares import stored
from firmshake.fleet import message, settings
from firmshake.project import Project
from firmshake.provision import Outcome, provision
from firmshake.registrar import Admission, Signed
from firmshake.verdict import remedy
from firmshake.ways import firmwarefirst
from firmshake.ways.choose import NoBoard, Wish
from firmshake.ways.firmwarefirst import Elsewhere
from firmshake.ways.way import Seen

# how often a station hears how much is written: it has many workers
_WRITING_S = 0.2
_OURS = "firmshake"
_REPORT = "please report it, with the output of `firmshake bundle`"


@dataclass(frozen=True)
class Job:
    """One board, and what is wanted of it. `target` is its port, or the folder of its drive.

    `via` and `is_bare` are as in a Wish.
    """

    target: str
    project: Project
    via: str | None
    proof_s: float
    force: bool
    is_bare: bool = False


def work(
    job: Job, pipe: Connection, line: Connection, esptool: socket.socket | None = None
) -> None:
    """Do the job: the main function of a process. `line` closes when the station is gone."""
    inherited.drop(os.environ)
    lifeline.hang_on(line.fileno())
    os.nice(esptool_parent.GIVES_WAY)
    esptool_runs.use(esptool)
    # at the terminal, Ctrl-C reaches all; the station decides
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _be_silent()
    talk = _Talk(pipe)
    try:
        outcome = _provisioned(job, talk)
    except Elsewhere as error:
        talk.say("elsewhere", text=error.message)
    except Error as error:
        refused = isinstance(error, Refused | NoBoard)
        talk.say("error", text=error.message, hint=error.hint, refused=refused)
    except OSError as error:
        talk.say("error", text=str(error), hint="", refused=False)
    except Exception as error:  # noqa: BLE001  whatever it is, it is to be told
        talk.say("error", text=_fault(error), hint=_REPORT, refused=False)
    else:
        talk.say("outcome", **_told(outcome, talk.settings))


def _fault(error: Exception) -> str:
    """Which error it is, and where; never its words, which may tell a secret."""
    frames = traceback.walk_tb(error.__traceback__)
    places = [(str(frame.f_globals.get("__name__")), line) for frame, line in frames]
    module, line = next(place for place in reversed(places) if place[0].startswith(_OURS))
    return f"a fault in firmshake: {type(error).__name__} at {module}:{line}"


def _be_silent() -> None:
    """The screen is the station's."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for handle in (0, 1, 2):
        os.dup2(nowhere, handle)


def _provisioned(job: Job, talk: _Talk) -> Outcome:
    stores = stored.finder(job.project)
    wish = Wish(job.target, job.via, stored=stores, is_bare=job.is_bare)
    wish = firmwarefirst.written(wish, talk, talk.check_wanted)
    registrar = _Distant(job.project, talk)
    return provision(job.project, registrar, wish, talk, proof_s=job.proof_s, force=job.force)


def _told(outcome: Outcome, own: Mapping[str, object]) -> dict[str, Any]:
    verdict = outcome.verdict
    return {
        "ok": verdict.ok,
        "verdict": verdict.verdict,
        "why": verdict.why,
        "fix": settings.remedied(verdict.fix, own),
        "serial": outcome.serial_number,
        "written": outcome.written,
    }


class Refused(Error):
    """The station has no use for this board."""


class _Talk:
    """The worker's end of the pipe; also the watcher of the work."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._told_s = 0.0
        self.settings: Mapping[str, object] = {}  # of this device alone

    def ask(self, what: str, **fields: Any) -> Mapping[str, Any]:
        """Return the station's answer. Raises Error where it is no, Refused for a board."""
        self._pipe.send_bytes(message.encode({"ask": what, **fields}))
        answer = message.decode(self._pipe.recv_bytes(message.LONGEST))
        if "error" in answer:
            kind = Refused if answer.get("refused") else Error
            raise kind(message.text(answer, "error"), message.text(answer, "hint"))
        return answer

    def say(self, what: str, **fields: Any) -> None:
        fit = {
            name: message.of_text(value) if isinstance(value, str) else value
            for name, value in fields.items()
        }
        self._pipe.send_bytes(message.encode({"tell": what, **fit}))

    def check_wanted(self, chip: str) -> None:
        """Raise Refused where the run wants no board with that chip, whichever it is."""
        self.ask("wanted", chip=chip)

    def reached(self, stage: str) -> None:
        self.say("reached", stage=stage)

    def begin(self, text: str) -> None:
        self.say("words", text=text)

    def step(self, text: str) -> None:
        self.say("words", text=text)

    def please(self, text: str) -> None:
        self.say("words", text=f"please {text}")

    def writing(self, done: int, total: int) -> None:
        now = time.monotonic()
        if done >= total or now - self._told_s >= _WRITING_S:
            self._told_s = now
            self.say("writing", done=done, total=total)

    def event(self, event: Event) -> None:
        if event.state in ("start", "fail"):
            fix = remedy(event)[1] if event.state == "fail" else ""
            fix = settings.remedied(fix, self.settings)
            verdict = event.verdict or ""
            self.say("stage", stage=event.stage, verdict=verdict, fix=fix)

    def output(self, output: Output) -> None:
        pass


class _Distant:
    """The registrar that the station is."""

    def __init__(self, project: Project, talk: _Talk) -> None:
        self._project, self._talk = project, talk

    def known(self, chain: Sequence[x509.Certificate], unique_id: str | None) -> str | None:
        told = message.of_unique_id(unique_id)
        answer = self._talk.ask("known", chain=message.of_chain(list(chain)), unique_id=told)
        return message.maybe_text(answer, "device_id")

    def admit(self, seen: Seen, found: str | None) -> Admission:
        answer = self._talk.ask("admit", seen=message.of_seen(seen))
        self._talk.settings = answer["settings"]
        project = settings.applied(self._project, self._talk.settings)
        return Admission(answer["device_id"], project, answer["key"], answer["words"])

    def enrol(self, device_id: str, key: PublicKey, seen: Seen) -> Signed:
        answer = self._talk.ask("enrol", key=message.of_key(key))
        own, *above = message.chain(answer, "chain")
        return Signed(own, tuple(above), tuple(message.chain(answer, "anchors")))

    def withdraw(self, serial_number: str) -> None:
        self._talk.ask("withdraw")

    def written(self, device_id: str, serial_number: str, unique_id: str | None) -> Sequence[str]:
        answer = self._talk.ask("written", serial=serial_number)
        return list(answer["superseded"])

    def ended(self, device_id: str, is_proved: bool, verdict: str | None) -> None:
        self._talk.ask("ended", proved=is_proved, verdict=message.of_verdict(verdict))
