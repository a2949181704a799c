"""The certificate profiles: validity, key type and usages, read from certs/profiles.toml."""

from __future__ import annotations

import difflib
import functools
import importlib.resources
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from firmshake import regularfile
from firmshake.ca.constraints import is_constraint
from firmshake.errors import Error

# those of firmshake have a tenth of it
_LARGEST = 64 * 1024
_HINT = "firmshake ca profiles prints profiles that are right, each value with its reason"

# the profile of devices for which none is named, and the table with the others
USUAL, FURTHER = "device", "profile"
# 40 characters: it stands in manifests and in the registry
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")

# how each message begins
ABOUT = "certificate profiles: "

KEYS = (
    "validity_days",
    "backdate_s",
    "key",
    "key_usage",
    "extended_key_usage",
    "path_length",
    "crl_days",
    "permitted_names",
    "crl_url",
)
KEY_TYPES = ("ec-p256", "ec-p384", "rsa-2048", "rsa-3072", "rsa-4096")

# 100 years: beyond it a date no longer fits where some verifiers keep it
_DAYS = 36525
_MOST = {"validity_days": _DAYS, "crl_days": _DAYS, "backdate_s": _DAYS * 86400, "path_length": 255}

# RFC 5280 section 4.2.1.3, and the name that `cryptography` has for each
KEY_USAGES = {
    "digitalSignature": "digital_signature",
    "nonRepudiation": "content_commitment",
    "keyEncipherment": "key_encipherment",
    "dataEncipherment": "data_encipherment",
    "keyAgreement": "key_agreement",
    "keyCertSign": "key_cert_sign",
    "cRLSign": "crl_sign",
}

# what a CA's work takes
_CA_USAGES = ("keyCertSign", "cRLSign")

# RFC 5280 section 4.2.1.12
EXTENDED_KEY_USAGES = {
    "serverAuth": "1.3.6.1.5.5.7.3.1",
    "clientAuth": "1.3.6.1.5.5.7.3.2",
}


@dataclass(frozen=True)
class Profile:
    """What a kind of certificate is allowed to be.

    `path_length` is None for an end entity; a CA has one (RFC 5280 section 4.2.1.9).
    `crl_validity` and `permitted_names` ("dns:NAME" or "ip:NETWORK" each) are for CAs, the
    former for each of them. `crl_url` may be empty.
    """

    name: str
    validity: timedelta
    backdate: timedelta
    key: str
    key_usage: tuple[str, ...]
    extended_key_usage: tuple[str, ...]
    path_length: int | None
    crl_validity: timedelta | None = None
    permitted_names: tuple[str, ...] = ()
    crl_url: str = ""

    @property
    def is_ca(self) -> bool:
        return self.path_length is not None


@dataclass(frozen=True)
class Profiles:
    """One profile for each kind of certificate; `devices` are further ones for devices, by name."""

    root: Profile
    intermediate: Profile
    broker: Profile
    device: Profile
    devices: Mapping[str, Profile] = field(default_factory=dict)

    def of_device(self, name: str | None) -> Profile:
        """Return the device profile of that name, the usual one for None; raise Error on none."""
        if name is None or name == USUAL:
            return self.device
        if name not in self.devices:
            raise Error(f"no device profile is called {name!r}", hint=meant(name, self.devices))
        return self.devices[name]


@functools.cache
def load() -> Profiles:
    """Return the profiles that come with firmshake."""
    return parse(text())


def text() -> str:
    """Return the profiles that come with firmshake as TOML, with a comment for each value."""
    try:
        return (importlib.resources.files("firmshake.certs") / "profiles.toml").read_text("utf-8")
    except ModuleNotFoundError:
        # run from the source tree, where the folder is not a part of the package
        return (Path(__file__).parents[3] / "certs" / "profiles.toml").read_text("utf-8")


def read(path: Path) -> str:
    """Return the text of a file of profiles, looked through; raise Error, which names the file."""
    try:
        content = regularfile.read(path, _LARGEST)
        if content is None:
            raise Error("too large to be certificate profiles")
        toml = content.decode("utf-8")
        parse(toml)
    except OSError as error:
        raise Error(f"can't read {path}: {(error.strerror or 'unreadable').lower()}") from None
    except UnicodeDecodeError:
        raise Error(f"{path} is not UTF-8", hint="save it as UTF-8") from None
    except Error as error:
        raise Error(f"{path}: {error.message.removeprefix(ABOUT)}", error.hint or _HINT) from None
    return toml


def parse(toml: str) -> Profiles:
    """Return the profiles in the TOML text; raise Error where a value is missing or wrong."""
    try:
        tables = tomllib.loads(toml)
        found = Profiles(
            root=_profile(tables, "root", ca=True),
            intermediate=_profile(tables, "intermediate", ca=True),
            broker=_profile(tables, "broker", ca=False),
            device=_profile(tables, USUAL, ca=False),
            devices=_further(tables),
        )
        _check_together(found)
        return found
    except (ValueError, RecursionError) as error:
        raise Error(f"{ABOUT}{error}", _HINT) from None
    except Error as error:
        raise Error(error.message, error.hint or _HINT) from None


def meant(name: str, known: Iterable[str]) -> str:
    """Return a hint for a device profile that is not known: which there are."""
    every = [USUAL, *known]
    near = difflib.get_close_matches(name, every, n=1)
    if near:
        return f"did you mean {near[0]!r}"
    return f"profiles.toml has: {', '.join(every)}; another one is a table [{FURTHER}.NAME] there"


def _further(tables: Mapping[str, object]) -> dict[str, Profile]:
    """The profiles `[profile.NAME]`: what one leaves out is as in [device]."""
    found, usual = tables.get(FURTHER, {}), tables[USUAL]
    assert isinstance(usual, dict)
    if not isinstance(found, dict) or not all(isinstance(one, dict) for one in found.values()):
        raise Error(f"{ABOUT}further profiles of devices are tables [{FURTHER}.NAME]")
    for name in found:
        if not _NAME.fullmatch(name) or name == USUAL:
            raise Error(
                f"{ABOUT}no profile can be called {name!r}",
                f"40 letters, digits, '-' and '_' at most, and not {USUAL!r}",
            )
    whole = {f"{FURTHER}.{name}": {**usual, **one} for name, one in found.items()}
    return {name: _profile(whole, f"{FURTHER}.{name}", ca=False) for name in found}


def _profile(tables: Mapping[str, object], name: str, ca: bool) -> Profile:
    table = tables.get(name)
    if not isinstance(table, dict):
        raise Error(f"{ABOUT}no table [{name}]")
    for key in ("path_length", "crl_days"):
        if ca != (key in table):
            raise Error(f"{ABOUT}{key} in [{name}] is for CAs, and CAs only")
    for key in table:
        if key not in KEYS:
            raise Error(f"{ABOUT}unknown key {key!r} in [{name}]", f"known are: {', '.join(KEYS)}")
    return Profile(
        name=name,
        validity=timedelta(days=_whole(table, name, "validity_days", low=1)),
        backdate=timedelta(seconds=_whole(table, name, "backdate_s", low=0)),
        key=_key(table, name),
        key_usage=_names(table, name, "key_usage", KEY_USAGES),
        extended_key_usage=_names(table, name, "extended_key_usage", EXTENDED_KEY_USAGES),
        path_length=_whole(table, name, "path_length", low=0) if ca else None,
        crl_validity=timedelta(days=_whole(table, name, "crl_days", low=1)) if ca else None,
        permitted_names=_permitted(table, name, ca),
        crl_url=_url(table, name),
    )


def _check_together(found: Profiles) -> None:
    """Raise Error where certificates of these profiles would not work, or would allow too much."""
    above, below = found.root.path_length or 0, found.intermediate.path_length or 0
    # RFC 5280 section 4.2.1.9: each CA allows what follows it, and the root is followed by one
    if above <= below:
        raise Error(
            f"{ABOUT}path_length in [root] must be 1 at least, and more than in [intermediate]"
        )
    for ca in (found.root, found.intermediate):
        _check_usage(ca, needed=_CA_USAGES, refused=())
        if ca.extended_key_usage and set(ca.extended_key_usage) != set(EXTENDED_KEY_USAGES):
            # OpenSSL and others hold a CA's against what it issues: brokers and devices here
            both = " and ".join(EXTENDED_KEY_USAGES)
            raise Error(f"{ABOUT}extended_key_usage in [{ca.name}] must be {both}, or []")
    devices = [(one, "clientAuth") for one in (found.device, *found.devices.values())]
    for end, purpose in ((found.broker, "serverAuth"), *devices):
        # a CA's usages are none of theirs (RFC 5280 section 4.2.1.3)
        _check_usage(end, needed=("digitalSignature",), refused=_CA_USAGES)
        if set(end.extended_key_usage) != {purpose}:
            # with another one a stolen board could play the broker, or the reverse
            raise Error(f"{ABOUT}extended_key_usage in [{end.name}] must be {purpose} alone")


def _check_usage(profile: Profile, needed: tuple[str, ...], refused: tuple[str, ...]) -> None:
    for name in needed:
        if name not in profile.key_usage:
            raise Error(f"{ABOUT}key_usage in [{profile.name}] must hold {name}")
    for name in refused:
        if name in profile.key_usage:
            raise Error(f"{ABOUT}key_usage in [{profile.name}] must not hold {name}")


def _key(table: Mapping[str, object], name: str) -> str:
    value = table.get("key")
    if not isinstance(value, str) or value not in KEY_TYPES:
        raise Error(f"{ABOUT}key in [{name}] must be one of {', '.join(KEY_TYPES)}")
    return value


def _permitted(table: Mapping[str, object], name: str, ca: bool) -> tuple[str, ...]:
    names = table.get("permitted_names", [])
    if not isinstance(names, list) or not all(map(is_constraint, names)) or (names and not ca):
        raise Error(
            f"{ABOUT}permitted_names in [{name}] may hold 'dns:NAME' and 'ip:NETWORK', in a CA only"
        )
    return tuple(names)


def _url(table: Mapping[str, object], name: str) -> str:
    url = table.get("crl_url", "")
    # http and not https: the list is signed, and checking a server's certificate to fetch what
    # certificates are checked by runs in circles (RFC 5280 section 8)
    if not isinstance(url, str) or not re.fullmatch(r"(http://[!-~]{1,200})?", url):
        raise Error(f"{ABOUT}crl_url in [{name}] must be an http:// address, or ''")
    return url


def _whole(table: Mapping[str, object], name: str, key: str, low: int) -> int:
    value, high = table.get(key), _MOST[key]
    if type(value) is not int or not low <= value <= high:
        raise Error(f"{ABOUT}{key} in [{name}] must be a whole number from {low} to {high:,}")
    return value


def _names(
    table: Mapping[str, object], name: str, key: str, known: Mapping[str, object] | tuple[str, ...]
) -> tuple[str, ...]:
    value = table.get(key)
    names = tuple(value) if isinstance(value, list) else (value,)
    if not all(isinstance(item, str) and item in known for item in names):
        raise Error(f"{ABOUT}{key} in [{name}] may name {', '.join(known)}")
    return names
