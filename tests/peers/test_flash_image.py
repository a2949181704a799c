"""The sparse image, mounted by the real MicroPython over flash that was not blank."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
from pathlib import Path

import pytest

from firmshake import image, tools
from firmshake.image import BLOCK_SIZE

BLOCK_COUNTS = (64, 368, 512, 3584)

# Mounts the flash as ports/esp32 does, hashes every file, then writes, remounts and reads again
MOUNT = """
import sys, os, json, hashlib, vfs

class Flash:
    def __init__(self, path, count):
        self.file = open(path, "r+b")
        self.count = count

    def readblocks(self, block, buffer, offset=0):
        self.file.seek(block * 4096 + offset)
        assert self.file.readinto(buffer) == len(buffer)

    def writeblocks(self, block, buffer, offset=None):
        if offset is None:
            self.ioctl(6, block)
            offset = 0
        self.file.seek(block * 4096 + offset)
        self.file.write(buffer)

    def ioctl(self, op, argument):
        if op == 4:
            return self.count
        if op == 5:
            return 4096
        if op == 6:
            self.file.seek(argument * 4096)
            self.file.write(b"\\xff" * 4096)
            return 0

def tree(folder, found):
    for name, kind, *_ in os.ilistdir(folder):
        path = folder + "/" + name
        if kind == 0x4000:
            tree(path, found)
        else:
            with open(path, "rb") as file:
                found[path[2:]] = "".join("%02x" % b for b in hashlib.sha256(file.read()).digest())
    return found

flash = Flash(sys.argv[1], int(sys.argv[2]))
vfs.mount(vfs.VfsLfs2(flash), "/b")
os.chdir("/b")
found = tree("/b", {})
with open("/b/written", "wb") as file:
    for number in range(20):
        file.write(bytes(1000))
os.mkdir("/b/made")
with open("/b/made/too", "wb") as file:
    file.write(b"more")
space = os.statvfs("/b")[2]
os.chdir("/")
vfs.umount("/b")
vfs.mount(vfs.VfsLfs2(flash), "/b")
again = tree("/b", {})
print(json.dumps([found, again, space]))
"""


def files(seed: int) -> dict[str, bytes]:
    """A tree of a board's shape: small files inside directories, larger ones in blocks."""
    source = random.Random(seed)
    made = {"/main.py": b"import x\n", "/firmshake/key.der": source.randbytes(121)}
    made |= {f"/lib/agent/m{n}.mpy": source.randbytes(source.randrange(6000)) for n in range(12)}
    return made | {f"/lib/deep/{n}/er/f": source.randbytes(n * 300) for n in range(5)}


def mounted(flash: bytes, block_count: int, folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    """SHA-256 of all files by path, as MicroPython finds them, and again after it wrote."""
    script, disk = folder / "mount.py", folder / "flash.bin"
    script.write_text(MOUNT, encoding="utf-8")
    disk.write_bytes(flash)
    command = [*tools.micropython(), str(script), str(disk), str(block_count)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr or done.stdout
    found, again, space = json.loads(done.stdout)
    assert space == block_count
    return found, again


def expected(tree: dict[str, bytes]) -> dict[str, str]:
    return {path: hashlib.sha256(data).hexdigest() for path, data in tree.items()}


def noise(block_count: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(block_count * BLOCK_SIZE)


@pytest.mark.parametrize("block_count", BLOCK_COUNTS)
@pytest.mark.parametrize("before", ["erased", "random"])
def test_micropython_reads_every_file_whatever_the_flash_held(
    block_count: int, before: str, tmp_path: Path
) -> None:
    size = block_count * BLOCK_SIZE
    flash = b"\xff" * size if before == "erased" else noise(block_count, block_count)
    tree = files(block_count)
    written = image.laid_over(flash, image.build(tree, block_count).runs)
    found, again = mounted(written, block_count, tmp_path)
    assert found == expected(tree)
    assert again == expected(tree | {"/written": bytes(20000), "/made/too": b"more"})


@pytest.mark.parametrize("older", range(6))
def test_an_older_filesystem_never_shows_through(older: int, tmp_path: Path) -> None:
    """The older image lies alike, and its directories have been written to many times."""
    block_count = 512
    flash = image.laid_over(noise(block_count, older), image.build(files(older), block_count).runs)
    for _ in range(older):
        (tmp_path / "flash.bin").write_bytes(flash)
        mounted_flash(tmp_path, block_count)
        flash = (tmp_path / "flash.bin").read_bytes()
    tree = files(100 + older)
    found, _ = mounted(
        image.laid_over(flash, image.build(tree, block_count).runs), block_count, tmp_path
    )
    assert found == expected(tree)


def mounted_flash(folder: Path, block_count: int) -> None:
    """Let MicroPython write many revisions of every directory into the flash."""
    script = folder / "age.py"
    script.write_text(AGE, encoding="utf-8")
    command = [*tools.micropython(), str(script), str(folder / "flash.bin"), str(block_count)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)


AGE = (
    MOUNT.partition("found = tree")[0]
    + """
for number in range(60):
    for folder in ("/b", "/b/lib", "/b/lib/agent", "/b/firmshake"):
        with open(folder + "/aged", "w") as file:
            file.write(str(number))
"""
)
