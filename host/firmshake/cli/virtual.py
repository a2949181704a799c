"""`firmshake virtual`: a virtual board on this computer, until Ctrl-C."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from firmshake.cli import virtualbench, virtualvalues, waiting
from firmshake.cli.parameters import Seconds

if TYPE_CHECKING:
    from firmshake.virtual import Faults, VirtualBoard, VirtualCircuitPython, VirtualPico

    Made = VirtualBoard | VirtualPico | VirtualCircuitPython

_MOST_BOARDS = 256
_SIZES = ["1MB", "2MB", "4MB", "8MB", "16MB"]
_LARGEST_PORT = 65535
_PICOS = ("pico-w", "pico-2-w")
_BOARDS = ("esp32", "esp32-s2", "esp32-s3", "esp32-c3", "esp32-c6", *_PICOS)
_ESP, _PICO, _CIRCUITPYTHON = "esp", "pico", "circuitpython"
# What only some boards have: the others have no such option
_ONLY = {
    "raw_port": (_ESP,),
    "flash_size": (_ESP,),
    "mac": (_ESP,),
    "flash": (_ESP, _PICO),
    "blank": (_ESP, _PICO),
    "clock": (_ESP, _PICO),
    "heap": (_ESP, _PICO),
    "boot_held": (_ESP, _PICO),
    "unique_id": (_PICO, _CIRCUITPYTHON),
    "drive": (_PICO, _CIRCUITPYTHON),
}


@click.command("virtual")
@click.option(
    "--board",
    "--chip",
    "board",
    type=click.Choice(_BOARDS, case_sensitive=False),
    default="esp32",
    show_default=True,
    help="What it is.",
)
@click.option(
    "--boards",
    "count",
    type=click.IntRange(1, _MOST_BOARDS),
    metavar="N",
    help="So many of them, as if they were plugged in: other commands find them by themselves.",
)
@click.option(
    "--project",
    "folder",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="The project whose Wi-Fi is in its air, and with --boards its broker on this computer. By"
    " itself: this folder, if it is one.",
)
@click.option(
    "--circuitpython", is_flag=True, help="With CircuitPython in the place of MicroPython."
)
@click.option(
    "--drive",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="The folder that stands for its USB drive; it must not exist, or be empty. With --boards,"
    " each has one below it.",
)
@click.option(
    "--port",
    type=click.IntRange(0, _LARGEST_PORT),
    default=0,
    help="TCP port, of several boards the first; 0 for any.",
)
@click.option(
    "--raw-port",
    type=click.IntRange(0, _LARGEST_PORT),
    help="Serve plain TCP too (socket://HOST:PORT), without the lines that reset the board.",
)
@click.option(
    "--flash",
    type=click.Path(path_type=Path),
    help="Keep the flash in this file, or with --boards in this folder, a file a board; without it,"
    " it is gone with the board.",
)
@click.option(
    "--blank/--no-blank",
    default=None,
    help="A board fresh from the factory: all flash erased. A Pico is, if not told otherwise.",
)
@click.option(
    "--mac",
    default="24:0a:c4:12:34:56",
    show_default=True,
    help="Its base address, of several boards the first.",
)
@click.option("--unique-id", metavar="HEX", help="The number of its chip, or of the first one's.")
@click.option("--flash-size", type=click.Choice(_SIZES), default="4MB", show_default=True)
@click.option("--ssid", help="The Wi-Fi in its reach. By itself: the project's, or firmshake.")
@click.option(
    "--wifi-password",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="A file (or /dev/fd/N) with the Wi-Fi's password; without it the Wi-Fi is open.",
)
@click.option(
    "--clock",
    metavar="TIME",
    help="Where its clock starts, or `now` for this computer's. By itself: where the board's does.",
)
@click.option(
    "--heap", metavar="SIZE", help="MicroPython's heap, as in 352k. By itself: a board's."
)
@click.option("--boot-held", is_flag=True, help="Start in download mode, or as a drive.")
@click.option("--faster-than-life", is_flag=True, help="Do not pace bytes at the line's speed.")
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="[N:]NAME[=VALUE]",
    help="What is wrong with it: unplug-at=50%, wrong-flash-size=2MB, dead-repl,"
    " noisy-line=0.001, full-drive, read-only-drive, reboot-loop, busy, slow. Again for more. With"
    " --boards, 3:busy is for the third.",
)
@click.option(
    "--replug-after",
    type=Seconds(0, 3600),
    default=3.0,
    show_default=True,
    metavar="SECONDS",
    help="When the fault unplug-at ends.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="What to give to the tools, as one JSON line."
)
@click.pass_context
def command(context: click.Context, /, **options: Any) -> None:
    """Run a virtual board on this computer, or many.

    Prints the port to give to esptool, mpremote and firmshake, and below it the board's drive if it
    has one; runs until Ctrl-C.

    With --boards N it prints a table, and other commands of the same user find the boards as if
    they were plugged in: `firmshake boards`, `firmshake fleet run`. In a project whose broker is
    this computer, and does not run, its mosquitto is started too.
    """
    kind = _kind(options)
    for name, kinds in _ONLY.items():
        given = context.get_parameter_source(name) is not ParameterSource.DEFAULT
        if given and kind not in kinds:
            option = "--" + name.replace("_", "-")
            raise click.UsageError(f"{option} is not for this kind of board")
    project = virtualbench.project_of(options["folder"])
    options["wifi"] = virtualvalues.wifi(options["ssid"], options["wifi_password"], project)
    if options["count"] is not None:
        makers = _makers(kind, options)
        virtualbench.run(makers, project, options["drive"], options["as_json"])
    board = _maker(kind, options)()
    with board:
        for line in _remarks(kind, board, options):
            click.echo(line, err=True)
        for line in _told(kind, board, options):
            click.echo(line)
        waiting.for_a_signal()


def _kind(options: dict[str, Any]) -> str:
    if options["circuitpython"]:
        return _CIRCUITPYTHON
    return _PICO if options["board"] in _PICOS else _ESP


def _makers(kind: str, options: dict[str, Any]) -> list[Callable[[], Made]]:
    """What makes each of several boards, numbered from 1."""
    from firmshake.virtual import series

    count = options["count"]
    if options["raw_port"] is not None:
        raise click.UsageError("--raw-port is for one board")
    if options["flash"] is not None:
        options["flash"].mkdir(parents=True, exist_ok=True)
    try:
        faults = series.faults(options["faults"], count)
        return [
            _maker(kind, options | {"faults": each} | series.own(number, kind, options))
            for number, each in enumerate(faults, 1)
        ]
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _maker(kind: str, options: dict[str, Any]) -> Callable[[], Made]:
    """What makes a board as the options have it."""
    from firmshake.virtual import VirtualBoard, VirtualCircuitPython, VirtualPico, nor

    common: dict[str, Any] = {
        "port": options["port"],
        "wifi": options["wifi"],
        "faster_than_life": options["faster_than_life"],
        "faults": _faults(kind, options["faults"]),
        "replug_after_s": options["replug_after"],
    }
    board, drive = options["board"], options["drive"]
    if kind == _CIRCUITPYTHON:
        size = 8 if board in _PICOS else 6
        number = virtualvalues.unique_id(options["unique_id"], size)
        return functools.partial(
            VirtualCircuitPython, board=board, drive=drive, unique_id=number, **common
        )
    common |= virtualvalues.clock(options["clock"]) | {"flash": options["flash"]}
    if heap := options["heap"]:
        common["heap"] = virtualvalues.heap(heap)
    if options["blank"] is not None:
        common["blank"] = options["blank"]
    if kind == _PICO:
        if drive is None:
            raise click.UsageError("a Pico needs a folder for its drive: --drive FOLDER")
        if number := virtualvalues.unique_id(options["unique_id"], 8):
            common["unique_id"] = number
        if radio := options.get("radio"):
            common["mac"] = virtualvalues.mac(radio)
        return functools.partial(
            VirtualPico, board=board, drive=drive, held=options["boot_held"], **common
        )
    return functools.partial(
        VirtualBoard,
        chip=board,
        raw_port=options["raw_port"],
        mac=virtualvalues.mac(options["mac"]),
        flash_size=nor.SIZES[options["flash_size"]],
        boot_held=options["boot_held"],
        **common,
    )


def _told(kind: str, board: Made, options: dict[str, Any]) -> list[str]:
    drive = options["drive"]
    if not options["as_json"]:
        return [board.url, *([str(drive)] if drive is not None else [])]
    told = {
        "board": options["board"],
        "runtime": "circuitpython" if kind == _CIRCUITPYTHON else "micropython",
        "port": board.url,
        "socket": board.raw_url if options["raw_port"] is not None else None,
        "drive": None if drive is None else str(drive.absolute()),
        "unique_id": board.mac.replace(":", "") if kind == _ESP else board.unique_id,  # type: ignore[union-attr]
    }
    return [json.dumps({"boards": [told]})]


def _remarks(kind: str, board: Made, options: dict[str, Any]) -> list[str]:
    """What to give to which tool, for people."""
    lines = []
    if options["clock"] != "now" and kind != _CIRCUITPYTHON and not board.has_own_clock:  # type: ignore[union-attr]
        lines.append("no libfaketime found: the board has this computer's clock")
    if kind == _ESP:
        lines += [f"flash it:  esptool --port {board.url} ...", ""]
        if options["raw_port"] is not None:
            lines[-1] = f"plain TCP at {board.raw_url}"
    if kind == _PICO:
        lines.append(f"flash it:  copy a .uf2 to {options['drive']} while it is there")
    if kind == _CIRCUITPYTHON and options["drive"] is not None:
        lines.append(f"its files: {options['drive']}")
    lines += [
        f"talk to it: mpremote connect {board.url}",
        f"provision it: firmshake provision {board.url}",
    ]
    return [line for line in lines if line]


def _faults(kind: str, texts: tuple[str, ...]) -> Faults:
    from firmshake.virtual import fault

    try:
        return fault.parse(texts, kind)
    except fault.BadFault as error:
        raise click.BadParameter(str(error), param_hint="--fault") from None
