"""Runs on MicroPython: a client as stock examples write it; prints what it ends with.

`HOST PORT SERVER_NAME` on the command line; key, certificates and anchor as lines of hexadecimal
on standard input, the first two empty where there is none.
"""

import socket
import sys

import tls


def split(data: bytes) -> "list[bytes]":
    """The DER certificates that stand one behind the other; each is shorter than 64 KiB."""
    parts = []
    while data:
        size = 4 + (data[2] << 8 | data[3])
        parts.append(data[:size])
        data = data[size:]
    return parts


def main() -> None:
    """Connect, and print the exception or the CONNACK."""
    host, port, name = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    key, chain, anchor = [bytes.fromhex(sys.stdin.readline().strip()) for _ in range(3)]
    try:
        context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(anchor)
        if key:
            for certificate in split(chain):
                context.load_cert_chain(certificate, key)
        sock = socket.socket()
        sock.settimeout(5)
        sock.connect(socket.getaddrinfo(host, port)[0][-1])
        stream = context.wrap_socket(sock, server_hostname=name)
        stream.write(b"\x10\x0f\x00\x04MQTT\x04\x02\x00\x3c\x00\x03one")
        print("CONNACK", stream.read(4))
    except Exception as error:  # noqa: BLE001  whatever a stock client would see
        print(repr(error))


main()
