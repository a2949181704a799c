# mypy: ignore-errors
# `machine`, as far as a board without pins can have one. The clock is the one that libfaketime
# gives this process: setting it rewrites the offset that libfaketime reads.

import sys
import termios
import time

PWRON_RESET = 1
HARD_RESET = 2
WDT_RESET = 3
DEEPSLEEP_RESET = 4
SOFT_RESET = 5

_HARD = 66
_BOOTLOADER = 67

_clock_file = None
_offset = 0
_unique_id = b""
_reset_cause = PWRON_RESET
_frequency = 160000000


def install(settings, clock):
    global _clock_file, _offset, _unique_id, _reset_cause
    _clock_file = clock
    _offset = settings["offset"]
    _unique_id = bytes(settings["unique_id"])
    _reset_cause = settings["reset_cause"]
    module = sys.modules["machine_esp32"]
    module.__name__ = "machine"
    if settings["platform"] == "rp2":
        module.bootloader = _bootloader
    sys.modules["machine"] = sys.modules["umachine"] = module


class UART:
    # number 0 is the REPL's line, of which only the speed can change
    def __init__(self, number, baudrate=0, **_):
        if number:
            raise ValueError("UART(%d) is not wired" % number)
        if baudrate:
            _set_speed(getattr(termios, "B%d" % baudrate))


def _set_speed(code):
    attributes = termios.tcgetattr(0)
    attributes[4] = attributes[5] = code
    # where Linux keeps it: CBAUD and CBAUDEX of the control flags
    attributes[2] = attributes[2] & ~0o10017 | code
    termios.tcsetattr(0, termios.TCSANOW, attributes)


class RTC:
    def datetime(self, value=None):
        if value is None:
            now = time.gmtime()
            return now[0], now[1], now[2], now[6], now[3], now[4], now[5], 0
        year, month, day, _, hour, minute, second, _ = value
        _set_clock((year, month, day, hour, minute, second, 0, 0, 0))

    def init(self, value):
        self.datetime(value)


def _set_clock(date):
    global _offset
    # no clock of its own: the board keeps the computer's
    if _clock_file is None:
        return
    _offset += int(time.mktime(date)) - int(time.time())
    _clock_file.seek(0)
    _clock_file.write(b"%+021d\n" % _offset)
    _clock_file.flush()


def unique_id():
    return _unique_id


def reset():
    _leave(_HARD)


def _bootloader(timeout_ms=0):
    _leave(_BOOTLOADER)


def soft_reset():
    raise SystemExit


def reset_cause():
    return _reset_cause


def freq(value=None):
    global _frequency
    if value is None:
        return _frequency
    _frequency = value


def idle():
    pass


def lightsleep(ms=0):
    time.sleep_ms(ms)


def deepsleep(ms=0):
    time.sleep_ms(ms)
    reset()


class Pin:
    IN = 1
    OUT = 3
    PULL_DOWN = 1
    PULL_UP = 2

    def __init__(self, number, mode=-1, pull=-1, value=0):
        self._value = value

    def init(self, mode=-1, pull=-1, value=0):
        self._value = value

    def value(self, value=None):
        if value is None:
            return self._value
        self._value = 1 if value else 0

    __call__ = value

    def on(self):
        self._value = 1

    def off(self):
        self._value = 0


def _leave(status):
    # at once, past every `except` and `finally`, as a reset is
    try:
        import ffi
    except ImportError:
        sys.exit(status)
    ffi.open(None).func("v", "_exit", "i")(status)
