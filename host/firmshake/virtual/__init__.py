"""Virtual boards that the real esptool and mpremote, and the real MicroPython, work with.

Imitated are the ROM loaders, the UART, the radio's association, the reset circuit and the drives;
MicroPython, LittleFS, mbedTLS and the network are the real ones. CircuitPython, of which there is
no build for computers, is imitated by CPython (see `circuitpython`).
"""

from firmshake.virtual.circuitboard import VirtualCircuitPython
from firmshake.virtual.devkit import VirtualBoard, Wifi
from firmshake.virtual.fault import BadFault, Cut, Faults
from firmshake.virtual.firmware import standin_firmware
from firmshake.virtual.pico import VirtualPico

__all__ = [
    "BadFault",
    "Cut",
    "Faults",
    "VirtualBoard",
    "VirtualCircuitPython",
    "VirtualPico",
    "Wifi",
    "standin_firmware",
]
