"""A CA that there is already, and certificates that were made elsewhere, taken into a project.

Each is checked first, by the rules and in the words of `firmshake inspect`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509

from firmshake import deviceid
from firmshake.ca import certificate as certificates
from firmshake.ca import checks
from firmshake.ca.authority import Authority, Root
from firmshake.ca.creation import Keeping, Made
from firmshake.ca.crl import MOST_BITS
from firmshake.ca.finding import WRONG, Finding, worst_first
from firmshake.ca.identity import PrivateKey
from firmshake.ca.profiles import Profiles
from firmshake.errors import Error
from firmshake.offered import Offered
from firmshake.project import Project, root_certificate
from firmshake.registry import Issued
from firmshake.serverview import certview


@dataclass(frozen=True)
class Candidate:
    """A CA that may be imported: from the one whose key is offered up to its root.

    `findings` is what the checks say; with one that is WRONG it must not be taken.
    """

    chain: tuple[x509.Certificate, ...]
    key: PrivateKey = field(repr=False)
    root_key: PrivateKey | None = field(repr=False)
    findings: tuple[Finding, ...]

    @property
    def is_root(self) -> bool:
        return len(self.chain) == 1


def candidate(offered: Offered, now: datetime, known: Sequence[x509.Certificate] = ()) -> Candidate:
    """Return the CA in what is offered; `known` are certificates that complete its chain.

    Raises Error where there is no CA with its key.
    """
    cas = [one for one in offered.certificates if checks.role_of(one) == checks.CA]
    keys = {checks.spki(key): key for key in offered.keys}
    mine = [one for one in cas if checks.spki(one.public_key()) in keys]
    if not mine:
        raise Error(
            _without(cas, offered), hint="give its certificate and its key, in one file or several"
        )
    ordered, _ = checks.check_chain(mine, now, complete=False)
    own = ordered[0]
    chain, found = checks.check_chain(_related(own, cas), now, known=known)
    whole = (*chain, *(one for one in known if certificates.issued_by(chain[-1], one)))
    whole = tuple(dict.fromkeys(whole))
    judged = [one for c in whole for one in checks.check_certificate(c, checks.CA, now)]
    judged += [one for c in whole[:-1] for one in _unlistable(c)]  # nobody lists a root
    root_key = keys.get(checks.spki(whole[-1].public_key())) if len(whole) > 1 else None
    key = keys[checks.spki(own.public_key())]
    return Candidate(whole, key, root_key, worst_first([*found, *judged, *_deep(whole)]))


def new_ca(
    found: Candidate,
    name: str,
    using: Profiles,
    *,
    now: datetime,
    keeping: Keeping,
    root: Keeping,
) -> Made:
    """Return the CA of a new project that begins with one that there was.

    Where only a root was offered, it gets a new intermediate of the project `name`.
    """
    refuse(found.findings)
    if not found.is_root:
        issuing = Authority(found.key, found.chain[0], found.chain[1], using)
        return Made(issuing, found.root_key, root, keeping, root_imported=True, imported=True)
    above = Root(found.key, found.chain[0])
    key = keeping.new_key(using.intermediate)
    below = above.issue_authority(name, now=now, key=key, using=using)
    return Made(below, found.key, root, keeping, root_imported=True)


def intermediate(project: Project, found: Candidate) -> Authority:
    """Return the CA as one that may issue for the project.

    Raises Error where it is not in order, or leads to another root than the project's.
    """
    refuse(found.findings)
    root = root_certificate(project)
    if found.chain[-1] != root:
        raise Error(
            f"{certificates.subject(found.chain[0])!r} does not lead to this project's root",
            hint="boards trust no other root: begin a project with it, firmshake init --ca FILE",
        )
    if found.is_root:
        raise Error(
            "that is the root's key, and the project needs none to be imported",
            hint="say where it is with --root-key, where a command asks for it",
        )
    return Authority(found.key, found.chain[0], root)


@dataclass(frozen=True)
class Foreign:
    """A certificate that was made elsewhere, what it is taken for, and what the checks say."""

    issued: Issued
    findings: tuple[Finding, ...]

    @property
    def subject(self) -> str:
        return certificates.subject(self.issued.certificate)

    @property
    def serial(self) -> str:
        return certificates.serial(self.issued.certificate)


def foreign(
    offered: Offered,
    now: datetime,
    known: Sequence[x509.Certificate],
    is_device: Callable[[str], bool],
) -> list[Foreign]:
    """Return the end-entity certificates in what is offered, judged; raise Error without one.

    `known` are the project's CAs. What another CA signed is no device's here, for no list of ours
    can tell of it, and is wrong where its name is that of a device of the project (`is_device`).
    """
    ends = [one for one in offered.certificates if checks.role_of(one) != checks.CA]
    if not ends:
        raise Error(
            "there is no certificate of a device or a broker to import",
            hint="for a CA, give its key as well",
        )
    cas = [one for one in offered.certificates if one not in ends]
    return [_foreign(one, cas, now, known, is_device) for one in ends]


def refuse(findings: Sequence[Finding]) -> None:
    """Raise Error where one of them is WRONG."""
    wrong = [one for one in findings if one.severity == WRONG]
    if wrong:
        more = f", and {len(wrong) - 1} more are wrong" if len(wrong) > 1 else ""
        raise Error(f"not imported: {wrong[0].what}{more}", hint=wrong[0].fix)


def _foreign(
    one: x509.Certificate,
    cas: Sequence[x509.Certificate],
    now: datetime,
    known: Sequence[x509.Certificate],
    is_device: Callable[[str], bool],
) -> Foreign:
    role, name = checks.role_of(one), certificates.subject(one)
    is_ours = any(certificates.issued_by(one, ca) for ca in known)
    _, chain = checks.check_chain(_related(one, cas), now, known=known, complete=False)
    found = [*checks.check_certificate(one, role, now), *chain, *_unlistable(one)]
    if role == checks.DEVICE and is_ours and deviceid.is_legal(name):
        return Foreign(Issued("device", one, name, "imported"), worst_first(found))
    if not is_ours and role != checks.BROKER and is_device(name):
        found.append(_impostor(name))
    kind = "broker" if role == checks.BROKER else "other"
    return Foreign(Issued(kind, one, event="imported"), worst_first(found))


def _unlistable(one: x509.Certificate) -> list[Finding]:
    """What to say of a serial number that no revocation list can have (RFC 5280 section 4.1.2.2).

    The checks only warn of it, as of what brokers and boards take all the same.
    """
    with certview.quiet():
        if 0 < one.serial_number < 1 << MOST_BITS:
            return []
    what = f"The serial number of {certificates.subject(one)!r} can't stand in a revocation list."
    fix = f"Have it issued again, with a positive number of up to {MOST_BITS} bits."
    return [Finding(WRONG, "serial_number", what, fix)]


def _impostor(name: str) -> Finding:
    what = f"The certificate of {name!r} is of another CA, and {name!r} is a device of the project."
    fix = "It can't be revoked here. Have the project issue it: firmshake ca sign CSR."
    return Finding(WRONG, "another_ca", what, fix)


def _related(own: x509.Certificate, cas: Sequence[x509.Certificate]) -> list[x509.Certificate]:
    """The certificate and the CAs above it among `cas`, in order, whatever the order they came in.

    Last, where the chain ends too early, those with the name of what misses there.
    """
    found = [own]
    while not certificates.issued_by(found[-1], found[-1]):
        above = next((one for one in cas if certificates.issued_by(found[-1], one)), None)
        if above is None or above in found:
            alike = [one for one in cas if one.subject == found[-1].issuer]
            return [*found, *(one for one in alike if one not in found)]
        found.append(above)
    return found


def _deep(whole: Sequence[x509.Certificate]) -> list[Finding]:
    if len(whole) <= 2:
        return []
    what = (
        f"There are {len(whole) - 2} CAs between {certificates.subject(whole[0])!r} and its root."
    )
    fix = "Have the root, or the CA that boards shall trust, sign an issuing CA directly."
    return [Finding(WRONG, "long_chain", what, fix)]


def _without(cas: Sequence[x509.Certificate], offered: Offered) -> str:
    keys = [checks.spki(key) for key in offered.keys]
    for one in offered.certificates:
        if checks.spki(one.public_key()) in keys:
            return f"{certificates.subject(one)!r}, whose key that is, is no certificate of a CA"
    if not cas:
        return "there is no certificate of a CA in what was given"
    names = ", ".join(repr(certificates.subject(one)) for one in cas)
    if not offered.keys:
        return f"there is no private key of {names}"
    return f"the private key is not the one of {names}"
