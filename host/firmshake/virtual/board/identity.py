# mypy: ignore-errors
# `sys` and `os` as they name the port and the board: what programs and tools know a board by.

import os
import sys
from collections import namedtuple

implementation = namedtuple("implementation", ("name", "version", "_machine", "_mpy"))
_Uname = namedtuple("uname", ("sysname", "nodename", "release", "version", "machine"))


class _Named:
    # a module that has another's attributes, and some of its own
    def __init__(self, module, own):
        for name in dir(module):
            if not name.startswith("__"):
                setattr(self, name, getattr(module, name))
        for name, value in own.items():
            setattr(self, name, value)


def install(settings):
    platform, machine = settings["platform"], settings["machine"]
    old = sys.implementation
    new = implementation(old.name, old.version, machine, getattr(old, "_mpy", 0))
    release = ".".join([str(part) for part in old.version[:3]])
    version = sys.version.split("; ")[1].replace("MicroPython ", "")
    uname = _Uname(platform, platform, release, version, machine)
    modules = sys.modules
    modules["sys"] = _Named(sys, {"platform": platform, "implementation": new})
    modules["os"] = modules["uos"] = _Named(os, {"uname": lambda: uname})
