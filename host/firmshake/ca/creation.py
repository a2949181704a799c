"""A new CA in a new folder: a root, an issuing intermediate below it, and where their keys live."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from cryptography import x509

from firmshake import newfile
from firmshake.ca import certificate as certificates
from firmshake.ca import keyfile, store
from firmshake.ca.authority import Authority, Root
from firmshake.ca.identity import PrivateKey
from firmshake.ca.profiles import Profile, Profiles
from firmshake.ca.store import FIRST, Place, Places

_PUBLIC = 0o644


@dataclass(frozen=True)
class Keeping:
    """How a CA's key is kept: in a file that `secret` encrypts, or in the token that `uri` names.

    A token has a PIN in place of the passphrase; the key is made inside it and never leaves it.
    """

    secret: bytes = field(repr=False)
    uri: str | None = None

    def check(self) -> None:
        """Raise Error where a token would not make the key, with nothing changed in it."""
        if self.uri is not None:
            from firmshake.ca import token

            token.check_new(self.uri, self.secret)

    def new_key(self, profile: Profile) -> PrivateKey:
        """Return a new key of the profile's type; raise Error where the token won't make one."""
        if self.uri is None:
            return certificates.new_key(profile)
        from firmshake.ca import token

        return token.generate(self.uri, self.secret, profile.key)


@dataclass(frozen=True)
class Made:
    """A CA that is to be written. `root_key` is None where an imported CA came without it.

    `root_imported` and `imported` say that root and intermediate were made elsewhere.
    """

    issuing: Authority
    root_key: PrivateKey | None = field(repr=False)
    root_keeping: Keeping
    keeping: Keeping
    root_imported: bool = False
    imported: bool = False

    @property
    def root(self) -> x509.Certificate:
        return self.issuing.root

    @property
    def places(self) -> Places:
        """Where it will lie in its folder."""
        root, first = FIRST.root, FIRST.issuing
        return Places(
            Place(root.certificate, self.root_keeping.uri or root.key),
            (Place(first.certificate, self.keeping.uri or first.key),),
        )


def create(
    name: str, *, now: datetime, keeping: Keeping, root: Keeping | None = None, using: Profiles
) -> Made:
    """Return a new CA of the fleet `name`; its root's key is kept as the other where not told."""
    above = root or keeping
    for one in (above, keeping):
        one.check()  # a key that was made in a token stays there
    top = Root.create(name, now=now, key=above.new_key(using.root), using=using)
    key = keeping.new_key(using.intermediate)
    issuing = top.issue_authority(name, now=now, key=key, using=using)
    return Made(issuing, top.key, above, keeping)


def write(folder: Path, made: Made) -> None:
    """Write a CA to the new folder `folder`. Raises OSError."""
    folder.mkdir(mode=0o700)
    places = made.places
    _write(folder, places.root, made.root, made.root_key, made.root_keeping)
    _write(folder, places.issuing, made.issuing.certificate, made.issuing.key, made.keeping)
    newfile.create(folder / store.FILE, store.render(places).encode("utf-8"), _PUBLIC)


def _write(
    folder: Path,
    place: Place,
    certificate: x509.Certificate,
    key: PrivateKey | None,
    keeping: Keeping,
) -> None:
    newfile.create(folder / place.certificate, certificates.pem(certificate), _PUBLIC)
    if key is not None and not place.in_token:
        keyfile.save(folder / place.key, key, keeping.secret)
