"""A project with a broker of its own kind: what `firmshake ca export` wrote, and its devices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from firmshake import revocation
from firmshake.ca import certificate, store
from firmshake.ca.identity import Identity
from firmshake.project import Project
from firmshake.registry import Registry
from support import desk
from support.commands import FD, run


@dataclass(frozen=True)
class Fleet:
    """A project, and the registry in it."""

    project: Project
    registry: Registry

    @property
    def root(self) -> bytes:
        """The root certificate, as PEM."""
        return (self.project.ca_folder / "root.crt").read_bytes()

    def device(self, device_id: str) -> Identity:
        """A device of the fleet, as it would be provisioned."""
        made = desk.authority(self.project).issue(device_id, now=datetime.now(UTC))
        self.registry.record_issued(device_id, made.certificate)
        return made

    def revoke(self, identity: Identity) -> None:
        """Revoke a device's certificate and sign the list: broker/crl.pem is new."""
        serial = f"{identity.certificate.serial_number:x}"
        serial = serial.zfill(len(serial) + len(serial) % 2)
        self.registry.revoke([serial], "keyCompromise")
        revocation.publish(
            self.project, self.registry, lambda _: desk.PASSPHRASE, now=datetime.now(UTC)
        )

    def renew_ca(self) -> str:
        """Have a new issuing CA made; returns the serial number of the old."""
        at = self.project.ca_folder
        old = store.certificate(at, store.read(at).issuing)
        self._with_root("intermediate")
        return certificate.serial(old)

    def revoke_ca(self, serial: str) -> None:
        """Revoke an intermediate: broker/crl.pem is new."""
        self._with_root("revoke", serial, "--reason", "cACompromise", "--yes")

    def _with_root(self, *words: str) -> None:
        fds = ("--passphrase-fd", FD, "--root-passphrase-fd", FD)
        secrets = (desk.PASSPHRASE, desk.PASSPHRASE)
        done = run("ca", *words, *fds, "--project", self.project.root, secrets=secrets)
        assert done.status == 0, done.err

    def export(self, target: str, out: Path, words: Sequence[str] = ()) -> str:
        """Run the command as a user would; return what it printed."""
        arguments = ["ca", "export", target, "--out", str(out), *words]
        done = desk.firmshake(*arguments, cwd=self.project.root, passphrase=None)
        assert done.returncode == 0, done.stderr
        return done.stdout


def fleet(folder: Path) -> Fleet:
    """A new project in `folder`."""
    project = desk.make_project(folder)
    return Fleet(project, Registry.open(project.registry_path))
