"""Answers what one worker asks: who its board is to be, and a certificate for that board's key.

A worker gets certificates for the one device that its board was given, and for no other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from firmshake.boards.table import BOARDS
from firmshake.ca import certificate as certificates
from firmshake.ca.authority import Authority
from firmshake.errors import Error
from firmshake.fleet import message
from firmshake.fleet.message import Fields, Nonsense
from firmshake.ownregistrar import OwnRegistrar
from firmshake.project import Project
from firmshake.registrar import Signed
from firmshake.registry import Registry
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


class Turned(Error):
    """A board is turned away. With `later` it may be another matter in a while."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.words)
        self.later = refusal.reason == "busy"


class Desk:
    """The desk of one worker. `claim` and `seen` are there once its board was admitted."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self.claim: Claim | None = None
        self.seen: Seen | None = None
        self.turned: Turned | None = None
        self._serial = ""
        self._answers: Mapping[str, Callable[[Fields], dict[str, Any]]] = {
            "known": self._known,
            "admit": self._admit,
            "enrol": self._enrol,
            "withdraw": self._withdraw,
            "written": self._written,
            "ended": self._ended,
        }

    def answer(self, question: Fields) -> dict[str, Any]:
        """Return the answer to a question. Raises Nonsense where it is none that may be asked."""
        answer = self._answers.get(message.text(question, "ask"))
        if answer is None:
            raise Nonsense("an unknown question")
        try:
            return answer(question)
        except Error as error:
            refused = isinstance(error, Turned)
            return {"error": error.message, "hint": error.hint, "refused": refused}

    def close(self, status: SlotStatus) -> None:
        """Give the claim back, if there is one."""
        if self.claim is not None:
            claim, self.claim = self.claim, None
            self._counter.registry.release(claim, status)

    def _known(self, said: Fields) -> dict[str, Any]:
        chain = message.chain(said, "chain")
        found = self._registrar().known(chain, message.maybe_text(said, "unique_id"))
        if found is not None:
            self._serial = certificates.serial(chain[0])
        return {"device_id": found}

    def _admit(self, said: Fields) -> dict[str, Any]:
        if self.claim is not None:
            raise Nonsense("a second board")
        self.seen = seen = message.seen(said, "seen")
        if seen.unique_id is None:
            raise Error(
                f"who it is can't be told: {seen.title}",
                hint="its firmware is too old to tell: write a newer one to it first",
            )
        counter = self._counter
        answer = counter.registry.claim(
            counter.run.id,
            unique_id=seen.unique_id,
            boards=[board.name for board in BOARDS if board.chip == seen.chip],
            station=counter.station,
            session=counter.session,
            lease_s=counter.lease_s,
        )
        if isinstance(answer, Refusal):
            self.turned = Turned(answer)
            raise self.turned
        self.claim = answer
        profile = counter.authority.device_profile(answer.profile)
        settings = dict(counter.settings.get(answer.line, {}))
        return {
            "device_id": answer.device_id,
            "settings": settings,
            "key": profile.key,
            "words": f"it is to be {answer.device_id}",
        }

    def _enrol(self, said: Fields) -> dict[str, Any]:
        claim = self._claimed()
        key = message.key(said, "key")
        kind = self._counter.authority.device_profile(claim.profile).key
        if certificates.key_type(key) != kind:
            raise Nonsense("a key of another type")
        signed: Signed = self._registrar().enrol(claim.device_id, key, message.seen(said, "seen"))
        self._serial = certificates.serial(signed.certificate)
        return {
            "chain": message.of_chain([signed.certificate, *signed.chain]),
            "anchors": message.of_chain(list(signed.anchors)),
        }

    def _withdraw(self, said: Fields) -> dict[str, Any]:
        self._claimed()
        self._registrar().withdraw(self._serial)
        return {}

    def _written(self, said: Fields) -> dict[str, Any]:
        claim = self._claimed()
        if message.text(said, "serial") != self._serial:
            raise Nonsense("another certificate")
        unique_id = message.maybe_text(said, "unique_id")
        gone: Sequence[str] = self._registrar().written(claim.device_id, self._serial, unique_id)
        return {"superseded": list(gone)}

    def _ended(self, said: Fields) -> dict[str, Any]:
        claim = self._claimed()
        is_proved = said.get("proved") is True
        verdict = message.maybe_text(said, "verdict")
        self._registrar().ended(claim.device_id, is_proved, verdict)
        return {}

    def _claimed(self) -> Claim:
        if self.claim is None:
            raise Nonsense("no board was admitted")
        return self.claim

    def _registrar(self) -> OwnRegistrar:
        counter, claim = self._counter, self.claim
        return OwnRegistrar(
            counter.project,
            counter.authority,
            counter.registry,
            profile=claim.profile if claim else None,
            token=claim.token if claim else None,
        )
