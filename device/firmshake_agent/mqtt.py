"""The mqtt, subscribe and ready stages, by MiniMQTT."""

import gc
import sys

from . import link as single
from . import tls, tlscause
from .failure import Failure

# CONNACK return codes (MQTT 3.1.1, 3.2.2.3)
_CONNACK = {
    1: "protocol_version",
    2: "client_id",
    3: "server_unavailable",
    4: "bad_credentials",
    5: "not_authorized",
}

# How long MiniMQTT waits for a byte before it looks at the time, in seconds: an answer is awaited
# in short turns, since MiniMQTT spends the whole of one; a session is held in long ones.
_SHORT_S = 0.05
_LONG_S = 1
_NEVER_S = 3600  # the link keeps the time limits: MiniMQTT's own forget why
_PROBE_MS = 5000  # at most: there is a verdict without it
_PUBACK_MS = 5000  # a broker that takes longer is asked another time


def _import_minimqtt() -> object:
    # MiniMQTT takes its sockets from this module's name: ours hands out the link that is made
    sys.modules["adafruit_connection_manager"] = single
    if "micropython" not in sys.modules:
        try:
            import micropython  # noqa: F401  a module of MicroPython itself
        except ImportError:
            from . import const_cpython

            sys.modules["micropython"] = const_cpython
    gc.collect()  # it fills what is free from the front: what stays must not lie in between
    from adafruit_minimqtt import adafruit_minimqtt

    gc.collect()
    return adafruit_minimqtt


# Before the handshake: what is imported later would take its place from what TLS needs in one piece
minimqtt = _import_minimqtt()


class Session:
    """An MQTT session over a channel; `hold` keeps it until it ends."""

    def __init__(
        self, runtime: object, identity: object, clock: object, channel: tls.Channel
    ) -> None:
        self._runtime = runtime
        self._identity = identity
        self._clock = clock
        self._channel = channel
        self._link = single.Link(runtime, channel.stream, channel.tap)
        # MiniMQTT itself would wait for a PINGRESP as long as until the PINGREQ
        self._pong_ms = min(identity.limit_ms, identity.keepalive * 1000)
        self._topics = "devices/" + identity.device + "/"
        self._topic = self._topics + "echo"
        self._echo = None
        # what MiniMQTT raises where it is refused, and at a message that is none
        self._error = (minimqtt.MMQTTException, AssertionError, ValueError)
        self._client = minimqtt.MQTT(
            broker=identity.host,
            port=identity.port,
            client_id=identity.device,
            is_ssl=False,  # it is, already
            keep_alive=identity.keepalive,
            socket_pool=self._link,
            socket_timeout=_SHORT_S,
            recv_timeout=_NEVER_S,
            connect_retries=1,  # the ladder retries, from the bottom
            use_binary_mode=True,  # anybody's message may be no text
        )

    def connect(self) -> None:
        """CONNECT until CONNACK 0. Raises Failure of stage mqtt, or tls by the evidence."""
        self._link.expect(self._identity.limit_ms)
        try:
            self._client.connect()
        except (single.Ended,) + self._error:
            raise self._refusal()

    def _refusal(self) -> Failure:
        seen, link = self._channel.seen, self._link
        first = link.first
        evidence = {"client_id": self._identity.device, "bytes_in": seen.bytes_in}
        if len(first) >= 4 and first[0] == 0x20 and first[3]:  # MQTT 5 answers with three bytes
            evidence["code"] = first[3]
            return Failure("mqtt", _CONNACK.get(first[3], "refused"), evidence)
        if link.broken:
            evidence["first_bytes"] = "".join(["%02x" % byte for byte in first])
            return Failure("mqtt", "not_mqtt", evidence)
        if seen.version >= 0x0304 and self._refused_late(seen):
            words = ()
            if link.error is not None:
                words = self._runtime.tls_words(link.error, self._channel.tap)
            return tls.failure(
                self._runtime,
                self._identity,
                self._clock,
                seen,
                ("alert",) + words,
                {},
                self._identity.limit_ms,
                link.error,
            )
        if link.closed:
            return Failure("mqtt", "closed", evidence)
        evidence["limit_ms"] = self._identity.limit_ms
        return Failure("mqtt", "timeout", evidence)

    def _refused_late(self, seen: object) -> bool:
        """A fatal alert that the runtime could read, or its size where a reset came first."""
        tap = self._channel.tap
        if self._link.error is None:
            return False
        words = self._runtime.tls_words(self._link.error, tap)
        return "alert" in words or (bool(tap.errno) and tlscause.refused_by_size(seen))

    def subscribe(self) -> "dict[str, object]":
        """SUBSCRIBE to our own topic and wait for our own message. Raises Failure."""
        token = ("%02x%02x%02x" % tuple([self._runtime.random() for _ in range(3)])).encode()
        self._client.on_message = self._heard
        self._link.expect(self._identity.limit_ms)
        link = self._link
        cause = "timeout"
        try:
            self._client.subscribe(self._topic)
            cause = "no_echo"
            self._client.publish(self._topic, token)
            while self._echo != token:
                self._client.loop(_SHORT_S)
        except single.Ended:
            pass
        except self._error:  # of the SUBACK, or of what came in its place
            cause = "denied" if link.granted > 2 else "not_mqtt"
        # where an error came, MiniMQTT stands in the middle of a packet, whatever came before
        if self._echo == token and cause == "no_echo" and not link.broken:
            return {"topic": self._topic}
        evidence = {"topic": self._topic}
        if link.closed:
            cause = "closed"
        elif link.broken:
            cause = "not_mqtt"
        elif cause not in ("denied", "not_mqtt"):
            evidence["limit_ms"] = self._identity.limit_ms
        raise Failure("subscribe", cause, evidence)

    def _heard(self, client: object, topic: str, message: bytearray) -> None:
        self._echo = message

    def tell(self, name: str, message: bytes) -> bool:
        """Publish on our topic `name` with QoS 1; whether the broker acknowledged it in time.

        Raises Failure with stage ready where the session ends meanwhile.
        """
        started = self._runtime.ticks()
        link = self._link
        link.expect(min(_PUBACK_MS, self._pong_ms))
        link.settimeout(_SHORT_S)
        link.unacknowledged += 1
        try:
            self._client.publish(self._topics + name, message, False, 1)
            return True
        except MemoryError:
            if not link.forget():
                raise Failure("ready", "out_of_memory", self._runtime.heap())
        except single.Ended:
            pass
        except self._error:
            raise self._lost(started, True)
        if link.closed or link.broken or link.is_inside:
            raise self._lost(started, link.broken)
        return False

    def hold(self) -> None:
        """Keep the session, with PINGREQ at each keepalive. Ends by a Failure with stage ready."""
        started = self._runtime.ticks()
        self._link.expect(None)
        self._link.pong_ms = self._pong_ms
        self._link.settimeout(_LONG_S)
        while True:
            try:
                self._client.loop(_LONG_S)
            except single.Ended:
                raise self._lost(started, self._link.broken)
            except self._error as error:
                # of the keepalive between packets, of a message inside one or behind it
                plain = isinstance(error, minimqtt.MMQTTException)
                raise self._lost(started, not plain or self._link.is_inside)

    def _lost(self, started: int, broken: bool) -> Failure:
        evidence = {"held_ms": self._runtime.since(started)}
        if self._link.closed:
            return Failure("ready", "closed", evidence)
        if broken:
            return Failure("ready", "not_mqtt", evidence)
        evidence["limit_ms"] = self._pong_ms
        return Failure("ready", "keepalive_timeout", evidence)

    def leave(self) -> None:
        """DISCONNECT."""
        try:
            self._client.disconnect()
        except (single.Ended,) + self._error:
            pass  # it is gone already


def answers_plainly(runtime: object, identity: object, address: object) -> bool:
    """Whether the port speaks MQTT without TLS: a nameless CONNECT, and any CONNACK, tells.

    Asked only after a server closed at our ClientHello. Nothing of the board is in the CONNECT.
    """
    probe = b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x0a\x00\x00"
    buf = bytearray(4)
    limit_ms = min(_PROBE_MS, identity.limit_ms)
    try:
        sock = runtime.connect(address, limit_ms)
        try:
            runtime.write_some(sock, probe)
            runtime.wait(sock, True, limit_ms)
            return runtime.read_some(sock, buf) == 4 and buf[0] == 0x20
        finally:
            runtime.close(sock)
    except OSError:
        return False
