"""The program that RabbitMQ asks what a device may do, as it is written into an export.

It is a program of its own, for a broker's computer without firmshake. Does no I/O.
"""

from __future__ import annotations

from firmshake import watcher

PROGRAM = '''\
"""Tells RabbitMQ what a device may do: use the topics below devices/<its own id>/, nothing else.

RabbitMQ asks over HTTP, with the common name of the client's certificate as the user name. One
rule does for the whole fleet, and one for firmshake fleet watch, which reads what the devices
report and may do nothing else. Needs Python 3.7 or later, nothing else:

    python3 device_rights.py [PORT]
"""

import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl

# what RabbitMQ sends is some hundred bytes; a topic has 65535 at most, each of them escaped
LONGEST = 256 * 1024
# a dot would be a slash to RabbitMQ, so that one device could reach into the topics of another
DEVICE = re.compile("[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
# no device is called so; the topics in RabbitMQ's own writing
WATCHER, REPORTS = "@WATCHER@", "@REPORTS@"


def may(path, form):
    """Whether a question of RabbitMQ, its path and its form, gets "allow" for an answer."""
    client = form.get("username", "")
    # a certificate has no password: who types one has none of ours
    if not (client == WATCHER or DEVICE.fullmatch(client)) or form.get("password"):
        return False
    # nobody takes over the session of another
    for name in ("client_id", "variable_map.client_id"):
        if form.get(name, client) != client:
            return False
    if path == "/user":
        return True
    if form.get("vhost") != "/":
        return False
    if path == "/vhost":
        return True
    if path == "/topic":
        return form.get("name") == "amq.topic" and may_have(client, form)
    return path == "/resource" and may_use(client, form)


def may_have(client, form):
    """Whether it may use that topic."""
    key = form.get("routing_key", "")
    if client == WATCHER:
        return key == REPORTS and form.get("permission") == "read"
    return key.startswith("devices." + client + ".")


def may_use(client, form):
    """Whether it may use that exchange or queue: the topic exchange, and its own queues."""
    kind, name = form.get("resource"), form.get("name", "")
    if kind == "exchange":
        rights = ("read",) if client == WATCHER else ("read", "write")
        return name == "amq.topic" and form.get("permission") in rights
    # as the MQTT plugin calls them
    queue = "mqtt-(subscription-" + re.escape(client) + "qos[01]|will-" + re.escape(client) + ")"
    return kind == "queue" and bool(re.fullmatch(queue, name))


class Rights(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        length = self.headers.get("Content-Length", "")
        size = int(length) if length.isdigit() else 0
        pairs = []
        if size <= LONGEST:
            text = self.rfile.read(size).decode("ascii", "replace")
            pairs = parse_qsl(text, keep_blank_values=True)
        else:
            self.close_connection = True
        form = dict(pairs)
        # nothing that is said twice is believed
        good = len(form) == len(pairs) and may(self.path, form)
        answer = b"allow" if good else b"deny"
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    # a whole fleet may come back at once
    request_queue_size = 1024


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8992
    with Server(("127.0.0.1", port), Rights) as server:
        print("listening on port", server.server_port, flush=True)
        server.serve_forever()
'''.replace("@WATCHER@", watcher.NAME).replace(
    "@REPORTS@", watcher.TOPICS.replace("/", ".").replace("+", "*")
)
