"""The stream of an upload, as its module describes it; and the board's programs made small."""

from __future__ import annotations

import ast
import base64
import hashlib
import zlib

from hypothesis import given
from hypothesis import strategies as st

from firmshake.repl import programs, stream
from firmshake.repl.stream import Block, Shape

SHAPES = st.builds(
    Shape,
    piece=st.sampled_from([4, 32, 128, 256]),
    block=st.integers(1, 5000),
    window_bits=st.integers(9, 15),
    is_text=st.booleans(),
)
# deflate stores what it cannot pack: so many 3s arrive as such
CONTENTS = st.one_of(
    st.binary(max_size=6000),
    st.integers(0, 2000).map(lambda count: bytes(3 for _ in range(count))),
    st.randoms(use_true_random=False).map(lambda random: random.randbytes(3000)),
)


def unpacked(block: Block, shape: Shape) -> bytes:
    """What a receiver makes of a block, written from the description alone."""
    assert len(block.wire) % shape.piece == 0
    assert 3 not in block.wire
    if shape.is_text:
        assert block.wire.isascii()
        packed = base64.b64decode(block.wire)
    else:
        body, at = bytearray(block.wire[block.holes :]), -1
        for step in block.wire[: block.holes]:
            at += 251 if step == 255 else step - 4
            if step != 255:
                assert body[at] == 0
                body[at] = 3
        packed = bytes(body)
    assert hashlib.sha256(packed).digest()[:4] == block.check
    return zlib.decompressobj(-block.bits).decompress(packed)


@given(CONTENTS, SHAPES)
def test_what_is_sent_is_what_arrives(contents: bytes, shape: Shape) -> None:
    sent = list(stream.blocks(contents, shape))
    assert b"".join(unpacked(block, shape) for block in sent) == contents
    assert all(block.bits <= shape.window_bits for block in sent)
    assert all(len(unpacked(block, shape)) <= shape.block for block in sent)


@given(st.lists(st.integers(0, 1200), unique=True, max_size=12))
def test_each_ctrl_c_leaves_a_hole_wherever_it_stands(places: list[int]) -> None:
    packed = bytearray(1201)
    for place in places:
        packed[place] = 3
    block = stream._as_bytes(bytes(packed), 4, 9)
    body, at, found = block.wire[block.holes :], -1, []
    for step in block.wire[: block.holes]:
        at += 251 if step == 255 else step - 4
        found += [at] * (step != 255)
    assert found == sorted(places)
    assert not any(body)


def test_a_changed_byte_does_not_pass_the_check() -> None:
    shape = Shape(32)
    block = stream.block(b"key and certificate" * 40, shape)
    assert unpacked(block, shape)
    broken = block.wire[:20] + bytes([block.wire[20] ^ 0x10]) + block.wire[21:]
    assert hashlib.sha256(broken[block.holes :]).digest()[:4] != block.check


def test_small_programs_are_the_same_programs() -> None:
    for name in ("about", "survey", "loader", "loader_text", "receiver"):
        small, whole = programs._source(name), programs._text(name)
        assert ast.dump(ast.parse(small)) == ast.dump(ast.parse(whole)), name
        assert len(small) < len(whole)
        assert "#" not in small


def test_constants_are_given_as_literals() -> None:
    text = programs.program("about", W=128, B=((1, 2, b"\x03"),), NAME="it's")
    assert text.startswith("W=128\nB=((1, 2, b'\\x03'),)\nNAME=\"it's\"\n")
    # a program goes by raw-paste, in which Ctrl-C and Ctrl-D end it
    assert not {"\x03", "\x04"} & set(text)


def test_the_finisher_is_known_by_its_first_line_and_starts_what_it_brought_last() -> None:
    text = programs.finisher("/main.py").decode()
    assert text.startswith(programs.finisher_mark() + "\n")
    *_, last = text.splitlines()
    assert last == 'exec(open("/main.py").read())'
    assert text.count("\nexec(") == 1
    ast.parse(text)
