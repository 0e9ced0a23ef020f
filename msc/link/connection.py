"""One TLS connection: an asyncio protocol around a pure session.

All ends of all protocols share it. Bytes leave in one write per connection and turn of the loop; reading stops
while the peer does not read what it is owed, or keeps too much unanswered.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from typing import Any, Final, Generic, TypeVar, cast

from msc import clock
from msc.limits import SLOW_READER_S, SWEEP_S, WRITE_BUFFER_HIGH_BYTES, WRITE_BUFFER_LOW_BYTES
from msc.log import get_logger
from msc.protocol.session import End, Event, PeerLost, ProtocolFailed
from msc.tls import PeerCertificate, read_peer

log = get_logger("link")

AnySession = TypeVar("AnySession", bound=End)


class Sweeper:
    """Lets connections look at the clock: one timer for all, instead of one for each."""

    def __init__(self) -> None:
        self._connections: set[Connection[Any]] = set()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._connections)

    def start(self) -> None:
        """Begin to sweep."""
        self._timer = asyncio.get_running_loop().call_later(SWEEP_S, self._sweep)

    def stop(self) -> None:
        """Sweep no more."""
        if self._timer is not None:
            self._timer.cancel()

    def add(self, connection: Connection[Any]) -> None:
        """Sweep a connection from now on."""
        self._connections.add(connection)

    def discard(self, connection: Connection[Any]) -> None:
        """Sweep a connection no more."""
        self._connections.discard(connection)

    def _sweep(self) -> None:
        # First of all: whatever becomes of this sweep, there is another.
        self.start()
        now = clock.monotonic()
        for connection in list(self._connections):
            try:
                connection.tick(now)
            except Exception:
                log.exception("connection.tick_failed", ip=connection.ip)
                self._give_up(connection)

    @staticmethod
    def _give_up(connection: Connection[Any]) -> None:
        """End a connection whose clock we cannot look at: nobody would lock its session any more."""
        try:
            connection.abort("internal fault")
        except Exception:
            log.exception("connection.end_failed", ip=connection.ip)


_READ_BUFFER: Final = memoryview(bytearray(65_536))
"""What one read brings, for all connections in turn: the loop runs one at a time, and each takes its bytes out
before the next reads. Reading into it spares a large allocation per read (a third of a bare echo's time)."""


class Connection(asyncio.BufferedProtocol, Generic[AnySession]):
    """Glue between a transport and a session. Ends exactly once, with `lost`.

    Attributes:
        ip: The peer's address.
        peer: What its certificate says; known once the handshake is done.
        cipher: TLS version and cipher suite, for auditors.
    """

    def __init__(self, sweeper: Sweeper) -> None:
        self.ip: str | None = None
        self.peer: PeerCertificate
        self.cipher = ""
        self.write_paused = False
        self._session: AnySession | None = None
        self._sweeper = sweeper
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._flush_due = False
        self._reading = True
        self._paused_at = 0.0
        self._ended = False

    # --- what the ends differ in -----------------------------------------------------------

    @abstractmethod
    def open_session(self, now: float) -> AnySession | None:
        """Make the session of a connection whose handshake is done; None if it is not to be."""

    @abstractmethod
    def handle(self, event: Event) -> None:
        """Act on an event of the session, other than its end."""

    @abstractmethod
    def lost(self, reason: str) -> None:
        """The connection has ended, whoever ended it. Called once, and only if a session was opened."""

    def writable(self) -> None:
        """The peer reads again."""

    # --- asyncio --------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin: the TLS handshake is done."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(WRITE_BUFFER_HIGH_BYTES, WRITE_BUFFER_LOW_BYTES)
        peer = transport.get_extra_info("peername")
        self.ip = peer[0] if peer else None
        secured = transport.get_extra_info("ssl_object")
        # Both sides demand a certificate: without one there is no handshake, and we are not called.
        self.peer = read_peer(secured.getpeercert(True))
        self.cipher = f"{secured.version()} {secured.cipher()[0]}"
        self._session = self.open_session(clock.monotonic())
        if self._session is None:
            self._transport.abort()
            return
        self._sweeper.add(self)
        # A session may have something to tell before anything came: that it is open.
        self._dispatch(self._session)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Say where to put the bytes that come."""
        return _READ_BUFFER

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes came."""
        session = self._session
        if session is not None:
            session.receive_data(_READ_BUFFER[:nbytes].tobytes(), clock.monotonic())
            self._dispatch(session)

    def eof_received(self) -> None:
        """The peer closed its side; the transport closes ours."""

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport is gone."""
        self._end(f"connection lost: {type(exc).__name__}" if exc else "the peer closed the connection")
        # The transport holds our methods and we hold it: let go, or only a collection would free the two.
        self._transport = None

    def pause_writing(self) -> None:
        """The peer does not read: stop taking its messages, which would only earn it more answers."""
        self.write_paused = True
        self._paused_at = clock.monotonic()
        self._regulate()

    def resume_writing(self) -> None:
        """The peer reads again."""
        self.write_paused = False
        self._regulate()
        self.writable()

    # --- session to transport -------------------------------------------------------------------

    def _dispatch(self, session: AnySession) -> None:
        for event in session.events():
            if isinstance(event, (ProtocolFailed, PeerLost)):
                reason = event.reason
                if isinstance(event, ProtocolFailed):
                    reason = f"{event.code} {event.reason}"
                self._flush_now()
                self.close(reason)
                return
            self.handle(event)
            if self._ended:
                return
        if session.has_data_to_send or session.holding:
            self.flush()

    def flush(self) -> None:
        """Send what the session has to send, at the end of this turn of the loop."""
        if not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush_now)

    def _flush_now(self) -> None:
        self._flush_due = False
        session, transport = self._session, self._transport
        if session is None or transport is None or transport.is_closing():
            return
        data = session.data_to_send()
        if data:
            transport.write(data)
        if session.holding:
            session.resume(clock.monotonic())
            self._regulate()
            self._dispatch(session)
        elif not self._reading:
            self._regulate()

    def _regulate(self) -> None:
        session, transport = self._session, self._transport
        if session is None or transport is None or transport.is_closing():
            return
        reading = not session.holding and not self.write_paused
        if reading is not self._reading:
            self._reading = reading
            if reading:
                transport.resume_reading()
            else:
                transport.pause_reading()

    def tick(self, now: float) -> None:
        """Look at the clock."""
        session = self._session
        assert session is not None
        if self.write_paused and now - self._paused_at >= SLOW_READER_S:
            self.abort(f"read nothing for {SLOW_READER_S:.0f} s")
            return
        if now >= session.deadline():
            session.tick(now)
            self._dispatch(session)

    def close(self, reason: str) -> None:
        """Close after what was written is sent."""
        if self._transport is not None and not self._transport.is_closing():
            self._flush_now()
            self._transport.close()
        self._end(reason)

    def abort(self, reason: str) -> None:
        """Close at once; what was written and not sent is dropped."""
        if self._transport is not None:
            self._transport.abort()
        self._end(reason)

    @property
    def closed(self) -> bool:
        """Whether it has ended."""
        return self._ended

    def _end(self, reason: str) -> None:
        if self._ended:
            return
        self._ended = True
        self._sweeper.discard(self)
        if self._session is not None:
            self._session.closed = True
            self.lost(reason)
