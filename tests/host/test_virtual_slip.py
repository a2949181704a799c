"""The reader of SLIP frames: whatever the line does to the bytes."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from firmshake.virtual.slip import LONGEST, SlipReader, frame

payloads = st.binary(min_size=1, max_size=200)


def in_pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted(cut % (len(data) + 1) for cut in cuts)
    edges = [0, *places, len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


@given(st.lists(payloads, max_size=5), st.lists(st.integers(0, 5000), max_size=8))
def test_frames_come_out_as_they_went_in_however_they_are_cut(
    sent: list[bytes], cuts: list[int]
) -> None:
    reader = SlipReader()
    stream = b"".join(frame(payload) for payload in sent)
    got = [payload for piece in in_pieces(stream, cuts) for payload in reader.feed(piece)]
    assert got == sent


@given(st.binary(max_size=300), payloads)
def test_a_frame_arrives_after_any_noise(noise: bytes, payload: bytes) -> None:
    assert SlipReader().feed(noise + frame(payload))[-1] == payload


@given(st.binary(max_size=500))
def test_no_bytes_upset_it_and_no_frame_comes_of_bytes_without_an_end(data: bytes) -> None:
    reader = SlipReader()
    reader.feed(data)
    assert SlipReader().feed(data.replace(b"\xc0", b"")) == []


@given(st.integers(0, 255).filter(lambda byte: byte not in (0xC0, 0xDC, 0xDD)), payloads)
def test_an_unknown_escape_costs_its_frame_and_no_other(byte: int, payload: bytes) -> None:
    spoilt = b"\xc0a\xdb" + bytes([byte]) + b"b\xc0"
    assert SlipReader().feed(spoilt + frame(payload)) == [payload]


def test_the_longest_frame_is_read_and_a_longer_one_dropped() -> None:
    assert SlipReader().feed(frame(b"a" * LONGEST)) == [b"a" * LONGEST]
    assert SlipReader().feed(frame(b"a" * (LONGEST + 1)) + frame(b"b")) == [b"b"]
