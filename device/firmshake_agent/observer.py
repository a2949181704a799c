"""The TLS observer: bytes of both directions in, what the handshake did out. Does no I/O.

It stands between the runtime's TLS and the socket, so it works on stock firmware, and it only
looks: nothing that it sees is changed or held back. Names are those of RFC 8446 and RFC 5246.

Rules that hold here:
- bytes may arrive cut at any place; each byte is looked at once;
- at most KEEP bytes of a message are kept, whatever its length says;
- nothing after a ChangeCipherSpec (TLS 1.2) or a ServerHello that chose TLS 1.3 is readable: only
  record types and sizes count from there on;
- bytes that are not TLS end the watching of that direction, and raise nothing.
"""

# RFC 8446, 5.1: ContentType
CHANGE_CIPHER_SPEC = 20
ALERT = 21
HANDSHAKE = 22
APPLICATION_DATA = 23

# RFC 8446, 4 and RFC 5246, 7.4: HandshakeType
CLIENT_HELLO = 1
SERVER_HELLO = 2
CERTIFICATE = 11
SERVER_KEY_EXCHANGE = 12
CERTIFICATE_REQUEST = 13
SERVER_HELLO_DONE = 14
CERTIFICATE_VERIFY = 15
CLIENT_KEY_EXCHANGE = 16
FINISHED = 20

KEEP = 256  # of a message: a ServerHello, with the largest key share of a curve (P-521)
KEEP_CERTIFICATE = 4096  # of a Certificate message, where the caller wants it
FIRST = 16  # first bytes of the server, to tell what it is if it is not TLS
LARGEST = 16384  # bytes of a handshake message that stock mbedTLS takes: one record
SIZES = 4  # records of the server after our last flight whose sizes are kept


class _Direction:
    """One direction's records: where in a record and in a handshake message the next byte falls."""

    def __init__(self) -> None:
        self.head = bytearray()  # of the record being read: 5 bytes, and an alert's two
        self.left = 0  # bytes of the record's body still to come
        self.message = bytearray()  # head and kept part of the handshake message being read
        self.rest = 0  # bytes of that message still to come
        self.encrypted = False
        self.lost = False  # what came was not TLS


class Observer:
    """What one connection's handshake did. Feed it with `sent` and `received`.

    Attributes, all there from the start:
    - `messages`: what was seen, in order: (from_server, HandshakeType), ChangeCipherSpec as 0;
    - `first`: the server's first bytes; `bytes_in`, `bytes_out`: bytes of each direction;
    - `version`: 0x0303 for TLS 1.2, 0x0304 for 1.3, 0 before the ServerHello; `cipher` likewise;
    - `alert_in`, `alert_out`: AlertDescription that the server or the board sent readably, or -1:
      the first fatal one, or a warning that nothing followed; `alert_level_in`: 1 warning, 2 fatal;
    - `asked_certificate`: the server sent a readable CertificateRequest;
    - `shown`: bytes of the Certificate message that the board sent, -1 before it (<= 7: empty);
    - `certificate`: kept bytes of the server's Certificate message (TLS 1.2), b"" where not wanted;
    - `after_flight`: sizes of the server's first encrypted records after the board's last one;
      `encrypted_out`: how many encrypted records the board sent;
    - `chain_size`: bytes of the server's Certificate message; `dh_bits`: size of the prime in its
      ServerKeyExchange, 0 where it is of an elliptic curve (both TLS 1.2);
    - `request`: kept bytes of the server's CertificateRequest (TLS 1.2);
    - `chain`: where it is set, it takes the server's Certificate message (see chain.py).
    """

    def __init__(self, keep_certificate: bool = False) -> None:
        self.messages = []
        self.first = b""
        self.bytes_in = 0
        self.bytes_out = 0
        self.version = 0
        self.cipher = 0
        self.alert_in = -1
        self.alert_level_in = 0
        self.alert_out = -1
        self.asked_certificate = False
        self.shown = -1
        self.certificate = b""
        self.after_flight = []
        self.encrypted_out = 0
        self.chain = None
        self.chain_size = 0
        self.request = b""
        self.dh_bits = 0
        self._keep = KEEP_CERTIFICATE if keep_certificate else KEEP
        self._in = _Direction()
        self._out = _Direction()

    def saw(self, from_server: bool, message: int) -> bool:
        """Whether this handshake message went by in the clear."""
        return (from_server, message) in self.messages

    def received(self, data: "bytes | memoryview") -> None:
        """Bytes that came from the server."""
        if self.bytes_in < FIRST:
            self.first += bytes(data[: FIRST - self.bytes_in])
        self.bytes_in += len(data)
        self._feed(self._in, True, data)

    def sent(self, data: "bytes | memoryview") -> None:
        """Bytes that went to the server."""
        self.bytes_out += len(data)
        self._feed(self._out, False, data)

    def _feed(self, way: _Direction, from_server: bool, data: "bytes | memoryview") -> None:
        at = 0
        end = len(data)
        while at < end and not way.lost:
            if way.left == 0:
                take = min(5 - len(way.head), end - at)
                way.head.extend(data[at : at + take])
                at += take
                if len(way.head) == 5:
                    self._record(way, from_server)
                continue
            take = min(way.left, end - at)
            if not way.encrypted and way.head[0] != APPLICATION_DATA:
                self._body(way, from_server, data, at, at + take)
            at += take
            way.left -= take
            if way.left == 0:
                way.head = bytearray()

    def _record(self, way: _Direction, from_server: bool) -> None:
        kind, major = way.head[0], way.head[1]
        way.left = way.head[3] << 8 | way.head[4]
        # RFC 8446, 5.2: at most 2^14 + 256 bytes; RFC 5246 allows 2^14 + 2048
        if not CHANGE_CIPHER_SPEC <= kind <= APPLICATION_DATA or major != 3 or way.left > 18432:
            way.lost = True
            return
        if way.left == 0:
            way.head = bytearray()
            return
        if kind == CHANGE_CIPHER_SPEC:
            # in TLS 1.3 it is only there to please middleboxes, and ends nothing
            self._note(from_server, 0)
            way.encrypted = way.encrypted or self.version < 0x0304
        elif way.encrypted or kind == APPLICATION_DATA:
            if from_server:
                if len(self.after_flight) < SIZES:
                    self.after_flight.append(way.left)
            else:
                self.after_flight = []
                self.encrypted_out += 1

    def _body(
        self, way: _Direction, from_server: bool, data: "bytes | memoryview", at: int, end: int
    ) -> None:
        kind = way.head[0]
        if kind == CHANGE_CIPHER_SPEC:
            return
        if kind == ALERT:
            # kept behind the record's head: a message may be half read, whose bytes these are not
            take = min(7 - len(way.head), end - at)
            if take:
                way.head.extend(data[at : at + take])
                if len(way.head) == 7:
                    self._alert(from_server, way.head[5], way.head[6])
            return
        while at < end:
            if way.rest == 0:
                take = min(4 - len(way.message), end - at)
                way.message.extend(data[at : at + take])
                at += take
                if len(way.message) < 4:
                    return
                head = way.message
                way.rest = head[1] << 16 | head[2] << 8 | head[3]
                self._begin(from_server, head[0], way.rest)
            take = min(way.rest, end - at)
            keep = (self._keep if way.message[0] == CERTIFICATE else KEEP) + 4 - len(way.message)
            if keep > 0:
                way.message.extend(data[at : at + min(take, keep)])
            if self.chain is not None and from_server and way.message[0] == CERTIFICATE:
                self.chain.feed(data, at, at + take)
            at += take
            way.rest -= take
            if way.rest == 0:
                self._message(from_server, way.message)
                way.message = bytearray()

    def _begin(self, from_server: bool, kind: int, size: int) -> None:
        self._note(from_server, kind)
        if from_server and self.alert_level_in == 1:  # a warning, and the handshake goes on
            self.alert_level_in, self.alert_in = 0, -1
        if kind == CERTIFICATE_REQUEST:
            self.asked_certificate = True
        elif kind == CERTIFICATE and not from_server:
            self.shown = size
        elif kind == CERTIFICATE:
            self.chain_size = size

    def _note(self, from_server: bool, kind: int) -> None:
        if len(self.messages) < 32:  # a handshake has a dozen; a server that loops adds no more
            self.messages.append((from_server, kind))

    def _message(self, from_server: bool, message: bytearray) -> None:
        if not from_server:
            return
        if message[0] == SERVER_HELLO:
            self._server_hello(message)
        elif message[0] == CERTIFICATE_REQUEST:
            self.request = bytes(message[4:])
        elif message[0] == SERVER_KEY_EXCHANGE and len(message) > 5 and message[4] < 3:
            # RFC 5246, 7.4.3: the length of dh_p; an elliptic curve's type would be 3
            self.dh_bits = 8 * (message[4] << 8 | message[5])
        elif message[0] == CERTIFICATE and self._keep == KEEP_CERTIFICATE:
            self.certificate = bytes(message[4:])

    def _server_hello(self, message: bytearray) -> None:
        # legacy_version, random, legacy_session_id, cipher_suite, compression, extensions
        if len(message) < 40:
            return
        version = message[4] << 8 | message[5]
        at = 39 + message[38]
        if len(message) < at + 2:
            return
        self.cipher = message[at] << 8 | message[at + 1]
        at += 5  # cipher_suite, legacy_compression_method, length of the extensions
        while at + 4 <= len(message):
            kind = message[at] << 8 | message[at + 1]
            size = message[at + 2] << 8 | message[at + 3]
            if kind == 43 and at + 6 <= len(message):  # supported_versions
                version = message[at + 4] << 8 | message[at + 5]
            at += 4 + size
        self.version = version

    def _alert(self, from_server: bool, level: int, description: int) -> None:
        # the first fatal one says why; a close_notify may follow it
        if not from_server:
            if self.alert_out <= 0:
                self.alert_out = description
        elif self.alert_level_in != 2:
            self.alert_level_in, self.alert_in = level, description


def version_name(version: int) -> "str | None":
    """`1.2` for 0x0303, None before there is one."""
    if version <= 0x0300:
        return "SSL3" if version == 0x0300 else None
    return "1." + str((version & 0xFF) - 1)
