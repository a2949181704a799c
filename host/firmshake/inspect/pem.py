"""Takes PEM (RFC 7468) apart: every block of a file, good or damaged. Does no I/O."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from typing import NamedTuple

from firmshake.ca.finding import NOTE, WRONG, Finding
from firmshake.inspect import derdata, keys
from firmshake.inspect.desk import Desk
from firmshake.inspect.thing import Thing

BEGIN = b"-----BEGIN "
_END = b"-----END "
_DASHES = b"-----"
_SPACE = b" \t\r\n"

_MOST_BLOCKS = 1000
_LARGEST_LEGACY = 16384  # of a block with headers: they come with keys alone

# label: what its DER has to be (shapes of `derdata`)
LABELS = {
    "CERTIFICATE": "certificate",
    "X509 CERTIFICATE": "certificate",
    "CERTIFICATE REQUEST": "csr",
    "NEW CERTIFICATE REQUEST": "csr",
    "X509 CRL": "crl",
    "PRIVATE KEY": "private_key",
    "EC PRIVATE KEY": "private_key",
    "RSA PRIVATE KEY": "private_key",
    "DSA PRIVATE KEY": "private_key",
    "ENCRYPTED PRIVATE KEY": "encrypted_key",
    "PUBLIC KEY": "public_key",
    "RSA PUBLIC KEY": "public_key",
    "PKCS7": "pkcs7",
    "PKCS12": "pkcs12",
}
# what stands in files beside keys and says nothing of its own
_SKIPPED = (b"EC PARAMETERS", b"DH PARAMETERS")
# label: (what it is, what to do)
_FOREIGN = {
    "OPENSSH PRIVATE KEY": (
        "private key in OpenSSH's own form",
        "Convert a copy of it: ssh-keygen -p -m PEM -f COPY",
    ),
    "TRUSTED CERTIFICATE": (
        "certificate with OpenSSL's own additions",
        "Write it plainly: openssl x509 -in FILE -out FILE.pem",
    ),
    "PGP PUBLIC KEY BLOCK": ("public key of PGP", "TLS has no use for it."),
    "PGP PRIVATE KEY BLOCK": ("private key of PGP", "TLS has no use for it."),
    "CMS": ("message in CMS", "openssl cms -cmsout -print shows what it holds."),
}


class Block(NamedTuple):
    """One block: its label, what stands between its lines, and what is wrong with it, if anything.

    `headers` are those of RFC 1421, as in old encrypted keys; `text` is all of such a block.
    """

    label: str
    headers: dict[str, str]
    body: bytes
    text: bytes
    broken: str


def blocks(data: bytes) -> Iterator[Block]:
    """Every block in the data, in order; what stands around them is left out."""
    at = 0
    while (start := data.find(BEGIN, at)) >= 0:
        line_end = data.find(_DASHES, start + len(BEGIN))
        if line_end < 0 or line_end - start > 100:
            at = start + len(BEGIN)
            continue
        label = data[start + len(BEGIN) : line_end].decode("ascii", "replace")
        inner = line_end + len(_DASHES)
        end = data.find(_END, inner)
        following = data.find(BEGIN, inner)
        if end < 0 or 0 <= following < end:
            at = following if following >= 0 else len(data)
            yield Block(label, {}, b"", b"", "its end line is missing")
            continue
        at = end + len(_END)
        close = data.find(_DASHES, at)
        ended = data[at : max(close, at)].decode("ascii", "replace") if close - at < 100 else ""
        at = close + len(_DASHES) if close >= 0 else at
        broken = "" if ended == label else f"it ends as {ended[:40]!r}"
        headers, body = _headers(data[inner:end])
        # a CRL of a million entries is not copied once more for nothing
        yield Block(label, headers, body, data[start:at] if headers else b"", broken)


def look(data: bytes, where: str, desk: Desk) -> list[Thing]:
    """What the blocks are."""
    found: list[Thing] = []
    several = data.count(BEGIN) - sum(data.count(BEGIN + name) for name in _SKIPPED) > 1
    for block in blocks(data):
        if block.label.encode() in _SKIPPED:
            continue
        if len(found) == _MOST_BLOCKS:
            what = f"Only the first {_MOST_BLOCKS} blocks were looked at."
            found[-1] = found[-1].with_findings(Finding(NOTE, "too_many", what))
            break
        place = f"{where}, part {len(found) + 1}" if several else where
        found.append(_one(block, place, desk))
    return found


def _one(block: Block, where: str, desk: Desk) -> Thing:
    kind = LABELS.get(block.label, "")
    if block.broken:
        return _broken(block, where, f"{block.broken}", "cut_off")
    if block.label in _FOREIGN:
        title, fix = _FOREIGN[block.label]
        what = f"It is a {title}, which neither boards nor brokers read."
        found = Finding(WRONG, "unknown_kind", what, fix)
        return Thing(where, "unknown", title, (), (found,), private="PRIVATE" in block.label)
    if "ENCRYPTED" in block.headers.get("Proc-Type", ""):
        cipher = block.headers.get("DEK-Info", "").partition(",")[0]
        return keys.sealed_pem(block.text + b"\n", where, desk, cipher[:40])
    try:
        plain = base64.b64decode(block.body.translate(None, _SPACE), validate=True)
    except binascii.Error:
        return _broken(block, where, "there is something between its lines that is no base64", "")
    if not kind:
        what = f"The PEM label {block.label[:40]!r} is not known here."
        fix = "Correct its BEGIN and END lines, if it should be a key or a certificate."
        found = Finding(WRONG, "unknown_kind", what, fix)
        return Thing(where, "unknown", "PEM of an unknown kind", (), (found,))
    return _labelled(plain, block.label, kind, where, desk)


def _labelled(plain: bytes, label: str, kind: str, where: str, desk: Desk) -> Thing:
    whole, rest = derdata.split(plain)
    if len(whole) != 1 or rest:
        why = "it is cut off" if not whole else "there is more in it than one structure"
        return keys.damaged(_kind_of(kind), where, why)
    found = derdata.shape(plain)
    made = derdata.one(plain, where, desk, "PEM")
    if found and found != kind:
        what = f"It is labelled {label} and holds a {_kind_of(found).replace('_', ' ')}."
        fix = "Correct the BEGIN and END lines, or get the file again."
        return made.with_findings(Finding(WRONG, "wrong_label", what, fix))
    return made


def _broken(block: Block, where: str, why: str, cause: str) -> Thing:
    kind = _kind_of(LABELS.get(block.label, ""))
    made = keys.damaged(kind, where, why, cause)
    return made if kind != "unknown" else Thing(where, kind, "damaged PEM", (), made.findings)


def _kind_of(shape: str) -> str:
    """The kind of thing that a shape is of."""
    return {"encrypted_key": "private_key", "": "unknown"}.get(shape, shape)


def _headers(inner: bytes) -> tuple[dict[str, str], bytes]:
    """The headers that stand before an empty line, where there are any, and the rest."""
    text = inner[:_LARGEST_LEGACY].strip(b"\r\n").replace(b"\r\n", b"\n")
    head, gap, body = text.partition(b"\n\n")
    if not gap or b":" not in head:
        return {}, inner
    lines = (line.partition(": ") for line in head.decode("ascii", "replace").split("\n"))
    return {name: value for name, _, value in lines}, body
