"""The registrar of a program that has the CA and the registry itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509

from firmshake import deviceid
from firmshake.boards import uniqueid
from firmshake.ca import certificate as certificates
from firmshake.ca.authority import Authority
from firmshake.ca.identity import PublicKey
from firmshake.errors import Error
from firmshake.project import Project
from firmshake.registrar import Admission, Signed
from firmshake.registry import Registry
from firmshake.ways.way import Seen


def in_force(
    registry: Registry,
    root: x509.Certificate,
    chain: Sequence[x509.Certificate],
    unique_id: str | None,
    now: datetime,
) -> str | None:
    """Return the device that a board is by its chain; None where it must be given a certificate.

    It must where the certificate is not known, not in force, not below `root`, or not the last that
    its device was given: then a run after it was broken off. It must also where the device is a
    board with another `unique_id`, of which this one is a copy.
    """
    if not chain or not certificates.issued_by(chain[-1], root):
        return None
    record = registry.certificate(certificates.serial(chain[0]))
    if record is None or record.device_id is None or record.revoked_at is not None:
        return None
    if record.fingerprint_sha256 != certificates.fingerprint(chain[0]) or record.not_after <= now:
        return None
    device = registry.device(record.device_id)
    if device is None or device.certificate != record:
        return None
    return record.device_id if uniqueid.is_same(device.unique_id, unique_id) else None


@dataclass(frozen=True)
class OwnRegistrar:
    """Has the CA and the registry.

    `wanted` is the device id that the user asks for, None for the usual one. A device id that
    another board has is given only with `replace`. With `token` the device is claimed, and each
    change is refused once the claim has gone to another. `profile` names the certificate profile.
    """

    project: Project
    authority: Authority
    registry: Registry
    wanted: str | None = None
    replace: bool = False
    profile: str | None = None
    token: str | None = None
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def known(self, chain: Sequence[x509.Certificate], unique_id: str | None) -> str | None:
        return in_force(self.registry, self.authority.root, chain, unique_id, self.now())

    def admit(self, seen: Seen, found: str | None) -> Admission:
        device_id = self.wanted or found or self._default_id(seen)
        if device_id != found and not self.replace:
            _check_owner(self.registry, device_id, seen.unique_id)
        return Admission(device_id, self.project, self.authority.device_profile(self.profile).key)

    def enrol(self, device_id: str, key: PublicKey, seen: Seen) -> Signed:
        now, authority = self.now(), self.authority
        made = authority.certify(device_id, key, now=now, profile=self.profile)
        self.registry.record_issued(
            device_id,
            made,
            unique_id=seen.unique_id,
            chip=seen.chip,
            firmware=seen.firmware,
            token=self.token,
        )
        return Signed(made, (authority.certificate,), (authority.root,))

    def withdraw(self, serial_number: str) -> None:
        self.registry.withdraw([serial_number])

    def written(self, device_id: str, serial_number: str, unique_id: str | None) -> Sequence[str]:
        if self.registry.state(device_id) in ("written", "proved"):
            return []  # nothing was issued since: it is on the books
        return self.registry.set_state(
            device_id,
            "written",
            unique_id=unique_id,
            serial_number=serial_number,
            token=self.token,
        )

    def ended(self, device_id: str, is_proved: bool, verdict: str | None) -> None:
        state = "proved" if is_proved else "failed"
        self.registry.set_state(device_id, state, verdict, token=self.token)

    def _default_id(self, seen: Seen) -> str:
        if seen.unique_id is None:
            raise Error(
                f"what the board is can't be told before it runs: {seen.title}",
                hint="give it a name: --id NAME",
            )
        # a board keeps the name that it was given
        known = self.registry.device_on(seen.unique_id)
        return known or deviceid.default_id(self.project.prefix, seen.unique_id)


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
