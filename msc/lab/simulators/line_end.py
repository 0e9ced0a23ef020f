"""One connection of a switch to a stand-in: acknowledges, asks for the answers, keeps to the window.

It never answers before it has acknowledged, so that a switch sees no answer to what it does not know taken.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Final, Protocol

from msc.errors import Overloaded, Refusal, UnknownDestination
from msc.limits import HANDSHAKE_S
from msc.link.connection import Connection, Sweeper
from msc.log import get_logger
from msc.protocol.control import Hello, OpenLine
from msc.protocol.driver import DRIVERS, HostDriver
from msc.protocol.header import parse_head
from msc.protocol.session import (
    TRANSIENT,
    Event,
    LineOpened,
    LineRequested,
    MessageAcknowledged,
    MessageReceived,
    MessageRefused,
)
from msc.settings import LineSettings

log = get_logger("simulators")

PEER: Final = "msc://switch/"
"""How the name of a switch's certificate begins; nobody else may open a line."""

ANSWERS_MAX: Final = 50_000
"""Answers of a line that the switch has not acknowledged. Past it messages are refused with E502; at ten
thousand a second that is five seconds of delay, and some 20 MB."""

CONNECTIONS_MAX: Final = 16
"""A line is one connection; while a switch comes back, the one before may not be gone yet."""


class Answering(Protocol):
    """What makes the answers: `StateResponder`, `NcicResponder`, or a test's own."""

    def answer(self, text: str) -> list[str]:
        """Answer a message, whatever its text; never raises."""


class Host(Protocol):
    """What a connection needs of the host it is one of."""

    name: str
    line: LineSettings
    responder: Answering
    delay_s: float
    sweeper: Sweeper
    connections: list[LineEnd]

    def hello(self) -> Hello:
        """Return the greeting, for drivers that have one."""

    @property
    def kept(self) -> int:
        """How many answers wait for their time or for a connection."""

    def keep(self, answers: list[bytes]) -> None:
        """Keep answers for the next time that a switch takes them."""

    def hand_over(self, connection: LineEnd) -> None:
        """Give a connection what was kept."""

    def delay(self, connection: LineEnd, answers: list[bytes]) -> None:
        """Deliver answers after the host's delay."""

    def made(self, connection: LineEnd) -> None:
        """Count a connection."""

    def gone(self, connection: LineEnd) -> None:
        """Count a connection no more."""


class LineEnd(Connection[HostDriver]):
    """One connection of a switch."""

    session: HostDriver

    def __init__(self, host: Host) -> None:
        super().__init__(host.sweeper)
        self.is_open = False
        self._host = host
        self._made_at = 0.0
        self._waiting: deque[bytes] = deque()
        self._sent: dict[int, bytes] = {}

    @property
    def unacknowledged(self) -> int:
        """How many answers the switch does not have for sure."""
        return len(self._waiting) + len(self._sent)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin: the TLS handshake is done."""
        self._host.made(self)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport is gone."""
        super().connection_lost(exc)
        self._host.gone(self)

    def open_session(self, now: float) -> HostDriver | None:
        """Greet a switch; nobody else."""
        host = self._host
        self._made_at = now
        reason = ""
        if not any(name.startswith(PEER) for name in self.peer.names):
            reason = "the certificate is not a switch's"
        elif len(host.connections) > CONNECTIONS_MAX:
            reason = "too many connections"
        if reason:
            log.warning(
                "simulator.refused", simulator=host.name, reason=reason, certificate=str(self.peer), ip=self.ip
            )
            return None
        self.session = DRIVERS[host.line.driver].host_end(now, host.hello())
        return self.session

    def handle(self, event: Event) -> None:
        """Take a message, or the answer to one of ours."""
        if isinstance(event, MessageReceived):
            self._take(event.sequence, event.payload)
        elif isinstance(event, MessageAcknowledged):
            del self._sent[event.sequence]
            if self._waiting:
                self._pump()
        elif isinstance(event, MessageRefused):
            payload = self._sent.pop(event.sequence)
            if event.code in TRANSIENT:
                # The switch cannot take it now: it is sent again at the next look at the clock.
                self._host.keep([payload])
            else:
                log.warning("simulator.answer_refused", simulator=self._host.name, code=event.code)
            self._pump()
        elif isinstance(event, LineRequested):
            self._open_line(event.opening)
        elif isinstance(event, LineOpened):
            self._opened()

    def _take(self, sequence: int, payload: bytes) -> None:
        host = self._host
        try:
            if self.unacknowledged + host.kept >= ANSWERS_MAX:
                raise Overloaded
            head, text = parse_head(payload.decode("utf-8", "replace"))
        except Refusal as refusal:
            self.session.refuse(sequence, refusal)
            return
        self.session.acknowledge(sequence)
        # C-HDR: the answer begins with the inquiry's own header, which is all the switch finds it by.
        answers = [f"{head.header}.{body}".encode() for body in host.responder.answer(text)]
        if host.delay_s:
            host.delay(self, answers)
        else:
            self._waiting.extend(answers)
            self._pump()

    def _open_line(self, opening: OpenLine) -> None:
        line = self._host.line
        if (opening.line, opening.mode) != (line.name, line.mode):
            # C-TEST: a switch's test line never ends at a production host, nor the other way round.
            log.warning("simulator.line_declined", simulator=self._host.name, line=opening.line, mode=opening.mode)
            self.session.decline(UnknownDestination(f"this is the host of {line.name} ({line.mode})"))
            return
        self.session.accept()
        self._opened()

    def _opened(self) -> None:
        self.is_open = True
        log.info("simulator.line_opened", simulator=self._host.name, line=self._host.line.name, switch=str(self.peer))
        self._host.hand_over(self)

    def deliver(self, answers: Iterable[bytes]) -> None:
        """Send answers, now or when the window has room."""
        self._waiting.extend(answers)
        self._pump()
        self.flush()

    def _pump(self) -> None:
        session, waiting = self.session, self._waiting
        while waiting and session.room > 0 and not self.write_paused:
            payload = waiting.popleft()
            try:
                self._sent[session.send_message(payload)] = payload
            except Refusal as refusal:
                log.error("simulator.answer_unfit", simulator=self._host.name, code=refusal.code, length=len(payload))

    def writable(self) -> None:
        """The switch reads again."""
        self._pump()
        self.flush()

    def tick(self, now: float) -> None:
        """Look at the clock: the protocol's, then what was kept for later."""
        super().tick(now)
        if self.closed:
            return
        if self.is_open:
            self._host.hand_over(self)
        elif now - self._made_at >= HANDSHAKE_S:
            self.abort(f"the switch did not open the line within {HANDSHAKE_S:.0f} s")

    def lost(self, reason: str) -> None:
        """The connection has ended; what the switch did not acknowledge is kept for the next."""
        self.is_open = False
        log.info("simulator.line_lost", simulator=self._host.name, reason=reason)
        self._host.keep([*self._sent.values(), *self._waiting])
        self._sent.clear()
        self._waiting.clear()
