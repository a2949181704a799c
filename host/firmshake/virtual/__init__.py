"""A virtual ESP32 board that the real esptool and mpremote, and the real MicroPython, work with.

Imitated are the ROM loader, the UART, the radio's association and the reset circuit; MicroPython,
LittleFS, mbedTLS and the network are the real ones.
"""

from firmshake.virtual.devkit import VirtualBoard, Wifi
from firmshake.virtual.firmware import standin_firmware

__all__ = ["VirtualBoard", "Wifi", "standin_firmware"]
