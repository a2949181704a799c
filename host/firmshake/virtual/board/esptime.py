# mypy: ignore-errors
# `time` as on an ESP32: seconds count from 2000 and are whole, and a date has eight fields.

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


def install():
    module = sys.modules["esptime"]
    module.__name__ = "time"
    sys.modules["time"] = sys.modules["utime"] = module
