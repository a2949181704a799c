"""A new issuing intermediate in a project, below the root that everybody trusts already."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from firmshake import revocation
from firmshake.ca import certificate as certificates
from firmshake.ca import lists, pkcs11uri, store
from firmshake.ca.authority import Authority, Root
from firmshake.ca.certificate import Issuer
from firmshake.ca.creation import Keeping
from firmshake.ca.store import Place
from firmshake.errors import Error
from firmshake.project import Project, profiles_of
from firmshake.registry import Issued, Registry
from firmshake.revocation import Published

# reasons for which nobody may trust a key any more
_KNOWN = ("keyCompromise", "cACompromise")


@dataclass(frozen=True)
class Renewed:
    """The intermediate that issues from now on, and where it is."""

    certificate: x509.Certificate
    place: Place

    @property
    def subject(self) -> str:
        return certificates.subject(self.certificate)


def check_usage(keep_key: bool, uri: str | None) -> None:
    """Raise Error where the two wishes exclude each other, or the URI is none."""
    if uri is not None and keep_key:
        raise Error("--keep-key and --key exclude each other", hint="leave out one", status=2)
    if uri is not None and not pkcs11uri.is_uri(uri):
        raise Error(
            "--key is for keys in a token: a PKCS#11 URI, which begins with pkcs11:",
            hint="without it the key is made in a new file in ca/",
            status=2,
        )


def renew(
    project: Project,
    registry: Registry,
    root: Root,
    present: Authority,
    secret_of: Callable[[Place], bytes],
    *,
    now: datetime,
    keep_key: bool = False,
    uri: str | None = None,
) -> tuple[Renewed, Sequence[Published]]:
    """Make a new intermediate, have it issue from now on, and sign all lists.

    `secret_of` tells the passphrase of a key, or its token's PIN. Raises Error.
    """
    using = profiles_of(project)
    before = store.read(project.ca_folder)
    if keep_key:
        _check_trusted(registry, certificates.own_key(present.certificate))
    secret = secret_of(Place("", uri or "") if not keep_key else before.issuing)
    key = present.key if keep_key else Keeping(secret, uri).new_key(using.intermediate)
    made = root.issue_authority(project.name, now=now, key=key, using=using)
    place = before.issuing.key if keep_key else uri
    renewed = take(project, registry, made, place or secret, now=now)
    done = revocation.publish(project, registry, secret_of, now=now, root=root)
    return renewed, done


def _check_trusted(registry: Registry, key: str) -> None:
    """Raise Error where the key is one that somebody else may have."""
    for row in registry.certificates(kind="intermediate"):
        body = registry.body(row.serial_number)
        if row.reason in _KNOWN and body is not None and certificates.own_key(body) == key:
            raise Error(
                f"the key of {row.subject!r} was revoked as {row.reason}, and can't be kept",
                hint="make a new one: leave out --keep-key",
            )


def take(
    project: Project,
    registry: Registry,
    made: Issuer,
    key: str | bytes,
    *,
    now: datetime,
    event: str = "issued",
) -> Renewed:
    """Have the intermediate `made` issue from now on.

    In this order: it is in the log (as `event`), its files are there, its revocation list is
    signed, ca.toml names it. Whatever stops it in between leaves the old one issuing, and at most
    files that nothing uses. `key` is the passphrase to encrypt its key with, or says where the key
    is already. Raises Error.
    """
    folder, using = project.ca_folder, profiles_of(project)
    registry.record(Issued("intermediate", made.certificate, event=event))
    try:
        after = store.add(folder, store.read(folder), made, key)
        lists.publish(folder, after.issuing, made, registry, using.intermediate, now)
        store.write(folder, after)
    except OSError as error:
        raise Error(
            f"can't write the new CA to {folder}: {(error.strerror or '').lower()}",
            hint="the old one still issues; check the folder and its disk, and run this again",
        ) from None
    return Renewed(made.certificate, after.issuing)
