"""One station: takes boards as they are plugged in, and has a worker process for each."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from firmshake.boards.row import Row
from firmshake.errors import Error
from firmshake.fleet import ending, message, progress
from firmshake.fleet.crew import Crew, Dead, Hand
from firmshake.fleet.desk import Counter, Desk
from firmshake.fleet.ending import Ending
from firmshake.fleet.lookout import Look, Lookout
from firmshake.fleet.message import Fields, Nonsense
from firmshake.fleet.plugs import Plug, Plugs
from firmshake.fleet.row import FOUND, BoardRow, Totals
from firmshake.fleet.tally import MOST_NAMED, Tally, waiting
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
# of a worker, beyond the time for a proof: no step of the work is silent for so long
_SILENCE_S = 300.0
# after which people are told that it waits for a board
_SAID_S = 2.0
# how long others are waited for where boards have failed before they were anything of the run's
_STRAYS_S = 10.0


def _awake() -> float:
    """A clock that goes on while the computer sleeps, where it has one: leases do."""
    boottime = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boottime is None else time.clock_gettime(boottime)


@dataclass
class _Place:
    """A board that is plugged in, and who works on it.

    `tries` counts how often it was told to come later, `kills` how often its worker was killed. It
    is begun again at `again_s`, but not before it was looked for since `ended_s`, when its last
    worker was over: it may have been unplugged.
    """

    plug: Plug
    row: BoardRow
    hand: Hand | None = None
    desk: Desk | None = None
    again_s: float | None = None
    ended_s: float = -math.inf
    heard_s: float = 0.0
    tries: int = 0
    kills: int = 0
    is_stray: bool = False  # it has failed, and no slot of the run knows
    is_twin: bool = False

    @property
    def is_done(self) -> bool:
        return self.hand is None and self.again_s is None


@dataclass(frozen=True)
class Wanted:
    """How a station is to work.

    `jobs` is the most boards at a time, and `proof_s` the time that each has to prove itself. With
    `endless` it goes on when all that was wanted is done.
    `wait_s` is how long it waits for a board when none is there to work on, None for ever.
    """

    job: Callable[[str], Job]
    jobs: int
    proof_s: float
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
    superseded: int = 0
    _places: dict[str, _Place] = field(default_factory=dict)
    _plugs: Plugs = field(default_factory=Plugs)
    # claims that could not be given back yet
    _owed: list[tuple[Desk, SlotStatus]] = field(default_factory=list)
    _renewed_s: float = 0.0
    _counted_s: float = 0.0
    _is_counted: bool = True  # since the last board's work was over
    _idle_s: float | None = None
    _said: bool = False
    _looked: bool = False
    _looked_s: float = -math.inf  # when the last look began that saw what is there

    def __post_init__(self) -> None:
        self._renewed_s = _awake()
        self._tally = Tally(self.counter.run.wanted, self.clock())

    def work(self) -> Totals:
        """Return how it ended."""
        self._count()
        try:
            with Crew() as crew, Lookout(self.look, self.clock) as lookout:
                while not self._is_over():
                    self._take(crew, lookout.seen())
                    for hand in crew.heard(_TICK_S):
                        self._hear(crew, hand)
                    self._keep(crew)
        finally:
            self._kept("claims can't be given back", self._drop)
        self._kept("the registry does not answer", self._count)
        return self._totals()

    def _take(self, crew: Crew, looks: Iterable[Look]) -> None:
        """Note what was plugged in and unplugged, and begin what may begin."""
        for seen in looks:
            self._looked = True
            if seen.trouble:
                self.view.note(f"can't look for boards: {seen.trouble}")
                continue
            self._looked_s = seen.began_s
            busy = {key for key, place in self._places.items() if not place.is_done}
            there, gone = self._plugs.look(seen.rows, busy, seen.births)
            for key in gone:
                self._unplugged(key)
            for plug in there:
                self._seen(plug)
        now = self.clock()
        free = before = self.wanted.jobs - self._at_work
        for place in self._places.values():
            is_due = place.again_s is not None and place.again_s <= now
            if free > 0 and is_due and place.ended_s < self._looked_s:
                self._begin(crew, place)
                free -= 1
        if free < before:
            self.view.totals(self._totals())

    def _seen(self, plug: Plug) -> None:
        place = self._places.get(plug.key)
        if place is not None and place.is_done and plug.birth != place.plug.birth:
            # another board, plugged in before anybody could see that the first had gone
            self._unplugged(plug.key)
            place = None
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
        self._give_back(place, "open")
        del self._places[key]
        if place.row.state != "gone":
            self.view.removed(key)

    def _begin(self, crew: Crew, place: _Place) -> None:
        place.again_s, place.is_twin, place.is_stray = None, False, False
        if place.desk is None:
            place.desk = Desk(self.counter)
        else:
            place.desk.again()
        place.heard_s = self.clock()
        place.hand = crew.hire(self.wanted.job(place.plug.target))
        self._show(place, state="working", stage=FOUND, words="looking at it", done=0.0)

    def _hear(self, crew: Crew, hand: Hand) -> None:
        place = next((one for one in self._places.values() if one.hand is hand), None)
        if place is None:
            return
        place.heard_s = self.clock()
        try:
            for said in hand.hear():
                self._heard(crew, place, said)
                if place.hand is not hand:
                    return
        except Nonsense as error:
            self._end(
                crew, place, ending.death(place.row, f"its process talks nonsense: {error}", 0)
            )
        except Dead as error:
            place.kills += error.is_killed
            kills = place.kills if error.is_killed else 0
            self._end(crew, place, ending.death(place.row, error.words, kills))

    def _heard(self, crew: Crew, place: _Place, said: Fields) -> None:
        if "ask" in said:
            self._answer(place, said)
        elif said.get("tell") == "outcome":
            desk = place.desk
            found = ending.outcome(said, desk is not None and desk.is_proved)
            if found.state == "proved":
                self._tally.proved(self.clock())
            self._end(crew, place, found)
        elif said.get("tell") == "error":
            self._end(crew, place, self._of_error(place, said))
        elif said.get("tell") == "elsewhere":
            # when its drive has gone, so has this place of it
            self._end(crew, place, Ending("waiting", message.text(said, "text"), "open"))
        else:
            place.row = progress.after(place.row, said)
            self.view.board(place.row)

    def _of_error(self, place: _Place, said: Fields) -> Ending:
        turned = place.desk.turned if place.desk is not None else None
        if turned is not None or place.is_twin:
            place.tries += 1
            later = turned is not None and turned.later
            return ending.turned_away(said, later, place.tries - 1)
        return ending.error(place.row, said, bool(place.plug.target))

    def _answer(self, place: _Place, said: Fields) -> None:
        assert place.hand is not None
        assert place.desk is not None
        if said["ask"] == "admit" and (refusal := self._twin(place, said)):
            place.is_twin = True
            place.hand.send(refusal)
            return
        place.hand.send(place.desk.answer(said))
        if said["ask"] == "admit":
            claim, seen = place.desk.claim, place.desk.seen
            known = {"unique_id": (seen.unique_id or "") if seen else ""}
            known["chip"] = seen.chip if seen else ""
            if claim is not None:
                known["device_id"] = claim.device_id
            self._show(place, **known)

    def _twin(self, place: _Place, said: Fields) -> Fields | None:
        """The answer to a board whose unique id another one here has; None where none has."""
        unique_id = message.seen(said, "seen").unique_id
        for other in self._places.values():
            if unique_id and other is not place and other.row.unique_id == unique_id:
                return {
                    "error": f"{unique_id} is the unique id of the board on {other.row.port}, too",
                    "hint": "one board on two ports: unplug one of them; two boards: one of them"
                    " has a copied id, and can't be in a fleet",
                    "refused": True,
                }
        return None

    def _end(self, crew: Crew, place: _Place, end: Ending) -> None:
        """The work on a board is over for now."""
        assert place.hand is not None
        crew.dismiss(place.hand)
        place.hand = None
        claimed = place.desk is not None and place.desk.claim is not None
        place.is_stray = end.state == "failed" and not claimed
        if end.status is not None:
            self._give_back(place, end.status)
        place.ended_s = self.clock()
        place.again_s = place.ended_s + end.again_s if end.again_s is not None else None
        ended_s = None if end.again_s is not None else place.ended_s
        self._show(place, state=end.state, words=end.words, ended_s=ended_s, **end.changes)
        if not place.plug.target:
            # it was unplugged meanwhile
            self._unplugged(place.plug.key)
        self._is_counted = False

    def _give_back(self, place: _Place, status: SlotStatus) -> None:
        desk, place.desk = place.desk, None
        if desk is not None:
            self.superseded += desk.superseded
            self._owed.append((desk, status))
            self._kept("a claim can't be given back", self._pay)

    def _pay(self) -> None:
        while self._owed:
            desk, status = self._owed[0]
            desk.close(status)
            del self._owed[0]

    def _keep(self, crew: Crew) -> None:
        """What has to be done from time to time: claims, totals, workers that say nothing."""
        if _awake() - self._renewed_s >= _RENEW_S:
            self._kept("the claims can't be renewed", self._renew)
            self._renewed_s = _awake()
        is_due = self.clock() - self._counted_s >= _COUNT_S
        if is_due:
            self._kept("a claim can't be given back", self._pay)
            for place in list(self._places.values()):
                self._watch(crew, place)
        if is_due or not self._is_counted:
            self._kept("the registry does not answer", self._count)

    def _watch(self, crew: Crew, place: _Place) -> None:
        limit_s = self.wanted.proof_s + _SILENCE_S
        if place.hand is not None and self.clock() - place.heard_s > limit_s:
            self._end(crew, place, ending.silence(limit_s))

    def _kept(self, what: str, work: Callable[[], None]) -> None:
        try:
            work()
        except Error as error:
            self.view.note(f"{what}: {error.message}")

    def _renew(self) -> None:
        desks = [place.desk for place in self._places.values()]
        tokens = [desk.token for desk in desks if desk is not None and desk.token is not None]
        self.counter.registry.renew(self.counter.session, LEASE_S, tokens)

    def _drop(self) -> None:
        self.counter.registry.drop_session(self.counter.session)

    def _count(self) -> None:
        try:
            self._tally.slots = self.counter.registry.slots(self.counter.run.id)
        finally:
            self._counted_s, self._is_counted = self.clock(), True
        self.view.totals(self._totals())

    def _totals(self) -> Totals:
        places = self._places.values()
        self._tally.strays = sum(place.is_stray for place in places)
        return self._tally.totals(self.clock(), self._at_work)

    @property
    def _at_work(self) -> int:
        return sum(place.hand is not None for place in self._places.values())

    def _show(self, place: _Place, **changes: Any) -> None:
        place.row = replace(place.row, **changes)
        self.view.board(place.row)

    def _is_over(self) -> bool:
        """Whether nothing more is wanted, or nobody plugs in what is."""
        at_work = any(not place.is_done for place in self._places.values())
        if at_work or self.wanted.endless or self._owed or not self._looked:
            self._idle_s, self._said = None, False
            return False
        left = self._tally.left
        if left == 0:
            return True
        now = self.clock()
        if self._idle_s is None:
            self._idle_s = now
        idle_s = now - self._idle_s
        if not self._said and idle_s >= _SAID_S:
            self._said = True
            self._kept("what is missing can't be told", lambda: self._say_missing(left))
        if left is not None and self._tally.strays >= left and idle_s >= _STRAYS_S:
            return True
        return self.wanted.wait_s is not None and idle_s >= self.wanted.wait_s

    def _say_missing(self, left: int | None) -> None:
        run, missing = self.counter.run, []
        # by a rule, whichever board comes is a device
        if run.rule is None and left:
            missing = self.counter.registry.missing(run.id, MOST_NAMED)
        self.view.note(waiting(left, missing))
