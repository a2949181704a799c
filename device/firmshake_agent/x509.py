"""Reads from a certificate or a private key what a diagnosis needs. Does no I/O.

Certificates as in RFC 5280, keys as in RFC 5915 (SEC1), RFC 8017 (PKCS#1) and RFC 5958 (PKCS#8).
Nothing is verified here: that is the work of the runtime's TLS.
"""

from . import der
from .der import BadDer

_CN = b"\x55\x04\x03"  # id-at-commonName
_O = b"\x55\x04\x0a"  # id-at-organizationName
_SAN = b"\x55\x1d\x11"
_SKI = b"\x55\x1d\x0e"
_AKI = b"\x55\x1d\x23"

# More names than these are counted, not kept: a certificate may carry thousands.
MAX_NAMES = 4


class Certificate:
    """What was read: names as text, dates in Unix seconds, key identifiers as bytes or b"".

    `names` are the dNSName and iPAddress entries of the subject alternative name, at most
    MAX_NAMES of `name_count`; `key` is the subjectPublicKey without its leading unused-bits octet.
    """

    def __init__(self, data: bytes) -> None:
        """Read a DER certificate. Raises BadDer."""
        end = len(data)
        start, stop = der.expect(data, 0, end, der.SEQUENCE)
        start, stop = der.expect(data, start, stop, der.SEQUENCE)
        fields = der.children(data, start, stop)
        if fields and fields[0][0] == 0xA0:  # [0] version, absent in version 1
            fields = fields[1:]
        if len(fields) < 6:
            raise BadDer("certificate")
        self.issuer = name(data, fields[2])
        self.subject = name(data, fields[4])
        self.not_before, self.not_after = dates(data, fields[3])
        self.key = _public_key(data, fields[5])
        self.names = []
        self.name_count = 0
        self.ski = b""
        self.aki = b""
        for tag, at, last in fields[6:]:
            if tag == 0xA3:  # [3] extensions
                self._extensions(data, *der.expect(data, at, last, der.SEQUENCE))

    def _extensions(self, data: bytes, start: int, end: int) -> None:
        for _, at, last in der.children(data, start, end):
            parts = der.children(data, at, last)
            if len(parts) < 2:
                raise BadDer("extension")
            oid = data[parts[0][1] : parts[0][2]]
            value, stop = parts[-1][1], parts[-1][2]
            if oid == _SAN:
                self._alternative_names(data, *der.expect(data, value, stop, der.SEQUENCE))
            elif oid == _SKI:
                at, last = der.expect(data, value, stop, der.OCTET_STRING)
                self.ski = data[at:last]
            elif oid == _AKI:
                at, last = der.expect(data, value, stop, der.SEQUENCE)
                for tag, first, stop in der.children(data, at, last):
                    if tag == 0x80:  # [0] keyIdentifier
                        self.aki = data[first:stop]

    def _alternative_names(self, data: bytes, start: int, end: int) -> None:
        while start < end:
            tag, at, start = der.element(data, start, end)
            if tag == 0x82 or tag == 0x87:  # [2] dNSName, [7] iPAddress
                value = data[at:start]
                text = _text(value) if tag == 0x82 else _address(value)
                if text in self.names:  # an address in both forms
                    continue
                self.name_count += 1
                if len(self.names) < MAX_NAMES:
                    self.names.append(text)


def name(data: bytes, field: "tuple[int, int, int]") -> str:
    """A Name's commonName, else its organizationName, else "" (RFC 5280, 4.1.2.4)."""
    found = ""
    for _, at, end in der.children(data, field[1], field[2]):
        for _, first, last in der.children(data, at, end):
            parts = der.children(data, first, last)
            if len(parts) != 2:
                raise BadDer("name")
            oid = data[parts[0][1] : parts[0][2]]
            if oid == _CN or (oid == _O and not found):
                found = _text(data[parts[1][1] : parts[1][2]])
                if oid == _CN:
                    return found
    return found


def _text(value: bytes) -> str:
    # PrintableString, UTF8String and IA5String agree on ASCII; the rest shows as "?"
    return "".join([chr(byte) if 32 <= byte < 127 else "?" for byte in value[:64]])


def _address(value: bytes) -> str:
    if len(value) == 4:
        return "%d.%d.%d.%d" % tuple(value)
    return ":".join(["%02x%02x" % (value[i], value[i + 1]) for i in range(0, len(value) - 1, 2)])


def _public_key(data: bytes, field: "tuple[int, int, int]") -> bytes:
    parts = der.children(data, field[1], field[2])
    if len(parts) != 2 or parts[1][0] != der.BIT_STRING:
        raise BadDer("public key")
    return data[parts[1][1] + 1 : parts[1][2]]


def dates(data: bytes, field: "tuple[int, int, int]") -> "tuple[int, int]":
    """A Validity's notBefore and notAfter in Unix seconds (RFC 5280, 4.1.2.5). Raises BadDer."""
    parts = der.children(data, field[1], field[2])
    if len(parts) != 2:
        raise BadDer("validity")
    return _time(data, parts[0]), _time(data, parts[1])


def _time(data: bytes, field: "tuple[int, int, int]") -> int:
    digits = data[field[1] : field[2]]
    if field[0] == 0x17 and len(digits) == 13:  # UTCTime; RFC 5280: 50 and above are 19xx
        digits = (b"19" if digits[0] >= 53 else b"20") + digits
    if len(digits) != 15 or digits[14] != 90:  # GeneralizedTime, "Z"
        raise BadDer("date")
    try:
        parts = [int(digits[i : i + 2]) for i in range(0, 14, 2)]
    except ValueError:
        raise BadDer("date")
    return seconds(parts[0] * 100 + parts[1], *parts[2:])


def seconds(year: int, month: int, day: int, hour: int, minute: int, second: int) -> int:
    """Unix seconds of a UTC date of the Gregorian calendar."""
    # years are counted from March, so that the leap day is the last day of its year
    if month < 3:
        year -= 1
        month += 12
    days = 365 * year + year // 4 - year // 100 + year // 400 + (153 * month - 457) // 5 + day
    return (days - 719469) * 86400 + hour * 3600 + minute * 60 + second


def date(when: int) -> str:
    """Unix seconds as `2026-01-02T03:04:05Z`, whatever a runtime's own epoch."""
    days, rest = when // 86400 + 719468, when % 86400
    era = days // 146097
    days -= era * 146097
    year = (days - days // 1460 + days // 36524 - days // 146096) // 365
    days -= 365 * year + year // 4 - year // 100
    month = (5 * days + 2) // 153
    day = days - (153 * month + 2) // 5 + 1
    month = month + 3 if month < 10 else month - 9
    year += era * 400 + (1 if month < 3 else 0)
    clock = "%02d:%02d:%02d" % (rest // 3600, rest // 60 % 60, rest % 60)
    return "%04d-%02d-%02dT%sZ" % (year, month, day, clock)


def public_part(data: bytes) -> "bytes | None":
    """The public half that stands in a private key, to compare with Certificate.key, or None.

    An EC key (RFC 5915) may carry its public key; of an RSA key (RFC 8017) the modulus is
    compared. Raises BadDer for what is no private key, EncryptedKey for an encrypted one.
    """
    if data[:5] == b"-----":
        if b"ENCRYPTED" in data:
            raise EncryptedKey("encrypted PEM")
        return None  # PEM: the runtime reads it, where it can
    start, end = der.expect(data, 0, len(data), der.SEQUENCE)
    parts = der.children(data, start, end)
    if len(parts) > 1 and parts[0][0] == der.SEQUENCE and parts[1][0] == der.OCTET_STRING:
        raise EncryptedKey("EncryptedPrivateKeyInfo")
    if len(parts) > 2 and parts[1][0] == der.SEQUENCE:  # PKCS#8: the key is inside
        start, end = der.expect(data, parts[2][1], parts[2][2], der.SEQUENCE)
        parts = der.children(data, start, end)
    if len(parts) < 2 or parts[0][0] != der.INTEGER:
        raise BadDer("private key")
    if parts[1][0] == der.INTEGER and len(parts) > 8:  # PKCS#1: version, modulus, ...
        return data[parts[1][1] : parts[1][2]]
    if parts[1][0] != der.OCTET_STRING:
        raise BadDer("private key")
    for tag, at, last in parts:
        if tag == 0xA1:  # [1] publicKey
            at, last = der.expect(data, at, last, der.BIT_STRING)
            return data[at + 1 : last]
    return None


class EncryptedKey(Exception):
    """The private key is encrypted."""


def belongs(public: bytes, certificate: Certificate) -> bool:
    """Whether the public half of a private key is the one in the certificate."""
    # an RSA key's modulus stands inside the certificate's RSAPublicKey sequence
    return public == certificate.key or (len(public) > 97 and public in certificate.key)
