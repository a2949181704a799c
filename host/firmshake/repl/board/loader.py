# mypy: ignore-errors
# Receives checked blocks over the REPL's own line, and runs the first of them. Given: W, the size
# of a piece; B, for each block its size on the line, how much of that lists holes, the first bytes
# of its SHA-256, and the bits of its window; FAST and SLOW, speeds of the line, 0 to leave it alone.
#
# No byte of a block is Ctrl-C, so that Ctrl-C stops this at any time. Each piece is acknowledged
# when it has been taken: what is on the way fits into the board's own buffer. While a block is
# written to flash nothing is on the way, since a chip may be deaf then.

import hashlib
import io
import select
import sys

from deflate import RAW, DeflateIO

taken = sys.stdin.buffer
waiting = select.poll()
waiting.register(sys.stdin, 1)


def say(text):
    sys.stdout.write("\x02" + text + "\n")


def get(number):
    size, holes, check, bits = B[number]
    for _ in range(3):
        block = io.BytesIO(size)
        piece = bytearray(W)
        say("send %d" % number)
        while block.tell() < size:
            if not waiting.poll(8000):
                raise OSError(110)
            taken.readinto(piece)
            block.write(piece)
            sys.stdout.write("\x06")
        block.seek(0)
        at = holes - 1
        for step in block.read(holes):
            at += step - 4
            if step < 255:
                block.seek(at)
                block.write(b"\x03")
        block.seek(holes)
        sha = hashlib.sha256()
        while True:
            count = block.readinto(piece)
            if not count:
                break
            sha.update(piece if count == W else piece[:count])
        if sha.digest()[:4] == check:
            block.seek(holes)
            return DeflateIO(block, RAW, bits)
        say("noise")
        while waiting.poll(200):
            taken.read(1)
    raise ValueError("noise")


def fast():
    import machine
    import time

    say("speed")
    time.sleep_ms(20)
    machine.UART(0, baudrate=FAST)
    if waiting.poll(1500) and taken.read(1) == b"U":
        return
    machine.UART(0, baudrate=SLOW)
    while waiting.poll(100):
        taken.read(1)


try:
    if FAST:
        fast()
    exec(str(get(0).read(), "utf8"))
    say("done " + work())
finally:
    if FAST:
        import machine
        import time

        say("slow")
        time.sleep_ms(20)
        machine.UART(0, baudrate=SLOW)
