"""Firmware files: what they are by their own bytes, and a store of them on this computer."""
