"""Faults by name: what is taken, what is refused, and a line that turns bits over."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmshake.virtual import fault
from firmshake.virtual.fault import CIRCUITPYTHON, ESP, PICO, BadFault, Cut, Faults, Noise

NOISE = Faults(noise=0.001)


@pytest.mark.parametrize(
    ("texts", "faults"),
    [
        ([], Faults()),
        (["unplug-at=50%"], Faults(unplug_at=Cut(share=0.5))),
        (["unplug-at=0%"], Faults(unplug_at=Cut(share=0.0))),
        (["unplug-at=12.5%"], Faults(unplug_at=Cut(share=0.125))),
        (["unplug-at=20000"], Faults(unplug_at=Cut(count=20000))),
        (["wrong-flash-size=2MB"], Faults(flash_size=2 << 20)),
        (["noisy-line=0.001"], NOISE),
        (["slow"], Faults(slow=10)),
        (["slow=2.5", "busy"], Faults(slow=2.5, busy=True)),
        (["dead-repl", "reboot-loop"], Faults(dead_repl=True, reboot_loop=True)),
    ],
)
def test_a_fault_is_its_name_and_value(texts: list[str], faults: Faults) -> None:
    assert fault.parse(texts, ESP) == faults


@pytest.mark.parametrize(
    "text",
    [
        "",
        "explode",
        "unplug-at",
        "unplug-at=",
        "unplug-at=150%",
        "unplug-at=-1%",
        "unplug-at=half",
        "unplug-at=1.23456%",
        "unplug-at=٣%",
        "wrong-flash-size=3MB",
        "wrong-flash-size",
        "noisy-line",
        "noisy-line=0",
        "noisy-line=2",
        "noisy-line=nan",
        "noisy-line=inf",
        "slow=0",
        "slow=1",
        "slow=1e999",
        "busy=yes",
        "dead-repl=",
        "full-drive",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(BadFault):
        fault.parse([text], ESP)


@given(st.text(max_size=20), st.text(max_size=20))
def test_any_text_is_a_fault_or_refused(name: str, value: str) -> None:
    for text in (name, f"{name}={value}", *(f"{known}={value}" for known in fault.FAULTS)):
        with contextlib.suppress(BadFault):
            assert isinstance(fault.parse([text], PICO), Faults)


def test_each_fault_says_what_it_does_and_is_for_some_board() -> None:
    for name, kind in fault.FAULTS.items():
        assert kind.help, name
        assert set(kind.boards) <= {ESP, PICO, CIRCUITPYTHON}


@given(st.lists(st.binary(max_size=300), max_size=20), st.floats(0.001, 0.1))
def test_noise_is_the_same_for_the_same_stream_however_it_is_cut(
    pieces: list[bytes], share: float
) -> None:
    whole = b"".join(pieces)
    one, other = Noise(share, 7), Noise(share, 7)
    arrived = one.pass_on(whole)
    assert b"".join(other.pass_on(piece) for piece in pieces) == arrived
    assert len(arrived) == len(whole)
    assert all((a ^ b).bit_count() <= 1 for a, b in zip(arrived, whole, strict=True))


def test_noise_comes_to_its_share() -> None:
    sent = bytes(200_000)
    wrong = sum(byte != 0 for byte in Noise(0.01, 1).pass_on(sent))
    assert 1500 < wrong < 2500
    assert Noise(0.0, 1).pass_on(sent) == sent
