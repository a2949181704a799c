"""The reader of esptool's words."""

from __future__ import annotations

from firmshake import esptool_words

WORK = 60
HARD = ((b"", b"Failed to "), (b"", b"Writing at 0x"), (b"MAC: ", b" "), (b"", b"is not an ESP\n"))


def one(data: bytes) -> None:
    """Read it as the output of an esptool that failed, and line by line as progress."""
    text = data.decode("utf-8", "replace")
    for line in text.splitlines():
        at = esptool_words.written_up_to(line)
        assert at is None or 0 <= at < 1 << 32, "no address of a flash"
    report = esptool_words.chip_report(text)
    assert report is None or 0 <= report.flash_size <= 1 << 32
    esptool_words.slower_may_help(text)
    error = esptool_words.explain(text, "/dev/ttyUSB0", "write")
    for said in (error.message, error.hint):
        assert said.isprintable(), "it may move a terminal's cursor"
        assert len(said) <= 1000
    assert error.message
