"""What a board has to be itself: settings, key, certificates and anchors in one folder.

Does no I/O. The same for a filesystem in an image and for a drive that is mounted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import PurePosixPath

from firmshake.ca.certchecks import CA, DEVICE
from firmshake.ca.finding import NOTE, Finding
from firmshake.inspect.desk import Desk
from firmshake.inspect.papers import judged
from firmshake.inspect.texts import said_by_board
from firmshake.inspect.thing import Thing

FOLDER = "firmshake"
SETTINGS = "settings.json"
# what the agent reads (firmshake_agent/identity.py), as .der or .pem: name, what it is to be
ROLES = {"cert": DEVICE, "ca": CA}
_ENDINGS = (".der", ".pem")

# kinds that are worth a line of their own when they turn up among a board's other files
_TOLD = ("private_key", "certificate", "pkcs12", "csr", "crl", "several")


def look(
    contents: Mapping[str, bytes],
    sizes: Mapping[str, int],
    where: str,
    desk: Desk,
    recognise: Callable[[bytes, str, Desk], Thing],
) -> tuple[tuple[Thing, ...], tuple[Finding, ...]]:
    """What the files (path: bytes) are, and what is wrong with them as a board's identity."""
    made = []
    for path, data in sorted(contents.items()):
        one = recognise(data, f"{where}:{path}", desk)
        if is_boards_own(path):
            made.append(in_role(one, path, desk))
        elif one.kind in _TOLD:
            made.append(one)
    return tuple(made), tuple(missing(list(sizes)))


def is_boards_own(path: str) -> bool:
    """Whether the agent reads this file."""
    parts = PurePosixPath(path).parts
    name = PurePosixPath(path)
    known = name.name == SETTINGS or (name.suffix in _ENDINGS and name.stem in (*ROLES, "key"))
    return known and FOLDER in parts[-2:-1]


def in_role(one: Thing, path: str, desk: Desk) -> Thing:
    """The thing judged for what its name says that it is, as the agent would."""
    stem = PurePosixPath(path).stem
    if one.kind == "private_key" and one.sealed:
        return one.with_findings(said_by_board("encrypted_key"))
    role = ROLES.get(stem, "")
    return judged(one, role, desk.now) if role else one


def missing(paths: list[str]) -> list[Finding]:
    """What the agent would miss among these files."""
    own = {PurePosixPath(path).name for path in paths if is_boards_own(path)}
    if not own:
        agent = any("firmshake_agent" in path for path in paths)
        what = "The agent is there, and no identity for it." if agent else ""
        fix = "Provision the board."
        return [Finding(NOTE, "no_identity", what, fix)] if agent else []
    found = []
    stems = {PurePosixPath(name).stem for name in own}
    ending = next((PurePosixPath(name).suffix for name in own if name != SETTINGS), ".der")
    if SETTINGS not in own:
        found.append(said_by_board("file_missing", file=SETTINGS))
    needed = ("ca", "key", "cert") if stems & {"key", "cert"} else ("ca",)
    return found + [
        said_by_board("file_missing", file=stem + ending) for stem in needed if stem not in stems
    ]
