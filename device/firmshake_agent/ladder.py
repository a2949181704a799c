"""The ladder: identity, wifi, clock, dns, tcp, tls, mqtt, subscribe, ready; each is reported.

A stage passes, or raises the one Failure that ends the climb.
"""

from . import clock as clocks
from . import identity as identities
from . import mqtt, network, tls, x509
from .failure import Failure

_AGAIN_MS = 5000  # for each step of a second question: there is a verdict without it


class Climb:
    """One climb; `session` is there once it has reached ready, `close` lets everything go."""

    def __init__(self, runtime: object, report: object, source: object) -> None:
        self._runtime = runtime
        self._report = report
        self._source = source
        self._stage = "identity"
        self._sock = None
        self._tls = None
        self.identity = None
        self.clock = None
        self.session = None

    def up(self) -> None:
        """Climb to ready. Raises Failure; any other error of a stage becomes one."""
        self._guarded(self._climb)

    def hold(self) -> None:
        """Hold the session until it ends, which is a Failure too."""
        self._guarded(self.session.hold)

    def _guarded(self, work: object) -> None:
        try:
            work()
        except Failure:
            raise
        except MemoryError:
            self._runtime.tidy()
            raise Failure(self._stage, "out_of_memory", self._runtime.heap())
        except Exception as error:
            text = "%s: %s" % (type(error).__name__, error)
            raise Failure(self._stage, "agent_error", {"error": text[:120]})

    def _climb(self) -> None:
        runtime, report = self._runtime, self._report
        self._begin("identity")
        identity = self.identity = identities.load(runtime, self._source)
        if identity.floor and runtime.now() >= identity.floor:  # else the clock is not set yet
            identities.check_dates(identity, runtime.now(), False)
        report.ok("identity", {"device": identity.device})

        self._begin("wifi")
        report.ok("wifi", network.join(runtime, identity))

        self._begin("clock")
        clock = self.clock = clocks.settle(runtime, identity, report)
        report.ok("clock", {"clock": clock.source, "now": x509.date(runtime.now())})
        self._dates_again(identity, clock)

        self._begin("dns")
        found = network.resolve(runtime, identity.host, identity.port)
        report.ok("dns", {"addr": found[0][0]})

        self._begin("tcp")
        self._sock, address = network.connect(runtime, identity, found, identity.limit_ms)
        report.ok("tcp", {"addr": address, "port": identity.port})

        self._begin("tls")
        channel = self._secure(identity, clock, dict(found)[address])
        self._tls = channel.stream  # a WebSocket may come between
        report.ok("tls", dict(runtime.heap(), **channel.evidence()))

        if identity.transport == "wss":
            self._begin("websocket")
            self._upgrade(channel)
            report.ok("websocket", {"path": identity.path})

        self._begin("mqtt")
        session = mqtt.Session(runtime, identity, clock, channel)
        try:
            session.connect()
        except Failure as failure:
            self._ask_again(failure, clock, found)
            raise failure
        report.ok("mqtt", {"client_id": identity.device})

        self._begin("subscribe")
        report.ok("subscribe", session.subscribe())

        self._begin("ready")
        report.ok("ready", dict(runtime.heap(), keepalive=identity.keepalive))
        self.session = session

    def _begin(self, stage: str) -> None:
        self._stage = stage
        self._runtime.tidy()
        self._report.start(stage)

    def _dates_again(self, identity: object, clock: object) -> None:
        # the time may be known only now: the verdict is the identity's all the same
        try:
            identities.check_dates(identity, self._runtime.now(), clock.doubtful)
        except Failure:
            self._begin("identity")
            raise

    def _secure(self, identity: object, clock: object, target: object) -> tls.Channel:
        try:
            return tls.secure(self._runtime, self._sock, identity, clock, identity.limit_ms)
        except Failure as failure:
            silent = failure.step == "client_hello" and failure.cause in ("closed", "reset")
            if silent and mqtt.answers_plainly(self._runtime, identity, target):
                failure.cause = "not_tls_mqtt"
            failure.evidence["host"] = identity.host
            failure.evidence["port"] = identity.port
            failure.evidence["device"] = identity.device
            raise failure

    def _upgrade(self, channel: tls.Channel) -> None:
        from . import websocket  # only who uses it pays for it

        channel.stream = websocket.upgrade(self._runtime, channel, self.identity)

    def _ask_again(
        self, failure: Failure, clock: object, found: "list[tuple[str, object]]"
    ) -> None:
        """Where a refusal leaves its cause open: what MQTT 5 makes of it goes into the failure."""
        from . import mqtt5

        if failure.stage != "mqtt" or failure.cause not in mqtt5.OPEN:
            return
        identity = self.identity
        limit_ms = min(identity.limit_ms, _AGAIN_MS)
        self.close()
        self._runtime.tidy()
        try:
            self._sock, _ = network.connect(self._runtime, identity, found, limit_ms)
            channel = tls.secure(self._runtime, self._sock, identity, clock, limit_ms)
            self._tls = channel.stream
            if identity.transport == "wss":
                self._upgrade(channel)
            code = mqtt5.ask(channel.stream, channel.tap, identity.device, limit_ms)
        except (Failure, MemoryError, OSError):
            return  # the verdict that we have stands
        if code is None:
            return
        failure.evidence["mqtt5"] = code
        failure.cause = mqtt5.cause(code) or failure.cause

    def close(self) -> None:
        """Leave the session and close the socket, whatever was reached."""
        if self.session is not None:
            try:
                self.session.leave()
            except Exception:
                pass  # it is gone already, and the next climb must not suffer from it
            self.session = None
        if self._tls is not None:
            try:
                self._runtime.forget(self._tls)
            except OSError:
                pass
            self._tls = None
        if self._sock is not None:
            self._runtime.close(self._sock)
            self._sock = None
