"""A flash as the real MicroPython finds it: mounted, read, written to, mounted again."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from firmshake import tools

BLOCK = 4096
FOLDER = "folder"
# what `look` adds to every flash
WRITTEN = {"/written": bytes(20000), "/made/too": b"more"}

_DEVICE = """
import sys, os, json, hashlib, vfs

class Flash:
    def __init__(self, path, block, front):
        self.file = open(path, "r+b")
        self.block = block
        self.front = front
        self.count = self.file.seek(0, 2) // block + len(front) // block

    def place(self, block, offset):
        self.file.seek(block * self.block + offset - len(self.front))

    def readblocks(self, block, buffer, offset=0):
        if block * self.block < len(self.front):
            first = len(self.front)
            buffer[:first] = self.front[:len(buffer)]
            buffer = memoryview(buffer)[first:]
            block += 1
        if len(buffer):
            self.place(block, offset)
            assert self.file.readinto(buffer) == len(buffer)

    def writeblocks(self, block, buffer, offset=None):
        assert block * self.block >= len(self.front)
        if offset is None:
            self.ioctl(6, block)
            offset = 0
        self.place(block, offset)
        self.file.write(buffer)

    def ioctl(self, op, argument):
        if op == 4:
            return self.count
        if op == 5:
            return self.block
        if op == 6:
            self.place(argument, 0)
            self.file.write(b"\\xff" * self.block)
            return 0

def tree(folder, found):
    for name, kind, *_ in os.ilistdir(folder):
        path = folder + "/" + name
        if kind == 0x4000:
            found[path[2:]] = "folder"
            tree(path, found)
        else:
            with open(path, "rb") as file:
                found[path[2:]] = "".join("%02x" % b for b in hashlib.sha256(file.read()).digest())
    return found
"""
_MOUNT = {
    # ports/esp32 and ports/rp2: modules/_boot.py
    "littlefs": """
flash = Flash(sys.argv[1], 4096, b"")
mount = lambda: vfs.mount(vfs.VfsLfs2(flash, progsize=PROG), "/b")
""",
    # a FAT volume as it lies in flash
    "fat": """
flash = Flash(sys.argv[1], 512, b"")
mount = lambda: vfs.mount(vfs.VfsFat(flash), "/b")
""",
    # CircuitPython shows it behind a partition table that it makes up (supervisor/shared/flash.c)
    "circuitpython": """
size = os.stat(sys.argv[1])[6] // 512
row = bytes([0, 255, 255, 255, 6, 255, 255, 255]) + (1).to_bytes(4, "little")
row += size.to_bytes(4, "little")
flash = Flash(sys.argv[1], 512, bytes(446) + row + bytes(48) + b"\\x55\\xaa")
mount = lambda: vfs.mount(vfs.VfsFat(flash), "/b")
""",
}
_READ_AND_WRITE = """
mount()
found = tree("/b", {})
blocks = os.statvfs("/b")[2]
with open("/b/written", "wb") as file:
    for number in range(20):
        file.write(bytes(1000))
os.mkdir("/b/made")
with open("/b/made/too", "wb") as file:
    file.write(b"more")
vfs.umount("/b")
mount()
print(json.dumps([found, tree("/b", {}), blocks]))
"""
# many revisions of the folders, as on a board that has been in use
_AGE = """
mount()
folders = ["/b"] + ["/b" + path for path, what in tree("/b", {}).items() if what == "folder"]
for number in range(60):
    for folder in folders:
        with open(folder + "/aged", "w") as file:
            file.write(str(number))
vfs.umount("/b")
"""

_FORMAT = "vfs.VfsFat.mkfs(flash)"


class Seen(NamedTuple):
    """What is there by path, files by their SHA-256; `again` after WRITTEN was added."""

    found: dict[str, str]
    again: dict[str, str]
    blocks: int


def look(flash: bytes, folder: Path, kind: str = "littlefs", prog_size: int = 32) -> Seen:
    """Mount the flash, read all of it, write to it, mount it again and read it again."""
    done = _run(_READ_AND_WRITE, flash, folder, kind, prog_size)
    return Seen(*json.loads(done))


def aged(flash: bytes, folder: Path, kind: str = "littlefs", prog_size: int = 32) -> bytes:
    """The flash of a board that wrote into each of its folders many times."""
    _run(_AGE, flash, folder, kind, prog_size)
    return (folder / "flash.bin").read_bytes()


def formatted(flash: bytes, folder: Path) -> bytes:
    """The flash after MicroPython made a FAT volume in it."""
    _run(_FORMAT, flash, folder, "fat", 32)
    return (folder / "flash.bin").read_bytes()


def expected(files: Mapping[str, bytes]) -> dict[str, str]:
    """What `look` finds where exactly these files are."""
    made = {path: hashlib.sha256(data).hexdigest() for path, data in files.items()}
    for path in files:
        parts = path.split("/")
        made |= {"/".join(parts[:depth]): FOLDER for depth in range(2, len(parts))}
    return made


def noise(size: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(size)


def _run(script: str, flash: bytes, folder: Path, kind: str, prog_size: int) -> str:
    program, disk = folder / "mount.py", folder / "flash.bin"
    mount = _MOUNT[kind].replace("PROG", str(prog_size))
    program.write_text(_DEVICE + mount + script, encoding="utf-8")
    disk.write_bytes(flash)
    command = [*tools.micropython(), str(program), str(disk)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr or done.stdout
    return done.stdout
