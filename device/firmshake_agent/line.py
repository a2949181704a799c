"""The serial line: one event a line, written by the board and read by the host with this module.

`@fs1 <seq> <ms> <stage> <state> [key=value ...] *<crc>`, specified in docs/serial-protocol.md.
Runs unmodified on MicroPython, CircuitPython and CPython. Does no I/O.
"""

# The mark names the protocol and its version. "@" is always escaped in values, so the mark
# occurs nowhere else in a line and a reader finds the true start behind any noise.
MARK = "@fs1 "

# Two plain lines for people follow a fail line.
WHY = "- why: "
FIX = "- fix: "

# Longest line, without its line end: one certificate's evidence fits, and it is 90 ms at
# 115200 baud. What does not fit is left out, and `cut=1` says so.
MAX_LINE = 1024
_CUT = " cut=1"
_TAIL = 6  # " *" and four digits

_HEX = "0123456789ABCDEFabcdef"
_NAME = "abcdefghijklmnopqrstuvwxyz0123456789_"
_ESCAPED = b"%*=@"

# CRC-16/CCITT-FALSE (polynomial 0x1021) by half bytes: 16 entries rather than 256, for the heap.
_CRC = (
    0x0000, 0x1021, 0x2042, 0x3063, 0x4084, 0x50A5, 0x60C6, 0x70E7,
    0x8108, 0x9129, 0xA14A, 0xB16B, 0xC18C, 0xD1AD, 0xE1CE, 0xF1EF,
)  # fmt: skip


def crc16(data: "str | bytes", crc: int = 0xFFFF) -> int:
    """CRC-16/CCITT-FALSE of the bytes, or of the text's UTF-8; "123456789" gives 0x29B1."""
    if isinstance(data, str):
        data = data.encode()
    for byte in data:
        crc = ((crc << 4) & 0xFFFF) ^ _CRC[(crc >> 12) ^ (byte >> 4)]
        crc = ((crc << 4) & 0xFFFF) ^ _CRC[(crc >> 12) ^ (byte & 15)]
    return crc


def format_line(
    seq: int,
    ms: int,
    stage: str,
    state: str,
    fields: "list[tuple[str, object]]",
    most: int = MAX_LINE,
) -> str:
    """The event's line, without its line end, at most `most` bytes, ASCII only.

    Fields whose value is None are skipped. A field that would make the line too long is left out,
    and `cut=1` is added. Keys and names are lower case letters, digits and "_".
    """
    parts = [f"{MARK}{seq} {ms} {stage} {state}"]
    room = most - _TAIL - len(_CUT) - len(parts[0])
    cut = False
    for key, value in fields:
        if value is None:
            continue
        field = " " + key + "=" + _encode(str(value))
        if len(field) > room:
            cut = True
            continue
        room -= len(field)
        parts.append(field)
    if cut:
        parts.append(_CUT)
    body = "".join(parts)
    return f"{body} *{crc16(body):04X}"


def parse_line(text: str) -> "tuple[int, int, str, str, list[tuple[str, str]]] | None":
    """(seq, ms, stage, state, [(key, value)]), or None where text holds no intact event.

    The mark may stand anywhere in the text: noise before it, and after the checksum, is ignored.
    Names that this version does not know are returned as they are.
    """
    start = text.find(MARK)
    end = text.find(" *", start + len(MARK)) if start >= 0 else -1
    if end < 0:
        return None
    # a board that resets in the middle of a line leaves a half line before the whole one
    start = text.rfind(MARK, start, end)
    try:
        return _parse(text[start:end], text[end + 2 : end + 6])
    except ValueError:  # not a number, not an escape, not UTF-8
        return None


def _parse(body: str, digits: str) -> "tuple[int, int, str, str, list[tuple[str, str]]] | None":
    data = body.encode()
    # only ASCII has as many bytes as characters; the digits are compared as written: upper case
    if len(data) != len(body) or f"{crc16(data):04X}" != digits:
        return None
    words = body.split(" ")
    if len(words) < 5 or not (words[1].isdigit() and words[2].isdigit()):
        return None
    if not (_is_name(words[3]) and _is_name(words[4])):
        return None
    fields = []
    for word in words[5:]:
        pair = word.split("=")
        if len(pair) != 2 or not _is_name(pair[0]):
            return None
        fields.append((pair[0], _decode(pair[1])))
    return int(words[1]), int(words[2]), words[3], words[4], fields


def _is_name(text: str) -> bool:
    for char in text:
        if char not in _NAME:
            return False
    return text != ""


def _encode(text: str) -> str:
    try:
        data = text.encode()
    except ValueError:  # half of a surrogate pair has no UTF-8 (CPython only)
        data = bytes([ord(char) if ord(char) < 128 else 63 for char in text])
    for byte in data:
        if not 0x20 < byte < 0x7F or byte in _ESCAPED:
            return "".join([_escape(byte) for byte in data])
    return text


def _escape(byte: int) -> str:
    if 0x20 < byte < 0x7F and byte not in _ESCAPED:
        return chr(byte)
    return f"%{byte:02X}"


def _decode(text: str) -> str:
    parts = text.split("%")
    data = bytearray(parts[0].encode())
    for part in parts[1:]:
        if len(part) < 2 or part[0] not in _HEX or part[1] not in _HEX:
            raise ValueError("escape")
        data.append(int(part[:2], 16))
        data.extend(part[2:].encode())
    return bytes(data).decode()
