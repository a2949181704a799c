"""Runs on MicroPython: one handshake that verifies the other end; prints "accepted" or the error.

`client PORT NAME` checks a server for that name, `server PORT` a client. Either way it is this end
that connects to the port of 127.0.0.1. On standard input, as lines of hexadecimal DER: the anchor,
and for the server its key and certificate.
"""

import socket
import sys

import tls


def main() -> None:
    """Shake hands once."""
    role, port = sys.argv[1], int(sys.argv[2])
    anchor, *own = [bytes.fromhex(line.strip()) for line in sys.stdin]
    sock = socket.socket()
    sock.connect(socket.getaddrinfo("127.0.0.1", port)[0][-1])
    try:
        if role == "client":
            context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
            context.load_verify_locations(anchor)
            stream = context.wrap_socket(sock, server_hostname=sys.argv[3])
        else:
            context = tls.SSLContext(tls.PROTOCOL_TLS_SERVER)
            context.verify_mode = tls.CERT_REQUIRED
            context.load_verify_locations(anchor)
            context.load_cert_chain(own[1], own[0])
            stream = context.wrap_socket(sock, server_side=True)
        stream.write(b"x")
        sys.stdout.write("accepted\n")
    except (OSError, ValueError) as error:
        sys.stdout.write(repr(error) + "\n")


main()
