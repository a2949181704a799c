"""A manifest: which devices are wanted. A file of CSV or TOML becomes a value, or all its problems.

docs/manifest.md says what may stand in one.
"""

from __future__ import annotations

import codecs
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from firmshake import regularfile
from firmshake.ca.profiles import Profiles
from firmshake.errors import Error
from firmshake.fleet import manifestcsv, manifesttoml
from firmshake.fleet.planned import Planned
from firmshake.fleet.planning import MOST, Planning
from firmshake.fleet.problem import BadManifest, Problem, Problems
from firmshake.project import Project, profiles_of

__all__ = ["BadManifest", "Manifest", "Problem", "parse", "read"]

LARGEST = 1024**3
# a row of all columns is far below it
_LONGEST_LINE = 64 * 1024
# how often those who wait are told
_OFTEN = 50_000

_PARSERS = {".csv": manifestcsv.parse, ".tsv": manifestcsv.parse, ".toml": manifesttoml.parse}
_UTF8 = "save the file as UTF-8, a spreadsheet as CSV UTF-8"
# UTF-32 first: its little-endian mark begins as that of UTF-16 does
_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32 (little-endian)",
    codecs.BOM_UTF32_BE: "UTF-32 (big-endian)",
    codecs.BOM_UTF16_LE: "UTF-16 (little-endian)",
    codecs.BOM_UTF16_BE: "UTF-16 (big-endian)",
    b"PK\x03\x04": "a spreadsheet or another archive",
}

Told = Callable[[int], None]


@dataclass(frozen=True)
class Manifest:
    """The devices of a manifest, in its order. The same `digest` means the same devices."""

    name: str
    digest: str
    planned: Sequence[Planned]


def read(path: Path, project: Project, progress: Told = lambda done: None) -> Manifest:
    """Return the manifest in a file, for a project.

    `progress` is told now and then how many bytes are done. Raises BadManifest with all that is
    wrong in it, and Error where it can't be read.
    """
    if path.suffix.lower() not in _PARSERS:
        raise Error(
            f"{path} is neither .csv nor .toml",
            hint="name it so that it says which it is; save a spreadsheet as CSV UTF-8",
            status=2,
        )
    try:
        with regularfile.opened(path) as stream:
            if os.fstat(stream.fileno()).st_size > LARGEST:
                raise Error(f"{path} is larger than 1 GiB", hint="make several manifests of it")
            return parse(stream, path.name, project, profiles_of(project), progress=progress)
    except OSError as error:
        raise Error(
            f"can't read {path}: {(error.strerror or 'unreadable').lower()}",
            hint="check the file's name and who may read it",
        ) from None


def parse(
    stream: BinaryIO,
    name: str,
    project: Project,
    profiles: Profiles,
    *,
    most: int = MOST,
    progress: Told = lambda done: None,
) -> Manifest:
    """Return the manifest in a file that is open, of the kind that the end of its `name` says.

    Raises BadManifest where it is wrong, or has more than `most` devices; OSError.
    """
    told, digest = Problems(), hashlib.sha256()
    plan = Planning(project, profiles, told, most)
    start = stream.read(max(map(len, _MARKS)))
    stream.seek(0)
    wrong = next((what for mark, what in _MARKS.items() if start.startswith(mark)), None)
    if wrong:
        raise BadManifest(name, [Problem(1, f"the file is {wrong}, and no UTF-8", _UTF8)])
    lines = _lines(stream, told, digest.update, progress)
    _PARSERS[Path(name).suffix.lower()](lines, plan)
    if not told.count and not plan.devices:
        told.add(1, "there is no device in it", "a line or a table [[device]] names one")
    if told.count:
        raise BadManifest(name, told.in_order())
    if plan.prefixed:
        # then the ids depend on fleet.toml, too
        digest.update(b"\0" + project.prefix.encode())
    return Manifest(name, digest.hexdigest(), plan.planned)


def _lines(
    stream: BinaryIO, told: Problems, heard: Callable[[bytes], None], progress: Told
) -> Iterator[tuple[int, str]]:
    """Each line with its number, without its end; what is no text is told."""
    done = 0
    for number, raw in enumerate(stream, 1):
        heard(raw)
        done += len(raw)
        if number % _OFTEN == 0:
            progress(done)
        line = raw.removesuffix(b"\n").removesuffix(b"\r") if raw[-1:] == b"\n" else raw
        if number == 1:
            line = line.removeprefix(codecs.BOM_UTF8)
        yield number, _text(line, number, told)


def _text(line: bytes, number: int, told: Problems) -> str:
    if len(line) > _LONGEST_LINE:
        told.add(number, f"the line has more than {_LONGEST_LINE:,} bytes", "break it up")
        return ""
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        at = error.start
        what = f"byte {at + 1} of the line, 0x{line[at]:02x}, is not UTF-8"
        told.add(number, what, _UTF8, kind="UTF-8")
        return line.decode(errors="replace")
    if "\0" in text:
        told.add(number, "the line has a zero byte", _UTF8)
        return text.replace("\0", "")
    return text
