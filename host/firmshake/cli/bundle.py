"""`firmshake bundle`: one archive for those who help, without secrets."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from firmshake.cli import opening, parameters, passphrase
from firmshake.errors import Error
from firmshake.wording import printable

if TYPE_CHECKING:
    from firmshake.supportbundle.contents import Entry

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@parameters.project_folder
@click.option(
    "--port",
    metavar="PORT",
    help="Take in what the board there says of itself, and its flight recorder, for which it starts"
    " again.",
)
@click.option(
    "--log",
    "logs",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    multiple=True,
    metavar="FILE",
    help="A log to take in, its last megabyte; a .gz is unfolded. May be given several times.",
)
@click.option(
    "--manifest",
    "manifests",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    multiple=True,
    metavar="FILE",
    help="A manifest or another file that lies outside of the project, whose secrets are to be"
    " taken out. It is not taken in.",
)
@click.option(
    "--secrets-fd",
    type=int,
    metavar="N",
    help="Read from file descriptor N what else is secret, one a line, such as the CA's"
    " passphrase.",
)
@click.option("--no-doctor", is_flag=True, help="Do not connect to the broker.")
@click.option("--out", type=_FILE, metavar="FILE.zip", help="The new archive.")
def command(
    folder: Path,
    port: str | None,
    logs: tuple[Path, ...],
    manifests: tuple[Path, ...],
    secrets_fd: int | None,
    no_doctor: bool,
    out: Path | None,
) -> None:
    """Put into one archive what others need to help, and no secret.

    It holds versions, the project's settings without passwords, what inspect says of its
    certificates and lists, the registry's counts and last changes, the doctor's view of the broker,
    the end of the broker's log, and the logs that are named. Private keys are never read into it.
    Every text is searched for the secrets of the project and of the environment, however they are
    encoded, and for what looks like one. Look at the list, and into the archive, before it is sent.
    """
    from firmshake.supportbundle import archive, known
    from firmshake.supportbundle.scrub import Scrubber

    path = out or Path(f"firmshake-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.zip")
    in_project = (folder / "fleet.toml").exists()
    secrets = known.gather(folder if in_project else None, [*manifests, *logs])
    if secrets_fd is not None:
        secrets.words |= set(_lines(secrets_fd))
    with _Working() as working:
        entries = _entries(
            folder if in_project else None, port, logs, working, doctor=not no_doctor
        )
        gathered = list(entries)
        working.note("taking secrets out")
        texts = archive.scrubbed(gathered, Scrubber(secrets.words, secrets.material))
    try:
        packed = archive.write(path, texts)
    except FileExistsError:
        raise Error(f"{path} is there already", hint="name another file with --out") from None
    for one in packed:
        removed = f"  {one.removed} removed" if one.removed else ""
        click.echo(f"{one.size:>9,}  {printable(one.name)}{removed}")
    click.echo(printable(str(path)))


class _Working:
    """What is being done, on standard error while it is, and only at a terminal."""

    def __init__(self) -> None:
        self._status = Console(stderr=True).status("")

    def __enter__(self) -> _Working:
        return self

    def __exit__(self, *_: object) -> None:
        self._status.stop()

    def note(self, text: str) -> None:
        self._status.update(text)
        if self._status.console.is_terminal:
            self._status.start()


def _entries(
    folder: Path | None,
    port: str | None,
    logs: tuple[Path, ...],
    working: _Working,
    *,
    doctor: bool,
) -> Iterator[Entry]:
    from firmshake.supportbundle import contents

    working.note("looking at this computer")
    yield contents.of_computer()
    for number, path in enumerate(logs, 1):
        yield contents.of_log(path, number)
    if folder is not None:
        yield from contents.of_project(folder)
        yield _registry(folder)
    if folder is not None and doctor:
        working.note("asking the broker")
        where = ("--project", str(folder))
        yield contents.of_command("doctor.json", "doctor", "--json", "--quick", *where)
    if port is not None:
        working.note("asking the board")
        yield contents.of_command("board/boards.json", "boards", "--json", "--", port)
        words = ("console", "--recorder", "--json", "--", port)
        yield contents.of_command("board/recorder.jsonl", *words)


def _registry(folder: Path) -> Entry:
    """What the registry says, or why it can't."""
    from firmshake.supportbundle import contents

    try:
        return contents.of_registry(opening.registry_of(folder))
    except Error as error:
        return contents.Entry("project/registry.json", f"{error.message}\n{error.hint}\n")


def _lines(fd: int) -> Iterator[str]:
    while line := passphrase.read_line(fd, "secret"):
        yield line.decode("utf-8", "surrogateescape")
