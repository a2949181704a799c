"""The archive itself: texts without their secrets, always in the same order."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from firmshake import newfile
from firmshake.supportbundle.contents import Entry
from firmshake.supportbundle.scrub import Scrubbed, Scrubber

# ZIP knows no earlier moment: when a bundle was made stands in versions.json alone
_NO_TIME = (1980, 1, 1, 0, 0, 0)
_MODE = 0o600


@dataclass(frozen=True)
class Packed:
    """One file of an archive: its size in bytes, and in how many places a secret was taken out."""

    name: str
    size: int
    removed: int


def scrubbed(entries: Iterable[Entry], scrubber: Scrubber) -> dict[str, Scrubbed]:
    """Return the texts by name, in order, without secrets; names have none either."""
    made = {}
    for entry in sorted(entries, key=lambda entry: entry.name):
        made[scrubber.scrub(entry.name).text] = scrubber.scrub(entry.text)
    return made


def write(path: Path, texts: dict[str, Scrubbed]) -> list[Packed]:
    """Write the new archive, for its owner only; return what is in it. Raises OSError."""
    packed = []
    with (
        newfile.creating(path, _MODE) as stream,
        zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for name, scrubbed in texts.items():
            about = zipfile.ZipInfo(name, _NO_TIME)
            about.compress_type = zipfile.ZIP_DEFLATED
            about.external_attr = _MODE << 16
            data = scrubbed.text.encode("utf-8", "backslashreplace")
            archive.writestr(about, data)
            packed.append(Packed(name, len(data), scrubbed.removed))
    return packed
