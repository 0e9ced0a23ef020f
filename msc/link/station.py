"""Where stations connect: the listener and its connections."""

from __future__ import annotations

import asyncio
import itertools
import ssl
from collections import Counter
from collections.abc import Callable
from typing import Protocol

from msc import clock
from msc.directory.rows import Device
from msc.errors import NotSignedOn, Refusal
from msc.limits import CONNECTIONS_PER_DEVICE, HANDSHAKE_S, REFUSALS_MAX, TLS_SHUTDOWN_S
from msc.link.connection import Connection, Sweeper
from msc.log import get_logger
from msc.metrics import Metrics
from msc.protocol.control import Control, Hello, SignedOn
from msc.protocol.session import (
    ControlReceived,
    ControlRefused,
    Event,
    MessageAcknowledged,
    MessageOutOfPlace,
    MessageReceived,
    MessageRefused,
)
from msc.protocol.station import StationKind, StationSession
from msc.settings import ListenerSettings
from msc.tls import PeerCertificate

log = get_logger("link")


class StationEvents(Protocol):
    """Who is told what stations do. The daemon puts the switch here."""

    def admit(self, peer: PeerCertificate, ip: str | None) -> Device:
        """Find the device a certificate names; a `Refusal` disconnects."""

    def station_connected(self, station: StationConnection) -> None:
        """A device has connected."""

    def message_received(self, station: StationConnection, sequence: int, payload: bytes) -> None:
        """A data frame came; answer it."""

    def message_out_of_place(
        self, station: StationConnection, sequence: int, payload: bytes, refusal: Refusal
    ) -> None:
        """A data frame came that the session's state refuses; answer it so."""

    def message_answered(self, station: StationConnection, sequence: int, refused: str | None) -> None:
        """A data frame of ours was acknowledged, or refused with a code."""

    def control_received(self, station: StationConnection, message: Control) -> None:
        """A control message came that fits the session's state."""

    def control_refused(self, station: StationConnection, refusal: Refusal) -> None:
        """A control message came that has no place or makes no sense, and was refused."""

    def station_writable(self, station: StationConnection) -> None:
        """The station reads again."""

    def station_ticked(self, station: StationConnection, now: float) -> None:
        """A moment has passed."""

    def station_lost(self, station: StationConnection, reason: str) -> None:
        """The connection has ended."""


class WatchedSession(StationSession):
    """A station's session that counts its refusals in a row while nobody is signed on."""

    def __init__(self, now: float, kind: StationKind, hello: Hello) -> None:
        super().__init__(now, kind, hello)
        self.refusals = 0
        self._signed_on = 0

    def count(self, refusal: Refusal) -> None:
        """Count a refusal, if it is the station's fault and nobody there has a name."""
        if not self._signed_on and not refusal.code.startswith("E5"):
            self.refusals += 1

    def acknowledge(self, sequence: int, payload: bytes = b"") -> None:
        """Answer a data frame: a delegated host's users need not sign on to be listened to."""
        self.refusals = 0
        super().acknowledge(sequence, payload)

    def refuse(self, sequence: int, refusal: Refusal) -> None:
        """Answer a data frame: refused."""
        super().refuse(sequence, refusal)
        self.count(refusal)

    def deny(self, message: Control, refusal: Refusal) -> None:
        """Tell a station that a control message was refused."""
        super().deny(message, refusal)
        self.count(refusal)

    def grant(self, message: SignedOn, now: float) -> None:
        """Tell a station that somebody is signed on."""
        self.refusals = 0
        self._signed_on += 1
        super().grant(message, now)

    def sign_off(self, user: str | None = None, reason: str | None = None) -> None:
        """End somebody's session."""
        self._signed_on -= 1
        super().sign_off(user, reason)


class StationConnection(Connection[StationSession]):
    """The connection of a terminal, printer or host."""

    _identities = itertools.count(1)

    def __init__(self, listener: Listener) -> None:
        super().__init__(listener.sweeper)
        self.identity = next(self._identities)
        self.device: Device
        self.session: StationSession
        self._watched: WatchedSession
        self._listener = listener
        self._events = listener.events

    def open_session(self, now: float) -> StationSession | None:
        """Admit the device, or disconnect it."""
        listener = self._listener
        if len(listener.connections) >= listener.settings.connections_max:
            listener.metrics.connections_refused["connections_max"] += 1
            log.warning("connection.refused", reason="connections_max", ip=self.ip)
            return None
        try:
            self.device = self._events.admit(self.peer, self.ip)
        except Refusal as refusal:
            listener.metrics.connections_refused[refusal.code] += 1
            log.warning("connection.refused", reason=refusal.reason, certificate=str(self.peer), ip=self.ip)
            return None
        name = self.device.device
        if listener.by_device[name] >= CONNECTIONS_PER_DEVICE:
            listener.metrics.connections_refused["connections_per_device"] += 1
            log.warning("connection.refused", reason="connections_per_device", device=name, ip=self.ip)
            return None
        self.session = self._watched = WatchedSession(now, self.device.kind, listener.hello())
        listener.connections.add(self)
        listener.by_device[name] += 1
        log.info("station.connected", device=self.device.device, ip=self.ip)
        self._events.station_connected(self)
        return self.session

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin: the TLS handshake is done."""
        self._listener.transports += 1
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport is gone."""
        self._listener.transports -= 1
        super().connection_lost(exc)

    def handle(self, event: Event) -> None:
        """Tell the switch."""
        if isinstance(event, MessageReceived):
            self._events.message_received(self, event.sequence, event.payload)
        elif isinstance(event, MessageAcknowledged):
            self._events.message_answered(self, event.sequence, None)
        elif isinstance(event, MessageRefused):
            self._events.message_answered(self, event.sequence, f"{event.code} {event.reason}")
        elif isinstance(event, ControlReceived):
            self._events.control_received(self, event.message)
        elif isinstance(event, ControlRefused):
            self._events.control_refused(self, event.refusal)
            self._watched.count(event.refusal)
            self.flush()
        elif isinstance(event, MessageOutOfPlace):
            self._events.message_out_of_place(self, event.sequence, event.payload, event.refusal)

    def flush(self) -> None:
        """Send what the session has to send. Every refusal passes here; one too many is the last."""
        session = self._watched
        if session.refusals >= REFUSALS_MAX and not session.closed:
            session.fail(NotSignedOn(f"refused {session.refusals} times in a row, with nobody signed on"))
            self._dispatch(session)  # which ends the connection, and so audits why
        super().flush()

    def writable(self) -> None:
        """The station reads again."""
        self._events.station_writable(self)

    def tick(self, now: float) -> None:
        """Look at the clock: the protocol's, then the operator's session."""
        super().tick(now)
        if not self.closed:
            self._events.station_ticked(self, now)

    def lost(self, reason: str) -> None:
        """The connection has ended."""
        listener, name = self._listener, self.device.device
        listener.connections.discard(self)
        listener.by_device[name] -= 1
        if not listener.by_device[name]:
            del listener.by_device[name]
        log.info("station.lost", device=self.device.device, reason=reason)
        self._events.station_lost(self, reason)


class Listener:
    """Accepts stations."""

    def __init__(
        self,
        settings: ListenerSettings,
        context: ssl.SSLContext,
        hello: Callable[[], Hello],
        events: StationEvents,
        sweeper: Sweeper,
        metrics: Metrics,
    ) -> None:
        self.settings = settings
        self.hello = hello
        self.events = events
        self.sweeper = sweeper
        self.metrics = metrics
        self.connections: set[StationConnection] = set()
        self.by_device: Counter[str] = Counter()
        self.transports = 0
        self._context = context
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """The port it listens on."""
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def open(self) -> None:
        """Listen.

        Raises:
            OSError: The address cannot be had.
        """
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: StationConnection(self),
            self.settings.host,
            self.settings.port,
            ssl=self._context,
            ssl_handshake_timeout=HANDSHAKE_S,
            ssl_shutdown_timeout=TLS_SHUTDOWN_S,
            backlog=1024,
        )
        log.info("listener.opened", host=self.settings.host, port=self.port)

    def stop_accepting(self) -> None:
        """Accept no more connections; those there are go on."""
        if self._server is not None:
            self._server.close()

    async def close(self, reason: str) -> None:
        """End every connection."""
        self.stop_accepting()
        for connection in list(self.connections):
            connection.close(reason)
        # Let the transports write their goodbyes; a peer that does not read them is cut off.
        deadline = clock.monotonic() + TLS_SHUTDOWN_S
        while self.transports and clock.monotonic() < deadline:
            await asyncio.sleep(0.01)
