"""`firmshake faults serve`: a broker that fails on purpose, each fault on a port of its own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from firmshake.cli import waiting
from firmshake.endpoint import is_loopback

if TYPE_CHECKING:
    from firmshake.faults import Case, Faults

_BOARD = "micropython"
_LOOPBACK = "127.0.0.1"


@click.group("faults")
def command() -> None:
    """A broker that fails on purpose, to try any client against."""


@command.command()
@click.option(
    "--case",
    "names",
    multiple=True,
    metavar="NAME",
    help="Serve this fault alone; may be given again, and be a pattern such as 'ws-*'.",
)
@click.option("--list", "only_list", is_flag=True, help="List the faults and serve none.")
@click.option("--json", "as_json", is_flag=True, help="The table as one JSON array.")
@click.option(
    "--host", default=_LOOPBACK, show_default=True, metavar="ADDRESS", help="Where to listen."
)
@click.option(
    "--server-name",
    "server_names",
    multiple=True,
    metavar="NAME",
    help="A name or address that clients want to see, beside ADDRESS and localhost.",
)
@click.option(
    "--identity-dir",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Write ca.pem, client.pem and client.key there, for the client that is tried.",
)
def serve(
    names: tuple[str, ...],
    only_list: bool,
    as_json: bool,
    host: str,
    server_names: tuple[str, ...],
    identity_dir: Path | None,
) -> None:
    """Serve faults until Ctrl-C, each on a port of its own.

    Prints a table of fault, TLS version, port and the verdict that a client should come to. All
    keys and certificates are made afresh, and are worth nothing elsewhere.
    """
    from firmshake import faults

    cases = faults.chosen(names)
    if only_list:
        _print_list(cases, as_json)
        return
    if not names:
        cases = _possible(cases)
    if not is_loopback(host):
        click.secho(
            f"WARNING: whoever can reach {host} can reach these servers,"
            " which are broken on purpose",
            err=True,
            bold=True,
        )
    progress = Console(stderr=True)
    with (
        progress.status("making keys and certificates") as status,
        faults.Faults(
            [case.name for case in cases],
            host=host,
            server_names=server_names,
            progress=lambda row, left: status.update(f"{left} ports to go"),
        ) as served,
    ):
        if identity_dir is not None:
            served.write_identity(identity_dir)
        status.stop()
        _print_rows(served, host, as_json)
        _tell(identity_dir)
        waiting.for_a_signal()


def _possible(cases: Sequence[Case]) -> list[Case]:
    """Those that this computer can serve; the rest is told of."""
    from firmshake import faults

    lacking = {case.name: error for case in cases if (error := faults.missing(case))}
    for error in {error.message: error for error in lacking.values()}.values():
        click.echo(f"left out: {error.message}\n  {error.hint}", err=True)
    return [case for case in cases if case.name not in lacking]


def _tell(identity_dir: Path | None) -> None:
    if identity_dir is None:
        click.echo("for a client's key and certificate: --identity-dir FOLDER", err=True)
    else:
        click.echo(
            "try: firmshake doctor HOST:PORT"
            f" --ca {identity_dir}/ca.pem --cert {identity_dir}/client.pem"
            f" --key {identity_dir}/client.key",
            err=True,
        )
    click.echo("serving until Ctrl-C", err=True)


def _print_list(cases: Sequence[Case], as_json: bool) -> None:
    rows = [(case, version) for case in cases for version in case.versions]
    if as_json:
        click.echo(json.dumps([_row(case, version) for case, version in rows]))
        return
    _print_columns(
        ("fault", "TLS", "verdict", "on a board, where it differs", "what is wrong"),
        [(case.name, version, *_verdicts(case, version), case.what) for case, version in rows],
    )


def _print_rows(served: Faults, host: str, as_json: bool) -> None:
    if as_json:
        rows = [
            {**_row(row.case, row.version), "host": host, "port": row.port} for row in served.rows
        ]
        click.echo(json.dumps(rows))
        return
    _print_columns(
        ("fault", "TLS", "port", "verdict", "on a board, where it differs"),
        [
            (row.case.name, row.version, str(row.port), *_verdicts(row.case, row.version))
            for row in served.rows
        ],
    )


def _row(case: Case, version: str) -> dict[str, object]:
    return {
        "case": case.name,
        "what": case.what,
        "version": version,
        "verdict": case.expected(version),
        "verdicts": {name: case.expected(version, name) for name in ("micropython", "cpython")},
        "client": case.client,
        "settings": dict(case.settings),
        "holds": case.holds,
    }


def _verdicts(case: Case, version: str) -> tuple[str, str]:
    usual, board = case.expected(version), case.expected(version, _BOARD)
    return usual, "" if board == usual else board


def _print_columns(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """One line a row, never folded, for grep and awk."""
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    for row in (heads, *rows):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())
