"""PKCS#11 modules, which drive tokens, and the token that an address (RFC 7512) names."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firmshake.ca.pkcs11uri import Pkcs11Uri
from firmshake.errors import Error

if TYPE_CHECKING:
    from pkcs11 import Token

# what libp11 and its OpenSSL engine read, for an address that names no module
MODULE_VARIABLE = "PKCS11_MODULE_PATH"
# where modules lie: Debian's, SoftHSM's own, Fedora's, what was built here, Homebrew's
FOLDERS = (
    "/usr/lib/*-linux-gnu*/pkcs11",
    "/usr/lib/*-linux-gnu*",
    "/usr/lib/softhsm",
    "/usr/lib64/pkcs11",
    "/usr/lib64",
    "/usr/lib/pkcs11",
    "/usr/local/lib",
    "/usr/local/lib/softhsm",
    "/opt/homebrew/lib",
    "/opt/homebrew/lib/softhsm",
)
# offers the tokens of every module that the system is set up for
P11_KIT = "p11-kit-proxy"

# each module that was loaded, with the process that initialised it
_libraries: dict[str, tuple[Any, int]] = {}


def module_path(uri: Pkcs11Uri) -> str:
    """Return the module's file: the address's, the environment's, or p11-kit's that has them all.

    Raises Error where there is none.
    """
    place = uri.query.get("module-path") or ""
    name = uri.query.get("module-name") or ""
    if place and not Path(place).is_absolute():
        raise Error("module-path of the PKCS#11 URI is not absolute", "write it from / on")
    folders = (place,) if place and Path(place).is_dir() else FOLDERS
    if place and not (name and Path(place).is_dir()):
        return _existing(place)
    if not name and os.environ.get(MODULE_VARIABLE):
        return _existing(os.environ[MODULE_VARIABLE])
    found = _named(name or P11_KIT, folders)
    if found:
        return found
    raise Error(
        f"no PKCS#11 module named {name}" if name else "the PKCS#11 URI names no module",
        f"add ?module-path=/path/to/module.so to it, or set {MODULE_VARIABLE}",
    )


def _existing(place: str) -> str:
    if not Path(place).is_file():
        raise Error(
            f"no PKCS#11 module {place}", "install the token's driver, or correct module-path"
        )
    return place


def _named(name: str, folders: tuple[str, ...]) -> str:
    """The file of a module, its name being without what the system adds (RFC 7512 section 2.3)."""
    if "/" in name:
        raise Error("module-name of the PKCS#11 URI has a slash", "use module-path for a file")
    ends = [f"{prefix}{name}.{end}" for prefix in ("lib", "") for end in ("so", "dylib")]
    paths = (
        path
        for folder in folders
        for parent in sorted(Path("/").glob(folder.strip("/")))
        for path in (parent / end for end in ends)
    )
    return next((str(path) for path in paths if path.is_file()), "")


def library(module: str) -> Any:
    """Return the module, loaded and initialised once a process. Raises Error where it can't be."""
    try:
        import pkcs11
    except ModuleNotFoundError:
        raise Error(
            "keys in a token need python-pkcs11",
            "run `pip install 'firmshake[pkcs11]'` in the environment that has firmshake",
        ) from None
    there, process = _libraries.get(module, (None, 0))
    if there is not None and process == os.getpid():
        return there
    try:
        found = pkcs11.lib(module)
        if there is not None:
            _start_anew(found)
    except (RuntimeError, OSError):  # PKCS11Error is the former
        raise Error(
            f"{module} is not a PKCS#11 module that works here",
            "install the token's driver for this computer, or correct module-path",
        ) from None
    _libraries[module] = found, os.getpid()
    return found


def _start_anew(found: Any) -> None:
    """A forked process has its parent's module, and must initialise it (PKCS#11 2.40, 2.5.2)."""
    with contextlib.suppress(RuntimeError):
        found.finalize()
    found.initialize()


def release() -> None:
    """Let every module go."""
    for found, process in _libraries.values():
        if process == os.getpid():
            with contextlib.suppress(RuntimeError):
                found.finalize()
    _libraries.clear()


def token(uri: Pkcs11Uri, module: str) -> Token:
    """Return the one token that `uri` names. Raises Error where there is none, or several."""
    found = library(module)
    present = list(_present(found))
    matching = [one for one in present if _is_meant(one, found, uri)]
    if len(matching) == 1:
        return matching[0]
    labels = ", ".join(sorted(repr(one.label) for one in present)) or "none"
    if matching:
        serials = ", ".join(_decoded(one.serial) for one in matching)
        raise Error(
            f"{len(matching)} tokens are meant by the PKCS#11 URI",
            f"name one with token= or serial=: there are {labels}, with the serials {serials}",
        )
    raise Error(
        f"no token {uri.token!r}" if uri.token else "no token that the PKCS#11 URI describes",
        f"plug it in, or correct the URI; the tokens here: {labels}",
    )


def _present(found: Any) -> Iterator[Token]:
    """The tokens that are initialised: an empty one has no label and no keys."""
    from pkcs11 import PKCS11Error, TokenFlag

    for slot in found.get_slots(token_present=True):
        # one may be pulled out while we look
        with contextlib.suppress(PKCS11Error):
            one = slot.get_token()
            if one.flags & TokenFlag.TOKEN_INITIALIZED:
                yield one


def _is_meant(one: Token, found: Any, uri: Pkcs11Uri) -> bool:
    facts = {
        "token": one.label,
        "manufacturer": one.manufacturer_id,
        "serial": _decoded(one.serial),
        "model": one.model,
        "slot-id": str(one.slot.slot_id),
        "slot-description": one.slot.slot_description,
        "slot-manufacturer": one.slot.manufacturer_id,
        "library-manufacturer": found.manufacturer_id,
        "library-description": found.library_description,
        "library-version": "{}.{}".format(*found.library_version),
    }
    return all(facts.get(name, text) == text for name, text in uri.texts.items())


def _decoded(serial: bytes) -> str:
    return serial.decode("utf-8", "replace").rstrip()
