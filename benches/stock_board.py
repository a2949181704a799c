"""Runs on MicroPython: a client as stock examples write it; prints what it ends with.

`HOST PORT SERVER_NAME` on the command line; key, certificates and anchor as lines of hexadecimal
on standard input, the first two empty where there is none.
"""

import socket
import sys

import tls


def main() -> None:
    """Connect, and print the exception or the CONNACK."""
    host, port, name = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    key, chain, anchor = [bytes.fromhex(sys.stdin.readline().strip()) for _ in range(3)]
    try:
        context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(anchor)
        if key:
            context.load_cert_chain(chain, key)
        sock = socket.socket()
        sock.settimeout(5)
        sock.connect(socket.getaddrinfo(host, port)[0][-1])
        stream = context.wrap_socket(sock, server_hostname=name)
        stream.write(b"\x10\x0f\x00\x04MQTT\x04\x02\x00\x3c\x00\x03one")
        print("CONNACK", stream.read(4))
    except Exception as error:  # noqa: BLE001  whatever a stock client would see
        print(repr(error))


main()
