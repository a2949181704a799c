"""Labels for devices as SVG: a QR code of device id and certificate, and both to be read by people.

A scanner reads `firmshake:1:DEVICE-ID:SHA-256`: the version of this form, and the certificate's
fingerprint in lower-case hexadecimal. Does no I/O.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import islice

import segno

from firmshake import deviceid
from firmshake.errors import Error

_FORM = "firmshake:1:{}:{}"

# ISO/IEC 18004 section 6.3.8: of light modules, on each side
_QUIET = 4
# Three dots of a label printer of 300 dpi, two of one of 203; cameras of phones need no more
_LEAST_MODULE_MM = 0.25
# in tenths of a millimetre; the capitals of the least are a millimetre high
_LEAST_FONT, _LARGEST_FONT = 14, 40
_LEAST_WHOLE_MM = 2.0  # a smaller font only where the id is broken in two even so
_ADVANCE, _LINE = 0.6, 1.25  # of the font's size: a monospaced letter's width, a line's height
_MARGIN_MM = 1.0
_FONT = "DejaVu Sans Mono, Menlo, Consolas, monospace"
# of the fingerprint, for people: enough to tell certificates apart; in groups of four
_DIGITS = 16

_SHEETS = {"a4": (210.0, 297.0), "letter": (215.9, 279.4)}
SHEETS = tuple(_SHEETS)
_SHEET_MARGIN_MM, _GAP_MM = 10.0, 2.0
_SMALLEST_MM, _LARGEST_MM = 8.0, 300.0


@dataclass(frozen=True)
class Size:
    """A label's size in millimetres."""

    width: float
    height: float


@dataclass(frozen=True)
class Label:
    """What stands on a label; `fingerprint` is the certificate's SHA-256, hexadecimal."""

    device_id: str
    fingerprint: str

    @property
    def payload(self) -> str:
        """The text in the QR code."""
        return _FORM.format(deviceid.check(self.device_id), self.fingerprint)


def size(text: str) -> Size:
    """Return the size in a text such as 50x25, millimetres; raise Error where it is none."""
    found = re.fullmatch(r"(\d{1,3}(?:\.\d{1,2})?)x(\d{1,3}(?:\.\d{1,2})?)", text.strip().lower())
    sides = [float(side) for side in found.groups()] if found else [0.0]
    if not all(_SMALLEST_MM <= side <= _LARGEST_MM for side in sides):
        raise Error(
            f"{text!r} is no size of a label",
            hint="give width x height in millimetres, such as 50x25",
        )
    return Size(*sides)


def check(labels: Sequence[Label], size: Size, paper: str | None) -> None:
    """Raise Error where a label is too small for what is on it, or too large for the paper."""
    if paper is not None:
        _places(size, Size(*_SHEETS[paper]))
    single(max(labels, key=lambda label: len(label.device_id)), size)


def single(label: Label, size: Size) -> str:
    """Return the SVG of one label; raise Error where the label is too small for it."""
    return _document(size, _drawn(label, size))


def sheets(labels: Iterable[Label], size: Size, paper: str) -> Iterator[str]:
    """Yield SVGs of whole sheets, filled row by row; `paper` is one of SHEETS.

    Raises Error where a label does not fit.
    """
    page = Size(*_SHEETS[paper])
    places = _places(size, page)
    left = iter(labels)
    while group := list(islice(left, len(places))):
        drawn = (
            f'<g transform="translate({_mm(x)} {_mm(y)})">{_drawn(label, size)}{_cut(size)}</g>\n'
            for label, (x, y) in zip(group, places, strict=False)
        )
        yield _document(page, "".join(drawn))


def _places(size: Size, page: Size) -> list[tuple[float, float]]:
    across, down = (
        int((whole - 2 * _SHEET_MARGIN_MM + _GAP_MM) / (one + _GAP_MM))
        for whole, one in ((page.width, size.width), (page.height, size.height))
    )
    if across < 1 or down < 1:
        raise Error("a label is larger than the sheet", hint="give a smaller --size")
    return [
        (
            _SHEET_MARGIN_MM + column * (size.width + _GAP_MM),
            _SHEET_MARGIN_MM + row * (size.height + _GAP_MM),
        )
        for row in range(down)
        for column in range(across)
    ]


def _drawn(label: Label, size: Size) -> str:
    """The code and the text: beside it on a wide label, below it on another."""
    wide = size.width >= 1.5 * size.height
    if wide:
        side = size.height
        area = Size(size.width - side - _MARGIN_MM, size.height - 2 * _MARGIN_MM)
        x, y = side, _MARGIN_MM
    else:
        side = min(size.width, size.height * 0.75)
        area = Size(size.width - 2 * _MARGIN_MM, size.height - side - _MARGIN_MM)
        x, y = _MARGIN_MM, side
    left = 0.0 if wide else (size.width - side) / 2
    title = f"<title>{escape(label.device_id)}</title>"
    return title + _code(label, left, side) + _text(label, x, y, area)


def _code(label: Label, left: float, side: float) -> str:
    """The QR code in a square of `side` millimetres, its quiet zone in it."""
    for level in ("m", "l"):
        code = segno.make(label.payload, error=level, micro=False, boost_error=False)
        modules = len(code.matrix) + 2 * _QUIET
        if side / modules >= _LEAST_MODULE_MM:
            break
    else:
        raise _too_small(label, math.ceil(_LEAST_MODULE_MM * modules))
    path = "".join(_runs(code.matrix))
    scale = f"{side / modules:.5f}"
    return (
        f'<g transform="translate({_mm(left)} 0) scale({scale})" shape-rendering="crispEdges">'
        f'<rect width="{modules}" height="{modules}" fill="#fff"/><path d="{path}"/></g>'
    )


def _runs(matrix: Sequence[bytearray]) -> Iterator[str]:
    """The dark modules as rectangles, those beside each other as one."""
    for y, row in enumerate(matrix):
        line = "".join("#" if module else " " for module in row)
        for run in re.finditer("#+", line):
            length = run.end() - run.start()
            yield f"M{run.start() + _QUIET} {y + _QUIET}h{length}v1h-{length}z"


def _text(label: Label, x: float, y: float, area: Size) -> str:
    """Id and fingerprint, as large as the area allows."""
    font, lines = _largest(label, area)
    made = []
    for number, (line, bold) in enumerate(lines, 1):
        # told in millimetres, a line is as long in any font that the printer has
        length = _mm(len(line) * _ADVANCE * font)
        weight = ' font-weight="bold"' if bold else ""
        baseline = _mm(y + (number - 0.25) * _LINE * font)
        made.append(
            f'<text x="{_mm(x)}" y="{baseline}" textLength="{length}"'
            f' lengthAdjust="spacingAndGlyphs"{weight}>{escape(line)}</text>'
        )
    return f'<g font-family="{_FONT}" font-size="{_mm(font)}">{"".join(made)}</g>'


def _largest(label: Label, area: Size) -> tuple[float, list[tuple[str, bool]]]:
    """The font's size and the lines; an id in one piece is better than a larger one."""
    fonts = [tenths / 10 for tenths in range(_LARGEST_FONT, _LEAST_FONT - 1, -1)]
    whole = [font for font in fonts if font >= _LEAST_WHOLE_MM]
    for font in whole:
        lines = _lines(label, area, font)
        if lines and lines[0][0] == label.device_id:
            return font, lines
    for font in fonts:
        if lines := _lines(label, area, font):
            return font, lines
    raise _too_small(label)


def _lines(label: Label, area: Size, font: float) -> list[tuple[str, bool]]:
    """The text's lines and whether each is bold; none where they have no room."""
    room = int(area.width / (_ADVANCE * font))
    if room < 9:  # two groups of digits
        return []
    name = label.device_id
    lines = [(name[start : start + room], True) for start in range(0, len(name), room)]
    digits = label.fingerprint[:_DIGITS]
    per_line = 16 if room >= 19 else 8
    for start in range(0, len(digits), per_line):
        groups = re.findall(".{1,4}", digits[start : start + per_line])
        lines.append((" ".join(groups), False))
    return lines if len(lines) * _LINE * font <= area.height else []


def _cut(size: Size) -> str:
    """Where a sheet is cut."""
    return (
        f'<rect width="{_mm(size.width)}" height="{_mm(size.height)}" fill="none" stroke="#bbb"'
        ' stroke-width="0.1"/>'
    )


def _document(size: Size, content: str) -> str:
    width, height = _mm(size.width), _mm(size.height)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}mm" height="{height}mm"'
        f' viewBox="0 0 {width} {height}">\n{content}\n</svg>\n'
    )


def _mm(length: float) -> str:
    return f"{length:.2f}".rstrip("0").rstrip(".")


def _too_small(label: Label, side: int | None = None) -> Error:
    least = f"; the code alone takes {side} mm" if side else ""
    return Error(
        f"the label is too small for {label.device_id}", hint=f"give a larger --size{least}"
    )
