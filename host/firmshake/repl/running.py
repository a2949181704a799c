"""Who runs on a board: runtime, version, chip, unique id, room; asked over its REPL."""

from __future__ import annotations

from dataclasses import dataclass

from firmshake import serialport
from firmshake.errors import Error
from firmshake.repl import programs
from firmshake.repl.rawrepl import RawRepl, connected

MICROPYTHON = "micropython"
CIRCUITPYTHON = "circuitpython"
_MAC_DIGITS = 12


@dataclass(frozen=True)
class Running:
    """A board whose REPL answers.

    `runtime` is "micropython" or "circuitpython"; `machine` and `chip` are as its banner has them
    ("Generic ESP32 module", "ESP32"). `unique_id` is hex, as the board tells it: boards.uniqueid
    knows what CircuitPython makes of a MAC. `space`, `free` and `block` of the filesystem at / and
    `memory` (free heap) are in bytes. `inflate` is the module that unpacks, empty where there is
    none; `binary` says whether stdin takes any byte.
    """

    runtime: str
    version: str
    machine: str
    chip: str
    platform: str
    unique_id: str
    space: int
    free: int
    block: int
    memory: int
    inflate: str
    binary: bool

    @property
    def mac(self) -> str:
        """The unique id as esptool prints a MAC, empty where it is none, or CircuitPython's."""
        if len(self.unique_id) != _MAC_DIGITS or self.runtime != MICROPYTHON:
            return ""
        return ":".join(self.unique_id[at : at + 2] for at in range(0, _MAC_DIGITS, 2))


def identify(port: str, baud: int = serialport.CONSOLE_BAUD, *, may_reset: bool = True) -> Running:
    """Ask the board on `port`. What ran there is stopped, and the board stays at its prompt.

    Raises Error where the port cannot be had or the answer is none, entering.NoRepl where no REPL
    answers.
    """
    with connected(port, baud, may_reset=may_reset) as repl:
        return ask(repl)


def ask(repl: RawRepl) -> Running:
    """The same of a board in its raw REPL."""
    told = dict(
        line.split("\t", 1)
        for line in repl.run(programs.program("about")).split("\n")
        if "\t" in line
    )
    try:
        return _running(repl, told)
    except (KeyError, ValueError) as error:
        raise Error(
            f"what the board on {repl.wire.name} says of itself is not understood: {error}",
            hint="check the cable, and that no other program reads this port; then run it again",
        ) from None


def _running(repl: RawRepl, told: dict[str, str]) -> Running:
    named, _, chip = told["machine"].rpartition(" with ")
    return Running(
        runtime=told["name"],
        version=told["version"],
        machine=repl.banner.machine or named,
        chip=repl.banner.chip or chip,
        platform=told["platform"],
        unique_id=told.get("id", ""),
        space=int(told["space"]),
        free=int(told["free"]),
        block=int(told["block"]),
        memory=int(told["memory"]),
        inflate=told.get("inflate", ""),
        binary=told["binary"] == "1",
    )
