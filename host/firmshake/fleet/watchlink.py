"""The watcher's connection to the broker: it comes back by itself, and says what is the matter.

The session is the broker's to keep: what boards report while no watcher is there waits for the next
one, and what was not acknowledged comes again. The name that it is kept under is the watcher's, not
its certificate's, which is another at each start.

MQTT 5 where the broker has it: then we say for how long the session is kept, no message can be
larger than a report, and who is put out by a second watcher is told so. Where it has not (RabbitMQ
before 3.13), MQTT 3.1.1.
"""

from __future__ import annotations

import random
import re
import ssl
import time
from collections import Counter
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

from firmshake import fleetfile, interrupts, watcher
from firmshake.errors import Error
from firmshake.fleet.watchmessage import LONGEST
from firmshake.project import Broker

_KEEPALIVE_S = 30
_TIMEOUT_S = 10.0
# between tries: doubled each time, and then by chance, so that many programs don't come at once
_FIRST_S, _LONGEST_S = 1.0, 60.0
# a connection that held so long was a good one: the next try follows soon
_GOOD_S = 30.0
# of messages that wait for us while we are away; then the broker forgets us, and they take no more
# of its memory
_KEPT_S = 7 * 86400
# unacknowledged messages that the broker may have under way. We acknowledge them once the registry
# has them: as many as come in a second, or the broker would wait for us
UNDER_WAY = 10_000
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
        # what came and was not acknowledged: its number in this connection, and which it is
        self._unsettled: list[tuple[int, int]] = []
        # of earlier connections, and how often: the broker says it once more
        self._again: Counter[int] = Counter()
        # whether the broker had kept the session, and for how long it does
        self._is_kept, self._kept_s = False, _KEPT_S
        self._why = ""
        self._fault: Error | None = None

    @property
    def is_listening(self) -> bool:
        """Whether the broker has granted the subscription, and the connection is there."""
        return self._since is not None

    @property
    def unsettled(self) -> int:
        """How many messages were heard and not acknowledged."""
        return len(self._unsettled)

    def settle(self) -> None:
        """Acknowledge all that was heard: from here on, the broker has it no more."""
        with interrupts.held():
            for number, _ in self._unsettled:
                self._client.ack(number, 1)
            self._unsettled.clear()

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
        """Leave; the broker keeps the session."""
        if self._is_open:
            self._is_open = False
            self._client.disconnect()

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
        if self._since is not None and self._version == MQTTProtocolVersion.MQTTv311:
            why += " (it does when another fleet watch begins: let one run)"
        self._since, self._is_open = None, False
        self._again.update(which for _, which in self._unsettled)
        self._unsettled.clear()
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
            clean_session=None if is_5 else False,
            protocol=self._version,
            transport="websockets" if is_web else "tcp",
            manual_ack=True,
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
            wishes.ReceiveMaximum = UNDER_WAY
        address = (self._broker.host, self._broker.port, _KEEPALIVE_S)
        if is_5:
            client.connect_async(*address, clean_start=False, properties=wishes)
        else:
            client.connect_async(*address)
        return client

    def _on_connect(
        self, client: Client, _: Any, flags: ConnectFlags, reason: ReasonCode, more: Any
    ) -> None:
        self._answered = True
        if not reason.is_failure:
            self._is_kept = flags.session_present
            if not self._is_kept:
                self._again.clear()
            # a broker that keeps it for less than we asked for says so (MQTT 5, 3.2.2.3.2)
            self._kept_s = getattr(more, "SessionExpiryInterval", _KEPT_S)
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
        what = self._what_waited()
        self._since, self._ever = self._monotonic(), True
        self._said(f"listening at {self._broker.host}:{self._broker.port}; {what}")

    def _what_waited(self) -> str:
        """What becomes of reports that no watcher was there for."""
        if self._is_kept:
            return "the broker has kept what boards reported meanwhile"
        if self._ever:
            return "the broker has forgotten the watcher: what boards reported meanwhile is lost"
        if self._version == MQTTProtocolVersion.MQTTv311:
            return "from now on the broker keeps reports while no watcher is there"
        return (
            "from now on the broker keeps reports while no watcher is there,"
            f" for {self._kept_s / 3600:.0f} hours"
        )

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
        payload = bytes(message.payload)
        which = hash((topic, payload))
        if self._again[which] > 0:
            self._again[which] -= 1  # it waits to be kept, or is
        else:
            self._heard(topic, payload)
        if message.qos:
            self._unsettled.append((message.mid, which))


def _properties(packet: int) -> Properties:
    return Properties(packet)  # type: ignore[no-untyped-call]  # paho's has no annotations


def _words(error: OSError) -> str:
    """What the system or TLS says, without numbers."""
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.lower().replace("_", " ")
    return (error.strerror or str(error) or type(error).__name__).lower()
