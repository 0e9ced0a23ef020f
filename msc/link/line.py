"""A line to a state host: connects, comes back when it is lost, and does what its operator says.

Where it stands is `protocol.line_state`'s table; how messages go over it, its driver knows (`protocol.driver`).
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import ssl
from typing import Final, Protocol

from msc import clock
from msc.errors import LineNotConnected, LineSilent, Refusal
from msc.limits import HANDSHAKE_S, LINE_TEST_S, TLS_SHUTDOWN_S
from msc.link.connection import Connection, Sweeper
from msc.log import get_logger
from msc.protocol.ack_clock import AckClock
from msc.protocol.control import Notice, OpenLine
from msc.protocol.driver import DRIVERS, LineDriver
from msc.protocol.line_state import LineCondition, LineEvent, LineState
from msc.protocol.session import (
    ControlReceived,
    Event,
    LineDeclined,
    LineOpened,
    MessageAcknowledged,
    MessageReceived,
    MessageRefused,
    PongReceived,
)
from msc.settings import LineSettings
from msc.tls import Examine, Objection, PeerCertificate

log = get_logger("link")

STALLED: Final = "stalled"
"""Why a line is lost whose host has left a message without an acknowledgement for `ack_s`."""

OVER: Final = "its time has ended"
"""Why a line is lost that has come to the day it `expires`."""

_PING_NUMBERS: Final = 0x1_0000
"""Pings are numbered modulo this."""


class LineEvents(Protocol):
    """Who is told what lines do. The daemon puts the switch here."""

    def line_opened(self, line: UpstreamLine) -> None:
        """The line's session stands; whether it takes messages, `is_open` says: an operator may hold it."""

    def line_lost(self, line: UpstreamLine, reason: str) -> None:
        """The session is gone. Told once for each `line_opened`."""

    def line_message(self, line: UpstreamLine, sequence: int, payload: bytes) -> None:
        """A data frame came; answer it."""

    def line_answered(self, line: UpstreamLine, sequence: int, refused: str | None) -> None:
        """A data frame of ours was acknowledged, or refused with a code."""

    def line_writable(self, line: UpstreamLine) -> None:
        """The line takes messages again: the host reads again, or an operator has released the line."""


class _LineConnection(Connection[LineDriver]):
    """One connection of a line, from handshake to loss."""

    def __init__(self, line: UpstreamLine) -> None:
        super().__init__(line.sweeper)
        self._line = line
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.was_open = False
        self._made_at = 0.0
        self._acks = AckClock(line.settings.ack_s)
        self.session: LineDriver

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin: the TLS handshake is done."""
        _keep_alive(transport, self._line.settings.heartbeat_s)
        super().connection_made(transport)

    def open_session(self, now: float) -> LineDriver | None:
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
        self.session = DRIVERS[line.settings.driver].switch_end(now, line.settings, line.opening)
        line.connected_to(self)
        return self.session

    def handle(self, event: Event) -> None:
        line = self._line
        if isinstance(event, MessageReceived):
            line.events.line_message(line, event.sequence, event.payload)
        elif isinstance(event, MessageAcknowledged):
            line.events.line_answered(line, event.sequence, None)
        elif isinstance(event, MessageRefused):
            line.events.line_answered(line, event.sequence, f"{event.code} {event.reason}")
        elif isinstance(event, LineOpened):
            self.was_open = True
            line.opened(event.window)
        elif isinstance(event, LineDeclined):
            self.close(f"the host refused: {event.code}")
        elif isinstance(event, PongReceived):
            line.pong_received(event.number)
        elif isinstance(event, ControlReceived) and isinstance(event.message, Notice):
            log.info("line.notice", line=line.name)

    def tick(self, now: float) -> None:
        super().tick(now)
        if self.closed:
            return
        session = self.session
        if self._line.is_over:
            self.close(OVER)
        elif not self.was_open:
            if now - self._made_at >= HANDSHAKE_S:
                self.abort(f"the host did not open the line within {HANDSHAKE_S:.0f} s")
        elif self._acks.is_overdue(now, session.sent_last, session.unacknowledged_first):
            # Pings may be answered all the while: a host that takes no messages is of no use to anybody.
            self.abort(STALLED)

    def writable(self) -> None:
        if self._line.is_open:
            self._line.events.line_writable(self._line)

    def lost(self, reason: str) -> None:
        if not self.ended.done():
            self.ended.set_result(reason)
        self._line.connection_lost(self, reason)


def _keep_alive(transport: asyncio.BaseTransport, idle_s: float) -> None:
    """Let TCP find out that the host's machine is gone, after `idle_s` of silence and two probes without an answer.

    Not every driver has a heartbeat, and a line with nothing to send would stand open for days.
    """
    tcp = transport.get_extra_info("socket")
    tcp.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    every_s = max(1, round(idle_s))
    for option, value in (("TCP_KEEPIDLE", every_s), ("TCP_KEEPINTVL", every_s), ("TCP_KEEPCNT", 2)):
        if hasattr(socket, option):  # not every system lets us choose
            tcp.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


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
        self._context = context
        self._condition = LineCondition()
        self._connection: _LineConnection | None = None
        self._attempt: asyncio.Timeout | None = None
        self._at_once = asyncio.Event()
        self._pings: dict[int, asyncio.Future[None]] = {}
        self._pinged = 0

    # --- what the switch does with it -----------------------------------------------------------

    @property
    def address(self) -> str:
        """Its name in journal and queues."""
        return f"line:{self.name}"

    @property
    def mode(self) -> str:
        """`production` or `test`."""
        return self.settings.mode

    @property
    def is_over(self) -> bool:
        """Whether its time has ended: it is not connected any more (C-TEST)."""
        return self.settings.is_over(clock.today())

    @property
    def state(self) -> LineState:
        """Where it stands."""
        return self._condition.state

    @property
    def connected(self) -> bool:
        """Whether its session stands, whatever an operator has ordered: answers come in."""
        return self.state.is_connected

    @property
    def is_open(self) -> bool:
        """Whether it takes messages."""
        return self.state is LineState.OPEN

    @property
    def held(self) -> bool:
        """Whether an operator holds it, whether or not it is connected."""
        return self._condition.held

    @property
    def room(self) -> int:
        """How many more messages it takes now."""
        connection = self._connection
        if connection is None or self._condition.state is not LineState.OPEN or connection.write_paused:
            return 0
        return connection.session.room

    def send(self, payload: bytes) -> int:
        """Send a message; there must be `room`.

        Returns:
            The sequence its answer will bear.

        Raises:
            FrameTooLong, BadCharacter: It cannot be sent like this; nothing is.
        """
        assert self.is_open and self._connection is not None
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
        return self._connection if self.connected else None

    # --- what its operator does with it ---------------------------------------------------------

    def hold(self) -> None:
        """Let no more messages out, on this connection and the next ones, until released; answers come in."""
        self._order(LineEvent.HOLD)

    def drain(self) -> None:
        """Let nothing new out until released, and await what the host has not acknowledged."""
        self._order(LineEvent.DRAIN)

    def release(self) -> None:
        """Let messages out again."""
        self._order(LineEvent.RELEASE)
        if self.is_open:
            self.events.line_writable(self)

    def _order(self, order: LineEvent) -> None:
        state = self._condition.take(order)
        log.info("line.ordered", line=self.name, order=order.value, state=state.value)

    def restart(self, reason: str) -> None:
        """Drop the connection, if there is one, and connect at once, without waiting out the back-off.

        What was ordered stays: a held line is held again.
        """
        self._at_once.set()
        if self._connection is not None:
            self._connection.close(reason)
        elif self._attempt is not None and not self._attempt.expired():
            self._attempt.reschedule(asyncio.get_running_loop().time())

    async def test(self) -> float:
        """Ask the host for a sign of life.

        Returns:
            How long it took, in seconds.

        Raises:
            LineTestError: The line is not connected, is lost meanwhile, has no answer in time, or a driver
                that cannot ask.

        Cancellation:
            Safe; an answer that comes later is passed over.
        """
        connection = self._connection
        if connection is None or not self.connected:
            raise LineNotConnected(f"{self.name} is {self.state}")
        self._pinged = number = (self._pinged + 1) % _PING_NUMBERS
        began = clock.monotonic()
        connection.session.ping(number)
        connection.flush()
        answered = self._pings[number] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(LINE_TEST_S):
                await answered
        except TimeoutError as exc:
            raise LineSilent(f"{self.name} did not answer within {LINE_TEST_S:.0f} s") from exc
        finally:
            del self._pings[number]
        return clock.monotonic() - began

    # --- its life -------------------------------------------------------------------------------

    async def run(self) -> None:
        """Connect, and connect again, until cancelled or the line's time has ended.

        Waits grow exponentially between the settings' bounds and are jittered, so that many switches do
        not come back to a state host in the same instant.
        """
        try:
            await self._keep_connected()
        finally:
            # Where we were cancelled, a connection may be open already that `_connect` has not returned yet.
            if self._connection is not None:
                self._connection.close("shutting down")

    async def _keep_connected(self) -> None:
        first_s, last_s = self.settings.reconnect_first_s, self.settings.reconnect_last_s
        wait_s, told = first_s, ""
        while not self.is_over:
            self._at_once.clear()
            self._condition.take(LineEvent.CONNECT)
            try:
                connection = await self._connect()
            except (OSError, TimeoutError) as exc:
                # ssl.SSLError is an OSError. Told once for each cause, not once for each attempt.
                cause = getattr(exc, "verify_message", "") or getattr(exc, "reason", "") or type(exc).__name__
                level = log.warning if cause != told else log.debug
                level("line.connect_failed", line=self.name, cause=cause)
                told = cause
                if self._connection is not None:
                    # Given up between the handshake and our hearing of it.
                    self._connection.abort("gave up connecting")
            else:
                await connection.ended
                if connection.was_open:
                    wait_s, told = first_s, ""
            if self.state is not LineState.DOWN:
                self._condition.take(LineEvent.LOST)
            with contextlib.suppress(TimeoutError):
                # Jitter spreads reconnections; it protects no secret.
                async with asyncio.timeout(wait_s * random.uniform(0.5, 1.0)):  # noqa: S311
                    await self._at_once.wait()
            wait_s = min(wait_s * 2, last_s)
        log.error("line.expired", line=self.name, expires=str(self.settings.expires))

    async def _connect(self) -> _LineConnection:
        """Connect once.

        Raises:
            OSError: It failed; ssl.SSLError is one.
            TimeoutError: The host's address did not answer, or `restart` was called.
        """
        try:
            async with asyncio.timeout(HANDSHAKE_S) as self._attempt:
                _, connection = await asyncio.get_running_loop().create_connection(
                    lambda: _LineConnection(self),
                    self.settings.host,
                    self.settings.port,
                    ssl=self._context,
                    server_hostname="",
                    ssl_handshake_timeout=HANDSHAKE_S,
                    ssl_shutdown_timeout=TLS_SHUTDOWN_S,
                )
        finally:
            self._attempt = None
        return connection

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

    def connected_to(self, connection: _LineConnection) -> None:
        """The handshake is done; the session begins."""
        self._connection = connection
        self._condition.take(LineEvent.CONNECTED)

    def opened(self, window: int) -> None:
        """The host has opened the line."""
        state = self._condition.take(LineEvent.OPENED)
        log.info("line.opened", line=self.name, window=window, state=state.value)
        self.events.line_opened(self)

    def pong_received(self, number: int) -> None:
        """The host has answered a ping."""
        if (answered := self._pings.get(number)) is not None and not answered.done():
            answered.set_result(None)

    def connection_lost(self, connection: _LineConnection, reason: str) -> None:
        """A connection has ended."""
        assert self._connection is connection
        was_open, self._connection = self.connected, None
        self._condition.take(LineEvent.LOST)
        for answered in self._pings.values():
            if not answered.done():
                answered.set_exception(LineNotConnected(f"{self.name} was lost: {reason}"))
        if was_open:
            log.warning("line.lost", line=self.name, reason=reason)
            self.events.line_lost(self, reason)
        else:
            log.warning("line.not_opened", line=self.name, reason=reason)
