"""One board, from plugged in to proved: find the way, issue, write, start, follow until ready."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from firmshake import boardfiles, bundle, circuitpython, deviceid, proof
from firmshake.boards import uniqueid
from firmshake.ca import certificate
from firmshake.ca.authority import Authority
from firmshake.ca.identity import Identity
from firmshake.errors import Error
from firmshake.event import Event
from firmshake.project import Project
from firmshake.registry import Registry
from firmshake.verdict import Verdict
from firmshake.ways import choose, present
from firmshake.ways.choose import Wish
from firmshake.ways.way import Files, Watcher, Way

__all__ = ["Outcome", "Watcher", "provision"]

# Association, DHCP and a DNS server that does not answer take most of a minute on a real board,
# and a fault that may pass is given three climbs
PROOF_S = 120.0


# of the agent, in a row and without a verdict: one may be our own reset, and one a loose cable
_MOST_STARTS = 5


@dataclass(frozen=True)
class Outcome:
    """What came of one board; `verdict.ok` is the proof.

    `mac` is its unique id, "" where it has told none. `written` says whether it was given anything:
    a board that holds all of it is only proved again.
    """

    device_id: str
    mac: str
    chip: str
    serial_number: str
    verdict: Verdict
    written: bool = True


def provision(
    project: Project,
    authority: Authority,
    registry: Registry,
    wish: Wish,
    watcher: Watcher,
    *,
    device_id: str | None = None,
    proof_s: float = PROOF_S,
    replace: bool = False,
    force: bool = False,
    hide_drive: bool = False,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Outcome:
    """Give the board that `wish` names an identity of its own, and follow it until it is proved.

    What is on the board already, with a certificate in force, is left as it is unless `force`. A
    device id that another board has is taken over only with `replace`. With `hide_drive` a board
    with CircuitPython gets a boot.py that hides its drive from computers. Once the board is
    written, earlier certificates of its id are revoked.

    Raises Error where the work could not be done; a board that was written but does not connect is
    an Outcome whose verdict says why.
    """
    bundle.agent_files()  # what is wrong with our own installation is said first
    boardfiles.check(project)
    way = choose.choose(wish, watcher)
    watcher.step(f"found {way.seen.title}")
    return _Work(project, authority, registry, way, watcher, proof_s, hide_drive, now).run(
        device_id, replace, force
    )


@dataclass
class _Work:
    """The work on one board."""

    project: Project
    authority: Authority
    registry: Registry
    way: Way
    watcher: Watcher
    proof_s: float
    hide_drive: bool
    now: Callable[[], datetime]

    def run(self, wanted: str | None, replace: bool, force: bool) -> Outcome:
        way, watcher = self.way, self.watcher
        try:
            intent = way.intends()
            known = None if force else self._present(wanted)
            if known is None:
                watcher.step(intent)
                device_id, identity = self._issue(wanted, replace)
        except BaseException:
            way.left_alone()
            raise
        if known is not None:
            watcher.step(f"it is provisioned as {known[0]} already: nothing will be written")
            return self._once_more(*known)
        return self._written(device_id, identity)

    def _present(self, wanted: str | None) -> tuple[str, str] | None:
        """Who the board is already, where it holds all that it would be given."""
        held = self.way.held()
        if held is None:
            return None
        found = present.identity(
            held,
            self._common(),
            self.project,
            self.registry,
            self.authority.root,
            self.now(),
            self.way.seen.unique_id,
        )
        return found if found is not None and wanted in (None, found[0]) else None

    def _issue(self, wanted: str | None, replace: bool) -> tuple[str, Identity]:
        """Issue the identity and make its files ready: all that can fail before a write."""
        seen, made = self.way.seen, self.now()
        device_id = wanted or self._default_id()
        if not replace:
            _check_owner(self.registry, device_id, seen.unique_id)
        identity = self.authority.issue(device_id, now=made)
        built = self.way.prepare(self._files(identity, device_id, made))
        self.registry.record_issued(
            device_id,
            identity.certificate,
            unique_id=seen.unique_id,
            chip=seen.chip,
            firmware=seen.firmware,
        )
        self.watcher.step(f"issued a key and a certificate for {device_id}")
        if built:
            self.watcher.step(built)
        return device_id, identity

    def _once_more(self, device_id: str, serial: str) -> Outcome:
        """Prove a board that holds all of it."""
        with self._failed_unless_done(device_id):
            device = self.registry.device(device_id)
            if device is not None and device.state not in ("written", "proved"):
                # it was written by a run that did not live to see it
                self._note_written(device_id, serial)
            return self._proved(device_id, serial, written=False)

    def _written(self, device_id: str, identity: Identity) -> Outcome:
        with self._failed_unless_done(device_id):
            self.way.write(self.watcher)
            serial = certificate.serial(identity.certificate)
            self._note_written(device_id, serial)
            return self._proved(device_id, serial)

    def _note_written(self, device_id: str, serial: str) -> None:
        # a board that told nothing of itself before may have by now
        told = self.way.seen.unique_id
        for old in self.registry.set_state(
            device_id, "written", unique_id=told, serial_number=serial
        ):
            self.watcher.step(
                f"revoked its earlier certificate {old}: `firmshake ca crl` tells the broker"
            )

    @contextlib.contextmanager
    def _failed_unless_done(self, device_id: str) -> Iterator[None]:
        try:
            yield
        except BaseException:
            # its certificate is known, and so is that no board was proved with it; why it failed
            # is what matters, also where this cannot be noted
            with contextlib.suppress(Error):
                self.registry.set_state(device_id, "failed")
            raise

    def _proved(self, device_id: str, serial: str, written: bool = True) -> Outcome:
        reporter = _Reporter(self.watcher)
        with self.way.heard(self.watcher) as port:
            verdict = proof.follow(port, self.proof_s, reporter.event, self.watcher.output)
        reporter.check(device_id, is_ready=verdict.ok)
        state = "proved" if verdict.ok else "failed"
        self.registry.set_state(device_id, state, verdict.verdict)
        seen = self.way.seen
        return Outcome(device_id, seen.unique_id or "", seen.chip, serial, verdict, written)

    def _default_id(self) -> str:
        unique = self.way.seen.unique_id
        if unique is None:
            raise Error(
                f"what the board is can't be told before it runs: {self.way.seen.title}",
                hint="give it a name: --id NAME",
            )
        # a board keeps the name that it was given
        known = self.registry.device_on(unique)
        return known or deviceid.default_id(self.project.prefix, unique)

    def _common(self) -> dict[str, bytes]:
        if self.way.runtime == "circuitpython":
            return circuitpython.agent_files()
        return bundle.agent_files()

    def _files(self, identity: Identity, device_id: str, made: datetime) -> Files:
        if self.way.runtime == "circuitpython":
            own = circuitpython.own_files(self.project, identity, device_id, made)
            if self.hide_drive:
                own[circuitpython.BOOT_FILE] = circuitpython.BOOT.encode()
        else:
            own = boardfiles.of(self.project, identity, device_id, made)
        return {**self._common(), **own}


class _Reporter:
    """Who it is that reports: the serial port of another board proves nothing of this one."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self._device_id: str | None = None
        self._starts = 0

    def event(self, event: Event) -> None:
        """Raises Error where the board starts again and again."""
        self._watcher.event(event)
        if event.stage == "identity" and event.state == "ok":
            self._device_id = event.fields.get("device", self._device_id)
        if event.verdict is not None:
            self._starts = 0
        self._starts += event.stage == "boot" and "agent" in event.fields
        if self._starts == _MOST_STARTS:
            raise Error(
                f"the board restarts again and again, {_MOST_STARTS} times without an end of its"
                " climb",
                hint="use a shorter cable, another USB port or a stronger supply; if that stays so,"
                " write its firmware anew",
            )

    def check(self, wanted: str, is_ready: bool) -> None:
        """Raise Error where it was another device, or may have been when it said that it is ready.

        A board may fail before it knows who it is.
        """
        if self._device_id == wanted or (self._device_id is None and not is_ready):
            return
        if self._device_id is None:
            raise Error(
                f"the board said that it is ready, but not that it is {wanted!r}: its first lines"
                " were lost",
                hint="run the same command again; if that stays so, check that the serial port is"
                " this board's own",
            )
        raise Error(
            f"the board that reports there says that it is {self._device_id!r}, not {wanted!r}",
            hint="name the serial port of the board that was written (`firmshake boards` shows what"
            " belongs together), and run the same command again",
        )


def _check_owner(registry: Registry, device_id: str, unique_id: str | None) -> None:
    """Raise Error where the id is another board's: two of one id would drive each other out."""
    known = registry.device(device_id)
    if known is None or known.unique_id is None:
        return
    if unique_id is None or not uniqueid.is_same(known.unique_id, unique_id):
        raise Error(
            f"{device_id!r} is the device id of the board {known.unique_id}, and this is"
            f" {unique_id or 'one that has not told its own'}",
            hint="give another --id; or --replace, where this board takes the other's place:"
            " the other's certificate is revoked then",
        )
