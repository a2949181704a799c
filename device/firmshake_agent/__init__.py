"""The firmshake agent: climbs to an MQTT broker over mutual TLS and reports which stage failed.

Runs unmodified on MicroPython 1.23 and later, and on CPython 3.11 and later.
"""

VERSION = "0.1.0"
