"""Answers what one worker asks: who its board is to be, and a certificate for that board's key.

A worker gets one certificate, for the one device that its board was given, and for no other; what
it asks has an order, and a board is proved only at the end of it. What it says of the board itself
can't be checked here: the board's id, and that it has connected.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cryptography import x509

from firmshake.boards.table import BOARDS
from firmshake.ca import certificate as certificates
from firmshake.ca.authority import Authority
from firmshake.errors import Error
from firmshake.fleet import message
from firmshake.fleet.message import Fields, Nonsense
from firmshake.ownregistrar import OwnRegistrar
from firmshake.project import Project
from firmshake.registrar import Signed
from firmshake.registry import ClaimLost, Registry, Unavailable
from firmshake.registry.fleetrecord import Claim, Refusal, RunRecord, SlotStatus
from firmshake.ways.way import Seen


@dataclass(frozen=True)
class Counter:
    """What the desks of a station share.

    `settings` are those that differ, by line of the manifest. `session` is one life of the station.
    """

    project: Project
    authority: Authority
    registry: Registry
    run: RunRecord
    station: str
    session: str
    lease_s: float
    settings: Mapping[int, Mapping[str, object]] = field(default_factory=dict, repr=False)


# which questions may come after which was answered well, "" for the first. Once one was not, only
# those that end the work
_NEXT: Mapping[str, Sequence[str]] = {
    "": ("wanted", "known", "admit"),
    "wanted": ("known", "admit"),
    "known": ("admit",),
    "admit": ("enrol", "written", "ended"),
    "enrol": ("withdraw", "written", "ended"),
    "withdraw": ("ended",),
    "written": ("ended",),
    "ended": (),
}
_ENDS = ("withdraw", "ended")
_READY = "ready"
# far more than the longest way through that
_MOST_QUESTIONS = 20


class Turned(Error):
    """A board is turned away. With `later` it may be another matter in a while."""

    def __init__(self, message: str, hint: str = "", later: bool = False) -> None:
        super().__init__(message, hint)
        self.later = later


@dataclass
class _Asked:
    """What one worker has asked so far."""

    step: str = ""
    count: int = 0
    failed: bool = False
    chain: Sequence[x509.Certificate] = ()  # that its board holds, as it says
    enrolled: str = ""  # the serial number of what it was given here

    def check(self, question: str) -> None:
        """Raise Nonsense where that is no question to be asked now."""
        self.count += 1
        may = _NEXT[self.step]
        if question not in may or (self.failed and question not in _ENDS):
            raise Nonsense("a question out of its order")
        if self.count > _MOST_QUESTIONS:
            raise Nonsense("questions without an end")


class Desk:
    """The desk of one board, for one worker after the other.

    `claim` and `seen` are there once the board was admitted. `turned` says why it got nothing, by
    no fault of its own. `is_proved` is true only if all was done, in its order, that leads to it.
    `superseded` counts the certificates that were revoked as others took their place.
    """

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self.claim: Claim | None = None
        self.seen: Seen | None = None
        self.turned: Turned | None = None
        self.is_proved = False
        self.superseded = 0
        self._is_lost = False  # the claim
        self._asked = _Asked()
        self._answers: Mapping[str, Callable[[Fields], dict[str, Any]]] = {
            "wanted": self._wanted,
            "known": self._known,
            "admit": self._admit,
            "enrol": self._enrol,
            "withdraw": self._withdraw,
            "written": self._written,
            "ended": self._ended,
        }

    @property
    def token(self) -> str | None:
        """The token of the claim, None where there is none that lives."""
        return None if self.claim is None or self._is_lost else self.claim.token

    def answer(self, question: Fields) -> dict[str, Any]:
        """Return the answer to a question. Raises Nonsense where it is none that may be asked."""
        ask = message.text(question, "ask")
        self._asked.check(ask)
        try:
            answer = self._answers[ask](question)
        except Error as error:
            self._asked.failed = True
            self._note(error)
            refused = isinstance(error, Turned)
            text, hint = message.of_text(error.message), message.of_text(error.hint)
            return {"error": text, "hint": hint, "refused": refused}
        self._asked.step = ask
        return answer

    def again(self) -> None:
        """Make ready for another worker at the same place: the claim stays, and nothing else.

        A certificate that the last one was given and did not write is superseded by the next.
        """
        if self._is_lost:
            self.claim, self._is_lost = None, False
        self.seen, self.turned, self.is_proved = None, None, False
        self._asked = _Asked()

    def close(self, status: SlotStatus) -> None:
        """Give the claim back, if there is one. Raises Error, and has it still, where it can't."""
        if self.claim is not None and not self._is_lost:
            with contextlib.suppress(ClaimLost):
                self._counter.registry.release(self.claim, status)
        self.claim, self._is_lost = None, False

    def _note(self, error: Error) -> None:
        """What is not the board's fault: it is to be asked for again."""
        self._is_lost |= isinstance(error, ClaimLost)
        if isinstance(error, Turned):
            self.turned = error
        elif isinstance(error, ClaimLost | Unavailable):
            self.turned = Turned(error.message, error.hint, later=True)

    def _wanted(self, said: Fields) -> dict[str, Any]:
        """For a board that can't tell who it is before firmware is written to it."""
        boards = _boards(message.text(said, "chip"))
        if not boards:
            raise Nonsense("a chip that no board has")
        counter = self._counter
        refusal = counter.registry.unwanted(counter.run.id, boards=boards, session=counter.session)
        if refusal is not None:
            raise _turned(refusal)
        return {}

    def _known(self, said: Fields) -> dict[str, Any]:
        self._asked.chain = message.chain(said, "chain")
        unique_id = message.unique_id(said, "unique_id")
        return {"device_id": self._registrar().known(self._asked.chain, unique_id)}

    def _admit(self, said: Fields) -> dict[str, Any]:
        self.seen = seen = message.seen(said, "seen")
        if seen.unique_id is None:
            raise Error(
                f"who it is can't be told: {seen.title}",
                hint="its firmware is too old to tell: write a newer one to it first",
            )
        claim = self._claim_for(seen.unique_id, seen.chip)
        profile = self._counter.authority.device_profile(claim.profile)
        return {
            "device_id": claim.device_id,
            "settings": dict(self._counter.settings.get(claim.line, {})),
            "key": profile.key,
            "words": f"it is to be {claim.device_id}",
        }

    def _claim_for(self, unique_id: str, chip: str) -> Claim:
        if self.claim is not None:
            if self.claim.unique_id == unique_id:
                return self.claim
            self.close("open")
        counter = self._counter
        answer = counter.registry.claim(
            counter.run.id,
            unique_id=unique_id,
            boards=_boards(chip),
            station=counter.station,
            session=counter.session,
            lease_s=counter.lease_s,
        )
        if isinstance(answer, Refusal):
            raise _turned(answer)
        self.claim = answer
        return answer

    def _enrol(self, said: Fields) -> dict[str, Any]:
        claim, seen = self._admitted()
        key = message.key(said, "key")
        kind = self._counter.authority.device_profile(claim.profile).key
        if certificates.key_type(key) != kind:
            raise Nonsense("a key of another type")
        own = replace(seen, unique_id=claim.unique_id)
        signed: Signed = self._registrar().enrol(claim.device_id, key, own)
        self._asked.enrolled = certificates.serial(signed.certificate)
        return {
            "chain": message.of_chain([signed.certificate, *signed.chain]),
            "anchors": message.of_chain(list(signed.anchors)),
        }

    def _withdraw(self, said: Fields) -> dict[str, Any]:
        self._registrar().withdraw(self._asked.enrolled)
        return {}

    def _written(self, said: Fields) -> dict[str, Any]:
        claim, _ = self._admitted()
        serial = self._asked.enrolled or self._held(claim)
        if not serial or message.text(said, "serial") != serial:
            raise Nonsense("another certificate")
        gone = list(self._registrar().written(claim.device_id, serial, claim.unique_id))
        self.superseded += len(gone)
        return {"superseded": gone}

    def _held(self, claim: Claim) -> str:
        """The certificate that the board held before, if it is the claimed device's own."""
        chain = self._asked.chain
        if self._registrar().known(chain, claim.unique_id) != claim.device_id:
            return ""
        return certificates.serial(chain[0])

    def _ended(self, said: Fields) -> dict[str, Any]:
        claim, _ = self._admitted()
        is_proved, verdict = said.get("proved") is True, message.verdict(said, "verdict")
        if is_proved and (self._asked.step != "written" or verdict != _READY):
            raise Nonsense("a proof of nothing")
        # where it is to be asked for again, it has not failed
        if self.turned is None:
            self._registrar().ended(claim.device_id, is_proved, verdict)
            self.is_proved = is_proved
        return {}

    def _admitted(self) -> tuple[Claim, Seen]:
        assert self.claim is not None  # by the order of the questions
        assert self.seen is not None
        return self.claim, self.seen

    def _registrar(self) -> OwnRegistrar:
        counter, claim = self._counter, self.claim
        return OwnRegistrar(
            counter.project,
            counter.authority,
            counter.registry,
            profile=claim.profile if claim else None,
            token=claim.token if claim else None,
        )


def _boards(chip: str) -> list[str]:
    """The names of the boards that have that chip."""
    return [board.name for board in BOARDS if board.chip == chip]


def _turned(refusal: Refusal) -> Turned:
    return Turned(refusal.words, later=refusal.reason == "busy")
