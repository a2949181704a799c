# mypy: ignore-errors
# Says who runs here, in lines of a word, a tab and a value. For MicroPython and CircuitPython.

import gc
import os
import sys

gc.collect()


def tell(word, value):
    print(word + "\t" + str(value))


tell("name", sys.implementation.name)
tell("version", ".".join(str(part) for part in sys.implementation.version[:3]))
tell("machine", getattr(sys.implementation, "_machine", ""))
tell("platform", sys.platform)
try:
    import machine

    tell("id", "".join("%02x" % byte for byte in machine.unique_id()))
except ImportError:
    try:
        import microcontroller

        tell("id", "".join("%02x" % byte for byte in microcontroller.cpu.uid))
    except ImportError:
        pass
space = os.statvfs("/")
tell("space", space[0] * space[2])
tell("free", space[0] * space[3])
tell("block", space[0])
tell("memory", gc.mem_free())
tell("binary", int(hasattr(sys.stdin, "buffer")))
for name in ("deflate", "zlib"):
    try:
        __import__(name)
        tell("inflate", name)
        break
    except ImportError:
        pass
