"""Firmware from a project's download site into the store, as what it has to be."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from firmshake import firmware as esp
from firmshake.boards.table import CIRCUITPYTHON, TITLES, Board, Runtime
from firmshake.errors import Error
from firmshake.firmwares import download, identify, pins, sites
from firmshake.firmwares import version as versions
from firmshake.firmwares.identify import File
from firmshake.firmwares.pins import Pin
from firmshake.firmwares.sites import Link, Site
from firmshake.firmwares.store import Store

# the pages are 100 to 400 KiB
_LARGEST_PAGE = 8 * 1024 * 1024

OnProgress = Callable[[int, int], None]


class Fetched(NamedTuple):
    """A file that is in the store now; `url` is empty where it was there before."""

    file: File
    url: str


def fetch(
    store: Store,
    board: Board,
    runtime: Runtime,
    site: Site,
    *,
    version: str | None = None,
    pin: Pin | None = None,
    newest: bool = False,
    downgrade: bool = False,
    on_progress: OnProgress = lambda done, total: None,
) -> Fetched:
    """Get firmware for a board into the store and return it.

    By itself that of the `pin`; without one, or with `newest`, the newest release. A version that
    is older than the pin's is refused unless `downgrade` is set, and so is another file of the same
    version, always.
    Raises Error where it cannot be had, or is not what it should be: then nothing is kept.
    """
    if pin is not None and not newest and versions.same(version or pin.version, pin.version):
        version = pin.version
        kept = store.find(board, runtime, sha256=pin.sha256)
        if kept is not None:
            return Fetched(kept, "")
    link = _link(board, runtime, site, version)
    _check(link.version, "", pin, board, runtime, downgrade)
    data = download.get(link.url, esp.LARGEST_FILE, on_progress)
    try:
        file = identify.identify(data)
        identify.check_board(file, board)
    except Error as error:
        raise Error(f"what {link.url} serves cannot be used: {error.message}", _REPORT) from None
    if file.runtime != runtime or not versions.same(file.version, link.version):
        raise Error(
            f"{link.url} is {file.title}, not {TITLES[runtime]} {link.version}", hint=_REPORT
        )
    _check(file.version, file.sha256, pin, board, runtime, downgrade)
    return Fetched(store.add(data)[0], link.url)


_REPORT = "nothing was kept; try another version"


def _link(board: Board, runtime: Runtime, site: Site, version: str | None) -> Link:
    if runtime == CIRCUITPYTHON and version is not None:
        return sites.of_version(site, board, version.removeprefix("v"))
    listed = download.get(sites.page(site, board, runtime), _LARGEST_PAGE)
    found = sites.links(listed.decode("utf-8", "replace"), site, board, runtime)
    return sites.choose(found, board, runtime, version)


def _check(
    version: str, sha256: str, pin: Pin | None, board: Board, runtime: Runtime, downgrade: bool
) -> None:
    """Ask whether the pin may become this; before the file is there, by the version alone."""
    if pin is None or (not sha256 and versions.same(version, pin.version)):
        return
    pins.check_move(pin, Pin(version, sha256), board, runtime, downgrade=downgrade)
