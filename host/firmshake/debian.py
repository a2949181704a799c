"""Which packages to take from which Debian or Ubuntu archive, to have the programs that we run.

Reads what apt prints and chooses; setup/archive.py runs apt. Does no I/O.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Family:
    """A distribution's archive: the suites to try, in order, and the key that signs them."""

    name: str
    keyring: str
    suites: tuple[str, ...]
    components: str
    running_suite_first: bool

    def named_in(self, uri: str) -> bool:
        """Whether an address ends as the distribution's mirrors do: a guess, to try those first."""
        return uri.endswith((f"/{self.name.lower()}", f"/{self.name.lower()}-ports"))


# The first release with MicroPython 1.23 or later. Debian keeps a release on its mirrors for years.
DEBIAN = Family(
    "Debian", "/usr/share/keyrings/debian-archive-keyring.gpg", ("trixie",), "main", False
)
# The LTS release, then the interim ones before it, which leave the mirrors after nine months.
UBUNTU = Family(
    "Ubuntu",
    "/usr/share/keyrings/ubuntu-archive-keyring.gpg",
    ("resolute", "questing", "plucky"),
    "main universe",
    True,
)
FAMILIES = (DEBIAN, UBUNTU)


@dataclass(frozen=True)
class Mirror:
    """An archive's address as the machine's apt lists it; empty fields are not known yet."""

    uri: str
    origin: str = ""
    label: str = ""
    codename: str = ""


@dataclass(frozen=True)
class Package:
    """One package of the index: its exact version and what it needs, by name."""

    name: str
    version: str
    depends: tuple[tuple[str, ...], ...] = ()
    provides: tuple[str, ...] = ()


def stanzas(text: str) -> Iterator[dict[str, str]]:
    """Every paragraph of apt's field format (deb-control) as a table; continuations are dropped."""
    for paragraph in re.split(r"\n\s*\n", text):
        lines = [line for line in paragraph.splitlines() if line and not line[0].isspace()]
        fields = dict(line.split(":", 1) for line in lines if ":" in line)
        if fields:
            yield {name: value.strip() for name, value in fields.items()}


def mirrors(targets: str, uris: str = "") -> list[Mirror]:
    """The archives that the machine's apt is set to use, each once, those known in full first.

    `targets` is the output of `apt-get indextargets`, which lists only what has been fetched before
    and knows who made it; `uris` that of `apt-get update --print-uris`, which lists the addresses.
    """
    found: dict[str, Mirror] = {}
    for target in stanzas(targets):
        uri = target.get("Repo-URI", "").rstrip("/")
        if target.get("Created-By") == "Packages" and uri:
            fields = (target.get(name, "") for name in ("Origin", "Label", "Codename"))
            found.setdefault(uri, Mirror(uri, *fields))
    for uri in re.findall(r"^'([^']+)/dists/[^']+/InRelease' ", uris, re.MULTILINE):
        found.setdefault(uri, Mirror(uri))
    # installation media are no mirror: they hold one release and are not there any more
    return [mirror for mirror in found.values() if not mirror.uri.startswith("cdrom:")]


def candidates(
    listed: Iterable[Mirror], os_release: Mapping[str, str]
) -> list[tuple[Family, str, str]]:
    """What to try, best first: archive family, mirror address, suite.

    Third-party archives, and a distribution's separate security or backports archive, carry another
    origin or label. Where apt has never been updated it knows neither; then the system's own name
    decides, and the signature keeps out what is not that distribution's.
    """
    return [
        (family, m.uri, suite)
        for family, own in _archives(list(listed), os_release)
        for suite in _suites(family, _running(family, own, os_release))
        for m in own
    ]


def own_suites(
    listed: Iterable[Mirror], os_release: Mapping[str, str]
) -> list[tuple[Family, str, str]]:
    """Where the machine's own release comes from, best first, as `candidates` says it.

    What is loaded into a program of the machine's, or runs on its libraries, has to be from there.
    """
    return [
        (family, m.uri, suite)
        for family, own in _archives(list(listed), os_release)
        if family == family_of(os_release) and (suite := _running(family, own, os_release))
        for m in own
    ]


def _archives(
    known: list[Mirror], os_release: Mapping[str, str]
) -> Iterator[tuple[Family, list[Mirror]]]:
    """Each family with the mirrors of it."""
    for family in FAMILIES:
        own = [m for m in known if m.origin == m.label == family.name]
        if not own and family == family_of(os_release):
            own = sorted(
                (m for m in known if not m.origin), key=lambda m: not family.named_in(m.uri)
            )
        yield family, own


def _running(family: Family, own: Iterable[Mirror], os_release: Mapping[str, str]) -> str:
    """The code name of the release that runs here, "" where nothing tells."""
    name = family.name.lower()
    # a derivative has a code name of its own, and tells its parent's beside it
    field = (
        "VERSION_CODENAME" if os_release.get("ID") == name else f"{family.name.upper()}_CODENAME"
    )
    listed = (m.codename for m in own if m.codename)
    return os_release.get(field, "") or next(listed, "")


def family_of(os_release: Mapping[str, str]) -> Family | None:
    """The family that a machine's system belongs to, by its nearest parent."""
    likes = f"{os_release.get('ID', '')} {os_release.get('ID_LIKE', '')}".split()
    names = {family.name.lower(): family for family in FAMILIES}
    return next((names[like] for like in likes if like in names), None)


def _suites(family: Family, running: str) -> list[str]:
    first = [running] if family.running_suite_first and running else []
    return list(dict.fromkeys([*first, *family.suites]))


def is_library(name: str) -> bool:
    """Whether a package holds shared libraries, by Debian's naming (Policy, section 8.1)."""
    return name.startswith("lib") or name == "zlib1g"


def needed(wanted: Iterable[str], index: Mapping[str, Package], parts: str = "") -> list[Package]:
    """The wanted packages and the libraries that they need, directly or through libraries.

    Packages whose names begin with `parts`, unless that is empty, are followed as libraries are.
    `index` is what apt resolved: of alternatives and virtual packages it holds the chosen ones.
    """
    virtual = {name: package.name for package in index.values() for name in package.provides}
    found: dict[str, Package] = {}
    todo = list(wanted)
    while todo:
        package = index[todo.pop()]
        found[package.name] = package
        names = (virtual.get(n, n) for group in package.depends for n in group)
        followed = (n for n in names if is_library(n) or (parts and n.startswith(parts)))
        todo += [n for n in followed if n in index and n not in found]
    return [found[name] for name in sorted(found)]


def package(fields: Mapping[str, str]) -> Package:
    """A package from its stanza in the index."""
    depends = [fields.get(name, "") for name in ("Pre-Depends", "Depends")]
    groups = [group for text in depends for group in text.split(",") if group.strip()]
    return Package(
        fields["Package"],
        fields["Version"],
        tuple(tuple(_names(group, "|")) for group in groups),
        tuple(_names(fields.get("Provides", ""), ",")),
    )


def _names(text: str, separator: str) -> Iterator[str]:
    for part in text.split(separator):
        # such as libc6:any (>= 2.38) [amd64]
        if found := re.match(r"\s*([a-z0-9][a-z0-9+.-]*)", part):
            yield found[1]


def version_of(text: str) -> tuple[int, int]:
    """The first two numbers of a Debian version, its epoch left out: 1.25 of "1:1.25.0+ds-1"."""
    found = re.match(r"(?:\d+:)?(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def installed(listing: str, architecture: str) -> set[str]:
    """The packages that the machine has, from dpkg-query's status, name and architecture."""
    rows = (line.split() for line in listing.splitlines())
    return {
        row[1] for row in rows if len(row) == 3 and row[0] == "installed" and row[2] == architecture
    }


def os_release(text: str) -> dict[str, str]:
    """The fields of os-release(5)."""
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line)
    return {name: value.strip("\"'") for name, value in pairs}


def chosen(listing: str) -> list[str]:
    """What `apt-get install --print-uris` would fetch, as name=version."""
    found = re.findall(r"^'[^']+' ([^_ ]+)_(\S+)_[^_ ]+\.deb ", listing, re.MULTILINE)
    return [f"{name}={version.replace('%3a', ':')}" for name, version in found]


def index(shown: str) -> dict[str, Package]:
    """The packages in the output of `apt-cache show`, by name."""
    return {found.name: found for found in map(package, stanzas(shown))}
