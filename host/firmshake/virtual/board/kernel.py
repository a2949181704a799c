# mypy: ignore-errors
# What a port of MicroPython (the ESP32's, and rp2 where that differs) does around the interpreter:
# mount the flash at "/", run boot.py and main.py, then read the serial line. Written for
# MicroPython, run by it.

import gc
import json
import os
import sys

import vfs

import blocks
import esptime
import identity
import machine_esp32
import network_esp32
import repl
import rp2board

# How the process ends tells the host what the board does next (see child.py there)
SOFT_RESET = 64
SOFT_RESET_RAW = 65

_SIGHUP = 1
_SIGKILL = 9
_PR_SET_PDEATHSIG = 1

CORRUPTED = """\
The filesystem appears to be corrupted: block 0 is not erased, and no filesystem can be mounted.
Write a filesystem to it, or erase it and it is formatted at the next start.
"""


def run(scope):
    scope.pop("__file__", None)
    settings = _settings()
    _die_with(settings["host"])
    # by opening it a session's leader makes the terminal its own: Ctrl-C and hang-up reach it
    terminal = open(settings["terminal"], "rb")
    flash = open("/dev/fd/%d" % settings["flash"], "r+b")
    machine_esp32.install(settings, _clock(settings))
    network_esp32.install(settings)
    esptime.install(settings)
    identity.install(settings)
    if settings["platform"] == "rp2":
        rp2board.install()
    bdev = blocks.Blocks(flash, settings["start"], settings["size"])
    console = repl.Console(scope, settings, sys.path[0] + "/")
    vfs.umount("/")
    sys.path[:] = ["", ".frozen", "/lib"]
    if settings["platform"] == "rp2":
        rp2board.mount(bdev)
    else:
        _mount(bdev, console)
    os.chdir("/")
    gc.collect()
    try:
        if settings["mode"] != "interrupted":
            _scripts(console)
        console.serve()
    except repl.Gone:
        sys.exit(0)
    except SystemExit:
        # what a program's sys.exit() does on a board
        pass
    terminal.close()
    print("MPY: soft reboot")
    sys.exit(SOFT_RESET_RAW if console.raw else SOFT_RESET)


def _settings():
    with open("/dev/fd/" + sys.argv[1]) as file:
        settings = json.load(file)
    sys.argv[:] = []
    return settings


def _die_with(host):
    # beyond the terminal's hang-up, which is ignored where the host was started to ignore it
    try:
        import ffi

        libc = ffi.open(None)
        libc.func("p", "signal", "ip")(_SIGHUP, 0)
        libc.func("i", "prctl", "iiiii")(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0)
    except (ImportError, OSError):
        # not Linux, or a MicroPython without ffi
        return
    if libc.func("i", "getppid", "")() != host:
        sys.exit(0)


def _clock(settings):
    number = settings["clock"]
    return None if number is None else open("/dev/fd/%d" % number, "r+b")


def _mount(bdev, console):
    try:
        vfs.mount(_filesystem(bdev), "/")
    except OSError:
        if not bdev.is_erased():
            console.repeat(CORRUPTED)
        print("Performing initial setup")
        vfs.VfsLfs2.mkfs(bdev, readsize=32, progsize=32, lookahead=32)
        vfs.mount(_filesystem(bdev), "/")
        with open("/boot.py", "w") as file:
            file.write("# Runs at every start, before main.py\n")


def _filesystem(bdev):
    return vfs.VfsLfs2(bdev, readsize=32, progsize=32, lookahead=32)


def _scripts(console):
    # as the port does: no main.py after a boot.py that failed, and none on the way to a raw REPL
    if console.run_file("boot.py") and not console.raw:
        console.run_file("main.py")
