"""The rules of a claim over plain dictionaries: what a registry has to answer, without a database.

Written from the rules as they are told, and not from the code that is tested.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

LEASE_S = 10.0
ON_BOARD = ("written", "proved")


@dataclass
class Slot:
    """A device that is wanted; `changed` counts changes instead of moments."""

    device: str
    wanted: str | None = None
    board: str | None = None
    unique: str | None = None
    status: str = "open"
    changed: int = 0


@dataclass
class Device:
    """`certificates` are in force; `fresh` are those of them that no board has got."""

    state: str = "planned"
    unique: str | None = None
    changed: int = 0
    certificates: set[str] = field(default_factory=set)
    fresh: set[str] = field(default_factory=set)
    last: str = ""

    def issue(self, serial: str) -> None:
        self.last = serial
        self.certificates.add(serial)
        self.fresh.add(serial)

    def forsake(self) -> None:
        self.certificates -= self.fresh
        self.fresh = set()


@dataclass
class Lease:
    unique: str
    session: str
    token: str
    expires: float
    slot: int


@dataclass
class Model:
    """A run: of a manifest, or (`rule`) of a rule for `most` devices at most."""

    slots: list[Slot]
    devices: dict[str, Device]
    rule: str | None = None
    most: int | None = None
    leases: dict[str, Lease] = field(default_factory=dict)
    now: float = 0.0
    tick: int = 0
    number: int = 0
    over: bool = False

    def sweep(self, session: str, unique: str) -> None:
        """Before a session asks for a board: its own claims stay, but on this very board."""
        self.drop(
            lambda lease: (
                lease.expires <= self.now and (lease.session != session or lease.unique == unique)
            )
        )

    def drop(self, which: Callable[[Lease], bool]) -> None:
        gone = [device for device, lease in self.leases.items() if which(lease)]
        self.tick += bool(gone)
        for device in gone:
            self.give_back(device, "open")

    def give_back(self, device: str, status: str) -> None:
        slot, known = self.slots[self.leases.pop(device).slot], self.devices[device]
        if status == "open" and known.state == "proved":
            status = "proved"
        slot.status, slot.changed = status, self.tick
        if self.over and status != "proved":
            known.forsake()

    def end(self) -> None:
        self.over = True
        for name, device in self.devices.items():
            if name not in self.leases and name in {slot.device for slot in self.slots}:
                device.forsake()

    def change(self, name: str, state: str, unique: str) -> None:
        device = self.devices[name]
        device.state, device.unique, device.changed = state, unique, self.tick
        if state == "written":
            device.certificates &= {device.last}
            for other in self.devices:
                if other != name and self.devices[other].unique == unique:
                    self.leave(other)
        if state in ON_BOARD:
            device.fresh = set()

    def leave(self, name: str) -> None:
        """Its board has become another device."""
        self.devices[name] = Device(changed=self.tick)
        for slot in self.slots:
            if slot.device == name and slot.status != "held" and not self.over:
                slot.status, slot.unique, slot.changed = "open", None, self.tick

    def claim(self, unique: str, kinds: Sequence[str]) -> tuple[int, str] | str:
        """The slot and the device, or the reason of the refusal; nothing is changed."""
        if any(lease.unique == unique for lease in self.leases.values()):
            return "busy"
        mine = [n for n, s in enumerate(self.slots) if s.wanted == unique]
        mine += [n for n, s in enumerate(self.slots) if s.unique == unique]
        if mine:
            slot = self.slots[mine[0]]
            if slot.board not in (None, *kinds):
                return "wrong_board"
            states = ("proved",) if slot.unique else ON_BOARD
            return "other_board" if self.elsewhere(slot, unique, states) else (mine[0], slot.device)
        own = self.own(unique)
        for n, slot in enumerate(self.slots):
            if own and slot.device == own and slot.wanted is None and slot.board in (None, *kinds):
                return n, own
        if self.rule and (self.most is None or len(self.slots) < self.most):
            return len(self.slots), own or self.fresh(unique)
        if not self.rule and any(map(self.is_proved, self.devices_of(unique))):
            return "other_device"
        n = self.free(unique, kinds)
        if n is None:
            return self.refusal(unique, kinds)
        slot = self.slots[n]
        passed_on = "{unique_id}" in (self.rule or "") and slot.unique != unique
        return n, (own if own and self.rule else self.fresh(unique) if passed_on else slot.device)

    def is_proved(self, name: str) -> bool:
        return self.devices[name].state == "proved" and bool(self.devices[name].certificates)

    def free(self, unique: str, kinds: Sequence[str]) -> int | None:
        fits = [
            n
            for n, s in enumerate(self.slots)
            if s.wanted is None and s.board in (None, *kinds) and s.device not in self.leases
        ]

        def left(status: str, bound: bool, states: Sequence[str]) -> list[int]:
            return [
                n
                for n in fits
                if self.slots[n].status == status
                and (self.slots[n].unique is not None) == bound
                and not self.elsewhere(self.slots[n], unique, states)
            ]

        def age(n: int) -> tuple[int, int]:
            return self.slots[n].changed, n

        unused = left("open", False, ON_BOARD)
        if unused:
            return unused[0]
        failed = sorted(left("failed", True, ("proved",)), key=age)
        gone = sorted(left("open", True, ON_BOARD), key=age)
        return next(iter(failed + gone), None)

    def elsewhere(self, slot: Slot, unique: str, states: Sequence[str]) -> bool:
        device = self.devices.get(slot.device, Device())
        return device.state in states and device.unique not in (None, unique)

    def devices_of(self, unique: str) -> list[str]:
        return [name for name, device in self.devices.items() if device.unique == unique]

    def own(self, unique: str) -> str | None:
        mine = [(-self.devices[name].changed, name) for name in self.devices_of(unique)]
        name = min(mine)[1] if mine else None
        return None if name in self.leases else name

    def fresh(self, unique: str) -> str:
        if self.rule == "n-{unique_id}":
            return f"n-{unique}"
        number = self.number
        while True:
            number += 1
            if f"n-{number}" not in self.devices:
                return f"n-{number}"

    def refusal(self, unique: str, kinds: Sequence[str]) -> str:
        anyone = [slot for slot in self.slots if slot.wanted is None]
        left = [slot for slot in anyone if slot.status == "open"]
        fits = [slot for slot in left if slot.board in (None, *kinds)]
        if any(self.elsewhere(slot, unique, ON_BOARD) for slot in fits):
            return "other_board"
        if any(slot.board not in (None, *kinds) for slot in left):
            return "wrong_board"
        return "full" if anyone or self.rule else "not_wanted"
