# mypy: ignore-errors
# As loader.py, for runtimes whose stdin is text only (CircuitPython): blocks come as base64.

import binascii
import hashlib
import io
import sys

from zlib import decompress


def say(text):
    sys.stdout.write("\x02" + text + "\n")


def new_sha():
    try:
        return hashlib.sha256()
    except AttributeError:
        return hashlib.new("sha256")


def get(number):
    size, _, check, bits = B[number]
    for _ in range(3):
        block = bytearray()
        say("send %d" % number)
        for _ in range(0, size, W):
            piece = sys.stdin.read(W)
            sys.stdout.write("\x06")
            try:
                block += binascii.a2b_base64(piece)
            except ValueError:
                pass
        sha = new_sha()
        sha.update(block)
        if sha.digest()[:4] == check:
            return io.BytesIO(decompress(block, -bits))
        say("noise")
    raise ValueError("noise")


exec(str(get(0).read(), "utf8"))
say("done " + work())
