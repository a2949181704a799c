"""USB-serial chips that sit in front of boards, by their USB numbers. Does no I/O.

From the vendors' data sheets, and Linux's drivers cp210x, ch341, cdc_acm, ftdi_sio and pl2303.
"""

from __future__ import annotations

ADAPTERS = {
    (0x10C4, 0xEA60): "CP210x",
    (0x10C4, 0xEA70): "CP2105",
    (0x1A86, 0x7522): "CH340",
    (0x1A86, 0x7523): "CH340",
    (0x1A86, 0x5523): "CH341",
    (0x1A86, 0x55D3): "CH343",
    (0x1A86, 0x55D4): "CH9102",
    (0x0403, 0x6001): "FT232",
    (0x0403, 0x6010): "FT2232",
    (0x0403, 0x6011): "FT4232",
    (0x0403, 0x6014): "FT232H",
    (0x0403, 0x6015): "FT231X",
    (0x067B, 0x2303): "PL2303",
    (0x067B, 0x23A3): "PL2303",
}


def name(vid: int, pid: int) -> str:
    """Return the name of the adapter with these numbers, empty where it is none of these."""
    return ADAPTERS.get((vid, pid), "")
