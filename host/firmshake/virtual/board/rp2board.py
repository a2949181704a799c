# mypy: ignore-errors
# What the rp2 port does otherwise than the ESP32's: its filesystem, the module of its name, and its
# radio's numbers (ports/rp2: modules/_boot.py, network_cyw43.c).

import sys

import vfs

import network_esp32 as radio

_PROGSIZE = 256


class _Rp2:
    def country(self, code=None):
        return "XX"

    def bootsel_button(self):
        return 0


def install():
    sys.modules["rp2"] = _Rp2()
    radio.STAT_IDLE = 0
    radio.STAT_CONNECTING = 1
    radio.STAT_GOT_IP = 3
    radio.STAT_CONNECT_FAIL = -1
    radio.STAT_NO_AP_FOUND = -2
    radio.STAT_WRONG_PASSWORD = -3


def mount(bdev):
    try:
        vfs.mount(_filesystem(bdev), "/")
    except OSError:
        # whatever the reason
        vfs.VfsLfs2.mkfs(bdev, progsize=_PROGSIZE)
        vfs.mount(_filesystem(bdev), "/")


def _filesystem(bdev):
    return vfs.VfsLfs2(bdev, progsize=_PROGSIZE)
