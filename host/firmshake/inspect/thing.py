"""What was found in a file: a value for people, for JSON, and for holding against others.

Does no I/O.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from cryptography import x509

from firmshake.ca.finding import WRONG, Finding, worst_first

# what a thing is, for programs: what it is for people, and several of them
KINDS = {
    "private_key": ("private key", "private keys"),
    "public_key": ("public key", "public keys"),
    "certificate": ("certificate", "certificates"),
    "csr": ("certificate request", "certificate requests"),
    "crl": ("CRL", "CRLs"),
    "pkcs12": ("PKCS#12 file", "PKCS#12 files"),
    "pkcs7": ("PKCS#7 file", "PKCS#7 files"),
    "settings": ("board's settings", "boards' settings"),
    "fleet": ("project's settings", "projects' settings"),
    "registry": ("registry", "registries"),
    "firmware": ("firmware", "firmwares"),
    "application": ("application", "applications"),
    "flash": ("image of a flash", "images of a flash"),
    "uf2": ("UF2 file", "UF2 files"),
    "littlefs": ("LittleFS filesystem", "LittleFS filesystems"),
    "fat": ("FAT filesystem", "FAT filesystems"),
    "project": ("project folder", "project folders"),
    "circuitpython": ("CircuitPython drive", "CircuitPython drives"),
    "folder": ("folder", "folders"),
    "several": ("file with several things", "files with several things"),
    "unknown": ("unknown thing", "unknown things"),
}


@dataclass(frozen=True, eq=False)
class Thing:
    """One thing, and what lies inside it.

    `facts` are (key, value), the keys those of `show.WORDS`. `private` is set for a key that may be
    read now, `sealed` for one that a passphrase keeps; `locked` where that passphrase was not to be
    had. `exposed` says that others than its owner may read the file. `role` is what it has to be
    good for (`ca.certchecks.ROLES`), where its place tells.
    """

    where: str
    kind: str
    title: str
    facts: tuple[tuple[str, str], ...] = ()
    findings: tuple[Finding, ...] = ()
    inside: tuple[Thing, ...] = ()
    locked: bool = False
    private: bool = False
    sealed: bool = False
    exposed: bool = False
    role: str = ""
    spki: bytes = field(default=b"", repr=False)
    certificate: x509.Certificate | None = None
    crl: x509.CertificateRevocationList | None = None
    settings: dict[str, object] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        assert self.kind in KINDS, self.kind

    @property
    def wrong(self) -> bool:
        """Whether anything of it is wrong."""
        return any(found.severity == WRONG for one in self.all() for found in one.findings)

    @property
    def shut(self) -> bool:
        """Whether anything of it could not be looked into."""
        return any(one.locked for one in self.all())

    def all(self) -> Iterator[Thing]:
        """Itself, and everything inside."""
        yield self
        for one in self.inside:
            yield from one.all()

    def with_findings(self, *more: Finding) -> Thing:
        """The same with further findings, worst first."""
        return replace(self, findings=worst_first([*self.findings, *more]))

    def said(self) -> list[tuple[Thing, Finding]]:
        """Every finding with the thing that it is of, worst first."""
        every = [(one, found) for one in self.all() for found in one.findings]
        order = {found: at for at, found in enumerate(worst_first(found for _, found in every))}
        return sorted(every, key=lambda pair: order[pair[1]])
