"""One station: takes boards as they are plugged in, and has a worker process for each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from firmshake.boards.row import Row
from firmshake.errors import Error
from firmshake.fleet import message, progress
from firmshake.fleet.crew import Crew, Hand
from firmshake.fleet.desk import Counter, Desk
from firmshake.fleet.lookout import Lookout
from firmshake.fleet.message import Fields, Nonsense
from firmshake.fleet.plugs import Plug, Plugs
from firmshake.fleet.row import FOUND, BoardRow, BoardState, Totals
from firmshake.fleet.tally import Tally
from firmshake.fleet.view import View
from firmshake.fleet.worker import Job
from firmshake.registry.fleetrecord import SlotStatus

# the longest that nothing is done: keys and clocks of a view are served meanwhile
_TICK_S = 0.2
# a claim lives as long without a sign of life of its station
LEASE_S = 60.0
_RENEW_S = LEASE_S / 4
# how often what other stations did is looked at
_COUNT_S = 2.0
# A worker that was killed, and a line that broke, may be chance; a board that fails twice has a
# reason. A second attempt begins after a moment, in which the computer may find the port again
_ATTEMPTS = 2
_AGAIN_S = 1.5
# a board that somebody else is working on
_LATER_S = 5.0
# after which people are told that it waits for a board
_SAID_S = 2.0
# of one board: a worker that takes its own life each time would be hired for ever
_MOST_LOST = 20


@dataclass
class _Place:
    """A board that is plugged in, and who works on it."""

    plug: Plug
    row: BoardRow
    hand: Hand | None = None
    desk: Desk | None = None
    again_s: float | None = None
    lost: int = 0  # workers that died


@dataclass(frozen=True)
class Wanted:
    """How a station is to work.

    `jobs` is the most boards at a time. With `endless` it goes on when all that was wanted is done.
    `wait_s` is how long it waits for a board when none is there to work on, None for ever.
    """

    job: Callable[[str], Job]
    jobs: int
    endless: bool = False
    wait_s: float | None = None


@dataclass
class Station:
    """Works until all that is wanted is proved or has failed, or until it is interrupted."""

    counter: Counter
    wanted: Wanted
    view: View
    look: Callable[[], Sequence[Row]]
    clock: Callable[[], float] = time.monotonic
    _places: dict[str, _Place] = field(default_factory=dict)
    _plugs: Plugs = field(default_factory=Plugs)
    _renewed_s: float = 0.0
    _counted_s: float = 0.0
    _idle_s: float | None = None
    _said: bool = False

    def __post_init__(self) -> None:
        self._renewed_s = now = self.clock()
        self._tally = Tally(self.counter.run.wanted, now)

    def work(self) -> Totals:
        """Return how it ended."""
        registry, counter = self.counter.registry, self.counter
        registry.drop_station(counter.station)
        self._count()
        try:
            with Crew() as crew, Lookout(self.look) as lookout:
                while not self._is_over():
                    self._take(crew, lookout.seen())
                    for hand in crew.heard(_TICK_S):
                        self._hear(crew, hand)
                    self._keep()
        finally:
            registry.drop_session(counter.session)
        self._count()
        return self._totals()

    def _take(self, crew: Crew, looks: Iterable[Sequence[Row]]) -> None:
        """Note what was plugged in and unplugged, and begin what may begin."""
        for rows in looks:
            there, gone = self._plugs.look(rows)
            for key in gone:
                self._unplugged(key)
            for plug in there:
                self._seen(plug)
        now = self.clock()
        busy = sum(place.hand is not None for place in self._places.values())
        for place in self._places.values():
            if busy >= self.wanted.jobs:
                break
            if place.hand is None and place.again_s is not None and place.again_s <= now:
                self._begin(crew, place)
                busy += 1

    def _seen(self, plug: Plug) -> None:
        place = self._places.get(plug.key)
        if place is None:
            row = BoardRow(plug.key, plug.target, "waiting", words="plugged in")
            free = replace(plug, waits="")
            place = self._places[plug.key] = _Place(free, row, again_s=self.clock())
            self._show(place, began_s=self.clock())
        if plug.target != place.row.port:
            # a drive has become a serial port, or a port has another name
            self._show(place, port=plug.target)
        if place.hand is not None or place.row.state != "waiting":
            place.plug = replace(plug, waits="")
            return
        if plug.waits and not place.plug.waits:
            self._show(place, words=plug.waits)
            place.again_s = None
        elif place.plug.waits and not plug.waits:
            self._show(place, words="plugged in")
            place.again_s = self.clock()
        place.plug = plug

    def _unplugged(self, key: str) -> None:
        place = self._places.get(key)
        if place is None:
            return
        if place.hand is not None:
            # its worker finds that out by itself, and says what it was at
            place.plug = replace(place.plug, target="")
            return
        del self._places[key]
        if place.row.state != "gone":
            self.view.removed(key)

    def _begin(self, crew: Crew, place: _Place) -> None:
        place.again_s = None
        place.desk = Desk(self.counter)
        place.hand = crew.hire(self.wanted.job(place.plug.target))
        self._show(place, state="working", stage=FOUND, words="looking at it", done=0.0)

    def _hear(self, crew: Crew, hand: Hand) -> None:
        place = next(one for one in self._places.values() if one.hand is hand)
        try:
            said = hand.hear()
            if said is None:
                self._died(crew, place)
            elif "ask" in said:
                self._answer(place, hand, said)
            else:
                self._told(crew, place, said)
        except Nonsense as error:
            self._end(crew, place, "failed", f"its process talks nonsense: {error}")

    def _answer(self, place: _Place, hand: Hand, said: Fields) -> None:
        assert place.desk is not None
        hand.send(place.desk.answer(said))
        if said["ask"] == "admit":
            claim, seen = place.desk.claim, place.desk.seen
            known = {"unique_id": (seen.unique_id or "") if seen else ""}
            known["chip"] = seen.chip if seen else ""
            if claim is not None:
                known["device_id"] = claim.device_id
            self._show(place, **known)

    def _told(self, crew: Crew, place: _Place, said: Fields) -> None:
        what = said.get("tell")
        if what == "outcome":
            self._outcome(crew, place, said)
        elif what == "error":
            self._error(crew, place, said)
        elif what == "elsewhere":
            # when its drive has gone, so has this place of it
            self._end(crew, place, "waiting", message.text(said, "text"))
        else:
            place.row = progress.after(place.row, said)
            self.view.board(place.row)

    def _outcome(self, crew: Crew, place: _Place, said: Fields) -> None:
        verdict = message.maybe_text(said, "verdict") or ""
        changes: dict[str, Any] = {
            "verdict": verdict,
            "serial_number": message.text(said, "serial"),
        }
        if said.get("ok") is True:
            self._tally.proved(self.clock())
            self._end(crew, place, "proved", "it connects with its certificate", **changes)
            return
        why, fix = message.text(said, "why"), message.text(said, "fix")
        self._end(crew, place, "failed", why, fix=fix, **changes)

    def _error(self, crew: Crew, place: _Place, said: Fields) -> None:
        words, fix = message.text(said, "text"), message.text(said, "hint")
        turned = place.desk.turned if place.desk is not None else None
        if turned is not None:
            if turned.later:
                self._end(crew, place, "waiting", words, again_s=_LATER_S)
            else:
                self._end(crew, place, "refused", words, fix=fix)
        elif not place.plug.target:
            self._end(crew, place, "gone", words, fix="plug it in again")
        elif place.row.attempt < _ATTEMPTS:
            self._again(crew, place, words)
        else:
            self._end(crew, place, "failed", words, fix=fix)

    def _died(self, crew: Crew, place: _Place) -> None:
        place.lost += 1
        words = "its process was killed"
        if place.lost <= _MOST_LOST:
            self._again(crew, place, words, counts=False)
        else:
            self._end(crew, place, "failed", words, fix="look why the system kills processes")

    def _again(self, crew: Crew, place: _Place, words: str, counts: bool = True) -> None:
        attempt = place.row.attempt + counts
        self._end(
            crew, place, "waiting", f"{words}; trying again", again_s=_AGAIN_S, attempt=attempt
        )

    def _end(
        self,
        crew: Crew,
        place: _Place,
        state: BoardState,
        words: str,
        again_s: float | None = None,
        **changes: Any,
    ) -> None:
        """The work on a board is over for now."""
        assert place.hand is not None
        assert place.desk is not None
        crew.dismiss(place.hand)
        place.hand = None
        status: SlotStatus = "proved" if state == "proved" else "failed"
        if state in ("waiting", "gone"):
            status = "open"
        desk = place.desk
        self._kept("a claim can't be given back", lambda: desk.close(status))
        place.again_s = self.clock() + again_s if again_s is not None else None
        ended_s = None if again_s is not None else self.clock()
        self._show(place, state=state, words=words, ended_s=ended_s, **changes)
        self._kept("the registry does not answer", self._count)
        if not place.plug.target:
            # it was unplugged meanwhile
            self._unplugged(place.plug.key)

    def _keep(self) -> None:
        """What has to be done from time to time: the claims, the totals."""
        now = self.clock()
        if now - self._renewed_s >= _RENEW_S:
            self._renewed_s = now
            self._kept("the claims can't be renewed", self._renew)
        if now - self._counted_s >= _COUNT_S:
            self._kept("the registry does not answer", self._count)

    def _kept(self, what: str, work: Callable[[], None]) -> None:
        try:
            work()
        except Error as error:
            self.view.note(f"{what}: {error.message}")

    def _renew(self) -> None:
        self.counter.registry.renew(self.counter.session, LEASE_S)

    def _count(self) -> None:
        self._counted_s = self.clock()
        self._tally.slots = self.counter.registry.status(self.counter.run.id).slots
        self.view.totals(self._totals())

    def _strays(self) -> int:
        rows = [place.row for place in self._places.values()]
        return sum(row.state == "failed" and not row.device_id for row in rows)

    def _totals(self) -> Totals:
        self._tally.strays = self._strays()
        working = sum(place.hand is not None for place in self._places.values())
        return self._tally.totals(self.clock(), working)

    def _show(self, place: _Place, **changes: Any) -> None:
        place.row = replace(place.row, **changes)
        self.view.board(place.row)

    def _is_over(self) -> bool:
        """Whether nothing more is wanted, or nobody plugs in what is."""
        waiting = any(
            place.hand is not None or place.again_s is not None for place in self._places.values()
        )
        if waiting or self.wanted.endless:
            self._idle_s, self._said = None, False
            return False
        self._tally.strays = self._strays()
        if self._tally.left == 0:
            return True
        now = self.clock()
        if self._idle_s is None:
            self._idle_s = now
        if not self._said and now - self._idle_s >= _SAID_S:
            self._said = True
            self._say_waiting()
        return self.wanted.wait_s is not None and now - self._idle_s >= self.wanted.wait_s

    def _say_waiting(self) -> None:
        left = self._tally.left
        boards = (
            "another board"
            if left is None
            else "1 more board"
            if left == 1
            else f"{left} more boards"
        )
        self.view.note(f"waiting for {boards} to be plugged in; Ctrl-C ends it")
