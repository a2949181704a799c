# mypy: ignore-errors
# `time` as on a board: seconds are whole and count from 2000 (ESP32) or 1970 (rp2), and a date has
# eight fields.

import sys

import time as unix
from time import *  # noqa: F403

_EPOCH = 946684800


def time():
    return int(unix.time()) - _EPOCH


def time_ns():
    return unix.time_ns() - _EPOCH * 1000000000


def gmtime(seconds=None):
    return unix.gmtime(unix.time() if seconds is None else seconds + _EPOCH)[:8]


localtime = gmtime


def mktime(date):
    return int(unix.mktime(tuple(date) + (0,) * (9 - len(date)))) - _EPOCH


def install(settings):
    global _EPOCH
    if settings["platform"] == "rp2":
        _EPOCH = 0
    module = sys.modules["esptime"]
    module.__name__ = "time"
    sys.modules["time"] = sys.modules["utime"] = module
