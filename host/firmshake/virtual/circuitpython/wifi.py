"""CircuitPython's `wifi`: a radio that the firmware has joined to the network, and one other."""

from __future__ import annotations

SSID, PASSWORD = "shed", "the shed's password"


class Radio:
    """`wifi.radio`."""

    def __init__(self) -> None:
        self.enabled = True
        self.connected = True
        self.ipv4_address: str | None = "127.0.0.1"

    def connect(self, ssid: str, password: str = "", *, timeout: float | None = None) -> None:
        """Join. Raises ConnectionError with a text and no number."""
        if password and not 8 <= len(password) <= 64:
            raise ValueError("password length must be 8-64")
        self.connected = False
        if ssid != SSID:
            raise ConnectionError("No network with that ssid")
        if PASSWORD and password != PASSWORD:
            raise ConnectionError("Authentication failure")
        self.connected = True
        self.ipv4_address = "127.0.0.1"


radio = Radio()
