# mypy: ignore-errors
# `network`: an air with one access point in it. Sockets are the computer's own and always work.
# Codes and order of states are those of ports/esp32/network_wlan.c.

import sys
import time

STA_IF = 0
AP_IF = 1

STAT_IDLE = 1000
STAT_CONNECTING = 1001
STAT_GOT_IP = 1010
STAT_BEACON_TIMEOUT = 200
STAT_NO_AP_FOUND = 201
STAT_WRONG_PASSWORD = 202
STAT_ASSOC_FAIL = 203
STAT_HANDSHAKE_TIMEOUT = 204

AUTH_OPEN = 0
AUTH_WPA2_PSK = 3

_ASSOCIATE_MS = 300
# RFC 5737: an address for examples
_ADDRESS = ("192.0.2.10", "255.255.255.0", "192.0.2.1", "192.0.2.1")
_NO_ADDRESS = ("0.0.0.0",) * 4

_air = {"ssid": "", "password": None}
_mac = b""
_hostname = "mpy-esp32"


def install(settings):
    global _mac
    _air.update(settings["wifi"])
    _mac = bytes(settings["mac"])
    module = sys.modules["network_esp32"]
    module.__name__ = "network"
    sys.modules["network"] = module


def hostname(name=None):
    global _hostname
    if name is None:
        return _hostname
    _hostname = name


def country(code=None):
    return "XX"


class WLAN:
    IF_STA = STA_IF
    IF_AP = AP_IF
    _made = {}

    def __new__(cls, interface=STA_IF):
        # one object for each interface, as in the port
        if interface not in cls._made:
            cls._made[interface] = object.__new__(cls)
            cls._made[interface]._start(interface)
        return cls._made[interface]

    def __init__(self, interface=STA_IF):
        pass

    def _start(self, interface):
        self._interface = interface
        self._active = False
        self._asked = None
        self._outcome = STAT_IDLE
        self._settings = {"reconnects": 0, "pm": 1, "txpower": 20}

    def active(self, value=None):
        if value is None:
            return self._active
        self._active = bool(value)
        if not value:
            self.disconnect()
        return self._active

    def connect(self, ssid=None, key=None, bssid=None):
        if not self._active:
            raise OSError("Wifi Not Started")
        self._asked = time.ticks_ms()
        self._outcome = _outcome(ssid, key)

    def disconnect(self):
        self._asked = None
        self._outcome = STAT_IDLE

    def isconnected(self):
        return self.status() == STAT_GOT_IP

    def status(self, what=None):
        if what == "rssi":
            if not self.isconnected():
                raise OSError("Wifi Not Connected")
            return -50
        if self._asked is None:
            return STAT_IDLE
        if time.ticks_diff(time.ticks_ms(), self._asked) < _ASSOCIATE_MS:
            return STAT_CONNECTING
        return self._outcome

    def ifconfig(self, settings=None):
        if settings is None:
            return _ADDRESS if self.isconnected() else _NO_ADDRESS

    def config(self, *names, **values):
        self._settings.update(values)
        if not names:
            return None
        if names[0] == "mac":
            return _mac
        if names[0] in ("ssid", "essid"):
            return _air["ssid"] if self.isconnected() else ""
        if names[0] in ("hostname", "dhcp_hostname"):
            return _hostname
        return self._settings[names[0]]

    def scan(self):
        security = AUTH_OPEN if _air["password"] is None else AUTH_WPA2_PSK
        return [(_air["ssid"].encode(), b"\x02\0\0\0\0\x01", 1, -50, security, False)]


def _outcome(ssid, key):
    if ssid is None or _text(ssid) != _air["ssid"]:
        return STAT_NO_AP_FOUND
    if _air["password"] is not None and _text(key or "") != _air["password"]:
        return STAT_WRONG_PASSWORD
    return STAT_GOT_IP


def _text(value):
    return value if isinstance(value, str) else bytes(value).decode()
