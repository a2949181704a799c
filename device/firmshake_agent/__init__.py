"""The firmshake agent: climbs to an MQTT broker over mutual TLS and reports which stage failed.

Runs unmodified on MicroPython 1.23, CircuitPython 9 and CPython 3.11, and later versions of each.
"""

VERSION = "0.1.0"
