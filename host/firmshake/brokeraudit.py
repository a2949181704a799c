"""The audit of the broker's folder: who it says it is, whom it trusts, and what it lets them do."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path, PurePosixPath

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from firmshake import brokerconfig
from firmshake.ca import keyfile
from firmshake.ca.finding import WARNING, WRONG, Finding
from firmshake.errors import Error
from firmshake.project import BROKER_FILE, Project, root_certificate
from firmshake.registry import Registry

ANCHORS = "ca.crt"
CONF = "mosquitto.conf"
ACL = "acl"

# what keeps strangers out; a file may lie in another folder
_SETTINGS = {
    "cafile": ANCHORS,
    "crlfile": "crl.pem",
    "acl_file": ACL,
    "require_certificate": "true",
    "use_identity_as_username": "true",
    "use_username_as_clientid": "true",
    "allow_anonymous": "false",
}
_FILES = ("cafile", "crlfile", "acl_file")
# what may let them in beside it: listeners, CAs, files and judges of which nothing is known here
_DOORS = (
    "auth_plugin",
    "capath",
    "global_plugin",
    "include_dir",
    "per_listener_settings",
    "plugin",
    "port",
    "psk_file",
    "psk_hint",
    "use_subject_as_username",
)

_CHANGED = "config_changed"
_MEND = "take the change back, or make sure that strangers and the revoked stay out"


def check(project: Project, registry: Registry, now: datetime) -> Iterator[Finding]:
    """Yield what is wrong with the files in broker/."""
    folder = project.broker_folder
    yield from _identity(folder / BROKER_FILE, registry, now)
    yield from _anchors(folder / ANCHORS, project)
    if (folder / CONF).exists():  # another broker has another configuration
        yield from _conf(folder / CONF)
        yield from _acl(folder / ACL)


def _identity(path: Path, registry: Registry, now: datetime) -> Iterator[Finding]:
    remedy = "make a new one: firmshake ca broker"
    try:
        content = keyfile.read(path)
        found = x509.load_pem_x509_certificates(content)[0]
        key = load_pem_private_key(content, None)
    except (Error, ValueError, TypeError):
        yield Finding(WRONG, "file_missing", f"{path} is missing or damaged", remedy)
        return
    if key.public_key() != found.public_key():
        yield Finding(WRONG, "mismatch", f"{path}: key and certificate don't match", remedy)
    if not registry.knows(found):
        what = f"{path} is a certificate that the registry does not know"
        yield Finding(WRONG, "unknown_certificate", what, remedy)
    if found.not_valid_after_utc <= now:
        yield Finding(WRONG, "expired", f"{path} expired: no board connects", remedy)


def _anchors(path: Path, project: Project) -> Iterator[Finding]:
    """The broker must trust the root, and nobody else."""
    try:
        root = root_certificate(project)
    except Error:
        return  # told elsewhere
    fix = f"copy the root's certificate there: {project.ca_folder / 'root.crt'}"
    try:
        found = x509.load_pem_x509_certificates(keyfile.read(path))
    except (Error, ValueError):
        yield Finding(WRONG, "file_missing", f"{path} is missing or damaged", fix)
        return
    if root not in found:
        what = f"{path}: the broker does not trust the project's root, and no board connects"
        yield Finding(WRONG, "wrong_anchor", what, fix)
    for one in found:
        if one != root:
            what = f"{path}: the broker trusts {one.subject.rfc4514_string()!r} too"
            yield Finding(WRONG, "wrong_anchor", what, fix)


def _conf(path: Path) -> Iterator[Finding]:
    try:
        lines = _lines(path)
    except Error as error:
        yield Finding(WARNING, _CHANGED, error.message, error.hint)
        return
    seen: dict[str, int] = {}
    for number, line in lines:
        key, _, value = line.partition(" ")
        value = value.strip()
        seen[key] = seen.get(key, 0) + 1
        wanted = _SETTINGS.get(key)
        if wanted is not None and _plain(key, value) != wanted:
            yield _changed(path, f"line {number} is {line!r}, and was '{key} {wanted}'")
        elif key in _DOORS or (key == "listener" and seen[key] > 1):
            yield _changed(path, f"line {number}, {line!r}, was not there")
    for key, wanted in _SETTINGS.items():
        if key not in seen:
            yield _changed(path, f"the line '{key} {wanted}' is missing")


def _plain(key: str, value: str) -> str:
    return PurePosixPath(value).name if key in _FILES else value


def _acl(path: Path) -> Iterator[Finding]:
    try:
        found = _lines(path)
    except Error as error:
        yield Finding(WARNING, _CHANGED, error.message, error.hint)
        return
    lines = [line for _, line in found]
    wanted = _meant(brokerconfig.DEVICES_ACL)
    watchers = _meant(brokerconfig.WATCHER_ACL)
    if any(line in watchers for line in lines):  # projects from before there was one have none
        wanted += watchers
    for number, line in found:
        if line not in wanted:
            yield _changed(path, f"line {number}, {line!r}, was not there")
    for line in wanted:
        if line not in lines:
            yield _changed(path, f"the line {line!r} is missing")


def _changed(path: Path, how: str) -> Finding:
    return Finding(WARNING, _CHANGED, f"{path}: {how}", _MEND)


def _lines(path: Path) -> list[tuple[int, str]]:
    """The lines that say something, each with its number. Raises Error."""
    text = keyfile.read(path).decode("utf-8", "replace")
    stripped = ((number, line.strip()) for number, line in enumerate(text.split("\n"), 1))
    return [(number, line) for number, line in stripped if line and not line.startswith("#")]


def _meant(text: str) -> list[str]:
    return [line for line in text.splitlines() if line and not line.startswith("#")]
