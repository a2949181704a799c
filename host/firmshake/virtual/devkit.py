"""A virtual development board with a chip of the ESP32 family: chip, flash, reset circuit, port."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from firmshake import tools
from firmshake.errors import Error
from firmshake.virtual import models, nor
from firmshake.virtual.body import LOOPBACK, Body
from firmshake.virtual.child import Program, micropython
from firmshake.virtual.chip import Chip
from firmshake.virtual.circuit import HOLD_S, Edge, ResetCircuit
from firmshake.virtual.clock import ESP32_EPOCH, Clock
from firmshake.virtual.fault import NONE, Faults
from firmshake.virtual.firmware import standin_firmware
from firmshake.virtual.models import Model
from firmshake.virtual.pace import Pace

__all__ = ["LOOPBACK", "VirtualBoard", "Wifi"]

DEFAULT_MAC = bytes.fromhex("24 0a c4 12 34 56")
DEFAULT_SIZE = 4 << 20
# An ESP32 without PSRAM has 160 to 180 KiB for MicroPython's heap and TLS together. Objects are
# twice as large on a 64-bit MicroPython, and so is this.
DEFAULT_HEAP = "352k"
# Up to this size of flash, MicroPython's table has a smaller application (partitions-2MiB)
_SMALL = 2 << 20
_SMALL_APP = 0x160000


@dataclass(frozen=True)
class Wifi:
    """The one access point in the board's air; `password` None means that it is open."""

    ssid: str = "firmshake"
    password: str | None = field(default=None, repr=False)

    def settings(self) -> dict[str, Any]:
        """As the board's program takes it."""
        return {"ssid": self.ssid, "password": self.password}


class VirtualBoard(Body):
    """A board that has power and a cable from `start` to `close`; a context manager does both.

    `chip` is as esptool prints it ("ESP32-S3"). `flash` is a file to keep its flash in, made if
    absent; without one the flash is memory. `firmware` (default: a stand-in for that chip) is what
    a new flash holds; nothing if `blank`. `clock` is where the board's clock stands at power-on:
    2000-01-01 as on an ESP32, or None for the computer's; where there is no libfaketime it is the
    computer's in any case, see `has_own_clock`. `raw_port` serves plain TCP too (`socket://`), 0
    for any free port. With `boot_held` the button BOOT is held from the start. `faults` are what is
    wrong with it; after `unplug_at` it is plugged in again `replug_after_s` later, or with None by
    `replug` only. Raises Error where the chip is unknown, or the flash, a port or MicroPython
    cannot be had.
    """

    def __init__(
        self,
        *,
        chip: str = "ESP32",
        port: int = 0,
        raw_port: int | None = None,
        flash: Path | None = None,
        blank: bool = False,
        firmware: bytes | None = None,
        mac: bytes = DEFAULT_MAC,
        flash_size: int = DEFAULT_SIZE,
        wifi: Wifi | None = None,
        clock: datetime | None = ESP32_EPOCH,
        heap: str = DEFAULT_HEAP,
        boot_held: bool = False,
        faster_than_life: bool = False,
        faults: Faults = NONE,
        replug_after_s: float | None = None,
    ) -> None:
        super().__init__(
            port, raw_port, lambda: Pace(faster_than_life, faults.slow), faults, replug_after_s
        )
        self.model = _model(chip)
        self._command = tools.micropython()
        self._heap = heap
        self._wifi = wifi or Wifi()
        self._mac = mac
        self._boot_held = boot_held
        self._lines = ResetCircuit()
        self._holding: asyncio.TimerHandle | None = None
        library = tools.faketime() if clock is not None else None
        self.has_own_clock = library is not None
        self.flash = _flash(self.model, flash, flash_size, blank, firmware)
        self._clock = Clock(clock, library)

    # what others see

    @property
    def mac(self) -> str:
        """The base address, as esptool prints it."""
        return self._mac.hex(":")

    @property
    def baud(self) -> int:
        """The speed of its UART, now."""
        return self._chip.uart.baud

    # what hands do

    def press_reset(self) -> None:
        """Press the button EN and let it go."""
        self._do(lambda: self._start_chip(self._lines.gpio0_is_low))

    def hold_boot(self, held: bool = True) -> None:
        """Hold the button BOOT, or let it go: while it is held, every reset is into download."""
        self._boot_held = held

    # on the board's own thread

    def _assemble(self) -> None:
        self._chip = Chip(
            self.model,
            self.flash,
            self._mac,
            self._clock,
            self._program,
            self._pace(),
            self.faults,
            self._lose_power,
        )
        self._sending = asyncio.get_running_loop().create_task(self._chip.uart.run())

    def _program(self, settings: dict[str, Any]) -> Program:
        told = {
            **settings,
            "wifi": self._wifi.settings(),
            "platform": "esp32",
            "machine": self.model.machine,
        }
        return micropython(self._command, self._heap, told)

    async def _power_on(self) -> None:
        await self._show_port()
        self._start_chip(gpio0_is_low=False)

    def _power_off(self) -> None:
        self._chip.halt()
        self._stop_holding()
        self._lines = ResetCircuit()

    def _put_away(self) -> None:
        self.flash.close()
        self._clock.close()

    def _take(self, data: bytes, baud: int) -> None:
        self._chip.receive(data, baud)

    def listen(self, listener: Callable[[bytes, int], None] | None) -> None:
        """Who gets the board's output; of the port, not for callers."""
        self._chip.uart.listener = listener

    def set_lines(self, dtr: bool, rts: bool) -> None:
        """The modem lines; of the port, not for callers."""
        if self._powered:
            self._stop_holding()
            self._act_on(self._lines.set(dtr, rts))

    def _act_on(self, edge: Edge) -> None:
        if edge is Edge.RESET:
            self._chip.halt()
        elif edge is Edge.HELD:
            loop = asyncio.get_running_loop()
            self._holding = loop.call_later(
                HOLD_S, lambda: self._act_on(self._lines.held_long_enough())
            )
        elif edge in (Edge.BOOT, Edge.DOWNLOAD):
            self._start_chip(edge is Edge.DOWNLOAD)

    def _stop_holding(self) -> None:
        if self._holding is not None:
            self._holding.cancel()
            self._holding = None

    def _start_chip(self, gpio0_is_low: bool) -> None:
        share = None if self._cut is None else self._cut.share
        self._chip.start(download=gpio0_is_low or self._boot_held, cut=share)


def _model(chip: str) -> Model:
    try:
        return models.model(chip)
    except LookupError:
        known = ", ".join(model.name for model in models.MODELS)
        raise Error(f"no virtual board has a chip {chip}", hint=f"choose of {known}") from None


def _flash(
    model: Model, path: Path | None, size: int, blank: bool, firmware: bytes | None
) -> nor.Flash:
    flash, is_new = (nor.in_memory(size), True) if path is None else nor.in_file(path, size)
    if is_new and not blank:
        if firmware is None:
            firmware = (
                standin_firmware(app_size=_SMALL_APP, chip=model.name)
                if size <= _SMALL
                else standin_firmware(chip=model.name)
            )
        flash.program(model.boot_offset, firmware)
    return flash
