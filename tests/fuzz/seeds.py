"""Makes the seeds in `corpus` from real traffic: `python tests/fuzz/seeds.py`, after `make setup`.

OpenSSL's handshakes in memory, certificates of the product's own CA, mosquitto's answers, esptool's
words and bytes, the serial output of a virtual board. Keys are new at each run and none is kept.
Seeds whose names begin with `crash-` once broke a rule; they are left alone.
"""

from __future__ import annotations

import base64
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent)]

from cryptography import x509  # noqa: E402
from cryptography.hazmat.primitives import hashes  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec  # noqa: E402
from cryptography.hazmat.primitives.serialization import (  # noqa: E402
    BestAvailableEncryption,
    Encoding,
    pkcs7,
    pkcs12,
)
from support import broker, chains, handshake, pki, servers, smallbroker, uf2  # noqa: E402
from support.source import Source  # noqa: E402

from firmshake import image, partitions, tools  # noqa: E402
from firmshake.ca import pkcs8  # noqa: E402
from firmshake.virtual import VirtualBoard, standin_firmware  # noqa: E402
from firmshake_agent import mqtt5, websocket  # noqa: E402
from firmshake_agent.failure import Failure  # noqa: E402
from firmshake_agent.ladder import Climb  # noqa: E402
from firmshake_agent.report import Report  # noqa: E402
from firmshake_agent.runtime_cpython import Runtime  # noqa: E402
from fuzz.targets import NAMES, filesystems, firmware, loader, observer, session  # noqa: E402
from fuzz.wire import Wire  # noqa: E402

CORPUS = HERE / "corpus"
LONGEST = 12000  # a fuzzer works fastest on small ones
Seeds = dict[str, bytes]
_BYTEWISE, _SILENT = 1, 8  # see fuzz.wire
_QUIET_S = 0.3


def main() -> None:
    """Write every seed."""
    made: dict[str, Seeds] = {name: {} for name in NAMES}
    for maker in (
        _certificates,
        _handshakes,
        _times,
        _firmware,
        _papers,
        _filesystems,
        _manifests,
        _broker,
        _websocket,
        _ladder,
        _board,
    ):
        maker(made)
    for name, seeds in made.items():
        folder = CORPUS / name
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.iterdir():
            if not old.name.startswith("crash-"):
                old.unlink()
        for seed, data in seeds.items():
            (folder / seed).write_bytes(data[:LONGEST])


def _certificates(made: dict[str, Seeds]) -> None:
    fleet = pki.fleet()
    found = {
        "leaf": fleet.broker.certificate,
        "device": fleet.device.certificate,
        "intermediate": fleet.broker.chain[0],
        "root": fleet.device.anchors[0],
        "self-signed": pki.self_signed("127.0.0.1").certificate,
    }
    seeds = {name: each.public_bytes(Encoding.DER) for name, each in found.items()}
    pem = handshake.rsa_server(names=12)[1]
    seeds["rsa"] = handshake.ssl.PEM_cert_to_DER_cert(pem.decode())
    # keys as they are laid out, with nothing in the secret's place
    public = b"\xa1\x44\x03\x42\x00\x04" + bytes(64)
    sec1 = b"\x30\x53\x02\x01\x01\x04\x08" + bytes(8) + public
    seeds["sec1"] = sec1
    inner = b"\x04" + bytes([len(sec1)]) + sec1
    body = b"\x02\x01\x00\x30\x09\x06\x07\x2a\x86\x48\xce\x3d\x02\x01" + inner
    seeds["pkcs8"] = b"\x30\x81" + bytes([len(body)]) + body
    seeds["pkcs1"] = b"\x30\x1d\x02\x01\x00\x02\x03\x01\x00\x01" + b"\x02\x01\x03" * 7
    made["x509"] |= seeds
    made["der"] |= seeds


def _handshakes(made: dict[str, Seeds]) -> None:
    fleet, seeds = handshake.fleet(), made["observer"]
    for version in ("1.2", "1.3"):
        asking = handshake.server_context(version, clients=fleet)
        shown = handshake.client_context(shows=fleet)
        stranger = handshake.client_context(shows=pki.fleet("stranger"))
        for name, pair in {
            "mutual": handshake.shake(asking, shown, say=b"hello"),
            "none-shown": handshake.shake(asking, handshake.client_context()),
            "stranger": handshake.shake(asking, stranger),
            "wrong-name": handshake.shake(asking, shown, name="other.example"),
        }.items():
            seeds[f"{name}-{version}"] = observer.pack(pair.pieces)
            said = b"".join(data for from_server, data in pair.pieces if from_server)
            made["answer"][f"{name}-{version}"] = said
    hello = pair.pieces[0]
    for name, answer in (
        ("http", b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"),
        ("mqtt", b"\x20\x02\x00\x01"),
        ("alert", b"\x15\x03\x03\x00\x02\x02\x28"),
    ):
        seeds[name] = observer.pack((hello, (True, answer)))


def _times(made: dict[str, Seeds]) -> None:
    # RFC 5905, 7.3: a server's answer, stratum 2; one that is not synchronised; a kiss of death
    stamps = struct.pack(">4Q", 0xEA000000 << 32, 1 << 32, 0xEA000001 << 32, 0xEA000001 << 32)
    root = struct.pack(">2I4s", 0x100, 0x200, b"\x0a\x00\x00\x01")
    made["ntp"]["answer"] = b"\x24\x02\x06\xec" + root + stamps
    made["ntp"]["unsynchronised"] = b"\xe4\x00\x06\xec" + root + stamps
    made["ntp"]["kiss"] = b"\x24\x00\x06\xec" + root[:8] + b"RATE" + stamps


def _firmware(made: dict[str, Seeds]) -> None:
    for name, whole in (
        ("with-vfs", standin_firmware(vfs_partition=True)),
        ("plain", standin_firmware()),
    ):
        made["firmware"][name] = firmware.pack(whole)
        table = whole[partitions.TABLE_OFFSET - 0x1000 :][: partitions.TABLE_SIZE]
        made["partitions"][name] = table.rstrip(b"\xff") + b"\xff" * 32
    made["firmware"]["application"] = whole[0x10000 - 0x1000 :][:512]


def _papers(made: dict[str, Seeds]) -> None:
    """What people have in files; of keys the encrypted ones, whose passphrase is nowhere."""
    root = chains.make("root", ca=True)
    issuing = chains.make("issuing", root, ca=True)
    leaf = chains.make("broker.example", issuing, names=["broker.example", "192.0.2.1"])
    papers = [one.certificate for one in (leaf, issuing, root)]
    seeds = made["inspect"]
    seeds["chain"] = b"".join(one.public_bytes(Encoding.PEM) for one in papers)
    seeds["chain-reversed"] = b"".join(one.public_bytes(Encoding.DER) for one in papers[::-1])
    seeds["crl"] = chains.crl(root, 1, 2, 3).public_bytes(Encoding.PEM)
    request = x509.CertificateSigningRequestBuilder().subject_name(leaf.certificate.subject)
    key = ec.generate_private_key(ec.SECP256R1())
    seeds["request"] = request.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)
    lines = pkcs8.encrypt(key, os.urandom(16)).splitlines()
    seeds["sealed"] = base64.b64decode(b"".join(lines[1:-1]))
    lock = BestAvailableEncryption(os.urandom(16).hex().encode())
    seeds["pkcs12"] = pkcs12.serialize_key_and_certificates(
        b"name", key, request_to(issuing, key), [issuing.certificate], lock
    )
    seeds["pkcs7"] = pkcs7.serialize_certificates(papers, Encoding.DER)
    seeds["settings"] = json.dumps(pki.settings(8883)).encode()
    seeds["uf2"] = uf2.file(bytes(1000))
    made["uf2"]["whole"] = uf2.file(bytes(1000))
    made["uf2"]["two-families"] = uf2.file(bytes(300)) + uf2.file(bytes(9), 0x20000000, 0xE48BFF58)


def request_to(issuer: chains.Made, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    """A certificate for this key."""
    return chains.make("device", issuer, key=key).certificate


# Makes a FAT volume as MicroPython does, and prints it
_VOLUME = """
import os, sys, vfs

class Flash:
    data = bytearray(b"\\xff" * 512 * 256)
    def readblocks(self, block, buffer):
        buffer[:] = self.data[block * 512 : block * 512 + len(buffer)]
    def writeblocks(self, block, buffer):
        self.data[block * 512 : block * 512 + len(buffer)] = buffer
    def ioctl(self, op, argument):
        return {4: 256, 5: 512}.get(op, 0)

flash = Flash()
vfs.VfsFat.mkfs(flash)
vfs.mount(vfs.VfsFat(flash), "/f")
os.mkdir("/f/firmshake")
settings = '{"v": 1, "device": "pump-1", "host": "broker.example", "port": 8883}'
for name, text in (("code.py", "import code"), ("firmshake/settings.json", settings),
                   ("A name that is long and has Big letters.txt", "x" * 1500)):
    with open("/f/" + name, "w") as file:
        file.write(text)
vfs.umount("/f")
sys.stdout.buffer.write(flash.data)
"""


def _filesystems(made: dict[str, Seeds]) -> None:
    files = {"/main.py": b"import code", "/firmshake/settings.json": b"{}", "/lib/a.mpy": bytes(99)}
    built = image.build(files, 8)
    flash = image.laid_over(b"\xff" * built.size, built.runs)
    made["filesystems"]["littlefs"] = filesystems.pack(flash)
    done = subprocess.run(
        [*tools.micropython(), "-c", _VOLUME], stdout=subprocess.PIPE, timeout=60, check=True
    )
    made["filesystems"]["fat"] = filesystems.pack(done.stdout)


def _manifests(made: dict[str, Seeds]) -> None:
    seeds, text = made["manifest"], (HERE.parents[1] / "docs" / "manifest.md").read_text("utf-8")
    for kind in ("csv", "toml"):
        example = text.partition(f"```{kind}\n")[2].partition("```")[0]
        seeds[kind] = example.encode()
    seeds["semicolons"] = b"\xef\xbb\xbfsep=;\r\nid;count\r\n" + b'"pump-{number}";3\r\n'
    seeds["lines"] = b'[[device]]\nid = "a"\nclock.ntp = [ # two\n"a",\n\'b\',\n]\n'
    seeds["wrong"] = b'[[device]]\nid = "a\nbord = 1\n[device.wifi]\nssid = """x\n[device]\n'
    seeds["utf-16"] = "id\n".encode("utf-16")


# what mosquitto says

_TOPIC = session.TOPIC.encode()
_NAMED = len(_TOPIC).to_bytes(2, "big") + _TOPIC
_CONNECT = b"\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04seed"
_SUBSCRIBE = b"\x82" + bytes([len(_NAMED) + 3]) + b"\x00\x01" + _NAMED + b"\x00"
_PUBLISH = b"\x30" + bytes([len(_NAMED) + 6]) + _NAMED + session.TOKEN.encode()
_PING, _GOODBYE = b"\xc0\x00", b"\xe0\x00"
_TALK = (_CONNECT, _SUBSCRIBE, _PUBLISH, _PING)


def _broker(made: dict[str, Seeds]) -> None:
    with tempfile.TemporaryDirectory() as folder, broker.mosquitto(Path(folder), None) as port:
        whole = _talk(port, _TALK)
        other = _talk(port, (b"\x10\x10\x00\x04MQTT\x09\x02\x00\x3c\x00\x04seed",))
        newer = _talk(port, (mqtt5.packet("seed"),))
        empty = _talk(port, (_CONNECT, _SUBSCRIBE, b"\x30" + bytes([len(_NAMED)]) + _NAMED))
    answers = {"session": whole, "refused": other, "newer": newer, "empty-message": empty}
    answers["denied"] = whole.replace(b"\x90\x03\x00\x01\x00", b"\x90\x03\x00\x01\x80")
    for name, data in answers.items():
        for how, text in ((0, ""), (_BYTEWISE, "-bytewise"), (_SILENT, "-silent")):
            made["session"][name + text] = bytes([how]) + data
            made["link"][name + text] = bytes([how, 1]) + data
            made["mqtt5"][name + text] = bytes([how]) + data


def _websocket(made: dict[str, Seeds]) -> None:
    line = Wire(b"")
    try:
        where = handshake.pki.settings(0)
        identity = type("Identity", (), {"path": "/mqtt", "server_name": "broker.example"})
        identity.limit_ms = where["limit_ms"]
        websocket.upgrade(line, type("Channel", (), {"tap": line, "stream": line}), identity)
    except Failure:
        request = line.written
    framed = websocket.WebSocket(line, line)
    sent = [request]
    for packet in _TALK:
        framed.write(packet)
        sent.append(line.written)
    framed._send(9, b"ping")
    sent.append(line.written)
    framed._send(8, b"\x03\xe8")
    sent.append(line.written)
    with (
        tempfile.TemporaryDirectory() as folder,
        broker.mosquitto(Path(folder), None, extra="protocol websockets") as port,
    ):
        answer = _talk(port, tuple(sent))
        missing = _talk(port, (request.replace(b"GET /mqtt", b"PUT /mqtt"),))
    assert answer.startswith(b"HTTP/1.1 101"), answer
    for how, text in ((0, ""), (_BYTEWISE, "-bytewise"), (_SILENT, "-silent")):
        made["websocket"]["session" + text] = bytes([how]) + answer
        made["websocket"]["refused" + text] = bytes([how]) + missing


def _talk(port: int, packets: tuple[bytes, ...]) -> bytes:
    """All that the broker says to these packets, each sent when it has answered the one before."""
    got = b""
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        connection.settimeout(_QUIET_S)
        for packet in packets:
            connection.sendall(packet)
            got += b"".join(_until_quiet(connection))
    return got


def _until_quiet(connection: socket.socket) -> Iterator[bytes]:
    try:
        while data := connection.recv(4096):
            yield data
    except OSError:
        return


# what a board says


def _ladder(made: dict[str, Seeds]) -> None:
    def broken(connection: socket.socket) -> None:
        connection.recv(4096)

    context = handshake.server_context("1.2", clients=handshake.fleet())
    for name, handle in (("ready", smallbroker.broker(pings=0)), ("closed", broken)):
        with servers.tls(context, handle) as port:
            made["reader"][name] = _climb(port)
    made["reader"]["refused"] = b"ets Jul 29 2019\r\n" + _climb(servers.free_port()) + b">>> "


def _climb(port: int) -> bytes:
    text: list[str] = []
    runtime = Runtime()
    report = Report(runtime, text.append)
    climb = Climb(runtime, report, Source(pki.settings(port, keepalive=1)))
    try:
        climb.up()
        climb.hold()
    except Failure as failure:
        report.fail(failure)
    finally:
        climb.close()
    return "".join(text).replace("\n", "\r\n").encode()


def _board(made: dict[str, Seeds]) -> None:
    """A virtual board at work: what it prints, what esptool sends it, and what esptool prints."""
    heard, enough = bytearray(), threading.Event()

    def listen(data: bytes, baud: int) -> None:
        heard.extend(data)
        if heard.rstrip().endswith(b">>>"):
            enough.set()

    with VirtualBoard() as board:
        board.listen(listen)
        board.press_reset()
        enough.wait(10)
    made["reader"]["boot"] = bytes(heard)
    with VirtualBoard(blank=True) as board:
        board.listen(lambda data, baud: heard.extend(data))
        heard.clear()
        board.press_reset()
        threading.Event().wait(1)
    made["reader"]["blank"] = bytes(heard[:2000])
    with VirtualBoard(boot_held=True, raw_port=0) as board, tempfile.TemporaryDirectory() as folder:
        small = Path(folder) / "small.bin"
        small.write_bytes(bytes(range(256)))
        tasks: dict[str, tuple[str, ...]] = {
            "rom": ("--no-stub", "flash-id"),
            "rom-write": ("--no-stub", "write-flash", "0x200000", str(small)),
            "stub": ("read-mac",),
            "wrong-chip": ("--chip", "esp32s3", "read-mac"),
        }
        for name, arguments in tasks.items():
            sent, said = _esptool(board, arguments)
            made["loader"][name] = b"\x00" + sent
            made["slip"][name] = sent
            made["esptool"][name] = said
    for stub in (False, True):
        made["loader"]["every-request-" + ("stub" if stub else "rom")] = loader.pack(
            _REQUESTS, stub
        )
    gone = ("--port", "/dev/null/none", "--connect-attempts", "1", "read-mac")
    made["esptool"]["no-port"] = _run(gone)


def _words(*words: int) -> bytes:
    return struct.pack(f"<{len(words)}I", *words)


# of the bootloader's protocol: a region plain and deflated, registers, sums, and the rest
_DEFLATED = zlib.compress(b"firmshake" * 20)
_REQUESTS = [
    (0x02, _words(180, 1, 0x400, 0x1000)),
    (0x03, _words(9, 0, 0, 0) + b"firmshake"),
    (0x04, _words(1)),
    (0x10, _words(180, 1, 0x400, 0x2000)),
    (0x11, _words(len(_DEFLATED), 0, 0, 0) + _DEFLATED),
    (0x12, _words(1)),
    (0x09, _words(0x3FF42000, 1 << 18, 0xFFFFFFFF, 0)),
    (0x0A, _words(0x40001000)),
    (0x13, _words(0x1000, 180, 0, 0)),
    (0x0F, _words(921600, 115200)),
    (0x0E, _words(0, 64)),
    (0xD1, _words(0x1000, 0x1000)),
    (0xD2, _words(0, 256, 64, 2)),
    (0xD0, b""),
    (0x14, b""),
    (0xD3, b""),
]


def _esptool(board: VirtualBoard, arguments: tuple[str, ...]) -> tuple[bytes, bytes]:
    sent = bytearray()
    receive: Callable[[bytes, int], None] = board.receive

    def recorded(data: bytes, baud: int) -> None:
        sent.extend(data)
        receive(data, baud)

    board.receive = recorded  # type: ignore[method-assign]
    board.press_reset()
    said = _run(("--port", board.raw_url, "--after", "no-reset", *arguments))
    board.receive = receive  # type: ignore[method-assign]
    return bytes(sent), said


def _run(arguments: tuple[str, ...]) -> bytes:
    return subprocess.run(
        [sys.executable, "-m", "esptool", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=60,
        check=False,
    ).stdout


if __name__ == "__main__":
    main()
