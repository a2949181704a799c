"""A board's serial port: anything that pyserial opens, by the name of a device or by URL."""

from __future__ import annotations

import socket
import sys
import time

import serial

from firmshake import portfaults
from firmshake.boards import holders
from firmshake.errors import Error

# The board's console; MicroPython's default on every chip of the family
CONSOLE_BAUD = 115200

# A read returns what is there after so long, so that a loop around it can look at the world
READ_SECONDS = 0.1

# How long EN is held low. Auto-reset circuits carry 1 to 10 µF against 10 kΩ: 100 ms at the most
HOLD_RESET_SECONDS = 0.1

# Schemes whose far end has no modem lines that we could move
LINELESS = ("socket://",)


class NoLines(Error):
    """The port has no DTR and RTS: a person must press the board's RESET button."""

    def __init__(self, port: str) -> None:
        super().__init__(
            f"{port} has no lines to reset the board with",
            hint="press the board's RESET button, or plug it in again",
        )


def open_port(url: str, baud: int = CONSOLE_BAUD) -> serial.SerialBase:
    """Open a port for this process alone, where the system can do that; reads end after 0.1 s.

    A board behind an auto-reset circuit runs on while its port is opened. Raises Error where there
    is no such port, it is busy, or may not be opened.
    """
    try:
        port = serial.serial_for_url(
            url, baudrate=baud, timeout=READ_SECONDS, exclusive=True, do_not_open=True
        )
        if sys.platform == "win32":
            # Elsewhere both lines rise together, which no auto-reset circuit takes as a reset;
            # Windows drivers raise them one after the other
            port.rts = port.dtr = False
        _open(port)
    except (OSError, ValueError) as error:
        raise with_holder(portfaults.cannot_open(url, str(error)), url) from None
    return port


def _open(port: serial.SerialBase) -> None:
    """Open it so that its socket, where it has one, is closed in any case.

    pyserial's RFC 2217 client leaves a socket open whose other end is gone.
    """
    close = port.close

    def closed() -> None:
        held = getattr(port, "_socket", None)
        close()
        if isinstance(held, socket.socket):
            held.close()

    port.close = closed
    try:
        port.open()
    except BaseException:
        port.close()
        raise


def reset(port: serial.SerialBase) -> None:
    """Restart the board into its application: EN low through RTS, with IO0 left high.

    Raises NoLines where the port has no such lines, and Error where the board went away.
    """
    name = str(port.port)
    if name.startswith(LINELESS):
        raise NoLines(name)
    try:
        port.dtr = False
        _set_rts(port, True)
        time.sleep(HOLD_RESET_SECONDS)
        _set_rts(port, False)
    except serial.SerialException as error:
        raise gone(name) from error
    except (OSError, NotImplementedError):
        # ENOTTY or EINVAL: a pseudo-terminal, or an adapter without these lines
        raise NoLines(name) from None


def gone(port: str) -> portfaults.Gone:
    """The error for a port that was taken away while it was open."""
    return portfaults.gone(port)


def holder(url: str) -> str:
    """The program that has a port open, as "name (pid 12)"; empty where the system won't tell."""
    return holders.of([url]).get(url, "")


def with_holder(error: Error, url: str) -> Error:
    """The same error; where it says that the port is busy, it says by whom, if that can be told."""
    who = holder(url) if "busy" in error.message else ""
    return Error(f"{error.message}: {who} has it open", error.hint) if who else error


def _set_rts(port: serial.SerialBase, state: bool) -> None:
    port.rts = state
    # Windows' usbser.sys passes RTS on only together with DTR
    port.dtr = port.dtr
