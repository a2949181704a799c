"""What is made of esptool's words. The words themselves come from runs of the real one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmshake import esptool_words, portfaults

CONNECTED = """\
esptool v5.6.0
Serial port /dev/ttyUSB0:
Connecting....
Detecting chip type... ESP32
Connected to ESP32 on /dev/ttyUSB0:
Chip type:          ESP32-D0WD-V3 (revision v3.1)
Features:           Wi-Fi, BT, Dual Core + LP Core, 240MHz
Crystal frequency:  40MHz
MAC:                24:6F:28:AA:BB:CC

Stub flasher running.
Changing baud rate to 921600...
Changed.

Configuring flash size...
Auto-detected flash size: 4MB
"""

# What esptool or pyserial says, and the first words that are made of it
CASES = [
    ("could not open port /dev/x: [Errno 2] No such file or directory: '/dev/x'", "there is no"),
    ("[Errno 13] could not open port /dev/x: [Errno 13] Permission denied", "no permission"),
    ("[Errno 11] Could not exclusively lock port /dev/x: [Errno 11] Resource", "PORT is busy"),
    ("could not open port 'COM3': PermissionError(13, 'Access is denied.', None, 5)", "PORT is b"),
    ("could not open port 'COM9': FileNotFoundError(2, 'The system cannot find", "there is no"),
    ("Could not configure port: (25, 'Inappropriate ioctl for device')", "PORT is not a serial"),
    ("Could not open port socket://h:1: [Errno 111] Connection refused", "nothing serves"),
    ("invalid URL, protocol 'foo' not known", "PORT is not a kind"),
    ("Failed to connect to ESP32: No serial data received.", "no board answers"),
    ("Failed to connect to Espressif device: Wrong boot mode detected (0x13)!", "the board on PO"),
    ("Failed to connect to ESP32: Download mode successfully detected, but getting no sync reply",
     "the board on PORT is in its bootloader"),
    ("The 'read-flash' command is not available in Secure Download Mode.", "the board on"),
    ("File 'x' (length 9) at offset 0x3ff000 will not fit in 4 bytes of flash.", "the flash of"),
    ("'f.bin' is not an ESP32-S3 image. Use --force to", "the board on PORT is not"),
    ("MD5 of file does not match data in flash!", "what the board on PORT holds"),
    ("Invalid head of packet (0x00): Possible serial noise or corruption.", "the line to"),
    ("device reports readiness to read but returned no data (device disconnected", "the board on"),
    ("write failed: [Errno 5] Input/output error", "the board on PORT went away"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "message"), CASES)
def test_each_known_fault_is_named_with_what_to_do(words: str, message: str) -> None:
    output = f"{CONNECTED}\nERROR: A fatal error occurred: {words}\n\n"
    error = esptool_words.explain(output, "PORT", "write the flash")
    assert error.message.startswith(message)
    assert error.hint
    assert "\n" not in error.message + error.hint


def test_an_unknown_fault_says_the_task_and_esptools_own_words() -> None:
    output = f"{CONNECTED}\nERROR: A fatal error occurred: The moon is full.\nFor troubleshooting"
    error = esptool_words.explain(output, "PORT", "write the flash")
    assert error.message == "esptool failed to write the flash on PORT (esptool: The moon is full)"


def test_an_esptool_that_ends_without_a_word_lost_its_connection() -> None:
    output = CONNECTED + "Writing at 0x00204000 [=>   ] 5.5% 1/2 [0s]\n\nStaying in bootloader.\n"
    error = esptool_words.explain(output, "PORT", "write the flash")
    assert error.message == "the board on PORT went away"


def test_of_a_traceback_only_its_last_line_is_told() -> None:
    output = "Traceback (most recent call last):\n  File x, line 3, in y\nKeyError: 'z'\n"
    error = esptool_words.explain(output, "PORT", "read the flash")
    assert error.message == "esptool failed to read the flash on PORT (esptool: KeyError: 'z')"


def test_every_fault_has_a_message_and_a_hint_in_the_house_style() -> None:
    for fault in (*esptool_words.FAULTS, *portfaults.OPENING, portfaults.GONE):
        assert fault.message[0].islower() or fault.message.startswith("{port}")
        assert not fault.message.endswith(".")
        assert fault.hint


def test_a_note_ahead_of_the_error_is_not_taken_for_it() -> None:
    output = (
        "Note: not supported in secure download mode\nERROR: A fatal error occurred: Corrupt data"
    )
    assert "loses bytes" in esptool_words.explain(output, "PORT", "x").message


def test_a_slower_line_is_tried_only_after_the_speed_was_raised() -> None:
    noise = "ERROR: A fatal error occurred: Invalid head of packet"
    assert esptool_words.slower_may_help(CONNECTED + noise)
    assert not esptool_words.slower_may_help(noise)
    assert not esptool_words.slower_may_help(CONNECTED + "ERROR: will not fit in 4 bytes")


def test_the_board_is_told_from_what_esptool_prints() -> None:
    report = esptool_words.chip_report(CONNECTED)
    assert report == ("ESP32", "ESP32-D0WD-V3 (revision v3.1)", "24:6f:28:aa:bb:cc", 4 << 20, "")


@pytest.mark.parametrize(("size", "count"), [("512KB", 512 << 10), ("16MB", 16 << 20)])
def test_the_size_of_the_flash_is_in_bytes(size: str, count: int) -> None:
    report = esptool_words.chip_report(CONNECTED.replace("4MB", size))
    assert report is not None
    assert report.flash_size == count


def test_a_flash_that_was_not_detected_has_no_size() -> None:
    report = esptool_words.chip_report(CONNECTED.partition("Auto-detected")[0])
    assert report is not None
    assert report.flash_size == 0


def test_progress_is_an_address() -> None:
    line = "Writing at 0x0021ff00 [=====>    ]  34.1% 16.0kB/46.9kB [00:01]"
    assert esptool_words.written_up_to(line) == 0x21FF00
    assert esptool_words.written_up_to("Writing '/proc/self/fd/3' at 0x00200000...") is None


@given(st.text())
def test_any_output_is_explained_in_one_line(output: str) -> None:
    error = esptool_words.explain(output, "PORT", "write the flash")
    assert error.message.isprintable()
    esptool_words.chip_report(output)
