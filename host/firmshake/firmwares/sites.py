"""Where the projects publish firmware, and what their pages list. Does no I/O.

MicroPython: micropython.org/download/BUILD/ links to /resources/firmware/BUILD-DATE-vVERSION.bin.
CircuitPython: circuitpython.org/board/BUILD/ links to files of downloads.circuitpython.org,
/bin/BUILD/en_US/adafruit-circuitpython-BUILD-en_US-VERSION.bin. Both have .uf2 for Picos.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import urljoin

from firmshake.boards.table import MICROPYTHON, TITLES, Board, Runtime
from firmshake.errors import Error
from firmshake.firmwares import version as versions


class Site(NamedTuple):
    """A project's download site: where its pages are, and its files."""

    pages: str
    files: str


SITES = {
    "micropython": Site("https://micropython.org", "https://micropython.org"),
    "circuitpython": Site("https://circuitpython.org", "https://downloads.circuitpython.org"),
}


class Link(NamedTuple):
    """A file that can be had."""

    version: str
    url: str


def page(site: Site, board: Board, runtime: Runtime) -> str:
    """Return the address of the page that lists the firmware of a board."""
    folder = "download" if runtime == MICROPYTHON else "board"
    return f"{site.pages.rstrip('/')}/{folder}/{board.builds[runtime]}/"


def links(text: str, site: Site, board: Board, runtime: Runtime) -> list[Link]:
    """Return the files for the board that a page lists, as often as they are listed."""
    build, suffix = re.escape(board.builds[runtime]), re.escape(board.firmware_suffix)
    if runtime == MICROPYTHON:
        pattern = rf"/resources/firmware/{build}-\d{{8}}-(v\d[\w.+-]{{2,60}}?){suffix}(?![\w.-])"
        base = site.files
        return [Link(found[1], urljoin(base, found[0])) for found in re.finditer(pattern, text)]
    pattern = rf"adafruit-circuitpython-{build}-en_US-(\d[\w.+-]{{2,60}}?){suffix}(?![\w.-])"
    return [of_version(site, board, found[1]) for found in re.finditer(pattern, text)]


def of_version(site: Site, board: Board, version: str) -> Link:
    """Return where CircuitPython of that version is for the board: no page is needed for it."""
    build = board.builds["circuitpython"]
    name = f"adafruit-circuitpython-{build}-en_US-{version}{board.firmware_suffix}"
    return Link(version, f"{site.files.rstrip('/')}/bin/{build}/en_US/{name}")


def choose(
    found: Iterable[Link], board: Board, runtime: Runtime, version: str | None = None
) -> Link:
    """Return the newest release, or that of the version; raise Error where there is none."""
    known = [(made, link) for link in found if (made := versions.parse(link.version))]
    if version is not None:
        known = [each for each in known if versions.same(each[1].version, version)]
    elif any(made.is_release for made, _ in known):
        known = [each for each in known if each[0].is_release]
    if not known:
        what = f"{TITLES[runtime]}{' ' + version if version else ''} for {board.title}"
        raise Error(
            f"the download site lists no {what}",
            hint=f"{page(SITES[runtime], board, runtime)} shows what there is; a file that you"
            " have is taken by `firmshake firmware add FILE`",
        )
    return max(known, key=lambda each: each[0].order)[1]
