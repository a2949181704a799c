"""The bootloader's protocol, as tools speak it and as nobody should."""

from __future__ import annotations

import hashlib
import struct
import tracemalloc
import zlib
from collections.abc import Iterator
from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmshake.virtual import nor, slip
from firmshake.virtual.download import Leave, Loader, Send, SetBaud
from firmshake.virtual.models import CHIP_MAGIC, ESP32_MAGIC
from firmshake.virtual.registers import Registers

SIZE = 1 << 20
MAC = bytes.fromhex("240ac4123456")
SYNC = bytes.fromhex("07071220") + b"\x55" * 32


class Tool:
    """The other end: what it asks, and what it makes of the answers."""

    def __init__(self, flash: nor.Flash, stub: bool) -> None:
        self.loader = Loader(flash, Registers(MAC, flash.size))
        self.ask(0x08, SYNC)
        if stub:
            self.ask(0x06, struct.pack("<II", 0, 0x40080000))
        self.status = 2 if stub else 4

    def send(self, payload: bytes) -> list[bytes]:
        reader = slip.SlipReader()
        self.actions = self.loader.receive(slip.frame(payload))
        data = b"".join(action.data for action in self.actions if isinstance(action, Send))
        return reader.feed(data)

    def ask(self, command: int, body: bytes = b"", checksum: int = 0) -> list[bytes]:
        return self.send(struct.pack("<BBHI", 0, command, len(body), checksum) + body)

    def do(self, command: int, body: bytes = b"", checksum: int = 0) -> tuple[int, bytes, int]:
        """Value, data and error of the one answer."""
        (answer,) = self.ask(command, body, checksum)
        direction, answered, size, value = struct.unpack_from("<BBHI", answer)
        assert (direction, answered, size) == (1, command, len(answer) - 8)
        data, status = answer[8 : -self.status], answer[-self.status :]
        return value, data, status[0] and (status[0] if self.status == 2 else status[1])

    def block(self, command: int, data: bytes, spoil: int = 0) -> int:
        checksum = reduce(lambda a, b: a ^ b, data, 0xEF) ^ spoil
        return self.do(command, struct.pack("<IIII", len(data), 0, 0, 0) + data, checksum)[2]

    def begin(self, command: int, size: int, offset: int) -> int:
        return self.do(command, struct.pack("<IIII", size, 1, 0x4000, offset))[2]


@pytest.fixture
def flash() -> Iterator[nor.Flash]:
    flash = nor.in_memory(SIZE)
    yield flash
    flash.close()


@pytest.fixture(params=[False, True], ids=["rom", "stub"])
def tool(request: pytest.FixtureRequest, flash: nor.Flash) -> Tool:
    return Tool(flash, request.param)


@given(st.lists(st.binary(max_size=100), max_size=6), st.booleans())
def test_no_bytes_upset_it(pieces: list[bytes], stub: bool) -> None:
    flash = nor.in_memory(1 << 16)
    try:
        loader = Tool(flash, stub).loader
        for piece in pieces:
            loader.receive(piece)
            loader.receive(slip.frame(piece))
    finally:
        flash.close()


@given(st.integers(0, 255), st.binary(max_size=40), st.booleans())
def test_every_command_with_any_body_is_answered_or_refused(
    command: int, body: bytes, stub: bool
) -> None:
    flash = nor.in_memory(1 << 16)
    try:
        tool = Tool(flash, stub)
        answers = tool.ask(command, body)
        assert answers or isinstance(tool.actions[-1], Leave)
        tool.send(b"none of it")
        assert len(tool.ask(0x08, SYNC)) == 8
    finally:
        flash.close()


def test_nothing_is_answered_before_a_sync(flash: nor.Flash) -> None:
    loader = Loader(flash, Registers(MAC, flash.size))
    request = slip.frame(struct.pack("<BBHII", 0, 0x0A, 4, 0, CHIP_MAGIC))
    assert loader.receive(request) == []
    loader.receive(slip.frame(struct.pack("<BBHI", 0, 0x08, 36, 0) + SYNC))
    assert len(loader.receive(request)) == 1


def test_a_sync_is_answered_eight_times_and_by_the_stub_with_zero(flash: nor.Flash) -> None:
    for stub in (False, True):
        answers = Tool(flash, stub).ask(0x08, SYNC)
        assert len(answers) == 8
        assert (struct.unpack_from("<I", answers[0], 4)[0] == 0) is stub


def test_registers_tell_an_esp32(tool: Tool) -> None:
    assert tool.do(0x0A, struct.pack("<I", CHIP_MAGIC))[0] == ESP32_MAGIC


def test_security_info_is_unknown_to_an_esp32(flash: nor.Flash) -> None:
    answers = Tool(flash, stub=False).ask(0x14)
    assert len(answers) == 8
    assert answers[0][8:10] == b"\x01\x05"


def test_a_plain_region_is_erased_by_sectors_and_written(tool: Tool, flash: nor.Flash) -> None:
    flash.program(0, b"\x00" * SIZE)
    data = b"firmshake" * 1000
    assert tool.begin(0x02, len(data), 0x3000) == 0
    assert tool.block(0x03, data[:0x1000]) == 0
    assert tool.block(0x03, data[0x1000:].ljust(0x4000, b"\xff")) == 0
    end = 0x3000 + -(-len(data) // 0x1000) * 0x1000
    wanted = bytes(0x3000) + data.ljust(end - 0x3000, b"\xff") + bytes(SIZE - end)
    assert bytes(flash) == wanted


def test_a_deflated_region_is_written(tool: Tool, flash: nor.Flash) -> None:
    data = b"firmshake" * 5000
    packed = zlib.compress(data)
    assert tool.begin(0x10, len(data), 0x8000) == 0
    for at in range(0, len(packed), 50):
        assert tool.block(0x11, packed[at : at + 50]) == 0
    assert flash.read(0x8000, len(data)) == data


def test_a_block_with_a_wrong_checksum_is_refused_and_may_be_sent_again(
    tool: Tool, flash: nor.Flash
) -> None:
    tool.begin(0x02, 4, 0)
    assert tool.block(0x03, b"abcd", spoil=1) in (0x07, 0xC1)
    assert flash.read(0, 4) == b"\xff" * 4
    assert tool.block(0x03, b"abcd") == 0
    assert flash.read(0, 4) == b"abcd"


def test_damaged_deflate_is_refused(tool: Tool) -> None:
    tool.begin(0x10, 100, 0)
    assert tool.block(0x11, b"no deflate at all") in (0x0B, 0xC7)


def test_deflated_data_that_unfolds_to_too_much_is_refused_before_it_has(tool: Tool) -> None:
    bomb = zlib.compress(bytes(1 << 24))
    assert len(bomb) < 0x8000
    tool.begin(0x10, 0x1000, 0)
    tracemalloc.start()
    try:
        assert tool.block(0x11, bomb) in (0x06, 0xC9)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_registers_are_written_whole_or_not_at_all(tool: Tool) -> None:
    word = struct.pack("<4I", 0x3FF00000, 7, 0xFFFFFFFF, 0)
    assert tool.do(0x09, word + b"half")[2] in (0x05, 0xC0)
    assert tool.do(0x0A, word[:4])[0] == 0
    assert tool.do(0x09, word)[2] == 0
    assert tool.do(0x0A, word[:4])[0] == 7


def test_blocks_without_a_begin_are_refused(tool: Tool) -> None:
    assert tool.block(0x03, b"abcd") in (0x06, 0xC6)
    tool.begin(0x02, 4, 0)
    assert tool.block(0x11, zlib.compress(b"abcd")) in (0x06, 0xC6)
    assert tool.block(0x03, b"abcd") == 0


def test_a_region_beyond_the_flash_is_refused(tool: Tool) -> None:
    assert tool.begin(0x02, 0x2000, SIZE - 0x1000) in (0x06, 0xC9)
    assert tool.begin(0x02, 0x1000, SIZE - 0x1000) == 0


def test_the_stub_erases_only_as_it_writes_and_the_rom_at_once(flash: nor.Flash) -> None:
    for stub, left in ((True, b"\0"), (False, b"\xff")):
        flash.program(0, b"\0" * 0x4000)
        Tool(flash, stub).begin(0x02, 0x4000, 0)
        assert flash.read(0x3000, 1) == left


def test_the_md5_is_hexadecimal_from_the_rom_and_bytes_from_the_stub(
    tool: Tool, flash: nor.Flash
) -> None:
    flash.program(100, b"firmshake")
    wanted = hashlib.md5(b"firmshake", usedforsecurity=False).digest()
    _, data, error = tool.do(0x13, struct.pack("<IIII", 100, 9, 0, 0))
    assert (data, error) == (wanted if tool.status == 2 else wanted.hex().encode(), 0)


@given(size=st.integers(1, 9000), block=st.sampled_from([64, 1024, 4096]), window=st.integers(1, 4))
def test_a_region_is_read_in_blocks_no_more_than_the_window_ahead(
    size: int, block: int, window: int
) -> None:
    flash = nor.in_memory(1 << 14)
    try:
        flash.program(0, bytes(n * 7 & 0xFF for n in range(1 << 14)))
        tool = Tool(flash, stub=True)
        _status, *waiting = tool.ask(0xD2, struct.pack("<IIII", 5, size, block, window))
        data = b""
        while len(data) < size:
            assert 1 <= len(waiting) <= window
            data += waiting.pop(0)
            waiting += tool.send(struct.pack("<I", len(data)))
        assert data == flash.read(5, size)
        assert waiting == [flash.md5(5, size)]
        assert tool.do(0x0A, struct.pack("<I", CHIP_MAGIC))[0] == ESP32_MAGIC
    finally:
        flash.close()


def test_the_speed_changes_after_the_answer(tool: Tool) -> None:
    tool.ask(0x0F, struct.pack("<II", 921600, 115200))
    assert isinstance(tool.actions[0], Send)
    assert tool.actions[1:] == [SetBaud(921600)]


def test_the_end_of_writing_leaves_only_if_asked(flash: nor.Flash) -> None:
    for stub, stay, leaves in (
        (True, 1, []),
        (True, 0, [Leave(to_app=False)]),
        (False, 1, [Leave(to_app=True)]),
    ):
        tool = Tool(flash, stub)
        tool.begin(0x02, 0, 0)
        tool.ask(0x04, struct.pack("<I", stay))
        assert tool.actions[1:] == leaves


def test_the_stub_says_so_when_data_is_missing_at_the_end(flash: nor.Flash) -> None:
    tool = Tool(flash, stub=True)
    tool.begin(0x02, 8, 0)
    tool.block(0x03, b"abcd")
    assert tool.do(0x04, struct.pack("<I", 1))[2] == 0xC8
