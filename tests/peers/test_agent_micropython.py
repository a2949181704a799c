"""The agent's modules on the real MicroPython: what CPython cannot show."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support import handshake, pki
from support.broker import mosquitto
from support.builds import BITS

from firmshake import climb, tools
from firmshake.errors import Error
from firmshake_agent import line, observer, x509

DEVICE = Path(line.__file__).parents[1]


def micropython(script: str, folder: Path, *arguments: str, bits: int = 64) -> object:
    """What a script prints as JSON; it may import the agent."""
    path = folder / "script.py"
    path.write_text("import json, sys\nsys.path.insert(0, sys.argv[1])\n" + script)
    done = subprocess.run(
        [*tools.micropython(bits), str(path), str(DEVICE), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


# time

# A board's count of milliseconds comes round at 2^30, and differences are right up to half of that
WEEKS = """
import firmshake_agent.runtime_micropython as module

class Time:
    now = 2**30 - 5

    def ticks_ms(self):
        return self.now % 2**30

    def ticks_diff(self, end, start):
        return (end - start + 2**29) % 2**30 - 2**29

    def gmtime(self, seconds):
        return (1970,)

module.time = Time()
runtime = module.Runtime()
start = runtime.ticks()
told = []
for days in range(60):
    module.time.now += 86400000
    told.append(runtime.since(start))
print(json.dumps(told))
"""


def test_milliseconds_go_on_for_weeks(tmp_path: Path) -> None:
    """The host reads no event whose time is negative; a session may hold that long."""
    told = micropython(WEEKS, tmp_path)
    assert told == [days * 86400000 for days in range(1, 61)]


@contextmanager
def time_server(answer: bytes) -> Iterator[int]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))

        def serve() -> None:
            while True:
                request, client = sock.recvfrom(512)
                if not request:
                    return
                sock.sendto(answer, client)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield sock.getsockname()[1]
        finally:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
                last.sendto(b"", sock.getsockname())
            thread.join()


# again where the answer comes late: the agent waits 1.5 s for it
ASK = """
from firmshake_agent import clock, runtime_micropython
runtime = runtime_micropython.Runtime()
answers = (clock.ask(runtime, sys.argv[2]) for _ in range(40))
print(json.dumps(next(each for each in answers if each is not None)))
"""


@BITS
@pytest.mark.parametrize("when", [1795132800, 2085978500])  # before and after 2036-02-07
def test_a_time_server_is_asked_over_udp(tmp_path: Path, bits: int, when: int) -> None:
    stamp = ((when + 2208988800) % 2**32).to_bytes(4, "big")
    answer = b"\x24\x02" + bytes(38) + stamp + bytes(4)
    with time_server(answer) as port:
        assert micropython(ASK, tmp_path, f"127.0.0.1:{port}", bits=bits) == when


# the parsers, with a small int of 31 bits and with one of 63

READ = """
from firmshake_agent import causes, observer, x509

parts = json.loads(open(sys.argv[2]).read())
certificate = x509.Certificate(bytes.fromhex(parts["certificate"]))
seen = observer.Observer(True)
for from_server, data in parts["pieces"]:
    data = bytes.fromhex(data)
    for at in range(0, len(data), 7):
        (seen.received if from_server else seen.sent)(memoryview(data)[at:at + 7])
print(json.dumps({
    "subject": certificate.subject,
    "issuer": certificate.issuer,
    "names": certificate.names,
    "dates": [x509.date(certificate.not_before), x509.date(certificate.not_after)],
    "far": x509.date(x509.seconds(9999, 12, 31, 23, 59, 59)),
    "before": x509.date(x509.seconds(1901, 1, 1, 0, 0, 0)),
    "belongs": x509.belongs(x509.public_part(bytes.fromhex(parts["key"])), certificate),
    "messages": seen.messages,
    "cipher": seen.cipher,
    "kept": len(seen.certificate),
    "after": seen.after_flight,
    "why": causes.lookup("tls.finished/out_of_memory") is not None,
}))
"""


@BITS
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_certificates_and_handshakes_are_read_as_on_cpython(
    tmp_path: Path, version: str, bits: int
) -> None:
    fleet = handshake.fleet()
    files = fleet.files()
    server = handshake.server_context(version, clients=fleet)
    pair = handshake.shake(server, handshake.client_context(shows=fleet))
    assert pair.both_finished()
    parts = {
        "certificate": files["cert.der"].hex(),
        "key": files["key.der"].hex(),
        "pieces": [(from_server, data.hex()) for from_server, data in pair.pieces],
    }
    (tmp_path / "parts.json").write_text(json.dumps(parts))
    told = micropython(READ, tmp_path, str(tmp_path / "parts.json"), bits=bits)
    certificate = x509.Certificate(files["cert.der"])
    seen = pair.observed(keep_certificate=True)
    assert isinstance(seen, observer.Observer)
    assert told == {
        "subject": certificate.subject,
        "issuer": certificate.issuer,
        "names": certificate.names,
        "dates": [x509.date(certificate.not_before), x509.date(certificate.not_after)],
        "far": "9999-12-31T23:59:59Z",
        "before": "1901-01-01T00:00:00Z",
        "belongs": True,
        "messages": [list(each) for each in seen.messages],
        "cipher": seen.cipher,
        "kept": len(seen.certificate),
        "after": seen.after_flight,
        "why": True,
    }


# what only MicroPython refuses


def test_an_anchor_that_only_the_runtime_cannot_load_is_a_bad_anchor() -> None:
    """Its key is of a curve that mbedTLS does not know: the agent itself reads only the form."""
    files = handshake.fleet().files()
    p256 = bytes.fromhex("06082a8648ce3d030107")
    assert p256 in files["ca.der"]
    files["ca.der"] = files["ca.der"].replace(p256, p256[:-1] + b"\x7f")
    verdict = climb.run(pki.settings(1), files)
    assert verdict.verdict == "identity/bad_ca"


# memory


def test_a_small_heap_reaches_ready(tmp_path: Path) -> None:
    fleet = handshake.fleet()
    with mosquitto(tmp_path, fleet.broker, fleet.device.anchors_pem()) as port:
        verdict = climb.run(pki.settings(port), fleet.files(), heap="160k")
        assert verdict.verdict == "ready"
        assert int(verdict.evidence["free"]) > 0


def test_a_heap_that_is_too_small_is_named_and_never_a_certificates_fault(tmp_path: Path) -> None:
    """Each heap reaches ready, or says out of memory, or is too small for the agent to start."""
    fleet = handshake.fleet()
    verdicts = set()
    with mosquitto(tmp_path, fleet.broker, fleet.device.anchors_pem()) as port:
        for size in range(118, 140, 2):
            try:
                found = climb.run(pki.settings(port), fleet.files(), heap=f"{size}k")
            except Error:
                continue
            verdicts.add(found.verdict or "no report/")
    causes = {verdict.rpartition("/")[2] for verdict in verdicts}
    assert causes <= {"ready", "out_of_memory"}
    assert "ready" in causes
