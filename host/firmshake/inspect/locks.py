"""How a key is encrypted, how weak that is, and what one try at its passphrase costs.

Does no I/O. The parameters stand in clear in front of what they protect: PBES1, PBES2 and PBMAC1
(RFC 8018, RFC 9579), scrypt (RFC 7914), PKCS#12 (RFC 7292). They are read before anything is tried,
since a file can ask for years of work or for all of the memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from firmshake_agent import der
from firmshake_agent.der import BadDer

# Rounds of PBKDF2 for each hash, as in OWASP's Password Storage Cheat Sheet of 2023; the costs of
# scrypt that it calls equal are N=2^14, r=8, p=5 and others with the same product
LEAST_ROUNDS = {"SHA-1": 1_300_000, "SHA-256": 600_000, "SHA-384": 210_000, "SHA-512": 210_000}
LEAST_SCRYPT = 2**14 * 8 * 5

# What one try may cost: some 3 s, and 256 MiB
MOST_ROUNDS = 20_000_000
MOST_SCRYPT = 2**24
MOST_MEMORY = 256 * 1024 * 1024

_DEEPEST = 20  # a key in PKCS#12 lies 13 deep
_MOST_ELEMENTS = 3000


@dataclass(frozen=True)
class Lock:
    """One encryption: `words` says how, `weak` why that is too little ("" where it is enough).

    `rounds` and `memory` (bytes) are what a try costs.
    """

    words: str
    weak: str
    rounds: int
    memory: int = 0


LEGACY_WEAK = "the passphrase goes through MD5 once: a computer tries billions a second"

_PBES2 = bytes.fromhex("2a864886f70d01050d")
_PBMAC1 = bytes.fromhex("2a864886f70d01050e")
_PBKDF2 = bytes.fromhex("2a864886f70d01050c")
_SCRYPT = bytes.fromhex("2b06010401da47040b")
_HASHES = {
    bytes.fromhex("2a864886f70d0207"): "SHA-1",
    bytes.fromhex("2a864886f70d0209"): "SHA-256",
    bytes.fromhex("2a864886f70d020a"): "SHA-384",
    bytes.fromhex("2a864886f70d020b"): "SHA-512",
}
_CIPHERS = {
    bytes.fromhex("60864801650304012a"): "AES-256-CBC",
    bytes.fromhex("6086480165030401" + "16"): "AES-192-CBC",
    bytes.fromhex("6086480165030401" + "02"): "AES-128-CBC",
    bytes.fromhex("2a864886f70d0307"): "3DES",
    bytes.fromhex("2b0e030207"): "DES",
    bytes.fromhex("2a864886f70d0302"): "RC2",
}
_WEAK_CIPHERS = ("DES", "RC2", "RC4")
# of RFC 8018 (PBES1) and RFC 7292 appendix C: each has a salt and rounds as its parameters
_OLD = {
    bytes.fromhex("2a864886f70d010501"): "MD2 and DES",
    bytes.fromhex("2a864886f70d010503"): "MD5 and DES",
    bytes.fromhex("2a864886f70d010504"): "MD2 and RC2",
    bytes.fromhex("2a864886f70d010506"): "MD5 and RC2",
    bytes.fromhex("2a864886f70d01050a"): "SHA-1 and DES",
    bytes.fromhex("2a864886f70d01050b"): "SHA-1 and RC2",
    bytes.fromhex("2a864886f70d010c0101"): "SHA-1 and RC4, 128 bits",
    bytes.fromhex("2a864886f70d010c0102"): "SHA-1 and RC4, 40 bits",
    bytes.fromhex("2a864886f70d010c0103"): "SHA-1 and 3DES",
    bytes.fromhex("2a864886f70d010c0104"): "SHA-1 and 3DES with two keys",
    bytes.fromhex("2a864886f70d010c0105"): "SHA-1 and RC2, 128 bits",
    bytes.fromhex("2a864886f70d010c0106"): "SHA-1 and RC2, 40 bits",
}

_Element = tuple[int, int, int]


def locks(data: bytes) -> list[Lock]:
    """The encryptions that the DER `data` names, wherever in it they stand.

    Raises BadDer where `data` is no DER, or has more in it than any real key file.
    """
    return list(_walk(data))


def words(found: list[Lock]) -> str:
    """How the locks work, each kind once; "" where there is none."""
    return ", and ".join(dict.fromkeys(one.words for one in found))


def price(found: list[Lock]) -> str:
    """Why a passphrase is not tried at all on what `found` protects; "" where it may be."""
    rounds, memory = sum(one.rounds for one in found), max((one.memory for one in found), default=0)
    if memory > MOST_MEMORY:
        return f"one try would take {memory // 2**20} MiB of memory"
    if rounds > MOST_ROUNDS:
        return f"one try would take {rounds:,} rounds"
    return ""


def mac_lock(data: bytes) -> Lock | None:
    """The integrity check of a PKCS#12 file (MacData of RFC 7292 section 4), None without one."""
    start, end = der.expect(data, 0, len(data), der.SEQUENCE)
    parts = der.children(data, start, end)
    if len(parts) < 3 or parts[2][0] != der.SEQUENCE:
        return None
    fields = der.children(data, parts[2][1], parts[2][2])
    rounds = _integer(data, fields[2]) if len(fields) > 2 else 1  # DEFAULT 1
    return Lock(f"an integrity check of {rounds:,} rounds", "", rounds)


def _walk(data: bytes) -> Iterator[Lock]:
    """Every AlgorithmIdentifier in the data, those inside OCTET STRINGs too."""
    left: list[tuple[int, int, int]] = [(0, len(data), 0)]
    seen = 0
    while left:
        start, end, depth = left.pop()
        try:
            parts = der.children(data, start, end)
        except BadDer:
            if depth == 0:
                raise
            continue  # an OCTET STRING that holds no DER
        seen += len(parts)
        if seen > _MOST_ELEMENTS:
            raise BadDer("too many elements")
        lock = _lock(data, parts)
        if lock is not None:
            yield lock
        elif depth < _DEEPEST:
            left += [(at, last, depth + 1) for tag, at, last in parts if _may_hold(tag, data, at)]


def _may_hold(tag: int, data: bytes, at: int) -> bool:
    return bool(tag & 0x20) or (tag == der.OCTET_STRING and data[at : at + 1] == b"\x30")


def _lock(data: bytes, parts: list[_Element]) -> Lock | None:
    """The encryption that these two elements of a sequence name, if they do."""
    if len(parts) < 2 or parts[0][0] != 0x06 or parts[1][0] != der.SEQUENCE:
        return None
    name = data[parts[0][1] : parts[0][2]]
    try:
        inner = der.children(data, parts[1][1], parts[1][2])
        if name in (_PBES2, _PBMAC1):
            return _scheme(data, inner)
        if name in _OLD:
            rounds = _integer(data, inner[1])
            weak = f"{_OLD[name]} with {rounds:,} rounds is tried out by the million a second"
            return Lock(f"{_OLD[name]}, {rounds:,} rounds", weak, rounds)
    except (BadDer, IndexError):
        return Lock("a form that cannot be read", "", 0)
    return None


def _scheme(data: bytes, parts: list[_Element]) -> Lock:
    """PBES2: how the key is derived, and the cipher (RFC 8018 appendix A.4)."""
    derive, cipher = (der.children(data, at, end) for _, at, end in parts[:2])
    name = data[cipher[0][1] : cipher[0][2]]
    with_cipher = _CIPHERS.get(name, _HASHES.get(name, "a cipher that is not known here"))
    fields = der.children(data, derive[1][1], derive[1][2])
    if data[derive[0][1] : derive[0][2]] == _SCRYPT:
        lock = _scrypt(*(_integer(data, field) for field in fields[1:4]), cipher=with_cipher)
    elif data[derive[0][1] : derive[0][2]] == _PBKDF2:
        lock = _pbkdf2(data, fields, with_cipher)
    else:
        return Lock(f"a derivation that is not known here, {with_cipher}", "", 0)
    if with_cipher in _WEAK_CIPHERS:
        weak = f"the keys of {with_cipher} are short: all of them can be tried"
        return Lock(lock.words, weak, lock.rounds, lock.memory)
    return lock


def _pbkdf2(data: bytes, fields: list[_Element], cipher: str) -> Lock:
    rounds = _integer(data, fields[1])
    digest = "SHA-1"  # DEFAULT, RFC 8018 appendix A.2
    if fields[-1][0] == der.SEQUENCE:
        name = der.children(data, fields[-1][1], fields[-1][2])[0]
        digest = _HASHES.get(data[name[1] : name[2]], "a hash that is not known here")
    least = LEAST_ROUNDS.get(digest, LEAST_ROUNDS["SHA-256"])
    weak = f"{rounds:,} rounds are few: {least:,} is what OWASP asks for" if rounds < least else ""
    return Lock(f"PBKDF2 with {digest}, {rounds:,} rounds; {cipher}", weak, rounds)


def _scrypt(n: int, r: int, p: int, *, cipher: str) -> Lock:
    work = n * r * p
    weak = "this scrypt costs less than OWASP asks for" if work < LEAST_SCRYPT else ""
    # in the same measure as PBKDF2: as much work as is allowed is as many rounds as are allowed
    rounds = work * MOST_ROUNDS // MOST_SCRYPT
    return Lock(f"scrypt with N={n}, r={r}, p={p}; {cipher}", weak, rounds, 128 * n * r)


def _integer(data: bytes, field: _Element) -> int:
    if field[0] != der.INTEGER or field[1] == field[2] or field[2] - field[1] > 8:
        raise BadDer("integer")
    return max(int.from_bytes(data[field[1] : field[2]], "big", signed=True), 0)
