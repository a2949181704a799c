"""What esptool's output says: the chip, the progress, and what went wrong.

Does no I/O. esptool has no machine-readable output, so its text is the only thing there is to go
by. Every phrase here was read in esptool 5.6 and is matched in this module alone; a phrase that is
not known ends as a plain error with esptool's own words beside it.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from firmshake import portfaults
from firmshake.errors import Error
from firmshake.portfaults import Fault


class NoBootloader(Error):
    """No boot loader answers on the port; another way in may do."""


class ChipReport(NamedTuple):
    """What esptool prints of a board that it connected to; flash_size in bytes."""

    chip: str
    description: str
    mac: str
    flash_size: int
    usb: str


_HOLD_BOOT = (
    "hold the board's BOOT button, press and release RESET (or plug it in again), release BOOT,"
    " then run the same command; a charge-only cable gives this too"
)
_SLOWER = "a lower speed: `firmshake provision --baud 115200`"
_NOISE = f"use a shorter cable or another USB port, or {_SLOWER}"

_SILENT = (
    Fault(
        r"Download mode successfully detected, but getting no sync reply",
        "the board on {port} is in its bootloader, but does not hear this computer",
        "check the wire to the board's RX pin, or use another cable",
    ),
    Fault(
        r"Wrong boot mode detected",
        "the board on {port} starts, but not into its bootloader",
        _HOLD_BOOT,
    ),
    Fault(
        r"Failed to connect to|No serial data received",
        "no board answers on {port}",
        _HOLD_BOOT,
        slower_may_help=True,
    ),
)

# What is said last and most exactly stands before what is general.
FAULTS = (
    Fault(
        r"[Ss]ecure [Dd]ownload [Mm]ode",
        "the board on {port} is locked (secure download mode): its flash cannot be read",
        "use a board that was not locked",
    ),
    Fault(
        r"[Ff]lash encryption|Secure Boot V1",
        "the board on {port} is locked: it starts only what was encrypted or signed for it",
        "use a board without flash encryption and secure boot",
    ),
    Fault(
        r"will not fit in|greater than detected flash size|larger than detected flash size",
        "the flash of the board on {port} is too small for what is to be written",
        "use a board with more flash",
    ),
    Fault(
        r"is not an ESP.{0,20} image|Wrong chip argument",
        "the board on {port} is not the chip that the firmware is for",
        "get the firmware for this chip",
    ),
    Fault(
        r"requires chip revision",
        "the firmware is not for this revision of the chip",
        "get newer firmware, or use another board",
    ),
    *portfaults.OPENING,
    portfaults.GONE,
    *_SILENT,
    Fault(
        r"Failed to set baud rate|Invalid baud rate",
        "the adapter on {port} cannot do this speed",
        f"use {_SLOWER}",
        slower_may_help=True,
    ),
    Fault(
        r"written flash region is empty|MD5 of file does not match",
        "what the board on {port} holds is not what was written",
        "run the same command again; if it stays, the board's flash is worn out or protected",
        slower_may_help=True,
    ),
    Fault(
        r"stopped responding|Serial data stream stopped|Packet content transfer stopped"
        r"|Invalid head of packet|Invalid SLIP escape|Corrupt data|Digest mismatch"
        r"|Expected digest|Timed out waiting for packet|No more data to read"
        r"|Failed to .{0,80} \(result|Unable to verify flash chip|Read more than expected"
        r"|Checksum error",
        "the line to the board on {port} loses bytes",
        _NOISE,
        slower_may_help=True,
    ),
)

_ADDRESS = re.compile(r"^Writing at (0x[0-9a-fA-F]{1,8})\b")
_UNITS = {"KB": 1024, "MB": 1024 * 1024}


def written_up_to(line: str) -> int | None:
    """The flash address that a line of progress has reached, None for any other line."""
    found = _ADDRESS.match(line)
    return int(found[1], 16) if found else None


def chip_report(output: str) -> ChipReport | None:
    """What esptool said of the board, None where it never connected.

    A flash whose size it could not detect is 0 bytes.
    """
    chip = _first(r"^Connected to (\S+) on ", output)
    mac = _first(r"^(?:BASE )?MAC: +([0-9a-fA-F:]+)", output)
    if not chip or not mac:
        return None
    return ChipReport(
        chip=chip,
        description=_first(r"^Chip type: +(.+)$", output).strip(),
        mac=mac.lower(),
        flash_size=_flash_size(_first(r"^Auto-detected flash size: (\w+)", output)),
        usb=_first(r"^USB mode: +(.+)$", output).strip(),
    )


def fault(output: str) -> Fault | None:
    """What went wrong, by esptool's words; None where they are not known."""
    words = complaint(output)
    if not words and "Connected to " in output:
        # A connection that broke while it was written to: the library that reads esptool's command
        # line (click) takes any EPIPE for that of its output, and ends without a word
        return portfaults.GONE
    return portfaults.find(FAULTS, words or output)


def slower_may_help(output: str) -> bool:
    """Whether it failed only after it had raised the line's speed, in a way that noise explains."""
    known = fault(output)
    return "Changing baud rate" in output and known is not None and known.slower_may_help


def complaint(output: str) -> str:
    """The part of the output in which esptool complains: from its error, or a traceback, on.

    Empty where it does not.
    """
    starts = [output.find(mark) for mark in ("ERROR: ", "Traceback (most recent call last)")]
    found = [start for start in starts if start >= 0]
    return output[min(found) :] if found else ""


def explain(output: str, port: str, task: str) -> Error:
    """The error for an esptool that failed: what, what to do, and esptool's last line."""
    known = fault(output)
    detail = last_words(complaint(output) if known else output)
    # where the port did not open or has gone, esptool's words add nothing to what was made of them
    is_clear = known in (*portfaults.OPENING[:-1], portfaults.GONE)
    said = f" (esptool: {detail})" if detail and not is_clear else ""
    if known is None:
        return Error(f"esptool failed to {task} on {port}{said}", hint=portfaults.REPLUG)
    kind = NoBootloader if known in _SILENT else Error
    return kind(known.message.format(port=port) + said, hint=known.hint)


def last_words(output: str) -> str:
    """The line in which esptool says what ended it, without its preamble; may be empty."""
    lines = [line.strip() for line in output.splitlines()]
    for line in lines:
        for preamble in ("A fatal error occurred: ", "A serial exception error occurred: "):
            if preamble in line:
                return _tame(line.partition(preamble)[2])
    said = [
        line for line in lines if line and not line.startswith(("Hint:", "For troubleshooting"))
    ]
    return _tame(said[-1]) if said else ""


def _tame(line: str) -> str:
    return "".join(c for c in line if c.isprintable())[:200].rstrip(".")


def _first(pattern: str, output: str) -> str:
    found = re.search(pattern, output, re.MULTILINE)
    return str(found[1]) if found else ""


def _flash_size(text: str) -> int:
    found = re.fullmatch(r"([0-9]{1,6})(KB|MB)", text)
    return int(found[1]) * _UNITS[found[2]] if found else 0
