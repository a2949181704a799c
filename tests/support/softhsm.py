"""A fresh token of SoftHSM2 in a folder: the PKCS#11 module is the real one."""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from unittest import mock
from urllib.parse import quote

from firmshake import tools
from firmshake.ca import token

PIN = b"1234-5678"
_SO_PIN = b"9876-5432"


@dataclass(frozen=True)
class Token:
    """An initialised token, with its user's PIN and no keys."""

    label: str
    module: Path
    environment: Mapping[str, str]
    pin: bytes = PIN

    def uri(self, key: str, **more: str) -> str:
        """The address (RFC 7512) of a key on it, which says where the module is."""
        path = {"token": self.label, "object": key, "type": "private", **more}
        text = ";".join(f"{name}={quote(value, safe='')}" for name, value in path.items())
        return f"pkcs11:{text}?module-path={quote(str(self.module))}"


@contextlib.contextmanager
def softhsm(folder: Path, *labels: str) -> Iterator[Token]:
    """A token of the first label; the others lie beside it.

    This process and its children find them: SOFTHSM2_CONF is set meanwhile. The module reads it
    when it is initialised, so what this process has open is closed before and after.
    """
    module = tools.softhsm2()
    (folder / "tokens").mkdir()
    settings = folder / "softhsm2.conf"
    settings.write_text(f"directories.tokendir = {folder}/tokens\nlog.level = ERROR\n")
    environment = {"SOFTHSM2_CONF": str(settings)}
    if libraries := tools.softhsm2_libraries():
        environment["LD_LIBRARY_PATH"] = libraries
        _load(libraries)
    with mock.patch.dict(os.environ, environment):
        names = labels or ("firmshake test",)
        for name in names:
            _initialise(module, name)
        token.close()
        try:
            yield Token(names[0], module, environment)
        finally:
            token.close()


def _load(libraries: str) -> None:
    """Load what the machine lacks: this process started without the folder of it."""
    files = [file for folder in libraries.split(":") for file in Path(folder).glob("lib*.so.*")]
    for file in sorted(files):
        with contextlib.suppress(OSError):
            ctypes.CDLL(str(file), ctypes.RTLD_GLOBAL)


# C_InitToken (PKCS#11 2.40 section 5.5), which python-pkcs11 has not; in a process of its own,
# since a module is initialised once in each
_INITIALISE = """\
import ctypes, sys
import pkcs11
module, label, so_pin, pin = sys.argv[1:]
library = pkcs11.lib(module)
free = [slot for slot in library.get_slots() if not slot.get_token().flags & 0x400][0]
call = ctypes.CDLL(module).C_InitToken
call.argtypes = [ctypes.c_ulong, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p]
assert call(free.slot_id, so_pin.encode(), len(so_pin), label.encode().ljust(32)) == 0
library.reinitialize()
fresh = [one for one in library.get_tokens(token_label=label) if not one.flags & 8][0]
with fresh.open(rw=True, so_pin=so_pin) as session:
    session.init_pin(pin)
"""


def _initialise(module: Path, label: str) -> None:
    secrets = (_SO_PIN.decode(), PIN.decode())
    command = [sys.executable, "-c", _INITIALISE, str(module), label, *secrets]
    subprocess.run(command, check=True, timeout=60)
