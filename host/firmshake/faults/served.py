"""The servers of chosen faults, for as long as a context lasts."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from firmshake import interrupts, newfile
from firmshake.errors import Error
from firmshake.faults.bench import Bench
from firmshake.faults.case import Case
from firmshake.faults.catalogue import CASES, chosen
from firmshake.faults.pki import CLIENT, Pki

LOOPBACK = "127.0.0.1"
_ANYWHERE = ("0.0.0.0", "::")  # noqa: S104  compared with, not bound to


@dataclass(frozen=True)
class Row:
    """A case that is served: under which TLS version, and at which port."""

    case: Case
    version: str
    port: int


class Faults:
    """The servers of the chosen cases, all where none is named, for as long as the context lasts.

    Raises Error where a case's program or package is missing. `progress` is told of each row that
    is up, in whatever order, by this thread.
    """

    def __init__(
        self,
        names: Sequence[str] = (),
        *,
        host: str = LOOPBACK,
        server_names: Sequence[str] = (),
        progress: Callable[[Row, int], None] = lambda row, left: None,
    ) -> None:
        self._cases = chosen(names)
        self._host = host
        self._progress = progress
        self._rows: dict[tuple[str, str], Row] = {}
        self._numbers = itertools.count(1)
        self._stack = contextlib.ExitStack()
        own = () if host in _ANYWHERE else (host,)
        self.pki = Pki([*server_names, *own, LOOPBACK, "localhost"])

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            with interrupts.held():
                folder = Path(tempfile.mkdtemp(prefix="firmshake-faults-"))  # 0700, by its nature
                stack.callback(shutil.rmtree, folder, ignore_errors=True)
                bench = Bench(self._host, folder, self.pki)
                stack.callback(bench.close)
            self._serve_all(bench)
            with interrupts.held():
                self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def _serve_all(self, bench: Bench) -> None:
        # what takes longest to make comes first
        jobs = [(case, version) for case in self._cases for version in case.versions]
        jobs.sort(key=lambda job: -job[0].slow_s)
        with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
            futures = [pool.submit(self._serve, bench, *job) for job in jobs]
            try:
                for left, future in enumerate(as_completed(futures), 1 - len(jobs)):
                    row = future.result()
                    self._rows[row.case.name, row.version] = row
                    self._progress(row, -left)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    @staticmethod
    def _serve(bench: Bench, case: Case, version: str) -> Row:
        return Row(case, version, case.serve(bench, version))

    def port(self, case: str, version: str | None = None) -> int:
        """The port of a case under a version, its first one where none is named."""
        return self._rows[case, version or CASES[case].versions[0]].port

    @property
    def rows(self) -> list[Row]:
        """What is served, in the table's order."""
        order = [(case.name, version) for case in self._cases for version in case.versions]
        return [self._rows[key] for key in order]

    def files(self, client: str = "good") -> dict[str, bytes]:
        """A client's identity files by name, as a board holds them: DER; without key for "none"."""
        identity = self.pki.client
        files = {"ca.der": identity.anchors_der()}
        if client == "good":
            files |= {"key.der": identity.key_der(), "cert.der": identity.chain_der()}
        return files

    def settings(self, row: Row) -> dict[str, object]:
        """A board's settings for one row."""
        return {
            "v": 1,
            # clients that are tried at the same moment must not take over each other's sessions
            "device": f"{CLIENT}-{next(self._numbers)}",
            "host": LOOPBACK if self._host in _ANYWHERE else self._host,
            "port": row.port,
            "floor": int(self.pki.now.timestamp()),
            **row.case.settings,
        }

    def write_identity(self, folder: Path) -> None:
        """Write ca.pem, client.pem and client.key for any other client, into a folder.

        The folder is made where it is not there. Raises Error where one of the files is.
        """
        identity = self.pki.client
        files = (
            ("ca.pem", identity.anchors_pem(), 0o644),
            ("client.pem", identity.chain_pem(), 0o644),
            ("client.key", identity.key_pem(), newfile.PRIVATE),
        )
        written: list[Path] = []
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for name, content, mode in files:
                newfile.create(folder / name, content, mode)
                written.append(folder / name)
        except OSError as error:
            for path in written:
                path.unlink(missing_ok=True)
            raise Error(
                f"the identity cannot be written to {folder}: {(error.strerror or '').lower()}",
                hint="name a new folder with --identity-dir",
            ) from None
