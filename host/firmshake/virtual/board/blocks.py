# mypy: ignore-errors
# The flash as a block device. Its functions never branch: MicroPython raises KeyboardInterrupt at
# a jump, and inside LittleFS that would leave a filesystem half changed. A real flash driver is C.

SIZE = 4096
ERASED = b"\xff" * SIZE


class Blocks:
    def __init__(self, file, start, size):
        self._file = file
        self._start = start
        # init, deinit, sync; block count, block size, erase
        self._ioctls = {
            1: self._nothing,
            2: self._nothing,
            3: self._nothing,
            4: lambda _: size // SIZE,
            5: lambda _: SIZE,
            6: self._erase,
        }

    def readblocks(self, block, buffer, offset=0):
        self._file.seek(self._start + block * SIZE + offset)
        self._file.readinto(buffer)

    def writeblocks(self, block, buffer, offset=0):
        # programming only clears bits
        at = self._start + block * SIZE + offset
        count = len(buffer)
        self._file.seek(at)
        old = int.from_bytes(self._file.read(count), "little")
        self._file.seek(at)
        self._file.write((old & int.from_bytes(buffer, "little")).to_bytes(count, "little"))

    def ioctl(self, operation, argument):
        return self._ioctls[operation](argument)

    def is_erased(self):
        self._file.seek(self._start)
        return self._file.read(SIZE) == ERASED

    def _nothing(self, _):
        return 0

    def _erase(self, block):
        self._file.seek(self._start + block * SIZE)
        self._file.write(ERASED)
        return 0
