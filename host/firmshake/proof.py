"""The proof: follow a board's serial line until it is ready, or fails for good."""

from __future__ import annotations

import time
from collections.abc import Callable

from firmshake.errors import Error
from firmshake.event import Event, Output
from firmshake.listen import Port, listen
from firmshake.reader import Reader
from firmshake.symptoms import Symptom, Symptoms
from firmshake.verdict import Verdict, begins_climb, judge

# Association, DHCP and a DNS server that does not answer take most of a minute on a real board,
# and a fault that may pass is given three climbs
PROOF_S = 120.0

# How many climbs in a row have to end in the same verdict before it is believed. What is stored on
# the board does not change by waiting; a network or a broker that is just starting may come up.
_STORED = ("identity",)
_PASSING_STAGES = ("wifi", "clock", "dns", "tcp")
# the agent has insisted on it for seconds, or it is of the board's own making
_SURE_CAUSES = ("wrong_password", "no_radio")
_PASSING_CAUSES = ("closed", "reset", "timeout", "server_unavailable", "server_error", "no_echo")


def patience(verdict: Verdict) -> int:
    """How many climbs in a row have to end in this verdict before it is final."""
    if verdict.stage in _STORED:
        return 1
    if verdict.cause in _SURE_CAUSES:
        return 2
    passing = verdict.stage in _PASSING_STAGES or verdict.cause in _PASSING_CAUSES
    return 3 if passing else 2


class Proof:
    """Decides from what a board says when its verdict is final. Does no I/O."""

    def __init__(self) -> None:
        self.verdict: Verdict | None = None  # once final
        self.symptoms = Symptoms()
        self._climb: list[Event] = []
        self._failed: Verdict | None = None
        self._times = 0

    def see(self, item: Event | Output) -> Symptom | None:
        """Take one more event or output into account; the symptom that ends the wait, if any."""
        if isinstance(item, Output):
            symptom = self.symptoms.see(item)
            return symptom if symptom and symptom.final else None
        if begins_climb(item, self._climb[-1] if self._climb else None):
            self._climb.clear()
        self._climb.append(item)
        if item.verdict is not None:
            self._end(judge(self._climb))
        return None

    def at_deadline(self) -> Verdict | Symptom:
        """The best answer when no more time is left."""
        current = judge(self._climb)
        if current.verdict is None and self._failed is not None:
            return self._failed
        if current.verdict is None and (self.symptoms.seen or not self._climb):
            return self.symptoms.silence()
        return current

    def _end(self, verdict: Verdict) -> None:
        same = self._failed is not None and self._failed.verdict == verdict.verdict
        self._times = self._times + 1 if same else 1
        self._failed = verdict
        if verdict.ok or self._times >= patience(verdict):
            self.verdict = verdict


def follow(
    port: Port,
    deadline_s: float,
    on_event: Callable[[Event], None],
    on_output: Callable[[Output], None] = lambda output: None,
    clock: Callable[[], float] = time.monotonic,
) -> Verdict:
    """The verdict of the board at an open port that was just reset, within `deadline_s` seconds.

    It is `ready` at once when the board says so; a failure only once it came as often in a row as
    `patience` wants, or when the time is up. A climb that the board did not finish gives a verdict
    with cause "no_report". Raises Error where no agent reports (no firmware, a traceback, a
    prompt, silence), and where the port goes away.
    """
    proof, reader = Proof(), Reader()
    ends = clock() + deadline_s
    for items in listen(port, reader, clock):
        for item in items:
            _tell(item, on_event, on_output)
            if symptom := proof.see(item):
                raise Error(symptom.message, symptom.hint)
            if proof.verdict:
                return proof.verdict
        if clock() >= ends:
            break
    return _time_is_up(proof, reader.close(), on_event, on_output)


def _tell(
    item: Event | Output,
    on_event: Callable[[Event], None],
    on_output: Callable[[Output], None],
) -> None:
    if isinstance(item, Event):
        on_event(item)
    else:
        on_output(item)


def _time_is_up(
    proof: Proof,
    rest: list[Event | Output],
    on_event: Callable[[Event], None],
    on_output: Callable[[Output], None],
) -> Verdict:
    for item in rest:
        _tell(item, on_event, on_output)
        proof.see(item)
    answer = proof.verdict or proof.at_deadline()
    if isinstance(answer, Symptom):
        raise Error(answer.message, answer.hint)
    return answer
