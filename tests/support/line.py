"""Both ends of a line for tests: our own `UpstreamLine`, which tells a `SwitchEnd` everything, and a `BareHost`."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from typing import Any, Literal

from msc.errors import AgencySuspended, Refusal
from msc.link.connection import Connection, Sweeper
from msc.link.line import UpstreamLine
from msc.protocol.control import Hello
from msc.protocol.driver import DRIVERS, HostDriver
from msc.protocol.session import Event, LineOpened, LineRequested, MessageReceived
from msc.settings import DriverName, LineSettings
from msc.tls import Examine

HEAD = "EXA1000001.*J40217.#02RVXUF."


def line_settings(
    port: int = 0,
    *,
    name: str = "clets-a",
    driver: DriverName = "mtp",
    mode: Literal["production", "test"] = "production",
    window: int = 8,
    **more: Any,
) -> LineSettings:
    """Make a line's settings; port 0 lets the system choose."""
    waits = {"reconnect_first_s": 0.01, "reconnect_last_s": 0.01}
    return LineSettings(
        name=name, host="127.0.0.1", port=port, driver=driver, mode=mode, window=window,
        **({"peer": "msc://host/clets-a"} | waits | more),
    )  # fmt: skip


class SwitchEnd:
    """Keeps what a line tells it, and acknowledges messages where it is told to.

    Attributes:
        messages: Texts that came, each once it was acknowledged or refused (or left alone).
        answered: For each message of ours, in the order of the answers: None, or why it was refused.
        refusal: What to refuse messages with; None acknowledges them.
        silent: Whether messages are left unanswered.
    """

    def __init__(self) -> None:
        self.messages: asyncio.Queue[str] = asyncio.Queue()
        self.answered: asyncio.Queue[str | None] = asyncio.Queue()
        self.opened: asyncio.Queue[None] = asyncio.Queue()
        self.losses: asyncio.Queue[str] = asyncio.Queue()
        self.writable: asyncio.Queue[None] = asyncio.Queue()
        self.order: list[str] = []
        self.refusal: Refusal | None = None
        self.silent = False

    def line_opened(self, line: UpstreamLine) -> None:
        self.opened.put_nowait(None)

    def line_lost(self, line: UpstreamLine, reason: str) -> None:
        self.losses.put_nowait(reason)

    def line_message(self, line: UpstreamLine, sequence: int, payload: bytes) -> None:
        if not self.silent:
            line.answer(line.connection, sequence, self.refusal or len(self.order) + 1)
        self.order.append("D")
        self.messages.put_nowait(payload.decode())

    def line_answered(self, line: UpstreamLine, sequence: int, refused: str | None) -> None:
        self.order.append("A" if refused is None else "N")
        self.answered.put_nowait(refused)

    def line_writable(self, line: UpstreamLine) -> None:
        self.writable.put_nowait(None)

    async def ask(self, line: UpstreamLine, text: str, answers: int = 1) -> list[str]:
        """Send a message with our head, and return the texts of its answers."""
        line.send((HEAD + text).encode())
        assert await self.answered.get() is None
        return [await self.messages.get() for _ in range(answers)]


@contextlib.asynccontextmanager
async def dialled(
    settings: LineSettings, context: ssl.SSLContext, end: SwitchEnd, examine: Examine = lambda _: None
) -> AsyncIterator[UpstreamLine]:
    """Run a line; it connects, and connects again, while the block lasts."""
    sweeper = Sweeper()
    sweeper.start()
    line = UpstreamLine(settings, context, "msc-test", end, sweeper, examine)
    task = asyncio.get_running_loop().create_task(line.run())
    try:
        yield line
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        sweeper.stop()


class HostEnd(Connection[HostDriver]):
    """One connection of a `BareHost`."""

    session: HostDriver

    def __init__(self, host: BareHost) -> None:
        super().__init__(host.sweeper)
        self._host = host

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._host.ends.append(self)
        super().connection_made(transport)

    def open_session(self, now: float) -> HostDriver | None:
        self._host.connected.put_nowait(self)
        if self._host.mute:
            return None
        self.session = DRIVERS[self._host.driver].host_end(now, self._host.hello)
        return self.session

    def handle(self, event: Event) -> None:
        host = self._host
        if isinstance(event, LineRequested):
            if host.declines:
                self.session.decline(AgencySuspended())
            else:
                self.session.accept()
        elif isinstance(event, MessageReceived):
            host.messages.put_nowait(event)
            if not host.silent:
                self.session.acknowledge(event.sequence)
        else:
            assert not isinstance(event, LineOpened) or host.driver == "stx"

    def send(self, text: bytes) -> None:
        """Send a message to the switch."""
        self.session.send_message(text)
        self.flush()

    def lost(self, reason: str) -> None:
        self._host.losses.put_nowait(reason)


class BareHost:
    """A host that opens lines, takes messages over and answers none.

    Attributes:
        silent: Whether it acknowledges nothing.
        declines: Whether it refuses to open lines.
        mute: Whether it drops connections right after the handshake.
    """

    def __init__(self, driver: DriverName = "mtp", *, window: int = 8) -> None:
        self.driver = driver
        self.hello = Hello(
            switch="host", time="2026-01-31T08:15:00Z", frame_bytes_max=65_536, window=window, heartbeat_s=30.0
        )
        self.sweeper = Sweeper()
        self.silent = self.declines = self.mute = False
        self.ends: list[HostEnd] = []
        self.connected: asyncio.Queue[HostEnd] = asyncio.Queue()
        self.messages: asyncio.Queue[MessageReceived] = asyncio.Queue()
        self.losses: asyncio.Queue[str] = asyncio.Queue()
        self.port = 0

    @contextlib.asynccontextmanager
    async def listening(self, context: ssl.SSLContext) -> AsyncIterator[BareHost]:
        """Listen while the block lasts."""
        server = await asyncio.get_running_loop().create_server(
            lambda: HostEnd(self), "127.0.0.1", self.port, ssl=context
        )
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for end in self.ends:
                end.abort("the test is over")
