"""The mqtt, subscribe and ready stages, by MiniMQTT."""

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
_PROBE_MS = 2000


def _import_minimqtt() -> object:
    # MiniMQTT takes its sockets from this module's name: ours hands out the link that is made
    sys.modules["adafruit_connection_manager"] = single
    if "micropython" not in sys.modules:
        try:
            import micropython  # noqa: F401  a module of MicroPython itself
        except ImportError:
            from . import const_cpython

            sys.modules["micropython"] = const_cpython
    import adafruit_minimqtt.adafruit_minimqtt as minimqtt

    return minimqtt


class Session:
    """An MQTT session over a channel; `hold` keeps it until it ends."""

    def __init__(
        self, runtime: object, identity: object, clock: object, channel: tls.Channel
    ) -> None:
        self._runtime = runtime
        self._identity = identity
        self._clock = clock
        self._channel = channel
        self._link = single.Link(channel.stream, channel.tap, identity.limit_ms)
        self._topic = "devices/" + identity.device + "/echo"
        self._echo = None
        minimqtt = _import_minimqtt()
        self._error = minimqtt.MMQTTException
        limit_s = max(2, identity.limit_ms // 1000)
        self._client = minimqtt.MQTT(
            broker=identity.host,
            port=identity.port,
            client_id=identity.device,
            is_ssl=False,  # it is, already
            keep_alive=identity.keepalive,
            socket_pool=self._link,
            socket_timeout=_SHORT_S,
            recv_timeout=limit_s,
            connect_retries=1,  # the ladder retries, from the bottom
        )

    def connect(self) -> None:
        """CONNECT until CONNACK 0. Raises Failure with stage mqtt, or tls where the evidence says so."""
        try:
            self._client.connect()
        except (self._error, OSError, KeyError, AssertionError):
            raise self._refusal()

    def _refusal(self) -> Failure:
        seen, link = self._channel.seen, self._link
        first = link.first
        evidence = {
            "client_id": self._identity.device,
            "limit_ms": self._identity.limit_ms,
            "bytes_in": seen.bytes_in,
        }
        if len(first) >= 4 and first[:2] == b"\x20\x02":
            evidence["code"] = first[3]
            return Failure("mqtt", _CONNACK.get(first[3], "refused"), evidence)
        if first:
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
        return Failure("mqtt", "closed" if link.closed else "timeout", evidence)

    def _refused_late(self, seen: object) -> bool:
        """A fatal alert that the runtime could read, or one by its size where a reset came first."""
        tap = self._channel.tap
        if self._link.error is None:
            return False
        words = self._runtime.tls_words(self._link.error, tap)
        return "alert" in words or (
            bool(tap.errno) and seen.after_flight == [tlscause.ENCRYPTED_ALERT]
        )

    def subscribe(self) -> "dict[str, object]":
        """SUBSCRIBE to our own topic and wait for our own message. Raises Failure."""
        token = "%02x%02x%02x" % tuple([self._runtime.random() for _ in range(3)])
        self._client.on_message = self._heard
        limit_ms = self._identity.limit_ms
        evidence = {"topic": self._topic, "limit_ms": limit_ms}
        try:
            self._client.subscribe(self._topic)
        except (self._error, OSError, AssertionError, IndexError) as error:
            cause = "closed" if self._link.closed else "timeout"
            if "SUBACK" in str(error):
                cause = "denied"
            raise Failure("subscribe", cause, evidence)
        started = self._runtime.ticks()
        try:
            self._client.publish(self._topic, token)
            while self._echo != token:
                if self._runtime.since(started) > limit_ms:
                    raise Failure("subscribe", "no_echo", evidence)
                self._client.loop(_SHORT_S)
        except (self._error, OSError):
            raise Failure("subscribe", "closed", evidence)
        return {"topic": self._topic}

    def _heard(self, client: object, topic: str, message: str) -> None:
        self._echo = message

    def hold(self, turns: "int | None" = None) -> None:
        """Keep the session, with PINGREQ at each keepalive. Raises Failure with stage ready.

        Ends by itself after so many turns of a second, where that is asked for.
        """
        started = self._runtime.ticks()
        self._link.settimeout(_LONG_S)
        while turns is None or turns > 0:
            try:
                self._client.loop(_LONG_S)
            except (self._error, OSError, AssertionError):
                closed = self._link.closed
                evidence = {
                    "held_ms": self._runtime.since(started),
                    "limit_ms": self._identity.keepalive * 1000,
                }
                raise Failure("ready", "closed" if closed else "keepalive_timeout", evidence)
            if turns is not None:
                turns -= 1

    def leave(self) -> None:
        """DISCONNECT."""
        try:
            self._client.disconnect()
        except (self._error, OSError):
            pass  # it is gone already


def answers_plainly(runtime: object, identity: object, address: object) -> bool:
    """Whether the port speaks MQTT without TLS: a nameless CONNECT, and any CONNACK, tells.

    Asked only after a server closed at our ClientHello. Nothing of the board is in the CONNECT.
    """
    probe = b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x0a\x00\x00"
    buf = bytearray(4)
    try:
        sock = runtime.connect(address, _PROBE_MS)
        try:
            runtime.write_some(sock, probe)
            runtime.wait(sock, True, _PROBE_MS)
            return runtime.read_some(sock, buf) == 4 and buf[0] == 0x20
        finally:
            runtime.close(sock)
    except OSError:
        return False
