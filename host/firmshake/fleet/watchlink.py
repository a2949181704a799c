"""The watcher's connection to the broker: it comes back by itself, and says what is the matter.

MQTT 5 where the broker has it: then nothing is lost while the connection is away for a while, no
message can be larger than a report, and who is put out by a second watcher is told so. Where it has
not (RabbitMQ before 3.13), MQTT 3.1.1.
"""

from __future__ import annotations

import random
import re
import ssl
import time
from collections.abc import Callable
from typing import Any

from paho.mqtt.client import (
    Client,
    ConnectFlags,
    DisconnectFlags,
    MQTTMessage,
)
from paho.mqtt.enums import CallbackAPIVersion, LogLevel, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from firmshake import fleetfile, watcher
from firmshake.errors import Error
from firmshake.fleet.watchmessage import LONGEST
from firmshake.project import Broker

_KEEPALIVE_S = 30
_TIMEOUT_S = 10.0
# between tries: doubled each time, and then by chance, so that many programs don't come at once
_FIRST_S, _LONGEST_S = 1.0, 60.0
# a connection that held so long was a good one: the next try follows soon
_GOOD_S = 30.0
# of messages that wait for us while we are away; then the broker forgets us
_KEPT_S = 3600
# unacknowledged messages that the broker may have under way: its own limit of 20 slows it down
_UNDER_WAY = 1000
# a report, and topic and properties before it
_LARGEST = LONGEST + 1024
# packets that are read before anything else is seen to
_BURST = 500

# MQTT 5, 4.13 and 3.14.2.1
_NO_SUCH_VERSION, _TAKEN_OVER = 132, 142

# in what paho-mqtt 2 logs when a read fails; it hands on the exception in no other way
_ALERT = re.compile(r"\[SSL: \w+\] ([^(]+) \(")

RIGHT_HINT = (
    f"the broker has to let {watcher.NAME} subscribe to {watcher.TOPICS}: docs/fleet.md has the"
    " lines for mosquitto; for another broker export again"
)


class Link:
    """One subscription to what the boards of a fleet report.

    `heard` is called with topic and payload of each message, `said` with words when the connection
    comes or goes.
    """

    def __init__(
        self,
        broker: Broker,
        context: ssl.SSLContext,
        heard: Callable[[str, bytes], None],
        said: Callable[[str], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._broker, self._context = broker, context
        self._heard, self._said, self._monotonic = heard, said, monotonic
        self._version = MQTTProtocolVersion.MQTTv5
        self._client = self._new_client()
        self._is_open = False
        self._since: float | None = None  # when the subscription was granted
        self._ever = False  # it was, at least once
        self._due = 0.0  # of the next try
        self._pause = _FIRST_S
        self._answered = False  # our CONNECT, in this connection
        self._count = 0
        self._why = ""
        self._fault: Error | None = None

    @property
    def is_listening(self) -> bool:
        """Whether the broker has granted the subscription, and the connection is there."""
        return self._since is not None

    def work(self, seconds: float) -> None:
        """Read what has come, or wait for it so long at most; connect where it is time.

        Raises Error where it makes no sense to go on: the broker refuses us, is not the one that it
        should be, or another watcher has come in our place.
        """
        if not self._is_open:
            left = self._due - self._monotonic()
            if left > 0:
                time.sleep(min(left, seconds))
                return
            self._connect()
            return
        done = self._client.loop(seconds)
        for _ in range(_BURST):  # without asking the system each time whether there is more
            before = self._count
            if done != MQTTErrorCode.MQTT_ERR_SUCCESS:
                break
            done = self._client.loop_read()
            if self._count == before:
                break
        if done != MQTTErrorCode.MQTT_ERR_SUCCESS:
            if not (self._answered or self._ever or self._why):
                self._other_version()
            self._lost(self._why or "the broker ended the connection")
        self._check()

    def close(self) -> None:
        """Leave for good: the broker keeps nothing for us."""
        if not self._is_open:
            return
        self._is_open = False
        gone = None
        if self._version == MQTTProtocolVersion.MQTTv5:
            gone = _properties(PacketTypes.DISCONNECT)
            gone.SessionExpiryInterval = 0
        self._client.disconnect(properties=gone)

    def _connect(self) -> None:
        self._why, self._answered = "", False
        try:
            self._client.reconnect()
            self._is_open = True
        except ssl.SSLCertVerificationError as error:
            words = f"the broker's certificate is refused: {error.verify_message}"
            if not self._ever:
                raise Error(words, hint="firmshake doctor says more about it") from None
            self._lost(words)
        except OSError as error:  # TLS's own errors are some of these
            self._lost(_words(error))

    def _lost(self, why: str) -> None:
        """Say that there is no connection, and when it is tried again."""
        held = 0.0 if self._since is None else self._monotonic() - self._since
        if held >= _GOOD_S:
            self._pause = _FIRST_S
        self._since, self._is_open = None, False
        if self._fault is not None:
            return
        # not for security: spread over half of the pause
        wait = self._pause * (0.5 + random.random() / 2)  # noqa: S311
        self._due = self._monotonic() + wait
        self._pause = min(2 * self._pause, _LONGEST_S)
        where = f"{self._broker.host}:{self._broker.port}"
        self._said(f"no connection to {where}: {why}; trying again in {wait:.0f} s")

    def _check(self) -> None:
        if self._fault is not None:
            self._is_open = False
            raise self._fault

    def _new_client(self) -> Client:
        is_5 = self._version == MQTTProtocolVersion.MQTTv5
        is_web = self._broker.transport != fleetfile.MQTTS
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=watcher.NAME,
            clean_session=None if is_5 else True,
            protocol=self._version,
            transport="websockets" if is_web else "tcp",
        )
        if is_web:
            client.ws_set_options(path=self._broker.path)
        client.tls_set_context(self._context)
        client.connect_timeout = _TIMEOUT_S
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_log = self._on_log
        wishes = None
        if is_5:
            wishes = _properties(PacketTypes.CONNECT)
            wishes.SessionExpiryInterval = _KEPT_S
            wishes.MaximumPacketSize = _LARGEST
            wishes.ReceiveMaximum = _UNDER_WAY
        address = (self._broker.host, self._broker.port, _KEEPALIVE_S)
        if is_5:
            client.connect_async(*address, clean_start=False, properties=wishes)
        else:
            client.connect_async(*address)
        return client

    def _on_connect(
        self, client: Client, _: Any, flags: ConnectFlags, reason: ReasonCode, __: Any
    ) -> None:
        self._answered = True
        if not reason.is_failure:
            client.subscribe(watcher.TOPICS, qos=1)
        elif reason.value == _NO_SUCH_VERSION:
            self._other_version()
        else:
            self._why = f"the broker refuses the watcher: {str(reason).lower()}"
            if not self._ever:
                self._fault = Error(self._why, hint=RIGHT_HINT)

    def _other_version(self) -> None:
        """Try the other version of MQTT next; RabbitMQ 3.10 gives one that it lacks no answer."""
        five, three = MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311
        number = "5" if self._version == five else "3.1.1"
        self._why = f"the broker ended the connection without an answer to MQTT {number}"
        self._version = three if self._version == five else five
        self._client = self._new_client()

    def _on_disconnect(
        self, _: Client, __: Any, flags: DisconnectFlags, reason: ReasonCode, ___: Any
    ) -> None:
        if reason.value == _TAKEN_OVER and flags.is_disconnect_packet_from_server:
            self._fault = Error(
                "another fleet watch has begun, and the broker has put this one out",
                hint="let one run: its verdicts are in the registry for everybody",
            )
        elif flags.is_disconnect_packet_from_server:
            self._why = f"the broker ended the connection: {str(reason).lower()}"

    def _on_subscribe(
        self, _: Client, __: Any, ___: int, reasons: list[ReasonCode], ____: Any
    ) -> None:
        if any(reason.is_failure for reason in reasons):
            words = f"the broker does not let the watcher subscribe to {watcher.TOPICS}"
            self._fault = Error(words, hint=RIGHT_HINT)
            return
        self._since, self._ever = self._monotonic(), True
        self._said(f"listening at {self._broker.host}:{self._broker.port}")

    def _on_log(self, _: Client, __: Any, level: int, text: str) -> None:
        found = _ALERT.search(text) if level == LogLevel.MQTT_LOG_ERR else None
        if found:
            self._why = f"the broker broke off TLS: {found[1]}"

    def _on_message(self, _: Client, __: Any, message: MQTTMessage) -> None:
        self._count += 1
        try:
            topic = message.topic
        except UnicodeDecodeError:  # the broker should not have taken it
            topic = ""
        self._heard(topic, bytes(message.payload))


def _properties(packet: int) -> Properties:
    return Properties(packet)  # type: ignore[no-untyped-call]  # paho's has no annotations


def _words(error: OSError) -> str:
    """What the system or TLS says, without numbers."""
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.lower().replace("_", " ")
    return (error.strerror or str(error) or type(error).__name__).lower()
