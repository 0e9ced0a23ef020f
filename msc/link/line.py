"""A line to a state host: connects, greets, keeps the connection, and comes back when it is lost."""

from __future__ import annotations

import asyncio
import random
import ssl
from typing import Protocol

from msc.errors import Refusal
from msc.limits import HANDSHAKE_S, TLS_SHUTDOWN_S
from msc.link.connection import Connection, Sweeper
from msc.log import get_logger
from msc.protocol.control import LineOpen, Notice, OpenLine, Refused
from msc.protocol.line import LineSession
from msc.protocol.session import (
    ControlReceived,
    Event,
    MessageAcknowledged,
    MessageReceived,
    MessageRefused,
)
from msc.settings import LineSettings
from msc.tls import Examine, Objection, PeerCertificate

log = get_logger("link")


class LineEvents(Protocol):
    """Who is told what lines do. The daemon puts the switch here."""

    def line_opened(self, line: UpstreamLine) -> None:
        """The line takes messages."""

    def line_lost(self, line: UpstreamLine, reason: str) -> None:
        """The line takes no more messages."""

    def line_message(self, line: UpstreamLine, sequence: int, payload: bytes) -> None:
        """A data frame came; answer it."""

    def line_answered(self, line: UpstreamLine, sequence: int, refused: str | None) -> None:
        """A data frame of ours was acknowledged, or refused with a code."""

    def line_writable(self, line: UpstreamLine) -> None:
        """The host reads again."""


class _LineConnection(Connection[LineSession]):
    """One connection of a line, from handshake to loss."""

    def __init__(self, line: UpstreamLine) -> None:
        super().__init__(line.sweeper)
        self._line = line
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.was_open = False
        self._made_at = 0.0
        self.session: LineSession

    def open_session(self, now: float) -> LineSession | None:
        line = self._line
        self._made_at = now
        if line.settings.peer not in self.peer.names:
            log.error("line.peer_unknown", line=line.name, certificate=str(self.peer), expected=line.settings.peer)
            self.ended.set_result("the host's certificate names another")
            return None
        if objection := line.examine(self.peer):
            log.error("line.peer_refused", line=line.name, certificate=str(self.peer), reason=objection)
            self.ended.set_result(objection)
            return None
        self.session = LineSession(
            now, line.opening, window=line.settings.window, heartbeat_s=line.settings.heartbeat_s
        )
        return self.session

    def handle(self, event: Event) -> None:
        line = self._line
        if isinstance(event, MessageReceived):
            line.events.line_message(line, event.sequence, event.payload)
        elif isinstance(event, MessageAcknowledged):
            line.events.line_answered(line, event.sequence, None)
        elif isinstance(event, MessageRefused):
            line.events.line_answered(line, event.sequence, f"{event.code} {event.reason}")
        elif isinstance(event, ControlReceived):
            if isinstance(event.message, LineOpen):
                line.opened(self)
            elif isinstance(event.message, Refused):
                self.close(f"the host refused: {event.message.code}")
            elif isinstance(event.message, Notice):
                log.info("line.notice", line=line.name)

    def tick(self, now: float) -> None:
        super().tick(now)
        if not self.was_open and not self.closed and now - self._made_at >= HANDSHAKE_S:
            self.abort(f"the host did not open the line within {HANDSHAKE_S:.0f} s")

    def writable(self) -> None:
        if self._line.is_open:
            self._line.events.line_writable(self._line)

    def lost(self, reason: str) -> None:
        if not self.ended.done():
            self.ended.set_result(reason)
        self._line.connection_lost(self, reason)


class UpstreamLine:
    """A line of the switch."""

    def __init__(
        self,
        settings: LineSettings,
        context: ssl.SSLContext,
        switch: str,
        events: LineEvents,
        sweeper: Sweeper,
        examine: Examine,
    ) -> None:
        self.settings = settings
        self.name = settings.name
        self.events = events
        self.sweeper = sweeper
        self.opening = OpenLine(line=settings.name, switch=switch, mode=settings.mode)
        self.examine = examine
        self.state = "down"
        self._context = context
        self._connection: _LineConnection | None = None

    # --- what the switch does with it -----------------------------------------------------------

    @property
    def address(self) -> str:
        """Its name in journal and queues."""
        return f"line:{self.name}"

    @property
    def is_open(self) -> bool:
        """Whether it takes messages."""
        return self._connection is not None

    @property
    def room(self) -> int:
        """How many more messages it takes now."""
        connection = self._connection
        return 0 if connection is None or connection.write_paused else connection.session.room

    def send(self, payload: bytes) -> int:
        """Send a message; there must be `room`.

        Returns:
            The sequence its answer will bear.

        Raises:
            FrameTooLong: The host would not accept it.
        """
        assert self._connection is not None
        sequence = self._connection.session.send_message(payload)
        self._connection.flush()
        return sequence

    def answer(self, connection: object, sequence: int, outcome: int | Refusal) -> None:
        """Answer a message of the host: it is in the journal, or it is refused.

        Args:
            connection: The `connection` it came on; if that is gone, so is who waits for the answer.
            sequence: Its data frame's.
            outcome: The MSN it is journaled under, or the refusal.
        """
        current = self._connection
        if current is None or current is not connection:
            return
        if isinstance(outcome, Refusal):
            current.session.refuse(sequence, outcome)
        else:
            current.session.acknowledge(sequence, b"%d" % outcome)
        current.flush()

    @property
    def connection(self) -> object:
        """The identity of the present connection."""
        return self._connection

    # --- its life -------------------------------------------------------------------------------

    async def run(self) -> None:
        """Connect, and connect again, until cancelled.

        Waits grow exponentially between the settings' bounds and are jittered, so that many switches do
        not come back to a state host in the same instant.
        """
        loop = asyncio.get_running_loop()
        wait_s, told = self.settings.reconnect_first_s, ""
        while True:
            self.state = "connecting"
            try:
                _, connection = await loop.create_connection(
                    lambda: _LineConnection(self),
                    self.settings.host,
                    self.settings.port,
                    ssl=self._context,
                    server_hostname="",
                    ssl_handshake_timeout=HANDSHAKE_S,
                    ssl_shutdown_timeout=TLS_SHUTDOWN_S,
                )
            except (OSError, TimeoutError) as exc:
                # ssl.SSLError is an OSError. Told once for each cause, not once for each attempt.
                cause = getattr(exc, "verify_message", "") or getattr(exc, "reason", "") or type(exc).__name__
                level = log.warning if cause != told else log.debug
                level("line.connect_failed", line=self.name, cause=cause)
                told = cause
            else:
                try:
                    await connection.ended
                except asyncio.CancelledError:
                    connection.close("shutting down")
                    raise
                if connection.was_open:
                    wait_s, told = self.settings.reconnect_first_s, ""
            self.state = "down"
            # Jitter spreads reconnections; it protects no secret.
            await asyncio.sleep(wait_s * random.uniform(0.5, 1.0))  # noqa: S311
            wait_s = min(wait_s * 2, self.settings.reconnect_last_s)

    def end_untrusted(self) -> tuple[PeerCertificate, Objection] | None:
        """End the connection if there is now something wrong with the host's certificate.

        Returns:
            The certificate and what is wrong, if it was ended.
        """
        connection = self._connection
        if connection is None or not (objection := self.examine(connection.peer)):
            return None
        connection.close(objection)
        return connection.peer, objection

    def opened(self, connection: _LineConnection) -> None:
        """The host has opened the line."""
        self._connection = connection
        connection.was_open = True
        self.state = "open"
        log.info("line.opened", line=self.name, window=connection.session.peer_window)
        self.events.line_opened(self)

    def connection_lost(self, connection: _LineConnection, reason: str) -> None:
        """A connection has ended."""
        if self._connection is connection:
            self._connection = None
            self.state = "down"
            log.warning("line.lost", line=self.name, reason=reason)
            self.events.line_lost(self, reason)
        else:
            log.warning("line.not_opened", line=self.name, reason=reason)
