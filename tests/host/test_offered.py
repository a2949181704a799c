"""What is offered for import: read with its passphrase, and not tried where that never ends."""

from __future__ import annotations

import base64
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    pkcs12,
)
from support.commands import run
from support.stretching import in_earnest

from firmshake import offered
from firmshake.ca import pkcs8
from firmshake.cli.ca import offering
from firmshake.errors import Error
from firmshake.inspect.desk import Desk
from firmshake.offered import Offered
from firmshake_agent import der

SECRET = b"correct horse"
KEY = ec.generate_private_key(ec.SECP256R1())
BEGIN, END = b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n", b"\n-----END ENCRYPTED PRIVATE KEY-----\n"


def _sealed(r: int = 8, p: int = 5) -> bytes:
    """The key under scrypt, as DER; with another cost than the one that it was made with."""
    with in_earnest():
        text = pkcs8.encrypt(KEY, SECRET)
    plain = base64.b64decode(b"".join(text.splitlines()[1:-1]))
    usual = b"\x02\x01\x08\x02\x01\x05"
    assert plain.count(usual) == 1
    return plain.replace(usual, bytes((2, 1, r, 2, 1, p)))


def _pem(der: bytes, header: bytes = b"") -> bytes:
    return BEGIN + header + base64.encodebytes(der).rstrip() + END


def _pkcs12() -> bytes:
    """The key in PKCS#12."""
    return pkcs12.serialize_key_and_certificates(
        b"a", KEY, None, None, BestAvailableEncryption(SECRET)
    )


def _pkcs12_with_an_endless_check() -> bytes:
    """The same with 2^31-1 rounds for its integrity check, which stand last."""
    made = _pkcs12()
    usual, endless = b"\x02\x02\x08\x00", b"\x02\x04\x7f\xff\xff\xff"
    start, stop = der.expect(made, 0, len(made), der.SEQUENCE)
    _, at, _ = der.children(made, start, stop)[2]
    assert made.endswith(usual)
    assert made[:2] == b"\x30\x82"
    assert made[at - 1] < 0x7E
    longer = (stop - start + 2).to_bytes(2, "big")
    check = bytes((made[at - 1] + 2,)) + made[at : -len(usual)] + endless
    return made[:2] + longer + made[4 : at - 1] + check


def _read(content: bytes, secret: bytes = SECRET) -> tuple[Offered, list[str]]:
    asked: list[str] = []

    def ask(what: str) -> bytes:
        asked.append(what)
        return secret

    return offered.read([("file", content)], Desk(datetime.now(UTC), ask)), asked


USUAL = {
    "PEM": _pem(_sealed()),
    "DER": _sealed(),
    "PKCS#12": _pkcs12(),
    "old PEM": KEY.private_bytes(
        Encoding.PEM, PrivateFormat.TraditionalOpenSSL, BestAvailableEncryption(SECRET)
    ),
}
GREEDY = {
    "PEM": _pem(_sealed(127, 127)),
    "PEM with headers": _pem(_sealed(127, 127), b"Comment: harmless\n\n"),
    "DER": _sealed(127, 127),
    "PKCS#12": _pkcs12_with_an_endless_check(),
}


@pytest.mark.parametrize("form", USUAL)
def test_a_locked_key_is_opened_with_its_passphrase(form: str) -> None:
    found, asked = _read(USUAL[form])
    assert [key.private_numbers() for key in found.keys] == [KEY.private_numbers()]
    assert asked == ["file"]
    with pytest.raises(Error, match="wrong passphrase"):
        _read(USUAL[form], b"battery staple")


@pytest.mark.parametrize("form", GREEDY)
def test_what_costs_too_much_to_try_is_not_tried(form: str) -> None:
    def ask(what: str) -> bytes:
        pytest.fail("a passphrase was asked for")

    with pytest.raises(Error, match="no passphrase is tried: one try would take"):
        offered.read([("file", GREEDY[form])], Desk(datetime.now(UTC), ask))


@pytest.mark.parametrize(
    "content", [BEGIN + b"AAAA" + END, BEGIN + b"\xff\xfe" + END, b"\x30\x03\x02\x01", BEGIN]
)
def test_what_is_damaged_is_told(content: bytes) -> None:
    with pytest.raises(Error, match="damaged|holds neither"):
        _read(content)


def test_a_fifo_that_is_offered_keeps_nobody_waiting(tmp_path: Path) -> None:
    (tmp_path / "good.pem").write_bytes(pkcs8.encrypt(KEY, SECRET))
    os.mkfifo(tmp_path / "fifo.pem")
    reading, writing = os.pipe()
    os.write(writing, SECRET + b"\n")
    os.close(writing)
    assert offering.read([str(tmp_path / "good.pem")], reading).keys
    os.close(reading)
    with pytest.raises(OSError, match="Not a regular file"):
        offering.read([str(tmp_path / "fifo.pem")], None)


def test_a_request_that_is_a_fifo_keeps_nobody_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.csr")
    with pytest.raises(OSError, match="Not a regular file"):
        run("ca", "sign", tmp_path / "a.csr", "--device", "pump", "--project", tmp_path)
