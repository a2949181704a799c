"""A board's unique id, from what it shows on USB or writes on its drive. Does no I/O.

An ESP32's is its base MAC address, in lower case with colons as esptool prints it; a Pico's is 16
digits in lower case, as MicroPython's machine.unique_id() gives them.
"""

from __future__ import annotations

import re

from firmshake.boards.table import Family, State

# the bootloader of every RP2040 shows this one (RP2040 datasheet, 2.8.5; its boot ROM, versions 2
# and 3), and MicroPython on the ESP32 up to 1.22 showed the other
_OF_NO_BOARD = ("e0c9125b0d9b", "123456")

_BYTES = re.compile(r"(?:[0-9a-f]{2})+")


def of_usb(serial_number: str, family: Family, state: State) -> str | None:
    """Return the unique id in a USB serial number; None where it is no board's own."""
    found = digits(serial_number)
    if not found or found in _OF_NO_BOARD:
        return None
    if family == "rp2":
        return found if len(found) == 16 else None
    if state == "circuitpython":
        return _mac(_swapped(found)) if len(found) == 12 else None
    # MicroPython shows eight bytes, of which the MAC is six (ports/esp32/usb.c)
    return _mac(found[:12]) if len(found) in (12, 16) else None


def of_boot_out(uid: str, mac: str, family: Family) -> str | None:
    """Return the unique id from the lines UID and MAC of CircuitPython's boot_out.txt."""
    found = digits(uid)
    if family == "rp2":
        # the MAC is that of the radio beside the chip
        return found if found and len(found) == 16 else None
    address = digits(mac) or (_swapped(found) if found else None)
    return _mac(address) if address and len(address) == 12 else None


def digits(text: str) -> str | None:
    """Return the lower-case hexadecimal digits of an id however it is written; None if it is none.

    Two spellings of one id have the same digits.
    """
    found = text.replace(":", "").replace("-", "").lower()
    return found if _BYTES.fullmatch(found) else None


def spelled(text: str) -> str | None:
    """Return a board's unique id, however it is written, as it is spelled here; None if it is none.

    Twelve digits are a MAC address, sixteen a Pico's.
    """
    found = digits(text)
    if not found or len(found) not in (12, 16) or found in _OF_NO_BOARD:
        return None
    return found if len(found) == 16 else _mac(found)


def is_same(known: str | None, told: str | None) -> bool:
    """Return whether two ids may be one board's: they are, or one of them is not known."""
    return known is None or told is None or digits(known) == digits(told)


def _swapped(found: str) -> str:
    """CircuitPython swaps the digits of each byte of a MAC (ports/espressif, Processor.c)."""
    return "".join(found[at + 1] + found[at] for at in range(0, len(found), 2))


def _mac(found: str) -> str:
    return bytes.fromhex(found).hex(":")
