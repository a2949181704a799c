"""One board, from plugged in to proved: find the way, issue, write, start, follow until ready."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from firmshake import boardfiles, bundle, circuitpython, proof
from firmshake.ca import certificate
from firmshake.ca.identity import Identity
from firmshake.errors import Error
from firmshake.event import Event
from firmshake.project import Project
from firmshake.registrar import Admission, Registrar
from firmshake.verdict import Verdict
from firmshake.ways import choose, present
from firmshake.ways.choose import Wish
from firmshake.ways.way import Files, Held, Watcher, Way

__all__ = ["Outcome", "Watcher", "provision"]

# the cause in a verdict of what was not the board's fault: its stage could not be done from here
NOT_DONE = "not_done"
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
    registrar: Registrar,
    wish: Wish,
    watcher: Watcher,
    *,
    proof_s: float = proof.PROOF_S,
    force: bool = False,
    hide_drive: bool = False,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Outcome:
    """Give the board that `wish` names an identity of its own, and follow it until it is proved.

    Who it is to be, the registrar says. What is on the board already, with a certificate in force,
    is left as it is unless `force`. With `hide_drive` a board with CircuitPython gets a boot.py
    that hides its drive from computers. Once the board is written, earlier certificates of its id
    are revoked.

    Raises Error where the work could not be done; a board that was written but does not connect is
    an Outcome whose verdict says why.
    """
    bundle.agent_files()  # what is wrong with our own installation is said first
    boardfiles.check(project)
    watcher.reached("look")
    way = choose.choose(wish, watcher)
    watcher.step(f"found {way.seen.title}")
    return _Work(registrar, way, watcher, proof_s, hide_drive, now).run(force)


@dataclass
class _Work:
    """The work on one board."""

    registrar: Registrar
    way: Way
    watcher: Watcher
    proof_s: float
    hide_drive: bool
    now: Callable[[], datetime]

    def run(self, force: bool) -> Outcome:
        way, watcher, made = self.way, self.watcher, self.now()
        try:
            intent = way.intends()
            held = None if force else way.held()
            found, serial = self._found(held)
            watcher.reached("claim")
            admission = self.registrar.admit(way.seen, found)
            if admission.words:
                watcher.step(admission.words)
            device_id, project = admission.device_id, admission.project
            present_already = (
                held is not None
                and found == device_id
                and present.has_settings(held, project, device_id, made)
            )
            if not present_already:
                watcher.step(intent)
                serial = self._issue(admission, made)
        except BaseException:
            way.left_alone()
            raise
        if present_already:
            watcher.step(f"it is provisioned as {device_id} already: nothing will be written")
            return self._once_more(device_id, serial)
        return self._written(device_id, serial)

    def _found(self, held: Held | None) -> tuple[str | None, str]:
        """Who the board is by the certificate that it holds, and that one's serial number."""
        chain = present.chain(held, self._common()) if held is not None else []
        if not chain:
            return None, ""
        found = self.registrar.known(chain, self.way.seen.unique_id)
        return found, certificate.serial(chain[0])

    def _issue(self, admission: Admission, made: datetime) -> str:
        """Issue the identity and make its files ready: all that can fail before a write."""
        device_id = admission.device_id
        self.watcher.reached("issue")
        key = certificate.new_key_of(admission.key)
        signed = self.registrar.enrol(device_id, key.public_key(), self.way.seen)
        serial = certificate.serial(signed.certificate)
        self.watcher.step(f"issued a key and a certificate for {device_id}")
        identity = Identity(key, signed.certificate, signed.chain, signed.anchors)
        try:
            built = self.way.prepare(self._files(admission.project, identity, device_id, made))
        except BaseException:
            # it will never be on a board, and why that is matters more than that this is noted
            with contextlib.suppress(Error):
                self.registrar.withdraw(serial)
                self.registrar.ended(device_id, False, f"issue/{NOT_DONE}")
            raise
        if built:
            self.watcher.step(built)
        return serial

    def _once_more(self, device_id: str, serial: str) -> Outcome:
        """Prove a board that holds all of it; where that can't be done, it is what it was."""
        # a run that wrote it may not have lived to note that
        self._note_written(device_id, serial)
        return self._proved(device_id, serial, written=False)

    def _written(self, device_id: str, serial: str) -> Outcome:
        with self._failed_unless_done(device_id, "write"):
            self.watcher.reached("write")
            self.way.write(self.watcher)
            self._note_written(device_id, serial)
        with self._failed_unless_done(device_id, "proof"):
            return self._proved(device_id, serial)

    def _note_written(self, device_id: str, serial: str) -> None:
        # a board that told nothing of itself before may have by now
        told = self.way.seen.unique_id
        for old in self.registrar.written(device_id, serial, told):
            self.watcher.step(
                f"revoked its earlier certificate {old}: `firmshake ca crl` tells the broker"
            )

    @contextlib.contextmanager
    def _failed_unless_done(self, device_id: str, stage: str) -> Iterator[None]:
        try:
            yield
        except BaseException:
            # its certificate is known, and so is that no board was proved with it; why it failed
            # is what matters, also where this cannot be noted
            with contextlib.suppress(Error):
                self.registrar.ended(device_id, False, f"{stage}/{NOT_DONE}")
            raise

    def _proved(self, device_id: str, serial: str, written: bool = True) -> Outcome:
        self.watcher.reached("proof")
        reporter = _Reporter(self.watcher)
        with self.way.heard(self.watcher) as port:
            verdict = proof.follow(port, self.proof_s, reporter.event, self.watcher.output)
        reporter.check(device_id, is_ready=verdict.ok)
        self.registrar.ended(device_id, verdict.ok, verdict.verdict)
        seen = self.way.seen
        return Outcome(device_id, seen.unique_id or "", seen.chip, serial, verdict, written)

    def _common(self) -> dict[str, bytes]:
        if self.way.runtime == "circuitpython":
            return circuitpython.agent_files()
        return bundle.agent_files()

    def _files(self, project: Project, identity: Identity, device_id: str, made: datetime) -> Files:
        if self.way.runtime == "circuitpython":
            own = circuitpython.own_files(project, identity, device_id, made)
            if self.hide_drive:
                own[circuitpython.BOOT_FILE] = circuitpython.BOOT.encode()
        else:
            own = boardfiles.of(project, identity, device_id, made)
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
