"""Firmware that is kept on this computer: one file each, named by its SHA-256.

What a file is, is read from it each time: there is no list beside the files that could be wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from firmshake import firmware as esp
from firmshake import newfile
from firmshake.boards.table import TITLES, Board, Runtime
from firmshake.errors import Error
from firmshake.firmwares import version as versions
from firmshake.firmwares.identify import File, fits, identify

# firmware is public: everybody on this computer may read it
_MODE = 0o644
_FORMS = (".bin", ".uf2")

Note = Callable[[str], None]


def default_folder() -> Path:
    """Return where firmware is kept: a folder below the user's data directory."""
    import platformdirs

    return platformdirs.user_data_path("firmshake", appauthor=False) / "firmware"


@dataclass(frozen=True)
class Store:
    """A folder of firmware, made when the first file comes."""

    folder: Path

    def add(self, data: bytes) -> tuple[File, bool]:
        """Keep a file; return what it is, and whether it is new here.

        Raises Error where it is no whole firmware, or can't be written.
        """
        file = identify(data)
        path = self.path(file)
        try:
            if path.exists() and path.read_bytes() == data:
                return file, False
            self.folder.mkdir(parents=True, exist_ok=True)
            newfile.replace(path, data, _MODE)
        except OSError as error:
            raise _cannot(f"firmware cannot be kept in {self.folder}", error) from None
        return file, True

    def add_file(self, path: Path) -> tuple[File, bool]:
        """As `add`, for a file on this computer."""
        data = _read(path)
        try:
            return self.add(data)
        except Error as error:
            raise Error(f"{path}: {error.message}", error.hint) from None

    def files(self, note: Note = lambda text: None) -> list[File]:
        """Return what is kept, by chip and board, the newest version of each first.

        `note` is told of a file that is damaged or has another's name; it is left out.
        """
        found = []
        for path in self._paths():
            try:
                found.append(self._open(path))
            except Error as error:
                note(f"{path}: {error.message}")
        found.sort(key=_age, reverse=True)
        return sorted(found, key=lambda file: (file.chip, file.runtime, file.machine))

    def find(
        self,
        board: Board,
        runtime: Runtime,
        version: str | None = None,
        sha256: str | None = None,
    ) -> File | None:
        """Return the newest firmware for a board, or None.

        Only of that version or with that SHA-256, where one is given; what is no release is newest
        only where nothing else is there.
        """
        found = [
            file
            for file in self.files()
            if fits(file, board)
            and file.runtime == runtime
            and (version is None or versions.same(file.version, version))
            and (sha256 is None or file.sha256 == sha256.lower())
        ]
        return max(found, key=_age, default=None)

    def path(self, file: File) -> Path:
        """Return where the file is kept."""
        return self.folder / (file.sha256 + file.form)

    def _paths(self) -> list[Path]:
        try:
            return sorted(path for path in self.folder.iterdir() if path.suffix in _FORMS)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _cannot(f"the firmware in {self.folder} cannot be listed", error) from None

    def _open(self, path: Path) -> File:
        file = identify(_read(path))
        if file.sha256 != path.stem:
            raise Error("its SHA-256 is not the one that it was kept under")
        return file


def wanted(store: Store, board: Board, runtime: Runtime, pin: str | None = None) -> File:
    """Return the firmware to write to a board: the one with the SHA-256 `pin`, or the newest.

    Raises Error where it is not there, which says how to get it.
    """
    file = store.find(board, runtime, sha256=pin)
    if file is None:
        what = f"{TITLES[runtime]} for {board.title}"
        raise Error(
            f"{what}, as it is pinned in fleet.toml, is not kept here"
            if pin
            else f"no {what} is kept here",
            hint=f"`firmshake firmware fetch {board.name}"
            f"{'' if runtime == 'micropython' else ' --runtime ' + runtime}` gets it; a file that"
            " you have is taken by `firmshake firmware add FILE`",
        )
    return file


def _age(file: File) -> tuple[bool, versions.Order]:
    version = versions.parse(file.version)
    assert version is not None
    return version.is_release, version.order


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            data = stream.read(esp.LARGEST_FILE + 1)
    except OSError as error:
        raise _cannot(f"firmware {path} cannot be read", error) from None
    if len(data) > esp.LARGEST_FILE:
        raise Error(f"{path} is larger than any firmware", hint="check which file it is")
    return data


def _cannot(what: str, error: OSError) -> Error:
    reason = (error.strerror or "unknown reason").lower()
    return Error(f"{what}: {reason}", hint="check the name, the rights and the space on the disk")
