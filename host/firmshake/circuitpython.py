"""The files that a CircuitPython board gets: agent and MiniMQTT as source, identity as PEM.

As source, because the compiler of CircuitPython's own bytecode is in no package, and MicroPython's
bytecode is refused there. What only people read is taken out of it. Does no I/O but to read what is
installed.
"""

from __future__ import annotations

import ast
import functools
import importlib.resources
import json
from collections.abc import Mapping
from datetime import datetime

from cryptography.hazmat.primitives import serialization

from firmshake import boardfiles, bundle, settingstoml
from firmshake.ca.identity import Identity
from firmshake.errors import Error
from firmshake.project import Project
from firmshake.settingstoml import Value

SETTINGS_FILE = "/settings.toml"
CODE_FILE = "/code.py"
BOOT_FILE = "/boot.py"

# what settings.toml has to say: TLS calls the agent's socket from deep inside, and the 1536 bytes
# that CircuitPython gives to calls by itself do not last ("pystack exhausted")
SETTINGS: dict[str, Value] = {"CIRCUITPY_PYSTACK_SIZE": 4096}

# Modules of the agent that no CircuitPython board runs
LEFT_OUT = ("runtime_cpython.py", "runtime_micropython.py", "const_cpython.py", "once.py")

BOOT = """\
# Written by firmshake, because it was asked to: the computer sees no drive, and the board's own
# programs may write its files. Delete this file over the serial console to have the drive again.
import storage

storage.disable_usb_drive()
"""


def agent_files() -> dict[str, bytes]:
    """The files that are the same on every board, by absolute path; a new dict at each call.

    Raises Error where a package that belongs to them is not installed.
    """
    return dict(_files())


def own_files(
    project: Project, identity: Identity, device_id: str, now: datetime
) -> dict[str, bytes]:
    """The board's own files by absolute path, settings.toml apart; they hold its private key.

    For memory and the board only. Raises Error where the project wants what firmware can't do.
    """
    boardfiles.check(project)
    settings = json.dumps(boardfiles.settings(project, device_id, now)).encode()
    files = {"settings.json": settings, **identity_files(identity)}
    return {f"{boardfiles.FOLDER}/{name}": data for name, data in files.items()}


def identity_files(identity: Identity) -> dict[str, bytes]:
    """Key, certificates and trust anchors by the names that the agent reads."""
    key = identity.key.private_bytes(
        serialization.Encoding.PEM,
        # SEC1 or PKCS#1, as for MicroPython: the forms that every mbedTLS reads
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    return {"key.pem": key, "cert.pem": identity.chain_pem(), "ca.pem": identity.anchors_pem()}


def beside_users(
    files: Mapping[str, bytes], settings: bytes | None, boot: bytes | None
) -> dict[str, bytes]:
    """Return `files` with settings.toml, which keeps every line of the user's.

    `settings` and `boot` are the board's settings.toml and boot.py, None where it has none. Raises
    Error where they can't be kept.
    """
    if boot is not None and files.get(BOOT_FILE, boot) != boot:
        raise Error(
            "the board has a boot.py of its own, which would be lost",
            hint="write storage.disable_usb_drive() into it yourself, and leave out --hide-drive",
        )
    try:
        text = (settings or b"").decode("utf-8")
    except UnicodeDecodeError:
        raise Error("the board's settings.toml is not UTF-8", hint="save it as UTF-8") from None
    return {**files, SETTINGS_FILE: settingstoml.merge(text, SETTINGS).encode()}


@functools.cache
def _files() -> dict[str, bytes]:
    files = {CODE_FILE: bundle.entry_point("code.py")}
    agent = importlib.resources.files(bundle.AGENT_PACKAGE)
    for item in sorted(agent.iterdir(), key=lambda item: item.name):
        path = f"/lib/{bundle.AGENT_PACKAGE}/{item.name}"
        if item.name in bundle.DATA_FILES:
            files[path] = item.read_bytes()
        elif item.name.endswith(".py") and item.name not in LEFT_OUT:
            files[path] = stripped(item.read_bytes())
    for name, source in bundle.library_sources():
        files[f"/lib/{name}"] = stripped(source)
    return files


def stripped(source: bytes) -> bytes:
    """The same program without comments, docstrings and annotations."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            _without_docstring(node)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            _without_annotations(node)
    return ast.unparse(tree).encode() + b"\n"


def _without_docstring(
    node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef,
) -> None:
    if ast.get_docstring(node, clean=False) is not None:
        del node.body[0]
        if not node.body and not isinstance(node, ast.Module):
            node.body.append(ast.Pass())


def _without_annotations(node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
    node.returns = None
    given = node.args
    for argument in (*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg):
        if argument is not None:
            argument.annotation = None
