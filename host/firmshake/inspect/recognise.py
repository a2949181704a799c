"""Tells what the bytes of a file are, and has them read. Does no I/O."""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import replace

from firmshake.ca.finding import NOTE, WRONG, Finding
from firmshake.inspect import derdata, images, pem, texts
from firmshake.inspect.desk import Desk
from firmshake.inspect.thing import KINDS, Thing

_SQLITE = b"SQLite format 3\0"
_SQLITE_NUMBERS = struct.Struct(">I4xI")  # user_version, application_id (sqlite.org/fileformat2)
_SQLITE_NUMBERS_AT = 60

# beginning: (what it is, what to do)
_OTHERS = {
    b"PK\x03\x04": ("zip archive", "Unpack it, and name what was in it."),
    b"\x1f\x8b": ("gzip archive", "Unpack it, and name what was in it."),
    b"\xfd7zXZ\0": ("xz archive", "Unpack it, and name what was in it."),
    b"7z\xbc\xaf\x27\x1c": ("7-Zip archive", "Unpack it, and name what was in it."),
    b"\xfe\xed\xfe\xed": (
        "Java keystore",
        "Convert it: keytool -importkeystore -srckeystore FILE -destkeystore FILE.p12"
        " -deststoretype PKCS12",
    ),
    b"\x7fELF": ("program (ELF)", "Name the .bin or .uf2 that was made from it."),
    b"ssh-": ("public key of OpenSSH", "TLS has no use for it."),
    b"ecdsa-sha2-": ("public key of OpenSSH", "TLS has no use for it."),
}
_UNKNOWN = "Known are keys, certificates, requests, CRLs, PKCS#12, firmware, images, UF2, projects."


def look(data: bytes, where: str, desk: Desk) -> Thing:
    """What the file holds, as one thing; several that stand in it are inside of that."""
    if not data:
        what = "The file is empty."
        found = Finding(WRONG, "empty", what, "Get it again; a disk may have been full.")
        return Thing(where, "unknown", "empty file", (), (found,))
    if data.startswith(_SQLITE):
        return _registry(data, where)
    image = images.look(data, where, desk, look)
    if image is not None:
        return image
    text, remarks = _as_text(data)
    if pem.BEGIN in text:
        return _joined(pem.look(text, where, desk), where).with_findings(*remarks)
    if data[:1] == b"\x30":
        return _joined(derdata.look(data, where, desk), where)
    return _of_text(text, where, desk).with_findings(*remarks)


def _as_text(data: bytes) -> tuple[bytes, list[Finding]]:
    """The bytes as plain text where they are text of another encoding, and what to say of that."""
    if data.startswith(b"\xef\xbb\xbf"):
        return data[3:], [texts.MARKED]
    for mark, encoding in ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")):
        plain = data[2:].decode(encoding, "replace").encode("ascii", "replace")
        if data.startswith(mark) and (pem.BEGIN in plain or texts.unarmoured(plain)):
            return plain, [texts.SIXTEEN_BITS]
    return data, []


def _of_text(text: bytes, where: str, desk: Desk) -> Thing:
    bare = texts.unarmoured(text)
    if bare is not None:
        return _joined(derdata.look(bare, where, desk), where).with_findings(texts.NO_ARMOUR)
    settings = texts.settings(text, where)
    if settings is not None:
        return settings
    if where.rpartition("/")[2] == "fleet.toml":
        return texts.fleet(text, where)
    for beginning, (title, fix) in _OTHERS.items():
        if text.startswith(beginning):
            found = Finding(WRONG, "unknown_kind", f"It is a {title}.", fix)
            return Thing(where, "unknown", title, (), (found,))
    found = Finding(WRONG, "unknown_kind", "It is nothing that is known here.", _UNKNOWN)
    return Thing(where, "unknown", "something else", (), (found,))


def _joined(found: list[Thing], where: str) -> Thing:
    """One thing as the file itself, or several inside of it."""
    if not found:
        what = "There is PEM in it, and no key, certificate, request or CRL."
        return Thing(where, "unknown", "PEM", (), (Finding(WRONG, "unknown_kind", what, _UNKNOWN),))
    if len(found) == 1:
        return replace(found[0], where=where)
    return Thing(where, "several", _counted(found), inside=tuple(found))


def _counted(found: list[Thing]) -> str:
    """As "a private key and 2 certificates"."""
    words = []
    for kind, number in Counter(one.kind for one in found).items():
        single, many = KINDS[kind]
        article = "an" if single[0] in "aeiou" else "a"
        words.append(f"{number} {many}" if number > 1 else f"{article} {single}")
    return " and ".join((", ".join(words[:-1]), words[-1])) if len(words) > 1 else words[0]


def _registry(data: bytes, where: str) -> Thing:
    from firmshake.registry.schema import APPLICATION_ID, VERSION

    if len(data) < _SQLITE_NUMBERS_AT + _SQLITE_NUMBERS.size:
        found = Finding(
            WRONG, "cut_off", "It is a database of SQLite, cut off.", "Put back a copy."
        )
        return Thing(where, "registry", "database that is cut off", (), (found,))
    version, application = _SQLITE_NUMBERS.unpack_from(data, _SQLITE_NUMBERS_AT)
    if application != APPLICATION_ID:
        found = Finding(
            NOTE, "unknown_kind", "It is a database of SQLite, and no registry of ours."
        )
        return Thing(where, "unknown", "SQLite database", (), (found,))
    findings = []
    if version > VERSION:
        what = f"It is of version {version}; this firmshake knows up to {VERSION}."
        findings.append(Finding(WRONG, "too_new", what, "Update firmshake."))
    facts = (("version", str(version)), ("size", f"{len(data) // 1024:,} KiB"))
    title = "registry of a project: what was issued to whom"
    return Thing(where, "registry", title, facts, tuple(findings))
