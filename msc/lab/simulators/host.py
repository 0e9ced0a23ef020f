"""The end of a line: takes a switch's messages over mutual TLS, and answers them.

The line's driver says how messages are framed and acknowledged; on an `mtp` line:

    switch -> D n  HEADER.*OIF.#TAF.MESSAGE        host -> A n
    host   -> D m  HEADER.BODY                     switch -> A m        (one D for each answer)

A message whose head is not as it must be is refused (N), since there is no header to answer with; every
other one is answered, be it with a rejection. As the contract of the line says, an answer stays ours until
the switch has acknowledged it: what was not when a connection ends goes out on the next one.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections import deque

from msc import clock
from msc.errors import BadLength, Overloaded
from msc.lab.simulators.line_end import ANSWERS_MAX, Answering, LineEnd
from msc.limits import FRAME_BYTES_MAX, HANDSHAKE_S, TEXT_CHARS_MAX, TLS_SHUTDOWN_S
from msc.link.connection import Sweeper
from msc.log import get_logger
from msc.protocol.control import Hello
from msc.protocol.header import parse_header
from msc.settings import LineSettings

log = get_logger("simulators")


class StateHost:
    """The state's or NCIC's host at the end of one line.

    Args:
        name: What the log and the greeting call it.
        line: The line; its host and port are listened on, its name and mode are what a switch must ask for.
        context: Made by `msc.tls.server_context`, so that clients without a certificate get nowhere.
        responder: Makes the answers.
        delay_ms: How long after its acknowledgement a message is answered.
        backlog: Answers that wait for a connection. Hosts that share it are one system at the end of several lines:
            what could not be delivered on one line goes out on another.
    """

    def __init__(
        self,
        name: str,
        line: LineSettings,
        context: ssl.SSLContext,
        responder: Answering,
        *,
        delay_ms: float = 0.0,
        backlog: deque[bytes] | None = None,
    ) -> None:
        self.name = name
        self.line = line
        self.responder = responder
        self.delay_s = delay_ms / 1000
        self.sweeper = Sweeper()
        self.connections: list[LineEnd] = []
        self._context = context
        self._server: asyncio.Server | None = None
        self._delayed: deque[tuple[asyncio.TimerHandle, LineEnd, list[bytes]]] = deque()
        self._backlog: deque[bytes] = deque() if backlog is None else backlog
        self._empty = asyncio.Event()

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
        self._server = await asyncio.get_running_loop().create_server(
            lambda: LineEnd(self),
            self.line.host,
            self.line.port,
            ssl=self._context,
            ssl_handshake_timeout=HANDSHAKE_S,
            ssl_shutdown_timeout=TLS_SHUTDOWN_S,
        )
        self.sweeper.start()
        log.info("simulator.opened", simulator=self.name, line=self.line.name, port=self.port)

    async def close(self) -> None:
        """End every connection; answers not acknowledged are left to the hosts that share the backlog."""
        self.sweeper.stop()
        if self._server is not None:
            self._server.close()
        while self._delayed:
            timer, _, answers = self._delayed.popleft()
            timer.cancel()
            self.keep(answers)
        for connection in list(self.connections):
            connection.close("the simulator stops")
        if self.connections:
            # Let the transports write their goodbyes; a peer that does not read them is cut off.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TLS_SHUTDOWN_S + 1.0):
                    await self._empty.wait()
        for connection in list(self.connections):
            connection.abort("the simulator stops")
        log.info("simulator.closed", simulator=self.name)

    def send_unsolicited(self, text: str) -> None:
        """Send a message that answers nothing; where no line is open, when the next one is.

        Args:
            text: With its header: `EXA1000000.$.A.MEET AT THE NORTH GATE`. The first four characters name
                the mnemonic it is for.

        Raises:
            BadHeader: It does not begin with a header and a period.
            BadLength: Nothing follows the header, or too much.
            Overloaded: Too much waits already.
        """
        _, message = parse_header(text)
        if not message or len(text) > TEXT_CHARS_MAX:
            raise BadLength
        if self.kept >= ANSWERS_MAX:
            raise Overloaded
        connection = next((c for c in reversed(self.connections) if c.is_open), None)
        if connection is not None:
            connection.deliver([text.encode()])
        else:
            self.keep([text.encode()])

    # --- what connections ask of it -------------------------------------------------------------

    def hello(self) -> Hello:
        """Return the greeting."""
        return Hello(
            switch=f"{self.name}-simulator",
            time=clock.rfc3339(clock.wall_us()),
            frame_bytes_max=FRAME_BYTES_MAX,
            window=self.line.window,
            heartbeat_s=self.line.heartbeat_s,
        )

    @property
    def kept(self) -> int:
        """How many answers wait for their time or for a connection."""
        return len(self._delayed) + len(self._backlog)

    def keep(self, answers: list[bytes]) -> None:
        """Keep answers for the next time that a switch takes them."""
        room = max(0, ANSWERS_MAX - len(self._backlog))
        self._backlog.extend(answers[:room])
        if len(answers) > room:
            log.warning("simulator.answers_dropped", simulator=self.name, count=len(answers) - room)

    def hand_over(self, connection: LineEnd) -> None:
        """Give a connection what was kept."""
        if self._backlog:
            kept = list(self._backlog)
            self._backlog.clear()
            connection.deliver(kept)

    def delay(self, connection: LineEnd, answers: list[bytes]) -> None:
        """Deliver answers after the delay, which is the same for all: first in, first out."""
        timer = asyncio.get_running_loop().call_later(self.delay_s, self._delay_over)
        self._delayed.append((timer, connection, answers))

    def _delay_over(self) -> None:
        _, connection, answers = self._delayed.popleft()
        if connection.is_open:
            connection.deliver(answers)
        else:
            self.keep(answers)

    def made(self, connection: LineEnd) -> None:
        """Count a connection."""
        self._empty.clear()
        self.connections.append(connection)

    def gone(self, connection: LineEnd) -> None:
        """Count a connection no more; its transport is gone."""
        self.connections.remove(connection)
        if not self.connections:
            self._empty.set()
